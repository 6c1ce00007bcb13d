/** The targets, by name: a row each. */
import type { Target } from "../target.js";

interface Row {
  /** For the list of targets. */
  readonly what: string;
  /** Imports the code under test, which is instrumented on its way. */
  readonly load: () => Promise<Target>;
  /** A target that is wrong on purpose, for the test of the fuzzer. */
  readonly isPlanted?: true;
}

export const TARGETS: Readonly<Record<string, Row>> = {
  jpeg: {
    what: "decode of JPEG",
    load: async () =>
      (await import("./image.js")).imageTarget(".jpg", [(await import("../mutate/jpeg.js")).mutateJpeg]),
  },
  png: {
    what: "decode of PNG",
    load: async () => (await import("./image.js")).imageTarget(".png", [(await import("../mutate/png.js")).mutatePng]),
  },
  gif: { what: "decode of GIF", load: async () => (await import("./image.js")).imageTarget(".gif", []) },
  webp: {
    what: "decode of WebP",
    load: async () =>
      (await import("./image.js")).imageTarget(".webp", [(await import("../mutate/riff.js")).mutateWebp]),
  },
  exif: { what: "orientation in EXIF and XMP", load: async () => (await import("./exif.js")).default },
  resize: { what: "resize to any size, by any window", load: async () => (await import("./resize.js")).default },
  safetensors: { what: "safetensors files", load: async () => (await import("./weights.js")).safetensors },
  npz: { what: "NumPy archives of weights", load: async () => (await import("./weights.js")).npz },
  config: {
    what: "config.json beside names and shapes of tensors",
    load: async () => (await import("./config.js")).default,
  },
  preprocessor: { what: "preprocessor_config.json", load: async () => (await import("./preprocessor.js")).default },
  tokenizer: { what: "tokenizer.json, and texts", load: async () => (await import("./tokenizer.js")).default },
  arguments: { what: "the command line", load: async () => (await import("./arguments.js")).default },
  planted: {
    what: "a fault three comparisons deep",
    load: async () => (await import("./planted.js")).deep,
    isPlanted: true,
  },
  "planted-wasm": {
    what: "the same in WebAssembly",
    load: async () => (await import("./planted.js")).deepWasm,
    isPlanted: true,
  },
  "planted-kinds": {
    what: "a fault of every kind",
    load: async () => (await import("./planted.js")).kinds,
    isPlanted: true,
  },
};
