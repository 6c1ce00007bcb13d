/**
 * JPEG (ITU-T T.81) to RGB as Pillow with libjpeg-turbo 3 makes it. The markers are read here (jpeg-header.ts, jpeg-markers.ts);
 * entropy-coded data become pixels in a WebAssembly module (assembly/jpeg/), a few thousand blocks at a time.
 *
 * A picture of one scan is decoded row of MCUs by row of MCUs; one of several scans has all its coefficients in memory first.
 */
import { broken, type ImageFile, type StoredImage } from "./file.js";
import { type JpegHeader, readHeader } from "./jpeg-header.js";
import { growMemory, type JpegKernel, keepKernel, takeKernel } from "./jpeg-kernel.js";
import {
  createMarkers,
  type JpegComponent,
  type JpegFrame,
  type JpegMarkers,
  type JpegScan,
  undecodable,
} from "./jpeg-markers.js";
import { standardTables } from "./jpeg-tables.js";
import type { Slices } from "./slices.js";

/** Work of a slice at most: blocks that are decoded, pixels that are written, bytes that are copied or cleared. */
const BLOCKS = 4096;
const PIXELS = 1 << 18;
const BYTES = 1 << 22;

/** Longest side that libjpeg decodes. */
const MAX_SIDE = 65500;
/** Most blocks of an MCU (B.2.3), and the largest shift of an approximation that libjpeg takes. */
const MAX_BLOCKS = 10;
const MAX_SHIFT = 13;

/** Numbers of assembly/jpeg/: kinds of tables, colors, codings, and what `decode` returns. */
const KIND = { dc: 0, ac: 1, acFirst: 2, acRefine: 3 } as const;
const COLOR = { gray: 0, rgb: 1, ycc: 2, cmyk: 3, ycck: 4 } as const;
const HUFFMAN = { sequential: 0, progressive: 1, lossless: 2 } as const;
const ARITHMETIC = { sequential: 3, progressive: 4, lossless: 2 } as const;
const EXACT = { sequential: 5, progressive: 1, lossless: 6 } as const;
const STATUS = { row: 1, done: 2, truncated: 3, broken: 4 } as const;

/** Natural indices of the first ten places in zigzag order: DC and what smoothing can guess. */
const SMOOTHED = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24];

/** Fields of the structs in assembly/jpeg/frame.ts, in their order, of 4 bytes each. */
const PART_FIELDS = [
  ...(["h", "v", "blocksWide", "blocksHigh", "blockStride", "coefficients", "lasts", "quantizerAt", "size"] as const),
  ...(["plane", "planeStride", "planeRows", "width", "height", "repeatX", "repeatY", "row"] as const),
  ...(["mcuWide", "mcuHigh", "dcTable", "acTable", "dc", "ac", "differences", "values"] as const),
] as const;
const FRAME_FIELDS = ["components", "width", "height", "out", "color", "interpolates", "rows"] as const;
const SCAN_FIELDS = [
  ...(["start", "end", "limit", "coding", "isOnly", "components", "first", "second", "third", "fourth"] as const),
  ...(["bandStart", "bandEnd", "high", "low", "columns", "restartInterval"] as const),
] as const;
const LIMIT_FIELD = 2;

/** A component of the frame as the decoder has it; see assembly/jpeg/frame.ts. */
interface Part extends JpegComponent, Record<(typeof PART_FIELDS)[number], number> {
  /** Whether it was in a scan; its quantization table from then on. */
  isScanned: boolean;
  table?: Uint16Array;
  /** By place in zigzag order: how many low bits are not known, -1 for all; and before its last scan. */
  precision: Int8Array;
  precisionBefore: Int8Array;
}

/** A picture that is being decoded. */
interface Picture {
  file: ImageFile;
  header: JpegHeader;
  markers: JpegMarkers;
  frame: JpegFrame;
  kernel: JpegKernel;
  parts: Part[];
  /** Size of the result, and rows of MCUs. */
  width: number;
  height: number;
  rows: number;
  /** Rows of the result that a row of MCUs makes, and how many of them wait for samples of the next. */
  rowHeight: number;
  lag: number;
  /** Whether scans are decoded until the end of the image is read. */
  hasScans: boolean;
  /** Whether MCUs become samples at once. */
  isDirect: boolean;
  scans: number;
  /** Addresses of the file, of room for a Huffman table, of the pixels. */
  fileAt: number;
  specAt: number;
  out: number;
  /** Rows of the result that are written. */
  emitted: number;
}

/** Reads a JPEG; see `Reader`. */
export function* readJpeg(file: ImageFile): Slices<StoredImage> {
  const header = readHeader(file);
  const markers = createMarkers(file);
  const scan = markers.next(true);
  const { frame } = markers;
  if (scan === "cut") throw truncated(file, header);
  if (scan === "end" || !frame) throw broken(file, "is a JPEG without pixels");
  checkFrame(file, header, frame);
  checkLength(file, header, frame, scan);

  const picture = layOut(file, header, markers, frame, scan);
  const { kernel, width, height, out } = picture;
  yield* copyFile(picture);
  yield* picture.hasScans ? decodeScans(picture, scan) : decodeScan(picture, scan);
  if (!picture.isDirect) yield* finish(picture);

  const data = new Uint8Array(kernel.exports.memory.buffer, out, 3 * width * height);
  return { data, width, height, orientation: header.orientation, free: () => keepKernel(kernel) };
}

function truncated(file: ImageFile, { height }: JpegHeader): Error {
  const bytes = file.bytes.length.toLocaleString("en-US");
  return broken(file, `ends before the last of its ${height} scan lines; ${bytes} bytes were read`);
}

function checkFrame(file: ImageFile, { width, height, layers }: JpegHeader, frame: JpegFrame): void {
  const { components } = frame;
  if (frame.width !== width || frame.height !== height || components.length !== layers) {
    throw broken(file, `says that it is ${width}×${height} and ${frame.width}×${frame.height} pixels`);
  }
  if (Math.max(width, height) > MAX_SIDE) {
    throw broken(file, `says that it is ${width}×${height}; a JPEG has sides of at most ${MAX_SIDE} pixels`);
  }
  for (const { h, v } of components) {
    if (h < 1 || h > 4 || v < 1 || v > 4) throw undecodable(file, `a sampling factor is ${h}×${v}; 1 to 4 are allowed`);
  }
}

/** Whether a marker follows that ends any scan; only restart markers and reserved ones may come after it. */
function isBounded({ bytes }: ImageFile, { from }: JpegScan): boolean {
  for (let at = bytes.lastIndexOf(0xff); at >= from; at = bytes.lastIndexOf(0xff, at - 1)) {
    const marker = bytes[at + 1] ?? 0xff;
    if (marker !== 0 && marker !== 0xff) return marker >= 0xc0 && (marker < 0xd0 || marker > 0xd7);
  }
  return false;
}

/** A Huffman-coded MCU takes a bit at least: so little data that nothing ends are not the picture, nor worth its memory. */
function checkLength(file: ImageFile, header: JpegHeader, frame: JpegFrame, scan: JpegScan): void {
  if (frame.isArithmetic || isBounded(file, scan)) return;
  const unit = frame.coding === "lossless" ? 1 : 8;
  const most = (factor: "h" | "v") => Math.max(...frame.components.map((component) => component[factor]));
  const mcus = Math.ceil(frame.width / (unit * most("h"))) * Math.ceil(frame.height / (unit * most("v")));
  if (8 * (file.bytes.length - scan.from) < mcus) throw truncated(file, header);
}

/** The denominator that Pillow's `Image.draft` chooses: the picture stays at least as large as what is asked for. */
function draftScale({ draft }: ImageFile, { width, height, coding }: JpegFrame): number {
  if (!draft || coding === "lossless") return 1;
  const scale = Math.min(Math.floor(width / draft.width), Math.floor(height / draft.height));
  return [8, 4, 2].find((s) => s <= scale) ?? 1;
}

function colorOf({ file, markers, frame }: Pick<Picture, "file" | "markers" | "frame">): number {
  const { jfif, adobe } = markers;
  const { components, coding } = frame;
  const isLossless = coding === "lossless";
  const isRgb = String.fromCharCode(...components.map(({ id }) => id)) === "RGB";
  let color: number = COLOR.gray;
  if (components.length === 3) {
    if (jfif || adobe) color = COLOR.ycc;
    else color = adobe === 0 || isRgb || isLossless ? COLOR.rgb : COLOR.ycc;
  } else if (components.length === 4) color = adobe ? COLOR.ycck : COLOR.cmyk;
  if (isLossless && (color === COLOR.ycc || color === COLOR.ycck)) {
    throw undecodable(file, "it is lossless, and its colors would have to be converted");
  }
  return color;
}

const ceilDiv = (a: number, b: number) => Math.ceil(a / b);
const roundUp = (a: number, b: number) => ceilDiv(a, b) * b;

/** Gives everything its place in the decoder's memory. */
function layOut(file: ImageFile, header: JpegHeader, markers: JpegMarkers, frame: JpegFrame, scan: JpegScan): Picture {
  const { components, coding, isArithmetic } = frame;
  const isLossless = coding === "lossless";
  const color = colorOf({ file, markers, frame });
  const maxH = Math.max(...components.map(({ h }) => h));
  const maxV = Math.max(...components.map(({ v }) => v));
  const unit = isLossless ? 1 : 8;
  // A block becomes `least` samples on a side at least.
  const least = unit / draftScale(file, frame);
  const [width, height] = [ceilDiv(frame.width * least, unit), ceilDiv(frame.height * least, unit)];
  const rows = ceilDiv(frame.height, unit * maxV);
  const hasScans = coding === "progressive" || scan.components.length < components.length;
  const isDirect = !hasScans && !isLossless && !isArithmetic;

  const kernel = takeKernel();
  const { exports } = kernel;
  let end = exports.heap();
  const place = (bytes: number) => {
    const at = roundUp(end, 16);
    end = at + bytes;
    return at;
  };
  const fileAt = place(file.bytes.length + 32);
  const specAt = place(272);
  const parts = components.map((component): Part => {
    const { h, v } = component;
    // Smaller blocks where a component would be upsampled otherwise: of 4:2:0 at half its size, luma is reduced, chroma is not.
    let size = least;
    while (size < unit && (maxH * least) % (2 * h * size) === 0 && (maxV * least) % (2 * v * size) === 0) size *= 2;
    const [repeatX, repeatY] = [(maxH * least) / (h * size), (maxV * least) / (v * size)];
    if (!Number.isInteger(repeatX) || !Number.isInteger(repeatY)) {
      throw undecodable(file, `samples of a component at ${h}×${v} of ${maxH}×${maxV} would be repeated in parts`);
    }
    const blocksWide = ceilDiv(frame.width * h, maxH * unit);
    const blocksHigh = ceilDiv(frame.height * v, maxV * unit);
    const [blockStride, blockRows] = [roundUp(blocksWide, h), roundUp(blocksHigh, v)];
    const partWidth = ceilDiv(frame.width * h * size, maxH * unit);
    const partHeight = ceilDiv(frame.height * v * size, maxV * unit);
    const planeRows = isLossless ? blockRows : 2 * v * size;
    const planeStride = roundUp(blockStride * size + 48, 16);
    const blocks = isDirect || isLossless ? 0 : blockStride * blockRows;
    return {
      ...component,
      ...{ blocksWide, blocksHigh, blockStride, size, planeStride, planeRows, repeatX, repeatY },
      width: partWidth,
      height: partHeight,
      mcuWide: 1,
      mcuHigh: 1,
      quantizerAt: place(128),
      plane: place(planeStride * planeRows + 64) + 16,
      row: place(repeatX * partWidth + 96),
      lasts: place(blocks),
      coefficients: place(128 * blocks),
      differences: place(isLossless ? 2 * v * blockStride : 0),
      values: place(isLossless ? 2 * v * blockStride : 0),
      ...{ dc: 0, ac: 0, dcTable: 0, acTable: 0 },
      isScanned: false,
      precision: new Int8Array(64).fill(-1),
      precisionBefore: new Int8Array(64).fill(-1),
    };
  });
  const out = place(3 * width * height + 48);
  growMemory(kernel, end);

  const interpolates = least > 1 && !isLossless;
  const lag = interpolates && parts.some(({ repeatY }) => repeatY === 2) ? 1 : 0;
  const frameFields = { components: parts.length, width, height, out, color, interpolates: Number(interpolates), rows };
  writeFields(kernel, exports.frame_at(), FRAME_FIELDS, frameFields);
  return {
    ...{
      file,
      header,
      markers,
      frame,
      kernel,
      parts,
      width,
      height,
      rows,
      lag,
      hasScans,
      isDirect,
      fileAt,
      specAt,
      out,
    },
    rowHeight: maxV * least,
    scans: 0,
    emitted: 0,
  };
}

function writeFields<Field extends string>(
  { exports }: JpegKernel,
  at: number,
  names: readonly Field[],
  values: Record<Field, number>,
): void {
  const fields = new Uint32Array(exports.memory.buffer, at, names.length);
  names.forEach((name, i) => {
    fields[i] = values[name];
  });
}

/** Puts the file into the decoder's memory, and zeros where coefficients will be. */
function* copyFile({ file: { bytes }, kernel, fileAt, parts }: Picture): Slices<void> {
  const memory = new Uint8Array(kernel.exports.memory.buffer);
  for (let at = 0; at < bytes.length; at += BYTES) {
    memory.set(bytes.subarray(at, at + BYTES), fileAt + at);
    yield;
  }
  // What nobody has used is zero already.
  for (const { lasts, coefficients, differences } of parts) {
    for (const [from, to] of [[lasts, coefficients] as const, [coefficients, differences] as const]) {
      for (let at = from; at < Math.min(to, kernel.used); at += BYTES) {
        memory.fill(0, at, Math.min(to, kernel.used, at + BYTES));
        yield;
      }
    }
  }
  kernel.used = kernel.exports.memory.buffer.byteLength;
}

/** Decodes the only scan, after which the picture is accepted unless an error follows in bytes that libjpeg has got by then. */
function* decodeScan(picture: Picture, scan: JpegScan): Slices<void> {
  const { file, markers, frame, kernel, fileAt } = picture;
  const { limit } = markers;
  const mayBeExact = !frame.isArithmetic;
  let isExact = mayBeExact && needsExact(picture, scan);
  for (;;) {
    startScan(picture, scan, isExact, limit);
    yield* runScan(picture);
    markers.resume(kernel.exports.marker(), kernel.exports.position() - fileAt);
    if (isExact) {
      markers.limit = new Uint32Array(kernel.exports.memory.buffer, kernel.exports.scan_at())[LIMIT_FIELD]! - fileAt;
    } else if (mayBeExact) markers.limit = file.bytes.length;
    try {
      if (typeof markers.next(false) === "object") throw undecodable(file, "a scan follows after all have been read");
      return;
    } catch (error) {
      if (isExact || !mayBeExact) throw error;
      // Whether the error lies in bytes that libjpeg has got, only its own way of reading tells.
      isExact = true;
    }
  }
}

/** Whether the way in which libjpeg reads is to be seen in the result; assembly/jpeg/exact.ts says when. */
function needsExact(picture: Picture, scan: JpegScan): boolean {
  return !isBounded(picture.file, scan) || mayBeQuick(picture, scan);
}

function mayBeQuick({ file, frame, kernel, fileAt }: Picture, { from, restartInterval }: JpegScan): boolean {
  if (frame.coding !== "sequential" || frame.isArithmetic || restartInterval) return false;
  return kernel.exports.has_filled_zero(fileAt + from, fileAt + file.bytes.length) !== 0;
}

/** Decodes scan after scan up to the end of the image. */
function* decodeScans(picture: Picture, first: JpegScan): Slices<void> {
  const { file, header, markers, kernel, fileAt, frame, parts } = picture;
  const isExact = mayBeQuick(picture, { ...first, restartInterval: 0 });
  for (let scan = first; ; ) {
    startScan(picture, scan, isExact && !scan.restartInterval, markers.limit);
    yield* runScan(picture);
    markers.resume(kernel.exports.marker(), kernel.exports.position() - fileAt);
    if (!frame.isArithmetic)
      markers.limit = Math.max(markers.limit, Math.min(file.bytes.length, kernel.exports.position() - fileAt));
    const next = markers.next(true);
    if (next === "cut") throw truncated(file, header);
    if (next === "end") break;
    scan = next;
  }
  // Others become gray.
  if (frame.coding === "lossless" && !parts.every(({ isScanned }) => isScanned)) {
    throw undecodable(file, "it is lossless, and a component is in no scan");
  }
}

/** Checks a scan, makes its tables and hands it to the decoder. */
function startScan(picture: Picture, scan: JpegScan, isExact: boolean, limit: number): void {
  const { file, frame, kernel, parts, markers, fileAt } = picture;
  const { exports } = kernel;
  const { coding, isArithmetic } = frame;
  const { bandStart, bandEnd, high, low, restartInterval } = scan;
  const scanned = scan.components.map(({ index, dc, ac }) => Object.assign(parts[index]!, { dc, ac }));
  const [only] = scanned;
  picture.scans++;

  const isLossless = coding === "lossless";
  const unit = isLossless ? 1 : 8;
  let columns = only!.blocksWide;
  for (const part of scanned) {
    part.isScanned = true;
    [part.mcuWide, part.mcuHigh] = scanned.length > 1 ? [part.h, part.v] : [1, 1];
  }
  if (scanned.length > 1) {
    const blocks = scanned.reduce((sum, { h, v }) => sum + h * v, 0);
    if (blocks > MAX_BLOCKS) throw undecodable(file, `an MCU has ${blocks} blocks; at most ${MAX_BLOCKS} are allowed`);
    columns = ceilDiv(frame.width, unit * Math.max(...parts.map(({ h }) => h)));
  }
  if (!isLossless) for (const part of scanned) takeQuantizer(picture, part);
  if (coding === "progressive") checkBand(picture, scan, scanned);
  if (isLossless) checkPrediction(picture, scan, columns);
  if (isArithmetic) {
    new Uint8Array(exports.memory.buffer).set(markers.tables.conditioning, exports.conditioning_at());
  } else {
    if (picture.scans === 1 && coding === "sequential") addStandardTables(picture);
    const isProgressive = coding === "progressive";
    for (const part of scanned) {
      if (!isProgressive || (!bandStart && !high)) part.dcTable = tableFor(picture, "dc", part.dc, KIND.dc);
      if (isLossless || (isProgressive && !bandStart)) continue;
      const kind = isProgressive ? (high ? KIND.acRefine : KIND.acFirst) : KIND.ac;
      part.acTable = tableFor(picture, "ac", part.ac, kind);
    }
  }
  parts.forEach((part, i) => {
    writeFields(kernel, exports.component_at(i), PART_FIELDS, part);
  });
  const [first = 0, second = 0, third = 0, fourth = 0] = scan.components.map(({ index }) => index);
  writeFields(kernel, exports.scan_at(), SCAN_FIELDS, {
    ...{ bandStart, bandEnd, high, low, restartInterval, columns, first, second, third, fourth },
    start: fileAt + scan.from,
    end: fileAt + file.bytes.length,
    limit: fileAt + limit,
    coding: (isArithmetic ? ARITHMETIC : isExact ? EXACT : HUFFMAN)[coding],
    isOnly: Number(picture.isDirect),
    components: scanned.length,
  });
  exports.begin_scan();
}

/** A component keeps the quantization table that holds at its first scan. */
function takeQuantizer({ file, markers, kernel }: Picture, part: Part): void {
  if (part.table) return;
  part.table = markers.tables.quantizers[part.quantizer];
  if (!part.table) throw undecodable(file, `quantization table ${part.quantizer} is missing`);
  new Uint16Array(kernel.exports.memory.buffer, part.quantizerAt, 64).set(part.table);
}

function checkBand({ file, scans }: Picture, { bandStart, bandEnd, high, low }: JpegScan, scanned: Part[]): void {
  const isBand = bandStart ? bandStart <= bandEnd && bandEnd < 64 && scanned.length === 1 : bandEnd === 0;
  if (!isBand || (high && low !== high - 1) || low > MAX_SHIFT) {
    throw undecodable(file, `a scan has coefficients ${bandStart} to ${bandEnd} from bit ${high} to ${low}`);
  }
  for (const { precision, precisionBefore } of scanned) {
    for (let k = Math.min(bandStart, 1); k <= Math.max(bandEnd, 9); k++)
      precisionBefore[k] = scans > 1 ? precision[k]! : 0;
    precision.fill(low, bandStart, bandEnd + 1);
  }
}

function checkPrediction(
  { file }: Picture,
  { bandStart, bandEnd, high, low, restartInterval }: JpegScan,
  columns: number,
): void {
  if (bandStart < 1 || bandStart > 7)
    throw broken(file, `has lossless JPEG predictor ${bandStart}; 1 to 7 are decoded`);
  if (bandEnd || high || low > 7) throw undecodable(file, `a lossless scan has a point transform of ${low} bits`);
  if (restartInterval % columns) {
    throw undecodable(file, `restart intervals have ${restartInterval} samples; they must be rows of ${columns}`);
  }
}

/** Files that leave them out mean the tables that everybody has. */
function addStandardTables({ markers: { tables } }: Picture): void {
  for (const slot of [0, 1] as const) {
    tables.dc[slot] ??= standardTables.dc[slot];
    tables.ac[slot] ??= standardTables.ac[slot];
  }
}

/** Makes a Huffman table, unless the decoder has it. @returns its address. */
function tableFor(
  { file, frame, markers, kernel, specAt }: Picture,
  group: "dc" | "ac",
  slot: number,
  kind: number,
): number {
  const { exports, tables } = kernel;
  const spec = markers.tables[group][slot];
  if (!spec) throw undecodable(file, `Huffman table ${slot} is missing`);
  const largest = kind !== KIND.dc ? 255 : frame.coding === "lossless" ? 16 : 15;
  const place = group === "dc" ? slot : 4 + slot;
  const made = tables[place];
  if (made && made.kind === kind && made.largest === largest && made.spec.every((byte, i) => byte === spec[i]))
    return made.at;
  new Uint8Array(exports.memory.buffer).set(spec, specAt);
  const at = exports.build_table(place, specAt, kind, largest);
  if (!at) throw undecodable(file, `Huffman table ${slot} is not a prefix code`);
  tables[place] = { spec, kind, largest, at };
  return at;
}

function* runScan(picture: Picture): Slices<void> {
  const { file, header, kernel, parts, isDirect } = picture;
  const mcus = Math.ceil(BLOCKS / parts.reduce((sum, { mcuWide, mcuHigh }) => sum + mcuWide * mcuHigh, 0));
  picture.emitted = 0;
  for (let rows = 0; ; ) {
    const status = kernel.exports.decode(mcus);
    if (status === STATUS.truncated) throw truncated(file, header);
    if (status === STATUS.broken) throw undecodable(file, "its entropy-coded data break a rule");
    if (isDirect && (status === STATUS.row || status === STATUS.done)) yield* emit(picture, ++rows);
    if (status === STATUS.done) return;
    yield;
  }
}

/** Makes pixels of coefficients, or of samples that are all there. */
function* finish(picture: Picture): Slices<void> {
  const { frame, kernel, parts, rows } = picture;
  if (frame.coding === "lossless") {
    yield* emit(picture, rows);
    return;
  }
  const { transform_row, smooth_row } = kernel.exports;
  const step = smooths(picture) ? smooth_row : transform_row;
  for (let row = 0; row < rows; row++) {
    for (const [i, { v, blocksHigh }] of parts.entries()) {
      for (let line = 0; line < Math.min(v, blocksHigh - row * v); line++) {
        step(i, row, line);
        yield;
      }
    }
    yield* emit(picture, row + 1);
  }
}

/** Whether AC coefficients that no scan has told are guessed (libjpeg-turbo's smoothing_ok); then says which. */
function smooths({ frame, parts, kernel, scans }: Picture): boolean {
  if (frame.coding !== "progressive") return false;
  const isOk = parts.every(({ table, precision }) => table && SMOOTHED.every((k) => table[k]) && precision[0]! >= 0);
  if (!isOk || !parts.some(({ precision }) => precision.subarray(1, 10).some((bits) => bits !== 0))) return false;
  const { exports } = kernel;
  const fields = new Int32Array(exports.memory.buffer, exports.precision_at(), 80);
  parts.forEach(({ precision, precisionBefore }, i) => {
    const before = scans > 1 ? precisionBefore : new Int8Array(64).fill(-1);
    fields.set([...precision.subarray(0, 10), ...before.subarray(0, 10)], 20 * i);
  });
  return true;
}

/** Writes the rows of the result for which `rows` rows of MCUs are enough. */
function* emit(picture: Picture, rows: number): Slices<void> {
  const { kernel, width, height, rowHeight, lag } = picture;
  const end = rows === picture.rows ? height : rows * rowHeight - lag;
  const step = Math.ceil(PIXELS / width);
  while (picture.emitted < end) {
    const to = Math.min(end, picture.emitted + step);
    kernel.exports.emit(picture.emitted, to);
    picture.emitted = to;
    yield;
  }
}
