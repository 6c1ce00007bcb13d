/** Makes backends of single threads, apart from select.ts: what has the weights already needs no other kind. */
import type { Backend } from "../backend.js";

/** Kernels and memory of the SIMD backend, for threads that compute by themselves on the weights there. */
export type SharedKernels = import("./wasm/index.js").SharedKernels;

/** A backend of one thread on the weights of another's. */
export async function joinBackend(shared: SharedKernels): Promise<Backend> {
  return (await import("./wasm/index.js")).joinWasmBackend(shared);
}
