/**
 * vitrail: Vision Transformers from their original weights, in every JavaScript runtime.
 *
 * `load` gives a {@link Model}; a model classifies and embeds images. Everything else here is a type.
 */
import type { Precision } from "./backend.js";
import { type BackendName, selectBackend } from "./backends/select.js";
import {
  type ImageInput,
  openImage,
  type Preprocessing,
  parsePreprocessing,
  type RgbImage,
  toBytes,
  toPixelValues,
} from "./image/index.js";
import { type CheckpointParts, openCheckpoint, type Progress } from "./io/checkpoint.js";
import { type Config, type ConfigOverrides, parseConfig } from "./model/config.js";
import { forward, type OutputName, type Outputs, type Tensor } from "./model/vit.js";
import { planWeights, type Weights } from "./model/weights.js";

export type {
  BackendName,
  CheckpointParts,
  Config,
  ConfigOverrides,
  ImageInput,
  OutputName,
  Outputs,
  Precision,
  Progress,
  Tensor,
};

/** Options of {@link load}. */
export interface LoadOptions {
  /** What computes; "auto" takes the fastest that runs here. An explicit backend that cannot run throws. */
  backend?: BackendName | "auto";
  /**
   * How linear layers compute, by default f32, and int8 for a checkpoint that `vitrail quantize` made. f16: weights in half
   * the memory, arithmetic in f32; int8: a quarter of the memory and about twice the speed, at a small loss of accuracy.
   */
  precision?: Precision;
  /** Threads to compute on; "auto" takes one for each core, and one where memory cannot be shared. */
  threads?: "auto" | number;
  /** Asks the engine for 256-bit vectors: Node 24 or later on x64. `model.backend.reason` says what came of it. */
  wide?: boolean;
  /** What a checkpoint without config.json does not say, such as its heads (width / 64 unless given). */
  config?: ConfigOverrides;
  /** Most pixels that an image may have; more is refused before any of them is decoded. */
  pixelLimit?: number;
  /** Stops loading; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called as bytes of the weights arrive. */
  onProgress?: (progress: Progress) => void;
}

/** One class of a classification. */
export interface Prediction {
  readonly label: string;
  readonly index: number;
  /** Softmax over all classes. */
  readonly probability: number;
  readonly logit: number;
}

/** Options of `classify`. */
export interface ClassifyOptions {
  /** How many classes, best first. */
  topK?: number;
  signal?: AbortSignal;
}

/** Options of `embed`. */
export interface EmbedOptions {
  /**
   * head: what the classification head reads, after the last norm; token: the class token; mean: the mean of the patches;
   * pooler: Hugging Face's pooler_output.
   */
  pooling?: "head" | "token" | "mean" | "pooler";
  /** Scale each row to length 1. */
  normalize?: boolean;
  signal?: AbortSignal;
}

/**
 * What a call on several images throws when some of them failed: `errors` has each image's error, in order, and `results`
 * what came of the others, undefined where an image failed.
 */
export interface BatchError<Result> extends AggregateError {
  readonly results: readonly (Result | undefined)[];
}

/** A loaded model. Calls run one after the other, in the order in which they were made. */
export interface Model {
  readonly config: Config;
  /** Class names by index: id2label. */
  readonly labels: readonly string[];
  readonly backend: {
    readonly name: string;
    readonly precision: Precision;
    readonly threads: number;
    readonly reason: string;
  };
  /** Bytes: packed weights, and the most that activations have taken. */
  readonly memory: { readonly weights: number; readonly activations: number };
  /**
   * Classes of an image, best first; of a list, one result each, in order.
   * @throws Error naming the image that cannot be read, for several {@link BatchError} when all are through; RangeError if
   * the checkpoint has no classifier.
   * @example
   * const [best] = await vit.classify("cat.jpg", { topK: 5 });
   */
  classify(image: ImageInput, options?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], options?: ClassifyOptions): Promise<Prediction[][]>;
  /** Feature vectors, [images, D] in one array, one row an image. */
  embed(images: ImageInput | readonly ImageInput[], options?: EmbedOptions): Promise<Float32Array>;
  /**
   * The raw call.
   * @param inputs pixelValues [B, 3, H, W], as `preprocess` gives them.
   * @param options outputs: what to compute, by default the logits.
   */
  forward<Name extends OutputName = "logits">(
    inputs: { pixelValues: Tensor },
    options?: { outputs?: readonly Name[]; signal?: AbortSignal },
  ): Promise<Pick<Outputs, Name>>;
  /** Pixel values [images, 3, H, W] that `forward` takes: resized, cropped and normalised as the checkpoint says. */
  preprocess(images: ImageInput | readonly ImageInput[], options?: { signal?: AbortSignal }): Promise<Tensor>;
  /** The same before normalisation: 8-bit RGB, [images, H, W, 3]. */
  preprocessBytes(images: ImageInput | readonly ImageInput[], options?: { signal?: AbortSignal }): Promise<Uint8Array>;
  /** Frees weights and activations; later calls throw. */
  dispose(): void;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The checkpoint that comes with vitrail: ten classes of CIFAR-10, models/default/README.md. Files, not code. */
export const defaultModel = (): URL => new URL("../../models/default/", import.meta.url);

/**
 * Loads a checkpoint.
 * @param source a folder in the Hugging Face Hub's layout, a .safetensors file, a file: URL of either, or
 * `{ config, weights, preprocessor }` from memory; by default the small model that comes with vitrail.
 * @throws Error: one sentence naming the file, the rule and what was found.
 * @example
 * using vit = await load("models/vit-base-patch16-224");
 */
export async function load(
  source: string | URL | CheckpointParts = defaultModel(),
  options: LoadOptions = {},
): Promise<Model> {
  checkOptions(options);
  const { signal, onProgress, pixelLimit } = options;
  const checkpoint = await openCheckpoint(source, { signal });
  try {
    const { config, named, labels } = await parseConfig(
      checkpoint.name,
      checkpoint.config,
      checkpoint.tensors,
      options.config,
    );
    const preprocessing = parsePreprocessing(checkpoint.preprocessor, checkpoint.config, [...config.imageSize]);
    const plan = planWeights(checkpoint.name, { config, named }, checkpoint.tensors);
    const { precision = plan.precision } = options;
    const { backend, how, started } = await selectBackend({ ...options, precision });
    try {
      const loader = plan.create(backend, precision);
      await checkpoint.read(loader, { signal, onProgress });
      const weights = await loader.finish();
      await started;
      const facts = {
        config,
        labels,
        get backend() {
          return { name: backend.name, precision, ...how };
        },
      };
      return createModel(facts, preprocessing, { backend, weights }, pixelLimit);
    } catch (error) {
      backend.dispose();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}

/** What computes, and what with. */
type Engine = Pick<Awaited<ReturnType<typeof selectBackend>>, "backend"> & { readonly weights: Weights };

function createModel(
  facts: Pick<Model, "config" | "labels" | "backend">,
  preprocessing: Preprocessing,
  loaded: Engine,
  pixelLimit: number | undefined,
): Model {
  const { config, labels } = facts;
  const [height, width] = config.imageSize;
  // Dropped by dispose, so that a model which is still referred to holds no weights.
  let engine: Engine | undefined = loaded;
  let last: Promise<unknown> = Promise.resolve();

  function live(): Engine {
    if (!engine) throw new Error("model: it was disposed of; load it again");
    return engine;
  }

  /** Runs `task` when all earlier ones are through: they share the activations' memory. */
  function inTurn<T>(task: (engine: Engine) => Promise<T>): Promise<T> {
    live();
    const result = last.then(() => task(live()));
    last = result.catch(() => undefined);
    return result;
  }

  const run = (pixelValues: Tensor, outputs: readonly OutputName[], signal?: AbortSignal) =>
    inTurn(({ backend, weights }) => forward(backend, weights, config, pixelValues, outputs, signal));

  async function bytesOf(input: ImageInput, signal?: AbortSignal): Promise<Uint8Array> {
    live();
    if (preprocessing.height !== height || preprocessing.width !== width) {
      throw new RangeError(
        `preprocess: the checkpoint's preprocessing gives ${preprocessing.height}×${preprocessing.width} pixels, but its model takes ${height}×${width}`,
      );
    }
    const image: RgbImage = await openImage(input, { pixelLimit, signal });
    signal?.throwIfAborted();
    return toBytes(image, preprocessing);
  }

  const pixelsOf = async (input: ImageInput, signal?: AbortSignal): Promise<Tensor> => ({
    dims: [1, 3, height, width],
    data: toPixelValues(await bytesOf(input, signal), preprocessing),
  });

  async function classifyOne(input: ImageInput, topK: number, signal?: AbortSignal): Promise<Prediction[]> {
    const { logits } = await run(await pixelsOf(input, signal), ["logits"], signal);
    return predictions(logits!.data, labels, topK);
  }

  async function classify(images: ImageInput | readonly ImageInput[], options: ClassifyOptions = {}) {
    live();
    checkNames("classify", options, CLASSIFY_OPTIONS);
    const { topK = 5, signal } = options;
    if (config.classes === 0)
      throw new RangeError("classify: the checkpoint must have a classifier; this one has none");
    if (!Number.isSafeInteger(topK) || topK < 1)
      throw new RangeError(`classify: topK must be a positive integer; got ${JSON.stringify(topK)}`);
    if (!isList(images)) return classifyOne(images, topK, signal);
    return eachOf("classify", images, (image) => classifyOne(image, topK, signal), signal);
  }

  async function embed(images: ImageInput | readonly ImageInput[], options: EmbedOptions = {}): Promise<Float32Array> {
    live();
    checkNames("embed", options, EMBED_OPTIONS);
    const { pooling = "head", normalize = false, signal } = options;
    const output = { head: "preLogits", token: "lastHiddenState", mean: "lastHiddenState", pooler: "pooled" } as const;
    if (!Object.hasOwn(output, pooling)) {
      throw new RangeError(`embed: pooling must be head, token, mean or pooler; got ${JSON.stringify(pooling)}`);
    }
    if (pooling === "token" && config.prefixTokens === 0) {
      throw new RangeError("embed: pooling token needs a class token; this checkpoint has none");
    }
    if (pooling === "pooler" && config.poolerWidth === 0) {
      throw new RangeError("embed: pooling pooler needs a checkpoint with a pooler; this one has none");
    }
    const embedOne = async (image: ImageInput) => {
      const outputs = await run(await pixelsOf(image, signal), [output[pooling]], signal);
      const { data } = outputs[output[pooling]]!;
      const first = pooling === "mean" ? config.prefixTokens : 0;
      const count = pooling === "mean" ? data.length / config.width - first : 1;
      const row = pooling === "mean" || pooling === "token" ? meanRow(data, config.width, first, count) : data;
      return normalize ? toUnit(row) : row;
    };
    return concat(await eachOf("embed", listOf(images), embedOne, signal));
  }

  async function preprocessBytes(
    images: ImageInput | readonly ImageInput[],
    options: { signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    live();
    checkNames("preprocessBytes", options, { signal: true });
    const { signal } = options;
    const all = await eachOf("preprocessBytes", listOf(images), (image) => bytesOf(image, signal), signal);
    const bytes = new Uint8Array(all.length * height * width * 3);
    for (const [i, image] of all.entries()) bytes.set(image, i * height * width * 3);
    return bytes;
  }

  async function preprocess(
    images: ImageInput | readonly ImageInput[],
    options: { signal?: AbortSignal } = {},
  ): Promise<Tensor> {
    live();
    checkNames("preprocess", options, { signal: true });
    const { signal } = options;
    const all = await eachOf("preprocess", listOf(images), (image) => pixelsOf(image, signal), signal);
    return { dims: [all.length, 3, height, width], data: concat(all.map(({ data }) => data)) };
  }

  function dispose(): void {
    engine?.backend.dispose();
    engine = undefined;
  }

  return {
    config,
    labels,
    get backend() {
      return facts.backend;
    },
    get memory() {
      return live().backend.memory;
    },
    classify: classify as Model["classify"],
    embed,
    async forward(inputs, options = {}) {
      live();
      checkNames("forward", options, { outputs: true, signal: true });
      return (await run(inputs?.pixelValues, options.outputs ?? ["logits"], options.signal)) as never;
    },
    preprocess,
    preprocessBytes,
    dispose,
    [Symbol.dispose]: dispose,
    [Symbol.asyncDispose]: async () => dispose(),
  };
}

const isList = (images: ImageInput | readonly ImageInput[]): images is readonly ImageInput[] => Array.isArray(images);

const listOf = (images: ImageInput | readonly ImageInput[]): readonly ImageInput[] =>
  isList(images) ? images : [images];

/** Results of all images, one after the other; an error, when all are through, if any failed. */
async function eachOf<Result>(
  call: string,
  images: readonly ImageInput[],
  task: (image: ImageInput) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result[]> {
  if (images.length === 1) return [await task(images[0]!)];
  const results: (Result | undefined)[] = [];
  const errors: Error[] = [];
  for (const image of images) {
    signal?.throwIfAborted();
    try {
      results.push(await task(image));
    } catch (error) {
      signal?.throwIfAborted();
      results.push(undefined);
      errors.push(error as Error);
    }
  }
  if (errors.length === 0) return results as Result[];
  const message = `${call}: ${errors.length} of ${images.length} images failed; ${errors[0]!.message}`;
  throw Object.assign(new AggregateError(errors, message), { results }) satisfies BatchError<Result>;
}

const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, true>> = {
  backend: true,
  precision: true,
  threads: true,
  wide: true,
  config: true,
  pixelLimit: true,
  signal: true,
  onProgress: true,
};
const CLASSIFY_OPTIONS: Readonly<Record<keyof ClassifyOptions, true>> = { topK: true, signal: true };
const EMBED_OPTIONS: Readonly<Record<keyof EmbedOptions, true>> = { pooling: true, normalize: true, signal: true };

/** An option that is misspelled, or of another version, is an error rather than nothing. */
function checkNames(call: string, options: unknown, known: Readonly<Record<string, true>>): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`${call}: options must be an object; got ${JSON.stringify(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(known, name));
  if (unknown !== undefined) {
    throw new RangeError(`${call}: options are ${Object.keys(known).join(", ")}; got "${unknown}"`);
  }
  const { signal } = options as { signal?: unknown };
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError(`${call}: signal must be an AbortSignal; got ${JSON.stringify(signal)}`);
  }
}

function checkOptions(options: LoadOptions): void {
  checkNames("load", options, LOAD_OPTIONS);
  const { precision = "f32", threads = "auto", wide = false, pixelLimit = 1, onProgress } = options;
  if (onProgress !== undefined && typeof onProgress !== "function") {
    throw new TypeError(`load: onProgress must be a function; got ${JSON.stringify(onProgress)}`);
  }
  if (!["f32", "f16", "int8"].includes(precision)) {
    throw new RangeError(`load: precision must be f32, f16 or int8; got ${JSON.stringify(precision)}`);
  }
  if (threads !== "auto" && !(Number.isSafeInteger(threads) && threads > 0)) {
    throw new RangeError(`load: threads must be auto or a positive integer; got ${JSON.stringify(threads)}`);
  }
  if (typeof wide !== "boolean") throw new TypeError(`load: wide must be true or false; got ${JSON.stringify(wide)}`);
  if (!(typeof pixelLimit === "number" && pixelLimit > 0)) {
    throw new RangeError(`load: pixelLimit must be a positive number; got ${JSON.stringify(pixelLimit)}`);
  }
}

/** The best classes with their softmax, by logit, equal ones by index. */
function predictions(logits: Float32Array, labels: readonly string[], topK: number): Prediction[] {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, x) => total + Math.exp(x - max), 0);
  return Array.from(logits, (logit, index) => ({
    label: labels[index]!,
    index,
    probability: Math.exp(logit - max) / sum,
    logit,
  }))
    .sort((a, b) => b.logit - a.logit || a.index - b.index)
    .slice(0, topK);
}

function meanRow(data: Float32Array, width: number, first: number, count: number): Float32Array {
  return Float32Array.from({ length: width }, (_, i) => {
    let sum = 0;
    for (let row = first; row < first + count; row++) sum += data[row * width + i]!;
    return sum / count;
  });
}

function toUnit(row: Float32Array): Float32Array {
  const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
  return length > 0 ? row.map((x) => x / length) : row;
}

function concat(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    all.set(row, at);
    at += row.length;
  }
  return all;
}
