/**
 * The resize of transformers' Owlv2ImageProcessor, to the bit of torch's AVX2 build: values are padded with zeros to a square,
 * blurred where they shrink, and interpolated without antialiasing. The blur's inner loop is in assembly/image.ts.
 */
import { PIXEL_LIMIT } from "./decode/file.js";
import { borrowKernel } from "./kernel.js";
import type { Raster } from "./resize.js";
import type { Slices } from "./slices.js";
import { fma, type Samples, valuesOfBytes } from "./torchvision.js";
import { readUpright, uprightSize } from "./upright.js";

const { fround } = Math;

/** Between which two samples the outputs of an axis lie, and what each of them counts. */
interface Axis {
  readonly first: Int32Array;
  readonly second: Int32Array;
  readonly firstWeight: Float32Array;
  readonly secondWeight: Float32Array;
}

function axisOf(size: number, out: number): Axis {
  const axis = {
    first: new Int32Array(out),
    second: new Int32Array(out),
    firstWeight: new Float32Array(out),
    secondWeight: new Float32Array(out),
  };
  const scale = fround(size / out);
  for (let i = 0; i < out; i++) {
    const position = size === out ? i : Math.max(fma(scale, i + 0.5, -0.5), 0);
    const first = Math.min(Math.floor(position), size - 1);
    const part = Math.min(Math.max(fround(position - first), 0), 1);
    axis.first[i] = first;
    axis.second[i] = Math.min(first + 1, size - 1);
    axis.firstWeight[i] = 1 - part;
    axis.secondWeight[i] = part;
  }
  return axis;
}

/** The samples that an axis needs, in order, and where they are among them. */
function needed({ first, second }: Axis): { samples: Int32Array; places: Map<number, number> } {
  const samples = Int32Array.from(new Set([...first, ...second])).sort();
  return { samples, places: new Map(Array.from(samples, (sample, place) => [sample, place])) };
}

/** A row of an image at the columns that are needed; it may be overwritten when the row after the next is asked for. */
type Row = (y: number) => Float32Array;

/** Bilinear interpolation in f32. Rows are asked for in order. */
function* interpolated(
  row: Row,
  [columns, rows]: readonly [Axis, Axis],
  places: ReadonlyMap<number, number>,
  channels: number,
): Slices<Samples<Float32Array>> {
  const [width, height] = [columns.first.length, rows.first.length];
  const lefts = columns.first.map((sample) => channels * places.get(sample)!);
  const rights = columns.second.map((sample) => channels * places.get(sample)!);
  const { firstWeight, secondWeight } = columns;
  const data = new Float32Array(width * height * channels);
  // Small results have another kernel in torch, which multiplies the weights first.
  const products = width + height <= 128;
  let at = 0;
  for (let y = 0; y < height; y++) {
    const upper = row(rows.first[y]!);
    const lower = row(rows.second[y]!);
    const v0 = rows.firstWeight[y]!;
    const v1 = rows.secondWeight[y]!;
    for (let x = 0; x < width; x++) {
      const left = lefts[x]!;
      const right = rights[x]!;
      const h0 = firstWeight[x]!;
      const h1 = secondWeight[x]!;
      for (let c = 0; c < channels; c++) {
        const a = upper[left + c]!;
        const b = upper[right + c]!;
        const d = lower[left + c]!;
        const e = lower[right + c]!;
        if (products) {
          const sum = fma(d, fround(v1 * h0), fma(a, fround(v0 * h0), fround(b * fround(v0 * h1))));
          data[at++] = fma(e, fround(v1 * h1), sum);
        } else data[at++] = fma(fma(a, h0, fround(b * h1)), v0, fround(fma(d, h0, fround(e * h1)) * v1));
      }
    }
    yield;
  }
  return { data, width, height, channels };
}

/** Keeps the last two rows. */
function lastTwo(fill: (y: number, target: Float32Array) => void, length: number): Row {
  const kept = [0, 1].map(() => ({ y: -1, values: new Float32Array(length) }));
  return (y) => {
    const found = kept.find((row) => row.y === y);
    if (found) return found.values;
    const row = kept.shift()!;
    kept.push(row);
    row.y = y;
    fill(y, row.values);
    return row.values;
  };
}

export interface Owlv2Options {
  /** Size of the result. */
  width: number;
  height: number;
  /** Pads the image with zeros, below and to the right, to a square. */
  pad: boolean;
}

/**
 * Width and height of the padded image.
 * @throws RangeError for a square of more pixels than an image may have.
 */
export function paddedSize(photo: readonly [number, number], pad: boolean): readonly [number, number] {
  const side = Math.max(...photo);
  const [width, height] = pad ? [side, side] : photo;
  if (width * height <= PIXEL_LIMIT) return [width, height];
  const [found, limit] = [width * height, PIXEL_LIMIT].map((n) => n.toLocaleString("en-US"));
  throw new RangeError(
    `resize: an image of ${photo.join("×")} would be padded to ${found} pixels, and the limit is ${limit}`,
  );
}

/**
 * The whole resize of RGB.
 * @param factor each byte times this, as f32, is a value.
 * @throws RangeError for a square of more pixels than an image may have, or one that is smaller than the blur.
 */
export function* resizeBlurred(raster: Raster, factor: number, options: Owlv2Options): Slices<Samples<Float32Array>> {
  const { width, height, pad } = options;
  const stored = { orientation: 1, ...raster };
  const [photoWidth, photoHeight] = uprightSize(stored);
  const [paddedWidth, paddedHeight] = paddedSize([photoWidth, photoHeight], pad);
  const sigmas = [sigmaOf(paddedHeight, height), sigmaOf(paddedWidth, width)] as const;
  if (sigmas.includes(0)) return yield* interpolateValues(raster, factor, options);

  // The processor gives the height's as the blur's first, which torchvision takes for the horizontal one.
  const [horizontal, vertical] = [gaussian(sigmas[0]), gaussian(sigmas[1])];
  const [rx, ry] = [(horizontal.length - 1) / 2, (vertical.length - 1) / 2];
  if (rx >= paddedWidth || ry >= paddedHeight) {
    const kernel = `${horizontal.length}×${vertical.length}`;
    throw new RangeError(`resize: an image of ${paddedWidth}×${paddedHeight} is smaller than its blur of ${kernel}`);
  }
  const weights = new Float32Array(horizontal.length * vertical.length);
  for (const [y, wy] of vertical.entries())
    for (const [x, wx] of horizontal.entries()) weights[y * horizontal.length + x] = wy * wx;

  const axes = [axisOf(paddedWidth, width), axisOf(paddedHeight, height)] as const;
  const { samples, places } = needed(axes[0]);
  // Columns of which the kernel sees something of the photo.
  const count = samples.findIndex((x) => x - rx >= photoWidth);
  const seen = count < 0 ? samples.length : count;
  const rowBytes = 12 * (paddedWidth + 2 * rx) + 64;
  let end = 0;
  const reserve = (bytes: number) => {
    const at = end;
    end = Math.ceil((end + bytes + 16) / 16) * 16;
    return at;
  };
  const ring = reserve(vertical.length * rowBytes);
  const addresses = reserve(4 * vertical.length);
  const offsets = reserve(4 * samples.length);
  const weightsAt = reserve(weights.byteLength);
  const out = reserve(12 * samples.length);
  const kernel = borrowKernel(end);
  try {
    const { bytes } = kernel;
    const { buffer } = bytes;
    new Int32Array(buffer, offsets, samples.length).set(samples.map((x) => 12 * x));
    new Float32Array(buffer, weightsAt, weights.length).set(weights);
    const under = new Int32Array(buffer, addresses, vertical.length);
    const blurred = new Float32Array(buffer, out, 3 * seen);
    const inRing = new Int32Array(vertical.length).fill(-1);

    /** The address of a row of values, its border reflected. */
    function rowAt(y: number): number {
      const slot = y % inRing.length;
      const at = ring + slot * rowBytes;
      if (inRing[slot] === y) return at;
      inRing[slot] = y;
      const values = new Float32Array(buffer, at, 3 * (paddedWidth + 2 * rx));
      if (y >= photoHeight) {
        values.fill(0);
        return at;
      }
      // The bytes begin at the end of their place, where the values arrive last.
      const photo = at + 12 * rx;
      readUpright(stored, y, bytes.subarray(photo + 9 * photoWidth, photo + 12 * photoWidth));
      kernel.values_of_bytes(photo, photo + 9 * photoWidth, factor, 3 * photoWidth);
      values.fill(0, 3 * (rx + photoWidth));
      for (let x = 1; x <= rx; x++)
        for (let c = 0; c < 3; c++) {
          values[3 * (rx - x) + c] = values[3 * (rx + x) + c]!;
          values[3 * (rx + paddedWidth - 1 + x) + c] = values[3 * (rx + paddedWidth - 1 - x) + c]!;
        }
      return at;
    }

    const row = lastTwo((y, target) => {
      if (y - ry >= photoHeight) {
        target.fill(0);
        return;
      }
      for (let i = 0; i < under.length; i++) {
        const at = Math.abs(y - ry + i);
        under[i] = rowAt(at < paddedHeight ? at : 2 * (paddedHeight - 1) - at);
      }
      kernel.blur_f32(out, addresses, offsets, weightsAt, vertical.length, horizontal.length, seen);
      // The others stay 0.
      target.set(blurred);
    }, 3 * samples.length);
    return yield* interpolated(row, axes, places, 3);
  } finally {
    kernel.free();
  }
}

/** The resize without the blur, of any channels. */
export function* interpolateValues(
  raster: Raster,
  factor: number,
  { width, height, pad }: Owlv2Options,
): Slices<Samples<Float32Array>> {
  const stored = { orientation: 1, ...raster };
  const { channels } = stored;
  const [photoWidth, photoHeight] = uprightSize(stored);
  const [paddedWidth, paddedHeight] = paddedSize([photoWidth, photoHeight], pad);
  const axes = [axisOf(paddedWidth, width), axisOf(paddedHeight, height)] as const;
  const { samples, places } = needed(axes[0]);
  const values = valuesOfBytes(factor);
  const source = new Uint8Array(photoWidth * channels);
  const row = lastTwo((y, target) => {
    target.fill(0);
    if (y >= photoHeight) return;
    readUpright(stored, y, source);
    for (let i = 0; i < samples.length; i++) {
      const x = samples[i]!;
      if (x >= photoWidth) break;
      for (let c = 0; c < channels; c++) target[i * channels + c] = values[source[x * channels + c]!]!;
    }
  }, samples.length * channels);
  return yield* interpolated(row, axes, places, channels);
}

/** Standard deviation of the blur before a resize of an axis; 0 where it grows. */
const sigmaOf = (size: number, out: number): number => Math.max(fround((fround(size / out) - 1) / 2), 0);

/** The kernel of torchvision's gaussian_blur over 3 deviations to each side. */
function gaussian(sigma: number): Float32Array {
  const size = 2 * Math.ceil(fround(3 * sigma)) + 1;
  // The processor gives the size as a tensor: so this is a division in f32.
  const limit = fround((size - 1) / fround(2 * Math.sqrt(2)));
  const step = fround(fround(2 * limit) / (size - 1));
  const exponents = Float32Array.from({ length: size }, (_, i) => {
    const point = i < size >> 1 ? fma(step, i, -limit) : fma(-step, size - 1 - i, limit);
    const x = fround(point / sigma);
    return -(x * x);
  });
  return softmax(exponents);
}

/** torch.softmax of a vector in f32, in its AVX2 kernel's order: eight sums, folded, and of less than eight values one. */
function softmax(x: Float32Array): Float32Array {
  const largest = Math.max(...x);
  const e = x.map((value) => exp(fround(value - largest)));
  const sums = new Float32Array(e.length < 8 ? 1 : 8);
  for (let i = 0; i < e.length; i++) sums[i % sums.length]! += e[i]!;
  for (let half = sums.length >> 1; half > 0; half >>= 1) {
    for (let i = 0; i < half; i++) sums[i]! += sums[i + half]!;
  }
  const inverse = fround(1 / sums[0]!);
  return e.map((value) => value * inverse);
}

/** The exponential of an f32 that is not above 0, by the polynomial that torch takes on AVX2 (Sleef's expf), within 1 ulp. */
function exp(x: number): number {
  const n = roundHalfEven(fround(x * fround(Math.LOG2E)));
  const s = fma(n, fround(-1.428606765330187e-6), fma(n, fround(-0.693145751953125), x));
  let p = fround(0.00019852761761285365);
  for (const c of [0.0013930435525253415, 0.008333360776305199, 0.041666485369205475, 0.1666666716337204, 0.5]) {
    p = fma(p, s, fround(c));
  }
  return fround(fround(1 + fma(fround(s * s), p, s)) * 2 ** n);
}

function roundHalfEven(x: number): number {
  const rounded = Math.round(x);
  return rounded - x === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
