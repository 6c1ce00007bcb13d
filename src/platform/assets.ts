/**
 * Files of the package that came with the program, where none lies beside the code, or nothing is compiled: in bundles for
 * edge hosts and in single-file programs. Set by the entries in hosts/, which such programs import in place of index.ts.
 */
export interface Assets {
  /** Names of files in dist/kernels/: see backends/wasm/kernels.ts, image/, hub/sha.ts and pictures/rows.ts. */
  kernels?: WebAssembly.Module;
  image?: WebAssembly.Module;
  png?: WebAssembly.Module;
  sha?: WebAssembly.Module;
  jpeg?: WebAssembly.Module;
  webp?: WebAssembly.Module;
  rows?: WebAssembly.Module;
  /** The default model, as `load` takes it. */
  model?: { readonly config: unknown; readonly weights: Blob | Uint8Array };
}

export const assets: Assets = {};
