// Blocks and MCUs of a sequential scan coded by Huffman (§F.2).

import { isLacking, more, reader } from "./bits";
import { Component, component, scan, scanned, ZIGZAG } from "./frame";
import { END, LOOKUP, resolve, SLOW } from "./huffman";
import { samplesOf, transform } from "./idct";

/** The byte offset of the coefficient at each place in zigzag order, and of all places that a run or the end leads to. */
const OFFSETS: usize = memory.data(64 + 128 + 16, 16);

export function prepareSequential(): void {
  for (let k = 0; k < 208; k++) store<u8>(OFFSETS + k, load<u8>(ZIGZAG + min(k, 63)) << 1);
}

/** The block that becomes samples at once; it is all zeros in between. */
const BLOCK: usize = memory.data(128, 16);

/**
 * Decodes a block that is all zeros, or of which what is not written stays.
 * @param isZero whether zeros may be written as well, which takes a branch less.
 * @returns the largest index in zigzag order at which it may be nonzero now.
 */
// @ts-ignore: decorator
@inline
function decodeBlock(block: usize, part: Component, isZero: bool): i32 {
  if (reader.at < reader.floor) more();
  let bits = reader.bits;
  let held = reader.held;
  let at = reader.at;

  bits |= load<u64>(at) >> held;
  at -= <usize>((63 - held) >> 3);
  held |= 56;
  const dc = part.dcTable;
  let entry = load<u32>(dc + (<usize>(bits >> (64 - LOOKUP)) << 2));
  if (entry & SLOW) entry = resolve(dc, entry, bits);
  bits <<= <u64>(entry & 63);
  held -= <u64>(entry & 63);
  part.prediction += <i32>entry >> 16;
  store<i16>(block, part.prediction);

  const ac = part.acTable;
  let k: usize = 0;
  do {
    bits |= load<u64>(at) >> held;
    at -= <usize>((63 - held) >> 3);
    held |= 56;
    entry = load<u32>(ac + (<usize>(bits >> (64 - LOOKUP)) << 2));
    if (entry & SLOW) entry = resolve(ac, entry, bits);
    bits <<= <u64>(entry & 63);
    held -= <u64>(entry & 63);
    k += <usize>((entry >> 8) & 255);
    if (isZero || entry >> 16) store<i16>(block + <usize>load<u8>(OFFSETS + k), <i32>entry >> 16);
  } while (k < 63);

  reader.bits = bits;
  reader.held = held;
  reader.at = at;
  return k >= <usize>END ? <i32>k - END : 63;
}

/** Makes samples of `count` MCUs, from the next on. */
export function decodeToSamples(count: i32): void {
  for (let i = 0; i < count; i++) {
    const isEmpty = isLacking();
    for (let c = 0; c < scan.components; c++) {
      const part = scanned(c);
      for (let y = 0; y < part.mcuHigh; y++) {
        for (let x = 0; x < part.mcuWide; x++) {
          // What lacks data is gray.
          const last = isEmpty ? 0 : decodeBlock(BLOCK, part, true);
          transform(part, BLOCK, last, samplesOf(part, scan.row, scan.line + y, (scan.column + i) * part.mcuWide + x));
          clearBlock(last);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function clearBlock(last: i32): void {
  if (last == 0) {
    store<i16>(BLOCK, 0);
    return;
  }
  const zero = i64x2.splat(0);
  v128.store(BLOCK, zero, 0);
  v128.store(BLOCK, zero, 16);
  v128.store(BLOCK, zero, 32);
  v128.store(BLOCK, zero, 48);
  v128.store(BLOCK, zero, 64);
  v128.store(BLOCK, zero, 80);
  v128.store(BLOCK, zero, 96);
  v128.store(BLOCK, zero, 112);
}

/** Decodes the coefficients of `count` MCUs, from the next on. */
export function decodeToCoefficients(count: i32): void {
  for (let i = 0; i < count; i++) {
    if (isLacking()) return;
    for (let c = 0; c < scan.components; c++) {
      const part = scanned(c);
      for (let y = 0; y < part.mcuHigh; y++) {
        for (let x = 0; x < part.mcuWide; x++) {
          const index = blockIndex(part, y, (scan.column + i) * part.mcuWide + x);
          const last = decodeBlock(part.coefficients + (index << 7), part, false);
          store<u8>(part.lasts + index, max(last, <i32>load<u8>(part.lasts + index)));
        }
      }
    }
  }
}

/** The number of a block in the current row of MCUs. */
// @ts-ignore: decorator
@inline
export function blockIndex(part: Component, y: i32, x: i32): usize {
  return <usize>((scan.row * part.v + scan.line + y) * part.blockStride + x);
}
