/**
 * vitrail: Vision Transformers from their original weights, in every JavaScript runtime.
 *
 * `load` gives a {@link Model}; a model classifies and embeds images. Everything else here is a type.
 */
import type { BackendName, Precision } from "./backend.js";
import {
  type ClassifyOptions,
  checkNames,
  type EmbedOptions,
  type LoadOptions,
  loadHere,
  type Model,
  type TextMethods,
  type TextOptions,
  type ZeroShotOptions,
} from "./calls.js";
import type { ImageInput } from "./image/source.js";
import type { CheckpointParts, Progress } from "./io/checkpoint.js";
import type { Config, ConfigOverrides } from "./model/config.js";
import type { Inputs, Integers, OutputName, Outputs, Tensor } from "./model/outputs.js";
import { hasFileSystem, isPage, readFile } from "./platform.js";
import type { BatchError, Prediction } from "./results.js";

export type {
  BackendName,
  BatchError,
  CheckpointParts,
  ClassifyOptions,
  Config,
  ConfigOverrides,
  EmbedOptions,
  ImageInput,
  Inputs,
  Integers,
  LoadOptions,
  Model,
  OutputName,
  Outputs,
  Precision,
  Prediction,
  Progress,
  Tensor,
  TextMethods,
  TextOptions,
  ZeroShotOptions,
};

/** The files of the default model, in words in which bundlers find them; they may give them other names. */
const defaultConfig = () => new URL("../../models/default/config.json", import.meta.url);
const defaultWeights = () => new URL("../../models/default/model.safetensors", import.meta.url);

/** The checkpoint that comes with vitrail: ten classes of CIFAR-10, models/default/README.md. Files, not code. */
export const defaultModel = (): URL => new URL(".", defaultConfig());

/** The same where there are no folders, its weights as they arrive. */
async function fetchDefaultModel(signal: AbortSignal | undefined): Promise<CheckpointParts> {
  const config = JSON.parse(new TextDecoder().decode(await readFile(defaultConfig(), { signal })));
  const { ok, status, body, url } = await fetch(defaultWeights(), { signal });
  if (!ok) throw new Error(`load: the default model, "${url}", was answered with ${status}`);
  return { config, weights: body! };
}

/**
 * Loads a checkpoint. Models of the same files, loaded with the same options, share their weights and run in turn.
 * @param source a folder in the Hugging Face Hub's layout, a .safetensors file, a file: URL of either, or
 * `{ config, weights, preprocessor }` from memory; by default the small model that comes with vitrail.
 * @throws Error: one sentence naming the file, the rule and what was found.
 * @example
 * using vit = await load("models/vit-base-patch16-224");
 */
export async function load(source?: string | URL | CheckpointParts, options: LoadOptions = {}): Promise<Model> {
  checkOptions(options);
  if (source === undefined) source = hasFileSystem() ? defaultModel() : await fetchDefaultModel(options.signal);
  // On a page, why the model runs there after all.
  let onPage = "";
  if (isPage()) {
    const { loadInWorker } = await import("./remote/page.js");
    const model = await loadInWorker(source, options);
    if (!("reason" in model)) return model;
    onPage = `; ${model.reason}`;
  }
  return loadHere(source, options, onPage);
}

const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, true>> = {
  backend: true,
  precision: true,
  threads: true,
  wide: true,
  imageSize: true,
  patchSize: true,
  config: true,
  pixelLimit: true,
  signal: true,
  onProgress: true,
};

function checkOptions(options: LoadOptions): void {
  checkNames("load", options, LOAD_OPTIONS);
  const { backend = "auto", precision = "f32", threads = "auto", wide = false, pixelLimit = 1, onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError(`load: onProgress must be a function; got ${JSON.stringify(onProgress)}`);
  }
  if (!["auto", "wasm", "webgpu", "reference"].includes(backend)) {
    throw new RangeError(`load: backend must be auto, wasm, webgpu or reference; got ${JSON.stringify(backend)}`);
  }
  if (!["f32", "f16", "int8"].includes(precision)) {
    throw new RangeError(`load: precision must be f32, f16 or int8; got ${JSON.stringify(precision)}`);
  }
  if (threads !== "auto" && !(Number.isSafeInteger(threads) && threads > 0)) {
    throw new RangeError(`load: threads must be auto or a positive integer; got ${JSON.stringify(threads)}`);
  }
  for (const name of ["imageSize", "patchSize"] as const) {
    const { [name]: size } = options;
    const sides = Array.isArray(size) ? size : [size, size];
    if (size !== undefined && !(sides.length === 2 && sides.every((side) => Number.isSafeInteger(side) && side > 0))) {
      throw new RangeError(`load: ${name} must be a positive integer or [height, width]; got ${JSON.stringify(size)}`);
    }
  }
  if (typeof wide !== "boolean") throw new TypeError(`load: wide must be true or false; got ${JSON.stringify(wide)}`);
  if (!(typeof pixelLimit === "number" && pixelLimit > 0)) {
    throw new RangeError(`load: pixelLimit must be a positive number; got ${JSON.stringify(pixelLimit)}`);
  }
}
