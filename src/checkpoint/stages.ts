/** Weights of encoders in stages, Swin, SwinV2 and Hiera (vit/stages.ts), beside those of the blocks of any encoder. */
import type { Norm, Pair } from "../backend.js";
import type { Arrange, LinearPlan, Planned, Planner, TensorPlan } from "../planned.js";
import { source, values } from "../plans.js";
import type { Attention, PostNorm } from "../vit/encoder.js";
import { gridOf } from "../vit/places.js";
import type { QueryPool } from "../vit/query-pool.js";
import type { Merging } from "../vit/stages.js";
import type { WindowOf } from "../vit/windows.js";
import type { Config } from "./config.js";
import type { AttentionNames, BlockNames, MergingNames } from "./layouts.js";

/** Epsilon of patch merging in every library, whatever that of the rest. */
const MERGING_EPS = 1e-5;

/** Norm and layer of patch merging. The libraries have neighbors column by column, here they are line by line. */
export function planMerging(
  planner: Planner,
  at: string,
  { norm, reduction }: MergingNames,
  width: number,
  postNorm: PostNorm,
): Planned<Merging> {
  const layer = planner.linear([at + reduction], 2 * width, 4 * width);
  const [weight] = layer.weight;
  const lines = byLines(width);
  const merged: LinearPlan = { ...layer, weight: [{ ...weight!, arrange: lines }] };
  const last = planner.shapeOf(planner.weightOf(at + norm))?.[0] !== 4 * width;
  if (postNorm && last) return { norm: planner.norm(at + norm, 2 * width, MERGING_EPS), reduction: merged };
  const part = (tensor: string): TensorPlan => ({
    place: "tensor",
    ...{ rows: 1, cols: 4 * width, sources: [source(tensor, [4 * width], 1, { arrange: lines })] },
  });
  const before: Planned<Norm> = {
    scale: part(planner.weightOf(at + norm)),
    shift: part(planner.biasOf(at + norm)),
    eps: MERGING_EPS,
  };
  return { norm: before, reduction: merged };
}

/** Layers of the block that makes a stage's map; its queries, keys and values are rows of one tensor. */
export function planQueryPool(
  planner: Planner,
  { inputs, width, eps }: { readonly inputs: number; readonly width: number; readonly eps: number },
  at: string,
  { norm, qkv, proj }: AttentionNames,
  widen: string,
): Omit<Planned<QueryPool>, "mlp"> {
  const [[fused]] = qkv as [readonly [string]];
  const part = (i: number): LinearPlan => ({
    ...planner.linear([at + fused], width, inputs),
    weight: [source(planner.weightOf(at + fused), [3 * width, inputs], width, { from: i * width })],
    bias: [source(planner.biasOf(at + fused), [3 * width], width, { from: i * width })],
  });
  return {
    norm: planner.norm(at + norm, inputs, eps),
    widen: planner.linear([at + widen], width, inputs),
    ...{ q: part(0), k: part(1), v: part(2) },
    out: planner.linear([at + proj], width, width),
  };
}

/** Rows of four parts: the second and the third change places. */
const byLines =
  (width: number): Arrange =>
  (values) => {
    const result = values.slice();
    for (let row = 0; row < values.length; row += 4 * width) {
      result.copyWithin(row + width, row + 2 * width, row + 3 * width);
      result.set(values.subarray(row + width, row + 2 * width), row + 2 * width);
    }
    return result;
  };

/** Largest factor of a cosine (Liu et al. 2022, section 3.2). */
const MOST_SIMILARITY = 100;

/**
 * Cosine attention as a norm: q and k become √d times their directions, of which scores are √d · cos, and each head's queries get
 * the rest of its factor. The epsilon keeps what torch.nn.functional.normalize does with zeros, which padding's keys are.
 */
export function planCosines(tensor: string, width: number, heads: number): Planned<NonNullable<Attention["qkNorm"]>> {
  const d = width / heads;
  const norm = (factor: (logarithm: number) => number): Planned<Norm> => {
    const arrange = (scales: Float32Array) =>
      Float32Array.from({ length: width }, (_, i) => factor(scales[Math.floor(i / d)]!));
    const scale: TensorPlan = {
      place: "tensor",
      ...{ rows: 1, cols: width, sources: [source(tensor, [heads, 1, 1], 1, { arrange })] },
    };
    return { scale, shift: undefined, eps: 1e-24 / d };
  };
  const query = norm((logarithm) => Math.min(Math.exp(logarithm), MOST_SIMILARITY) / Math.sqrt(d));
  return { query, key: norm(() => 1), heads };
}

/** Hidden width of the layers that make biases of distances, in both libraries; timm's swinv2_cr tells its own. */
const HIDDEN = 512;

/** Layers that make a table of biases, where there are any. */
export function planContinuous(
  planner: Planner,
  {
    heads,
    stage,
    trainedWindow,
  }: { readonly heads: number; readonly stage?: WindowOf; readonly trainedWindow?: number },
  { at, first }: { readonly at: string; readonly first: string },
  { continuous }: AttentionNames,
): Planned<Attention>["continuous"] {
  if (!stage || !continuous || !planner.has(planner.weightOf(first + continuous[0]))) return undefined;
  const [hidden, out] = continuous;
  const biased = planner.has(planner.biasOf(first + out));
  const width = (biased && planner.shapeOf(planner.weightOf(first + hidden))?.[0]) || HIDDEN;
  return {
    hidden: values(planner.weightOf(at + hidden), [width, 2]),
    bias: values(planner.biasOf(at + hidden), [width]),
    out: values(planner.weightOf(at + out), [heads, width]),
    ...(biased && { outBias: values(planner.biasOf(at + out), [heads]) }),
    reach: trainedWindow === undefined ? stage.size : [trainedWindow, trainedWindow],
  };
}

/** Whole parts of two sides, at least so many. */
export const partOf = ([height, width]: Pair, ratio: number, least = 1): Pair => [
  Math.max(Math.floor(height / ratio), least),
  Math.max(Math.floor(width / ratio), least),
];

/** Window of a stage and its shift, of timm by the map that images of the config's size have there. */
function windowAt(
  { hierarchy, ...config }: Config,
  stage: number,
): { readonly size: Pair; readonly by: Pair } | undefined {
  const { stages, rules, always } = hierarchy!;
  const { window, shift, windowRatio } = stages[stage]!;
  if (!window) return undefined;
  const patches = gridOf(config, config.imageSize);
  const size = windowRatio ? partOf(patches, windowRatio) : window;
  const by = windowRatio ? partOf(size, 2, 0) : shift;
  if (rules !== "timm" || always) return { size, by };
  const grid = patches.map((side) => Math.ceil(side / 2 ** stage));
  const axis = <T>(of: (side: number, axis: 0 | 1) => T) => [of(grid[0]!, 0), of(grid[1]!, 1)] as const;
  return {
    size: axis((side, i) => Math.min(side, size[i])),
    by: axis((side, i) => (side <= size[i] ? 0 : by[i])),
  };
}

/** Windows of a stage, shifted, and the shape of its tables, as its blocks need them. */
export function windowsOf(
  config: Config,
  i: number,
  planner: Planner,
  prefix: string,
  names: BlockNames,
): { readonly stage?: WindowOf; readonly relativeTable?: Pair; readonly relativeArrange?: Arrange } {
  const { penalty, rules, stages } = config.hierarchy!;
  const { heads } = stages[i]!;
  const window = windowAt(config, i);
  if (!window) return {};
  const { size, by } = window;
  const shift = { by, penalty, padded: rules !== "timm", several: rules === "swin" };
  const stage: WindowOf = by.some((n) => n > 0) ? { size, shift } : { size };
  const offsets: Pair = [2 * size[0] - 1, 2 * size[1] - 1];
  const rows = offsets[0] * offsets[1];
  const table = prefix + names.at.replace("#", "0") + names.attentions[0].relativePositions;
  const stored = planner.shapeOf(table)?.[0] ?? rows;
  const side = Math.sqrt(stored);
  // timm makes a table of another window once, at load.
  const resampled = rules === "timm" && stored !== rows && Number.isInteger(side);
  if (!resampled) return { stage, relativeTable: [rows, heads] };
  const arrange: Arrange = (table) => relativeTableAt(table, [side, side], offsets, heads);
  return { stage, relativeTable: [stored, heads], relativeArrange: arrange };
}

/**
 * timm's resize_rel_pos_bias_table: the table's offsets lie at distances that grow by a factor, so that the last of them is the
 * new table's, whose values are linear between them. In f32, as torch has the distances.
 */
export function relativeTableAt(table: Float32Array, from: Pair, to: Pair, heads: number): Float32Array {
  const axes = ([0, 1] as const).map((axis) => {
    const places = distances(from[axis], to[axis]);
    const half = Math.floor(to[axis] / 2);
    return Array.from({ length: to[axis] }, (_, i) => between(places, i - half));
  });
  const result = new Float32Array(to[0] * to[1] * heads);
  let at = 0;
  for (const y of axes[0]!)
    for (const x of axes[1]!)
      for (let h = 0; h < heads; h++, at++)
        for (const [line, down] of y)
          for (const [column, across] of x)
            result[at]! += table[(line * from[1] + column) * heads + h]! * down * across;
  return result;
}

/** Places of `count` offsets, of which the last is that of `target`: timm searches for the factor by halves. */
function distances(count: number, target: number): number[] {
  const half = Math.floor(count / 2);
  let [left, right, factor] = [1.01, 1.5, 1.01];
  while (right - left > 1e-6) {
    factor = (left + right) / 2;
    if ((1 - factor ** half) / (1 - factor) > Math.floor(target / 2)) right = factor;
    else left = factor;
  }
  const beyond: number[] = [];
  let place = 1;
  for (let i = 0; i < half; i++) {
    beyond.push(Math.fround(place));
    place += factor ** (i + 1);
  }
  return [...beyond.map((x) => -x).reverse(), 0, ...beyond];
}

/** Places on both sides of one, with their weights; beyond the last of them, that one. */
function between(places: readonly number[], x: number): (readonly [number, number])[] {
  const found = places.findIndex((place) => place >= x);
  const right = found < 0 ? places.length - 1 : found;
  const left = Math.max(right - 1, 0);
  const [before, behind] = [Math.max(x - places[left]!, 0), Math.max(places[right]! - x, 0)];
  if (before + behind === 0) return [[right, 1]];
  return [
    [left, behind / (before + behind)],
    [right, before / (before + behind)],
  ];
}
