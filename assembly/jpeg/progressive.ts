// Coefficients of a progressive scan coded by Huffman (§G.1.2): a first approximation of DC or of a band of AC, or
// one bit more of each. `decode…(count)` does that many MCUs from the next on. Once bits are lacking nothing changes
// any more: zeros refine nothing.
//
// A run of blocks without anything new is skipped by its length, and blocks whose band is empty by their `lasts`: a
// scan over 179 megapixels costs nothing if it says nothing.
//
// Measured on a progressive photo of 12 megapixels, 3 MB (Intel Xeon, Node 20.20): 180 ms in all, 70 of them
// refinements of AC. Tried: refinement coefficient by coefficient, 225 ms in all.
import { isLacking, more, reader } from "./bits";
import { blockIndex, placeOf } from "./blocks";
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
          const index = blockIndex(part, y, (scan.column + i) * part.mcuWide + x);
          store<i16>(part.coefficients + (index << 7), part.prediction << scan.low);
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
          const block = part.coefficients + (blockIndex(part, y, (scan.column + i) * part.mcuWide + x) << 7);
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
  let index = blockIndex(part, 0, scan.column);
  for (const end = index + count; index < end; ) {
    if (scan.eobRun) {
      const run = min(scan.eobRun, <i32>(end - index));
      scan.eobRun -= run;
      index += run;
      continue;
    }
    if (isLacking()) return;
    const last = acFirst(part, part.coefficients + (index << 7));
    store<u8>(part.lasts + index, max(last, <i32>load<u8>(part.lasts + index)));
    index++;
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
  let index = blockIndex(part, 0, scan.column);
  for (const end = index + count; index < end; index++) {
    const last = <i32>load<u8>(part.lasts + index);
    if (scan.eobRun && last < scan.bandStart) {
      scan.eobRun--;
      continue;
    }
    if (isLacking()) return;
    store<u8>(part.lasts + index, acRefine(part, part.coefficients + (index << 7), last));
  }
}

/** The places of a block up to `last` whose coefficients are not zero. */
// @ts-ignore: decorator
@inline
function nonzeros(block: usize, last: i32): u64 {
  const zero = i64x2.splat(0);
  let places: u64 = 0;
  for (let k = 0; k <= last; k += 8) {
    const eight = i16x8.bitmask(i16x8.ne(v128.load(block + (<usize>k << 1)), zero));
    places |= <u64>eight << <u64>k;
  }
  return places;
}

/** A coefficient with the bit added to its magnitude if `isSet`, -1 or 0, unless it has it. */
// @ts-ignore: decorator
@inline
function refined(value: i32, bit: i32, isSet: i32): i32 {
  const sign = value >> 31;
  const isNew = ((value & bit) - 1) >> 31;
  return value + (((bit ^ sign) - sign) & isSet & isNew);
}

/** Bits 0 up to `place`. */
// @ts-ignore: decorator
@inline
function upTo(place: i32): u64 {
  return <u64>-1 >> <u64>(63 - min(place, 63));
}

/** @returns the last place of the block that may be nonzero, which was `last`. */
function acRefine(part: Component, block: usize, last: i32): i32 {
  if (reader.at < reader.floor) more();
  let bits = reader.bits;
  let held = reader.held;
  let at = reader.at;
  const table = part.acTable;
  const bit = 1 << scan.low;
  const bandEnd = scan.bandEnd;
  let k = scan.bandStart;
  let old = nonzeros(block, last) & upTo(bandEnd) & (<u64>-1 << <u64>k);
  do {
    // Old coefficients before `place` get a bit, the zero at it becomes `fresh`.
    let place = bandEnd + 1;
    let fresh = 0;
    if (!scan.eobRun) {
      bits |= load<u64>(at) >> held;
      at -= <usize>((63 - held) >> 3);
      held |= 56;
      let entry = load<u32>(table + (<usize>(bits >> (64 - LOOKUP)) << 2));
      if (entry & SLOW) entry = resolve(table, entry, bits);
      bits <<= <u64>(entry & 63);
      held -= <u64>(entry & 63);
      const symbol = (entry >> 8) & 255;
      const run = <i32>(symbol >> 4);
      if (symbol & 15) {
        fresh = <i64>bits < 0 ? bit : -bit;
        bits <<= 1;
        held--;
      }
      if (symbol & 15 || run == 15) {
        // After `run` other zeros, as many places further as old ones lie before it.
        const first = k + run;
        let next = first;
        do {
          place = next;
          next = first + <i32>popcnt(old & upTo(place));
        } while (next > place && place < 64);
        place = min(place, bandEnd + 1);
      } else {
        scan.eobRun = 1 << run;
        if (run) {
          scan.eobRun += <i32>(bits >> <u64>(64 - run));
          bits <<= <u64>run;
          held -= <u64>run;
        }
      }
    }
    const corrected = old & upTo(place);
    old ^= corrected;
    for (let left = corrected; left; left &= left - 1) {
      if (!held) {
        bits = load<u64>(at);
        at -= 7;
        held = 56;
      }
      const to = block + (<usize>ctz(left) << 1);
      store<i16>(to, refined(load<i16>(to), bit, <i32>(<i64>bits >> 63)));
      bits <<= 1;
      held--;
    }
    if (scan.eobRun) {
      scan.eobRun--;
      break;
    }
    if (fresh) {
      store<i16>(placeOf(block, place), fresh);
      last = max(last, min(place, 63));
    }
    k = place + 1;
  } while (k <= bandEnd);
  reader.bits = bits;
  reader.held = held;
  reader.at = at;
  return last;
}
