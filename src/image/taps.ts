/**
 * Weights of the samples of one axis in each result of a resize: Pillow's precompute_coeffs and normalize_coeffs_8bpc
 * (src/libImaging/Resample.c), whose arithmetic is in assembly/image.ts. One result's after the other, and made anew where they are
 * needed: of a long side they may be many.
 */
import type { ImageKernel } from "./kernel.js";
import type { Slices } from "./slices.js";

/** Half width of each filter at scale 1; those that weigh samples, in the order of their numbers in assembly/image.ts. */
const SUPPORT = { box: 0.5, bilinear: 1, hamming: 1, bicubic: 2, lanczos: 3 } as const;

/** Filters that weigh samples. */
export type Weighing = keyof typeof SUPPORT;
export type Filter = "nearest" | Weighing;
export const WEIGHING = Object.keys(SUPPORT) as Weighing[];

/** Weights that are added up between two yields. */
const STRETCH = 1 << 18;

export interface AxisOptions {
  /** Samples of the source, and the part of them that is resized, in C floats as in Pillow. */
  readonly size: number;
  readonly from: number;
  readonly to: number;
  /** Results, and which of them are wanted. */
  readonly out: number;
  readonly start: number;
  readonly count: number;
  /** True if the source is stored backwards; the wanted results are numbered as it is stored then. */
  readonly isMirrored: boolean;
}

/** The wanted results `i` of an axis, from 0 up to `count`. */
export interface Axis {
  readonly count: number;
  /** The samples that a result reads: from `first` up to `end`, at least one. With `i`, both never go back. */
  first(i: number): number;
  end(i: number): number;
  /** The sum of the result's weights before they are made to add up to 1; in slices where they are many. */
  sum(kernel: ImageKernel, i: number): number | Slices<number>;
  /** Writes the weights of `count` samples from `from` on where the kernel's passes read them, in groups of 2 or 4. */
  encode(kernel: ImageKernel, i: number, sum: number, from: number, count: number, group: 2 | 4, out: number): void;
}

export function createAxis(options: AxisOptions, filter: Weighing): Axis {
  const { size, from, to, out, start, count, isMirrored } = options;
  const number = WEIGHING.indexOf(filter);
  const scale = Math.fround(to - from) / out;
  const filterScale = Math.max(scale, 1);
  const reach = SUPPORT[filter] * filterScale;
  const inverse = 1 / filterScale;
  const centerOf = (i: number) => from + (start + (isMirrored ? count - 1 - i : i) + 0.5) * scale;
  // At least one, even if rounding puts a center at the very end: it counts nothing then.
  const low = (center: number) => Math.min(size - 1, Math.max(0, Math.trunc(center - reach + 0.5)));
  const high = (center: number) => Math.min(size, Math.max(low(center) + 1, Math.trunc(center + reach + 0.5)));
  function* sumInSlices({ sum_taps }: ImageKernel, center: number): Slices<number> {
    let sum = 0;
    for (let first = low(center), end = high(center); first < end; first += STRETCH) {
      sum = sum_taps(number, first, Math.min(STRETCH, end - first), center, inverse, sum);
      yield;
    }
    return sum || 1;
  }
  return {
    count,
    first: (i) => (isMirrored ? size - high(centerOf(i)) : low(centerOf(i))),
    end: (i) => (isMirrored ? size - low(centerOf(i)) : high(centerOf(i))),
    sum(kernel, i) {
      const center = centerOf(i);
      const first = low(center);
      const taps = high(center) - first;
      // All are 0, and stay so.
      return taps > STRETCH
        ? sumInSlices(kernel, center)
        : kernel.sum_taps(number, first, taps, center, inverse, 0) || 1;
    },
    encode(kernel, i, sum, from, samples, group, out) {
      const first = isMirrored ? size - 1 - from : from;
      kernel.encode_taps(number, group, out, first, isMirrored ? -1 : 1, samples, centerOf(i), inverse, sum);
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
