// The kernels of the WASM backend: this list is the interface to src/backends/wasm. Kernels are pure functions of
// pointers and sizes. They own no memory, allocate nothing and check nothing; strides are in bytes, sizes in elements.
export { gemm, packRows, packedRowsBytes, packWeight, panelBytes } from "./gemm";
export { attention, attentionScratch } from "./attention";
export { gelu, geluTanh, relu, tanh } from "./activation";
export { layerNorm } from "./layernorm";
export { softmax } from "./softmax";
export { assembleTokens, patchify, pool } from "./tokens";
export { firstBeyond, widen } from "./widen";

/** First byte behind the constants of the kernels: what comes before it is theirs. */
export function heapBase(): usize {
  return __heap_base;
}
