/**
 * The model, in a worker, with all that is computed of what it saw but for single rows, which the page makes while the pointer moves. A
 * page's own thread only draws.
 */
import {
  type Box,
  type Config,
  type DepthMap,
  type Detection,
  type Geometry,
  type LoadOptions,
  load,
  type Model,
  type Point,
  type Pose,
  type Prediction,
  type PreparedImage,
  type Progress,
  type Segment,
  type Tensor,
} from "vitrail";
import { openImage } from "vitrail/image";
import {
  attentionDistances,
  attentionOf,
  attentionOfMaps,
  type BlockAttention,
  featuresOf,
  type Grid,
  type KindName,
  type KindOptions,
  lengthsOf,
  lensOf,
  medianOf,
  occlusionMap,
  type Patches,
  patchesOf,
  picture,
  rollout,
  type SeenInputs,
  scoresOf,
  scoresOfPatches,
  see as seePhoto,
  weightedRow,
} from "vitrail/pictures";
import type { Context } from "./rpc.js";

/** A checkpoint: a name of the Hub, an address, files of a folder or one of weights; undefined for the package's. */
export type Source = string | readonly File[] | undefined;

/** A photo as the worker is asked about it. */
export type PhotoBytes = readonly [id: string, blob: Blob];

/** Facts of a loaded model that the page speaks of. */
export interface ModelFacts {
  readonly config: Pick<Config, "depth" | "heads" | "patchSize" | "classToken" | "classes" | "pooling">;
  readonly labels: readonly string[];
  readonly tasks: Model["tasks"];
  /** True if it knows texts. */
  readonly texts: boolean;
  /** How it is told what boxes and masks are of: by classes of its own, by texts, or by points and boxes. */
  readonly prompts: { readonly detect: "classes" | "texts"; readonly segment: "classes" | "texts" | "points" };
  /** Lines between keypoints, where the checkpoint says so. */
  readonly edges: readonly (readonly [number, number])[] | undefined;
  readonly backend: Model["backend"];
  readonly memory: Model["memory"];
  readonly bytes: number;
  readonly loadMs: number;
}

/** What the model saw in a photo. */
export interface Seen {
  readonly photo: string;
  readonly geometry: Geometry;
  /** Rows and columns of patches. */
  readonly grid: Grid;
  /** Names of the photo, best first; none of a model without names. */
  readonly top: readonly Prediction[];
  /** Tokens before the patches. */
  readonly prefix: number;
  /** Before the first layer and after each, [1, N, D]. */
  readonly states: readonly Tensor[];
  /** Of each layer, [1, heads, N, d]; empty where attention is maps. */
  readonly queries: readonly Tensor[];
  readonly keys: readonly Tensor[];
  /** Maps of each layer, [1, heads, N, N], of models whose attention queries and keys do not tell (BEiT). */
  readonly maps: readonly Tensor[];
  readonly ms: number;
}

/** The same with what is asked of the model again. */
interface Kept extends Seen {
  readonly inputs: SeenInputs;
}

/** Names after every layer. */
export interface Lens {
  readonly names: readonly string[];
  readonly unit: string;
  /** [layers + 1] rows of a number for each name. */
  readonly rows: readonly Float32Array[];
}

/** Components of the tokens of photos, along three directions. */
export interface FeatureMaps {
  readonly photos: readonly string[];
  readonly grids: readonly Grid[];
  /** [patches, 3] of each photo, from -1 to 1. */
  readonly maps: readonly Float32Array[];
  readonly kept: readonly Uint8Array[];
  readonly shares: readonly number[];
  /** Lengths of the tokens of the first photo, their median, and how many tokens were left out of the fit. */
  readonly lengths: Float32Array;
  readonly median: number;
  readonly left: number;
}

/** How a score falls where the photo is covered. */
export interface Occlusion {
  readonly fall: Float32Array | undefined;
  readonly done: number;
  readonly total: number;
}

/** What the library makes a picture of: a kind and its options. */
export interface Made {
  readonly kind: KindName;
  readonly options: KindOptions[KindName];
}

/** Most pixels of a photo here: what a phone has memory for beside the model. */
const PIXEL_LIMIT = 64e6;

/** Milliseconds between two words of how far a download is. */
const PROGRESS_MS = 100;

/** Bytes of photos' numbers that are kept: of 14 × 14 patches three samples and more, of 37 × 37 perhaps the last photo alone. */
const KEPT_BYTES = 2 ** 28;

/** Tokens longer than so many medians are left out of the fit of components (FAR in views/features.tsx). */
const OUTLIERS = 3;

/** Longest side of maps and masks of a photo; larger ones are given in the model's own size, or every so many pixels. */
const LONGEST = 1440;

let model: Model | undefined;
const seen = new Map<string, Promise<Kept>>();
const prepared = new Map<string, Promise<PreparedImage>>();

const loaded = (): Model => {
  if (!model) throw new Error("There is no model yet.");
  return model;
};

/** A checkpoint from disk in the form that `load` takes from memory. */
async function partsOf(files: readonly File[]) {
  const json = async (name: string) => {
    const file = files.find((file) => file.name === name);
    return file && JSON.parse(await file.text());
  };
  const names = ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"];
  const [config, preprocessor, tokenizer, tokenizerConfig] = await Promise.all(names.map(json));
  const weights = files.filter((file) => /\.(safetensors|npz|bin|pth|pt|ckpt)$/.test(file.name));
  if (weights.length === 0) {
    throw new Error(`There must be a file of weights, such as model.safetensors; there is ${files[0]?.name ?? "none"}`);
  }
  return {
    ...{ config, preprocessor, weights: weights.sort((a, b) => (a.name < b.name ? -1 : 1)) },
    ...(tokenizer && { tokenizer: { "tokenizer.json": tokenizer, "tokenizer_config.json": tokenizerConfig } }),
  };
}

/** Numbers of a photo, computed once for each model while there is room. */
function seenOf([id, blob]: PhotoBytes): Promise<Kept> {
  const made = seen.get(id) ?? see(loaded(), id, blob);
  // As the newest.
  seen.delete(id);
  seen.set(id, made);
  made.then(dropOld, () => seen.delete(id));
  return made;
}

/** Drops the photos that were not asked for in the longest time, but never the last. */
async function dropOld(): Promise<void> {
  let bytes = 0;
  for (const [i, [id, made]] of [...seen].reverse().entries()) {
    const { states, queries, keys, maps } = await made;
    for (const { data } of [...states, ...queries, ...keys, ...maps]) bytes += data.byteLength;
    if (i > 0 && bytes > KEPT_BYTES) seen.delete(id);
  }
}

async function see(vit: Model, photo: string, blob: Blob): Promise<Kept> {
  const { config } = vit;
  const { inputs, geometry, grid: whole } = await seePhoto(vit, blob, undefined);
  const biased = config.relativePositions || config.queryMasks !== undefined;
  const attention = config.depth === 0 || config.windows ? [] : biased ? ["attentions"] : ["queries", "keys"];
  const outputs = ["hiddenStates", ...attention] as ("hiddenStates" | "attentions" | "queries" | "keys")[];
  const start = performance.now();
  const { hiddenStates, queries = [], keys = [], attentions: maps = [] } = await vit.forward(inputs, { outputs });
  const ms = performance.now() - start;
  const top = vit.tasks.includes("classify") ? await vit.classify(blob) : [];
  // Of a ResNet the last map is shown: the others have other grids.
  const shown = config.depth === 0 ? hiddenStates.slice(-1) : hiddenStates;
  const { grid, prefix, width } = patchesOf(shown.at(-1)!, config, whole);
  const states = shown.map((state) => (state.dims.length === 4 ? asRows(patchesOf(state, config, whole)) : state));
  return { photo, geometry, grid, top, prefix: prefix.length / width, states, queries, keys, maps, ms, inputs };
}

const asRows = ({ data, width }: Patches): Tensor => ({ dims: [1, data.length / width, width], data });

const blocksOf = ({ queries, keys, maps }: Seen): BlockAttention[] =>
  maps.length > 0
    ? maps.map((map) => attentionOfMaps(map))
    : queries.map((query, block) => attentionOf(query, keys[block]!));

/** Weights of the tokens that carry the answer: the class token alone, or all patches alike. */
function carrierOf({ prefix }: Seen, tokens: number): Float32Array {
  const weights = new Float32Array(tokens);
  if (loaded().config.classToken) weights[0] = 1;
  else weights.fill(1 / (tokens - prefix), prefix);
  return weights;
}

/** The patches of a layer. */
function patchesIn({ states, grid, prefix }: Seen, layer: number): Patches {
  const { dims, data } = states[layer]!;
  const width = dims.at(-1)!;
  const first = prefix * width;
  const end = first + grid[0] * grid[1] * width;
  return { grid, width, data: data.subarray(first, end), prefix: data.subarray(0, first) };
}

/** A mask that is no larger than the screen. */
function reduced({ mask, ...segment }: Segment): Segment {
  const step = Math.max(1, Math.ceil(Math.max(mask.width, mask.height) / LONGEST));
  const [width, height] = [Math.floor(mask.width / step), Math.floor(mask.height / step)];
  const data = new Uint8Array(width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) data[y * width + x] = mask.data[y * step * mask.width + x * step]!;
  return { ...segment, mask: { width, height, data } };
}

const textsOf = (texts: string): string[] =>
  texts
    .split(",")
    .map((text) => text.trim())
    .filter((text) => text !== "");

/** What the page can ask for. */
export const functions = {
  /** Loads a model, and only then drops the one before: a download that fails leaves the page as it was. */
  async load(
    { signal, report }: Context,
    source: Source,
    options: Pick<LoadOptions, "precision" | "token">,
  ): Promise<ModelFacts> {
    const start = performance.now();
    const checkpoint = typeof source === "object" ? await partsOf(source) : source;
    let bytes = 0;
    let said = 0;
    const onProgress = (progress: Progress) => {
      bytes = Math.max(bytes, progress.total);
      const now = performance.now();
      if (now - said < PROGRESS_MS) return;
      said = now;
      report(progress);
    };
    const next = await load(checkpoint, { ...options, pixelLimit: PIXEL_LIMIT, signal, onProgress });
    model?.dispose();
    model = next;
    seen.clear();
    prepared.clear();
    const { depth, heads, patchSize, classToken, classes, pooling } = next.config;
    const { tokenBoxes, textMasks, sam, heatmaps } = next.config;
    return {
      config: { depth, heads, patchSize, classToken, classes, pooling },
      ...{ labels: next.labels, tasks: next.tasks, backend: next.backend, memory: next.memory, bytes },
      texts: next.text !== undefined && next.tasks.includes("zeroShot"),
      prompts: {
        detect: tokenBoxes ? "classes" : "texts",
        segment: sam ? "points" : textMasks ? "texts" : "classes",
      },
      edges: heatmaps?.edges,
      loadMs: performance.now() - start,
    };
  },

  async see(_: Context, photo: PhotoBytes): Promise<Seen> {
    const { inputs: _inputs, ...found } = await seenOf(photo);
    return structuredClone(found);
  },

  /** Pixels of a photo, RGBA, for browsers that cannot read its file. */
  async pixels({ signal }: Context, blob: Blob) {
    const { data, width, height } = await openImage(blob, { pixelLimit: PIXEL_LIMIT, signal });
    const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
    for (let i = 0; i < width * height; i++) rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
    return { data: rgba, width, height };
  },

  async lens({ signal }: Context, photo: PhotoBytes, texts: string): Promise<Lens> {
    const { states } = await seenOf(photo);
    const scores = await scoresOf("lens", loaded(), texts ? textsOf(texts) : undefined, signal);
    return { names: scores.names, unit: scores.unit, rows: (await lensOf(scores, states)).map((row) => row.slice()) };
  },

  async features(_: Context, photos: readonly PhotoBytes[], layer: number, keep: number): Promise<FeatureMaps> {
    const patches: Patches[] = [];
    for (const photo of photos) patches.push(patchesIn(await seenOf(photo), layer));
    const side = keep === 0 ? {} : { keep: keep > 0 ? ("high" as const) : ("low" as const) };
    const { maps, kept, components, left } = featuresOf(patches, { unit: true, outliers: OUTLIERS, ...side });
    const lengths = lengthsOf(patches[0]!.data, patches[0]!.width);
    return {
      photos: photos.map(([id]) => id),
      grids: patches.map(({ grid }) => grid),
      ...{ maps, kept, shares: [...components.shares], lengths, median: medianOf(lengths), left },
    };
  },

  /** How far each head looks, pixels: the mean over photos, [layers][heads]. */
  async distance(_: Context, photos: readonly PhotoBytes[]): Promise<Float32Array[]> {
    const { patchSize } = loaded().config;
    const sums: Float32Array[] = [];
    for (const photo of photos) {
      const one = await seenOf(photo);
      for (const [block, attention] of blocksOf(one).entries()) {
        const found = attentionDistances(attention, one.grid, one.prefix, patchSize);
        sums[block] ??= new Float32Array(found.length);
        for (const [head, distance] of found.entries()) sums[block][head]! += distance / photos.length;
        // A worker that never waits hears of nothing.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    return sums;
  },

  /** A picture of the model alone: its numbers. */
  async anatomy(_: Context, kind: "filters" | "positions"): Promise<{ dims: readonly number[]; data: Float32Array }> {
    const { dims, data } = await picture(loaded(), kind);
    return { dims, data };
  },

  /** Where the token looks that carries the answer, in each layer, the mean of its heads: [layers][patches]. */
  async carrier(_: Context, photo: PhotoBytes): Promise<Float32Array[]> {
    const one = await seenOf(photo);
    const rows = blocksOf(one).map((block) => weightedRow(block, "mean", carrierOf(one, block.tokens)));
    return rows.map((row) => row.slice(one.prefix, one.prefix + one.grid[0] * one.grid[1]));
  },

  /** How much of each patch reaches the token that carries the answer (attention rollout). */
  async rollout(_: Context, photo: PhotoBytes, heads: "mean" | "max" | "min", discard: number): Promise<Float32Array> {
    const one = await seenOf(photo);
    const blocks = blocksOf(one);
    const row = rollout(blocks, carrierOf(one, blocks[0]!.tokens), { heads, discard });
    return row.slice(one.prefix, one.prefix + one.grid[0] * one.grid[1]);
  },

  /** How the score of a name falls where a part of the photo is covered; tells how far it is. */
  async occlusion({ signal, report }: Context, photo: PhotoBytes, name: number): Promise<Occlusion> {
    const { inputs, grid } = await seenOf(photo);
    const vit = loaded();
    const scores = await scoresOf("occlusion", vit, undefined, signal);
    const onProgress = (done: number, total: number) => report({ fall: undefined, done, total } satisfies Occlusion);
    const options = { onProgress, signal };
    const { fall } = await occlusionMap(
      { ...scores, of: scores.raw },
      inputs,
      grid,
      vit.config.patchSize,
      name,
      options,
    );
    return { fall, done: 1, total: 1 };
  },

  /** What the head says of each patch alone, of some names: [names][patches]. */
  async patches({ signal }: Context, photo: PhotoBytes, names: readonly number[]): Promise<Float32Array[]> {
    const one = await seenOf(photo);
    const scores = await scoresOf("patches", loaded(), undefined, signal);
    const rows = await scoresOfPatches(scores, loaded().config, patchesIn(one, one.states.length - 1));
    return names.map((name) => Float32Array.from(rows, (row) => row[name]!));
  },

  /** Texts against the photo and against each patch: probabilities, and cosines [texts][patches]. */
  async texts({ signal }: Context, photo: PhotoBytes, list: string, template: string) {
    const vit = loaded();
    const texts = textsOf(list);
    const one = await seenOf(photo);
    const top = await vit.zeroShot(photo[1], texts, { template, topK: texts.length, signal });
    const filled = texts.map((text) => template.replace("{}", text));
    const scores = await scoresOf("text", vit, filled, signal);
    const rows = await scoresOfPatches(scores, vit.config, patchesIn(one, one.states.length - 1));
    const cosines = texts.map((_, i) => Float32Array.from(rows, (row) => row[i]!));
    return { texts, probabilities: texts.map((_, i) => top.find(({ index }) => index === i)!.probability), cosines };
  },

  async depth({ signal }: Context, [, blob]: PhotoBytes): Promise<DepthMap> {
    const bitmap = await createImageBitmap(blob);
    const isSmall = Math.max(bitmap.width, bitmap.height) <= LONGEST;
    return loaded().depth(blob, { size: isSmall ? "photo" : "model", signal });
  },

  /** All boxes that may be of use: the page's slider leaves some out. */
  async boxes({ signal }: Context, [, blob]: PhotoBytes, texts: string): Promise<Detection[]> {
    const labels = textsOf(texts);
    return loaded().detect(blob, { ...(labels.length > 0 && { labels }), threshold: 0.05, topK: 100, signal });
  },

  async masks({ signal }: Context, [id, blob]: PhotoBytes, points: readonly Point[], boxes: readonly Box[]) {
    let image = prepared.get(id);
    if (!image) {
      prepared.clear();
      image = loaded().prepare(blob);
      prepared.set(id, image);
      image.catch(() => prepared.clear());
    }
    const prompts = {
      ...(points.length > 0 && { points: [...points] }),
      ...(boxes.length > 0 && { boxes: [...boxes] }),
    };
    const { segments } = await (await image).segment({ ...prompts, signal });
    return segments.map(reduced);
  },

  async segments({ signal }: Context, [, blob]: PhotoBytes, texts: string): Promise<Segment[]> {
    const labels = textsOf(texts);
    const { segments } = await loaded().segment(blob, { ...(labels.length > 0 && { labels }), signal });
    return segments.map(reduced);
  },

  async poses({ signal }: Context, [, blob]: PhotoBytes, boxes: readonly Box[]): Promise<Pose[]> {
    return loaded().pose(blob, { ...(boxes.length > 0 && { boxes: [...boxes] }), signal });
  },

  /** A picture as a file, made as the page's lines of code make it. */
  async file(
    { signal }: Context,
    blob: Blob,
    { kind, options }: Made,
    type: "svg" | "npy",
  ): Promise<string | Uint8Array> {
    const isOfModel = kind === "filters" || kind === "positions" || kind === "distance";
    const made = await picture(loaded(), kind, blob, { ...options, signal });
    return type === "npy" ? made.npy() : made.svg(isOfModel ? {} : { over: blob });
  },
};

export type ModelFunctions = typeof functions;
