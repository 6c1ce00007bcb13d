// Lossless scans (annex H): differences coded by Huffman, and the samples that predictions from their neighbors and
// these make, modulo 2^16, of 8 bits. A sample is what others call a block; a row of MCUs is one of rows of samples.
import { isLacking, more, reader } from "./bits";
import { decodeExactDifferences, exact, isExact } from "./exact";
import { Component, scan, scanned } from "./frame";
import { LOOKUP, resolve, SLOW } from "./huffman";

/** Tells whether the current row of MCUs has data. */
let hasData = true;

/** Decodes the differences of `count` MCUs, from the next on. @returns whether the file has bytes enough. */
export function decodeLossless(count: i32): bool {
  if (scan.column == 0) {
    hasData = !(isExact() ? exact.isLacking : isLacking());
    // Without data predictions start anew.
    if (!hasData) restartPredictions();
  }
  if (!hasData) clearDifferences(count);
  else if (isExact()) return decodeExactDifferences(count);
  else decodeDifferences(count);
  return true;
}

export function restartPredictions(): void {
  for (let c = 0; c < scan.components; c++) scanned(c).isFirstRow = 1;
}

/** Differences of the MCU at `column` and those after it, in row y of the MCU. */
// @ts-ignore: decorator
@inline
function differencesAt(part: Component, y: i32, column: i32): usize {
  return part.differences + (<usize>((scan.line + y) * part.blockStride + column * part.mcuWide) << 1);
}

function clearDifferences(count: i32): void {
  for (let c = 0; c < scan.components; c++) {
    const part = scanned(c);
    for (let y = 0; y < part.mcuHigh; y++) {
      memory.fill(differencesAt(part, y, scan.column), 0, <usize>(count * part.mcuWide) << 1);
    }
  }
}

function decodeDifferences(count: i32): void {
  for (let i = 0; i < count; i++) {
    if (reader.at < reader.floor) more();
    let bits = reader.bits;
    let held = reader.held;
    let at = reader.at;
    for (let c = 0; c < scan.components; c++) {
      const part = scanned(c);
      const table = part.dcTable;
      for (let y = 0; y < part.mcuHigh; y++) {
        let to = differencesAt(part, y, scan.column + i);
        for (let x = 0; x < part.mcuWide; x++, to += 2) {
          bits |= load<u64>(at) >> held;
          at -= <usize>((63 - held) >> 3);
          held |= 56;
          let entry = load<u32>(table + (<usize>(bits >> (64 - LOOKUP)) << 2));
          if (entry & SLOW) entry = resolve(table, entry, bits);
          bits <<= <u64>(entry & 63);
          held -= <u64>(entry & 63);
          store<u16>(to, entry >> 16);
        }
      }
    }
    reader.bits = bits;
    reader.held = held;
    reader.at = at;
  }
}

/** Makes samples of the differences of the row of MCUs. */
export function finishLosslessRow(): void {
  for (let c = 0; c < scan.components; c++) {
    const part = scanned(c);
    const rows = min(part.v, part.blocksHigh - scan.row * part.v);
    const bytes = <usize>part.blockStride << 1;
    let above = part.values + bytes * (part.v - 1);
    for (let y = 0; y < rows; y++) {
      const values = part.values + bytes * y;
      predictRow(part, part.differences + bytes * y, above, values);
      let out = part.plane + <usize>((scan.row * part.v + y) * part.planeStride);
      for (let x = 0; x < part.blocksWide; x++) store<u8>(out++, <u32>load<u16>(values + (<usize>x << 1)) << scan.low);
      above = values;
    }
  }
}

/** Table H.1. The row above may be the row itself. */
function predictRow(part: Component, differences: usize, above: usize, values: usize): void {
  const width = part.blocksWide;
  const selection = scan.bandStart;
  if (part.isFirstRow) {
    part.isFirstRow = 0;
    let left = 1 << (7 - scan.low);
    for (let x = 0; x < width; x++) {
      left = (left + <i32>load<u16>(differences + (<usize>x << 1))) & 0xffff;
      store<u16>(values + (<usize>x << 1), left);
    }
    return;
  }
  let b = <i32>load<u16>(above);
  let a = (b + <i32>load<u16>(differences)) & 0xffff;
  store<u16>(values, a);
  for (let x: usize = 2, end = <usize>width << 1; x < end; x += 2) {
    const c = b;
    b = load<u16>(above + x);
    let prediction = a;
    switch (selection) {
      case 2: prediction = b; break;
      case 3: prediction = c; break;
      case 4: prediction = a + b - c; break;
      case 5: prediction = a + ((b - c) >> 1); break;
      case 6: prediction = b + ((a - c) >> 1); break;
      case 7: prediction = (a + b) >> 1; break;
    }
    a = (prediction + <i32>load<u16>(differences + x)) & 0xffff;
    store<u16>(values + x, a);
  }
}
