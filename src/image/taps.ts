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
  /** What they count, in units of 1 / FRACTION. */
  weights(i: number): Slices<Int32Array>;
}

export function createAxis({ size, from, to, out, start, count, isMirrored }: AxisOptions, filter: Kernel): Axis {
  const { support, weight } = FILTERS[filter];
  const scale = Math.fround(to - from) / out;
  const filterScale = Math.max(scale, 1);
  const reach = support * filterScale;
  const inverse = 1 / filterScale;
  const centerOf = (i: number) => from + (start + (isMirrored ? count - 1 - i : i) + 0.5) * scale;
  const low = (center: number) => Math.max(0, Math.trunc(center - reach + 0.5));
  const high = (center: number) => Math.min(size, Math.trunc(center + reach + 0.5));
  let unrounded = new Float64Array(64);

  return {
    count,
    first: (i) => (isMirrored ? size - high(centerOf(i)) : low(centerOf(i))),
    end: (i) => (isMirrored ? size - low(centerOf(i)) : high(centerOf(i))),
    *weights(i) {
      const center = centerOf(i);
      const first = low(center);
      const taps = Math.max(0, high(center) - first);
      if (unrounded.length < taps) unrounded = new Float64Array(taps);
      const w = unrounded;
      let sum = 0;
      for (let done = 0; done < taps; ) {
        for (const end = Math.min(taps, done + STRETCH); done < end; done++) {
          sum += w[done] = weight((first + done - center + 0.5) * inverse);
        }
        if (done < taps) yield;
      }
      if (sum === 0) sum = 1;
      const result = new Int32Array(taps);
      for (let done = 0; done < taps; ) {
        for (const end = Math.min(taps, done + STRETCH); done < end; done++) {
          const x = w[done]! / sum;
          result[done] = x * FRACTION + (x < 0 ? -0.5 : 0.5);
        }
        if (done < taps) yield;
      }
      return isMirrored ? result.reverse() : result;
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
