/** What a loaded model does with images and texts: `load` of index.ts gives it, on a page from a worker. */
import type { BackendName, Precision } from "./backend.js";
import type { Config, ConfigOverrides } from "./checkpoint/config.js";
import { acquireEngine, type Engine } from "./engine/engine.js";
import type { Lease } from "./engine/sharing.js";
import type { ForwardOptions } from "./forward/forward.js";
import type { HubOptions } from "./hub/settings.js";
import { createImageWorkers, pixelsAhead, pixelsOf } from "./image/ahead.js";
import type { RgbImage } from "./image/decode.js";
import { createDrawing, type DrawnImage } from "./image/drawn.js";
import { toPixelValues } from "./image/preprocess.js";
import type { ImageInput } from "./image/source.js";
import type { CheckpointParts, Progress } from "./io/parts.js";
import {
  type BatchError,
  collect,
  concat,
  meanOfRows,
  type Prediction,
  patchesOf,
  predictions,
  similarityOf,
  toRow,
  toUnit,
} from "./results.js";
import type { Inputs, OutputName, Outputs, Tensor } from "./vit/outputs.js";

/** Options of `load`. */
export interface LoadOptions extends HubOptions {
  /**
   * What computes. "auto" takes the fastest that runs here: a GPU whose numbers are right and that is faster on this model,
   * else SIMD, where calls end too if the GPU goes away. An explicit backend that cannot run throws.
   */
  backend?: BackendName | "auto";
  /**
   * How linear layers compute, by default f32, and int8 for a checkpoint that `vitrail quantize` made. f16: weights in half
   * the memory, arithmetic in f32; int8: a quarter of the memory and about twice the speed, at a small loss of accuracy.
   */
  precision?: Precision;
  /** Threads to compute on, of SIMD; "auto" takes one for each core, and one where memory cannot be shared. */
  threads?: "auto" | number;
  /** Asks the engine for 256-bit vectors: Node 24 or later on x64. `model.backend.reason` says what came of it. */
  wide?: boolean;
  /**
   * The kernels of SIMD, from `vitrail/kernels/relaxed.wasm` or `simd.wasm`, in place of those in the code: a module, which
   * hosts that compile nothing import, bytes, or a URL or path. Others are not tried; they run on one thread.
   */
  wasm?: WebAssembly.Module | ArrayBuffer | Uint8Array | string | URL;
  /**
   * Size of the images that the model takes, [height, width] or both at once, if not the checkpoint's: position embeddings
   * are resampled once, at load, as the checkpoint's library does it.
   */
  imageSize?: number | readonly [number, number];
  /** Size of the patches: the patch embedding is resampled at load by the pseudo-inverse of FlexiViT (Beyer et al. 2023). */
  patchSize?: number | readonly [number, number];
  /** What a checkpoint without config.json does not say, such as its heads (width / 64 unless given). */
  config?: ConfigOverrides;
  /** Most pixels that an image may have; more is refused before any of them is decoded. */
  pixelLimit?: number;
  /** Stops loading; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called as bytes arrive: first those of files that are downloaded, then those of the weights. */
  onProgress?: (progress: Progress) => void;
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
   * map: what attention pooling makes, in checkpoints that have it; pooler: Hugging Face's pooler_output; none: all tokens,
   * one after the other. Image-text models: features, in the space that they share with texts (the default there).
   */
  pooling?: "head" | "token" | "mean" | "map" | "pooler" | "none" | "features";
  /** Scale each row to length 1. */
  normalize?: boolean;
  signal?: AbortSignal;
}

/** Options of `text.embed`. */
export interface TextOptions {
  /** Scale each row to length 1. */
  normalize?: boolean;
  signal?: AbortSignal;
}

export interface TextMethods {
  /** Feature vectors of texts, [texts, D] in one array, in the space of `embed`. */
  embed(texts: string | readonly string[], options?: TextOptions): Promise<Float32Array>;
}

/** Options of `zeroShot`. */
export interface ZeroShotOptions {
  /**
   * The text that is made of a label, {} being the label; of several the mean of their embeddings is taken, as in CLIP
   * (Radford et al. 2021, section 3.1.4). "This is a photo of {}." by default, as in transformers.
   */
  template?: string | readonly string[];
  /** How many labels, best first; all by default. */
  topK?: number;
  signal?: AbortSignal;
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
   * Classes of an image, best first; of a list, one result each, in order. Images of a list are decoded on other threads,
   * a few ahead of the model.
   * @throws Error naming the image that cannot be read, for several {@link BatchError} when all are through; RangeError if
   * the checkpoint has no classifier.
   * @example
   * const [best] = await vit.classify("cat.jpg", { topK: 5 });
   */
  classify(image: ImageInput, options?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], options?: ClassifyOptions): Promise<Prediction[][]>;
  /** Feature vectors, [images, D] in one array, one row an image. */
  embed(images: ImageInput | readonly ImageInput[], options?: EmbedOptions): Promise<Float32Array>;
  /** Texts of image-text models; undefined in others. */
  readonly text: TextMethods | undefined;
  /**
   * Classes named by texts, best first, with the softmax of their scores, or with the sigmoid of each (SigLIP). Embeddings
   * of texts are kept, so that the same labels cost nothing the next time.
   * @param labels what stands for {} in the template.
   * @throws RangeError if the checkpoint has no text tower.
   * @example
   * const [best] = await clip.zeroShot("cat.jpg", ["cat", "dog"], { template: "a photo of a {}." });
   */
  zeroShot(image: ImageInput, labels: readonly string[], options?: ZeroShotOptions): Promise<Prediction[]>;
  zeroShot(
    images: readonly ImageInput[],
    labels: readonly string[],
    options?: ZeroShotOptions,
  ): Promise<Prediction[][]>;
  /**
   * The raw call.
   * @param inputs pixelValues [B, 3, H, W], as `preprocess` gives them; inputIds for a text tower.
   * @param options outputs: what to compute, by default the logits; interpolatePositions: takes images of other sizes than
   * the checkpoint's, as families that resample their positions by themselves always do.
   */
  forward<Name extends OutputName = "logits">(
    inputs: Inputs,
    options?: { outputs?: readonly Name[]; interpolatePositions?: boolean; signal?: AbortSignal },
  ): Promise<Pick<Outputs, Name>>;
  /** Pixel values [images, 3, H, W] that `forward` takes: resized, cropped and normalised as the checkpoint says. */
  preprocess(images: ImageInput | readonly ImageInput[], options?: { signal?: AbortSignal }): Promise<Tensor>;
  /** The same before normalisation: 8-bit RGB, [images, H, W, 3]. */
  preprocessBytes(images: ImageInput | readonly ImageInput[], options?: { signal?: AbortSignal }): Promise<Uint8Array>;
  /** Ends calls that are running, which throw as later ones do, and frees what no other model shares. */
  dispose(): void;
  [Symbol.dispose](): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Loads a model that runs in this thread.
 * @param onPage why it runs on a page's own thread, if it does: the end of `model.backend.reason`.
 */
export async function loadHere(
  source: string | URL | CheckpointParts,
  options: LoadOptions,
  onPage = "",
): Promise<Model> {
  return createModel(await acquireEngine(source, options), options.pixelLimit, onPage);
}

function createModel(loaded: Lease<Engine>, pixelLimit: number | undefined, onPage: string): Model {
  const { config, labels, preprocessing } = loaded.value;
  let { backend } = loaded.value;
  const { height, width } = preprocessing;
  const area = height * width;
  const imageWorkers = createImageWorkers();
  /** What ends the calls that are running. */
  const running = new Set<(reason: unknown) => void>();
  // Dropped by dispose, so that a model which is still referred to holds no weights.
  let lease: Lease<Engine> | undefined = loaded;

  const gone = () => new Error("model: it was disposed of; load it again");

  function live(): Lease<Engine> {
    if (!lease) throw gone();
    return lease;
  }

  /**
   * Runs a call that ends at once when it is aborted or the model disposed of; `task` may go on until it next asks `check`,
   * which throws then.
   */
  async function call<T>(signal: AbortSignal | undefined, task: (check: () => void) => Promise<T>): Promise<T> {
    live();
    signal?.throwIfAborted();
    let end = (_: unknown) => {};
    const ended = new Promise<never>((_, reject) => {
      end = reject;
    });
    const abort = () => end(signal?.reason);
    const check = () => {
      live();
      signal?.throwIfAborted();
    };
    running.add(end);
    signal?.addEventListener("abort", abort);
    try {
      return await Promise.race([task(check), ended]);
    } finally {
      running.delete(end);
      signal?.removeEventListener("abort", abort);
    }
  }

  async function run(
    inputs: Inputs,
    outputs: readonly OutputName[],
    check: () => void,
    options: ForwardOptions,
  ): Promise<Partial<Outputs>> {
    const { value: engine, retire } = live();
    try {
      return await engine.forward(inputs, outputs, check, options);
    } catch (error) {
      check();
      // An engine that failed, other than by its arguments, is for those who have it; a new load gets a new one.
      if (!(error instanceof RangeError || error instanceof TypeError)) retire();
      throw error;
    }
  }

  /** Pixel values of 8-bit images of the model's size. */
  function valuesOf(images: readonly RgbImage[]): Tensor {
    const data = new Float32Array(images.length * 3 * area);
    for (const [i, { data: bytes }] of images.entries()) {
      toPixelValues(bytes, preprocessing, data.subarray(i * 3 * area, (i + 1) * 3 * area));
    }
    return { dims: [images.length, 3, height, width], data };
  }

  const drawing = createDrawing(preprocessing, pixelLimit);
  /** Of images that the GPU reads by itself. */
  const drawn = (input: ImageInput) => (live().value.draws ? drawing(input) : undefined);
  const undrawn = () => undefined;

  /** What a forward pass takes of an image. */
  function inputsOf(image: RgbImage | DrawnImage): Inputs {
    if ("sampling" in image) return { pixelValues: image };
    if (!config.flexible) return { pixelValues: valuesOf([image]) };
    const values = toPixelValues(image.data, { ...preprocessing, width: image.width, height: image.height });
    return patchesOf(values, image, config.patchSize[0]);
  }

  /**
   * Results of one image, or of all of a list in order; an error, when all are through, if any failed. One image is decoded
   * here, those of a list ahead of the computation.
   */
  async function eachOf<Result, Own = DrawnImage>(
    name: string,
    images: readonly ImageInput[],
    signal: AbortSignal | undefined,
    drawn: (input: ImageInput) => Own | undefined,
    compute: (image: RgbImage | Own, check: () => void) => Promise<Result>,
  ): Promise<Result[]> {
    const [rows, columns] = config.imageSize;
    if (!config.flexible && !config.interpolation.always && (height !== rows || width !== columns)) {
      throw new RangeError(
        `preprocess: the checkpoint's preprocessing gives ${height}×${width} pixels, but its model takes ${rows}×${columns}`,
      );
    }
    const options = { preprocessing, pixelLimit, signal };
    return call(signal, async (check) => {
      if (images.length === 1) {
        return [await compute(drawn(images[0]!) ?? (await pixelsOf(images[0]!, options)), check)];
      }
      const pixels = pixelsAhead(images, imageWorkers, options, check, drawn);
      return collect(name, pixels, (pixels) => compute(pixels, check), check);
    });
  }

  async function classify(images: ImageInput | readonly ImageInput[], options: ClassifyOptions = {}) {
    live();
    checkNames("classify", options, CLASSIFY_OPTIONS);
    const { topK = 5, signal } = options;
    if (config.classes === 0)
      throw new RangeError("classify: the checkpoint must have a classifier; this one has none");
    checkTopK("classify", topK);
    const results = await eachOf("classify", listOf(images), signal, drawn, async (image, check) => {
      const { logits } = await run(inputsOf(image), ["logits"], check, { signal });
      return predictions(logits!.data, labels, topK);
    });
    return isList(images) ? results : results[0]!;
  }

  async function embed(images: ImageInput | readonly ImageInput[], options: EmbedOptions = {}): Promise<Float32Array> {
    live();
    checkNames("embed", options, EMBED_OPTIONS);
    const { pooling = config.features > 0 ? "features" : "head", normalize = false, signal } = options;
    checkPooling(pooling, config);
    const output = POOLINGS[pooling];
    const rows = await eachOf("embed", listOf(images), signal, drawn, async (image, check) => {
      const outputs = await run(inputsOf(image), [output], check, { signal });
      const { dims, data } = outputs[output] as Tensor;
      return toRow(data, dims, { pooling, prefixTokens: config.prefixTokens, normalize });
    });
    return concat(rows, Float32Array);
  }

  /** Features of a text, of length 1, kept. */
  const known = new Map<string, Float32Array>();

  /** Features of texts, as they are. */
  async function textFeatures(
    texts: readonly string[],
    check: () => void,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const { tokenize } = live().value;
    const rows: Float32Array[] = [];
    for (const ids of await tokenize(texts)) {
      check();
      const inputIds = { dims: [1, ids.length], data: ids };
      const { textFeatures } = await run({ inputIds }, ["textFeatures"], check, { signal });
      rows.push(textFeatures!.data);
    }
    return rows;
  }

  async function embedTexts(texts: string | readonly string[], options: TextOptions = {}): Promise<Float32Array> {
    live();
    checkNames("text.embed", options, { normalize: true, signal: true });
    const { normalize = false, signal } = options;
    const list = textsOf("text.embed", typeof texts === "string" ? [texts] : texts);
    const rows = await call(signal, (check) => textFeatures(list, check, signal));
    return concat(normalize ? rows.map(toUnit) : rows, Float32Array);
  }

  /** The direction that stands for a label: the mean of those of its texts. */
  async function directionOf(texts: readonly string[], check: () => void, signal?: AbortSignal): Promise<Float32Array> {
    const missing = texts.filter((text) => !known.has(text));
    const rows = await textFeatures(missing, check, signal);
    for (const [i, text] of missing.entries()) known.set(text, toUnit(rows[i]!));
    const mean = meanOfRows(texts.map((text) => known.get(text)!));
    // Those of the longest ago make room.
    for (const text of known.keys()) {
      if (known.size <= KEPT_TEXTS) break;
      known.delete(text);
    }
    return mean;
  }

  async function zeroShot(
    images: ImageInput | readonly ImageInput[],
    labels: readonly string[],
    options: ZeroShotOptions = {},
  ) {
    live();
    checkNames("zeroShot", options, { template: true, topK: true, signal: true });
    if (!config.text) throw new RangeError("zeroShot: the checkpoint must have a text tower; this one has none");
    const list = textsOf("zeroShot", labels);
    const { template = "This is a photo of {}.", topK = list.length, signal } = options;
    const templates = textsOf("zeroShot", typeof template === "string" ? [template] : template);
    const without = templates.find((text) => !text.includes("{}"));
    if (without !== undefined) {
      throw new RangeError(`zeroShot: a template must have {} for the label; got ${JSON.stringify(without)}`);
    }
    checkTopK("zeroShot", topK);
    const directions = await call(signal, async (check) => {
      const all: Float32Array[] = [];
      for (const label of list) {
        const texts = templates.map((text) => text.replaceAll("{}", label));
        all.push(await directionOf(texts, check, signal));
      }
      return all;
    });
    const similarity = live().value.similarity!;
    const results = await eachOf("zeroShot", listOf(images), signal, drawn, async (image, check) => {
      const { imageEmbeds } = await run(inputsOf(image), ["imageEmbeds"], check, { signal });
      const logits = Float32Array.from(directions, (direction) =>
        similarityOf(imageEmbeds!.data, direction, similarity),
      );
      return predictions(logits, list, topK, similarity.independent ? "sigmoid" : "softmax");
    });
    return isList(images) ? results : results[0]!;
  }

  async function preprocessBytes(
    images: ImageInput | readonly ImageInput[],
    options: { signal?: AbortSignal } = {},
  ): Promise<Uint8Array> {
    live();
    checkNames("preprocessBytes", options, { signal: true });
    return concat(
      await eachOf<Uint8Array, never>(
        "preprocessBytes",
        listOf(images),
        options.signal,
        undrawn,
        async ({ data }) => data,
      ),
      Uint8Array,
    );
  }

  async function preprocess(
    images: ImageInput | readonly ImageInput[],
    options: { signal?: AbortSignal } = {},
  ): Promise<Tensor> {
    live();
    checkNames("preprocess", options, { signal: true });
    if (config.flexible) {
      throw new RangeError("preprocess: images of this model are sequences of patches of different lengths; use embed");
    }
    return valuesOf(
      await eachOf<RgbImage, never>("preprocess", listOf(images), options.signal, undrawn, async (image) => image),
    );
  }

  function dispose(): void {
    const released = lease;
    lease = undefined;
    for (const end of running) end(gone());
    imageWorkers.dispose();
    released?.release();
  }

  return {
    config,
    labels,
    get backend() {
      backend = lease?.value.backend ?? backend;
      return { ...backend, reason: backend.reason + onPage };
    },
    get memory() {
      return live().value.memory;
    },
    classify: classify as Model["classify"],
    embed,
    text: config.text && { embed: embedTexts },
    zeroShot: zeroShot as Model["zeroShot"],
    async forward(inputs, options = {}) {
      live();
      checkNames("forward", options, { outputs: true, interpolatePositions: true, signal: true });
      const { outputs = ["logits"], interpolatePositions, signal } = options;
      return (await call(signal, (check) =>
        run(inputs ?? {}, outputs, check, { interpolatePositions, signal }),
      )) as never;
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

const CLASSIFY_OPTIONS: Readonly<Record<keyof ClassifyOptions, true>> = { topK: true, signal: true };
const EMBED_OPTIONS: Readonly<Record<keyof EmbedOptions, true>> = { pooling: true, normalize: true, signal: true };

/** The output that each pooling is made of. */
const POOLINGS = {
  head: "preLogits",
  token: "lastHiddenState",
  mean: "lastHiddenState",
  map: "preLogits",
  pooler: "pooled",
  none: "lastHiddenState",
  features: "imageFeatures",
} as const satisfies Record<NonNullable<EmbedOptions["pooling"]>, OutputName>;

/** Embeddings of texts that a model keeps for zeroShot: 4096 of 2 KB are 8 MB. */
const KEPT_TEXTS = 4096;

function checkTopK(call: string, topK: unknown): void {
  if (!Number.isSafeInteger(topK) || (topK as number) < 1) {
    throw new RangeError(`${call}: topK must be a positive integer; got ${JSON.stringify(topK)}`);
  }
}

/** A list of texts, if it is one and not empty. */
function textsOf(call: string, texts: unknown): readonly string[] {
  if (Array.isArray(texts) && texts.length > 0 && texts.every((text) => typeof text === "string")) return texts;
  throw new TypeError(`${call}: texts must be strings, one at least; got ${JSON.stringify(texts)?.slice(0, 60)}`);
}

function checkPooling(pooling: NonNullable<EmbedOptions["pooling"]>, config: Config): void {
  if (!Object.hasOwn(POOLINGS, pooling)) {
    throw new RangeError(
      `embed: pooling must be one of ${Object.keys(POOLINGS).join(", ")}; got ${JSON.stringify(pooling)}`,
    );
  }
  const lacks = (what: string) =>
    new RangeError(`embed: pooling ${pooling} needs a checkpoint with ${what}; this one has none`);
  if (pooling === "token" && !config.classToken) throw lacks("a class token");
  if (pooling === "map" && config.pooling !== "attention") throw lacks("attention pooling");
  if (pooling === "pooler" && config.pooled === "none") throw lacks("a pooler");
  if (pooling === "features" && config.features === 0) throw lacks("features that images and texts share");
  if ((pooling === "token" || pooling === "none") && config.depth === 0) throw lacks("a transformer");
}

/** An option that is misspelled, or of another version, is an error rather than nothing. */
export function checkNames(call: string, options: unknown, known: Readonly<Record<string, true>>): void {
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
