// The kernels of the WASM backend: this list, with that of the ops (functions that take a job, see jobs.js), is the interface
// to src/backends/wasm. Kernels own no memory, allocate nothing and check nothing; strides are in bytes, sizes in elements.
export * from "./ops.gen";
export { rescale, weightPanelBytes } from "./linear";
export { attach, lostWord, syncBytes, work } from "./threads";
export { firstBeyond, scaleRows, widen } from "./widen";

/** First byte behind the constants of the kernels: what comes before it is theirs. */
export function heapBase(): usize {
  return __heap_base;
}
