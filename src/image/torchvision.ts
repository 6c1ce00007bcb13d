/**
 * Resizing, to the bit as torchvision does it on a CPU with vector instructions: torchvision.transforms.v2.functional.resize,
 * which transformers' default image processors call. Read in torch 2.13's UpSampleKernel.cpp and UpSampleKernelAVXAntialias.h.
 * Against Pillow's (resize.ts): 16-bit weights of a precision by axis, always the horizontal pass first, alpha as another
 * channel. The inner loops are in assembly/image.ts.
 */
import { PIXEL_LIMIT } from "./decode/file.js";
import { borrowKernel, type ImageKernel } from "./kernel.js";
import type { Part, Raster } from "./resize.js";
import type { Slices } from "./slices.js";
import { readUpright, uprightSize } from "./upright.js";

/** Its names; "nearest-exact" is what processors take for PIL's nearest. */
export type TorchvisionFilter = "nearest" | "nearest-exact" | "bilinear" | "bicubic" | "lanczos";

export interface TorchvisionOptions {
  /** Size of the result in pixels. */
  width: number;
  height: number;
  filter: TorchvisionFilter;
  /** Averages over what an output covers where the picture shrinks, as all processors here want it. Default: true. */
  antialias?: boolean;
  /** Compute only this part of the result, in its pixels. Default: all. */
  window?: Part;
}

/** Samples of some channels, row by row: [height, width, channels]. */
export interface Samples<Data> {
  data: Data;
  width: number;
  height: number;
  channels: number;
}

const { fround } = Math;

/** a · b + c, rounded once but for a double rounding in 1 of 2^29 cases. */
export const fma = (a: number, b: number, c: number): number => fround(a * b + c);

const align = (n: number, to: number) => Math.ceil(n / to) * to;

/** Taps that are computed between two yields: 2 to 4 ms. */
const WORK = 1 << 22;
/** Source bytes that are handed to the kernel at once, so that they are still in the cache when they are read. */
const BAND_BYTES = 1 << 17;

// ---- weights ----

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Half width of each filter at scale 1, and its shape: Pillow's. */
const FILTERS = {
  bilinear: { support: 1, weight: (x: number) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: {
    support: 2,
    weight: (x: number) => {
      const a = -0.5;
      x = Math.abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    },
  },
  lanczos: { support: 3, weight: (x: number) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const;

/** Weights of one output: sample `first + j` of the source counts `weights[j]`, j < count. */
interface Taps {
  first: number;
  count: number;
  weights: Float64Array | Float32Array;
  /** The largest weight, as the precision of the axis is found by it. */
  largest: number;
}

/** An axis that is resized: the taps of each output, in an object that the next call overwrites. */
interface Axis {
  readonly size: number;
  readonly out: number;
  readonly taps: (i: number) => Taps;
}

/** Weights for bytes, antialiased, in f64: Pillow's weights before they are rounded. */
function antialiased(size: number, out: number, filter: "bilinear" | "bicubic" | "lanczos"): Axis {
  const { support, weight } = FILTERS[filter];
  const scale = size / out;
  const shrink = Math.max(scale, 1);
  const reach = support * shrink;
  const inverse = 1 / shrink;
  const most = 2 * Math.ceil(reach) + 1;
  const weights = new Float64Array(Math.min(most, size));
  const taps: Taps = { first: 0, count: 0, weights, largest: 0 };
  return {
    size,
    out,
    taps(i) {
      const center = scale * (i + 0.5);
      const first = Math.max(0, Math.trunc(center - reach + 0.5));
      const count = Math.min(Math.min(size, Math.trunc(center + reach + 0.5)) - first, most);
      let sum = 0;
      for (let j = 0; j < count; j++) {
        const w = weight((j + first - center + 0.5) * inverse);
        weights[j] = w;
        sum += w;
      }
      let largest = 0;
      for (let j = 0; j < count; j++) {
        const w = sum === 0 ? weights[j]! : weights[j]! / sum;
        weights[j] = w;
        if (w > largest) largest = w;
      }
      taps.first = first;
      taps.count = count;
      taps.largest = largest;
      return taps;
    },
  };
}

/** Keys' cubic with a = -0.75, which torch takes where it does not average; by the distance. */
function cubic(x: number): number {
  const a = -0.75;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

/** Weights for bytes, between the nearest samples: those outside count for the border's. */
function interpolated(size: number, out: number, filter: "bilinear" | "bicubic"): Axis {
  const half = filter === "bilinear" ? 1 : 2;
  const weight = filter === "bilinear" ? FILTERS.bilinear.weight : cubic;
  const scale = size / out;
  const weights = new Float64Array(2 * half);
  const taps: Taps = { first: 0, count: 0, weights, largest: 0 };
  return {
    size,
    out,
    taps(i) {
      const center = scale * (i + 0.5) - 0.5;
      const position = half === 1 ? Math.max(center, 0) : center;
      const index = Math.min(Math.floor(fround(position)), size - 1);
      const fraction = Math.min(Math.max(position - index, 0), 1);
      const low = index - half + 1;
      const first = Math.max(low, 0);
      const count = Math.min(Math.max(Math.min(index + half + 1, size) - first, 0), 2 * half);
      weights.fill(0);
      let largest = 0;
      let slot = 0;
      for (let j = 0; j < 2 * half; j++) {
        if (low + j <= 0) slot = 0;
        else if (low + j >= size - 1) slot = count - 1;
        const w = weights[slot]! + weight(Math.abs(j + 1 - half - fraction));
        weights[slot++] = w;
        // Looked at after each addition, and so also what is not the last.
        if (w > largest) largest = w;
      }
      taps.first = first;
      taps.count = count;
      taps.largest = largest;
      return taps;
    },
  };
}

/** Weights for f32 values, antialiased, in f32: every step is rounded, and fused where torch's AVX2 build does. */
function antialiasedValues(size: number, out: number, filter: "bilinear" | "bicubic"): Axis {
  const scale = fround(size / out);
  const half = filter === "bilinear" ? 1 : 2;
  const support = scale >= 1 ? fround(half * scale) : half;
  const inverse = scale >= 1 ? fround(1 / scale) : 1;
  const most = 2 * Math.ceil(support) + 1;
  const weights = new Float32Array(Math.min(most, size));
  const taps: Taps = { first: 0, count: 0, weights, largest: 0 };
  function weight(x: number): number {
    if (half === 1) return x < 1 ? fround(1 - x) : 0;
    if (x < 1) return fma(fround(fma(1.5, x, -2.5) * x), x, 1);
    return x < 2 ? fma(fma(fma(-0.5, x, 2.5), x, -4), x, 2) : 0;
  }
  return {
    size,
    out,
    taps(i) {
      const center = fround(scale * (i + 0.5));
      const first = Math.max(0, Math.trunc(fround(center - support) + 0.5));
      const count = Math.min(Math.min(size, Math.trunc(fround(center + support) + 0.5)) - first, most);
      let sum = 0;
      for (let j = 0; j < count; j++) {
        const w = weight(Math.abs(fround((fround(first + j - center) + 0.5) * inverse)));
        weights[j] = w;
        sum = fround(sum + w);
      }
      if (sum !== 0) for (let j = 0; j < count; j++) weights[j] = weights[j]! / sum;
      taps.first = first;
      taps.count = count;
      return taps;
    },
  };
}

/** Fraction bits of an axis: as many as leave room for the largest weight in 16 bits. */
function precisionOf(largest: number): number {
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 32768) bits++;
  return bits;
}

// ---- the two passes ----

/** Numbers as the kernels take them. */
interface Kind {
  /** Bytes of a sample and of a weight. */
  readonly sample: 1 | 4;
  readonly weight: 2 | 4;
  /** Taps that are computed at once in the horizontal and the vertical pass. */
  readonly across: number;
  readonly down: number;
  /** Rows that are computed at once in the horizontal pass. */
  readonly rows: number;
  /** A byte of the source times this is a sample. */
  readonly factor: number;
}

const BYTES: Kind = { sample: 1, weight: 2, across: 4, down: 2, rows: 4, factor: 1 };
const valuesBy = (factor: number): Kind => ({ sample: 4, weight: 4, across: 1, down: 1, rows: 1, factor });

/** An axis of which some outputs are wanted: what its taps reach, and how much room they take. */
interface Measured extends Axis {
  readonly start: number;
  readonly count: number;
  /** Source samples that are read: from `first` up to `end`. */
  readonly first: number;
  readonly end: number;
  /** Most taps of an output. */
  readonly longest: number;
  readonly precision: number;
}

/** The precision is that of all outputs, also of those that are not wanted. */
function* measured(axis: Axis, start: number, count: number, kind: Kind): Slices<Measured> {
  let largest = 0;
  let longest = 1;
  let [first, end] = [axis.size, 0];
  let work = 0;
  const [from, to] = kind === BYTES ? [0, axis.out] : [start, start + count];
  for (let i = from; i < to; i++) {
    const taps = axis.taps(i);
    largest = Math.max(largest, taps.largest);
    if (i >= start && i < start + count) {
      longest = Math.max(longest, taps.count);
      first = Math.min(first, taps.first);
      end = Math.max(end, taps.first + taps.count);
    }
    work += taps.count + 8;
    if (work > WORK / 16) {
      work = 0;
      yield;
    }
  }
  return { ...axis, start, count, first, end, longest, precision: precisionOf(largest) };
}

/** Where the taps of an axis lie in the kernel's memory. */
interface Placed {
  readonly spans: number;
  readonly weights: number;
  /** Bytes from the weights of one output to those of the next. */
  readonly stride: number;
}

/**
 * Writes the taps in the kernel's form: for each output, how many bytes after sample `origin` its first one is and how many
 * groups of taps it has; and its weights, filled up with zeros.
 */
function* write(
  { start, count, precision, taps }: Measured,
  memory: ArrayBufferLike,
  { spans, weights, stride }: Placed,
  kind: Kind,
  origin: number,
  step: number,
  group: number,
): Slices<void> {
  const span = new Int32Array(memory, spans, 2 * count);
  const whole = stride / kind.weight;
  const target =
    kind === BYTES ? new Int16Array(memory, weights, count * whole) : new Float32Array(memory, weights, count * whole);
  target.fill(0);
  const unit = 2 ** precision;
  let work = 0;
  for (let i = 0; i < count; i++) {
    const { first, count: length, weights: from } = taps(start + i);
    span[2 * i] = (first - origin) * step;
    span[2 * i + 1] = Math.ceil(length / group);
    for (let j = 0; j < length; j++) {
      const w = from[j]!;
      target[i * whole + j] = kind === BYTES ? Math.trunc(w * unit + (w < 0 ? -0.5 : 0.5)) : w;
    }
    work += length + 8;
    if (work > WORK / 16) {
      work = 0;
      yield;
    }
  }
}

/** One or two passes, horizontal first; an axis that is not resized keeps its samples. */
function* convolve(
  stored: Required<Raster>,
  window: Part,
  axes: { columns: Axis | undefined; rows: Axis | undefined },
  kind: Kind,
): Slices<Uint8Array> {
  const { channels } = stored;
  const [width, height] = uprightSize(stored);
  const columns = axes.columns && (yield* measured(axes.columns, window.left, window.width, kind));
  const rows = axes.rows && (yield* measured(axes.rows, window.top, window.height, kind));
  const pixel = channels * kind.sample;
  const ys = rows ?? { first: window.top, end: window.top + window.height };
  const sourceRows = ys.end - ys.first;
  const sourceStride = width * pixel;
  const outStride = align(window.width * pixel + 16, 16);

  // Everything is laid out before anything is written, since growing the memory detaches views of it. Each part has
  // slack behind it for what the kernels read and write too far, times zero: taps to the end of a group, rows of a band.
  let end = 0;
  const reserve = (bytes: number, slack = 0) => {
    const at = end;
    end = align(end + bytes + slack + 16, 16);
    return at;
  };
  const place = ({ count, longest }: Measured, group: number): Placed => {
    const stride = align(align(longest, group) * kind.weight, 4);
    return { spans: reserve(8 * count), weights: reserve(count * stride), stride };
  };
  const across = columns && place(columns, kind.across);
  const down = rows && place(rows, kind.down);
  const band = align(Math.max(1, Math.floor(BAND_BYTES / sourceStride)), kind.rows);
  const source = columns ? reserve(band * sourceStride, kind.across * pixel + 64) : 0;
  const middleStride = columns ? outStride : sourceStride;
  const middle = columns
    ? reserve((align(sourceRows, kind.rows) + 1) * outStride)
    : reserve((sourceRows + 1) * sourceStride, 64);
  const out = rows ? reserve(window.height * outStride) : middle;
  checkRoom(end, width, height);

  const kernel = borrowKernel(end);
  try {
    const { bytes } = kernel;
    if (columns) yield* write(columns, bytes.buffer, across!, kind, 0, pixel, kind.across);
    if (rows) yield* write(rows, bytes.buffer, down!, kind, ys.first, middleStride, kind.down);

    for (let y = 0; y < sourceRows; y += band) {
      const count = Math.min(band, sourceRows - y);
      const samples = count * width * channels;
      const at = columns ? source : middle + y * sourceStride;
      // Bytes that become values begin at the end of their place, where the values arrive last.
      const from = at + (kind.sample - 1) * samples;
      readUpright(stored, ys.first + y, bytes.subarray(from, from + samples));
      if (kind !== BYTES) kernel.values_of_bytes(at, from, kind.factor, samples);
      yield;
      if (columns) {
        const to = { at: middle + y * outStride, stride: outStride };
        yield* resizeAcross(kernel, kind, columns, across!, channels, to, { at, stride: sourceStride }, count);
      }
    }
    if (rows) {
      const from = { at: columns ? middle : middle + window.left * pixel, stride: middleStride };
      yield* resizeDown(kernel, kind, rows, down!, { at: out, stride: outStride }, from, window.width * pixel);
    }

    const tight = window.width * pixel;
    const result = new Uint8Array(tight * window.height);
    for (let y = 0; y < window.height; y++) {
      result.set(bytes.subarray(out + y * outStride, out + y * outStride + tight), y * tight);
    }
    return result;
  } finally {
    kernel.free();
  }
}

/** Where rows lie in the kernel's memory, and how many bytes are from one to the next. */
interface Rows {
  readonly at: number;
  readonly stride: number;
}

/** The horizontal pass of some rows. */
function* resizeAcross(
  kernel: ImageKernel,
  kind: Kind,
  { count, longest, precision }: Measured,
  { spans, weights, stride }: Placed,
  channels: number,
  to: Rows,
  from: Rows,
  rows: number,
): Slices<void> {
  const whole = align(rows, kind.rows);
  const most = Math.max(1, Math.floor(WORK / (longest * whole)));
  for (let x = 0; x < count; x += most) {
    const out = to.at + x * channels * kind.sample;
    const taps = [spans + 8 * x, weights + x * stride, stride];
    const size = [Math.min(most, count - x), whole];
    if (kind !== BYTES) kernel.resize_horizontal_f32(channels, out, to.stride, from.at, from.stride, ...taps, ...size);
    else {
      const { resize_horizontal_i16: resize } = kernel;
      resize(channels, out, to.stride, from.at, from.stride, ...taps, precision, ...size);
    }
    yield;
  }
}

/** The vertical pass of all rows. */
function* resizeDown(
  kernel: ImageKernel,
  kind: Kind,
  { count, longest, precision }: Measured,
  { spans, weights, stride }: Placed,
  to: Rows,
  from: Rows,
  rowBytes: number,
): Slices<void> {
  const mostBytes = Math.max(16, Math.floor(WORK / longest) & ~15);
  for (let j = 0; j < rowBytes; j += mostBytes) {
    const some = Math.min(mostBytes, rowBytes - j);
    const most = Math.max(1, Math.floor(WORK / (longest * some)));
    for (let y = 0; y < count; y += most) {
      const out = to.at + y * to.stride + j;
      const taps = [spans + 8 * y, weights + y * stride, stride];
      const size = [some / kind.sample, Math.min(most, count - y)];
      if (kind !== BYTES) kernel.resize_vertical_f32(out, to.stride, from.at + j, from.stride, ...taps, ...size);
      else kernel.resize_vertical_i16(out, to.stride, from.at + j, from.stride, ...taps, precision, ...size);
      yield;
    }
  }
}

/** Bytes that a resize may take for each pixel of its source, and beside them. */
const ROOM = { pixel: 16, fixed: 64 << 20 };

function checkRoom(bytes: number, width: number, height: number): void {
  const most = ROOM.pixel * width * height + ROOM.fixed;
  if (bytes <= most) return;
  const [found, limit] = [bytes, most].map((n) => Math.ceil(n / 2 ** 20).toLocaleString("en-US"));
  throw new RangeError(`resize: an image of ${width}×${height} takes at most ${limit} MB to resize; got ${found}`);
}

/** The result that is made, whole, in torchvision. */
function checkResult(image: { width: number; height: number }, { width, height }: TorchvisionOptions): void {
  for (const [name, value] of Object.entries({ width, height })) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new RangeError(`resize: ${name} must be an integer of at least 1; got ${value}`);
  }
  if (width * height <= Math.max(PIXEL_LIMIT, image.width * image.height)) return;
  const limit = PIXEL_LIMIT.toLocaleString("en-US");
  throw new RangeError(
    `resize: an image of ${image.width}×${image.height} would become ${width}×${height}, and the limit is ${limit} pixels`,
  );
}

// ---- resizes ----

/** Resizes bytes. */
export function* resizeBytes(raster: Raster, options: TorchvisionOptions): Slices<Samples<Uint8Array>> {
  const { stored, width, height, window } = prepared(raster, options);
  const { filter, antialias = true } = options;
  const { channels } = stored;
  const [across, down] = [options.width !== width, options.height !== height];
  let data: Uint8Array;
  if (filter === "nearest" || filter === "nearest-exact" || (!across && !down)) {
    data = yield* picked(stored, options, window);
  } else {
    if (!antialias && filter === "lanczos") throw new RangeError("resize: lanczos needs antialias");
    const axis = (size: number, out: number) =>
      antialias ? antialiased(size, out, filter) : interpolated(size, out, filter as "bilinear");
    const axes = {
      columns: across ? axis(width, options.width) : undefined,
      rows: down ? axis(height, options.height) : undefined,
    };
    data = yield* convolve(stored, window, axes, BYTES);
  }
  return { data, width: window.width, height: window.height, channels };
}

/**
 * Rescales bytes to f32 values and resizes these, antialiased.
 * @param factor each byte times this, as f32, is a value.
 */
export function* resizeValues(
  raster: Raster,
  factor: number,
  options: TorchvisionOptions,
): Slices<Samples<Float32Array>> {
  const { stored, width, height, window } = prepared(raster, options);
  const { filter } = options;
  const { channels } = stored;
  const values = valuesOfBytes(factor);
  const [across, down] = [options.width !== width, options.height !== height];
  let data: Float32Array;
  if (filter === "nearest" || filter === "nearest-exact" || (!across && !down)) {
    data = Float32Array.from(yield* picked(stored, options, window), (byte) => values[byte]!);
  } else {
    if (filter === "lanczos") throw new RangeError("resize: values are resized by bilinear or bicubic; got lanczos");
    const axes = {
      columns: across ? antialiasedValues(width, options.width, filter) : undefined,
      rows: down ? antialiasedValues(height, options.height, filter) : undefined,
    };
    const result = yield* convolve(stored, window, axes, valuesBy(fround(factor)));
    data = new Float32Array(result.buffer);
  }
  return { data, width: window.width, height: window.height, channels };
}

function prepared(raster: Raster, options: TorchvisionOptions) {
  const stored = { orientation: 1, ...raster };
  const [width, height] = uprightSize(stored);
  checkResult({ width, height }, options);
  return {
    stored,
    width,
    height,
    window: options.window ?? { left: 0, top: 0, width: options.width, height: options.height },
  };
}

/** The f32 value of each byte. */
export const valuesOfBytes = (factor: number): Float32Array =>
  Float32Array.from({ length: 256 }, (_, byte) => byte * fround(factor));

/** The nearest samples, or the image itself where no size changes. */
function* picked(
  stored: Required<Raster>,
  { width, height, filter }: TorchvisionOptions,
  window: Part,
): Slices<Uint8Array> {
  const { channels } = stored;
  const [sourceWidth, sourceHeight] = uprightSize(stored);
  const same = width === sourceWidth && height === sourceHeight;
  const index = (size: number, out: number, i: number) =>
    same ? i : nearestIndex(size, out, i, filter === "nearest", width + height);
  const columns = Int32Array.from({ length: window.width }, (_, x) => index(sourceWidth, width, window.left + x));
  const row = new Uint8Array(sourceWidth * channels);
  const result = new Uint8Array(window.width * window.height * channels);
  let at = 0;
  let last = -1;
  for (let y = 0; y < window.height; y++) {
    const from = index(sourceHeight, height, window.top + y);
    if (from !== last) readUpright(stored, from, row);
    last = from;
    for (const x of columns) for (let c = 0; c < channels; c++) result[at++] = row[x * channels + c]!;
    if (y % 16 === 15) yield;
  }
  return result;
}

/** Both kinds differ by the roundings alone of where they begin; small results have others than large ones. */
function nearestIndex(size: number, out: number, i: number, plain: boolean, bothOut: number): number {
  const scale = fround(size / out);
  let index: number;
  if (plain) index = size === out ? i : Math.floor(fround(i * scale));
  else if (bothOut <= 128) index = Math.floor(fround((i + 0.5) * scale));
  else index = Math.floor(fround(Math.max(fma(scale, i + 0.5, -0.5), 0) + 0.5));
  return Math.min(index, size - 1);
}
