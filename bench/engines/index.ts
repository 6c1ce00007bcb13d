/** The engines: vitrail and its rivals, a file each. */
import type { Engine } from "../engine.js";

/** The files in engines/. */
export const ENGINES = {
  peak: () => import("./peak.js"),
  vitrail: () => import("./vitrail.js"),
  "onnxruntime-web": () => import("./onnxruntime-web.js"),
  "onnxruntime-node": () => import("./onnxruntime-node.js"),
  "transformers.js": () => import("./transformers.js"),
  sharp: () => import("./sharp.js"),
  "tfjs-backend-wasm": () => import("./tfjs-backend-wasm.js"),
  "jax-js": () => import("./jax-js.js"),
} satisfies Record<string, () => Promise<{ engine: Engine }>>;
export type EngineName = keyof typeof ENGINES;

/** The packages of bench/thirdparty that they need. */
export const PACKAGES: Readonly<Partial<Record<EngineName, string>>> = {
  "onnxruntime-web": "onnxruntime-web",
  "onnxruntime-node": "onnxruntime-node",
  "transformers.js": "@huggingface/transformers",
  sharp: "sharp",
  "tfjs-backend-wasm": "@tensorflow/tfjs-backend-wasm",
  "jax-js": "@jax-js/jax",
};
