// Huffman tables (annex C, §F.2.2.3), as lookups by the next bits that find a symbol, its extra bits and the number
// that these make in one step. An entry, u32, from the lowest bit:
//
//     6 bits   length of the code and of its extra bits
//     1 bit    unused
//     1 bit    SLOW: the code, or its extra bits, go beyond the lookup; `resolve` makes the entry: of the value, which is the number
//              of extra bits then; or, if the length is 0, of longer codes from the length on that the step says
//     8 bits   step: places in zigzag order from the last coefficient to this one
//     16 bits  value: the coefficient or difference
//
// Bits that are no code take 17 bits and are the symbol 0, as in libjpeg.
//
// Measured on the photo of sequential.ts, in all: 80 ms. Tried: lookups of 11 bits, 85 ms, and of 12, 89.

/** Bits of a lookup. */
export const LOOKUP: u64 = 10;
const ENTRIES: u32 = 1 << <u32>LOOKUP;

export const SLOW: u32 = 1 << 7;
/** Step to after the end of a block, beyond all places that a run can lead to. */
export const END: i32 = 128;

/** Kinds of tables. */
export namespace Kind {
  /** Differences of DC or of lossless samples; the step counts for nothing. */
  export const DC: i32 = 0;
  /** Sequential AC: a run of zeros and a coefficient; the end of the block steps by END. */
  export const AC: i32 = 1;
  /** First progressive scan of AC: an end-of-band run has step 0, its value is the number of blocks after this one. */
  export const AC_FIRST: i32 = 2;
  /** Refinement of AC: the same, with one extra bit of a coefficient whatever its symbol says, as in libjpeg. */
  export const AC_REFINE: i32 = 3;
}

// Of a table: the lookup, then these.
const LIMITS: usize = <usize>ENTRIES << 2;
const OFFSETS: usize = LIMITS + 68;
const KIND: usize = OFFSETS + 68;
const SYMBOLS: usize = KIND + 8;
const TABLE_BYTES: usize = SYMBOLS + 256;

/** Tables of DC in slots 0 to 3 and of AC in slots 4 to 7. */
const TABLES: usize = memory.data(8 * ((4 << 10) + 400), 16);

export function tableAt(slot: i32): usize {
  return TABLES + <usize>slot * TABLE_BYTES;
}

/** Left-justified in 16 bits: the first pattern that is neither a code of this length nor begins with a shorter one. */
// @ts-ignore: decorator
@inline
export function limitOf(table: usize, length: i32): u32 {
  return load<u32>(table + (<usize>length << 2), LIMITS);
}

/** The symbol of a code of `length` bits. */
// @ts-ignore: decorator
@inline
export function symbolOf(table: usize, code: u32, length: i32): u32 {
  return load<u8>(table + <usize>((load<u32>(table + (<usize>length << 2), OFFSETS) + code) & 255), SYMBOLS);
}

/**
 * Makes a table of its 16 counts, u8, and up to 256 symbols after them, which together must be `count`.
 * @returns whether no code is all ones and all symbols are allowed.
 */
export function buildTable(table: usize, spec: usize, kind: i32, largest: u32): bool {
  memory.copy(table + SYMBOLS, spec + 16, 256);
  store<i32>(table, kind, KIND);
  let last = 16;
  while (last > 0 && !load<u8>(spec + last - 1)) last--;
  let code: u32 = 0;
  let index: u32 = 0;
  let filled: u32 = 0;
  for (let length = 1; length <= 16; length++) {
    const count = load<u8>(spec + length - 1);
    code <<= 1;
    store<u32>(table + (<usize>length << 2), index - code, OFFSETS);
    for (let i: u32 = 0; i < count; i++, code++, index++) {
      const symbol = load<u8>(spec + 16 + index);
      if (symbol > largest) return false;
      if (length > <i32>LOOKUP) continue;
      // All that the bits after the code can be; as few entries as they differ in.
      const rest = <i32>LOOKUP - length;
      const size = sizeOf(kind, symbol);
      const known = size <= rest ? size : 0;
      for (const end = min((code + 1) << rest, ENTRIES); filled < end; ) {
        const entry = entryOf(kind, symbol, length, filled << (32 - <u32>LOOKUP), <i32>LOOKUP);
        const next = filled + (1 << (rest - known));
        for (; filled < next; filled++) store<u32>(table + (filled << 2), entry);
      }
    }
    if (index > 0 && length <= last && code >= <u32>1 << length) return false;
    store<u32>(table + (<usize>length << 2), code << (16 - length), LIMITS);
  }
  for (; filled < ENTRIES; filled++) store<u32>(table + (filled << 2), SLOW | ((<u32>LOOKUP + 1) << 8));
  return true;
}

/** Extra bits of a symbol. */
// @ts-ignore: decorator
@inline
function sizeOf(kind: i32, symbol: u32): i32 {
  // The difference 32768 has none.
  if (kind == Kind.DC) return symbol < 16 ? symbol : 0;
  const size = symbol & 15;
  if (kind >= Kind.AC_FIRST && !size && symbol < 0xf0) return symbol >> 4;
  return kind == Kind.AC_REFINE ? min(size, 1) : size;
}

/**
 * The entry of a symbol whose code is the first `length` bits of `bits`.
 * @param bits left-justified. @param known how many are known; where the extra bits go beyond them, the entry is SLOW.
 */
function entryOf(kind: i32, symbol: u32, length: i32, bits: u32, known: i32): u32 {
  const size = sizeOf(kind, symbol);
  const isRun = kind >= Kind.AC_FIRST && !(symbol & 15) && symbol < 0xf0;
  if (length + size > known && isRun) return SLOW | (length << 8);
  let step = 0;
  if (kind != Kind.DC && !isRun) step = symbol & 15 || symbol == 0xf0 ? (symbol >> 4) + 1 : END;
  if (length + size > known) return SLOW | (size << 16) | (step << 8) | length;
  const extra = size ? (bits << length) >> (32 - size) : 0;
  if (isRun) return (((1 << size) + extra - 1) << 16) | (length + size);
  if (kind == Kind.DC && symbol == 16) return (32768 << 16) | length;
  return (extended(extra, size) << 16) | (step << 8) | (length + size);
}

/** The number that extra bits make (Extend of §F.2.2.1). */
// @ts-ignore: decorator
@inline
function extended(extra: u32, size: i32): u32 {
  return size && !(extra >> (size - 1)) ? extra - (1 << size) + 1 : extra;
}

/** The entry for an entry that is SLOW; at least 32 bits must be held. */
// @ts-ignore: decorator
@inline
export function resolve(table: usize, entry: u32, bits: u64): u32 {
  const length = <i32>(entry & 63);
  if (!length) return search(table, entry, <u32>(bits >> 32));
  const size = <i32>(entry >> 16);
  const extra = <u32>((bits << <u64>length) >> <u64>(64 - size));
  return (extended(extra, size) << 16) | (entry & 0xff00) | (length + size);
}

/** The same for a code of unknown length, from that in the entry's step on. */
function search(table: usize, entry: u32, bits: u32): u32 {
  const window = bits >> 16;
  let length = <i32>(entry >> 8) & 255;
  while (length <= 16 && window >= limitOf(table, length)) length++;
  const symbol = length <= 16 ? symbolOf(table, window >> (16 - length), length) : 0;
  return entryOf(load<i32>(table, KIND), symbol, length, bits, 32);
}
