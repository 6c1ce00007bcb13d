/** Maps of a model in the size of a photo, as torch.nn.functional.interpolate makes them (align_corners=False), in slices. */
import type { Size } from "../image/geometry.js";
import type { Slices } from "../image/slices.js";
import { tapsOf } from "../vit/positions.js";

/** Results between two yields: about a millisecond. */
const SLICE = 2 ** 16;

/**
 * Bicubic interpolation of a map, a = -0.75, without antialias. Lines of the map are stretched once each, four at a time, so
 * beside the result it takes four lines of it.
 */
export function* resizeBicubic(map: Float32Array, from: Size, to: Size): Slices<Float32Array> {
  const how = { filter: "bicubic", antialias: false } as const;
  const columns = tapsOf(from.width, to.width, how);
  const at = Int32Array.from(columns.flatMap((taps) => taps.at));
  const weights = Float64Array.from(columns.flatMap((taps) => taps.weights));
  yield;
  const out = new Float32Array(to.width * to.height);
  const lines = new Map<number, Float32Array>();
  let made = 0;
  yield;

  function stretched(y: number): Float32Array {
    const line = new Float32Array(to.width);
    const row = y * from.width;
    for (let x = 0, i = 0; x < to.width; x++, i += 4) {
      line[x] =
        map[row + at[i]!]! * weights[i]! +
        map[row + at[i + 1]!]! * weights[i + 1]! +
        map[row + at[i + 2]!]! * weights[i + 2]! +
        map[row + at[i + 3]!]! * weights[i + 3]!;
    }
    return line;
  }

  for (const [y, taps] of tapsOf(from.height, to.height, how).entries()) {
    for (const known of lines.keys()) if (!taps.at.includes(known)) lines.delete(known);
    for (const needed of taps.at) if (!lines.has(needed)) lines.set(needed, stretched(needed));
    const [a, b, c, d] = taps.at.map((line) => lines.get(line)!) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const [p, q, r, s] = taps.weights as [number, number, number, number];
    const row = y * to.width;
    for (let x = 0; x < to.width; x++) out[row + x] = a[x]! * p + b[x]! * q + c[x]! * r + d[x]! * s;
    made += to.width;
    if (made >= SLICE) {
      made = 0;
      yield;
    }
  }
  return out;
}

/** The upper left `part` of a map that is interpolated bilinearly to the size `to`. */
export function* resizeBilinear(map: Float32Array, from: Size, to: Size, part: Size): Slices<Float32Array> {
  const out = new Float32Array(part.width * part.height);
  const cells = cellsOf(from.width, to.width);
  let made = 0;
  for (const { low: y0, high: y1, first: top, end: bottom, weights: down } of cellsOf(from.height, to.height)) {
    for (let y = top; y < Math.min(bottom, part.height); y++) {
      const v = down[y - top]!;
      const [above, below] = [y0 * from.width, y1 * from.width];
      for (const { low, high, first, end, weights: across } of cells) {
        const upper = [map[above + low]!, map[above + high]!] as const;
        const lower = [map[below + low]!, map[below + high]!] as const;
        const left = upper[0] * (1 - v) + lower[0] * v;
        const right = upper[1] * (1 - v) + lower[1] * v;
        for (let x = first; x < Math.min(end, part.width); x++) {
          const u = across[x - first]!;
          out[y * part.width + x] = left * (1 - u) + right * u;
        }
      }
      made += part.width;
    }
    if (made < SLICE) continue;
    made = 0;
    yield;
  }
  return out;
}

/** Pixels that are above 0: 1 where they are, line by line, how many there are, and the smallest box around them. */
export interface AboveZero {
  readonly data: Uint8Array;
  readonly area: number;
  /** All 0 where there is none. */
  readonly box: { readonly xmin: number; readonly ymin: number; readonly xmax: number; readonly ymax: number };
}

/**
 * The pixels of a map that are above 0 when it is interpolated bilinearly. Between four of its pixels of one sign there is
 * nothing to compute.
 */
export function* maskAbove(map: Float32Array, from: Size, to: Size): Slices<AboveZero> {
  const data = new Uint8Array(to.width * to.height);
  const cells = cellsOf(from.width, to.width);
  let [area, xmin, ymin, xmax, ymax] = [0, to.width, to.height, 0, 0];
  let made = 0;

  function mark(y: number, x: number, end: number): void {
    data.fill(1, y * to.width + x, y * to.width + end);
    area += end - x;
    xmin = Math.min(xmin, x);
    xmax = Math.max(xmax, end);
    ymin = Math.min(ymin, y);
    ymax = Math.max(ymax, y + 1);
  }

  for (const { low: y0, high: y1, first: top, end: bottom, weights: down } of cellsOf(from.height, to.height)) {
    for (const { low, high, first, end, weights: across } of cells) {
      const [a, b] = [map[y0 * from.width + low]!, map[y0 * from.width + high]!];
      const [c, d] = [map[y1 * from.width + low]!, map[y1 * from.width + high]!];
      if (a <= 0 && b <= 0 && c <= 0 && d <= 0) continue;
      const whole = a > 0 && b > 0 && c > 0 && d > 0;
      for (let y = top; y < bottom; y++) {
        if (whole) {
          mark(y, first, end);
          continue;
        }
        const v = down[y - top]!;
        const [left, right] = [a * (1 - v) + c * v, b * (1 - v) + d * v];
        for (let x = first; x < end; x++) {
          const u = across[x - first]!;
          if (left * (1 - u) + right * u > 0) mark(y, x, x + 1);
        }
      }
    }
    made += (bottom - top) * to.width;
    if (made < SLICE) continue;
    made = 0;
    yield;
  }
  return { data, area, box: area > 0 ? { xmin, ymin, xmax, ymax } : { xmin: 0, ymin: 0, xmax: 0, ymax: 0 } };
}

/** A class on a map of classes. */
export interface Region {
  readonly index: number;
  /** Pixels. */
  readonly area: number;
  /** Mean over them of the class's probability, as the scores around each pixel have it. */
  readonly probability: number;
  readonly box: { readonly xmin: number; readonly ymin: number; readonly xmax: number; readonly ymax: number };
}

/** The class of each pixel, and the classes that there are, the largest first. */
export interface LabelMap {
  readonly labels: Uint8Array | Uint16Array | Uint32Array;
  readonly regions: readonly Region[];
}

/** Scores of classes in lines that are made when they are needed. */
export interface ScoreLines extends Size {
  readonly classes: number;
  /** Scores of a line's pixels, one pixel's after the other's. */
  line(y: number): Float32Array;
  /** Probabilities of a pixel's classes: the softmax of its scores, or their parts of their sum. */
  readonly probabilities: "softmax" | "parts";
}

/** @param scores [classes, height, width] */
export const bestClasses = (scores: Float32Array, classes: number, from: Size, to: Size): Slices<LabelMap> =>
  bestOfLines(
    {
      ...from,
      classes,
      probabilities: "softmax",
      line(y) {
        const line = new Float32Array(from.width * classes);
        const area = from.width * from.height;
        for (let c = 0; c < classes; c++)
          for (let x = 0; x < from.width; x++) line[x * classes + c] = scores[c * area + y * from.width + x]!;
        return line;
      },
    },
    to,
  );

/**
 * The best class of each pixel of scores that are interpolated bilinearly; of equal ones the first.
 *
 * The scores are never made in full, which would be the photo's pixels times the classes. Between four scores every class is a
 * mean of its own four, so one whose largest is below the smallest of another can be best nowhere there: of 150 classes one or
 * two are left in most places, and where one is left nothing is computed.
 */
export function* bestOfLines(from: ScoreLines, to: Size): Slices<LabelMap> {
  const { classes } = from;
  const soft = from.probabilities === "softmax";
  const kind = classes <= 2 ** 8 ? Uint8Array : classes <= 2 ** 16 ? Uint16Array : Uint32Array;
  const labels = new kind(to.width * to.height);
  const found = new Map<
    number,
    { area: number; sum: number; xmin: number; ymin: number; xmax: number; ymax: number }
  >();
  const columns = cellsOf(from.width, to.width);
  const rows = cellsOf(from.height, to.height);
  /** Scores of a line, and of each pixel their sum, or the logarithm of that of their exponentials. */
  const lines = new Map<number, { scores: Float32Array; total: Float64Array }>();

  function lineOf(y: number) {
    const scores = from.line(y);
    const total = Float64Array.from({ length: from.width }, (_, x) => {
      const own = scores.subarray(x * classes, (x + 1) * classes);
      let sum = 0;
      if (!soft) {
        for (const score of own) sum += score;
        return sum;
      }
      let most = -Infinity;
      for (const score of own) most = Math.max(most, score);
      for (const score of own) sum += Math.exp(score - most);
      return most + Math.log(sum);
    });
    return { scores, total };
  }
  const part = (score: number, total: number) => (soft ? Math.exp(score - total) : total > 0 ? score / total : 0);

  /** Counts pixels of a class in a line, from `x` to `end`, and what they are worth. */
  function count(index: number, y: number, x: number, end: number, probability: number): void {
    const region = found.get(index) ?? { area: 0, sum: 0, xmin: x, ymin: y, xmax: end, ymax: y + 1 };
    found.set(index, region);
    region.area += end - x;
    region.sum += (end - x) * probability;
    region.xmin = Math.min(region.xmin, x);
    region.xmax = Math.max(region.xmax, end);
    region.ymin = Math.min(region.ymin, y);
    region.ymax = Math.max(region.ymax, y + 1);
  }

  let made = 0;
  const candidates = new Int32Array(classes);
  for (const { low: y0, high: y1, first: top, end: bottom, weights: down } of rows) {
    for (const known of lines.keys()) if (known !== y0 && known !== y1) lines.delete(known);
    for (const needed of [y0, y1]) {
      if (lines.has(needed)) continue;
      lines.set(needed, lineOf(needed));
      made += from.width * classes;
    }
    const [above, below] = [lines.get(y0)!, lines.get(y1)!];
    for (const { low, high, first, end, weights: across } of columns) {
      const [left, right] = [low * classes, high * classes];
      let floor = -Infinity;
      for (let c = 0; c < classes; c++) {
        const least = Math.min(
          Math.min(above.scores[left + c]!, above.scores[right + c]!),
          Math.min(below.scores[left + c]!, below.scores[right + c]!),
        );
        if (least > floor) floor = least;
      }
      let count_ = 0;
      for (let c = 0; c < classes; c++) {
        const most = Math.max(
          Math.max(above.scores[left + c]!, above.scores[right + c]!),
          Math.max(below.scores[left + c]!, below.scores[right + c]!),
        );
        if (most >= floor) candidates[count_++] = c;
      }
      const probabilityOf = (c: number) =>
        (part(above.scores[left + c]!, above.total[low]!) +
          part(above.scores[right + c]!, above.total[high]!) +
          part(below.scores[left + c]!, below.total[low]!) +
          part(below.scores[right + c]!, below.total[high]!)) /
        4;
      if (count_ === 1) {
        const only = candidates[0]!;
        const probability = probabilityOf(only);
        for (let y = top; y < bottom; y++) {
          labels.fill(only, y * to.width + first, y * to.width + end);
          count(only, y, first, end, probability);
        }
        made += classes + end - first;
        continue;
      }
      for (let y = top; y < bottom; y++) {
        const v = down[y - top]!;
        for (let x = first; x < end; x++) {
          const u = across[x - first]!;
          let best = -Infinity;
          let index = candidates[0]!;
          for (let i = 0; i < count_; i++) {
            const c = candidates[i]!;
            const upper = above.scores[left + c]! * (1 - u) + above.scores[right + c]! * u;
            const lower = below.scores[left + c]! * (1 - u) + below.scores[right + c]! * u;
            const score = Math.fround(upper * (1 - v) + lower * v);
            if (score > best) {
              best = score;
              index = c;
            }
          }
          labels[y * to.width + x] = index;
          count(index, y, x, x + 1, probabilityOf(index));
        }
      }
      made += classes + (bottom - top) * (end - first) * count_;
      if (made >= SLICE) {
        made = 0;
        yield;
      }
    }
    yield;
  }
  const regions = [...found].map(([index, { area, sum, ...box }]) => ({ index, area, probability: sum / area, box }));
  return { labels, regions: regions.sort((a, b) => b.area - a.area || a.index - b.index) };
}

/** Pixels of a result that lie between the same two of a line, `weights` from the first to the second. */
export interface Cell {
  readonly low: number;
  readonly high: number;
  readonly first: number;
  readonly end: number;
  readonly weights: readonly number[];
}

export function cellsOf(from: number, to: number): Cell[] {
  const cells: { low: number; high: number; first: number; end: number; weights: number[] }[] = [];
  for (let i = 0; i < to; i++) {
    const at = Math.max(((i + 0.5) * from) / to - 0.5, 0);
    const low = Math.min(Math.floor(at), from - 1);
    const last = cells.at(-1);
    if (last?.low === low) {
      last.end = i + 1;
      last.weights.push(at - low);
    } else cells.push({ low, high: Math.min(low + 1, from - 1), first: i, end: i + 1, weights: [at - low] });
  }
  return cells;
}

/** A mask, 1 where a map has the label, of each label that is asked for. */
export function* masksOf({ labels, regions }: LabelMap): Slices<Uint8Array[]> {
  const byLabel: Uint8Array[] = [];
  for (const { index } of regions) {
    byLabel[index] = new Uint8Array(labels.length);
    yield;
  }
  for (let begin = 0; begin < labels.length; begin += SLICE) {
    const end = Math.min(begin + SLICE, labels.length);
    for (let i = begin; i < end; i++) byLabel[labels[i]!]![i] = 1;
    yield;
  }
  return regions.map(({ index }) => byLabel[index]!);
}
