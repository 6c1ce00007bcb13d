/** A loaded model, which works on images and texts: `load` of index.ts gives it, on a page from a worker. */
import type { BackendName, Precision } from "./backend.js";
import type { Config, ConfigOverrides } from "./checkpoint/config.js";
import { acquireEngine, type Engine } from "./engine/engine.js";
import type { Lease } from "./engine/sharing.js";
import { openShelf } from "./engine/shelf.js";
import { concatenated } from "./forward/batches.js";
import { byLength } from "./forward/texts.js";
import type { HubOptions } from "./hub/settings.js";
import { checkSame, identityOf, type ModelIdentity } from "./identity.js";
import { pixelsAhead } from "./image/ahead.js";
import { type Clip, framesIn, isClip } from "./image/clip.js";
import { createDrawing, type DrawnImage } from "./image/drawn.js";
import type { Box, Geometry } from "./image/geometry.js";
import { type PixelOptions, pixelsOf, withBoxes } from "./image/pixels.js";
import {
  checkBytes,
  cropsOf,
  type Processor,
  patchesOf,
  type SeenImage,
  valuesOfSeen,
  windowsOf,
} from "./image/preprocess.js";
import { type ImageInput, type ImageSource, isAddress, openImage } from "./image/source.js";
import { grayOf, isTrimap, type Trimap, withTrimap } from "./image/trimap.js";
import type { CheckpointParts, Head, Progress } from "./io/parts.js";
import { toUnit } from "./numerics/vectors.js";
import { hasFileSystem, shareSignal } from "./platform/host.js";
import { collect } from "./tasks/batch.js";
import { createDirections } from "./tasks/directions.js";
import { type EmbeddedImage, isEmbedded } from "./tasks/embedded.js";
import { type Given, TASKS, type TaskMethods, type TaskName, taskMethods, tasksOf } from "./tasks/index.js";
import type { TrimapInput } from "./tasks/matte.js";
import { concat } from "./tasks/rows.js";
import type { SegmentOptions } from "./tasks/segment.js";
import type { Segmentation } from "./tasks/segments.js";
import { checkNames, type TaskImage, type TaskModel, textsOf } from "./tasks/task.js";
import type { Inputs, Integers } from "./vit/inputs.js";
import type { OutputName, Outputs, Tensor } from "./vit/outputs.js";

export type { Head };

/** Options of `load`. */
export interface LoadOptions extends HubOptions {
  /**
   * The backend that computes. "auto" takes the fastest that runs here: a GPU whose numbers are right and that is faster on this model,
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
  /**
   * Vectors of 256 bits, which Node 24 and later have on x64, at 1.7 times the speed and with the same bits: by default in Node 24 and 26,
   * whose engines are known to combine vectors right; true asks any later one, false none. A self-test is made in any case, and
   * `model.backend.reason` says what came of it.
   */
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
  /**
   * Whose image processors to follow: "pillow" (default), transformers' on PIL images, the same on every machine; or
   * "torchvision", its default ones, whose levels differ by 1 in some of a thousand, for checkpoints in transformers' layout.
   */
  processor?: Processor;
  /** The folder of the checkpoint in a repository or folder, "a/b". */
  subfolder?: string;
  /**
   * Beginning of the names of the model's tensors, where they are a part of a larger one, as "vision_tower.": its vision_config
   * is read then. A prefix that all tensors have, such as "module.", is found without.
   */
  prefix?: string;
  /** Tensors that may be left over, by their names; others that the model does not have are refused. */
  ignore?: RegExp;
  /**
   * The model that an adapter was trained on, where that is not where its adapter_config.json says: as `source`. LoRA, DoRA, LoHa,
   * LoKr and (IA)³ of PEFT are merged into its weights at load.
   */
  base?: string | URL;
  /**
   * A head in a file of its own, which then classifies: an aesthetic predictor, a linear probe. Which vector of the model it reads
   * its width says; what else it does not tell, such as the activation between its layers, is said in { file, activation, normalize }.
   */
  head?: Head;
  /** Facts that a checkpoint without config.json does not tell, such as its heads (width / 64 unless given). */
  config?: ConfigOverrides;
  /**
   * Which part of a training checkpoint of PyTorch: a key, such as "teacher", or keys with "/" between them. By default what
   * evaluation uses: averaged weights before others, a teacher before a student.
   */
  state?: string;
  /** Most pixels that an image may have; more is refused before any of them is decoded. */
  pixelLimit?: number;
  /**
   * Kinds of what an image may be: "bytes", encoded or as pixels; "files", by path or file: URL; "urls", which are fetched, by the option
   * fetch if it is given. Default: all of them. A server that hands on what it is sent allows ["bytes"]: a text that it took for
   * an image would else open any file here and any address that can be reached from here.
   */
  sources?: readonly ImageSource[];
  /**
   * Lets a JPEG be decoded at 1/2, 1/4 or 1/8 of its size where that is enough for the model, as by Pillow's `Image.draft`:
   * many times faster for large photos, but other pixels than those of the whole photo resized. Default: false.
   */
  draft?: boolean;
  /**
   * A folder, made if it is not there, in which zeroShot keeps what it makes of the texts of each label, by the model's files and
   * the texts: the next process has it at once. Only of models in files or of the Hub, and where there are files.
   */
  textCache?: string;
  /** Most milliseconds of work on an image, decoding and resizing; it is refused when they are over. Default: no limit. */
  decodeTimeout?: number;
  /** Stops loading; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called as bytes arrive: first those of files that are downloaded, then those of the weights. */
  onProgress?: (progress: Progress) => void;
}

/** Options of `preprocess`. */
export interface PreprocessOptions {
  /** Frames of a clip from one to the next that is taken, as of `classify`. */
  frameSamplingRate?: number;
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
  /** Token ids of texts, each of which `forward` takes as inputIds. */
  tokenize(texts: string | readonly string[]): Promise<number[][]>;
}

/** An image that is embedded once, whose masks then cost only the decoder (SAM). */
export interface PreparedImage extends EmbeddedImage {
  /** Masks of what points and boxes are on: `model.segment` without the time of the encoder. */
  segment(options: SegmentOptions): Promise<Segmentation>;
}

/**
 * A loaded model. Calls run one after the other, in the order in which they were made; images of several that are made at once run
 * side by side where there are threads for them. Either way the bits are the same.
 */
export interface Model extends TaskMethods {
  readonly config: Config;
  /** The facts that features depend on: those of other models, or of other preprocessing, cannot be compared with its own. */
  readonly identity: ModelIdentity;
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
  /** Tasks that this checkpoint can do, by the names of the methods. The others throw a RangeError that says what it lacks. */
  readonly tasks: readonly TaskName[];
  /** Texts of image-text models; undefined in others. */
  readonly text: TextMethods | undefined;
  /**
   * The raw call.
   * @param inputs pixelValues [B, 3, H, W], of videos [B, frames, 3, H, W] (or as many channels as the patch embedding has), as `preprocess` gives them; inputIds for a text tower.
   * @param options outputs: what to compute, by default the logits; blocks: those, from 0, to which lists are limited;
   * interpolatePositions: takes images of other sizes than the checkpoint's, as families that resample their positions by
   * themselves always do.
   */
  forward<Name extends OutputName = "logits">(
    inputs: Inputs,
    options?: {
      outputs?: readonly Name[];
      blocks?: readonly number[];
      interpolatePositions?: boolean;
      signal?: AbortSignal;
    },
  ): Promise<Pick<Outputs, Name>>;
  /**
   * Pixel values [images, 3, H, W] (of gray images one channel, of images that are cut into windows one for each of these) that `forward` takes: resized, cropped and normalized as the checkpoint says; and how the
   * photo lies in them, which `toPhoto` and `toModel` of vitrail/image read. Of NaFlex models, of which each photo is given by itself, its
   * patches [1, patches, P·P·3] and their grid; of models of videos [clips, frames, 3, H, W]. Of models that see a trimap beside each photo,
   * given by itself too, four channels.
   */
  preprocess(
    image: ImageInput | Clip,
    options?: PreprocessOptions & { trimap?: TrimapInput },
  ): Promise<Tensor & { geometry: Geometry; spatialShapes?: Integers }>;
  preprocess(
    images: readonly (ImageInput | Clip)[],
    options?: PreprocessOptions,
  ): Promise<Tensor & { geometry: readonly Geometry[] }>;
  preprocess(
    images: Given,
    options?: PreprocessOptions,
  ): Promise<Tensor & { geometry: Geometry | readonly Geometry[] }>;
  /**
   * The same before normalization: 8-bit RGB, [images, H, W, 3], of clips [clips, frames, H, W, 3].
   * @throws RangeError where the processor resizes values: of OWLv2, and torchvision's of DINOv3.
   */
  preprocessBytes(images: Given, options?: PreprocessOptions): Promise<Uint8Array>;
  /**
   * Embeds an image for many prompts, where the checkpoint takes points and boxes. What it gives has the embedding as plain data,
   * which may be kept and given back in the place of the image.
   * @throws RangeError if the checkpoint takes none.
   * @example
   * using sam = await load("facebook/sam-vit-base");
   * const cat = await sam.prepare("cat.jpg");
   * const { segments: [best] } = await cat.segment({ points: [{ x: 20, y: 15 }] });
   */
  prepare(image: ImageInput | EmbeddedImage, options?: { signal?: AbortSignal }): Promise<PreparedImage>;
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
  const lease = await acquireEngine(source, options);
  const model = createModel(lease, options, onPage);
  const { notes } = lease.value;
  if (notes?.identity) {
    try {
      checkSame(`load: the head "${notes.file}"`, notes.identity, await identityOf(model, notes.identity));
    } catch (error) {
      model.dispose();
      throw error;
    }
  }
  return model;
}

function createModel(
  loaded: Lease<Engine>,
  { pixelLimit, decodeTimeout, draft, textCache, fetch, ...options }: LoadOptions,
  onPage: string,
): Model {
  // A copy: what may be opened is settled at load.
  const sources = options.sources && [...options.sources];
  const { config, labels, preprocessing } = loaded.value;
  let { backend } = loaded.value;
  const tasks = tasksOf(config);
  const { height, width } = preprocessing;
  const { lanes } = loaded.value;
  /** Callbacks that end the calls which are running. */
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
    shareSignal(signal);
    signal?.addEventListener("abort", abort);
    try {
      return await Promise.race([task(check), ended]);
    } finally {
      running.delete(end);
      signal?.removeEventListener("abort", abort);
    }
  }

  async function run(
    inputs: Inputs | (() => Inputs),
    outputs: readonly OutputName[],
    check: () => void,
    options: Parameters<Engine["forward"]>[3],
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

  /** Pixel values of images of one size, or of the windows that they are cut into. */
  function valuesOf(seen: readonly SeenImage[]): Tensor {
    const images = seen.flatMap(framesIn).flatMap(windowsOf);
    const [first] = images;
    const size = first ?? { width, height };
    const other = images.findIndex((image) => image.width !== size.width || image.height !== size.height);
    if (other >= 0) {
      const sizes = [images[0]!, images[other]!].map((image) => `${image.height}×${image.width}`);
      throw new RangeError(
        `preprocess: images of a list must become pixels of one size, or be given one by one; got ${sizes.join(" and ")}`,
      );
    }
    const channels = preprocessing.gray ? 1 : 3;
    const values = channels * size.height * size.width;
    const data = new Float32Array(images.length * values);
    for (const [i, image] of images.entries()) {
      valuesOfSeen(image, preprocessing, data.subarray(i * values, (i + 1) * values));
    }
    const one = [channels, size.height, size.width];
    const { video } = config;
    return { dims: video ? [images.length / video.frames, video.frames, ...one] : [images.length, ...one], data };
  }

  /** Options with which an image is opened. */
  const opening = ({ signal, frameSamplingRate }: PreprocessOptions) => ({
    ...{ preprocessing, pixelLimit, decodeTimeout, draft, sources, fetch, signal },
    ...(config.video && { clip: { frames: config.video.frames, frameSamplingRate } }),
  });

  const drawing = createDrawing(preprocessing, pixelLimit);
  /** Draws images that the GPU reads by itself. */
  const drawn = (input: ImageInput | Clip) =>
    live().value.draws && !isClip(input) && !config.video && (!sources || sources.includes("bytes"))
      ? drawing(input)
      : undefined;
  const undrawn = () => undefined;

  /** Makers of the inputs of the forward passes for an image: one, or as many as its crops take. */
  function* inputsOf(image: SeenImage | DrawnImage): Generator<() => Inputs> {
    if ("sampling" in image) yield () => ({ pixelValues: image });
    else if (config.naflex) yield () => patchesOf(valuesOfSeen(image, preprocessing), image, config.patchSize[0]);
    else {
      const crops = cropsOf(image);
      for (let i = 0; i < crops.length; i += CROPS) yield () => ({ pixelValues: valuesOf(crops.slice(i, i + CROPS)) });
    }
  }

  /** Runs the passes of an image, and gives their outputs as those of one. */
  async function runAll(
    passes: Iterable<() => Inputs>,
    more: Inputs | undefined,
    outputs: readonly OutputName[],
    check: () => void,
    options: Parameters<Engine["forward"]>[3],
  ): Promise<Partial<Outputs>> {
    const results: Partial<Outputs>[] = [];
    for (const made of passes) results.push(await run(() => ({ ...made(), ...more }), outputs, check, options));
    return concatenated(results);
  }

  /** Refuses images that cannot be prepared, or not for this model. */
  function checkPrepared(): void {
    if (preprocessing.absent !== undefined) throw new RangeError(preprocessing.absent);
    const [rows, columns] = config.imageSize;
    if (!config.naflex && !config.interpolation.always && (height !== rows || width !== columns)) {
      throw new RangeError(
        `preprocess: the checkpoint's preprocessing gives ${height}×${width} pixels, but its model takes ${rows}×${columns}`,
      );
    }
  }

  /** Refuses a rate that is none, or of a model that sees no frames. */
  function checkSampling(name: string, rate: number | undefined): void {
    if (rate === undefined) return;
    if (!config.video) {
      throw new RangeError(`${name}: frameSamplingRate needs a model of videos; this one takes images`);
    }
    if (Number.isSafeInteger(rate) && rate >= 1) return;
    throw new RangeError(`${name}: frameSamplingRate must be a positive integer; got ${JSON.stringify(rate)}`);
  }

  /**
   * Results of one image, or of all of a list in order; an error, when all are through, if any failed. One image is decoded
   * here, those of a list ahead of the computation.
   */
  async function eachOf<Result, Own = DrawnImage>(
    name: string,
    images: readonly (ImageInput | Clip)[],
    { signal, frameSamplingRate }: PreprocessOptions,
    drawn: (input: ImageInput | Clip) => Own | undefined,
    compute: (image: SeenImage | Own, check: () => void, place: number) => Promise<Result>,
    boxes?: (place: number) => readonly Box[] | undefined,
  ): Promise<Result[]> {
    checkPrepared();
    checkSampling(name, frameSamplingRate);
    const options = opening({ signal, frameSamplingRate });
    return call(signal, async (check) => {
      if (images.length === 1) {
        const own = withBoxes(options, boxes?.(0));
        return [await compute(drawn(images[0]!) ?? (await pixelsBeside(images[0]!, own)), check, 0)];
      }
      const pixels = pixelsAhead(images, lanes, options, check, boxes, drawn);
      return collect(
        name,
        pixels,
        (pixels, place) => compute(pixels, check, place),
        () => Math.max(2, lanes.atOnce),
        check,
      );
    });
  }

  /** Pixels of one image: made on a thread where other calls run, which keep this one busy. */
  async function pixelsBeside(image: ImageInput | Clip, options: PixelOptions): Promise<SeenImage> {
    lanes.start(running.size);
    const pixels =
      running.size > 1 && !isAddress(image) && !isClip(image) ? await lanes.take(image, options) : undefined;
    if (pixels instanceof Error) throw pixels;
    return pixels ?? pixelsOf(image, options);
  }

  /** Calls that run, of which each may have an image: others are expected to follow them, so that no thread is left without any. */
  function callsAtOnce(): number {
    const threads = lanes.passing;
    return threads > 0 && running.size >= threads ? Math.ceil(running.size / threads) * threads : running.size;
  }

  /** Does a task on one image, or on each of a list. */
  async function perform(name: TaskName, images: Given, rest: readonly unknown[]) {
    live();
    const task = TASKS[name];
    const args = rest.slice(0, task.arguments);
    const { [task.arguments]: options = {} } = rest;
    checkNames(name, options, { ...task.options, signal: true });
    const { signal } = options as PreprocessOptions;
    const lacks = task.lacks?.(config);
    if (lacks) {
      const able = tasks.join(", ");
      throw new RangeError(`${name}: the checkpoint must have ${lacks}; this one has none, and can ${able}`);
    }
    const listed = isList(images) ? images.length : undefined;
    const compute = await call(signal, async (check) =>
      task.begin(taskModel(check, signal, listed), options as object, ...args),
    );
    const passing = () => ({ signal, images: Math.max(listOf(images).length, callsAtOnce()) });
    const boxes = task.boxes?.(options as object, listed);
    const results = await eachOf(
      name,
      listOf(images),
      options as PreprocessOptions,
      task.pixels ? undrawn : drawn,
      (image, check, place) =>
        compute({
          ...{ geometry: image.geometry, place },
          crops: "crops" in image ? image.crops : undefined,
          pixels: "sampling" in image ? undefined : () => pixelsWithTrimap(name, image),
          run: (outputs, inputs) => {
            // An embedding takes the place of pixels, and so do those beside a trimap.
            const given = inputs?.imageEmbeddings ?? inputs?.pixelValues;
            return runAll(given ? [() => ({})] : inputsOf(image), inputs, outputs, check, passing()) as never;
          },
        }),
      boxes,
    );
    if (!isList(images)) return results[0]!;
    return task.join ? task.join(results) : results;
  }

  /** Levels of a trimap, which is opened as images are. */
  const openTrimap = async (trimap: TrimapInput, signal: AbortSignal | undefined): Promise<Trimap> =>
    isTrimap(trimap) ? trimap : grayOf(await openImage(trimap, { pixelLimit, decodeTimeout, sources, fetch, signal }));

  /** An image, and what gives its pixel values beside a trimap. */
  const pixelsWithTrimap = (name: string, seen: SeenImage) => ({
    seen,
    withTrimap(trimap: Trimap) {
      const { trimap: factor } = preprocessing;
      if (factor !== undefined) return withTrimap(name, valuesOf([seen]), trimap, seen.geometry, factor);
      throw new RangeError(
        `${name}: trimaps need the image processor of ViTMatte, and preprocessor_config.json names another`,
      );
    },
  });

  async function prepare(
    image: ImageInput | EmbeddedImage,
    options: { signal?: AbortSignal } = {},
  ): Promise<PreparedImage> {
    live();
    checkNames("prepare", options, { signal: true });
    if (!config.sam?.decoder) {
      const able = tasks.join(", ");
      throw new RangeError(`prepare: the checkpoint must take points and boxes; this one takes none, and can ${able}`);
    }
    const { signal } = options;
    const embedded = isEmbedded(image)
      ? image
      : (
          await eachOf<EmbeddedImage, never>("prepare", [image], { signal }, undrawn, async (seen, check) => {
            const { imageEmbeddings } = await runAll(inputsOf(seen), {}, ["imageEmbeddings"], check, { signal });
            return { embedding: imageEmbeddings!, geometry: seen.geometry };
          })
        )[0]!;
    return { ...embedded, segment: (options) => segmentPrepared(embedded, options) };
  }

  /** Masks of an image that is embedded. */
  async function segmentPrepared({ embedding, geometry }: EmbeddedImage, options: SegmentOptions) {
    live();
    checkNames("segment", options, { ...TASKS.segment.options, signal: true });
    const { signal } = options;
    return call(signal, async (check) => {
      const compute = await TASKS.segment.begin(taskModel(check, signal), options);
      const image = {
        geometry,
        run: async (outputs: readonly OutputName[], inputs?: Inputs) =>
          inputs ? run(inputs, outputs, check, { signal }) : { imageEmbeddings: embedding },
      };
      return (await compute(image as TaskImage)) as Segmentation;
    });
  }

  /** The model as tasks see it. */
  function taskModel(check: () => void, signal: AbortSignal | undefined, listed?: number): TaskModel {
    const featuresOf = (texts: readonly string[]) => keptFeatures(texts, check, signal);
    return {
      ...{ config, labels, similarity: live().value.similarity, windows: preprocessing.windows ?? false, listed },
      featuresOf,
      embedTexts: async (texts) => (await featuresOf(texts)).map(toUnit),
      directionsOf: (classes) => directionsOf(classes, (texts) => textFeatures(texts, check, signal)),
      embedQuery: (image) => queryOf(image, check, signal),
      openTrimap: (trimap) => openTrimap(trimap, signal),
    };
  }

  /** Embeddings of query images that are kept. */
  const queries = new WeakMap<Blob, Promise<Tensor>>();

  /** The embedding of a query image, [1, D]. */
  function queryOf(image: ImageInput, check: () => void, signal: AbortSignal | undefined): Promise<Tensor> {
    const compute = async () => {
      checkPrepared();
      const seen = drawn(image) ?? (await pixelsOf(image, opening({ signal })));
      const queryPixelValues = "sampling" in seen ? seen : valuesOf([seen]);
      check();
      const { queryEmbeds } = await run({ queryPixelValues }, ["queryEmbeds"], check, { signal });
      return queryEmbeds!;
    };
    if (!(image instanceof Blob)) return compute();
    const known = queries.get(image);
    if (known) return known;
    const computed = compute();
    queries.set(image, computed);
    // One that failed, or was ended by its signal, is tried again.
    computed.catch(() => queries.delete(image));
    return computed;
  }

  const { textKey } = loaded.value;
  const directionsOf = createDirections(
    textCache !== undefined && textKey !== undefined && hasFileSystem() ? openShelf(textCache, textKey) : undefined,
  );

  /** Features of a text, kept. */
  const known = new Map<string, Float32Array>();

  /** Features of texts, as they are. */
  async function textFeatures(
    texts: readonly string[],
    check: () => void,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const { tokenize } = live().value;
    const all = await tokenize(texts);
    const rows = new Array<Float32Array>(texts.length);
    for (const places of byLength(all)) {
      check();
      const inputIds = { dims: [places.length, all[places[0]!]!.length], data: places.flatMap((place) => all[place]!) };
      const { data, dims } = (await run({ inputIds }, ["textFeatures"], check, { signal })).textFeatures!;
      for (const [i, place] of places.entries()) rows[place] = data.slice(i * dims[1]!, (i + 1) * dims[1]!);
    }
    return rows;
  }

  async function embedTexts(texts: string | readonly string[], options: TextOptions = {}): Promise<Float32Array> {
    live();
    checkNames("text.embed", options, { normalize: true, signal: true });
    const { normalize = false, signal } = options;
    const list = textsOf("text.embed", typeof texts === "string" ? [texts] : texts);
    const rows = await call(signal, (check) => keptFeatures(list, check, signal));
    return concat(normalize ? rows.map(toUnit) : rows, Float32Array);
  }

  async function tokenize(texts: string | readonly string[]): Promise<number[][]> {
    const list = textsOf("text.tokenize", typeof texts === "string" ? [texts] : texts);
    return live().value.tokenize(list);
  }

  /** Features of texts, from those that are kept. */
  async function keptFeatures(
    texts: readonly string[],
    check: () => void,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const missing = [...new Set(texts.filter((text) => !known.has(text)))];
    const rows = await textFeatures(missing, check, signal);
    const made = new Map(missing.map((text, i) => [text, rows[i]!]));
    const found = texts.map((text) => known.get(text) ?? made.get(text)!);
    for (const [text, row] of made) if (text.length <= KEPT_CHARACTERS) known.set(text, row);
    // Those of the longest ago make room.
    for (const text of known.keys()) {
      if (known.size <= KEPT_TEXTS) break;
      known.delete(text);
    }
    return found;
  }

  async function preprocessBytes(images: Given, options: PreprocessOptions = {}): Promise<Uint8Array> {
    live();
    checkNames("preprocessBytes", options, { frameSamplingRate: true, signal: true });
    checkBytes("preprocessBytes", preprocessing);
    return concat(
      await eachOf<Uint8Array, never>(
        "preprocessBytes",
        listOf(images),
        options,
        undrawn,
        async ({ data }) => data as Uint8Array,
      ),
      Uint8Array,
    );
  }

  async function preprocess(images: Given, options: PreprocessOptions & { trimap?: TrimapInput } = {}) {
    live();
    const matted = config.matting?.decoder !== undefined;
    checkNames("preprocess", options, {
      ...(matted && { trimap: true as const }),
      frameSamplingRate: true,
      signal: true,
    });
    const { trimap, ...others } = options;
    if ((config.naflex || matted) && isList(images)) {
      const what = matted ? "have a trimap each" : "are sequences of patches of different lengths";
      throw new RangeError(`preprocess: images of this model ${what}, so each must be given by itself; got a list`);
    }
    if (matted && trimap === undefined) {
      throw new TypeError(
        "preprocess: this model sees a trimap beside an image, so the option trimap must be one; got none",
      );
    }
    const seen = await eachOf<SeenImage, never>("preprocess", listOf(images), others, undrawn, async (image) => image);
    if (matted) {
      const [image] = seen as [SeenImage];
      const levels = await call(others.signal, () => openTrimap(trimap!, others.signal));
      return { ...pixelsWithTrimap("preprocess", image).withTrimap(levels), geometry: image.geometry };
    }
    const geometry = seen.map((image) => image.geometry);
    if (config.naflex) {
      const [image] = seen as [SeenImage];
      const { pixelValues, spatialShapes } = patchesOf(valuesOfSeen(image, preprocessing), image, config.patchSize[0]);
      return { ...pixelValues, spatialShapes, geometry: geometry[0]! };
    }
    return { ...valuesOf(seen), geometry: isList(images) ? geometry : geometry[0]! };
  }

  function dispose(): void {
    const released = lease;
    lease = undefined;
    for (const end of running) end(gone());
    released?.release();
  }

  return {
    config,
    identity: loaded.value.identity,
    labels,
    get backend() {
      backend = lease?.value.backend ?? backend;
      return { ...backend, reason: backend.reason + onPage };
    },
    get memory() {
      return live().value.memory;
    },
    tasks,
    ...taskMethods((name, images, ...rest) => perform(name, images, rest)),
    text: config.text && { embed: embedTexts, tokenize },
    async forward(inputs, options = {}) {
      live();
      checkNames("forward", options, { outputs: true, blocks: true, interpolatePositions: true, signal: true });
      const { outputs = ["logits"], blocks, interpolatePositions, signal } = options;
      return (await call(signal, (check) => {
        // One of a batch is worth no copy of the others.
        const images = (inputs?.pixelValues as Partial<Tensor> | undefined)?.dims?.[0] === 1 ? callsAtOnce() : 1;
        return run(inputs ?? {}, outputs, check, { blocks, interpolatePositions, signal, images });
      })) as never;
    },
    preprocess: preprocess as Model["preprocess"],
    preprocessBytes,
    prepare,
    dispose,
    [Symbol.dispose]: dispose,
    [Symbol.asyncDispose]: async () => dispose(),
  };
}

/** Crops of an image that pass the model at once: of 256×192 pixels they are 9 MB of values. */
const CROPS = 16;

const isList = (images: Given): images is readonly (ImageInput | Clip)[] => Array.isArray(images);

const listOf = (images: Given): readonly (ImageInput | Clip)[] => (isList(images) ? images : [images]);

/** Embeddings of texts that a model keeps: 4096 of 2 KB are 8 MB. Towers read 77 tokens or fewer; texts that are longer are rare. */
const KEPT_TEXTS = 4096;
const KEPT_CHARACTERS = 500;
