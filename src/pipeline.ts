/**
 * The pipelines of Transformers.js on vitrail's models: its names of tasks, arguments and results, so that a program runs when its
 * import is changed. What differs: models are original repositories, such as "google/vit-base-patch16-224", not conversions to
 * ONNX; lists may have any number of images; numbers and pixels are those of transformers in Python; boxes come best first.
 */
import type { Geometry } from "./image/geometry.js";
import { inSlices } from "./image/slices.js";
import type { ImageInput } from "./image/source.js";
import { type LoadOptions, load, type Model } from "./index.js";
import { builtin, hasFileSystem } from "./platform/host.js";
import type { Detection } from "./tasks/detect.js";
import { resizeBicubic } from "./tasks/maps.js";
import { checkNames } from "./tasks/task.js";

/** Options of `pipeline`, by Transformers.js's names. */
export interface PipelineOptions {
  /** "auto" (default), "webgpu", or "wasm" and "cpu", which are the same. */
  device?: "auto" | "webgpu" | "wasm" | "cpu";
  /** "fp32", "fp16", or "q8", "int8" and "uint8", which are int8; by default as the checkpoint is stored. */
  dtype?: "fp32" | "fp16" | "q8" | "int8" | "uint8";
  progress_callback?: (progress: PipelineProgress) => void;
  revision?: string;
  cache_dir?: string;
  local_files_only?: boolean;
}

/** A report of loading: bytes, and their part of all in percent. */
export type PipelineProgress =
  | { status: "progress"; name: string; file: string; progress: number; loaded: number; total: number }
  | { status: "ready"; task: string; model: string };

/** Pixels of a result: one channel, 8 bits. */
export class RawImage {
  constructor(
    readonly data: Uint8Array,
    readonly width: number,
    readonly height: number,
    readonly channels: 1 | 3,
  ) {}

  get size(): [width: number, height: number] {
    return [this.width, this.height];
  }

  /** A PNG file. */
  async toBlob(): Promise<Blob> {
    const { encodePng } = await import("./image/write-png.js");
    return new Blob([(await encodePng(this)) as Uint8Array<ArrayBuffer>], { type: "image/png" });
  }

  /** Writes a PNG file. @throws Error where there is no file system. */
  async save(path: string): Promise<void> {
    if (!hasFileSystem()) throw new Error("save: there is no file system here; use toBlob");
    await builtin("node:fs/promises").writeFile(path, new Uint8Array(await (await this.toBlob()).arrayBuffer()));
  }
}

/** Row-major values of a result. */
export class PipelineTensor {
  readonly type = "float32";
  constructor(
    readonly dims: readonly number[],
    readonly data: Float32Array,
  ) {}

  get size(): number {
    return this.data.length;
  }

  /** Nested lists. */
  tolist(): unknown[] {
    const nest = (dims: readonly number[], data: Float32Array): unknown[] => {
      const [first = 0, ...rest] = dims;
      if (rest.length === 0) return Array.from(data);
      const size = data.length / first;
      return Array.from({ length: first }, (_, i) => nest(rest, data.subarray(i * size, (i + 1) * size)));
    };
    return nest(this.dims, this.data);
  }
}

export interface Scored {
  label: string;
  score: number;
}
export interface ScoredObject extends Scored {
  /** Whole pixels of the photo, or with `percentage` parts of its width and height. */
  box: { xmin: number; ymin: number; xmax: number; ymax: number };
}
export interface ScoredSegment {
  label: string;
  /** The score of a mask of a query (EoMT); null of the semantic segments of others, as in transformers. */
  score: number | null;
  /** 255 where it is. */
  mask: RawImage;
}
export interface EstimatedDepth {
  /** As the model gives it, [height, width]. */
  predicted_depth: PipelineTensor;
  /** Gray levels, 0 to 255, in the photo's size. */
  depth: RawImage;
}

/** A pipeline's call: one result for one image, a list for a list. */
interface OnImages<Args extends readonly unknown[], Result> {
  (image: ImageInput, ...args: Args): Promise<Result>;
  (images: readonly ImageInput[], ...args: Args): Promise<Result[]>;
}

interface Calls {
  "image-classification": OnImages<[options?: { top_k?: number }], Scored[]>;
  "zero-shot-image-classification": OnImages<
    [candidate_labels: readonly string[], options?: { hypothesis_template?: string }],
    Scored[]
  >;
  "image-feature-extraction": (
    images: ImageInput | readonly ImageInput[],
    options?: { pool?: boolean | null },
  ) => Promise<PipelineTensor>;
  "depth-estimation": OnImages<[], EstimatedDepth>;
  "object-detection": OnImages<[options?: { threshold?: number; percentage?: boolean }], ScoredObject[]>;
  "zero-shot-object-detection": OnImages<
    [
      candidate_labels: readonly string[],
      options?: { threshold?: number; top_k?: number | null; percentage?: boolean },
    ],
    ScoredObject[]
  >;
  "image-segmentation": OnImages<[], ScoredSegment[]>;
}

export type PipelineTask = keyof Calls;
export type Pipeline<Task extends PipelineTask> = Calls[Task] & {
  readonly task: Task;
  readonly model: Model;
  dispose(): Promise<void>;
};

type Given = ImageInput | readonly ImageInput[];
type Options = Readonly<Record<string, unknown>>;

/** Models of calls that name none: those of Transformers.js's choice that vitrail runs, else the smallest of the kind. */
const MODELS: Readonly<Record<PipelineTask, string>> = {
  "image-classification": "google/vit-base-patch16-224",
  "zero-shot-image-classification": "openai/clip-vit-base-patch32",
  "image-feature-extraction": "google/vit-base-patch16-224-in21k",
  "depth-estimation": "Intel/dpt-large",
  "object-detection": "hustvl/yolos-tiny",
  "zero-shot-object-detection": "google/owlvit-base-patch32",
  "image-segmentation": "Intel/dpt-large-ade",
};

const BACKENDS = { auto: "auto", webgpu: "webgpu", wasm: "wasm", cpu: "wasm" } as const;
const PRECISIONS = { fp32: "f32", fp16: "f16", q8: "int8", int8: "int8", uint8: "int8" } as const;

/**
 * A pipeline: a function on images.
 * @param task one of Transformers.js's on images.
 * @param model a source of `load`.
 * @throws RangeError for a task or an option that there is not.
 */
export async function pipeline<Task extends PipelineTask>(
  task: Task,
  model: string = MODELS[task],
  options: PipelineOptions = {},
): Promise<Pipeline<Task>> {
  oneOf("task", task, MODELS);
  const known = { device: true, dtype: true, progress_callback: true, revision: true, cache_dir: true } as const;
  checkNames("pipeline", options, { ...known, local_files_only: true });
  const { device = "auto", dtype, progress_callback: report, revision, cache_dir, local_files_only } = options;
  const settings: LoadOptions = {
    backend: oneOf("device", device, BACKENDS),
    ...(dtype !== undefined && { precision: oneOf("dtype", dtype, PRECISIONS) }),
    ...(revision !== undefined && { revision }),
    ...(cache_dir !== undefined && { cacheDir: cache_dir }),
    ...(local_files_only !== undefined && { offline: local_files_only }),
  };
  if (report) {
    settings.onProgress = ({ file, loaded, total }) =>
      report({ status: "progress", name: model, file, progress: (100 * loaded) / total, loaded, total });
  }
  const loaded = await load(model, settings);
  report?.({ status: "ready", task, model });
  const call = (images: Given, ...args: unknown[]) => CALLS[task](loaded, images, args);
  return Object.assign(call, { task, model: loaded, dispose: async () => loaded.dispose() }) as never;
}

function oneOf<Value>(name: string, key: string, table: Readonly<Record<string, Value>>): Value {
  if (Object.hasOwn(table, key)) return table[key]!;
  throw new RangeError(
    `pipeline: ${name} must be one of ${Object.keys(table).join(", ")}; got ${JSON.stringify(key)?.slice(0, 60)}`,
  );
}

const scoresOf = (predictions: readonly { label: string; probability: number }[]): Scored[] =>
  predictions.map(({ label, probability }) => ({ label, score: probability }));

/** Makes results of one image, or of each of a list. */
const each = <In, Out>(results: In | In[], images: Given, make: (result: In) => Out): Out | Out[] =>
  Array.isArray(images) ? (results as In[]).map(make) : make(results as In);

const CALLS: Readonly<Record<PipelineTask, (model: Model, images: Given, args: unknown[]) => Promise<unknown>>> = {
  async "image-classification"(model, images, [options = {}]) {
    const { top_k: topK = 5 } = named("image-classification", options, { top_k: true });
    const results = await model.classify(images as ImageInput, { topK: topK as number });
    return each(results, images, scoresOf);
  },
  async "zero-shot-image-classification"(model, images, [labels, options = {}]) {
    const { hypothesis_template: template = "This is a photo of {}" } = named(
      "zero-shot-image-classification",
      options,
      { hypothesis_template: true },
    );
    const results = await model.zeroShot(images as ImageInput, labels as string[], { template: template as string });
    return each(results, images, scoresOf);
  },
  async "image-feature-extraction"(model, images, [options = {}]) {
    const { pool } = named("image-feature-extraction", options, { pool: true });
    const output = pool ? "pooled" : "lastHiddenState";
    const pixelValues = await model.preprocess(images as ImageInput);
    const { dims, data } = (await model.forward({ pixelValues }, { outputs: [output] }))[output];
    return new PipelineTensor(dims, data);
  },
  async "depth-estimation"(model, images) {
    if (!Array.isArray(images)) return depthOf(model, images as ImageInput);
    const maps: EstimatedDepth[] = [];
    for (const image of images) maps.push(await depthOf(model, image));
    return maps;
  },
  async "object-detection"(model, images, [options = {}]) {
    const known = { threshold: true, percentage: true } as const;
    const { threshold = 0.9, percentage } = named("object-detection", options, known);
    return objectsOf(model, images, { threshold: threshold as number }, percentage === true);
  },
  async "zero-shot-object-detection"(model, images, [labels, options = {}]) {
    const known = { threshold: true, top_k: true, percentage: true } as const;
    const { threshold = 0.1, top_k, percentage } = named("zero-shot-object-detection", options, known);
    const topK = (top_k ?? undefined) as number | undefined;
    return objectsOf(
      model,
      images,
      { labels: labels as string[], threshold: threshold as number, ...(topK !== undefined && { topK }) },
      percentage === true,
    );
  },
  async "image-segmentation"(model, images) {
    const results = await model.segment(images as ImageInput);
    return each(results, images, ({ segments }) =>
      segments.map(({ label, probability, mask: { data, width, height } }) => ({
        ...{ label, score: model.config.queryMasks ? probability : null },
        mask: new RawImage(
          data.map((inside) => 255 * inside),
          width,
          height,
          1,
        ),
      })),
    );
  },
};

/** Options whose names are known. */
function named(task: string, options: unknown, known: Readonly<Record<string, true>>): Options {
  checkNames(task, options, known);
  return options as Options;
}

async function objectsOf(
  model: Model,
  images: Given,
  options: Parameters<Model["detect"]>[1],
  percentage: boolean,
): Promise<ScoredObject[] | ScoredObject[][]> {
  const list = (Array.isArray(images) ? images : [images]) as readonly ImageInput[];
  const results = await model.detect(list, options);
  const objects: ScoredObject[][] = [];
  for (const [i, found] of results.entries()) {
    const geometry = percentage ? (await model.preprocess(list[i]!)).geometry : undefined;
    objects.push(found.map((object) => objectOf(object, geometry)));
  }
  return Array.isArray(images) ? objects : objects[0]!;
}

function objectOf({ label, probability, box }: Detection, geometry: Geometry | undefined): ScoredObject {
  const { width, height } = geometry?.photo ?? {};
  const across = (x: number) => (width === undefined ? Math.trunc(x) : x / width);
  const down = (y: number) => (height === undefined ? Math.trunc(y) : y / height);
  const { xmin, ymin, xmax, ymax } = box;
  const sides = { xmin: across(xmin), ymin: down(ymin), xmax: across(xmax), ymax: down(ymax) };
  return { label, score: probability, box: sides };
}

/** The depth of an image as transformers' pipeline gives it. */
export async function depthOf(model: Model, image: ImageInput, signal?: AbortSignal): Promise<EstimatedDepth> {
  const pixelValues = await model.preprocess(image, { signal });
  const { predictedDepth } = await model.forward({ pixelValues }, { outputs: ["predictedDepth"], signal });
  const { dims, data } = predictedDepth;
  const [, height, width] = dims as [number, number, number];
  const { photo } = pixelValues.geometry;
  const large = await inSlices(
    () => resizeBicubic(data, { width, height }, photo),
    { signal },
    () => new Error("depth: it is late"),
  );
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const x of large) {
    least = Math.min(least, x);
    most = Math.max(most, x);
  }
  const scale = most > least ? 255 / (most - least) : 0;
  const gray = Uint8Array.from(large, (x) => (x - least) * scale);
  return {
    predicted_depth: new PipelineTensor([height, width], data),
    depth: new RawImage(gray, photo.width, photo.height, 1),
  };
}
