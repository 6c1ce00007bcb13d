// Coefficients of a progressive scan coded by Huffman (§G.1.2): a first approximation of DC or of a band of AC, or
// one bit more of each. `decode…(count)` does that many MCUs from the next on. Once bits are lacking nothing changes
// any more: zeros refine nothing.
//
// A run of blocks without anything new is skipped by its length, and blocks whose band is empty by their `lasts`: a
// scan over 179 megapixels costs nothing if it says nothing.
//
// Measured on a progressive picture of 12 megapixels, 4:4:4, 5.2 MB (Intel Xeon, Node 20.20): 191 ms in all, 1.87 times the
// speed of MozJPEG in WebAssembly; 67 of them refinements of AC, 43 their first bits, 43 the inverse DCT and colors. Tried, in all:
//     refinement coefficient by coefficient: 225 ms of a photo that took 180 by the next
//     the place after a run of zeros found by counting nonzeros until that changes nothing: 274 ms
//     the same by clearing the lowest bit of a mask as often as the run says, corrections kept until all are read: 262
//     the zeros of a block listed, by a lookup for eight places: 237
//     that, and pixels in the place of coefficients, so that the memory is small enough to be kept for the next picture: 191
//     blocks kept in natural order: not built, as all reordering takes 11
// What is left in a refinement is one chain of about 25 cycles a symbol: bits, lookup, zero, shift.
import { isLacking, more, reader } from "./bits";
import { blockAt, blockIndex, placeOf } from "./blocks";
import { Component, scan, scanned } from "./frame";
import { LOOKUP, resolve, SLOW } from "./huffman";

/** @returns whether no sum of differences left 32 bits. */
export function decodeDcFirst(count: i32): bool {
  for (let i = 0; i < count; i++) {
    if (isLacking()) return true;
    if (reader.at < reader.floor) more();
    let bits = reader.bits;
    let held = reader.held;
    let at = reader.at;
    for (let c = 0; c < scan.components; c++) {
      const part = scanned(c);
      const table = part.dcTable;
      for (let y = 0; y < part.mcuHigh; y++) {
        for (let x = 0; x < part.mcuWide; x++) {
          bits |= load<u64>(at) >> held;
          at -= <usize>((63 - held) >> 3);
          held |= 56;
          let entry = load<u32>(table + (<usize>(bits >> (64 - LOOKUP)) << 2));
          if (entry & SLOW) entry = resolve(table, entry, bits);
          bits <<= <u64>(entry & 63);
          held -= <u64>(entry & 63);
          const sum = <i64>part.prediction + (<i32>entry >> 16);
          if (sum != <i64>(<i32>sum)) return false;
          part.prediction = <i32>sum;
          store<i16>(blockAt(part, y, (scan.column + i) * part.mcuWide + x), part.prediction << scan.low);
        }
      }
    }
    reader.bits = bits;
    reader.held = held;
    reader.at = at;
  }
  return true;
}

export function decodeDcRefine(count: i32): void {
  const bit = 1 << scan.low;
  for (let i = 0; i < count; i++) {
    if (isLacking()) return;
    if (reader.at < reader.floor) more();
    for (let c = 0; c < scan.components; c++) {
      const part = scanned(c);
      for (let y = 0; y < part.mcuHigh; y++) {
        for (let x = 0; x < part.mcuWide; x++) {
          const block = blockAt(part, y, (scan.column + i) * part.mcuWide + x);
          if (nextBit()) store<i16>(block, <i32>load<i16>(block) | bit);
        }
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function nextBit(): bool {
  if (!reader.held) {
    reader.bits = load<u64>(reader.at);
    reader.at -= 7;
    reader.held = 56;
  }
  const bit = <i64>reader.bits < 0;
  reader.bits <<= 1;
  reader.held--;
  return bit;
}

export function decodeAcFirst(count: i32): void {
  const part = scanned(0);
  const lasts = part.lasts + blockIndex(part, 0, scan.column);
  const blocks = blockAt(part, 0, scan.column);
  for (let i = 0; i < count; ) {
    if (scan.eobRun) {
      const run = min(scan.eobRun, count - i);
      scan.eobRun -= run;
      i += run;
      continue;
    }
    if (isLacking()) return;
    const last = acFirst(part, blocks + (<usize>i << 7));
    store<u8>(lasts + i, max(last, <i32>load<u8>(lasts + i)));
    i++;
  }
}

/** @returns the last place that was written. */
function acFirst(part: Component, block: usize): i32 {
  if (reader.at < reader.floor) more();
  let bits = reader.bits;
  let held = reader.held;
  let at = reader.at;
  const table = part.acTable;
  const bandEnd = <u32>scan.bandEnd;
  const low = scan.low;
  let k: u32 = scan.bandStart - 1;
  let last: u32 = 0;
  do {
    bits |= load<u64>(at) >> held;
    at -= <usize>((63 - held) >> 3);
    held |= 56;
    let entry = load<u32>(table + (<usize>(bits >> (64 - LOOKUP)) << 2));
    if (entry & SLOW) entry = resolve(table, entry, bits);
    bits <<= <u64>(entry & 63);
    held -= <u64>(entry & 63);
    const step = (entry >> 8) & 255;
    if (!step) {
      scan.eobRun = entry >> 16;
      break;
    }
    k += step;
    if (entry >> 16) {
      last = min(k, 63);
      store<i16>(placeOf(block, k), (<i32>entry >> 16) << low);
    }
  } while (k < bandEnd);
  reader.bits = bits;
  reader.held = held;
  reader.at = at;
  return last;
}

export function decodeAcRefine(count: i32): void {
  const part = scanned(0);
  const lasts = part.lasts + blockIndex(part, 0, scan.column);
  const blocks = blockAt(part, 0, scan.column);
  for (let i = 0; i < count; i++) {
    const last = <i32>load<u8>(lasts + i);
    if (scan.eobRun && last < scan.bandStart) {
      scan.eobRun--;
      continue;
    }
    if (isLacking()) return;
    const block = blocks + (<usize>i << 7);
    if (scan.eobRun) {
      scan.eobRun--;
      acCorrect(block, last);
    } else store<u8>(lasts + i, acRefine(part, block, last));
  }
}

/** The places of the zeros of a byte of nonzeros: u8 [256, 8]. */
const ZEROS: usize = memory.data(2048, 16);
/** The zeros of a block, in the band, and then a place after the band: u8 [72]. */
const PLACES: usize = memory.data(80, 16);

export function prepareZeros(): void {
  for (let byte = 0; byte < 256; byte++) {
    let to = ZEROS + (<usize>byte << 3);
    for (let bit = 0; bit < 8; bit++) if (!(byte & (1 << bit))) store<u8>(to++, bit);
  }
}

/**
 * Adds `bit` to the magnitudes of the coefficients at `places` whose correction is 1, unless they have it: the
 * correction of the last place is the lowest of `corrections`.
 */
// @ts-ignore: decorator
@inline
function correct(block: usize, places: u64, corrections: u64, bit: i32): void {
  for (; places; corrections >>= 1) {
    const place = 63 - clz(places);
    places ^= <u64>1 << place;
    const to = block + (<usize>place << 1);
    const value = <i32>load<i16>(to);
    const sign = value >> 31;
    const isNew = ((value & bit) - 1) >> 31;
    store<i16>(to, value + (((bit ^ sign) - sign) & -<i32>(corrections & 1) & isNew));
  }
}

/** Corrects all old coefficients of the band of a block, in which nothing is new. */
function acCorrect(block: usize, last: i32): void {
  const zero = i64x2.splat(0);
  let places: u64 = 0;
  for (let k = scan.bandStart & ~7; k <= last; k += 8) {
    places |= <u64>i16x8.bitmask(i16x8.ne(v128.load(block + (<usize>k << 1)), zero)) << <u64>k;
  }
  places &= bandOf();
  let count = <u64>popcnt(places);
  if (!count) return;
  if (reader.at < reader.floor) more();
  let bits = reader.bits;
  let held = reader.held;
  let corrections: u64 = 0;
  while (count > held) {
    corrections = (corrections << held) | (bits >> 1 >> (63 - held));
    count -= held;
    bits = load<u64>(reader.at);
    reader.at -= 7;
    held = 56;
  }
  corrections = (corrections << count) | (bits >> 1 >> (63 - count));
  reader.bits = bits << count;
  reader.held = held - count;
  correct(block, places, corrections, 1 << scan.low);
}

/** The places of the scan's band. */
// @ts-ignore: decorator
@inline
function bandOf(): u64 {
  return (<u64>-1 >> <u64>(63 - scan.bandEnd)) & (<u64>-1 << <u64>scan.bandStart);
}

/** @returns the last place of the block that may be nonzero, which was `last`. */
function acRefine(part: Component, block: usize, last: i32): i32 {
  if (reader.at < reader.floor) more();
  let bits = reader.bits;
  let held = reader.held;
  let at = reader.at;
  const table = part.acTable;
  const low = scan.low;
  const bandStart = scan.bandStart;
  const bandEnd = scan.bandEnd;
  const band = bandOf();

  const zero = i64x2.splat(0);
  let nonzeros: u64 = 0;
  let to = PLACES;
  for (let k: u64 = 0; k < 64; k += 8) {
    const eight = <u64>i16x8.bitmask(i16x8.ne(v128.load(block + (<usize>k << 1)), zero));
    nonzeros |= eight << k;
    const others = (eight | ~(band >> k)) & 255;
    store<u64>(to, load<u64>(ZEROS + (<usize>others << 3)) + k * 0x0101010101010101);
    to += 8 - <usize>popcnt(others);
  }
  store<u8>(to, bandEnd + 1);
  const zeros = <i32>(to - PLACES);
  nonzeros &= band;
  const total = bandEnd + 1 - bandStart - zeros;

  // Corrections are kept until all are read, so that reading has no loop whose length is not foreseen.
  let corrections: u64 = 0;
  let used = 0;
  let index = -1;
  for (let place = 0; place < bandEnd; ) {
    let count = total - used;
    bits |= load<u64>(at) >> held;
    at -= <usize>((63 - held) >> 3);
    held |= 56;
    let entry = load<u32>(table + (<usize>(bits >> (64 - LOOKUP)) << 2));
    if (entry & SLOW) entry = resolve(table, entry, bits);
    bits <<= <u64>(entry & 63);
    held -= <u64>(entry & 63);
    const step = (entry >> 8) & 255;
    const value = <i32>entry >> 16;
    if (step) {
      index = min(index + step, zeros);
      place = <i32>load<u8>(PLACES + index);
      count = place - bandStart - index - used;
    }
    used += count;
    let missing = <u64>count;
    while (missing > held) {
      corrections = (corrections << held) | (bits >> 1 >> (63 - held));
      missing -= held;
      bits = load<u64>(at);
      at -= 7;
      held = 56;
    }
    corrections = (corrections << missing) | (bits >> 1 >> (63 - missing));
    bits <<= missing;
    held -= missing;
    if (!step) {
      scan.eobRun = entry >> 16;
      break;
    }
    if (value) {
      store<i16>(placeOf(block, place), value << low);
      last = max(last, min(place, 63));
    }
  }
  // The rest is not corrected.
  for (let i = total - used; i > 0; i--) nonzeros ^= <u64>1 << (63 - clz(nonzeros));
  correct(block, nonzeros, corrections, 1 << low);
  reader.bits = bits;
  reader.held = held;
  reader.at = at;
  return last;
}
