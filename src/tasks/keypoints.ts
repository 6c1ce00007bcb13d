/**
 * Places of keypoints in heatmaps, as transformers' VitPoseImageProcessor finds them: the largest value of each map, moved by the
 * Taylor expansion of its logarithm (DARK, Zhang et al. 2020), in maps whose border pixels are those of the part of the photo that
 * the model saw (UDP, Huang et al. 2020). All is rounded to f32 where NumPy and SciPy round.
 */
import { type CropPlace, cropPlaceOf } from "../image/affine.js";
import type { Box, Size } from "../image/geometry.js";
import type { Slices } from "../image/slices.js";
import { fma } from "../image/torchvision.js";
import type { Tensor } from "../vit/outputs.js";

const { fround } = Math;

/** A keypoint in pixels of the photo; it may lie outside. */
export interface Keypoint {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  /** The largest value of its heatmap, by which the library counts: about 1 where it is seen, near 0 where not. */
  readonly probability: number;
}

/** A keypoint without its name: its place, in the coordinates that boxes are in, and the largest value of its heatmap. */
export interface Peak {
  readonly x: number;
  readonly y: number;
  readonly score: number;
}

/** The filter's reach to each side, by the kernel size of 11 that the library takes, and its standard deviation. */
const RADIUS = 5;
const SIGMA = 0.8;

/** Values between which a filtered heatmap is cut off before its logarithm is taken. */
const RANGE = [fround(0.001), 50] as const;

/** Added to the diagonal of the second derivatives: f32's distance of 1 from the next number. */
const EPS = 2 ** -23;

/** Weights of scipy.ndimage's gaussian_filter1d, from the middle on. */
const GAUSSIAN = (() => {
  const half = Array.from({ length: RADIUS + 1 }, (_, x) => Math.exp((-0.5 / (SIGMA * SIGMA)) * x * x));
  const sum = half.reduce((total, weight, x) => total + (x === 0 ? weight : 2 * weight), 0);
  return half.map((weight) => weight / sum);
})();

/**
 * Keypoints of each box of a photo.
 * @param heatmaps [boxes, keypoints, height, width].
 * @param model size of the images that the model sees.
 */
export function* peaksOf(heatmaps: Tensor, boxes: readonly Box[], model: Size): Slices<Peak[][]> {
  const [count, keypoints, height, width] = heatmaps.dims as [number, number, number, number];
  const logarithms = paddedLogarithms(heatmaps);
  const found: Peak[][] = [];
  for (let i = 0; i < count; i++) {
    const place = cropPlaceOf(boxes[i]!, model);
    const peaks = Array.from({ length: keypoints }, (_, k): Peak => {
      const map = i * keypoints + k;
      const { at, score } = largest(heatmaps.data.subarray(map * height * width, (map + 1) * height * width));
      // A map without a value above 0 has its peak outside, at (-1, -1), in the library too.
      const [x, y] = score > 0 ? [at % width, Math.floor(at / width)] : [-1, -1];
      return { ...inPhoto(refined([x, y], map, logarithms, { width, height }), place, { width, height }), score };
    });
    found.push(peaks);
    yield;
  }
  return found;
}

function largest(values: Float32Array): { at: number; score: number } {
  let at = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[at]!) at = i;
  return { at, score: values[at]! };
}

/**
 * Logarithms of filtered heatmaps that are one behind the other, each with a border of one pixel that repeats its edge, at a number
 * of this whole; numbers below 0 count from its end.
 */
function paddedLogarithms({ dims, data }: Tensor): (index: number) => number {
  const [count, keypoints, height, width] = dims as [number, number, number, number];
  const area = (height + 2) * (width + 2);
  const total = count * keypoints * area;
  const column = new Float64Array(2 * RADIUS + 1);

  return (index) => {
    const i = index < 0 ? index + total : index;
    const map = Math.floor(i / area) * height * width;
    const inside = (place: number, size: number) => Math.min(Math.max(place - 1, 0), size - 1);
    const y = inside(Math.floor((i % area) / (width + 2)), height);
    const x = inside((i % area) % (width + 2), width);
    for (let dx = -RADIUS; dx <= RADIUS; dx++) {
      const at = map + reflected(x + dx, width);
      column[RADIUS + dx] = filtered((dy) => data[at + reflected(y + dy, height) * width]!);
    }
    const value = filtered((dx) => column[RADIUS + dx]!);
    return logarithm(Math.min(Math.max(value, RANGE[0]), RANGE[1]));
  };
}

/** Coefficients of y = x - 1, from the constant on. */
const NUMERATOR = Float32Array.of(0, 1, 2.1126776, 1.4800006, 0.38088378, 0.025899792);
const DENOMINATOR = Float32Array.of(1, 2.6126776, 2.453006, 0.9864943, 0.15464763, 0.0058750953);

const word = new Float32Array(1);
const bits = new Int32Array(word.buffer);

/**
 * The logarithm of a normal f32 above 0 as NumPy computes it with vector instructions: x = 2^e · m with m from √½ to √2, and log m
 * by a rational function, within 4 ulp. Where a paraboloid is nearly flat, the last digit decides over hundredths of a pixel.
 */
function logarithm(x: number): number {
  word[0] = x;
  let exponent = (bits[0]! >> 23) - 127;
  bits[0] = (bits[0]! & 0x7fffff) | 0x3f800000;
  let mantissa = word[0];
  if (mantissa > fround(Math.SQRT2)) {
    exponent++;
    mantissa *= 0.5;
  }
  const y = fround(mantissa - 1);
  const polynomial = (coefficients: Float32Array) =>
    coefficients.reduceRight((sum, coefficient) => fma(sum, y, coefficient));
  return fma(exponent, fround(Math.LN2), fround(polynomial(NUMERATOR) / polynomial(DENOMINATOR)));
}

/** Sum of symmetric weights in f64, in SciPy's order: the middle, then pairs from the outermost on. */
function filtered(sample: (offset: number) => number): number {
  let sum = sample(0) * GAUSSIAN[0]!;
  for (let x = RADIUS; x > 0; x--) sum += (sample(-x) + sample(x)) * GAUSSIAN[x]!;
  return fround(sum);
}

/** A place of a line that is continued by its mirror image, the pixel of the edge twice. */
function reflected(place: number, size: number): number {
  const period = 2 * size;
  const inside = ((place % period) + period) % period;
  return inside < size ? inside : period - 1 - inside;
}

/** A pixel's place, moved by a step of Newton's method to the largest value of the paraboloid through its neighbors. */
function refined(
  [x, y]: readonly [number, number],
  map: number,
  at: (index: number) => number,
  { width, height }: Size,
): readonly [number, number] {
  const line = width + 2;
  const index = map * line * (height + 2) + (y + 1) * line + x + 1;
  const c = at(index);
  const [right, below, both] = [at(index + 1), at(index + line), at(index + line + 1)];
  const [left, above, neither] = [at(index - 1), at(index - line), at(index - line - 1)];
  const sum = (...terms: readonly number[]) => terms.reduce((total, term) => fround(total + term));
  const dx = fround(0.5 * sum(right, -left));
  const dy = fround(0.5 * sum(below, -above));
  const dxx = sum(right, -2 * c, left) + EPS;
  const dyy = sum(below, -2 * c, above) + EPS;
  const dxy = fround(0.5 * sum(both, -right, -below, c, c, -left, -above, neither));
  const determinant = dxx * dyy - dxy * dxy;
  if (determinant === 0) return [x, y];
  return [fround(x - (dyy * dx - dxy * dy) / determinant), fround(y - (dxx * dy - dxy * dx) / determinant)];
}

/** From a heatmap's pixels to the photo: the middles of its border pixels are on the borders of what the model saw. */
function inPhoto(
  [x, y]: readonly [number, number],
  { center, scale }: CropPlace,
  { width, height }: Size,
): { x: number; y: number } {
  const axis = (place: number, i: 0 | 1, pixels: number) => {
    const size = fround(scale[i] * 200);
    const moved = fround(fround(place * fround(size / (pixels - 1))) + center[i]);
    return fround(moved - fround(size * 0.5));
  };
  return { x: axis(x, 0, width), y: axis(y, 1, height) };
}
