/**
 * Files of the package that came with the program, where none lies beside the code, or nothing is compiled: in bundles for
 * edge hosts and in single-file programs. Set by the entries in hosts/, which such programs import in place of index.ts.
 */

/** Compiled, its bytes, or the path of a file. */
export type WasmAsset = WebAssembly.Module | Uint8Array | string;

export interface Assets {
  /** Of dist/kernels/, see backends/wasm/kernels.ts and image/kernel.ts. */
  kernels?: WasmAsset;
  image?: WebAssembly.Module | Uint8Array;
  /** The decoders of jSquash. */
  jpeg?: WasmAsset;
  webp?: WasmAsset;
  /** The default model, as `load` takes it. */
  model?: { readonly config: unknown; readonly weights: Blob | Uint8Array };
}

export const assets: Assets = {};
