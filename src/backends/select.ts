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

export interface Selected {
  readonly backend: Backend;
  /** How it runs, as of now: threads that nobody asked for by number join when they have started, or do not. */
  readonly how: { readonly threads: number; readonly reason: string };
  /** Resolves when it runs as asked for; rejects if it cannot. */
  readonly started: Promise<void>;
}

/** Creates the wanted backend, or the best there is, and says why. Throws if the wanted one cannot run. */
export async function selectBackend({
  backend: wanted = "auto",
  precision = "f32",
  threads = "auto",
  wide,
}: Choice): Promise<Selected> {
  switch (wanted) {
    case "reference": {
      const { createReferenceBackend } = await import("./reference.js");
      const reason = "asked for; plain loops on one thread";
      return { backend: createReferenceBackend(), how: { threads: 1, reason }, started: Promise.resolve() };
    }
    case "auto":
    case "wasm": {
      const { createWasmBackend } = await import("./wasm/index.js");
      const backend = await createWasmBackend({ threads, wide });
      const why = wanted === "auto" ? "the fastest backend of this version" : "asked for";
      const how = {
        get threads() {
          return backend.threads;
        },
        get reason() {
          return `${why}; ${backend.describe(precision)}`;
        },
      };
      // Nothing waits for threads that were not asked for by number: starting them takes longer than an image.
      return { backend, how, started: threads === "auto" ? Promise.resolve() : backend.started };
    }
    case "webgpu":
      throw new Error('load: backend "webgpu" is not in this version; use "wasm" or "auto"');
    default:
      throw new RangeError(`load: backend must be auto, wasm, webgpu or reference; got ${JSON.stringify(wanted)}`);
  }
}
