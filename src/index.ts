/**
 * vitrail: Vision Transformers from their original weights, in every JavaScript runtime.
 *
 * `load` gives a {@link Model}; a model classifies and embeds images, finds their depth and their segments. `trimapOf` is of masks; everything else here is a type.
 */

import type { BackendName, Precision } from "./backend.js";
import { startAhead } from "./backends/wasm/threads.js";
import type { Config, ConfigOverrides } from "./checkpoint/config.js";
import type { HubOptions } from "./hub/settings.js";
import type { Clip } from "./image/clip.js";
import type { Box, Geometry } from "./image/geometry.js";
import { checkSources, type ImageInput, type ImageSource } from "./image/source.js";
import type { Trimap } from "./image/trimap.js";
import type { CheckpointParts, Progress } from "./io/parts.js";
import { excerpt, parseJson } from "./json.js";
import type { Head, LoadOptions, Model, PreparedImage, PreprocessOptions, TextMethods, TextOptions } from "./model.js";
import { assets } from "./platform/assets.js";
import { isDirectory, readFile } from "./platform/files.js";
import { isPage } from "./platform/host.js";
import type { BatchError } from "./tasks/batch.js";
import type { ClassifyOptions } from "./tasks/classify.js";
import type { DepthMap, DepthOptions } from "./tasks/depth.js";
import type { Detection, DetectOptions } from "./tasks/detect.js";
import type { EmbedOptions } from "./tasks/embed.js";
import type { EmbeddedImage } from "./tasks/embedded.js";
import type { TaskName } from "./tasks/index.js";
import type { Keypoint } from "./tasks/keypoints.js";
import type { Matte, MatteOptions, TrimapInput } from "./tasks/matte.js";
import type { Pose, PoseOptions } from "./tasks/pose.js";
import type { Prediction } from "./tasks/predictions.js";
import type { Point, PromptOptions } from "./tasks/prompts.js";
import type { SegmentOptions } from "./tasks/segment.js";
import type { Segment, Segmentation } from "./tasks/segments.js";
import { checkNames } from "./tasks/task.js";
import { type Mask, trimapOf } from "./tasks/trimap.js";
import type { ZeroShotOptions } from "./tasks/zero-shot.js";
import type { Inputs, Integers } from "./vit/inputs.js";
import type { OutputName, Outputs, Tensor } from "./vit/outputs.js";

export type {
  BackendName,
  BatchError,
  Box,
  CheckpointParts,
  ClassifyOptions,
  Clip,
  Config,
  ConfigOverrides,
  DepthMap,
  DepthOptions,
  Detection,
  DetectOptions,
  EmbeddedImage,
  EmbedOptions,
  Geometry,
  Head,
  HubOptions,
  ImageInput,
  ImageSource,
  Inputs,
  Integers,
  Keypoint,
  LoadOptions,
  Mask,
  Matte,
  MatteOptions,
  Model,
  OutputName,
  Outputs,
  Point,
  Pose,
  PoseOptions,
  Precision,
  Prediction,
  PreparedImage,
  PreprocessOptions,
  Progress,
  PromptOptions,
  Segment,
  Segmentation,
  SegmentOptions,
  TaskName,
  Tensor,
  TextMethods,
  TextOptions,
  Trimap,
  TrimapInput,
  ZeroShotOptions,
};
export { trimapOf };

/** The files of the default model, in words in which bundlers find them; they may give them other names. */
const defaultConfig = () => new URL("../../models/default/config.json", import.meta.url);
const defaultWeights = () => new URL("../../models/default/model.safetensors", import.meta.url);

/** The checkpoint that comes with vitrail: ten classes of CIFAR-10, models/default/README.md. Files, not code. */
export const defaultModel = (): URL => new URL(".", defaultConfig());

/** The same where there are no folders. */
async function fetchDefaultModel(signal: AbortSignal | undefined): Promise<CheckpointParts> {
  const [config, weights] = await Promise.all(
    [defaultConfig(), defaultWeights()].map((at) => readFile(at, { signal })),
  );
  return { config: parseJson(config!, "load: the config of the default model"), weights: weights! };
}

/** The same where it is: in its folder, at an address, or in the program itself. */
async function findDefault(signal: AbortSignal | undefined): Promise<URL | CheckpointParts> {
  // A bundle may not know where it is, and may hold the smaller file as a data: URL.
  const config = URL.canParse(import.meta.url) ? defaultConfig() : undefined;
  if (config && config.protocol !== "file:") return fetchDefaultModel(signal);
  if (config && (await isDirectory(defaultModel()))) {
    // Bundlers for servers keep the files, by other names.
    return config.pathname.endsWith("/config.json") ? defaultModel() : fetchDefaultModel(signal);
  }
  if (assets.model) return assets.model;
  throw new Error("load: the files of the default model are not beside this program; give load a model");
}

/**
 * Loads a checkpoint. Models of the same files, loaded with the same options, share their weights and run in turn.
 * @param source a repository of the Hugging Face Hub, "owner/name" or "owner/name@revision", unless a folder here has this
 * name ("hf-hub:owner/name" is never one); a folder in the Hub's layout, a file of weights, a file: or http(s): address of
 * either, or `{ config, weights, preprocessor }` from memory; by default the small model that comes with vitrail.
 * @throws Error: one sentence naming the file, the rule and what was found.
 * @example
 * using vit = await load("models/vit-base-patch16-224");
 */
export async function load(source?: string | URL | CheckpointParts, options: LoadOptions = {}): Promise<Model> {
  checkOptions(options);
  if (source === undefined) source = await findDefault(options.signal);
  // On a page, why the model runs there after all.
  let onPage = "";
  if (isPage()) {
    const { loadInWorker } = await import("./remote/page.js");
    const model = options.fetch
      ? { reason: "on the page's own thread: a worker cannot be given the option fetch" }
      : await loadInWorker(source, options);
    if (!("reason" in model)) return model;
    onPage = `; ${model.reason}`;
  }
  const endAhead = startAhead(options);
  try {
    const { loadHere } = await import("./model.js");
    return await loadHere(source, options, onPage);
  } finally {
    endAhead();
  }
}

const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, true>> = {
  backend: true,
  precision: true,
  threads: true,
  wide: true,
  wasm: true,
  imageSize: true,
  patchSize: true,
  processor: true,
  draft: true,
  textCache: true,
  subfolder: true,
  prefix: true,
  ignore: true,
  base: true,
  head: true,
  config: true,
  state: true,
  pixelLimit: true,
  decodeTimeout: true,
  sources: true,
  signal: true,
  onProgress: true,
  revision: true,
  cacheDir: true,
  offline: true,
  token: true,
  fetch: true,
};
const HUB_OPTIONS: Readonly<Record<keyof HubOptions, string>> = {
  revision: "string",
  cacheDir: "string",
  offline: "boolean",
  token: "string",
  fetch: "function",
};

/** Each has an instance of the kernels and a stack of its own. */
const MAX_THREADS = 256;

/** Activations of torch.nn that layers of a head may have between them. */
const ACTIVATIONS = ["none", "relu", "gelu", "gelu_tanh", "quick_gelu", "tanh"];

function checkHead(head: Head): void {
  const isFile = (file: unknown) =>
    (typeof file === "string" && file !== "") ||
    [URL, Uint8Array, ArrayBuffer, Blob].some((type) => file instanceof type);
  if (isFile(head)) return;
  if (typeof head !== "object" || head === null || !("file" in head) || !isFile(head.file)) {
    throw new TypeError(`load: head must be a path, a URL, bytes or { file }; got ${excerpt(head)}`);
  }
  const { file: _, activation = "none", normalize = false, ...others } = head;
  const [other] = Object.keys(others);
  if (other !== undefined) {
    throw new RangeError(`load: head takes file, activation and normalize; got ${excerpt(other)}`);
  }
  if (!ACTIVATIONS.includes(activation)) {
    throw new RangeError(`load: head.activation must be one of ${ACTIVATIONS.join(", ")}; got ${excerpt(activation)}`);
  }
  if (typeof normalize !== "boolean") {
    throw new TypeError(`load: head.normalize must be true or false; got ${excerpt(normalize)}`);
  }
}

function checkOptions(options: LoadOptions): void {
  checkNames("load", options, LOAD_OPTIONS);
  const { backend = "auto", precision = "f32", threads = "auto", wide = false, pixelLimit = 1 } = options;
  const { wasm = "", decodeTimeout = 1, processor = "pillow", draft = false, onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError(`load: onProgress must be a function; got ${excerpt(onProgress)}`);
  }
  for (const [name, type] of Object.entries(HUB_OPTIONS)) {
    const value = options[name as keyof HubOptions];
    if (value !== undefined && typeof value !== type) {
      // What is no token may hold one.
      const got = name === "token" ? typeof value : excerpt(value);
      throw new TypeError(`load: ${name} must be a ${type}; got ${got}`);
    }
  }
  for (const name of ["subfolder", "prefix", "state", "textCache"] as const) {
    const { [name]: text } = options;
    if (text !== undefined && typeof text !== "string") {
      throw new TypeError(`load: ${name} must be a string; got ${excerpt(text)}`);
    }
  }
  if (options.ignore !== undefined && !(options.ignore instanceof RegExp)) {
    throw new TypeError(`load: ignore must be a RegExp; got ${excerpt(options.ignore)}`);
  }
  if (options.base !== undefined && typeof options.base !== "string" && !(options.base instanceof URL)) {
    throw new TypeError(`load: base must be a string or a URL; got ${excerpt(options.base)}`);
  }
  if (options.head !== undefined) checkHead(options.head);
  checkSources("load", options.sources);
  if (!["auto", "wasm", "webgpu", "reference"].includes(backend)) {
    throw new RangeError(`load: backend must be auto, wasm, webgpu or reference; got ${excerpt(backend)}`);
  }
  if (!["f32", "f16", "int8"].includes(precision)) {
    throw new RangeError(`load: precision must be f32, f16 or int8; got ${excerpt(precision)}`);
  }
  if (threads !== "auto" && !(Number.isSafeInteger(threads) && threads > 0 && threads <= MAX_THREADS)) {
    throw new RangeError(`load: threads must be auto or from 1 to ${MAX_THREADS}; got ${excerpt(threads)}`);
  }
  for (const name of ["imageSize", "patchSize"] as const) {
    const { [name]: size } = options;
    const sides = Array.isArray(size) ? size : [size, size];
    if (size !== undefined && !(sides.length === 2 && sides.every((side) => Number.isSafeInteger(side) && side > 0))) {
      throw new RangeError(`load: ${name} must be a positive integer or [height, width]; got ${excerpt(size)}`);
    }
  }
  if (
    typeof wasm !== "string" &&
    ![WebAssembly.Module, ArrayBuffer, Uint8Array, URL].some((type) => (wasm as unknown) instanceof type)
  ) {
    throw new TypeError(`load: wasm must be a WebAssembly.Module, bytes or a URL; got ${excerpt(wasm)}`);
  }
  if (!["pillow", "torchvision"].includes(processor)) {
    throw new RangeError(`load: processor must be pillow or torchvision; got ${excerpt(processor)}`);
  }
  if (typeof draft !== "boolean") throw new TypeError(`load: draft must be true or false; got ${excerpt(draft)}`);
  if (typeof wide !== "boolean") throw new TypeError(`load: wide must be true or false; got ${excerpt(wide)}`);
  if (!(typeof decodeTimeout === "number" && decodeTimeout > 0)) {
    throw new RangeError(`load: decodeTimeout must be a positive number; got ${excerpt(decodeTimeout)}`);
  }
  if (!(typeof pixelLimit === "number" && pixelLimit > 0)) {
    throw new RangeError(`load: pixelLimit must be a positive number; got ${excerpt(pixelLimit)}`);
  }
}
