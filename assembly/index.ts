// The kernels of the WASM backend: this list is the interface to src/backends/wasm. Kernels are pure functions of
// pointers and sizes. They own no memory, allocate nothing and check nothing; strides are in bytes, sizes in elements.
export { attention, attentionScratch } from "./attention";
export { groupNorm, groupNormScratch } from "./groupnorm";
export { layerNorm, layerNormScratch } from "./layernorm";
export { convolve, convolveScratch, linear, linearScratch, rescale, storeWeight, weightPanelBytes } from "./linear";
export { maxPool } from "./maxpool";
export { relativePositions, rope } from "./places";
export { swiglu } from "./swiglu";
export { attach, lostWord, setThreads, syncBytes, work } from "./threads";
export { assembleTokens, patchify, pool } from "./tokens";
export { firstBeyond, scaleRows, widen } from "./widen";

/** First byte behind the constants of the kernels: what comes before it is theirs. */
export function heapBase(): usize {
  return __heap_base;
}
