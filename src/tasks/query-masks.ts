/**
 * Segments of masks of queries, as transformers' EomtImageProcessor makes them, and of what texts say. Masks are enlarged to the model's image, cut to the
 * photo's part of it, and enlarged to the photo, both times bilinearly, line by line: beside the result it takes a few lines of
 * each mask and two bytes a pixel.
 */
import type { Size } from "../image/geometry.js";
import type { Slices } from "../image/slices.js";
import type { Tensor } from "../vit/outputs.js";
import { tapsOf } from "../vit/positions.js";
import { type Cell, cellsOf, type Region, type ScoreLines } from "./maps.js";

/** Outputs of a model for an image, or for each of its windows: masks, [windows, queries, h, w], and scores, [windows, queries, classes + 1]. */
export interface QueryScores {
  readonly masks: Tensor;
  readonly classes: Tensor;
}

/** Sizes that masks pass. */
export interface MaskSizes {
  /** The model's image. */
  readonly model: Size;
  /** The part of it that is of the photo, from its upper left corner on. */
  readonly part: Size;
  /** The result. */
  readonly to: Size;
}

/** A segment: its class, and its pixels by the number in a map. */
export interface QuerySegment {
  readonly index: number;
  readonly probability: number;
}

/** Number of the segment of each pixel, -1 where there is none. */
export interface SegmentMap {
  readonly map: Int16Array;
  readonly segments: readonly QuerySegment[];
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Six digits, as transformers gives scores. */
const rounded = (x: number): number => Math.round(x * 1e6) / 1e6;

/** A softmax of each query's scores, [queries, classes + 1]. */
function softmaxOf({ dims, data }: Tensor, window: number): Float32Array {
  const [, queries, scores] = dims as [number, number, number];
  const result = new Float32Array(queries * scores);
  for (let query = 0; query < queries; query++) {
    const own = data.subarray((window * queries + query) * scores, (window * queries + query + 1) * scores);
    const most = own.reduce((a, b) => Math.max(a, b));
    const sum = own.reduce((total, x) => total + Math.exp(x - most), 0);
    for (const [i, x] of own.entries()) result[query * scores + i] = Math.exp(x - most) / sum;
  }
  return result;
}

/** The place of the largest of the first `count` values. */
function largest(values: Float32Array, count = values.length): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** Lines of some masks of a window in the size of the model's image: `width` pixels, of each pixel all masks. */
function linesOf(
  { dims, data }: Tensor,
  window: number,
  chosen: readonly number[],
  model: Size,
  width: number,
): (y: number) => Float32Array {
  const [, queries, height, across] = dims as [number, number, number, number];
  const how = { filter: "bilinear", antialias: false } as const;
  const rows = tapsOf(height, model.height, how);
  const columns = tapsOf(across, model.width, how).slice(0, width);
  const count = chosen.length;
  return (y) => {
    const line = new Float32Array(width * count);
    const { at, weights } = rows[y]!;
    for (const [k, query] of chosen.entries()) {
      const plane = (window * queries + query) * height;
      const [above, below] = [(plane + at[0]!) * across, (plane + at[1]!) * across];
      for (const [x, { at: pixels, weights: own }] of columns.entries()) {
        const [left, right] = pixels as [number, number];
        const [u, v] = own as [number, number];
        line[x * count + k] =
          (data[above + left]! * u + data[above + right]! * v) * weights[0]! +
          (data[below + left]! * u + data[below + right]! * v) * weights[1]!;
      }
    }
    return line;
  };
}

/** Pixels of the result between the same four of a map: the masks' values at these, and the pixels' places and weights. */
interface Block {
  readonly corners: readonly [Float32Array, Float32Array, Float32Array, Float32Array];
  readonly rows: Cell;
  readonly columns: Cell;
}

/** Calls `visit` for all blocks, line by line. */
function* eachBlock(
  lineOf: (y: number) => Float32Array,
  count: number,
  from: Size,
  to: Size,
  visit: (block: Block) => void,
): Slices<void> {
  const across = cellsOf(from.width, to.width);
  const lines = new Map<number, Float32Array>();
  for (const rows of cellsOf(from.height, to.height)) {
    for (const known of lines.keys()) if (known !== rows.low && known !== rows.high) lines.delete(known);
    for (const needed of [rows.low, rows.high]) if (!lines.has(needed)) lines.set(needed, lineOf(needed));
    const [above, below] = [lines.get(rows.low)!, lines.get(rows.high)!];
    for (const columns of across) {
      const [left, right] = [columns.low * count, columns.high * count];
      const of = (line: Float32Array, at: number) => line.subarray(at, at + count);
      visit({ corners: [of(above, left), of(above, right), of(below, left), of(below, right)], rows, columns });
    }
    yield;
  }
}

/** Value of a mask at a pixel of a block. */
const valueAt = ({ corners: [a, b, c, d] }: Block, mask: number, u: number, v: number): number =>
  Math.fround((a[mask]! * (1 - u) + b[mask]! * u) * (1 - v) + (c[mask]! * (1 - u) + d[mask]! * u) * v);

const leastAt = ({ corners: [a, b, c, d] }: Block, mask: number): number =>
  Math.min(a[mask]!, b[mask]!, c[mask]!, d[mask]!);
const mostAt = ({ corners: [a, b, c, d] }: Block, mask: number): number =>
  Math.max(a[mask]!, b[mask]!, c[mask]!, d[mask]!);

export interface PanopticOptions {
  /** A query's best class must score more. */
  readonly threshold: number;
  /** Pixels of a mask are those of this probability or more. */
  readonly mask: number;
  /** Part of a mask that must be left to it where masks overlap. */
  readonly overlap: number;
  /** Classes whose segments are one. */
  readonly stuff: readonly number[];
}

/** post_process_panoptic_segmentation: each pixel belongs to one of the queries that are sure of a class, or to none. */
export function* panopticSegments(
  { masks, classes }: QueryScores,
  { model, part, to }: MaskSizes,
  { threshold, mask, overlap, stuff }: PanopticOptions,
): Slices<SegmentMap> {
  const scores = softmaxOf(classes, 0);
  const width = classes.dims[2]!;
  const sure: { query: number; index: number; score: number }[] = [];
  for (let query = 0; query < classes.dims[1]!; query++) {
    const own = scores.subarray(query * width, (query + 1) * width);
    const index = largest(own);
    if (index < width - 1 && own[index]! > threshold) sure.push({ query, index, score: own[index]! });
  }
  const count = sure.length;
  const map = new Int16Array(to.width * to.height).fill(-1);
  if (count === 0) return { map, segments: [] };
  /** Pixels where a query is the best, where it is probable, and where it is both. */
  const [best, probable, both] = [0, 1, 2].map(() => new Float64Array(count)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const logit = Math.log(mask / (1 - mask));
  const least = new Float64Array(count);
  const most = new Float64Array(count);
  const candidates: number[] = [];

  function visit(block: Block): void {
    const { rows, columns } = block;
    const area = (rows.end - rows.first) * (columns.end - columns.first);
    let floor = 0;
    for (let k = 0; k < count; k++) {
      least[k] = leastAt(block, k);
      most[k] = mostAt(block, k);
      floor = Math.max(floor, sure[k]!.score * sigmoid(least[k]!));
      if (least[k]! >= logit) probable[k]! += area;
    }
    candidates.length = 0;
    for (let k = 0; k < count; k++) if (sure[k]!.score * sigmoid(most[k]!) >= floor) candidates.push(k);
    const mixed = (k: number) => least[k]! < logit && most[k]! >= logit;
    const [only] = candidates as [number];
    let anyMixed = false;
    for (let k = 0; k < count && !anyMixed; k++) anyMixed = mixed(k);
    if (candidates.length === 1 && !anyMixed) {
      best[only]! += area;
      if (least[only]! < logit) return;
      both[only]! += area;
      for (let y = rows.first; y < rows.end; y++) {
        map.fill(only, y * to.width + columns.first, y * to.width + columns.end);
      }
      return;
    }
    for (let y = rows.first; y < rows.end; y++)
      for (let x = columns.first; x < columns.end; x++) {
        const [u, v] = [columns.weights[x - columns.first]!, rows.weights[y - rows.first]!];
        if (anyMixed) {
          for (let k = 0; k < count; k++) if (mixed(k) && valueAt(block, k, u, v) >= logit) probable[k]! += 1;
        }
        let largest = -1;
        let chosen = only;
        let value = 0;
        for (const k of candidates) {
          const own = valueAt(block, k, u, v);
          const score = Math.fround(sure[k]!.score * Math.fround(sigmoid(own)));
          if (score > largest) [largest, chosen, value] = [score, k, own];
        }
        best[chosen]! += 1;
        if (value < logit) continue;
        both[chosen]! += 1;
        map[y * to.width + x] = chosen;
      }
  }
  const lineOf = linesOf(
    masks,
    0,
    sure.map(({ query }) => query),
    model,
    part.width,
  );
  yield* eachBlock(lineOf, count, part, to, visit);

  const segments: QuerySegment[] = [];
  const ofClass = new Map<number, number>();
  const numbers = new Int16Array(count).fill(-1);
  for (const [k, { index, score }] of sure.entries()) {
    if (best[k] === 0 || probable[k] === 0 || both[k] === 0 || !(best[k]! / probable[k]! > overlap)) continue;
    const known = stuff.includes(index) ? ofClass.get(index) : undefined;
    numbers[k] = known ?? segments.length;
    if (known !== undefined) continue;
    if (stuff.includes(index)) ofClass.set(index, segments.length);
    segments.push({ index, probability: rounded(score) });
  }
  for (let i = 0; i < map.length; i++) if (map[i]! >= 0) map[i] = numbers[map[i]!]!;
  return { map, segments };
}

/** post_process_instance_segmentation: a segment for each query whose class and mask are sure, later ones above earlier. */
export function* instanceSegments(
  { masks, classes }: QueryScores,
  { model, part, to }: MaskSizes,
  threshold: number,
): Slices<SegmentMap> {
  const scores = softmaxOf(classes, 0);
  const width = classes.dims[2]!;
  let sure: { query: number; index: number; score: number }[] = [];
  for (let query = 0; query < classes.dims[1]!; query++) {
    const own = scores.subarray(query * width, (query + 1) * width);
    const index = largest(own, width - 1);
    // A mask's own score is 1 at most.
    if (own[index]! >= threshold) sure.push({ query, index, score: own[index]! });
  }
  const map = new Int16Array(to.width * to.height).fill(-1);
  const lines = () =>
    linesOf(
      masks,
      0,
      sure.map(({ query }) => query),
      model,
      part.width,
    );
  const pixels = new Float64Array(sure.length);
  const sums = new Float64Array(sure.length);
  if (sure.length > 0) {
    yield* eachBlock(lines(), sure.length, part, to, (block) => {
      for (let k = 0; k < pixels.length; k++) {
        if (mostAt(block, k) <= 0) continue;
        for (const v of block.rows.weights)
          for (const u of block.columns.weights) {
            const value = valueAt(block, k, u, v);
            if (value <= 0) continue;
            pixels[k]! += 1;
            sums[k]! += sigmoid(value);
          }
      }
    });
  }
  sure = sure
    .map((query, k) => ({ ...query, score: query.score * (sums[k]! / (pixels[k]! + 1e-6)), pixels: pixels[k]! }))
    .filter((query) => query.pixels > 0 && query.score >= threshold);
  if (sure.length > 0) {
    const count = sure.length;
    yield* eachBlock(lines(), count, part, to, (block) => {
      const { rows, columns } = block;
      for (let k = 0; k < count; k++) {
        if (mostAt(block, k) <= 0) continue;
        for (let y = rows.first; y < rows.end; y++)
          for (let x = columns.first; x < columns.end; x++) {
            const inside = valueAt(block, k, columns.weights[x - columns.first]!, rows.weights[y - rows.first]!) > 0;
            if (inside) map[y * to.width + x] = k;
          }
      }
    });
  }
  return { map, segments: sure.map(({ index, score }) => ({ index, probability: rounded(score) })) };
}

/** The pixels of each map of logits, [maps, h, w], that are of a probability or more: segments of those that have any. */
export function* textSegments(
  { dims, data }: Tensor,
  to: Size,
  threshold: number,
): Slices<{ regions: readonly Region[]; masks: Uint8Array[] }> {
  const [count, height, width] = dims as [number, number, number];
  const logit = Math.log(threshold / (1 - threshold));
  const regions: Region[] = [];
  const masks: Uint8Array[] = [];
  for (let index = 0; index < count; index++) {
    const plane = data.subarray(index * height * width, (index + 1) * height * width);
    const mask = new Uint8Array(to.width * to.height);
    const box = { xmin: to.width, ymin: to.height, xmax: 0, ymax: 0 };
    let [area, sum] = [0, 0];
    yield;
    const lineOf = (y: number) => plane.subarray(y * width, (y + 1) * width);
    yield* eachBlock(lineOf, 1, { width, height }, to, (block) => {
      if (mostAt(block, 0) < logit) return;
      const { rows, columns } = block;
      for (let y = rows.first; y < rows.end; y++)
        for (let x = columns.first; x < columns.end; x++) {
          const value = valueAt(block, 0, columns.weights[x - columns.first]!, rows.weights[y - rows.first]!);
          if (value < logit) continue;
          mask[y * to.width + x] = 1;
          area++;
          sum += sigmoid(value);
          box.xmin = Math.min(box.xmin, x);
          box.ymin = Math.min(box.ymin, y);
          box.xmax = Math.max(box.xmax, x + 1);
          box.ymax = Math.max(box.ymax, y + 1);
        }
    });
    if (area === 0) continue;
    regions.push({ index, area, probability: sum / area, box });
    masks.push(mask);
  }
  return { regions, masks };
}

/** Results between two yields: about a millisecond. */
const SLICE = 2 ** 18;

/** The segments with their pixels: masks, boxes and areas. One that others cover has none, and a box of no size. */
export function* regionsOf(
  { map, segments }: SegmentMap,
  { width }: Size,
): Slices<{ regions: readonly Region[]; masks: Uint8Array[] }> {
  const masks: Uint8Array[] = [];
  for (const _ of segments) {
    masks.push(new Uint8Array(map.length));
    yield;
  }
  const places = segments.map(() => ({ area: 0, xmin: width, ymin: -1, xmax: 0, ymax: 0 }));
  for (let begin = 0; begin < map.length; begin += SLICE) {
    const end = Math.min(begin + SLICE, map.length);
    for (let i = begin; i < end; i++) {
      const id = map[i]!;
      if (id < 0) continue;
      masks[id]![i] = 1;
      const place = places[id]!;
      const x = i % width;
      const y = (i - x) / width;
      place.area++;
      if (place.ymin < 0) place.ymin = y;
      place.ymax = y + 1;
      if (x < place.xmin) place.xmin = x;
      if (x >= place.xmax) place.xmax = x + 1;
    }
    yield;
  }
  const regions = segments.map(({ index, probability }, id) => {
    const { area, ...box } = places[id]!;
    return { index, probability, area, box: area > 0 ? box : { xmin: 0, ymin: 0, xmax: 0, ymax: 0 } };
  });
  return { regions, masks };
}

/** Most below 0 that counts: what is left out of a sum is below 2^-36. */
const FAR = -25;

/**
 * Scores of classes of post_process_semantic_segmentation, by lines: the sum over queries of their probabilities of a class and of a
 * pixel; where windows overlap, their mean.
 * @param windows corners of the windows, of an image that is cut into them.
 */
export function classLines(
  { masks, classes }: QueryScores,
  { model, part }: Pick<MaskSizes, "model" | "part">,
  windows: readonly (readonly [x: number, y: number])[] = [[0, 0]],
): ScoreLines {
  const [, queries, outputs] = classes.dims as [number, number, number];
  const count = outputs - 1;
  const all = Array.from({ length: queries }, (_, i) => i);
  const parts = windows.map(([left, top], i) => {
    const width = Math.min(model.width, part.width - left);
    return { left, top, width, line: linesOf(masks, i, all, model, width), probabilities: softmaxOf(classes, i) };
  });
  return {
    ...part,
    classes: count,
    probabilities: "parts",
    line(y) {
      const sums = new Float32Array(part.width * count);
      const covered = new Uint8Array(part.width);
      for (const { left, top, width, line, probabilities } of parts) {
        if (y < top || y >= top + model.height) continue;
        const logits = line(y - top);
        for (let x = 0; x < width; x++) {
          covered[left + x]!++;
          const at = (left + x) * count;
          for (let query = 0; query < queries; query++) {
            const logit = logits[x * queries + query]!;
            if (logit < FAR) continue;
            const inside = sigmoid(logit);
            const first = query * outputs;
            for (let c = 0; c < count; c++) sums[at + c]! += probabilities[first + c]! * inside;
          }
        }
      }
      for (let x = 0; x < part.width; x++) {
        const n = covered[x]!;
        if (n > 1) for (let c = 0; c < count; c++) sums[x * count + c]! /= n;
      }
      return sums;
    },
  };
}
