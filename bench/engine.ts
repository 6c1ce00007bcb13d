/** What each file in engines/ provides: vitrail and the rivals behind one interface. */
import type { Setup, Work } from "./work.js";

/** Work that is ready to run again and again. */
export interface Contender {
  /** Does the work once: when it returns, or its promise resolves, the result is computed. */
  run(): unknown;
  /** The result of a run, row-major; undefined where there is none to compare. */
  result(): Promise<Float32Array> | Float32Array | undefined;
  dispose(): void;
  /** What the engine chose to compute with, where it chooses. */
  readonly kernels?: string;
  /** Bytes that it says it holds, where it says so. */
  readonly memory?: number;
}

/** Why a setup cannot run here. */
export interface Refusal {
  readonly refused: string;
}

/** What each file in engines/ exports. Weights are packed before the first run. */
export interface Engine {
  /** Undefined for work that is not measured on this engine. A process prepares for one setup only. */
  prepare(work: Work, setup: Setup): Promise<Contender | Refusal> | undefined;
}

/** The files in engines/. */
export const ENGINES = {
  peak: () => import("./engines/peak.js"),
  vitrail: () => import("./engines/vitrail.js"),
  "onnxruntime-web": () => import("./engines/onnxruntime-web.js"),
  "onnxruntime-node": () => import("./engines/onnxruntime-node.js"),
  "transformers.js": () => import("./engines/transformers.js"),
  sharp: () => import("./engines/sharp.js"),
  "@jsquash/jpeg": () => import("./engines/jsquash-jpeg.js"),
  "@jsquash/webp": () => import("./engines/jsquash-webp.js"),
  "jpeg-js": () => import("./engines/jpeg-js.js"),
  "tfjs-backend-wasm": () => import("./engines/tfjs-backend-wasm.js"),
  "jax-js": () => import("./engines/jax-js.js"),
} satisfies Record<string, () => Promise<{ engine: Engine }>>;
export type EngineName = keyof typeof ENGINES;

/** The packages of bench/thirdparty that they need. */
export const PACKAGES: Readonly<Partial<Record<EngineName, string>>> = {
  "onnxruntime-web": "onnxruntime-web",
  "onnxruntime-node": "onnxruntime-node",
  "transformers.js": "@huggingface/transformers",
  sharp: "sharp",
  "@jsquash/jpeg": "@jsquash/jpeg",
  "@jsquash/webp": "@jsquash/webp",
  "jpeg-js": "jpeg-js",
  "tfjs-backend-wasm": "@tensorflow/tfjs-backend-wasm",
  "jax-js": "@jax-js/jax",
};
