/**
 * What the samples of one axis count in each result of a resize: Pillow's precompute_coeffs and normalize_coeffs_8bpc
 * (src/libImaging/Resample.c). One result's after the other, and only those that are asked for: of a long side they may be many.
 */
import type { Slices } from "./slices.js";

export type Filter = "nearest" | "box" | "bilinear" | "hamming" | "bicubic" | "lanczos";
/** Those that weigh samples. */
export type Kernel = Exclude<Filter, "nearest">;

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Support (half width at scale 1) and shape of each filter; hamming's two constants are C floats in Pillow. */
export const FILTERS: Readonly<Record<Kernel, { support: number; weight: (x: number) => number }>> = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  hamming: {
    support: 1,
    weight: (x) => {
      if (x === 0) return 1;
      if (Math.abs(x) >= 1) return 0;
      return sinc(x) * (Math.fround(0.54) + Math.fround(0.46) * Math.cos(x * Math.PI));
    },
  },
  bicubic: {
    support: 2,
    weight: (x) => {
      const a = -0.5;
      x = Math.abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

/** What a weight of 1 is. */
export const FRACTION = 2 ** 22;
/** Weights that are made between two yields. */
const STRETCH = 1 << 15;

export interface AxisOptions {
  /** Samples of the source, and the part of them that is resized, in C floats as in Pillow. */
  readonly size: number;
  readonly from: number;
  readonly to: number;
  /** Results, and which of them are wanted. */
  readonly out: number;
  readonly start: number;
  readonly count: number;
  /** Whether the source is stored backwards; the wanted results are numbered as it is stored then. */
  readonly isMirrored: boolean;
}

export interface Axis {
  readonly count: number;
  /** The samples that result `i` of those that are wanted reads: from `first` up to `end`, which never go back. */
  first(i: number): number;
  end(i: number): number;
  /**
   * What they count, in units of 1 / FRACTION; where they are many, in slices. They begin an array that has the next ones when
   * this is called again.
   */
  weights(i: number): Int32Array | Slices<Int32Array>;
}

export function createAxis({ size, from, to, out, start, count, isMirrored }: AxisOptions, filter: Kernel): Axis {
  const { support, weight } = FILTERS[filter];
  const scale = Math.fround(to - from) / out;
  const filterScale = Math.max(scale, 1);
  const reach = support * filterScale;
  const inverse = 1 / filterScale;
  const centerOf = (i: number) => from + (start + (isMirrored ? count - 1 - i : i) + 0.5) * scale;
  // At least one, even if rounding puts a center at the very end: it counts nothing then.
  const low = (center: number) => Math.min(size - 1, Math.max(0, Math.trunc(center - reach + 0.5)));
  const high = (center: number) => Math.min(size, Math.max(low(center) + 1, Math.trunc(center + reach + 0.5)));
  let unrounded = new Float64Array(64);
  let rounded = new Int32Array(64);
  /** Weights `from` to `to`, which do not add up to 1 yet. @returns their sum, on top of the one so far. */
  const weigh = (center: number, first: number, from: number, to: number, sum: number) => {
    for (let i = from; i < to; i++) sum += unrounded[i] = weight((first + i - center + 0.5) * inverse);
    return sum;
  };
  const round = (taps: number, from: number, to: number, sum: number) => {
    for (let i = from; i < to; i++) {
      const x = sum === 0 ? unrounded[i]! : unrounded[i]! / sum;
      rounded[isMirrored ? taps - 1 - i : i] = x * FRACTION + (x < 0 ? -0.5 : 0.5);
    }
  };
  function* inStretches(center: number, first: number, taps: number): Slices<Int32Array> {
    let sum = 0;
    for (let i = 0; i < taps; i += STRETCH) {
      sum = weigh(center, first, i, Math.min(i + STRETCH, taps), sum);
      yield;
    }
    for (let i = 0; i < taps; i += STRETCH) {
      round(taps, i, Math.min(i + STRETCH, taps), sum);
      yield;
    }
    return rounded;
  }

  return {
    count,
    first: (i) => (isMirrored ? size - high(centerOf(i)) : low(centerOf(i))),
    end: (i) => (isMirrored ? size - low(centerOf(i)) : high(centerOf(i))),
    weights(i) {
      const center = centerOf(i);
      const first = low(center);
      const taps = high(center) - first;
      if (unrounded.length < taps) {
        unrounded = new Float64Array(taps);
        rounded = new Int32Array(taps);
      }
      if (taps > STRETCH) return inStretches(center, first, taps);
      round(taps, 0, taps, weigh(center, first, 0, taps, 0));
      return rounded;
    },
  };
}

/**
 * The samples that Pillow's ImagingScaleAffine takes for results `start` to `start + count`: at `from + 0.5 · scale`, to which
 * `scale` is added again and again, each sum rounded. From the second sum in a power of two on, all steps up to the next one are
 * the same, and are taken at once: the results of a side that is 2^50 long cost no more than those that are wanted.
 */
export function nearestSamples({ size, from, to, out, start, count }: Omit<AxisOptions, "isMirrored">): Int32Array {
  const scale = Math.fround(to - from) / out;
  let position = from + 0.5 * scale;
  let power = Number.MIN_VALUE;
  for (let left = start; left > 0; ) {
    const before = position;
    position += scale;
    left--;
    while (2 * power <= position) power *= 2;
    if (before < power) continue;
    const step = position + scale - position;
    if (step === 0) break;
    const steps = Math.min(left, Math.floor((2 * power - position) / step) - 1);
    if (steps <= 0) continue;
    position += steps * step;
    left -= steps;
  }
  const samples = new Int32Array(count);
  for (let i = 0; i < count; i++, position += scale) samples[i] = Math.min(size - 1, Math.trunc(position));
  return samples;
}
