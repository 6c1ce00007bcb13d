/**
 * The worker in which the model lives, with all that is computed of what it saw but for single rows, which the page makes while the
 * pointer moves. A page's own thread only draws.
 */
import { type Config, type Geometry, type LoadOptions, load, type Model, type Prediction, type Progress } from "vitrail";
import { type Context, serve } from "./rpc.js";

/** A checkpoint: a name of the Hub, an address, files of a folder or one of weights; undefined for the package's. */
export type Source = string | readonly File[] | undefined;

/** Facts of a loaded model that the page speaks of. */
export interface ModelFacts {
  readonly config: Pick<
    Config,
    "family" | "depth" | "heads" | "width" | "patchSize" | "imageSize" | "prefixTokens" | "classToken" | "classes"
  >;
  readonly labels: readonly string[];
  readonly tasks: Model["tasks"];
  readonly backend: Model["backend"];
  readonly memory: Model["memory"];
  readonly loadMs: number;
}

/** What the model saw in a photo. */
export interface Seen {
  readonly photo: string;
  readonly geometry: Geometry;
  /** Rows and columns of patches. */
  readonly grid: readonly [number, number];
  /** Names of the photo, best first; none of a model without names. */
  readonly top: readonly Prediction[];
  /** Tokens before the patches. */
  readonly prefix: number;
  /** Before the first layer and after each, [N, D]. */
  readonly tokens: readonly Float32Array[];
  /** Of each layer, [heads, N, d]. */
  readonly queries: readonly Float32Array[];
  readonly keys: readonly Float32Array[];
  readonly ms: number;
}

/** Most pixels of a photo here: what a phone has memory for beside the model. */
const PIXEL_LIMIT = 64e6;

let model: Model | undefined;
const loaded = (): Model => {
  if (!model) throw new Error("There is no model yet.");
  return model;
};

/** A checkpoint from disk in the form that `load` takes from memory. */
async function partsOf(files: readonly File[]) {
  const named = (name: RegExp) => files.find((file) => name.test(file.name));
  const json = async (file: File | undefined) => file && JSON.parse(await file.text());
  const weights = files.filter((file) => /\.(safetensors|npz|bin|pth|pt|ckpt)$/.test(file.name));
  const [config, preprocessor, tokenizer, tokenizerConfig] = await Promise.all(
    [/^config\.json$/, /^preprocessor_config\.json$/, /^tokenizer\.json$/, /^tokenizer_config\.json$/].map((name) =>
      json(named(name)),
    ),
  );
  if (weights.length === 0) {
    throw new Error(`There must be a file of weights, such as model.safetensors; there is ${files[0]?.name ?? "none"}.`);
  }
  return {
    ...{ config, preprocessor, weights: weights.sort((a, b) => (a.name < b.name ? -1 : 1)) },
    ...(tokenizer && { tokenizer: { "tokenizer.json": tokenizer, "tokenizer_config.json": tokenizerConfig } }),
  };
}

const functions = {
  /** Loads a model, and only then drops the one before: a download that fails leaves the page as it was. */
  async load({ signal, report }: Context, source: Source, options: Pick<LoadOptions, "precision">): Promise<ModelFacts> {
    const start = performance.now();
    const checkpoint = Array.isArray(source) ? await partsOf(source) : (source as string | undefined);
    const onProgress = (progress: Progress) => report(progress);
    const next = await load(checkpoint, { ...options, pixelLimit: PIXEL_LIMIT, signal, onProgress });
    model?.dispose();
    model = next;
    const { depth, heads, width, patchSize, imageSize, prefixTokens, classToken, classes, family } = next.config;
    return {
      config: { depth, heads, width, patchSize, imageSize, prefixTokens, classToken, classes, family },
      ...{ labels: next.labels, tasks: next.tasks, backend: next.backend, memory: next.memory },
      loadMs: performance.now() - start,
    };
  },

  async see({ signal }: Context, photo: string, blob: Blob): Promise<Seen> {
    const vit = loaded();
    const { geometry, ...pixelValues } = await vit.preprocess(blob, { signal });
    const start = performance.now();
    const outputs = ["hiddenStates", "queries", "keys"] as const;
    const { hiddenStates, queries, keys } = await vit.forward({ pixelValues }, { outputs, signal });
    const ms = performance.now() - start;
    const top = vit.tasks.includes("classify") ? await vit.classify(blob, { signal }) : [];
    const { prefixTokens: prefix } = vit.config;
    const [, , height, width] = pixelValues.dims as [number, number, number, number];
    const patches = hiddenStates[0]!.dims[1]! - prefix;
    const rows = Math.round(Math.sqrt((patches * height) / width));
    const dataOf = (list: readonly { data: Float32Array }[]) => list.map(({ data }) => data);
    return {
      ...{ photo, geometry, grid: [rows, patches / rows], top, prefix, ms },
      ...{ tokens: dataOf(hiddenStates), queries: dataOf(queries), keys: dataOf(keys) },
    };
  },
};

export type WorkerFunctions = typeof functions;

/** Buffers of an answer, which are handed over: what the worker keeps is a copy. */
function buffersOf(value: unknown): Transferable[] {
  if (ArrayBuffer.isView(value)) return [value.buffer as ArrayBuffer];
  if (typeof ImageBitmap !== "undefined" && value instanceof ImageBitmap) return [value];
  if (Array.isArray(value) || Object.getPrototypeOf(value ?? 0) === Object.prototype) {
    return [...new Set(Object.values(value as object).flatMap(buffersOf))];
  }
  return [];
}

serve(functions, buffersOf);
