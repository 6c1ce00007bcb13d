// Prefix codes of VP8L (the specification of WebP lossless, section 6.2) and the tables that read them.
//
// A table is indexed by the next bits, up to 8. An entry of 16 bits is a symbol (12 bits) and the bits of its code (4); where
// codes are longer than 8 bits, it is instead the place of a second table and 8 + the bits that index that. The size of both
// is known from the number of codes of each length, once these are seen to be complete: nothing is written before (libwebp
// once assumed a largest size, CVE-2023-4863). A code of one symbol takes no bits, and its table has one entry.
import { data, isPastEnd, moveTo, peek, position, read, total } from "./bits";
import { allot } from "./memory";
import { BAD_CODE, ENDS_EARLY, MORE, TOO_LARGE } from "./status";

/** A code: u32 table, u32 mask of the bits that index it. */
export const CODE: usize = 8;

const ROOT_BITS: i32 = 8;
const MAX_LENGTH: i32 = 15;

/** Lengths of the code of each symbol, u8, and symbols in the order of their codes, u16: of 256 + 24 + 2,048 at most. */
const lengths: usize = memory.data(2328, 16);
const sorted: usize = memory.data(2328 * 2, 2);

/** Number of codes of each length, u32 [16], of which the first does not count; and of those that are not in a table yet. */
const counts: usize = memory.data(16 * 4, 4);
const remaining: usize = memory.data(16 * 4, 4);

/** Lengths of the code that the lengths of a code are written in: u8 [19], in this order; its table and itself. */
const LENGTH_ORDER: usize = memory.data<u8>([17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
const lengthTable: usize = memory.data(128 * 2, 2);
const lengthCode: usize = memory.data(8, 4);

/** Entry of the symbol whose code the bits begin with: symbol << 4 | bits. */
// @ts-ignore: decorator
@inline
export function lookUp(table: usize, mask: usize, bits: u64): u32 {
  const entry: u32 = load<u16>(table + ((<usize>bits & mask) << 1));
  const length = <i32>(entry & 15);
  if (length <= ROOT_BITS) return entry;
  const second = (entry >> 4) + (<u32>(bits >> ROOT_BITS) & ((1 << (length - ROOT_BITS)) - 1));
  return load<u16>(table + (second << 1));
}

/** Reads a symbol, where speed does not matter. */
export function readSymbol(code: usize): u32 {
  const entry = lookUp(load<u32>(code), load<u32>(code, 4), peek());
  moveTo(position + (entry & 15));
  return entry >> 4;
}

/** Gives a symbol a length of code. */
// @ts-ignore: decorator
@inline
function setLength(symbol: u32, length: u32): void {
  store<u8>(lengths + symbol, length);
  count(length, 1);
}

// @ts-ignore: decorator
@inline
function count(length: u32, codes: u32): void {
  const place = counts + (length << 2);
  store<u32>(place, load<u32>(place) + codes);
}

/**
 * Reads a code of `alphabet` symbols.
 * code: where it is put, or 0 if it is only to be checked.
 */
export function readCode(alphabet: i32, code: usize): i32 {
  memory.fill(lengths, 0, alphabet);
  memory.fill(counts, 0, 64);
  if (read(1)) {
    const hasTwo = read(1);
    const first = read(read(1) ? 8 : 1);
    const second = hasTwo ? read(8) : first;
    // Those that the alphabet does not have are left out.
    if (<i32>first < alphabet) setLength(first, 1);
    if (second != first && <i32>second < alphabet) setLength(second, 1);
  } else {
    const status = readLengths(alphabet);
    if (status < 0) return status;
  }
  if (isPastEnd()) return ENDS_EARLY;
  const size = measure();
  if (!size) return BAD_CODE;
  if (!code) return MORE;
  const table = allot(<usize>size << 1);
  if (!table) return TOO_LARGE;
  build(alphabet, table, code);
  return MORE;
}

/** Reads `lengths` and `counts`, by a code of their own. */
function readLengths(alphabet: i32): i32 {
  // That one's lengths lie in the same place first.
  const ownLengths = 4 + read(4);
  for (let i = 0; i < ownLengths; i++) {
    const length = read(3);
    if (length) setLength(load<u8>(LENGTH_ORDER + i), length);
  }
  if (!measure()) return isPastEnd() ? ENDS_EARLY : BAD_CODE;
  build(19, lengthTable, lengthCode);
  memory.fill(lengths, 0, 19);
  memory.fill(counts, 0, 64);

  let tokens = alphabet;
  if (read(1)) {
    const bits = 2 + 2 * read(3);
    tokens = 2 + read(bits);
    if (tokens > alphabet) return isPastEnd() ? ENDS_EARLY : BAD_CODE;
  }
  const mask: usize = load<u32>(lengthCode, 4);
  const only: u32 = load<u16>(lengthTable) >> 4;
  if (!mask && only < 16) {
    // Of no bits: the work would not be bounded by the data.
    memory.fill(lengths, <u8>only, tokens);
    if (only) count(only, tokens);
    return MORE;
  }
  let at = position;
  let previous: u32 = 8;
  for (let i = 0; i < alphabet && tokens > 0; tokens--) {
    if (at > total) return ENDS_EARLY;
    let bits = load<u64>(data + <usize>(at >> 3)) >> (at & 7);
    const entry: u32 = load<u16>(lengthTable + ((<usize>bits & mask) << 1));
    bits >>= <u64>(entry & 15);
    at += entry & 15;
    const symbol = entry >> 4;
    if (symbol < 16) {
      if (symbol) {
        setLength(i, symbol);
        previous = symbol;
      }
      i++;
      continue;
    }
    // The previous length, 3 to 6 times; or zeros, 3 to 10 or 11 to 138.
    const extra = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
    const repeats: i32 = (symbol == 18 ? 11 : 3) + (<i32>bits & ((1 << extra) - 1));
    at += extra;
    if (i + repeats > alphabet) return at > total ? ENDS_EARLY : BAD_CODE;
    if (symbol == 16) {
      memory.fill(lengths + i, <u8>previous, repeats);
      count(previous, repeats);
    }
    i += repeats;
  }
  moveTo(at);
  return MORE;
}

/** Entries of the table for the codes of `counts`; 0 if they are not complete. */
function measure(): u32 {
  // Kraft's sum in units of the longest code.
  let sum: u32 = 0;
  let used: u32 = 0;
  let longest = 0;
  for (let length = 1; length <= MAX_LENGTH; length++) {
    const codes = load<u32>(counts + (length << 2));
    if (codes) longest = length;
    sum += codes << (MAX_LENGTH - length);
    used += codes;
  }
  if (used == 1) return 1;
  if (sum != 1 << MAX_LENGTH) return 0;
  if (longest <= ROOT_BITS) return 1 << longest;
  let size: u32 = 1 << ROOT_BITS;
  const seconds = beginSeconds();
  for (let i: u32 = 0; i < seconds; i++) size += 1 << nextSecond();
  return size;
}

/** Number of the second tables. Makes `remaining` the codes that go there. */
function beginSeconds(): u32 {
  memory.copy(remaining, counts, 64);
  let places: u32 = 1 << ROOT_BITS;
  for (let length = 1; length <= ROOT_BITS; length++) {
    places -= load<u32>(counts + (length << 2)) << (ROOT_BITS - length);
    store<u32>(remaining + (length << 2), 0);
  }
  return places;
}

/** Bits that index the next of the second tables, whose codes are taken from `remaining`. */
function nextSecond(): i32 {
  let length = ROOT_BITS + 1;
  let places: u32 = 2;
  let count = load<u32>(remaining + (length << 2));
  while (count < places) {
    places = (places - count) << 1;
    store<u32>(remaining + (length << 2), 0);
    count = load<u32>(remaining + (++length << 2));
  }
  store<u32>(remaining + (length << 2), count - places);
  return length - ROOT_BITS;
}

// @ts-ignore: decorator
@inline
function reverse(value: u32, bits: i32): u32 {
  value = ((value & 0x55) << 1) | ((value >> 1) & 0x55);
  value = ((value & 0x33) << 2) | ((value >> 2) & 0x33);
  value = ((value & 0x0f) << 4) | ((value >> 4) & 0x0f);
  return value >> (8 - bits);
}

/** Codes in order of length, then symbol: `next` is the next one's place in `sorted`. */
let next: usize = 0;

/** Fills the table and the code after `measure` found their size. */
function build(symbols: i32, table: usize, code: usize): void {
  const used = sort(symbols);
  store<u32>(code, <u32>table);
  if (used == 1) {
    store<u16>(table, load<u16>(sorted) << 4);
    store<u32>(code, 0, 4);
    return;
  }
  let longest = MAX_LENGTH;
  while (!load<u32>(counts + (longest << 2))) longest--;
  const bits = min(longest, ROOT_BITS);
  store<u32>(code, (1 << bits) - 1, 4);
  next = sorted;
  let place: u32 = 0;
  for (let length = 1; length <= bits; length++) {
    place = fill(table, bits, place, length, length, load<u32>(counts + (length << 2)));
  }
  if (longest <= ROOT_BITS) return;
  // `remaining` as it is before each second table, to know how many codes of each length it takes.
  beginSeconds();
  let offset: u32 = 1 << ROOT_BITS;
  for (; place < 1 << ROOT_BITS; place++) {
    const before = memory.data(64, 4);
    memory.copy(before, remaining, 64);
    const secondBits = nextSecond();
    store<u16>(table + (reverse(place, ROOT_BITS) << 1), <u16>((offset << 4) | (ROOT_BITS + secondBits)));
    let within: u32 = 0;
    for (let length = 1; length <= secondBits; length++) {
      const i = (ROOT_BITS + length) << 2;
      const count = load<u32>(before + i) - load<u32>(remaining + i);
      within = fill(table + (offset << 1), secondBits, within, length, ROOT_BITS + length, count);
    }
    offset += 1 << secondBits;
  }
}

/**
 * Puts the next `count` symbols into a table of `bits`, each wherever the next bits begin with its `length` in this table.
 * place: the first code's, highest bit first. @returns the one behind the last.
 */
// @ts-ignore: decorator
@inline
function fill(table: usize, bits: i32, place: u32, length: i32, fullLength: i32, count: u32): u32 {
  const end: u32 = 1 << bits;
  for (; count > 0; count--, next += 2) {
    const entry = <u16>((<u32>load<u16>(next) << 4) | fullLength);
    for (let i = reverse(place, bits); i < end; i += 1 << length) store<u16>(table + (i << 1), entry);
    place += 1 << (bits - length);
  }
  return place;
}

/** Sorts the symbols that have a code, in the order of the codes. @returns how many these are. */
function sort(symbols: i32): u32 {
  const places = memory.data(16 * 4, 4);
  let place: u32 = <u32>sorted;
  for (let length = 1; length <= MAX_LENGTH; length++) {
    store<u32>(places + (length << 2), place);
    place += load<u32>(counts + (length << 2)) << 1;
  }
  for (let i = 0; i < symbols; i++) {
    const length = <usize>load<u8>(lengths + i);
    if (!length) continue;
    const at = load<u32>(places + (length << 2));
    store<u16>(at, i);
    store<u32>(places + (length << 2), at + 2);
  }
  return (place - <u32>sorted) >> 1;
}
