/**
 * JPEG (ITU-T T.81) to RGB as Pillow with libjpeg-turbo 3 makes it. The markers are read here (jpeg-header.ts,
 * jpeg-markers.ts); entropy-coded data become pixels in a WebAssembly module (assembly/jpeg/), a few thousand blocks
 * at a time.
 *
 * A picture of one scan is decoded row of MCUs by row of MCUs; one of several scans has all its coefficients in
 * memory first.
 */

import type { Slices } from "../slices.js";
import { broken, type ImageFile, type StoredImage } from "./file.js";
import { type JpegHeader, readHeader } from "./jpeg-header.js";
import { growMemory, type JpegKernel, keepKernel, takeKernel } from "./jpeg-kernel.js";
import { ceilDiv, type Layout, layOut, type Part, writeFrame, writePart, writeScan } from "./jpeg-layout.js";
import { createMarkers, type JpegFrame, type JpegMarkers, type JpegScan, undecodable } from "./jpeg-markers.js";
import { standardTables } from "./jpeg-tables.js";

/** Work of a slice at most: blocks that are decoded, pixels that are written, bytes that are copied or cleared. */
const BLOCKS = 4096;
const PIXELS = 1 << 18;
const BYTES = 1 << 22;

/**
 * Most samples of lossless scans in all, and of arithmetic ones, whose blocks count as 4: both work without any data
 * as well, while blocks that are coded by Huffman take bits or are skipped. The largest picture may have 6 lossless
 * or 95 arithmetic scans.
 */
const MAX_WORK = 2 ** 30;

/** Longest side that libjpeg decodes. */
const MAX_SIDE = 65500;
/** Most blocks of an MCU (B.2.3), and the largest shift of an approximation that libjpeg takes. */
const MAX_BLOCKS = 10;
const MAX_SHIFT = 13;

/** Numbers of assembly/jpeg/: kinds of tables, codings, and what `decode` returns. */
const KIND = { dc: 0, ac: 1, acFirst: 2, acRefine: 3 } as const;
const HUFFMAN = { sequential: 0, progressive: 1, lossless: 2 } as const;
const ARITHMETIC = { sequential: 3, progressive: 4, lossless: 2 } as const;
const EXACT = { sequential: 5, progressive: 1, lossless: 6 } as const;
const STATUS = { row: 1, done: 2, truncated: 3, broken: 4 } as const;

/** Natural indices of the first ten places in zigzag order: DC and what smoothing can guess. */
const SMOOTHED = [0, 1, 8, 16, 9, 2, 3, 10, 17, 24];

/** A picture that is being decoded. */
interface Picture extends Layout {
  file: ImageFile;
  header: JpegHeader;
  markers: JpegMarkers;
  frame: JpegFrame;
  kernel: JpegKernel;
  /** Scans that have begun, and their work; see MAX_WORK. */
  scans: number;
  work: number;
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

  const layout = layOut(file, markers, frame, scan);
  const { width, height, out } = layout;
  const kernel = takeKernel();
  growMemory(kernel, layout.end);
  writeFrame(kernel, layout);
  const picture = { ...layout, file, header, markers, frame, kernel, scans: 0, work: 0, emitted: 0 };
  yield* copyFile(picture);
  yield* picture.hasScans ? decodeScans(picture, scan) : decodeScan(picture, scan);
  if (!picture.isDirect) yield* finish(picture);

  const data = new Uint8Array(kernel.exports.memory.buffer, out, 3 * width * height);
  const stored = { data, width, height, orientation: header.orientation, free: () => keepKernel(kernel) };
  const { side } = layout;
  return side === 1 ? stored : { ...stored, whole: { width: frame.width, height: frame.height, side } };
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

/** The last marker of the file after `from`, 0 for none. */
function lastMarker({ bytes }: ImageFile, from: number): number {
  for (let at = bytes.lastIndexOf(0xff); at >= from; at = bytes.lastIndexOf(0xff, at - 1)) {
    const marker = bytes[at + 1] ?? 0xff;
    if (marker !== 0 && marker !== 0xff) return marker;
  }
  return 0;
}

/** Tells whether the data of a scan surely end with a marker. One that is due, or none at all, may be dropped after them. */
function isBounded(file: ImageFile, { from, restartInterval }: JpegScan): boolean {
  const marker = lastMarker(file, from);
  return restartInterval ? marker >= 0xc0 && (marker < 0xd0 || marker > 0xd7) : marker !== 0;
}

/**
 * A Huffman-coded MCU takes a bit at least: so little data without a marker are not the picture, nor worth its
 * memory.
 */
function checkLength(file: ImageFile, header: JpegHeader, frame: JpegFrame, scan: JpegScan): void {
  if (frame.isArithmetic || lastMarker(file, scan.from)) return;
  const unit = frame.coding === "lossless" ? 1 : 8;
  const most = (factor: "h" | "v") => Math.max(...frame.components.map((component) => component[factor]));
  const mcus = Math.ceil(frame.width / (unit * most("h"))) * Math.ceil(frame.height / (unit * most("v")));
  if (8 * (file.bytes.length - scan.from) < mcus) throw truncated(file, header);
}

/** Puts the file into the decoder's memory, and zeros where coefficients will be. */
function* copyFile({ file: { bytes }, kernel, fileAt, parts, coefficients, rows, rowBytes }: Picture): Slices<void> {
  const memory = new Uint8Array(kernel.exports.memory.buffer);
  for (let at = 0; at < bytes.length; at += BYTES) {
    memory.set(bytes.subarray(at, at + BYTES), fileAt + at);
    yield;
  }
  // What nobody has used is zero already.
  const areas = parts.map(({ lasts, differences }) => [lasts, differences] as const);
  for (const [from, to] of [...areas, [coefficients, coefficients + rows * rowBytes] as const]) {
    for (let at = from; at < Math.min(to, kernel.used); at += BYTES) {
      memory.fill(0, at, Math.min(to, kernel.used, at + BYTES));
      yield;
    }
  }
  kernel.used = kernel.exports.memory.buffer.byteLength;
}

/**
 * Decodes the only scan, after which the picture is accepted unless an error follows in bytes that libjpeg has got by
 * then.
 */
function* decodeScan(picture: Picture, scan: JpegScan): Slices<void> {
  const { file, markers, frame, kernel, fileAt } = picture;
  const { limit } = markers;
  const mayBeExact = !frame.isArithmetic;
  let isExact = mayBeExact && needsExact(picture, scan);
  for (;;) {
    startScan(picture, scan, isExact, limit);
    yield* runScan(picture);
    markers.resume(kernel.exports.marker(), kernel.exports.position() - fileAt);
    if (isExact) markers.limit = kernel.exports.limit() - fileAt;
    else if (mayBeExact) markers.limit = file.bytes.length;
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

/** Tells whether the way in which libjpeg reads is to be seen in the result; assembly/jpeg/exact.ts says when. */
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
    addWork(picture, scan);
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
  const { bandStart, high } = scan;
  const scanned = scan.components.map(({ index }) => parts[index]!);
  const [only] = scanned;
  picture.scans++;

  const isLossless = coding === "lossless";
  const unit = isLossless ? 1 : 8;
  let columns = only!.blocksWide;
  scanned.forEach((part, i) => {
    const { dc, ac } = scan.components[i]!;
    const isAlone = scanned.length === 1;
    Object.assign(part, { dc, ac, isScanned: true, mcuWide: isAlone ? 1 : part.h, mcuHigh: isAlone ? 1 : part.v });
  });
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
  for (const { index } of scan.components) writePart(kernel, index, parts[index]!);
  const numbers = isArithmetic ? ARITHMETIC : isExact ? EXACT : HUFFMAN;
  writeScan(kernel, scan, {
    start: fileAt + scan.from,
    end: fileAt + file.bytes.length,
    limit: fileAt + limit,
    coding: numbers[coding],
    isDirect: picture.isDirect,
    columns,
  });
  exports.begin_scan();
}

function addWork(picture: Picture, scan: JpegScan): void {
  const { file, frame, parts } = picture;
  if (!frame.isArithmetic && frame.coding !== "lossless") return;
  const blocks = scan.components.reduce(
    (sum, { index }) => sum + parts[index]!.blocksWide * parts[index]!.blocksHigh,
    0,
  );
  picture.work += frame.isArithmetic ? 4 * blocks : blocks;
  if (picture.work > MAX_WORK)
    throw undecodable(file, `${picture.scans} scans ask for more work than a picture is worth`);
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
  if (made && made.kind === kind && made.largest === largest && isSame(made.spec, spec)) return made.at;
  new Uint8Array(exports.memory.buffer).set(spec, specAt);
  const at = exports.build_table(place, specAt, kind, largest);
  if (!at) throw undecodable(file, `Huffman table ${slot} is not a prefix code`);
  tables[place] = { spec, kind, largest, at };
  return at;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
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
    yield;
    if (status === STATUS.done) return;
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

/** Tells which AC coefficients, told by no scan, are guessed, if any are (libjpeg-turbo's smoothing_ok). */
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
