// A VP8 frame (RFC 6386), a row of macroblocks at a time, in memory of about 60 bytes for each of its columns of pixels.
//
// A row goes through its stages while it is in the cache: modes, coefficients with prediction and residual, loop filter, RGB.
// Planes have the 16 rows of luma (8 of chroma) of the macroblocks and above them the last 8 (4) of those before. The
// filter changes up to 3 rows above an edge, so those that it may still change wait there, with those whose chroma does.
// Prediction takes the pixels before the filter: the row above is exchanged for what it was.
//
// Pixels outside the picture count as 127 above and 129 at the left, the corner above included but for the first row; what
// is above the right neighbor of the last macroblock as its last pixel, so there are 16 columns at both ends.
import { enterPartition, isAtEof, leavePartition } from "./boolean";
import { filterChroma, filterLuma } from "./filter";
import { filterIsSimple, filters, FILTERS, partitions, readHeader } from "./header";
import { allot } from "./memory";
import { CHROMA, INNER, readModes, RECORD, SEGMENT, SKIPPED, SMALL } from "./modes";
import { predictBlock, predictChroma, predictLuma } from "./predict";
import { blendRows, writeRow } from "./rgb";
import { DONE, ENDS_EARLY, MORE, TOO_LARGE } from "./status";
import { COEFFICIENTS, ENDS, readCoefficients, skipCoefficients } from "./tokens";
import { addResidual, invertSecondOrder } from "./transform";

const BORDER: usize = 16;
/** Rows above those of the macroblocks. */
const LUMA_ABOVE: usize = 8;
const CHROMA_ABOVE: usize = 4;

let width: i32 = 0;
let height: i32 = 0;
let out: usize = 0;
let outStride: usize = 0;
/** In macroblocks. */
let columns: i32 = 0;
let rows: i32 = 0;
/** The next row of macroblocks, and of RGB. */
let row: i32 = 0;
let written: i32 = 0;

/** The first pixel of the macroblocks' rows; V lies `apart` bytes behind U. */
let luma: usize = 0;
let lumaStride: usize = 0;
let chroma: usize = 0;
let chromaStride: usize = 0;
let apart: usize = 0;
/** A row of luma, U and V, borders included: before the filter, and after it. */
let unfiltered: usize = 0;
let filtered: usize = 0;

/** Records of a row of macroblocks, and of those above the modes and flags of coefficients. */
let records: usize = 0;
let modesAbove: usize = 0;
let flagsAbove: usize = 0;
const FLAGS: usize = 16;
const flagsLeft: usize = memory.data(16, 8);

/** Sums of two rows of U and V, see rgb.ts. */
let sumsU: usize = 0;
let sumsV: usize = 0;

/**
 * Begins a frame: `length` bytes at `data`, of which the first ten were checked; its RGB goes to rows at `out`.
 * @returns MORE, or what is wrong.
 */
export function lossy_begin(data: usize, length: usize, w: i32, h: i32, rgb: usize, stride: usize): i32 {
  width = w;
  height = h;
  out = rgb;
  outStride = stride;
  columns = (w + 15) >> 4;
  rows = (h + 15) >> 4;
  row = 0;
  written = 0;
  if (!readHeader(data, length)) return ENDS_EARLY;

  lumaStride = ((<usize>columns) << 4) + 2 * BORDER;
  chromaStride = ((<usize>columns) << 3) + 2 * BORDER;
  apart = chromaStride * (CHROMA_ABOVE + 8);
  const lumaSize = lumaStride * (LUMA_ABOVE + 16);
  const sumsSize = ((<usize>columns) << 4) + 64;
  const planes = allot(lumaSize + 2 * apart + 2 * (lumaStride + 2 * chromaStride) + 2 * sumsSize);
  records = allot(<usize>columns * (RECORD + 4 + FLAGS));
  if (!planes || !records) return TOO_LARGE;
  modesAbove = records + <usize>columns * RECORD;
  flagsAbove = modesAbove + ((<usize>columns) << 2);
  memory.fill(modesAbove, 0, <usize>columns * (4 + FLAGS));

  memory.fill(planes, 129, lumaSize + 2 * apart);
  luma = planes + LUMA_ABOVE * lumaStride + BORDER;
  chroma = planes + lumaSize + CHROMA_ABOVE * chromaStride + BORDER;
  memory.fill(luma - lumaStride - BORDER, 127, lumaStride);
  memory.fill(chroma - chromaStride - BORDER, 127, chromaStride);
  memory.fill(chroma + apart - chromaStride - BORDER, 127, chromaStride);
  unfiltered = planes + lumaSize + 2 * apart;
  filtered = unfiltered + lumaStride + 2 * chromaStride;
  sumsU = filtered + lumaStride + 2 * chromaStride + 16;
  sumsV = sumsU + sumsSize;
  return MORE;
}

/** Decodes a row of macroblocks. @returns MORE, DONE after the last, or what is wrong. */
export function lossy_row(): i32 {
  enterPartition(0);
  readModes(records, modesAbove, columns);
  leavePartition(0);
  if (isAtEof()) return ENDS_EARLY;

  const partition = 1 + (row & (partitions - 1));
  enterPartition(partition);
  memory.fill(flagsLeft, 0, FLAGS);
  for (let x = 0; x < columns; x++) {
    const record = records + <usize>x * RECORD;
    const isSmall = load<bool>(record, SMALL);
    const flags = flagsAbove + <usize>x * FLAGS;
    if (load<bool>(record, SKIPPED)) skipCoefficients(flags, flagsLeft, isSmall);
    else readCoefficients(flags, flagsLeft, load<u8>(record, SEGMENT), isSmall);
    if (isAtEof()) return ENDS_EARLY;
    reconstruct(record, x);
  }
  leavePartition(partition);

  if (filters) {
    copyLastRows(unfiltered, false);
    if (row > 0) {
      // What the row above is after its own filter.
      copyRowsAbove(filtered, true);
    }
    for (let x = 0; x < columns; x++) filterMacroblock(records + <usize>x * RECORD, x);
  }
  const isLast = row == rows - 1;
  writeRows(isLast ? height : (row << 4) + 9);
  row++;
  if (isLast) return DONE;

  memory.copy(luma - LUMA_ABOVE * lumaStride - BORDER, luma + 8 * lumaStride - BORDER, 8 * lumaStride);
  for (let plane = chroma; plane <= chroma + apart; plane += apart) {
    memory.copy(plane - CHROMA_ABOVE * chromaStride - BORDER, plane + 4 * chromaStride - BORDER, 4 * chromaStride);
  }
  if (filters) {
    copyRowsAbove(filtered, false);
    copyRowsAbove(unfiltered, true);
  }
  const lastAbove = luma - lumaStride + ((<usize>columns) << 4);
  store<u32>(lastAbove, <u32>load<u8>(lastAbove - 1) * 0x01010101);
  return MORE;
}

/** The row above the macroblocks, of the three planes: to `place`, or back. */
function copyRowsAbove(place: usize, isBack: bool): void {
  copyRow(luma - lumaStride - BORDER, place, lumaStride, isBack);
  const u = chroma - chromaStride - BORDER;
  copyRow(u, place + lumaStride, chromaStride, isBack);
  copyRow(u + apart, place + lumaStride + chromaStride, chromaStride, isBack);
}

/** Their last row. */
function copyLastRows(place: usize, isBack: bool): void {
  copyRow(luma + 15 * lumaStride - BORDER, place, lumaStride, isBack);
  const u = chroma + 7 * chromaStride - BORDER;
  copyRow(u, place + lumaStride, chromaStride, isBack);
  copyRow(u + apart, place + lumaStride + chromaStride, chromaStride, isBack);
}

function copyRow(row: usize, place: usize, size: usize, isBack: bool): void {
  if (isBack) memory.copy(row, place, size);
  else memory.copy(place, row, size);
}

/** Predicts a macroblock and adds its residual. Its coefficients are 0 then. */
function reconstruct(record: usize, x: i32): void {
  const at = luma + (<usize>x << 4);
  const hasLeft = x > 0;
  const hasAbove = row > 0;
  const isSkipped = load<bool>(record, SKIPPED);
  let hasInner = load<bool>(record, SMALL);
  let c = COEFFICIENTS + 32;
  if (hasInner) {
    // The blocks of the right column all take what is above the next macroblock.
    const above = load<u32>(at - lumaStride + 16);
    store<u32>(at + 3 * lumaStride + 16, above);
    store<u32>(at + 7 * lumaStride + 16, above);
    store<u32>(at + 11 * lumaStride + 16, above);
    for (let block: usize = 0; block < 16; block++, c += 32) {
      const to = at + (block >> 2) * 4 * lumaStride + ((block & 3) << 2);
      predictBlock(to, lumaStride, load<u8>(record + block));
      if (!isSkipped) addResidual(c, load<u8>(ENDS + 1 + block), to, lumaStride);
    }
  } else {
    predictLuma(at, lumaStride, load<u8>(record), hasLeft, hasAbove);
    if (!isSkipped) {
      invertSecondOrder();
      for (let block: usize = 0; block < 16; block++, c += 32) {
        const end = load<u8>(ENDS + 1 + block);
        if (end <= 1 && !load<i16>(c)) continue;
        hasInner = true;
        addResidual(c, end, at + (block >> 2) * 4 * lumaStride + ((block & 3) << 2), lumaStride);
      }
    }
  }
  const mode = load<u8>(record, CHROMA);
  let to = chroma + (<usize>x << 3);
  c = COEFFICIENTS + 17 * 32;
  for (let plane: usize = 0; plane < 2; plane++, to += apart) {
    predictChroma(to, chromaStride, mode, hasLeft, hasAbove);
    if (isSkipped) continue;
    const ends = load<u32>(ENDS + 17 + (plane << 2));
    const isFull = (ends & 0xfefefefe) != 0;
    for (let block: usize = 0; block < 4; block++, c += 32) {
      if (!isFull && !load<i16>(c)) continue;
      hasInner = true;
      addResidual(c, isFull ? 16 : 1, to + (block >> 1) * 4 * chromaStride + ((block & 1) << 2), chromaStride);
    }
  }
  store<u8>(record, hasInner, INNER);
}

function filterMacroblock(record: usize, x: i32): void {
  const filter = FILTERS + (<usize>load<u8>(record, SEGMENT) << 3) + (<usize>load<u8>(record, SMALL) << 2);
  if (!load<u8>(filter)) return;
  const at = luma + (<usize>x << 4);
  const hasInner = load<bool>(record, INNER);
  filterLuma(at, lumaStride, filter, filterIsSimple, x > 0, row > 0, hasInner);
  if (filterIsSimple) return;
  filterChroma(chroma + (<usize>x << 3), apart, chromaStride, filter, x > 0, row > 0, hasInner);
}

/** RGB of the rows before `end` that were not written yet. */
function writeRows(end: i32): void {
  const sumColumns = <usize>((width + 1) >> 1);
  const lastChroma = (height - 1) >> 1;
  for (; written < end; written++) {
    // Rows of those above are negative, and wrap.
    const near = written >> 1;
    const far = max(0, min(written & 1 ? near + 1 : near - 1, lastChroma));
    const nearRow = chroma + <usize>(near - (row << 3)) * chromaStride;
    const farRow = chroma + <usize>(far - (row << 3)) * chromaStride;
    blendRows(nearRow, farRow, sumsU, sumColumns);
    blendRows(nearRow + apart, farRow + apart, sumsV, sumColumns);
    const y = luma + <usize>(written - (row << 4)) * lumaStride;
    writeRow(y, sumsU, sumsV, out + <usize>written * outStride, width);
  }
}
