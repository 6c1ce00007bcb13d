// Decompression of zlib streams (RFC 1950, RFC 1951) piece by piece: of input that arrives in pieces, into a buffer that its
// user empties. What is refused, and when, is as in zlib's inflate(), which Pillow and Python use: after the last byte that fits,
// it goes on up to the symbol that would need room, so that a bad checksum shows. Not DecompressionStream: that differs from
// runtime to runtime in what it makes of damaged streams, and throws away the last bytes before an error.
//
// Codes of up to 10 bits (distances: 9) are looked up; the longer ones, which are rare, are counted out bit by bit over the
// canonical code. So a block's tables take the time of at most 1,536 entries, however it is made, and a fixed block's are
// copied from tables that are made once. Exact, no bound. The user checks nothing but what step() says.
//
// Measured with png.ts, which says how long files take.

const WINDOW: usize = 32768;
/** Bytes of input, and of output, that are under way at once: work of less than a millisecond. */
export const PIECE: usize = 65536;
const SLACK: usize = 32;

/** Where the input goes. */
export const INPUT: usize = memory.data(<i32>(PIECE + SLACK), 16);
/** The output: at least the last 32,768 bytes, or all, and then what its user has not taken. */
export const OUTPUT: usize = memory.data(<i32>(WINDOW + PIECE + SLACK), 16);
const OUTPUT_END: usize = OUTPUT + WINDOW + PIECE;

// What step() returns.
export const NEEDS_INPUT: i32 = 0;
export const NEEDS_ROOM: i32 = 1;
const NEEDS_TIME: i32 = 2;
const ENDED: i32 = 3;
// Errors; src/image/decode/inflate.ts says them in words.
const BAD_HEADER: i32 = -1;
const BAD_BLOCK: i32 = -2;
const BAD_STORED: i32 = -3;
const BAD_CODES: i32 = -4;
const BAD_SYMBOL: i32 = -5;
const BAD_DISTANCE: i32 = -6;
const BAD_CHECKSUM: i32 = -7;

/** Tables that are made in a row: some hundred bytes of input, or 70 kB where blocks are empty, and less than a millisecond. */
const MOST_TABLES: i32 = 512;

const LITERAL_BITS: i32 = 10;
const DISTANCE_BITS: i32 = 9;
// Entries of a table: code length in bits 0 to 3 (0 for a code that is longer than the table's index), extra bits in 4 to 7, one
// of these kinds in 8 to 9, and a literal, or a base to which the extra bits are added, in 16 to 31.
const LITERAL: u32 = 0 << 8;
const BASE: u32 = 1 << 8;
const END_OF_BLOCK: u32 = 2 << 8;
const INVALID: u32 = 3 << 8;
const KIND: u32 = 3 << 8;

/** A code: its table, how many codes there are of each length, and its symbols in the order of their codes. */
const LITERALS: usize = memory.data(4 << LITERAL_BITS, 16);
const LITERAL_COUNTS: usize = memory.data(16 * 2, 16);
const LITERAL_SYMBOLS: usize = memory.data(288 * 2, 16);
const DISTANCES: usize = memory.data(4 << DISTANCE_BITS, 16);
const DISTANCE_COUNTS: usize = memory.data(16 * 2, 16);
const DISTANCE_SYMBOLS: usize = memory.data(32 * 2, 16);
/** The code of code lengths, up to 7 bits: its entries are symbol << 16 | length. */
const LENGTHS: usize = memory.data(4 << 7, 16);
const LENGTH_COUNTS: usize = memory.data(16 * 2, 16);
const LENGTH_SYMBOLS: usize = memory.data(32 * 2, 16);
/** Tables of fixed blocks: only what the codes say of them is kept. */
const FIXED: usize = memory.data((4 << LITERAL_BITS) + (4 << DISTANCE_BITS), 16);
/** Entries of the symbols, without the length of their code. */
const LITERAL_ENTRIES: usize = memory.data(288 * 4, 16);
const DISTANCE_ENTRIES: usize = memory.data(32 * 4, 16);
const LENGTH_ENTRIES: usize = memory.data(19 * 4, 16);
/** Lengths of the codes of a block, by symbol. */
const CODE_LENGTHS: usize = memory.data(320, 16);
const NEXT: usize = memory.data(17 * 2, 16);
const ORDER: usize = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]);

// Where the stream is.
const HEADER: i32 = 0;
const BLOCK: i32 = 1;
const STORED_LENGTH: i32 = 2;
const STORED: i32 = 3;
const TABLE: i32 = 4;
const TABLE_LENGTHS: i32 = 5;
const TABLE_CODES: i32 = 6;
const SYMBOLS: i32 = 7;
const CHECK: i32 = 8;
const DONE: i32 = 9;

let state: i32 = HEADER;
let failure: i32 = 0;
let isLast: bool = false;
/** Bits that were read and not used, the next one lowest; those above `bits` are 0. */
let hold: u64 = 0;
let bits: i32 = 0;
let next: usize = INPUT;
let inputEnd: usize = INPUT;
/** The next byte of output, and up to where it has been taken. */
export let at: usize = OUTPUT;
/** For a stored block, its bytes to come. For a match that found too little room: what is left of it, and how far back it begins. */
let pending: usize = 0;
let distance: usize = 0;
let literalCount: i32 = 0;
let distanceCount: i32 = 0;
let lengthCount: i32 = 0;
let index: i32 = 0;
let adlerA: u32 = 1;
let adlerB: u32 = 0;
let hasFixed: bool = false;

/** Bits of the whole symbol that waits for room. */
let waiting: i32 = 0;

/** Bits of input that zlib would not have read: it takes a symbol before it looks for room. */
export function unread_bits(): i32 {
  return bits + (<i32>(inputEnd - next) << 3) - waiting;
}

/** Begins a stream. */
export function begin(): void {
  if (!hasFixed) makeFixed();
  state = HEADER;
  failure = 0;
  isLast = false;
  hold = 0;
  bits = 0;
  next = inputEnd = INPUT;
  at = OUTPUT;
  pending = 0;
  adlerA = 1;
  adlerB = 0;
}

/** Takes `count` bytes that lie at INPUT; what came before must have been used up. */
export function feed(count: usize): void {
  next = INPUT;
  inputEnd = INPUT + count;
}

/** Makes room where there is little: moves the last bytes to the front, and what has not been taken. @returns how far. */
export function slide(taken: usize): usize {
  if (at < OUTPUT_END - PIECE / 2) return 0;
  const from = min(taken, at - WINDOW);
  memory.copy(OUTPUT, from, at - from);
  at -= from - OUTPUT;
  return from - OUTPUT;
}

function makeFixed(): void {
  for (let i = 0; i < 288; i++) {
    store<u8>(CODE_LENGTHS + i, i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8);
    let entry: u32 = LITERAL | (<u32>i << 16);
    if (i == 256) entry = END_OF_BLOCK;
    else if (i > 285) entry = INVALID;
    else if (i == 285) entry = BASE | (258 << 16);
    else if (i > 256) {
      // 3 to 10 one by one, then four of each number of extra bits.
      const n = i - 257;
      const extra = n < 8 ? 0 : (n >> 2) - 1;
      const base = n < 8 ? 3 + n : 3 + ((4 + (n & 3)) << extra);
      entry = BASE | (<u32>extra << 4) | (<u32>base << 16);
    }
    store<u32>(LITERAL_ENTRIES + (i << 2), entry);
  }
  for (let i = 0; i < 32; i++) {
    store<u8>(CODE_LENGTHS + 288 + i, 5);
    const extra = i < 2 ? 0 : (i >> 1) - 1;
    const base = i < 2 ? 1 + i : 1 + ((2 + (i & 1)) << extra);
    store<u32>(DISTANCE_ENTRIES + (i << 2), i > 29 ? INVALID : BASE | (<u32>extra << 4) | (<u32>base << 16));
  }
  for (let i = 0; i < 19; i++) store<u32>(LENGTH_ENTRIES + (i << 2), <u32>i << 16);
  // No code is longer than the tables' index, so that they need no counts.
  makeCode(CODE_LENGTHS, 288, LITERALS, LITERAL_BITS, LITERAL_ENTRIES, LITERAL_COUNTS, LITERAL_SYMBOLS, false);
  makeCode(CODE_LENGTHS + 288, 32, DISTANCES, DISTANCE_BITS, DISTANCE_ENTRIES, DISTANCE_COUNTS, DISTANCE_SYMBOLS, false);
  memory.copy(FIXED, LITERALS, 4 << LITERAL_BITS);
  memory.copy(FIXED + (4 << LITERAL_BITS), DISTANCES, 4 << DISTANCE_BITS);
  hasFixed = true;
}

/**
 * A canonical code from the lengths of its symbols' codes.
 * @param whole whether every sequence of bits must be a code. Else a single code of one bit may stand alone, or there is none.
 * @returns false if it is none.
 */
function makeCode(
  lengths: usize,
  count: i32,
  table: usize,
  tableBits: i32,
  entries: usize,
  counts: usize,
  symbols: usize,
  whole: bool,
): bool {
  memory.fill(counts, 0, 32);
  for (let i = 0; i < count; i++) {
    const place = counts + (<usize>load<u8>(lengths + i) << 1);
    store<u16>(place, load<u16>(place) + 1);
  }
  const unused = <i32>load<u16>(counts);
  store<u16>(counts, 0);
  let left = 1;
  let longest = 0;
  let first = 0;
  for (let length = 1; length < 16; length++) {
    const n = <i32>load<u16>(counts + (length << 1));
    left = (left << 1) - n;
    if (left < 0) return false;
    if (n > 0) longest = length;
    store<u16>(NEXT + (length << 1), <u16>first);
    first += n;
  }
  if (left > 0) {
    if (unused < count && (whole || longest != 1)) return false;
    // Bits that are no code are found out by the first of them.
    const entry: u32 = whole ? 1 : INVALID | 1;
    for (let i = 0; i < 1 << tableBits; i++) store<u32>(table + (i << 2), entry);
  } else memory.fill(table, 0, <usize>4 << tableBits);
  for (let symbol = 0; symbol < count; symbol++) {
    const length = <i32>load<u8>(lengths + symbol);
    if (length == 0) continue;
    const place = NEXT + (length << 1);
    const rank = load<u16>(place);
    store<u16>(place, rank + 1);
    store<u16>(symbols + (<usize>rank << 1), <u16>symbol);
  }
  // Codes of a length are numbers that follow each other; their bits come highest first.
  let code: u32 = 0;
  let rank: usize = symbols;
  for (let length = 1; length <= tableBits; length++, code <<= 1) {
    for (let n = <i32>load<u16>(counts + (length << 1)); n > 0; n--, code++, rank += 2) {
      const entry = load<u32>(entries + (<usize>load<u16>(rank) << 2)) | length;
      let reversed: u32 = 0;
      for (let i = 0, rest = code; i < length; i++, rest >>= 1) reversed = (reversed << 1) | (rest & 1);
      for (let i = reversed; i < <u32>1 << tableBits; i += <u32>1 << length) store<u32>(table + (<usize>i << 2), entry);
    }
  }
  return true;
}

/** The entry of a code that is longer than the table's index; 0 if its bits are not all there. */
function longEntry(held: u64, available: i32, entries: usize, counts: usize, symbols: usize): u32 {
  let code = 0;
  let first = 0;
  let rank = 0;
  for (let length = 1; length < 16; length++) {
    if (length > available) return 0;
    code |= <i32>(held & 1);
    held >>= 1;
    const count = <i32>load<u16>(counts + (length << 1));
    if (code - count < first) {
      return load<u32>(entries + (<usize>load<u16>(symbols + ((rank + code - first) << 1)) << 2)) | length;
    }
    rank += count;
    first = (first + count) << 1;
    code <<= 1;
  }
  // A whole code has no other bits.
  return INVALID | 15;
}

// @ts-ignore: decorator
@inline
function refill(): void {
  for (; bits < 56 && next < inputEnd; bits += 8) hold |= <u64>load<u8>(next++) << bits;
}

// @ts-ignore: decorator
@inline
function drop(count: i32): void {
  hold >>= count;
  bits -= count;
}

// @ts-ignore: decorator
@inline
function fail(code: i32): i32 {
  failure = code;
  return code;
}

/**
 * Decompresses until it needs input, or has written `room` bytes and needs room for more, or has worked for a while.
 * @returns NEEDS_INPUT, NEEDS_ROOM, NEEDS_TIME, ENDED or an error, which is below 0.
 */
export function step(room: usize): i32 {
  if (failure) return failure;
  waiting = 0;
  const from = at;
  const end = at + min(room, OUTPUT_END - at);
  const result = run(end);
  adler(from, at - from);
  if (result != CHECK) return result;
  // The checksum counts what has just been written.
  drop(bits & 7);
  refill();
  if (bits < 32) {
    return NEEDS_INPUT;
  }
  if (bswap(<u32>hold) != ((adlerB << 16) | adlerA)) return fail(BAD_CHECKSUM);
  drop(32);
  state = DONE;
  return ENDED;
}

/** The same, but for the checksum: at the end it returns CHECK. */
function run(end: usize): i32 {
  let tables = 0;
  while (true) {
    refill();
    if (state == SYMBOLS) {
      const result = symbolsUpTo(end);
      if (result >= 0) return result;
      if (result != END_OF_SYMBOLS) return fail(result);
      state = isLast ? CHECK : BLOCK;
    } else if (state == BLOCK) {
      if (bits < 3) return NEEDS_INPUT;
      isLast = (hold & 1) != 0;
      const kind = <i32>((hold >> 1) & 3);
      drop(3);
      if (kind == 3) return fail(BAD_BLOCK);
      if (kind == 0) {
        drop(bits & 7);
        state = STORED_LENGTH;
      } else if (kind == 2) state = TABLE;
      else {
        memory.copy(LITERALS, FIXED, 4 << LITERAL_BITS);
        memory.copy(DISTANCES, FIXED + (4 << LITERAL_BITS), 4 << DISTANCE_BITS);
        state = SYMBOLS;
      }
    } else if (state == STORED_LENGTH) {
      if (bits < 32) return NEEDS_INPUT;
      pending = <usize>hold & 0xffff;
      if (<usize>((hold >> 16) & 0xffff) != (pending ^ 0xffff)) return fail(BAD_STORED);
      drop(32);
      state = STORED;
    } else if (state == STORED) {
      for (; pending > 0 && bits >= 8 && at < end; pending--) {
        store<u8>(at++, <u8>hold);
        drop(8);
      }
      if (bits == 0) {
        const count = min(pending, min(inputEnd - next, end - at));
        memory.copy(at, next, count);
        at += count;
        next += count;
        pending -= count;
      }
      if (pending == 0) state = isLast ? CHECK : BLOCK;
      else return at == end && (bits > 0 || next < inputEnd) ? NEEDS_ROOM : NEEDS_INPUT;
    } else if (state == TABLE) {
      if (++tables > MOST_TABLES) return NEEDS_TIME;
      if (bits < 14) return NEEDS_INPUT;
      literalCount = 257 + <i32>(hold & 31);
      distanceCount = 1 + <i32>((hold >> 5) & 31);
      lengthCount = 4 + <i32>((hold >> 10) & 15);
      drop(14);
      if (literalCount > 286 || distanceCount > 30) return fail(BAD_CODES);
      memory.fill(CODE_LENGTHS, 0, 19);
      index = 0;
      state = TABLE_LENGTHS;
    } else if (state == TABLE_LENGTHS) {
      for (; index < lengthCount; index++) {
        refill();
        if (bits < 3) return NEEDS_INPUT;
        store<u8>(CODE_LENGTHS + load<u8>(ORDER + index), <u8>(hold & 7));
        drop(3);
      }
      if (!makeCode(CODE_LENGTHS, 19, LENGTHS, 7, LENGTH_ENTRIES, LENGTH_COUNTS, LENGTH_SYMBOLS, true)) {
        return fail(BAD_CODES);
      }
      index = 0;
      state = TABLE_CODES;
    } else if (state == TABLE_CODES) {
      const result = readCodeLengths();
      if (result <= 0) return result == 0 ? NEEDS_INPUT : fail(result);
      state = SYMBOLS;
    } else if (state == HEADER) {
      if (bits < 16) return NEEDS_INPUT;
      const method = <u32>hold & 0xff;
      const flags = <u32>(hold >> 8) & 0xff;
      // Compression method 8, a window of at most 32,768 bytes, and no dictionary.
      const isGood = ((method << 8) | flags) % 31 == 0 && (method & 15) == 8 && method >> 4 < 8 && (flags & 32) == 0;
      if (!isGood) return fail(BAD_HEADER);
      drop(16);
      state = BLOCK;
    } else return state == CHECK ? CHECK : ENDED;
  }
}

/** The lengths of a block's codes, and then the codes. @returns 1, 0 if it needs input, or an error. */
function readCodeLengths(): i32 {
  const count = literalCount + distanceCount;
  while (index < count) {
    refill();
    const entry = load<u32>(LENGTHS + ((<usize>hold & 127) << 2));
    const symbol = entry >> 16;
    const length = <i32>(entry & 15);
    if (length > bits) return 0;
    if (symbol < 16) {
      store<u8>(CODE_LENGTHS + index++, <u8>symbol);
      drop(length);
      continue;
    }
    const extra = symbol == 16 ? 2 : symbol == 17 ? 3 : 7;
    if (length + extra > bits) return 0;
    const repeat = (symbol == 18 ? 11 : 3) + (<i32>(hold >> length) & ((1 << extra) - 1));
    drop(length + extra);
    if (symbol == 16 && index == 0) return BAD_CODES;
    if (index + repeat > count) return BAD_CODES;
    memory.fill(CODE_LENGTHS + index, symbol == 16 ? load<u8>(CODE_LENGTHS + index - 1) : 0, repeat);
    index += repeat;
  }
  if (load<u8>(CODE_LENGTHS, 256) == 0) return BAD_CODES;
  const isGood =
    makeCode(CODE_LENGTHS, literalCount, LITERALS, LITERAL_BITS, LITERAL_ENTRIES, LITERAL_COUNTS, LITERAL_SYMBOLS, false) &&
    makeCode(
      CODE_LENGTHS + literalCount,
      distanceCount,
      DISTANCES,
      DISTANCE_BITS,
      DISTANCE_ENTRIES,
      DISTANCE_COUNTS,
      DISTANCE_SYMBOLS,
      false,
    );
  return isGood ? 1 : BAD_CODES;
}

// @ts-ignore: decorator
@inline
function waits(available: i32): i32 {
  waiting = bits - available;
  return NEEDS_ROOM;
}

const END_OF_SYMBOLS: i32 = -100;

/** Symbols of a block. @returns NEEDS_INPUT, NEEDS_ROOM, END_OF_SYMBOLS or an error. */
function symbolsUpTo(end: usize): i32 {
  if (pending > 0) {
    const count = min(pending, end - at);
    repeat(count);
    pending -= count;
    if (pending > 0) return NEEDS_ROOM;
  }
  while (true) {
    if (at + 259 <= end && next + 8 <= inputEnd) {
      const result = fastSymbols(end - 259, inputEnd - 8);
      if (result != 0) return result;
    }
    refill();
    // Nothing is used up before all of a symbol is there: at most 15 + 5 + 15 + 13 bits.
    let held = hold;
    let available = bits;
    let entry = load<u32>(LITERALS + ((<usize>held & ((1 << LITERAL_BITS) - 1)) << 2));
    if ((entry & 15) == 0) {
      entry = longEntry(held, available, LITERAL_ENTRIES, LITERAL_COUNTS, LITERAL_SYMBOLS);
      if (entry == 0) return NEEDS_INPUT;
    }
    let length = <i32>(entry & 15);
    if (length > available) return NEEDS_INPUT;
    held >>= length;
    available -= length;
    const kind = entry & KIND;
    if (kind == LITERAL) {
      if (at == end) return waits(available);
      store<u8>(at++, <u8>(entry >> 16));
    } else if (kind == BASE) {
      let extra = <i32>(entry >> 4) & 15;
      if (extra > available) return NEEDS_INPUT;
      let count = <usize>(entry >> 16) + (<usize>held & ((1 << extra) - 1));
      held >>= extra;
      available -= extra;
      entry = load<u32>(DISTANCES + ((<usize>held & ((1 << DISTANCE_BITS) - 1)) << 2));
      if ((entry & 15) == 0) {
        entry = longEntry(held, available, DISTANCE_ENTRIES, DISTANCE_COUNTS, DISTANCE_SYMBOLS);
        if (entry == 0) return NEEDS_INPUT;
      }
      length = <i32>(entry & 15);
      if (length > available) return NEEDS_INPUT;
      if ((entry & KIND) != BASE) return BAD_DISTANCE;
      held >>= length;
      available -= length;
      extra = <i32>(entry >> 4) & 15;
      if (extra > available) return NEEDS_INPUT;
      distance = <usize>(entry >> 16) + (<usize>held & ((1 << extra) - 1));
      held >>= extra;
      available -= extra;
      if (at == end) return waits(available);
      if (distance > at - OUTPUT) return BAD_DISTANCE;
      const now = min(count, end - at);
      repeat(now);
      pending = count - now;
    } else if (kind == INVALID) return BAD_SYMBOL;
    hold = held;
    bits = available;
    if (kind == END_OF_BLOCK) return END_OF_SYMBOLS;
    if (pending > 0) return NEEDS_ROOM;
  }
}

/** The next `count` bytes are those of `distance` before. */
// @ts-ignore: decorator
@inline
function repeat(count: usize): void {
  const from = at - distance;
  if (distance >= count) memory.copy(at, from, count);
  else if (distance == 1) memory.fill(at, load<u8>(from), count);
  else for (let i: usize = 0; i < count; i++) store<u8>(at + i, load<u8>(from + i));
  at += count;
}

/**
 * Symbols while there is room for a literal and the longest match, and input for them.
 * @returns 0 where there is not, END_OF_SYMBOLS or an error.
 */
function fastSymbols(lastRoom: usize, lastInput: usize): i32 {
  let held = hold;
  let available = bits;
  let from = next;
  let to = at;
  let result = 0;
  while (to <= lastRoom && from <= lastInput) {
    // 56 bits at least: of the last byte that is taken, some are taken again.
    held |= load<u64>(from) << available;
    from += (63 - available) >> 3;
    available |= 56;
    let entry = load<u32>(LITERALS + ((<usize>held & ((1 << LITERAL_BITS) - 1)) << 2));
    // Two literals in a row fit into what is held, and a match after them.
    if ((entry & (KIND | 15)) - 1 < 15) {
      held >>= entry & 15;
      available -= <i32>(entry & 15);
      store<u8>(to++, <u8>(entry >> 16));
      entry = load<u32>(LITERALS + ((<usize>held & ((1 << LITERAL_BITS) - 1)) << 2));
      if ((entry & (KIND | 15)) - 1 < 15) {
        held >>= entry & 15;
        available -= <i32>(entry & 15);
        store<u8>(to++, <u8>(entry >> 16));
        continue;
      }
      if (available < 48) continue;
    }
    if ((entry & 15) == 0) entry = longEntry(held, 15, LITERAL_ENTRIES, LITERAL_COUNTS, LITERAL_SYMBOLS);
    const kind = entry & KIND;
    if (kind == INVALID) {
      result = BAD_SYMBOL;
      break;
    }
    held >>= entry & 15;
    available -= <i32>(entry & 15);
    if (kind == LITERAL) {
      store<u8>(to++, <u8>(entry >> 16));
      continue;
    }
    if (kind == END_OF_BLOCK) {
      result = END_OF_SYMBOLS;
      break;
    }
    let extra = (entry >> 4) & 15;
    const count = <usize>(entry >> 16) + (<usize>held & ((1 << extra) - 1));
    held >>= extra;
    available -= extra;
    entry = load<u32>(DISTANCES + ((<usize>held & ((1 << DISTANCE_BITS) - 1)) << 2));
    if ((entry & 15) == 0) entry = longEntry(held, 15, DISTANCE_ENTRIES, DISTANCE_COUNTS, DISTANCE_SYMBOLS);
    if ((entry & KIND) != BASE) {
      result = BAD_DISTANCE;
      break;
    }
    held >>= entry & 15;
    available -= <i32>(entry & 15);
    extra = (entry >> 4) & 15;
    const back = <usize>(entry >> 16) + (<usize>held & ((1 << extra) - 1));
    held >>= extra;
    available -= extra;
    if (back > to - OUTPUT) {
      result = BAD_DISTANCE;
      break;
    }
    let source = to - back;
    const stop = to + count;
    if (back >= 16) {
      // Up to 15 bytes too many, which are written again.
      do {
        v128.store(to, v128.load(source));
        to += 16;
        source += 16;
      } while (to < stop);
      to = stop;
    } else if (back == 1) {
      const value = i8x16.splat(load<i8>(source));
      do {
        v128.store(to, value);
        to += 16;
      } while (to < stop);
      to = stop;
    } else for (; to < stop; to++, source++) store<u8>(to, load<u8>(source));
  }
  hold = held & (((<u64>1) << available) - 1);
  bits = available;
  next = from;
  at = to;
  return result;
}

/** Adler-32 of RFC 1950 of what was and of `count` bytes more, 16 at a time. */
function adler(from: usize, count: usize): void {
  const weights0 = i16x8(16, 15, 14, 13, 12, 11, 10, 9);
  const weights1 = i16x8(8, 7, 6, 5, 4, 3, 2, 1);
  const ones = i16x8.splat(1);
  let a = adlerA;
  let b = adlerB;
  while (count > 0) {
    // So many that b stays below 2^32.
    const part = min(count, 5552);
    const blocks = part & ~15;
    const end = from + blocks;
    let sums = i32x4.splat(0);
    let before = i32x4.splat(0);
    let weighted = i32x4.splat(0);
    for (; from < end; from += 16) {
      before = i32x4.add(before, sums);
      const bytes = v128.load(from);
      const low = i16x8.extend_low_i8x16_u(bytes);
      const high = i16x8.extend_high_i8x16_u(bytes);
      sums = i32x4.add(sums, i32x4.dot_i16x8_s(i16x8.add(low, high), ones));
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(low, weights0));
      weighted = i32x4.add(weighted, i32x4.dot_i16x8_s(high, weights1));
    }
    weighted = i32x4.add(weighted, i32x4.shl(before, 4));
    b += a * <u32>blocks + lanes(weighted);
    a += lanes(sums);
    for (const stop = from + (part - blocks); from < stop; from++) {
      a += load<u8>(from);
      b += a;
    }
    a %= 65521;
    b %= 65521;
    count -= part;
  }
  adlerA = a;
  adlerB = b;
}

// @ts-ignore: decorator
@inline
function lanes(v: v128): u32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}
