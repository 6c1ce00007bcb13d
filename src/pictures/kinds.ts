/** Kinds of pictures: a row each, with its options, what a checkpoint must have, and how it is made. */
import type { ImageInput } from "../image/source.js";
import { checkTopK } from "../tasks/task.js";
import { fusedRows, type Heads, weightedRow } from "./attention.js";
import { distanceChart, lensChart, shortened } from "./charts.js";
import { componentColor } from "./colors.js";
import { attentionDistances, type DistanceOptions } from "./distance.js";
import { type Cells, colorsOf, drawTiles, type Scale } from "./draw.js";
import { type FeatureOptions, featuresOf } from "./features.js";
import { FILTERS, filterComponents } from "./filters.js";
import { lensOf } from "./lens.js";
import { lengthsOf, medianOf } from "./norms.js";
import { type OcclusionOptions, occlusionMap } from "./occlusion.js";
import { mapView, type Plate } from "./picture.js";
import { imagine, tilesOf } from "./reconstruction.js";
import { rolledBack } from "./rollout.js";
import {
  attentions,
  lacksScores,
  type SeeingModel,
  type Seen,
  type SeenInputs,
  scoresOf,
  scoresOfPatches,
  see,
} from "./see.js";
import { similarityGrid, similarityMap } from "./similarity.js";
import { figure } from "./svg.js";
import { numberOf, type Patches, type Place, patchesOf, patchGrid, prefixOf } from "./tokens.js";

/** Options that all kinds have. */
interface Common {
  signal?: AbortSignal;
}

/** Entry of hiddenStates, from 0 (what the first block reads) to the number of blocks; behind the last norm unless given. */
interface Layered extends Common {
  layer?: number;
}

export interface AttentionOptions extends Common {
  /** Block, from 0; the last unless given. */
  layer?: number;
  /** A head, from 0, or heads as one: "mean" unless given, "max" or "min". */
  head?: Heads;
  /**
   * Whose attention: the class token's, that of attention pooling ("pool"), the mean of all patches' ("mean"), or a patch's. Unless
   * given, of what the checkpoint's head reads.
   */
  from?: "class" | "pool" | "mean" | Place;
  /** Attention carried through all blocks up to this one (Abnar & Zuidema 2020). */
  rollout?: boolean;
  /** How rollout takes heads as one, and the share of attention that it leaves out. */
  heads?: "mean" | "max" | "min";
  discard?: number;
}

export interface FiltersOptions extends Common {
  /** How many components: 28 unless given. */
  components?: number;
}

export interface LensOptions extends Common {
  /** Texts whose cosines are shown, of image-text models. */
  labels?: readonly string[];
  /** How many names the chart has: those that come highest at any layer; 6 unless given. */
  topK?: number;
}

export interface ScoreOptions extends Common {
  /** A class by its number or name; the best one of the photo unless given. */
  class?: number | string;
  /** Texts in the place of classes, of image-text models; of them `class` is one. */
  labels?: readonly string[];
}

/** Options of each kind. */
export interface KindOptions {
  filters: FiltersOptions;
  positions: Common;
  distance: Common & DistanceOptions;
  attention: AttentionOptions;
  features: Layered & FeatureOptions;
  similarity: Layered & { from?: Place };
  norms: Layered;
  lens: LensOptions;
  occlusion: ScoreOptions & Omit<OcclusionOptions, "signal">;
  activation: ScoreOptions;
  text: Common & { labels: readonly string[] };
  reconstruction: Common & { seed?: number };
}

export type KindName = keyof KindOptions;

export interface Kind<Options> {
  /** A line about it. */
  readonly help: string;
  readonly options: Readonly<Record<Exclude<keyof Options, "signal">, true>>;
  /** one: a picture of all photos together; none: of the model, without photos; each: one of each. */
  readonly photos: "one" | "none" | "each";
  /** Why a checkpoint has no such picture, to continue "the checkpoint must have …"; undefined if it has. */
  lacks?(config: SeeingModel["config"], options: Options): string | undefined;
  make(model: SeeingModel, photos: readonly ImageInput[], options: Options): Promise<Plate[]>;
}

/** A kind that makes a picture of each photo by itself. */
const each = <Options extends Common>(
  kind: Omit<Kind<Options>, "photos" | "make"> & {
    of(model: SeeingModel, seen: Seen, options: Options): Promise<Plate>;
  },
): Kind<Options> => ({
  ...kind,
  photos: "each",
  async make(model, photos, options) {
    const plates: Plate[] = [];
    for (const photo of photos) plates.push(await kind.of(model, await see(model, photo, options.signal), options));
    return plates;
  },
});

const noTransformer = ({ depth }: SeeingModel["config"]) =>
  depth === 0 ? "a transformer; a ResNet's class activation is the kind activation" : undefined;
const noAttention = (config: SeeingModel["config"]) =>
  noTransformer(config) ??
  (config.windows || config.hierarchy ? "blocks that attend to all tokens, not to windows" : undefined);

const changingWidth = ({ hierarchy }: SeeingModel["config"]) =>
  hierarchy ? "layers of one width, all of which its head can read" : undefined;

/**
 * A number of a layer or head.
 * @throws RangeError: one sentence.
 */
function checkNumber(what: string, value: unknown, count: number): void {
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < count) return;
  throw new RangeError(`picture: ${what} must be from 0 to ${count - 1}; got ${JSON.stringify(value)}`);
}

/** Tokens of a photo at a layer, and what the layer is called. */
async function layerOf(model: SeeingModel, { inputs, grid }: Seen, { layer, signal }: Layered) {
  const { config } = model;
  if (layer === undefined) {
    const { lastHiddenState } = await model.forward(inputs, { outputs: ["lastHiddenState"], signal });
    return { patches: patchesOf(lastHiddenState, config, grid), where: "behind the last norm" };
  }
  const state = await stateOf(model, inputs, layer, signal);
  return {
    patches: patchesOf(state, config, grid),
    where: layer === 0 ? "before the first block" : `behind block ${layer}`,
  };
}

/** An entry of hiddenStates. */
async function stateOf(model: SeeingModel, inputs: SeenInputs, layer: number, signal: AbortSignal | undefined) {
  const { depth } = model.config;
  if (depth > 0) checkNumber("layer", layer, depth + 1);
  // The first entry is no block's, and comes with all.
  const blocks = depth > 0 && layer > 0 ? [layer - 1] : undefined;
  const { hiddenStates } = await model.forward(inputs, { outputs: ["hiddenStates"], blocks, signal });
  if (!blocks) checkNumber("layer", layer, hiddenStates.length);
  return hiddenStates[blocks ? 0 : layer]!;
}

/** Places of patches on the model's image; a ResNet's map has no patches but pixels that divide it. */
function cellsOf({ config }: SeeingModel, { geometry }: Seen, { grid }: Pick<Patches, "grid">): Omit<Cells, "rgb"> {
  const { model } = geometry;
  const own = config.depth > 0 && !config.hierarchy;
  const patchSize = own ? config.patchSize : ([model.height / grid[0], model.width / grid[1]] as const);
  return { grid, patchSize, before: config.patchPadding ?? 0 };
}

const endsOf = (values: ArrayLike<number>): [number, number] => {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]!);
    high = Math.max(high, values[i]!);
  }
  return [low, high];
};

/**
 * The scale of attention, which is steep, and of which a few patches take much: by the square root, up to the fifth largest, or 15 % of
 * the largest where that is more.
 */
function attentionScale(values: Float32Array): { scale: Scale; note: string } {
  const sorted = values.slice().sort().reverse();
  const most = sorted[0]!;
  const end = Math.max(sorted[Math.min(4, sorted.length - 1)]!, 0.15 * most);
  return {
    scale: { colors: "magma", ends: [0, end], root: true },
    note: `Square root of attention; the scale ends at the fifth largest, ${figure(end)} (the largest is ${figure(most)}).`,
  };
}

/** From whose view attention is shown, where nothing is said. */
const viewOf = ({ classToken, pooling }: SeeingModel["config"]) =>
  pooling === "attention" ? "pool" : classToken ? "class" : "mean";

const attention = each<AttentionOptions>({
  help: "where a head looks, from the class token or a patch; rollout over all layers",
  options: { layer: true, head: true, from: true, rollout: true, heads: true, discard: true },
  lacks: noAttention,
  async of(model, seen, options) {
    const { config } = model;
    const { grid } = seen;
    const { layer = config.depth - 1, head = "mean", heads = "mean", discard = 0, signal } = options;
    const { from = viewOf(config), rollout = false } = options;
    checkNumber("layer", layer, config.depth);
    if (typeof head === "number") checkNumber("head", head, config.heads);
    else if (!["mean", "max", "min"].includes(head)) {
      throw new RangeError(`picture: head must be a number, mean, max or min; got ${JSON.stringify(head)}`);
    }
    if (!["mean", "max", "min"].includes(heads)) {
      throw new RangeError(`picture: heads must be mean, max or min; got ${JSON.stringify(heads)}`);
    }
    if (!(discard >= 0 && discard < 1)) {
      throw new RangeError(`picture: discard must be from 0 to less than 1; got ${JSON.stringify(discard)}`);
    }
    if (from === "class" && !config.classToken) {
      throw new RangeError(
        'picture: from: "class" needs a class token; this checkpoint has none, so give "mean" or [row, column]',
      );
    }
    if (from === "pool" && config.pooling !== "attention") {
      throw new RangeError('picture: from: "pool" needs attention pooling; this checkpoint has none');
    }
    const patch = typeof from === "string" ? undefined : numberOf("picture", from, grid);
    const name =
      patch === undefined
        ? NAMES[from as string]!
        : `the patch in row ${(from as Place)[0]}, column ${(from as Place)[1]}`;
    const row = await rowOf();
    const prefix = prefixOf(config, row.length, grid);
    const values = row.slice(prefix, prefix + grid[0] * grid[1]);
    const { scale, note } = attentionScale(values);
    const place = {
      geometry: seen.geometry,
      cells: { ...cellsOf(model, seen, { grid }), mark: patch === undefined ? undefined : (from as Place) },
    };
    const title = rollout
      ? `Attention rollout from ${name}, blocks 1 to ${layer + 1}`
      : from === "pool"
        ? "Attention pooling"
        : `Attention of ${name}, block ${layer + 1}, ${typeof head === "number" ? `head ${head + 1}` : `${head} of heads`}`;
    const how = rollout
      ? ` Heads by their ${heads}${discard > 0 ? `, the smallest ${figure(100 * discard)} % of attention left out` : ""}.`
      : "";
    return {
      ...{ dims: [...grid], data: values, prefix: row.slice(0, prefix) },
      title,
      note: note + how,
      view: mapView(values, scale, "attention (parts of 1)", place),
    };

    async function rowOf(): Promise<Float32Array> {
      if (from === "pool" && !rollout) return poolRow();
      if (!rollout) {
        for await (const block of attentions(model, seen, [layer], signal)) {
          if (from !== "mean")
            return fusedRows(
              block,
              head,
              patch === undefined ? classPlace(block.tokens) : prefixOf(config, block.tokens, grid) + patch,
            );
          return weightedRow(block, head, start(block.tokens));
        }
      }
      let row: Float32Array | undefined;
      const blocks = Array.from({ length: layer + 1 }, (_, i) => layer - i);
      for await (const block of attentions(model, seen, blocks, signal)) {
        signal?.throwIfAborted();
        row ??= from === "pool" ? await poolRow() : start(block.tokens);
        // Queries that joined on the way have no way back: what they were given stays with them.
        if (row.length > block.tokens) row = row.slice(row.length - block.tokens);
        row = rolledBack(row, block, { heads, discard });
      }
      return row!;
    }

    /** Place of the class token, which comes behind those that joined. */
    function classPlace(tokens: number): number {
      return prefixOf(config, tokens, grid) - (config.prefixTokens - config.suffixTokens);
    }

    /** 1 for the class token or the patch, or parts of 1 for all patches. */
    function start(tokens: number): Float32Array {
      const weights = new Float32Array(tokens);
      const count = grid[0] * grid[1];
      const first = prefixOf(config, tokens, grid);
      if (patch !== undefined) weights[first + patch] = 1;
      else if (from === "class") weights[classPlace(tokens)] = 1;
      else weights.fill(1 / count, first, first + count);
      return weights;
    }

    /** Attention pooling's own, its heads' mean or as they are asked for. */
    async function poolRow(): Promise<Float32Array> {
      const { poolAttention } = await model.forward(seen.inputs, { outputs: ["poolAttention"], signal });
      const { dims, data } = poolAttention;
      const [poolHeads, tokens] = [dims[1]!, dims[3]!];
      const block = {
        ...{ heads: poolHeads, tokens },
        rows: (h: number, _first: number, _count: number, out = new Float32Array(tokens)) => {
          out.set(data.subarray(h * tokens, (h + 1) * tokens));
          return out;
        },
      };
      if (typeof head === "number" && !rollout) checkNumber("head", head, poolHeads);
      return fusedRows(block, rollout ? heads : head, 0);
    }
  },
});

const NAMES: Readonly<Record<string, string>> = {
  class: "the class token",
  pool: "attention pooling",
  mean: "all patches",
};

const similarity = each<KindOptions["similarity"]>({
  help: "how alike a patch is to all others, at any layer",
  options: { layer: true, from: true },
  async of(model, seen, options) {
    const { patches, where } = await layerOf(model, seen, options);
    const { from = [patches.grid[0] >> 1, patches.grid[1] >> 1] } = options;
    const values = similarityMap(patches, numberOf("picture", from, patches.grid));
    const ends = endsOf(values);
    const place = { geometry: seen.geometry, cells: { ...cellsOf(model, seen, patches), mark: from } };
    return {
      ...{ dims: [...patches.grid], data: values },
      title: `Patches alike to that in row ${from[0]}, column ${from[1]}, ${where}`,
      note: `Cosine of tokens, from ${figure(ends[0])} to ${figure(ends[1])}.`,
      view: mapView(values, { colors: "viridis", ends }, "cosine", place),
    };
  },
});

const norms = each<Layered>({
  help: "how long each token is (Darcet et al. 2024)",
  options: { layer: true },
  async of(model, seen, { layer = model.config.depth > 0 ? model.config.depth : undefined, signal }) {
    const { patches, where } = await layerOf(model, seen, { layer, signal });
    const values = lengthsOf(patches.data, patches.width);
    const prefix = lengthsOf(patches.prefix, patches.width);
    const ends = endsOf(values);
    const median = medianOf(values);
    const long = values.filter((x) => x > 3 * median).length;
    const others = prefix.length > 0 ? ` Tokens before the patches: ${Array.from(prefix, figure).join(", ")}.` : "";
    const place = { geometry: seen.geometry, cells: cellsOf(model, seen, patches) };
    return {
      ...{ dims: [...patches.grid], data: values, prefix },
      title: `Lengths of tokens, ${where}`,
      note: `Median ${figure(median)}, longest ${figure(ends[1])}; ${long} of ${values.length} are longer than 3 × the median.${others}`,
      view: mapView(values, { colors: "viridis", ends: [0, ends[1]] }, "Euclidean length", place),
    };
  },
});

const features: Kind<KindOptions["features"]> = {
  help: "components of features as colors, of several photos together (DINOv2)",
  photos: "each",
  options: { layer: true, unit: true, outliers: true, keep: true },
  async make(model, photos, options) {
    const { unit = false, outliers, keep, signal } = options;
    if (keep !== undefined && keep !== "high" && keep !== "low") {
      throw new RangeError(`picture: keep must be high or low; got ${JSON.stringify(keep)}`);
    }
    if (outliers !== undefined && !(outliers > 0)) {
      throw new RangeError(`picture: outliers must be a number above 0; got ${JSON.stringify(outliers)}`);
    }
    const all: { seen: Seen; patches: Patches; where: string }[] = [];
    for (const photo of photos) {
      const seen = await see(model, photo, signal);
      // The geometry is all that is needed further; pixel values are the largest part.
      all.push({
        ...(await layerOf(model, seen, options)),
        seen: { ...seen, inputs: { pixelValues: { dims: [], data: new Float32Array() } } },
      });
    }
    const patches = all.map((one) => one.patches);
    const { maps, kept, components, left } = featuresOf(patches, { unit, outliers, keep });
    const count = patches.reduce((sum, { grid }) => sum + grid[0] * grid[1], 0);
    const lengths = patches.flatMap(({ data, width }) => [...lengthsOf(data, width)]);
    const median = medianOf(Float32Array.from(lengths));
    const massive = lengths.filter((x) => x > 3 * median).length;
    const shares = Array.from(components.shares, (share) => `${figure(100 * share)} %`).join(", ");
    const said = [
      `Of the variance of ${count} tokens${photos.length > 1 ? ` of ${photos.length} photos` : ""} the components have ${shares}.`,
      ...(unit ? ["Tokens are scaled to length 1."] : []),
      ...(outliers === undefined
        ? []
        : [`${left} tokens longer than ${outliers} × the median are left out of the fit.`]),
      ...(keep ? [`Patches with a ${keep} first component are shown, and fitted again.`] : []),
      ...(massive > 0 && !unit && outliers === undefined
        ? [`${massive} tokens are longer than 3 × the median: unit, and outliers 3, leave their length out.`]
        : []),
    ].join(" ");
    const ranges = [0, 1, 2].map((c) => robustEnds(maps, kept, c));
    return all.map(({ seen, patches: own, where }, i) => {
      const map = maps[i]!;
      const rgb = new Uint8Array(map.length);
      const at = (patch: number, c: number) => {
        const [low, high] = ranges[c]!;
        return high > low ? Math.min(Math.max((2 * (map[3 * patch + c]! - low)) / (high - low) - 1, -1), 1) : 0;
      };
      for (let patch = 0; patch < map.length / 3; patch++) {
        rgb.set(componentColor(at(patch, 0), at(patch, 1), at(patch, 2)), 3 * patch);
      }
      return {
        ...{ dims: [...own.grid, 3], data: map },
        title: `Three components of features, ${where}`,
        note: `Lightness is the first, hue and chroma are the second and third. ${said}`,
        view: { geometry: seen.geometry, cells: { ...cellsOf(model, seen, own), rgb, kept: kept[i] } },
      };
    });
  },
};

/** Ends of a component between which colors change: all of it but the outermost 1 % on each side. */
function robustEnds(maps: readonly Float32Array[], kept: readonly Uint8Array[], c: number): [number, number] {
  const values = Float32Array.from(
    maps.flatMap((map, i) =>
      Array.from(kept[i]!.keys()).flatMap((patch) => (kept[i]![patch] ? [map[3 * patch + c]!] : [])),
    ),
  ).sort();
  if (values.length === 0) return [0, 0];
  const edge = Math.floor(values.length / 100);
  return [values[edge]!, values[values.length - 1 - edge]!];
}

const activation = each<ScoreOptions>({
  help: "which patches speak for a class (class activation)",
  options: { class: true, labels: true },
  lacks: ({ ...config }, { labels }) => lacksScores(config, labels),
  async of(model, seen, { labels, class: wanted, signal }) {
    const scores = await scoresOf("picture", model, labels, signal);
    const name = await classOf(scores, wanted, seen);
    const patches = await headPatches(model, seen, signal);
    const rows = await scoresOfPatches(scores, model.config, patches);
    const values = Float32Array.from(rows, (row) => row[name]!);
    const ends = endsOf(values);
    const unit = scores.unit === "cosine" ? "cosine" : "logit";
    const place = { geometry: seen.geometry, cells: cellsOf(model, seen, patches) };
    return {
      ...{ dims: [...patches.grid], data: values },
      title: `What the head says of each patch alone: ${shortened(scores.names[name]!, 40)}`,
      note: `Its ${unit}, from ${figure(ends[0])} to ${figure(ends[1])}.`,
      view: mapView(values, { colors: "magma", ends }, unit, place),
    };
  },
});

/** Patches as the heads are given them. */
async function headPatches(model: SeeingModel, seen: Seen, signal: AbortSignal | undefined): Promise<Patches> {
  const { config } = model;
  // A ResNet's last map is behind its norm, as the heads read it.
  if (config.depth === 0) return (await layerOf(model, seen, { signal })).patches;
  return (await layerOf(model, seen, { layer: config.depth, signal })).patches;
}

/** The number of a class. */
async function classOf(
  scores: Awaited<ReturnType<typeof scoresOf>>,
  wanted: number | string | undefined,
  { inputs }: Seen,
): Promise<number> {
  if (typeof wanted === "number") {
    checkNumber("class", wanted, scores.names.length);
    return wanted;
  }
  if (wanted !== undefined) {
    const lower = String(wanted).toLowerCase();
    const found = scores.names.findIndex((name) =>
      name.toLowerCase().split(", ").concat(name.toLowerCase()).includes(lower),
    );
    if (found < 0)
      throw new RangeError(`picture: class must be a class of the checkpoint; got ${JSON.stringify(wanted)}`);
    return found;
  }
  const [row] = await scores.of(inputs);
  return row!.indexOf(row!.reduce((a, b) => Math.max(a, b)));
}

const occlusion = each<KindOptions["occlusion"]>({
  help: "how a class's score falls when a place is covered",
  options: { class: true, labels: true, size: true, stride: true, onProgress: true },
  lacks: ({ ...config }, { labels }) => lacksScores(config, labels),
  async of(model, seen, { labels, class: wanted, size = 2, stride, onProgress, signal }) {
    for (const [name, value] of [
      ["size", size],
      ["stride", stride ?? 1],
    ] as const) {
      if (!(Number.isSafeInteger(value) && value > 0)) {
        throw new RangeError(`picture: ${name} must be a positive number of patches; got ${JSON.stringify(value)}`);
      }
    }
    const scores = await scoresOf("picture", model, labels, signal);
    const chosen = wanted === undefined ? undefined : await classOf(scores, wanted, seen);
    const { model: image } = seen.geometry;
    // A ResNet has no patches, and those of an encoder in stages are small: squares of 32 pixels take their place.
    const own = model.config.depth > 0 && !model.config.hierarchy;
    const grid = own ? seen.grid : ([Math.ceil(image.height / 32), Math.ceil(image.width / 32)] as const);
    const patchSize = own ? model.config.patchSize : ([32, 32] as const);
    const { fall, score, name } = await occlusionMap(scores, seen.inputs, grid, patchSize, chosen, {
      ...{ size, stride, onProgress, signal },
    });
    const most = endsOf(fall.map(Math.abs))[1];
    const place = { geometry: seen.geometry, cells: { grid, patchSize, before: model.config.patchPadding ?? 0 } };
    return {
      ...{ dims: [...grid], data: fall },
      title: `What ${shortened(scores.names[name]!, 40)} loses when a place is covered`,
      note: `Fall of its ${scores.unit}, which is ${figure(score)}; the square has ${size} × ${size} patches of the mean color.`,
      view: mapView(fall, { colors: "diverging", ends: [-most, most] }, `fall of ${scores.unit}`, place),
    };
  },
});

const textKind = each<KindOptions["text"]>({
  help: "patches against texts, of image-text models",
  options: { labels: true },
  lacks: (config) => lacksScores(config, []),
  async of(model, seen, { labels, signal }) {
    const scores = await scoresOf("picture", model, labels ?? [], signal);
    const patches = await headPatches(model, seen, signal);
    const rows = await scoresOfPatches(scores, model.config, patches);
    const { names } = scores;
    const data = Float32Array.from(rows.flatMap((row) => [...row]));
    const first = Float32Array.from(rows, (row) => row[0]!);
    const ends = endsOf(first);
    const place = { geometry: seen.geometry, cells: cellsOf(model, seen, patches) };
    return {
      ...{ dims: [...patches.grid, names.length], data, names },
      title: `Patches and “${names[0]}”`,
      note: `Cosine of each patch's features with the text's, from ${figure(ends[0])} to ${figure(ends[1])}.`,
      view: mapView(first, { colors: "viridis", ends }, "cosine", place),
    };
  },
});

const lens = each<LensOptions>({
  help: "what the head would say after every layer",
  options: { labels: true, topK: true },
  lacks: (config, { labels }) => noTransformer(config) ?? changingWidth(config) ?? lacksScores(config, labels),
  async of(model, { inputs }, { labels, topK = 6, signal }) {
    checkTopK("picture", topK);
    const scores = await scoresOf("picture", model, labels, signal);
    const { hiddenStates } = await model.forward(inputs, { outputs: ["hiddenStates"], signal });
    const rows = await lensOf(scores, hiddenStates);
    const { names, unit } = scores;
    const best = Array.from(names.keys(), (name) => ({ name, most: Math.max(...rows.map((row) => row[name]!)) }))
      .sort((a, b) => b.most - a.most || a.name - b.name)
      .slice(0, topK);
    const leader = (row: Float32Array) => row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    const final = leader(rows.at(-1)!);
    let since = rows.length - 1;
    while (since > 0 && leader(rows[since - 1]!) === final) since--;
    const title = "What the head would say after every layer";
    const note = `${shortened(names[final]!, 40)} leads from layer ${since} on.${
      model.config.classToken ? " Before the first block the class token has seen nothing of the photo." : ""
    }`;
    const shown = unit === "probability" ? (x: number) => `${(100 * x).toFixed(1)} %` : figure;
    return {
      ...{ dims: [rows.length, names.length], data: Float32Array.from(rows.flatMap((row) => [...row])), names },
      ...{ title, note },
      view: {
        svg: () => {
          const lines = best.map(({ name }) => ({ name: names[name]!, values: rows.map((row) => row[name]!) }));
          return lensChart(lines, { title, note, probability: unit === "probability" });
        },
        lines: () =>
          rows.map((row, layer) => {
            const name = leader(row);
            return `  ${String(layer).padStart(2)}  ${shortened(names[name]!, 30).padEnd(30)} ${shown(row[name]!).padStart(8)}`;
          }),
      },
    };
  },
});

const distance: Kind<KindOptions["distance"]> = {
  help: "how far heads look, by layer (figure 7, right)",
  photos: "one",
  options: { renormalize: true },
  lacks: noAttention,
  async make(model, photos, { renormalize = true, signal }) {
    const { config } = model;
    const { depth, patchSize } = config;
    const blocks = Array.from({ length: depth }, (_, i) => i);
    let sums: Float64Array | undefined;
    let most = 0;
    for (const photo of photos) {
      const seen = await see(model, photo, signal);
      const { grid } = seen;
      most = Math.hypot((grid[0] - 1) * patchSize[0], (grid[1] - 1) * patchSize[1]);
      let at = 0;
      for await (const block of attentions(model, seen, blocks, signal)) {
        signal?.throwIfAborted();
        sums ??= new Float64Array(depth * block.heads);
        const prefix = prefixOf(config, block.tokens, grid);
        for (const value of attentionDistances(block, grid, prefix, patchSize, { renormalize })) sums[at++]! += value;
      }
    }
    const data = Float32Array.from(sums!, (sum) => sum / photos.length);
    const heads = data.length / depth;
    const title = "Attention distance of heads";
    const note = `Mean over patches${photos.length > 1 ? ` and ${photos.length} photos` : ""}, ${heads} heads a layer; the line is their mean. ${
      renormalize
        ? "A patch's attention to patches counts as 1."
        : "Attention to other tokens than patches counts as none."
    }`;
    return [
      {
        ...{ dims: [depth, heads], data, title, note },
        view: {
          svg: () => distanceChart(data, depth, title, note, most / 2),
          lines: () => distanceLines(data, depth, most),
        },
      },
    ];
  },
};

/** Heads of each layer as dots along a line of text, from 0 to the largest distance. */
function distanceLines(data: Float32Array, layers: number, most: number): string[] {
  const columns = 48;
  const heads = data.length / layers;
  const end = Math.max(...data, most / 2);
  return Array.from({ length: layers }, (_, layer) => {
    const own = data.subarray(layer * heads, (layer + 1) * heads);
    const line = new Array(columns).fill("·");
    for (const x of own) line[Math.min(columns - 1, Math.floor((x / end) * columns))] = "●";
    const mean = own.reduce((sum, x) => sum + x, 0) / heads;
    return `  layer ${String(layer + 1).padStart(2)}  ${line.join("")}  mean ${mean.toFixed(1)} px`;
  });
}

/** One image of the model's own size that is all of the mean color: what is asked of the model does not depend on it. */
function blank(config: SeeingModel["config"]): SeenInputs {
  const { imageSize, inputChannels, naflex, patchSize } = config;
  const grid = gridOfImage(config);
  const dims = naflex
    ? [1, grid[0] * grid[1], inputChannels * patchSize[0] * patchSize[1]]
    : [1, inputChannels, ...imageSize];
  const pixelValues = { dims, data: new Float32Array(dims.reduce((product, n) => product * n, 1)) };
  return naflex ? { pixelValues, spatialShapes: { dims: [1, 2], data: grid } } : { pixelValues };
}

const filters: Kind<FiltersOptions> = {
  help: "components of the first layer's filters (figure 7, left)",
  photos: "none",
  options: { components: true },
  async make(model, _, { components = FILTERS, signal }) {
    if (!(Number.isSafeInteger(components) && components > 0)) {
      throw new RangeError(`picture: components must be a positive number; got ${JSON.stringify(components)}`);
    }
    const { patchFilters } = await model.forward(blank(model.config), { outputs: ["patchFilters"], signal });
    const { dims, data, shares } = filterComponents(patchFilters, components);
    const [count, height, width, channels] = dims as [number, number, number, number];
    const size = height * width * channels;
    const tiles = new Uint8Array(count * height * width * 3);
    for (let tile = 0; tile < count; tile++) {
      const own = data.subarray(tile * size, (tile + 1) * size);
      const [low, high] = endsOf(own);
      for (let i = 0; i < height * width; i++)
        for (let c = 0; c < 3; c++) {
          const value = own[i * channels + Math.min(c, channels - 1)]!;
          tiles[(tile * height * width + i) * 3 + c] = (255 * (value - low)) / (high - low || 1) + 0.5;
        }
    }
    const across = Math.min(7, count);
    const sum = shares.reduce((total, share) => total + share, 0);
    return [
      {
        ...{ dims, data },
        title: "Filters of the first layer, as pixels",
        note: `The first ${count} principal components of ${patchFilters.dims[0]} filters, ${height} × ${width} pixels, ${figure(100 * sum)} % of their variance; each in its own scale.`,
        view: {
          draw: (most) => {
            const side = Math.max(1, Math.floor((most / across - 4) / width));
            return drawTiles(tiles, { across, height, width, side, gap: 4 });
          },
        },
      },
    ];
  },
};

const positions: Kind<KindOptions["positions"]> = {
  help: "how alike position embeddings are (figure 7, center)",
  photos: "none",
  options: {},
  lacks: noTransformer,
  async make(model, _, { signal }) {
    const { config } = model;
    const asked = { outputs: ["positionEmbeddings"], signal } as const;
    const { positionEmbeddings } = await model.forward(blank(config), asked);
    const { dims, data: table } = positionEmbeddings;
    const [rows, columns] = gridOfImage(config);
    const patches = patchesOf({ dims: [1, ...dims], data: table }, config, [rows, columns]);
    const data = similarityGrid(patches);
    const scale = { colors: "viridis", ends: [-1, 1] } as const;
    return [
      {
        ...{ dims: [rows, columns, rows, columns], data },
        title: "Similarity of position embeddings",
        note: `Each tile is a patch: the cosine of its position embedding with those of all ${rows} × ${columns} patches.`,
        view: {
          draw: (most) => {
            const side = Math.max(1, Math.floor((most / columns - 2) / columns));
            return drawTiles(colorsOf(data, scale), { across: columns, height: rows, width: columns, side, gap: 2 });
          },
          legend: { colors: "viridis", low: "-1", high: "1", label: "cosine similarity" },
          axes: { x: "input patch column", y: "input patch row" },
        },
      },
    ];
  },
};

const reconstruction = each<KindOptions["reconstruction"]>({
  help: "what a model imagines where it sees nothing, of masked autoencoders",
  options: { seed: true },
  lacks: (config) =>
    config.reconstruction ? undefined : "what tells hidden patches: MAE's decoder, or masked image modelling's layer",
  async of(model, seen, { seed = 0, signal }) {
    if (!(Number.isSafeInteger(seed) && seed >= 0)) {
      throw new RangeError(`picture: seed must be a whole number; got ${JSON.stringify(seed)}`);
    }
    const imagined = await imagine(model, seen, { seed, signal });
    const [, channels, height, width] = seen.inputs.pixelValues.dims as [number, number, number, number];
    const tiles = tilesOf(imagined, seen.inputs.pixelValues, seen.grid);
    const share = imagined.hidden.filter((hidden) => hidden).length / imagined.hidden.length;
    return {
      ...{ dims: [channels, height, width], data: imagined.data },
      title: "What the model imagines where it sees nothing",
      note: `${figure(100 * share)} % of the patches are hidden: the photo without them, as the model imagines it, and as it is.`,
      view: { draw: () => drawTiles(tiles, { across: 3, height, width, side: 1, gap: 4 }) },
    };
  },
});

const gridOfImage = (config: SeeingModel["config"]) => patchGrid(config, { dims: [1, 3, ...config.imageSize] });

export const KINDS: { readonly [Name in KindName]: Kind<KindOptions[Name]> } = {
  ...{ filters, positions, distance, attention, features, similarity, norms, lens, occlusion, activation },
  ...{ text: textKind, reconstruction },
};

export const KIND_NAMES = Object.keys(KINDS) as readonly KindName[];
