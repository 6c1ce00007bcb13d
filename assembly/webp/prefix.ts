// Prefix codes of VP8L (the specification of WebP lossless, section 6.2) and the tables that read them.
//
// A table is indexed by the next bits, up to 8. An entry of 16 bits is a symbol (12 bits) and the bits of its code (4); where
// codes are longer than 8 bits, it is instead the place of a second table and 8 + the bits that index that. The size of both
// is known from the number of codes of each length, once these are seen to be complete: nothing is written before (libwebp
// once assumed a largest size, CVE-2023-4863). A code of one symbol takes no bits, and its table has one entry.
import { isPastEnd, moveTo, noteEnd, peek, position, read } from "./bits";
import { allot } from "./memory";
import { BAD_CODE, ENDS_EARLY, MORE, TOO_LARGE } from "./status";

/** A code: u32 table, u32 mask of the bits that index it. */
export const CODE: usize = 8;

const ROOT_BITS: i32 = 8;
const MAX_LENGTH: i32 = 15;

/** Symbols of the largest alphabet: literals, lengths and a color cache of 11 bits. A simple code names any of 256. */
const MAX_SYMBOLS: usize = 256 + 24 + 2048;
const lengths: usize = memory.data(2328, 16);
const sorted: usize = memory.data(2328 * 2, 2);

/** Number of codes of each length, u32 [16]; and of those that are not in a table yet. */
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

/**
 * Reads a code of `alphabet` symbols.
 * code: where it is put, or 0 if it is only to be checked.
 */
export function readCode(alphabet: i32, code: usize): i32 {
  memory.fill(lengths, 0, <usize>max(alphabet, 256));
  if (read(1)) {
    const hasTwo = read(1);
    const bits = read(1) ? 8 : 1;
    store<u8>(lengths + read(bits), 1);
    if (hasTwo) store<u8>(lengths + read(8), 1);
  } else {
    const status = readLengths(alphabet);
    if (status < 0) return status;
  }
  if (isPastEnd()) return ENDS_EARLY;
  const size = measure(alphabet);
  if (!size) return BAD_CODE;
  if (!code) return MORE;
  const table = allot(<usize>size << 1);
  if (!table) return TOO_LARGE;
  build(alphabet, table, code);
  return MORE;
}

function readLengths(alphabet: i32): i32 {
  // They lie where the other lengths will: 19 of them, cleared afterwards.
  const count = 4 + read(4);
  for (let i = 0; i < count; i++) store<u8>(lengths + <usize>load<u8>(LENGTH_ORDER + i), read(3));
  if (!measure(19)) return isPastEnd() ? ENDS_EARLY : BAD_CODE;
  build(19, lengthTable, lengthCode);
  memory.fill(lengths, 0, 19);

  let tokens = alphabet;
  if (read(1)) {
    const bits = 2 + 2 * read(3);
    tokens = 2 + read(bits);
    if (tokens > alphabet) return BAD_CODE;
  }
  let previous: u32 = 8;
  for (let i = 0; i < alphabet && tokens > 0; tokens--) {
    noteEnd();
    const symbol = readSymbol(lengthCode);
    if (symbol < 16) {
      store<u8>(lengths + i++, symbol);
      if (symbol) previous = symbol;
      continue;
    }
    const repeats = symbol == 16 ? 3 + read(2) : symbol == 17 ? 3 + read(3) : 11 + read(7);
    if (i + <i32>repeats > alphabet) return isPastEnd() ? ENDS_EARLY : BAD_CODE;
    if (symbol == 16) memory.fill(lengths + i, <u8>previous, repeats);
    i += repeats;
  }
  return MORE;
}

/** Entries of the table for `lengths` of so many symbols; 0 if they are not those of a complete code. Fills `counts`. */
function measure(symbols: i32): u32 {
  memory.fill(counts, 0, 64);
  for (let i = 0; i < symbols; i++) {
    const count = counts + (<usize>load<u8>(lengths + i) << 2);
    store<u32>(count, load<u32>(count) + 1);
  }
  const used = symbols - load<u32>(counts);
  if (used == 0) return 0;
  if (used == 1) return 1;
  // Kraft's sum in units of the longest code.
  let sum: u32 = 0;
  let longest = 0;
  for (let length = 1; length <= MAX_LENGTH; length++) {
    const count = load<u32>(counts + (length << 2));
    sum += count << (MAX_LENGTH - length);
    if (count) longest = length;
  }
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
  sort(symbols);
  store<u32>(code, <u32>table);
  if (symbols - load<u32>(counts) == 1) {
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

/** Symbols that have a code, in the order of the codes. */
function sort(symbols: i32): void {
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
}
