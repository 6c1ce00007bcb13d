/** The targets, by name: a row each. */
import { mutateJpeg } from "../mutate/jpeg.js";
import type { Mutator } from "../mutate/mutator.js";
import { mutatePng } from "../mutate/png.js";
import { mutateWebp } from "../mutate/riff.js";
import { mutateTiff } from "../mutate/tiff.js";
import type { Target } from "../target.js";

interface Row {
  /** For the list of targets. */
  readonly what: string;
  /** Imports the code under test, which is instrumented on its way. */
  readonly load: () => Promise<Target>;
  /** A target that is wrong on purpose, for the test of the fuzzer. */
  readonly isPlanted?: true;
}

/** Of a format of images. @param mutators those that know it. */
const image = (format: string, what: string, mutators: readonly Mutator[] = []): Row => ({
  what: `decode of ${what}`,
  load: async () => (await import("./image.js")).imageTarget(format, mutators),
});

export const TARGETS: Readonly<Record<string, Row>> = {
  jpeg: image("jpeg", "JPEG", [mutateJpeg]),
  png: image("png", "PNG", [mutatePng]),
  gif: image("gif", "GIF"),
  webp: image("webp", "WebP", [mutateWebp]),
  bmp: image("bmp", "BMP"),
  tiff: image("tiff", "TIFF", [mutateTiff]),
  ppm: image("ppm", "PBM, PGM and PPM"),
  exif: { what: "orientation in EXIF and XMP", load: async () => (await import("./exif.js")).default },
  resize: { what: "resize to any size, by any window", load: async () => (await import("./resize.js")).default },
  safetensors: { what: "safetensors files", load: async () => (await import("./weights.js")).safetensors },
  npz: { what: "NumPy archives of weights", load: async () => (await import("./weights.js")).npz },
  torch: { what: "files of torch.save", load: async () => (await import("./weights.js")).torch },
  parquet: { what: "Parquet of a collection", load: async () => (await import("./collection.js")).parquet },
  npy: { what: "heads of NumPy's arrays", load: async () => (await import("./collection.js")).npy },
  config: {
    what: "config.json beside names and shapes of tensors",
    load: async () => (await import("./config.js")).default,
  },
  adapter: {
    what: "adapter_config.json beside names and shapes of tensors",
    load: async () => (await import("./adapter.js")).default,
  },
  tar: { what: "tar archives of photos", load: async () => (await import("./tar.js")).default },
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
