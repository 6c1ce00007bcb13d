/**
 * The resize of transformers' Owlv2ImageProcessor on PIL images: values are padded with zeros to a square, then
 * scipy.ndimage's gaussian_filter where they shrink, and its zoom of order 1 on a grid of pixels. Both compute in f64, mirror at
 * the border (its pixel is not repeated), and round to f32 behind each axis of the filter and behind the zoom.
 */
import { paddedSize } from "./owlv2.js";
import type { Raster } from "./resize.js";
import type { Slices } from "./slices.js";
import type { Samples } from "./torchvision.js";
import { readUpright, uprightSize } from "./upright.js";

/** Samples that a result lies between, and what each of them counts. */
interface Between {
  readonly first: number;
  readonly second: number;
  readonly weights: readonly [number, number];
}

/** A place of a line of `size` samples, continued by its mirror image on both sides. */
function mirrored(place: number, size: number): number {
  if (size === 1) return 0;
  const period = 2 * (size - 1);
  const inside = ((place % period) + period) % period;
  return inside < size ? inside : period - inside;
}

/** NI_ZoomShift of order 1 with grid_mode. */
function zoomed(size: number, out: number): Between[] {
  const scale = size / out;
  return Array.from({ length: out }, (_, i) => {
    const place = (i + 0.5) * scale - 0.5;
    const at = place < 0 ? -place : place;
    const first = Math.floor(at);
    const weight = 1 - (at - first);
    return { first: mirrored(first, size), second: mirrored(first + 1, size), weights: [weight, 1 - weight] };
  });
}

/** Weights of gaussian_filter1d from the middle on, over 4 deviations; one for a deviation of 0. */
function gaussian(sigma: number): Float64Array {
  // Deviations up to 1e-15 leave an axis as it is.
  const radius = sigma > 1e-15 ? Math.trunc(4 * sigma + 0.5) : 0;
  const half = Float64Array.from({ length: radius + 1 }, (_, x) =>
    radius === 0 ? 1 : Math.exp((-0.5 / (sigma * sigma)) * x * x),
  );
  const sum = half.reduce((total, weight, x) => total + (x === 0 ? weight : 2 * weight), 0);
  return half.map((weight) => weight / sum);
}

const sigmaOf = (size: number, out: number): number => Math.max(0, (size / out - 1) / 2);

export interface ScipyOptions {
  /** Size of the result. */
  readonly width: number;
  readonly height: number;
  /** Pads the image with zeros, below and to the right, to a square. */
  readonly pad: boolean;
}

/** Multiply-adds between two yields. */
const SLICE = 2 ** 20;

/**
 * The whole resize of RGB. The clip to the image's range that follows it there changes nothing: sums that leave it, by an error
 * of f64, are rounded back to it.
 * @param factor each byte times this, rounded to f32, is a value.
 * @throws RangeError for a square of more pixels than an image may have.
 */
export function* resizeByScipy(raster: Raster, factor: number, options: ScipyOptions): Slices<Samples<Float32Array>> {
  const { width, height, pad } = options;
  const stored = { orientation: 1, ...raster };
  const { channels } = stored;
  const [photoWidth, photoHeight] = uprightSize(stored);
  const [paddedWidth, paddedHeight] = paddedSize([photoWidth, photoHeight], pad);
  const down = gaussian(sigmaOf(paddedHeight, height));
  const across = gaussian(sigmaOf(paddedWidth, width));
  const [rows, columns] = [zoomed(paddedHeight, height), zoomed(paddedWidth, width)];
  const values = Float32Array.from({ length: 256 }, (_, byte) => byte * factor);

  // Rows of the photo, f32; what is beside and below it is 0 and not kept.
  const cols = photoWidth * channels;
  const bytes = new Uint8Array(cols);
  const ring = Array.from({ length: Math.min(2 * down.length - 1, paddedHeight) }, () => ({
    y: -1,
    row: new Float32Array(cols),
  }));
  const sums = new Float64Array(cols);
  const filtered = new Float32Array(cols);
  let work = 0;

  /** A row of the padded image; undefined where it is 0. */
  function rowAt(y: number): Float32Array | undefined {
    if (y >= photoHeight) return undefined;
    const slot = ring[y % ring.length]!;
    if (slot.y !== y) {
      slot.y = y;
      readUpright(stored, y, bytes);
      for (let i = 0; i < cols; i++) slot.row[i] = values[bytes[i]!]!;
    }
    return slot.row;
  }

  /** A row of the blurred image at the columns that are asked for: two for each of the result. */
  function* blurred(y: number): Slices<Float32Array> {
    const middle = rowAt(y);
    for (let i = 0; i < cols; i++) sums[i] = middle ? middle[i]! * down[0]! : 0;
    // From the outermost pair inwards, as NI_Correlate1D does.
    for (let j = down.length - 1; j > 0; j--) {
      const weight = down[j]!;
      const above = rowAt(mirrored(y - j, paddedHeight));
      const below = rowAt(mirrored(y + j, paddedHeight));
      if (above && below) for (let i = 0; i < cols; i++) sums[i]! += (above[i]! + below[i]!) * weight;
      else if (above ?? below) addTo(sums, (above ?? below)!, weight);
      work += cols;
      if (work < SLICE) continue;
      work = 0;
      yield;
    }
    filtered.set(sums);
    const result = new Float32Array(2 * width * channels);
    for (const [x, { first, second }] of columns.entries())
      for (const [k, column] of [first, second].entries())
        for (let c = 0; c < channels; c++) result[(2 * x + k) * channels + c] = columnSum(column, c);
    return result;
  }

  /** The sum across at a column of the row that is blurred downwards. */
  function columnSum(column: number, channel: number): number {
    const at = (x: number) => (x < photoWidth ? filtered[x * channels + channel]! : 0);
    let sum = at(column) * across[0]!;
    for (let j = across.length - 1; j > 0; j--) {
      sum += (at(mirrored(column - j, paddedWidth)) + at(mirrored(column + j, paddedWidth))) * across[j]!;
    }
    return sum;
  }

  const data = new Float32Array(width * height * channels);
  let kept: readonly { readonly y: number; readonly row: Float32Array }[] = [];
  let at = 0;
  for (const { first, second, weights } of rows) {
    const pair: { y: number; row: Float32Array }[] = [];
    for (const y of [first, second]) {
      pair.push([...pair, ...kept].find((known) => known.y === y) ?? { y, row: yield* blurred(y) });
    }
    kept = pair;
    const [upper, lower] = [pair[0]!.row, pair[1]!.row];
    for (const [x, { weights: across }] of columns.entries())
      for (let c = 0; c < channels; c++) {
        const [left, right] = [2 * x * channels + c, (2 * x + 1) * channels + c];
        let sum = upper[left]! * weights[0] * across[0];
        sum += upper[right]! * weights[0] * across[1];
        sum += lower[left]! * weights[1] * across[0];
        sum += lower[right]! * weights[1] * across[1];
        data[at++] = sum;
      }
    yield;
  }
  return { data, width, height, channels };
}

function addTo(sums: Float64Array, row: Float32Array, weight: number): void {
  for (let i = 0; i < sums.length; i++) sums[i]! += row[i]! * weight;
}
