/** Engines: a checkpoint's weights in a backend's memory and the forward passes on them, shared by all models that can. */
import type { Precision } from "../backend.js";
import type { Choice } from "../backends/select.js";
import type { Config, ConfigOverrides } from "../checkpoint/config.js";
import { imageOptions, imageSettings } from "../checkpoint/families/bare.js";
import { isRecord } from "../checkpoint/json.js";
import type { HeadNotes } from "../checkpoint/probe.js";
import { faultOfSizes } from "../checkpoint/recognize.js";
import { planWeights } from "../checkpoint/weights.js";
import { type ForwardOptions, forward } from "../forward/forward.js";
import { traced } from "../forward/trace.js";
import type { Similarity } from "../heads/contrastive.js";
import type { HubOptions } from "../hub/settings.js";
import type { ModelIdentity } from "../identity.js";
import { createDrawing, noisePicture } from "../image/drawn.js";
import type { Preprocessing, Processor } from "../image/preprocess.js";
import { parsePreprocessing } from "../image/processors.js";
import { type Checkpoint, isFolder, type TensorConsumer, twice } from "../io/checkpoint.js";
import type { Progress } from "../io/parts.js";
import { kindOf, parseJson } from "../json.js";
import { environment, hasFileSystem } from "../platform/host.js";
import type { Inputs } from "../vit/inputs.js";
import type { OutputName, Outputs, Tensor } from "../vit/outputs.js";
import { ownGrid } from "../vit/places.js";
import { createLanes, type Lanes } from "./lanes.js";
import { GPU_SEARCH, type GpuSearch, gpuFor, type Placement, place, replace } from "./placement.js";
import { createSharing, type Lease, type Waiting } from "./sharing.js";
import {
  keyOf,
  type NamesOptions,
  type OpenedHead,
  openHead,
  openModel,
  openSource,
  readConfig,
  type Source,
} from "./sources.js";
import { drawsAlike } from "./trial.js";

/** The part of LoadOptions that matters to an engine. */
export interface EngineOptions extends Choice, HubOptions, NamesOptions {
  readonly subfolder?: string;
  readonly base?: string | URL;
  readonly precision?: Precision;
  readonly imageSize?: number | readonly [number, number];
  readonly patchSize?: number | readonly [number, number];
  readonly processor?: Processor;
  readonly config?: ConfigOverrides;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Engine {
  readonly identity: ModelIdentity;
  /** All that features of texts depend on beside the texts: the model's files, and options; undefined of what is in no files. */
  readonly textKey: string | undefined;
  /** Notes of a head in a file of its own. */
  readonly notes: HeadNotes | undefined;
  readonly config: Config;
  readonly labels: readonly string[];
  readonly preprocessing: Preprocessing;
  readonly backend: {
    readonly name: string;
    readonly precision: Precision;
    readonly threads: number;
    readonly reason: string;
  };
  readonly memory: { readonly weights: number; readonly activations: number };
  /** How scores of image and text are made of cosines, and whether they are independent of each other (SigLIP's sigmoid). */
  readonly similarity: Similarity | undefined;
  /** Token ids of texts, by the checkpoint's tokenizer.json. */
  tokenize(texts: readonly string[]): Promise<number[][]>;
  /**
   * Runs a forward pass when the ops of all earlier ones have been called: they share the activations' memory.
   * @param inputs or what makes them: pixel values are then given away to a thread, and made again if it could not do it.
   * @param check throws if it is no longer wanted when its turn comes.
   * @param options its signal stops it between two layers; images: how many a list has whose others may pass beside this one.
   */
  forward(
    inputs: Inputs | (() => Inputs),
    outputs: readonly OutputName[],
    check: () => void,
    options?: ForwardOptions & { readonly images?: number },
  ): Promise<Partial<Outputs>>;
  /** Threads for the images of a list. */
  readonly lanes: Lanes;
  /** True if its GPU reads images by itself, and right: `forward` then takes {@link DrawnValues}. */
  readonly draws: boolean;
  /** Frees the memory; a pass that is running fails at its next op. */
  dispose(): void;
}

const share = createSharing<Engine, Progress>();

/**
 * The engine of a checkpoint: the one that there is, if it was made of the same files with the same options and the files
 * have not changed since, or a new one. Checkpoints in memory and at web addresses are not compared, nor kernels that are
 * given.
 */
export async function acquireEngine(source: Source, options: EngineOptions): Promise<Lease<Engine>> {
  const { backend, precision, threads, wide, wasm, imageSize, patchSize, processor, config } = options;
  const { prefix, ignore, state, signal, onProgress } = options;
  const opened = await openSource(source, options);
  const head = options.head ? await openHead(options.head, options) : undefined;
  const files = wasm === undefined ? await keyOf(opened, head) : undefined;
  const made = [
    backend,
    precision,
    threads,
    wide,
    imageSize,
    patchSize,
    processor,
    config,
    prefix,
    String(ignore),
    state,
    head?.said,
  ];
  const key = files && JSON.stringify([files, ...made]);
  signal?.throwIfAborted();
  return share(key, (waiting) => createEngine(opened, { ...options, ...waiting }, GPU_SEARCH, head), {
    signal,
    onProgress,
  });
}

export async function createEngine(
  source: Source,
  options: EngineOptions,
  search: GpuSearch = GPU_SEARCH,
  head?: OpenedHead,
): Promise<Engine> {
  const { signal, onProgress } = options;
  const opened = await openSource(source, options);
  const names = { ...options, head };
  const gpu = await gpuFor(options, search);
  const free = () => "device" in gpu && gpu.device.destroy();
  const files = await keyOf(opened, head);
  // A GPU may go away, with the weights that it has.
  const { now, again } = "reason" in gpu ? { now: opened, again: async () => opened } : twice(opened);
  const checkpoint = await openModel(now, names, { signal, onProgress }).catch((error) => {
    free();
    throw error;
  });
  try {
    const { name, tensors } = checkpoint;
    const {
      config: stored,
      named,
      heads,
      labels,
    } = await readConfig(checkpoint, { signal, onProgress }, options.config);
    const config = resized(name, stored, options);
    const { doubt } = checkpoint;
    const prepared = parsePreprocessing(
      checkpoint.preprocessor,
      imageSettings(checkpoint.config, config),
      config.imageSize,
      { ...imageOptions(config), resized: options.imageSize !== undefined, processor: options.processor },
    );
    const preprocessing = doubt === undefined ? prepared : { ...prepared, absent: doubt };
    checkFits(name, config, preprocessing);
    if (config.text) await checkpoint.bring([TOKENIZER, TOKENIZER_CONFIG], { signal, onProgress });
    const planOf = (blocks?: number) => planWeights(name, { config, named, heads, stored, blocks }, tensors);
    const whole = planOf();
    const plan = (blocks?: number) => (blocks === undefined ? whole : planOf(blocks));
    const { precision = whole.precision } = options;
    let fresh = true;
    async function read(consumer: TensorConsumer, waiting: Waiting<Progress>): Promise<void> {
      if (fresh) {
        fresh = false;
        return checkpoint.read(consumer, waiting);
      }
      if ((await keyOf(opened, head)) !== files) {
        throw new Error(`load: the files of "${name}" have changed since it was loaded; load it again`);
      }
      const reopened = await openModel(await again(), names, waiting);
      try {
        await reopened.read(consumer, waiting);
      } finally {
        await reopened.close();
      }
    }
    // There is time for the decoder of most photos while weights are read.
    if (hasFileSystem()) import("../image/decode/jpeg.js").catch(() => {});
    const wanted = { ...options, config, precision };
    const placement = await place({ plan, read }, wanted, gpu, search, { signal, onProgress });
    const draws = await drawsRight(placement, preprocessing);
    const identity: ModelIdentity = {
      // A path says where the files are, not what: its last part is their name. A repository has both of its parts.
      model:
        isFolder(opened) && opened.commit === undefined ? name.replace(/[/\\]+$/, "").replace(/^.*[/\\]/s, "") : name,
      commit: isFolder(opened) ? opened.commit : undefined,
      precision,
      preprocessing: { ...preprocessing },
    };
    const notes = checkpoint.probe?.notes;
    const { prefix, state } = options;
    const textKey = files && JSON.stringify([TEXT_VERSION, files, precision, prefix, state, options.config]);
    return engineOf({ identity, textKey, notes, config, labels, preprocessing, precision }, placement, {
      name,
      draws,
      tokenize: tokenizerOf(checkpoint, config),
      replace: (why) => replace({ plan, read }, wanted, why, search),
      retries: options.backend !== "webgpu",
    });
  } catch (error) {
    free();
    throw error;
  } finally {
    await checkpoint.close();
  }
}

/** Tells whether a GPU reads images by itself, which is found out by one image. */
async function drawsRight({ backend }: Placement, preprocessing: Preprocessing): Promise<boolean> {
  const picture = backend.draw && noisePicture(preprocessing);
  const drawn = picture && createDrawing(preprocessing)(picture);
  // A GPU that goes away here is found gone by the first call.
  return drawn !== undefined && (await drawsAlike(backend, drawn).catch(() => false));
}

/** Compares the sizes that preprocessing gives with those that the model takes; where they are fixed, calls do. */
function checkFits(name: string, config: Config, { resize, height, width }: Preprocessing): void {
  if (config.naflex) {
    const sides = resize.mode === "patches" ? [resize.patch] : [height, width];
    const side = config.patchSize[0];
    if (sides.every((n) => n % side === 0)) return;
    throw new Error(
      `load: preprocessing of "${name}" must give whole patches of ${side} pixels; got sides of ${sides.join("×")}`,
    );
  }
  const fault = config.interpolation.always ? faultOfSizes(name, { ...config, imageSize: [height, width] }) : undefined;
  if (fault !== undefined) throw new Error(fault);
}

/** The pseudo-inverse of a resize takes time by the cube of the sides; the largest patches that are published have 48. */
const MAX_RESAMPLED_PATCH = 128;

/** The config of images and patches of the sizes that are asked for. */
function resized(name: string, config: Config, { imageSize, patchSize }: EngineOptions): Config {
  const pair = (size: number | readonly [number, number]) =>
    typeof size === "number" ? ([size, size] as const) : size;
  const result = {
    ...config,
    ...(imageSize === undefined ? {} : { imageSize: pair(imageSize) }),
    ...(patchSize === undefined ? {} : { patchSize: pair(patchSize) }),
  };
  if (config.fixedSize && result.imageSize.some((n, i) => n !== config.imageSize[i])) {
    const own = config.imageSize.join("×");
    throw new RangeError(
      `load: the positions of "${name}" are not resampled, so imageSize must be ${own}; got ${imageSize}`,
    );
  }
  if (patchSize !== undefined && (config.resnet || config.naflex || config.patchPadding || config.video)) {
    throw new RangeError(
      "load: patchSize needs patches of one image's pixels, without a border; this checkpoint has none",
    );
  }
  if (patchSize !== undefined && (config.sam || config.matting?.decoder)) {
    throw new RangeError("load: patchSize needs a head that reads maps of any size; this checkpoint's does not");
  }
  const sides = [...config.patchSize, ...result.patchSize];
  if (patchSize !== undefined && sides.some((side) => side > MAX_RESAMPLED_PATCH)) {
    const found = `${config.patchSize.join("×")} to ${result.patchSize.join("×")}`;
    throw new RangeError(`load: patches are resampled up to ${MAX_RESAMPLED_PATCH} pixels a side; got ${found}`);
  }
  const fault = faultOfSizes(name, result);
  if (fault !== undefined) throw new RangeError(fault);
  return result;
}

/** Raised when texts get other features than before. */
const TEXT_VERSION = 1;

const TOKENIZER = "tokenizer.json";
const TOKENIZER_CONFIG = "tokenizer_config.json";

/** Reads the tokenizer for the first text. */
function tokenizerOf({ name, file }: Checkpoint, { family, text, patchBoxes }: Config): Engine["tokenize"] {
  let made: Promise<(text: string) => number[]> | undefined;
  async function make() {
    const json = async (path: string) => {
      const bytes = await file(path);
      if (!bytes) return undefined;
      const value = parseJson(bytes, `tokenizer: "${path}" of "${name}"`);
      if (isRecord(value)) return value;
      throw new Error(`tokenizer: "${path}" of "${name}" must hold a JSON object; it holds ${kindOf(value)}`);
    };
    const tokenizer = await json(TOKENIZER);
    if (!tokenizer) throw new Error(`tokenizer: "${name}" must hold ${TOKENIZER}; it holds none`);
    const config = (await json(TOKENIZER_CONFIG)) ?? {};
    const { createTokenizer } = await import("../text/tokenizer.js");
    const { length, pooling, clean } = text!;
    const siglip2 = /^siglip2/.test(family);
    const whole = patchBoxes !== undefined;
    return createTokenizer(tokenizer, config, { length, pad: pooling === "last", whole, siglip2, clean });
  }
  return async (texts) => {
    if (!text) throw new RangeError("text: it needs a checkpoint with a text tower; this one has none");
    made ??= make();
    return texts.map(await made);
  };
}

/** Outputs that answers are made of. Lists, in which one looks for where a model goes wrong, are given as they are. */
const ANSWERS: readonly OutputName[] = [
  ...(["logits", "clsLogits", "distillationLogits", "preLogits", "pooled", "lastHiddenState"] as const),
  ...(["imageFeatures", "imageEmbeds", "textFeatures", "textEmbeds", "textPooled", "textLastHiddenState"] as const),
  ...(["logitsPerImage", "logitsPerText", "predictedDepth"] as const),
  ...(["imageEmbeddings", "predMasks", "iouScores", "alphas"] as const),
  ...(["predBoxes", "objectnessLogits", "classEmbeds", "queryEmbeds"] as const),
];

/** @throws RangeError for NaN and infinity, of which no probability can be made. */
function checkFinite(name: string, outputs: Partial<Outputs>): void {
  for (const output of ANSWERS) {
    const data = (outputs[output] as Tensor | undefined)?.data;
    if (!data) continue;
    let sum = 0;
    // 0 times anything finite is 0, else NaN.
    for (let i = 0; i < data.length; i++) sum += data[i]! * 0;
    if (sum === 0) continue;
    const found = `element ${data.findIndex((x) => !Number.isFinite(x))} of ${output} is ${data.find((x) => !Number.isFinite(x))}`;
    throw new RangeError(
      `forward: "${name}" must give finite numbers, but ${found}; look for enormous weights or pixel values, or try precision f32`,
    );
  }
}

/**
 * Tokens of a pass on one thread, below which weights are used too seldom for the time that they take to come from memory; and images of
 * a pass at most. ViT-B/32, 50 tokens, int8 on 256 bits: 58.5, 50.1 and 46.7 ms an image in passes of 1, 2 and 4; ViT-Ti/16, 197
 * tokens: 23.3, 22.7 and 22.9.
 */
const [FEW_TOKENS, MOST_IMAGES] = [200, 4];

/** Images of a list that pass as a batch. */
function batchOf(config: Config): number {
  if (config.depth === 0 || config.naflex || config.video) return 1;
  const [rows, columns] = ownGrid(config);
  return Math.max(1, Math.min(MOST_IMAGES, Math.floor(FEW_TOKENS / (config.prefixTokens + rows * columns))));
}

function engineOf(
  facts: Pick<Engine, "identity" | "textKey" | "notes" | "config" | "labels" | "preprocessing"> & {
    readonly precision: Precision;
  },
  placement: Placement,
  {
    name,
    tokenize,
    draws,
    replace,
    retries,
  }: {
    readonly name: string;
    readonly tokenize: Engine["tokenize"];
    readonly draws: boolean;
    /** Puts the model elsewhere when its backend is lost. */
    readonly replace: (why: string) => Promise<Placement>;
    /** Begins a call again whose backend is lost under it. */
    readonly retries: boolean;
  },
): Engine {
  const { identity, textKey, notes, config, labels, preprocessing, precision } = facts;
  let last: Promise<unknown> = Promise.resolve();
  let disposed = false;
  const lanes = createLanes(() => {
    const kernels = placement.shared?.();
    return kernels && { kernels, weights: placement.weights, config, batch: batchOf(config) };
  });

  /** The lease of a backend that computes. */
  async function current(): Promise<Placement> {
    const { lost } = placement.backend;
    if (!lost || disposed) return placement;
    placement.backend.dispose();
    placement = await replace(lost.message);
    if (disposed) placement.backend.dispose();
    return placement;
  }

  return {
    identity,
    textKey,
    notes,
    config,
    labels,
    preprocessing,
    get backend() {
      return { name: placement.backend.name, precision, ...placement.how };
    },
    get memory() {
      const { weights, activations } = placement.backend.memory;
      return { weights, activations: activations + lanes.activations };
    },
    lanes,
    get draws() {
      return draws && placement.backend.draw !== undefined;
    },
    similarity: placement.weights.similarity,
    tokenize,
    async forward(inputs, outputs, check, { images = 1, ...options } = {}) {
      if (images > 1 && lanes.passing > 0) {
        // A pass that shares its ops among all threads takes many times as long beside others.
        await last;
        check();
      }
      const there = images > 1 ? await lanes.run(images, inputs, outputs, options) : undefined;
      if (there) {
        checkFinite(name, there);
        return there;
      }
      for (;;) {
        let used = placement;
        const called = last.then(async () => {
          check();
          used = await current();
          const { backend, weights } = used;
          const watched = environment("VITRAIL_TRACE") ? traced(backend, weights, console.error) : backend;
          const given = typeof inputs === "function" ? inputs() : inputs;
          return forward(watched, weights, config, given, outputs, options);
        });
        last = called.catch(() => undefined);
        try {
          const made = await (await called).outputs;
          checkFinite(name, made);
          return made;
        } catch (error) {
          if (!retries || error !== used.backend.lost) throw error;
        }
      }
    },
    dispose() {
      disposed = true;
      lanes.dispose();
      placement.backend.dispose();
    },
  };
}
