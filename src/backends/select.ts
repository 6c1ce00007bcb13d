/** Which backend runs: the only file that knows them all. Each is loaded when it is chosen. */
import type { Backend } from "../backend.js";

export type BackendName = "wasm" | "webgpu" | "reference";

/** Creates the wanted backend, or the best there is, and says why. Throws if the wanted one cannot run. */
export async function selectBackend(
  wanted: BackendName | "auto" = "auto",
): Promise<{ backend: Backend; reason: string }> {
  switch (wanted) {
    case "reference": {
      const { createReferenceBackend } = await import("./reference.js");
      return { backend: createReferenceBackend(), reason: "asked for" };
    }
    case "auto":
    case "wasm": {
      const { createWasmBackend } = await import("./wasm/index.js");
      const backend = await createWasmBackend();
      const why = wanted === "auto" ? "the fastest backend of this version" : "asked for";
      const build = backend.build === "relaxed" ? "relaxed SIMD" : "SIMD";
      return { backend, reason: `${why}; ${build} kernels, ${backend.tile}×8 tiles` };
    }
    case "webgpu":
      throw new Error('load: backend "webgpu" is not in this version; use "wasm" or "auto"');
    default:
      throw new RangeError(`load: backend must be auto, wasm, webgpu or reference; got ${JSON.stringify(wanted)}`);
  }
}
