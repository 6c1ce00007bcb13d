/**
 * Resizing, to the byte as Pillow does it: antialiased, with 8-bit fixed-point weights and an 8-bit image between the
 * two passes. Source: Pillow's src/libImaging/Resample.c; the inner loops are in assembly/image.ts.
 */
import { kernelWith } from "./kernel.js";
import { readUpright, upright, uprightSize } from "./upright.js";

/** 8-bit samples, row by row, the channels of a pixel side by side: gray, RGB, or RGB with straight alpha. */
export interface Raster {
  /** width · height · channels bytes. */
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels: 1 | 3 | 4;
  /** How EXIF says to turn it before anything else, from 1 to 8. Default: 1, it is upright. */
  orientation?: number;
}

export type Filter = "nearest" | "box" | "bilinear" | "hamming" | "bicubic" | "lanczos";

/** A part of an image, in pixels. */
export interface Part {
  left: number;
  top: number;
  width: number;
  height: number;
}

export interface ResizeOptions {
  /** Size of the result in pixels. */
  width: number;
  height: number;
  filter: Filter;
  /** [left, top, right, bottom] in source pixels, fractions allowed: the part to resize. Default: all of it. */
  box?: readonly [number, number, number, number];
  /**
   * The order of the two passes, which shows by some levels since the image between them is rounded: horizontal first,
   * as every Pillow before 13 (default), or Pillow 13's rule, vertical first for pictures that shrink more in height.
   */
  order?: "pillow12" | "pillow13";
  /** Compute only this part of the result, in its pixels; for a resize that is followed by a crop. Default: all. */
  window?: Part;
}

/** The weights of one result row or column: sample `first + i` of the source counts `weights[i]` · 2^-22. */
interface Taps {
  first: number;
  weights: number[];
}

const sinc = (x: number) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Support (half width at scale 1) and shape of each filter; hamming's two constants are C floats in Pillow. */
const FILTERS: Record<Exclude<Filter, "nearest">, { support: number; weight: (x: number) => number }> = {
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

const FRACTION = 2 ** 22;
/** Source bytes that are handed to the kernel at once, so that they are still in the cache when they are read. */
const BAND_BYTES = 1 << 17;

/**
 * Resizes an image. Alpha is premultiplied for all filters but nearest, as in Pillow.
 * @returns an image of the window's size (by default width × height) and the same channels; always a new buffer.
 * @throws RangeError for sizes that are not positive integers, a box or window that is not inside, or wrong data length.
 */
export function resize(raster: Raster, options: ResizeOptions): Raster & { data: Uint8Array } {
  const { width, height, filter, order = "pillow12" } = options;
  const stored = { orientation: 1, ...raster };
  const [imageWidth, imageHeight] = uprightSize(stored);
  const image = { ...raster, width: imageWidth, height: imageHeight };
  check(image, options);
  const box = (options.box ?? [0, 0, image.width, image.height]).map(Math.fround);
  const window = options.window ?? { left: 0, top: 0, width, height };
  const [left, top, right, bottom] = box;
  if (filter === "nearest") return nearest(upright(stored), options, box, window);

  const horizontal = width !== image.width || left !== 0 || right !== width;
  const vertical = height !== image.height || top !== 0 || bottom !== height;
  if (!horizontal && !vertical) return crop(upright(stored), window);

  const columns = horizontal ? axisTaps(image.width, left, right, width, filter, window.left, window.width) : undefined;
  const rows = vertical ? axisTaps(image.height, top, bottom, height, filter, window.top, window.height) : undefined;
  const shrink = image.height - height;
  const verticalFirst = order === "pillow13" && shrink > 0 && shrink > 2 * (image.width - width);

  const source = stored.channels === 4 ? { ...stored, data: premultiplied(stored.data) } : stored;
  const data = convolve(source, window, columns, rows, verticalFirst);
  if (image.channels === 4) unpremultiply(data);
  return { data, width: window.width, height: window.height, channels: image.channels };
}

function check(image: Raster, { width, height, filter, box, window }: ResizeOptions): void {
  if (filter !== "nearest" && !Object.hasOwn(FILTERS, filter)) {
    throw new RangeError(`resize: filter must be nearest, ${Object.keys(FILTERS).join(", ")}; got ${filter}`);
  }
  const sizes = { width, height, "source width": image.width, "source height": image.height };
  for (const [name, value] of Object.entries(sizes)) {
    if (Number.isInteger(value) && value >= 1) continue;
    throw new RangeError(`resize: ${name} must be an integer of at least 1; got ${value}`);
  }
  if (![1, 3, 4].includes(image.channels)) {
    throw new RangeError(`resize: an image has 1, 3 or 4 channels; got ${image.channels}`);
  }
  const bytes = image.width * image.height * image.channels;
  const source = `${image.width}×${image.height}`;
  if (image.data.length !== bytes) {
    const found = image.data.length;
    throw new RangeError(`resize: an image of ${source}×${image.channels} needs ${bytes} bytes; got ${found}`);
  }
  if (box) {
    const [left, top, right, bottom] = box;
    const isInside = left >= 0 && left < right && right <= image.width && top >= 0 && top < bottom;
    if (!isInside || bottom > image.height) {
      throw new RangeError(`resize: box must lie inside ${source} and not be empty; got [${box.join(", ")}]`);
    }
  }
  if (window) {
    const { left: x, top: y, width: w, height: h } = window;
    const isInside = x >= 0 && y >= 0 && w >= 1 && h >= 1 && x + w <= width && y + h <= height;
    if (!isInside || ![x, y, w, h].every(Number.isInteger)) {
      throw new RangeError(`resize: window must lie inside ${width}×${height}; got ${w}×${h} at (${x}, ${y})`);
    }
  }
}

/** Pillow's precompute_coeffs and normalize_coeffs_8bpc for the outputs from `start` on; a box is C floats there. */
function axisTaps(
  size: number,
  in0: number,
  in1: number,
  out: number,
  filter: Exclude<Filter, "nearest">,
  start: number,
  count: number,
): Taps[] {
  const { support, weight } = FILTERS[filter];
  const scale = Math.fround(in1 - in0) / out;
  const filterScale = Math.max(scale, 1);
  const reach = support * filterScale;
  const inverse = 1 / filterScale;
  const taps: Taps[] = [];
  for (let i = start; i < start + count; i++) {
    const center = in0 + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - reach + 0.5));
    const end = Math.min(size, Math.trunc(center + reach + 0.5));
    const weights: number[] = [];
    let sum = 0;
    for (let x = first; x < end; x++) {
      const w = weight((x - center + 0.5) * inverse);
      weights.push(w);
      sum += w;
    }
    for (let x = 0; x < weights.length; x++) {
      const w = sum === 0 ? weights[x] : weights[x] / sum;
      weights[x] = Math.trunc(w * FRACTION + (w < 0 ? -0.5 : 0.5));
    }
    taps.push({ first, weights });
  }
  return taps;
}

/** What the 8-bit samples of one axis count in each result of a window, whether the axis changes or not. */
export function axisSampling(
  size: number,
  out: number,
  filter: Exclude<Filter, "nearest">,
  start: number,
  count: number,
): { first: Int32Array; weights: Int32Array } {
  const taps: Taps[] =
    size === out
      ? Array.from({ length: count }, (_, i) => ({ first: start + i, weights: [FRACTION] }))
      : axisTaps(size, 0, size, out, filter, start, count);
  const most = Math.max(...taps.map(({ weights }) => weights.length));
  const weights = new Int32Array(count * most);
  for (const [i, tap] of taps.entries()) weights.set(tap.weights, i * most);
  return { first: Int32Array.from(taps, ({ first }) => first), weights };
}

/** Source samples that the taps read: from `first` up to `end`. */
function reach(taps: Taps[]): { first: number; end: number } {
  const last = taps[taps.length - 1];
  return { first: taps[0].first, end: last.first + last.weights.length };
}

/**
 * The kernel's form of the taps: for each output, how many bytes after the start of the source its first sample is and
 * how many groups of taps follow; and the weights in their two halves, the last group filled up with zeros.
 */
function encode(taps: Taps[], origin: number, step: number, group: 2 | 4): [Int32Array, Int16Array] {
  const spans = new Int32Array(2 * taps.length);
  let groups = 0;
  taps.forEach(({ first, weights }, i) => {
    spans[2 * i] = (first - origin) * step;
    spans[2 * i + 1] = Math.ceil(weights.length / group);
    groups += spans[2 * i + 1];
  });
  const coefficients = new Int16Array(groups * 2 * group);
  let at = 0;
  for (const { weights } of taps) {
    for (let x = 0; x < weights.length; x++) {
      coefficients[at + (x % group)] = weights[x] >> 11;
      coefficients[at + (x % group) + group] = weights[x] & 2047;
      if ((x + 1) % group === 0 || x + 1 === weights.length) at += 2 * group;
    }
  }
  return [spans, coefficients];
}

const align = (n: number, to: number) => Math.ceil(n / to) * to;

/** One or two passes in kernel memory; an axis without taps keeps its size. */
function convolve(
  stored: Required<Raster>,
  window: Part,
  columns: Taps[] | undefined,
  rows: Taps[] | undefined,
  verticalFirst: boolean,
): Uint8Array {
  const { channels } = stored;
  const [width] = uprightSize(stored);
  const xs = columns ? reach(columns) : { first: window.left, end: window.left + window.width };
  const ys = rows ? reach(rows) : { first: window.top, end: window.top + window.height };
  const rowBytes = width * channels;
  const sourceRows = ys.end - ys.first;
  const startsHorizontal = columns !== undefined && !(rows && verticalFirst);

  // Everything is laid out before anything is written, since growing the memory detaches views of it. Each part has
  // slack behind it: the kernels read up to a row and 16 bytes too far, and rows are computed in pairs.
  let end = 0;
  const reserve = (bytes: number) => {
    const at = end;
    end = align(end + bytes + 16, 16);
    return at;
  };
  const tables: [number, Int32Array | Int16Array][] = [];
  const place = (encoded: [Int32Array, Int16Array]) =>
    encoded.map((table) => {
      const at = reserve(table.byteLength);
      tables.push([at, table]);
      return at;
    });
  const bandRows = startsHorizontal ? align(BAND_BYTES / rowBytes, 2) : sourceRows + 1;
  const source = reserve(bandRows * rowBytes);
  const outStride = align(window.width * channels + 3, 16);
  const out = reserve(align(window.height, 2) * outStride);
  let middle = out;
  let middleStride = outStride;
  if (columns && rows) {
    middleStride = align((startsHorizontal ? window.width : xs.end - xs.first) * channels + 3, 16);
    middle = reserve((align(startsHorizontal ? sourceRows : window.height, 2) + 1) * middleStride);
  }
  const across = columns && place(encode(columns, startsHorizontal ? 0 : xs.first, channels, 4));
  const down = rows && place(encode(rows, ys.first, startsHorizontal ? middleStride : rowBytes, 2));

  const { bytes, resize_horizontal, resize_vertical } = kernelWith(end);
  for (const [at, { buffer }] of tables) bytes.set(new Uint8Array(buffer), at);

  const horizontal = (to: number, toStride: number, from: number, fromStride: number, count: number) => {
    if (!across) return;
    resize_horizontal(channels, to, toStride, from, fromStride, ...across, window.width, align(count, 2));
  };
  const vertical = (to: number, toStride: number, from: number, fromStride: number, columnCount: number) => {
    if (down) resize_vertical(to, toStride, from, fromStride, ...down, columnCount * channels, window.height);
  };
  for (let y = 0; y < sourceRows; y += bandRows) {
    const first = ys.first + y;
    const count = Math.min(bandRows, sourceRows - y);
    readUpright(stored, first, bytes.subarray(source, source + count * rowBytes));
    if (startsHorizontal) horizontal(middle + y * middleStride, middleStride, source, rowBytes, count);
  }
  if (startsHorizontal) vertical(out, outStride, middle, middleStride, window.width);
  else {
    vertical(middle, middleStride, source + xs.first * channels, rowBytes, xs.end - xs.first);
    horizontal(out, outStride, middle, middleStride, window.height);
  }

  const tight = window.width * channels;
  const result = new Uint8Array(tight * window.height);
  for (let y = 0; y < window.height; y++) {
    result.set(bytes.subarray(out + y * outStride, out + y * outStride + tight), y * tight);
  }
  return result;
}

/** Pillow's ImagingScaleAffine: positions are summed up, not multiplied out, and truncated. */
function nearest(
  { data, width, height, channels }: Raster,
  options: ResizeOptions,
  [left, top, right, bottom]: number[],
  window: Part,
): Raster & { data: Uint8Array } {
  const positions = (in0: number, in1: number, out: number, size: number) => {
    const scale = Math.fround(in1 - in0) / out;
    let position = in0 + 0.5 * scale;
    return Int32Array.from({ length: out }, () => {
      const index = Math.min(size - 1, Math.trunc(position));
      position += scale;
      return index;
    });
  };
  const xs = positions(left, right, options.width, width).subarray(window.left, window.left + window.width);
  const ys = positions(top, bottom, options.height, height).subarray(window.top, window.top + window.height);
  const result = new Uint8Array(xs.length * ys.length * channels);
  let at = 0;
  for (const y of ys) {
    for (const x of xs) {
      const from = (y * width + x) * channels;
      for (let c = 0; c < channels; c++) result[at++] = data[from + c];
    }
  }
  return { data: result, width: xs.length, height: ys.length, channels };
}

/** A copy of a part of an image. */
export function crop({ data, width, channels }: Raster, part: Part): Raster & { data: Uint8Array } {
  const rowBytes = part.width * channels;
  const result = new Uint8Array(rowBytes * part.height);
  for (let y = 0; y < part.height; y++) {
    const from = ((part.top + y) * width + part.left) * channels;
    result.set(data.subarray(from, from + rowBytes), y * rowBytes);
  }
  return { data: result, width: part.width, height: part.height, channels };
}

/** Pillow's MULDIV255: c · a / 255, rounded. */
function premultiplied(data: Raster["data"]): Uint8Array {
  const result = new Uint8Array(data);
  for (let i = 0; i < result.length; i += 4) {
    const alpha = result[i + 3];
    if (alpha === 255) continue;
    for (let c = i; c < i + 3; c++) {
      const t = result[c] * alpha + 128;
      result[c] = ((t >> 8) + t) >> 8;
    }
  }
  return result;
}

/** In place; a colour without alpha stays as it is. */
function unpremultiply(data: Uint8Array): void {
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3];
    if (alpha === 0 || alpha === 255) continue;
    for (let c = i; c < i + 3; c++) data[c] = Math.min(255, Math.floor((255 * data[c]) / alpha));
  }
}
