/**
 * Resizing, to the byte as Pillow does it: antialiased, with 8-bit fixed-point weights and an 8-bit image between the
 * two passes. Source: Pillow's src/libImaging/Resample.c; the inner loops are in assembly/image.ts. Time goes with the bytes of
 * the source and of the result, and memory with those of the result: of a source, however tall or wide, some rows are in work.
 */
import { excerpt } from "../json.js";
import { borrowKernel, type ImageKernel, kernelWith } from "./kernel.js";
import { atOnce, type Slices } from "./slices.js";
import {
  type Axis,
  type AxisOptions,
  createAxis,
  type Filter,
  nearestSamples,
  WEIGHING,
  type Weighing,
} from "./taps.js";
import { readUpright, type Turned, turning, turnOf, uprightSize, uprightSteps } from "./upright.js";

export type { Filter } from "./taps.js";

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

/** White around an image that is upright: the size of the whole, and where the image begins in it. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
}

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
   * as every Pillow before 13 (default), or Pillow 13's rule, vertical first for pictures that shrink more in height. Both
   * begin vertically where a picture more than 100 times as tall as wide shrinks.
   */
  order?: "pillow12" | "pillow13";
  /** Compute only this part of the result, in its pixels; for a resize that is followed by a crop. Default: all. */
  window?: Part;
}

/** Bytes of source rows that are resized at once, so that they are still in the cache when they are read; and of what is made. */
const BAND_BYTES = 1 << 17;
const MIDDLE_BYTES = 1 << 18;
/** A source whose rows have more bytes than this is read with its columns as rows. */
const LONGEST_ROW = 1 << 20;
/** Bytes of whole rows that wait for the horizontal pass, where that comes last; it is made the first one otherwise. */
const MOST_WAITING = 1 << 25;
/** Pairs of taps and rows that the vertical kernel is given at once, and bytes that it adds up. */
const PAIRS = 1 << 14;
const SPANS = 1 << 10;
const WORK = 1 << 23;
/** Bytes that are copied or changed between two yields. */
const STRETCH = 1 << 18;

type Resized = Raster & { data: Uint8Array };

/**
 * Resizes an image. Alpha is premultiplied for all filters but nearest, as in Pillow.
 * @returns an image of the window's size (by default width × height) and the same channels; always a new buffer.
 * @throws RangeError for sizes that are not positive integers, a box or window that is not inside, or wrong data length.
 */
export function resize(raster: Raster, options: ResizeOptions): Resized {
  return atOnce(resizing(raster, options));
}

/** The same in slices. */
export function* resizing(raster: Raster, options: ResizeOptions): Slices<Resized> {
  const stored = { orientation: 1, ...raster };
  if (![1, 2, 3, 4, 5, 6, 7, 8].includes(stored.orientation)) {
    throw new RangeError(`resize: orientation must be from 1 to 8; got ${excerpt(stored.orientation)}`);
  }
  const [width, height] = uprightSize(stored);
  check({ ...raster, width, height }, options);
  return yield* resizingSource(stored, options);
}

/**
 * Resizes RGB with white around it. What sees nothing of the image is white, and not computed, so that time and memory go with the
 * image as well, whatever its shape.
 */
export function* resizingFramed(
  image: Omit<Raster, "channels">,
  frame: Frame,
  options: ResizeOptions & { readonly window: Part },
): Slices<Resized> {
  const { orientation = 1, ...whole } = image;
  const upright = orientation === 1 ? whole : yield* turning({ ...image, channels: 3, orientation });
  const { width, height, filter, window } = options;
  const columns = seeing(frame.width, frame.left, upright.width, width, window.left, window.width, filter);
  const rows = seeing(frame.height, frame.top, upright.height, height, window.top, window.height, filter);
  const result = new Uint8Array(3 * window.width * window.height).fill(255);
  const size = { width: window.width, height: window.height, channels: 3 } as const;
  if (columns.count === 0 || rows.count === 0) return { data: result, ...size };
  const part = {
    left: window.left + columns.first,
    top: window.top + rows.first,
    ...{ width: columns.count, height: rows.count },
  };
  const { data } = yield* resizingSource(
    { ...upright, channels: 3, orientation: 1, frame },
    { width, height, filter, window: part },
  );
  for (let y = 0; y < rows.count; y++) {
    const row = data.subarray(3 * y * columns.count, 3 * (y + 1) * columns.count);
    result.set(row, 3 * ((rows.first + y) * window.width + columns.first));
  }
  return { data: result, ...size };
}

/** Results of an axis in a window that see some of `length` samples from `from` on, as those from the first to the last. */
function seeing(
  size: number,
  from: number,
  length: number,
  out: number,
  start: number,
  count: number,
  filter: Filter,
): { readonly first: number; readonly count: number } {
  const whole = { size, from: 0, to: size, out, start, count };
  const nearest = filter === "nearest" ? nearestSamples(whole) : out === size ? samples(start, count) : undefined;
  const axis = nearest
    ? { first: (i: number) => nearest[i]!, end: (i: number) => nearest[i]! + 1 }
    : createAxis({ ...whole, isMirrored: false }, filter as Weighing);
  let first = 0;
  while (first < count && axis.end(first) <= from) first++;
  let end = first;
  while (end < count && axis.first(end) < from + length) end++;
  return { first, count: end - first };
}

/** An image to be resized, with what is around it. */
type Source = Required<Raster> & { readonly frame?: Frame };

function* resizingSource(stored: Source, options: ResizeOptions): Slices<Resized> {
  const { width, height, filter, order = "pillow12" } = options;
  const { channels, frame } = stored;
  const [imageWidth, imageHeight] = frame ? [frame.width, frame.height] : uprightSize(stored);
  const [left, top, right, bottom] = (options.box ?? [0, 0, imageWidth, imageHeight]).map(Math.fround) as Box;
  const window = options.window ?? { left: 0, top: 0, width, height };
  const across = { size: imageWidth, from: left, to: right, out: width, start: window.left, count: window.width };
  const down = { size: imageHeight, from: top, to: bottom, out: height, start: window.top, count: window.height };
  const size = { width: window.width, height: window.height, channels };
  if (filter === "nearest")
    return { data: yield* gather(stored, nearestSamples(across), nearestSamples(down), frame), ...size };

  if (
    width === imageWidth &&
    height === imageHeight &&
    left === 0 &&
    right === width &&
    top === 0 &&
    bottom === height
  ) {
    return {
      data: yield* gather(stored, samples(window.left, window.width), samples(window.top, window.height), frame),
      ...size,
    };
  }
  const shrink = imageHeight - height;
  const isTall = imageHeight > 100 * imageWidth && shrink > 0;
  const verticalFirst = isTall || (order === "pillow13" && shrink > 0 && shrink > 2 * (imageWidth - width));
  const plan = planOf(stored, across, down, filter, verticalFirst);
  const made = yield* convolve(plan);
  if (channels === 4) yield* unpremultiply(made);
  const whole = {
    data: made,
    width: plan.columns.results,
    height: plan.rows.results,
    channels,
    orientation: plan.orientation,
  };
  const [wholeWidth, wholeHeight] = uprightSize(whole);
  if (plan.orientation === 1 && wholeWidth === window.width && wholeHeight === window.height)
    return { data: made, ...size };
  // What was made of a single column or row is repeated.
  const repeated = (made: number, count: number) => (made === 1 ? new Int32Array(count) : samples(0, count));
  const data = yield* gather(whole, repeated(wholeWidth, window.width), repeated(wholeHeight, window.height));
  return { data, ...size };
}

type Box = [number, number, number, number];

const isNumbers = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((x) => typeof x === "number");

function check(image: Raster, { width, height, filter, box, window }: ResizeOptions): void {
  if (filter !== "nearest" && !WEIGHING.includes(filter)) {
    throw new RangeError(`resize: filter must be nearest, ${WEIGHING.join(", ")}; got ${excerpt(filter)}`);
  }
  const sizes = { width, height, "source width": image.width, "source height": image.height };
  for (const [name, value] of Object.entries(sizes)) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new RangeError(`resize: ${name} must be an integer of at least 1 and less than 2^53; got ${excerpt(value)}`);
  }
  if (![1, 3, 4].includes(image.channels)) {
    throw new RangeError(`resize: an image has 1, 3 or 4 channels; got ${excerpt(image.channels)}`);
  }
  const bytes = image.width * image.height * image.channels;
  const source = `${image.width}×${image.height}`;
  if (image.data.length !== bytes) {
    const found = image.data.length;
    throw new RangeError(`resize: an image of ${source}×${image.channels} needs ${bytes} bytes; got ${found}`);
  }
  if (box !== undefined) {
    const [left = -1, top = -1, right = -1, bottom = -1] = isNumbers(box) ? box : [];
    const isInside = left >= 0 && left < right && right <= image.width && top >= 0 && top < bottom;
    if (!isInside || bottom > image.height) {
      throw new RangeError(`resize: box must lie inside ${source} and not be empty; got ${excerpt(box)}`);
    }
  }
  if (window !== undefined) {
    const { left: x, top: y, width: w, height: h } = (window ?? {}) as Part;
    const isInside = x >= 0 && y >= 0 && w >= 1 && h >= 1 && x + w <= width && y + h <= height;
    if (!isInside || ![x, y, w, h].every(Number.isInteger)) {
      const [across, down, left, top] = [w, h, x, y].map((value) => excerpt(value));
      throw new RangeError(
        `resize: window must lie inside ${width}×${height}; got ${across}×${down} at (${left}, ${top})`,
      );
    }
  }
}

/** How an image is resized: in rows and columns as they are read, which may be the columns and rows that are stored. */
interface Plan {
  readonly channels: number;
  readonly rowBytes: number;
  readonly columns: Pass;
  readonly rows: Pass;
  readonly rowsFirst: boolean;
  /** How what is made of them is to be turned. */
  readonly orientation: number;
  /** Rows from `first` on, as many as fill the target. */
  readonly read: (first: number, target: Uint8Array) => void;
}

function planOf(
  stored: Source,
  across: Omit<AxisOptions, "isMirrored">,
  down: Omit<AxisOptions, "isMirrored">,
  filter: Weighing,
  verticalFirst: boolean,
): Plan {
  const { channels, frame } = stored;
  const { width, height } = frame ?? stored;
  const plan = (isLying: boolean): Plan => {
    const orientation = isLying ? ((stored.orientation + 3) % 8) + 1 : stored.orientation;
    const { mirrorsX, mirrorsY, transposes } = turnOf(orientation);
    const [x, y] = transposes ? [down, across] : [across, down];
    return {
      channels,
      rowBytes: (isLying ? height : width) * channels,
      columns: passOf({ ...x, isMirrored: mirrorsX }, filter),
      rows: passOf({ ...y, isMirrored: mirrorsY }, filter),
      rowsFirst: verticalFirst !== transposes,
      orientation,
      read: (first, target) => readRows({ ...stored, orientation: isLying ? 5 : 1 }, first, target),
    };
  };
  if (width * channels > LONGEST_ROW && width > height) return plan(true);
  const { columns, rows, rowsFirst, ...standing } = plan(false);
  const waits = rowsFirst && rows.axis && columns.axis;
  const waiting = (columns.end - columns.first) * channels * rows.results;
  if (waits && waiting > MOST_WAITING && height * channels <= LONGEST_ROW) return plan(true);
  return { columns, rows, rowsFirst, ...standing };
}

/** Rows of a source from `first` on, as many as fill the target: its columns, if it is turned, as what is around it. */
function readRows(source: Source, first: number, target: Uint8Array): void {
  const { frame, channels, orientation } = source;
  if (!frame) {
    readUpright(source, first, target);
    return;
  }
  const [left, top, width] =
    orientation === 1 ? [frame.left, frame.top, frame.width] : [frame.top, frame.left, frame.height];
  const [columns, rows] = uprightSize(source);
  target.fill(255);
  for (let at = 0, y = first - top; at < target.length; at += width * channels, y++) {
    if (y < 0 || y >= rows) continue;
    const from = at + left * channels;
    readUpright(source, y, target.subarray(from, from + columns * channels));
  }
}

/** The work along one axis of the source. */
interface Pass {
  /** Source samples that are read: from `first` up to `end`. */
  readonly first: number;
  readonly end: number;
  /** How many results are made of them. */
  readonly results: number;
  /** Their weights; none where they stay as they are. */
  readonly axis?: Axis;
}

function passOf(options: AxisOptions, filter: Weighing): Pass {
  const { size, from, to, out, start, count, isMirrored } = options;
  // All that can be made of one sample is that sample.
  if (size === 1) return { first: 0, end: 1, results: 1 };
  if (out === size && from === 0 && to === out) {
    const first = isMirrored ? size - start - count : start;
    return { first, end: first + count, results: count };
  }
  const axis = createAxis(options, filter);
  return { first: axis.first(0), end: axis.end(count - 1), results: count, axis };
}

/** Weights of the 8-bit samples of one axis in each result of a window, whether the axis changes or not. */
export function axisSampling(
  size: number,
  out: number,
  filter: Weighing,
  start: number,
  count: number,
): { first: Int32Array; weights: Int32Array } {
  const first = new Int32Array(count);
  if (size === out) return { first: first.map((_, i) => start + i), weights: new Int32Array(count).fill(1 << 22) };
  const axis = createAxis({ size, from: 0, to: size, out, start, count, isMirrored: false }, filter);
  const lengths = first.map((_, i) => axis.end(i) - axis.first(i));
  const most = lengths.reduce((a, b) => Math.max(a, b));
  const weights = new Int32Array(count * most);
  const kernel = kernelWith(16 + 4 * (most + 1));
  const halves = new Int16Array(kernel.bytes.buffer, 16);
  for (let i = 0; i < count; i++) {
    first[i] = axis.first(i);
    const sum = axis.sum(kernel, i);
    axis.encode(kernel, i, typeof sum === "number" ? sum : atOnce(sum), first[i]!, lengths[i]!, 2, 16);
    for (let x = 0; x < lengths[i]!; x++) {
      const at = 4 * (x >> 1) + (x & 1);
      weights[i * most + x] = 2048 * halves[at]! + halves[at + 2]!;
    }
  }
  return { first, weights };
}

const align = (n: number, to: number) => Math.ceil(n / to) * to;

/**
 * One or two passes in kernel memory, a band of source rows after the other: it is resized horizontally if that comes first,
 * and added to the results that it is part of. So there are never more than a band's rows between the passes.
 * @returns all results, as they are numbered in the plan.
 */
function* convolve({ channels, rowBytes, columns, rows, rowsFirst, read }: Plan): Slices<Uint8Array> {
  const sourceRows = rows.end - rows.first;
  const columnCount = columns.end - columns.first;
  const startsAcross = columns.axis !== undefined && !(rows.axis && rowsFirst);
  const endsAcross = columns.axis !== undefined && !startsAcross;

  // Everything is laid out before anything is written, since growing the memory detaches views of it. Each part has
  // slack behind it: the kernels read up to a row and 16 bytes too far, and rows are computed in pairs.
  let end = 16;
  const reserve = (bytes: number) => {
    const at = end;
    end = align(end + bytes + 16, 16);
    return at;
  };
  const middleBytes = (startsAcross ? columns.results : columnCount) * channels;
  const stride = align(middleBytes + 3, 16);
  const resultBytes = columns.results * channels;
  const resultStride = align(resultBytes + 3, 16);
  const bandRows = align(Math.max(2, Math.min(BAND_BYTES / rowBytes, MIDDLE_BYTES / stride, sourceRows)), 2);
  const acrossSpans = reserve(8 * columns.results);
  const acrossTaps = columns.axis ? reserve(16 * groupsOf(columns.axis)) : 0;
  const band = reserve((bandRows + 1) * rowBytes);
  const bandAcross = startsAcross ? reserve((bandRows + 1) * stride) : 0;
  // What the vertical pass adds up: rows in work, and rows that are done.
  const slots = rows.axis ? mostInWork(rows.axis, rows.first, bandRows, sourceRows) : 0;
  const sums = reserve(slots * 4 * stride);
  const pairs = Math.max(PAIRS, bandRows);
  const spans = reserve(SPANS * 20);
  const taps = reserve(pairs * 8);
  const done = rows.axis ? reserve((align(rows.results, 2) + 1) * stride) : 0;
  const doneAcross = endsAcross ? reserve(align(rows.results, 2) * resultStride) : 0;

  const kernel = borrowKernel(end);
  const { bytes, resize_horizontal, resize_vertical } = kernel;
  const result = new Uint8Array(resultBytes * rows.results);
  function* emit(first: number, count: number, from: number, fromStride: number): Slices<void> {
    for (let y = 0; y < count; y++) {
      const at = from + y * fromStride;
      result.set(bytes.subarray(at, at + resultBytes), (first + y) * resultBytes);
      if (y % 64 === 63) yield;
    }
  }
  const resizeAcross = (to: number, toStride: number, from: number, fromStride: number, count: number) =>
    resize_horizontal(
      channels,
      to,
      toStride,
      from,
      fromStride,
      acrossSpans,
      acrossTaps,
      columns.results,
      align(count, 2),
    );
  try {
    if (columns.axis)
      yield* encodeColumns(kernel, columns.axis, startsAcross ? 0 : columns.first, channels, acrossSpans, acrossTaps);
    const spanTable = new Int32Array(bytes.buffer, spans, SPANS * 5);
    // The sums of the weights of rows in work.
    const weightSums = new Map<number, number>();
    let next = 0;
    for (let y = 0; y < sourceRows; y += bandRows) {
      const first = rows.first + y;
      const count = Math.min(bandRows, sourceRows - y);
      const target = bytes.subarray(band, band + count * rowBytes);
      read(first, target);
      if (channels === 4) premultiply(target);
      let from = band + columns.first * channels;
      let fromStride = rowBytes;
      if (startsAcross) {
        resizeAcross(bandAcross, stride, band, rowBytes, count);
        from = bandAcross;
        fromStride = stride;
      }
      yield;
      if (!rows.axis) {
        yield* emit(y, count, from, fromStride);
        continue;
      }
      const { axis } = rows;
      let spanCount = 0;
      let pairCount = 0;
      const add = () => {
        resize_vertical(from, fromStride, spans, taps, middleBytes, spanCount);
        spanCount = pairCount = 0;
      };
      for (let row = next; row < axis.count; row++) {
        const [rowFirst, rowEnd] = [axis.first(row), axis.end(row)];
        if (rowFirst >= first + count) break;
        const begin = Math.max(rowFirst, first);
        const end = Math.min(rowEnd, first + count);
        const needed = (end - begin + 1) >> 1;
        if (pairCount + needed > pairs || spanCount === SPANS || (pairCount + needed) * middleBytes > WORK) {
          add();
          yield;
        }
        const summed = weightSums.get(row) ?? axis.sum(kernel, row);
        const sum = typeof summed === "number" ? summed : yield* summed;
        const isLast = end === rowEnd;
        const at = 5 * spanCount++;
        spanTable[at] = (begin - first) * fromStride;
        spanTable[at + 1] = needed;
        spanTable[at + 2] = begin === rowFirst ? 1 : 0;
        spanTable[at + 3] = sums + (row % Math.max(1, slots)) * 4 * stride;
        spanTable[at + 4] = isLast ? done + row * stride : 0;
        axis.encode(kernel, row, sum, begin, end - begin, 2, taps + 8 * pairCount);
        pairCount += needed;
        if (isLast) {
          weightSums.delete(row);
          next = row + 1;
        } else weightSums.set(row, sum);
      }
      if (spanCount > 0) add();
      yield;
    }
    if (rows.axis && !endsAcross) yield* emit(0, rows.results, done, stride);
    if (endsAcross) {
      for (let y = 0; y < rows.results; y += bandRows) {
        const count = Math.min(bandRows, rows.results - y);
        const to = doneAcross + y * resultStride;
        resizeAcross(to, resultStride, done + y * stride, stride, count);
        yield* emit(y, count, to, resultStride);
        yield;
      }
    }
  } finally {
    kernel.free();
  }
  return result;
}

/** The most results of an axis that have begun and not ended between two bands. */
function mostInWork({ count, first, end }: Axis, from: number, bandRows: number, sourceRows: number): number {
  let most = 0;
  let begun = 0;
  let ended = 0;
  for (let border = bandRows; border < sourceRows; border += bandRows) {
    while (begun < count && first(begun) < from + border) begun++;
    while (ended < begun && end(ended) <= from + border) ended++;
    most = Math.max(most, begun - ended);
  }
  return most;
}

/** Groups of four taps of all results. */
function groupsOf({ count, first, end }: Axis): number {
  let groups = 0;
  for (let i = 0; i < count; i++) groups += (end(i) - first(i) + 3) >> 2;
  return groups;
}

/**
 * Writes the horizontal kernel's form of an axis: for each result, how many bytes after `origin` its first sample is and how many
 * groups of four taps follow; and the weights.
 */
function* encodeColumns(
  kernel: ImageKernel,
  axis: Axis,
  origin: number,
  channels: number,
  spans: number,
  taps: number,
): Slices<void> {
  const spanTable = new Int32Array(kernel.bytes.buffer, spans, 2 * axis.count);
  for (let i = 0, at = taps, seen = taps; i < axis.count; i++) {
    const first = axis.first(i);
    const count = axis.end(i) - first;
    const groups = (count + 3) >> 2;
    spanTable[2 * i] = (first - origin) * channels;
    spanTable[2 * i + 1] = groups;
    const sum = axis.sum(kernel, i);
    axis.encode(kernel, i, typeof sum === "number" ? sum : yield* sum, first, count, 4, at);
    at += 16 * groups;
    if (at - seen < STRETCH) continue;
    seen = at;
    yield;
  }
}

const samples = (from: number, count: number) => Int32Array.from({ length: count }, (_, i) => from + i);

/** A new image of some columns and rows of one turned upright, row by row, or of one in a frame. */
function* gather(image: Turned, columns: Int32Array, rows: Int32Array, frame?: Frame): Slices<Uint8Array> {
  const { data, channels } = image;
  const { left, top } = frame ?? { left: 0, top: 0 };
  const { start, column, row } = uprightSteps(image);
  const result = new Uint8Array(columns.length * rows.length * channels);
  let at = 0;
  for (let done = 0, y = 0; y < rows.length; y++) {
    for (let x = 0; x < columns.length; x++) {
      const imageX = columns[x]! - left;
      const imageY = rows[y]! - top;
      if (frame && (imageX < 0 || imageY < 0 || imageX >= image.width || imageY >= image.height)) {
        for (let c = 0; c < channels; c++) result[at++] = 255;
        continue;
      }
      const from = (start + imageY * row + imageX * column) * channels;
      for (let c = 0; c < channels; c++) result[at++] = data[from + c]!;
    }
    if (at - done < STRETCH) continue;
    done = at;
    yield;
  }
  return result;
}

/** A copy of a part of an image. */
export function crop(image: Raster, { left, top, width, height }: Part): Resized {
  const data = atOnce(gather({ orientation: 1, ...image }, samples(left, width), samples(top, height)));
  return { data, width, height, channels: image.channels };
}

/** Pillow's MULDIV255: c · a / 255, rounded; in place. */
function premultiply(data: Uint8Array): void {
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3]!;
    if (alpha === 255) continue;
    for (let c = i; c < i + 3; c++) {
      const t = data[c]! * alpha + 128;
      data[c] = ((t >> 8) + t) >> 8;
    }
  }
}

/** In place; a colour without alpha stays as it is. */
function* unpremultiply(data: Uint8Array): Slices<void> {
  for (let i = 0; i < data.length; i += 4) {
    const alpha = data[i + 3]!;
    if (i % STRETCH === 0) yield;
    if (alpha === 0 || alpha === 255) continue;
    for (let c = i; c < i + 3; c++) data[c] = Math.min(255, Math.floor((255 * data[c]!) / alpha));
  }
}
