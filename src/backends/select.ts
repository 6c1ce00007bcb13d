/** Which backend runs: the only file that knows them all. Each is loaded when it is chosen. */
import type { Backend, Precision } from "../backend.js";

export type BackendName = "wasm" | "webgpu" | "reference";

/** What a caller may ask for; see LoadOptions. */
export interface Choice {
  readonly backend?: BackendName | "auto";
  readonly threads?: "auto" | number;
  readonly wide?: boolean;
  readonly precision?: Precision;
}

/** Creates the wanted backend, or the best there is, and says why. Throws if the wanted one cannot run. */
export async function selectBackend({
  backend: wanted = "auto",
  precision = "f32",
  wide,
}: Choice): Promise<{ backend: Backend; threads: number; reason: string }> {
  switch (wanted) {
    case "reference": {
      const { createReferenceBackend } = await import("./reference.js");
      return { backend: createReferenceBackend(), threads: 1, reason: "asked for; plain loops on one thread" };
    }
    case "auto":
    case "wasm": {
      const { createWasmBackend } = await import("./wasm/index.js");
      const backend = await createWasmBackend({ wide });
      const why = wanted === "auto" ? "the fastest backend of this version" : "asked for";
      return { backend, threads: 1, reason: `${why}; ${backend.describe(precision)}` };
    }
    case "webgpu":
      throw new Error('load: backend "webgpu" is not in this version; use "wasm" or "auto"');
    default:
      throw new RangeError(`load: backend must be auto, wasm, webgpu or reference; got ${JSON.stringify(wanted)}`);
  }
}
