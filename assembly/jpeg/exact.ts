// Sequential and lossless scans bit by bit in libjpeg's way, for the few files in which it shows how libjpeg-turbo
// reads:
//
// - Data that end without a marker: whether the picture is accepted depends on when the 57 bits that are read ahead end.
// - 0xff 0xff 0x00 in data without restart markers: an MCU is first decoded by a quicker reader, which takes any 0xff
//   but 0xff 0x00 for the end of the data; if it met one, the MCU is decoded once more, over what the first attempt
//   wrote.
// - Errors after the only scan: they count if they lie before `scan.limit`, which moves on by 65,536 bytes, as Pillow
//   reads, each time that libjpeg runs out of bytes and takes back an MCU.
import { findMarker, reader } from "./bits";
import { blockAt, blockIndex, inNaturalOrder, placeOf } from "./blocks";
import { Coding, Component, scan, scanned } from "./frame";
import { limitOf, symbolOf } from "./huffman";
import { samplesOf, transform } from "./idct";


/** Bytes that Pillow reads at a time. */
const CHUNK: usize = 65536;
/** Bytes of a block at most; with as many for each of an MCU at hand the quicker reader is tried. */
const BLOCK_BYTES: usize = 512;
/** The longest code, and one bit more. */
const NO_CODE: i32 = 17;

/** The blocks of an MCU that become samples at once. */
const BLOCKS: usize = memory.data(10 * 128, 16);

// prettier-ignore
@unmanaged class Exact {
  /** The last `left` bits are not used yet. */
  bits: u64; left: i32;
  isLacking: bool;
  /** The quicker reader is at work, and has met an end. */
  isQuick: bool; isOver: bool;
  /** State before the MCU. */
  savedBits: u64; savedLeft: i32; savedRaw: usize;
  prediction0: i32; prediction1: i32; prediction2: i32; prediction3: i32;
}

export const exact = changetype<Exact>(memory.data(96, 16));

/** Starts a scan or a restart interval. */
export function beginExact(): void {
  exact.bits = 0;
  exact.left = 0;
  if (!reader.marker) exact.isLacking = false;
}

/**
 * Reads ahead to 57 bits at least, or to a marker, after which come zeros. @returns whether there were enough bytes.
 */
function fill(need: i32): bool {
  while (!reader.marker && exact.left < 57) {
    let at = reader.raw;
    if (at >= scan.limit) return false;
    let byte = <u64>load<u8>(at++);
    if (byte == 0xff) {
      do {
        if (at >= scan.limit) return false;
        byte = load<u8>(at++);
      } while (byte == 0xff);
      if (byte) {
        reader.marker = <i32>byte;
        reader.raw = at;
        break;
      }
      byte = 0xff;
    }
    reader.raw = at;
    exact.bits = (exact.bits << 8) | byte;
    exact.left += 8;
  }
  if (need > exact.left) {
    exact.isLacking = true;
    exact.bits <<= <u64>(57 - exact.left);
    exact.left = 57;
  }
  return true;
}

/** The quicker reader's: six bytes when no more than 16 bits are left; there are always enough bytes. */
function fillQuick(): void {
  if (exact.left > 16) return;
  for (let i = 0; i < 6; i++) {
    let byte = <u64>load<u8>(reader.raw++);
    if (byte == 0xff) {
      if (!load<u8>(reader.raw)) reader.raw++;
      else {
        exact.isOver = true;
        reader.raw--;
        byte = 0;
      }
    }
    exact.bits = (exact.bits << 8) | byte;
    exact.left += 8;
  }
}

// @ts-ignore: decorator
@inline
function has(count: i32): bool {
  return exact.left >= count || fill(count);
}

// @ts-ignore: decorator
@inline
function take(count: i32): u32 {
  exact.left -= count;
  return <u32>(exact.bits >> <u64>exact.left) & ((<u32>1 << count) - 1);
}

/** @returns the next symbol; 0 if the bits are no code; -1 if there are not enough bytes. */
function nextSymbol(table: usize): i32 {
  if (exact.isQuick) fillQuick();
  else if (exact.left < 8 && !fill(0)) return -1;
  let length = 1;
  if (exact.left >= 8) {
    const next = <u32>(exact.bits >> <u64>(exact.left - 8)) & 255;
    while (length <= 8 && next << 8 >= limitOf(table, length)) length++;
    if (length <= 8) return symbolOf(table, take(length), length);
  }
  if (!has(length)) return -1;
  let code = take(length);
  while (length < NO_CODE && code << (16 - length) >= limitOf(table, length)) {
    if (!has(1)) return -1;
    code = (code << 1) | take(1);
    length++;
  }
  return length < NO_CODE ? symbolOf(table, code, length) : 0;
}

/** The number that `size` extra bits make (Extend of §F.2.2.1); they are there when `hasExtra` says so. */
function hasExtra(size: i32): bool {
  if (!size) return true;
  if (exact.isQuick) fillQuick();
  else if (!has(size)) return false;
  return true;
}

function extra(size: i32): i32 {
  if (!size) return 0;
  const value = <i32>take(size);
  return value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

/** @returns whether there were enough bytes. */
function decodeBlock(block: usize, part: Component): bool {
  const size = nextSymbol(part.dcTable);
  if (size < 0 || !hasExtra(size)) return false;
  part.prediction += extra(size);
  store<i16>(block, part.prediction);
  for (let k = 1; k < 64; k++) {
    const symbol = nextSymbol(part.acTable);
    if (symbol < 0) return false;
    const run = symbol >> 4;
    const bits = symbol & 15;
    if (!bits && run < 15) break;
    k += run;
    if (!bits) continue;
    if (!hasExtra(bits)) return false;
    store<i16>(placeOf(block, k), extra(bits));
  }
  return true;
}

/** Block `n` of the MCU at `column`: coefficients that are kept, or room. */
// @ts-ignore: decorator
@inline
function roomAt(part: Component, n: i32, y: i32, x: i32): usize {
  return scan.isDirect ? BLOCKS + (<usize>n << 7) : blockAt(part, y, x);
}

function decodeMcu(column: i32): bool {
  let n = 0;
  for (let c = 0; c < scan.components; c++) {
    const part = scanned(c);
    for (let y = 0; y < part.mcuHigh; y++) {
      for (let x = 0; x < part.mcuWide; x++) {
        if (!decodeBlock(roomAt(part, n++, y, column * part.mcuWide + x), part)) return false;
      }
    }
  }
  return true;
}

function save(): void {
  exact.savedBits = exact.bits;
  exact.savedLeft = exact.left;
  exact.savedRaw = reader.raw;
  exact.prediction0 = scanned(0).prediction;
  if (scan.components > 1) exact.prediction1 = scanned(1).prediction;
  if (scan.components > 2) exact.prediction2 = scanned(2).prediction;
  if (scan.components > 3) exact.prediction3 = scanned(3).prediction;
}

function takeBack(): void {
  exact.bits = exact.savedBits;
  exact.left = exact.savedLeft;
  reader.raw = exact.savedRaw;
  scanned(0).prediction = exact.prediction0;
  if (scan.components > 1) scanned(1).prediction = exact.prediction1;
  if (scan.components > 2) scanned(2).prediction = exact.prediction2;
  if (scan.components > 3) scanned(3).prediction = exact.prediction3;
}

/** Gives libjpeg the next bytes of the file. @returns whether there are any. */
export function moveLimit(): bool {
  if (scan.limit >= scan.end) return false;
  scan.limit = min(scan.end, scan.limit + CHUNK);
  return true;
}

function blocksInMcu(): i32 {
  let blocks = 0;
  for (let c = 0; c < scan.components; c++) blocks += scanned(c).mcuWide * scanned(c).mcuHigh;
  return blocks;
}

/** Decodes `count` MCUs, from the next on. @returns whether the file has bytes enough. */
export function decodeExact(count: i32): bool {
  const blocks = blocksInMcu();
  const room = BLOCK_BYTES * <usize>blocks;
  for (let i = 0; i < count; i++) {
    const column = scan.column + i;
    for (let isDone = false; !isDone; ) {
      if (scan.isDirect) memory.fill(BLOCKS, 0, <usize>blocks << 7);
      if (exact.isLacking) break;
      save();
      if (!scan.restartInterval && !reader.marker && scan.limit >= reader.raw + room) {
        exact.isQuick = true;
        exact.isOver = false;
        decodeMcu(column);
        exact.isQuick = false;
        isDone = !exact.isOver;
        if (!isDone) takeBack();
      }
      if (!isDone) {
        isDone = decodeMcu(column);
        if (!isDone) {
          takeBack();
          if (!moveLimit()) return false;
        }
      }
    }
    keep(column);
  }
  return true;
}

/** Makes samples of the MCU's blocks, or says that all their coefficients may be nonzero. */
function keep(column: i32): void {
  let n = 0;
  for (let c = 0; c < scan.components; c++) {
    const part = scanned(c);
    for (let y = 0; y < part.mcuHigh; y++) {
      for (let x = 0; x < part.mcuWide; x++) {
        const at = column * part.mcuWide + x;
        if (!scan.isDirect) store<u8>(part.lasts + blockIndex(part, y, at), 63);
        else {
          const block = inNaturalOrder(roomAt(part, n++, y, at), 63);
          transform(part, block, 63, samplesOf(part, scan.row, scan.line + y, at));
        }
      }
    }
  }
}

/** Decodes the differences of `count` lossless MCUs, from the next on. @returns whether the file has bytes enough. */
export function decodeExactDifferences(count: i32): bool {
  for (let i = 0; i < count; i++) {
    for (let isDone = false; !isDone; ) {
      save();
      isDone = decodeDifferences(scan.column + i);
      if (!isDone) {
        takeBack();
        if (!moveLimit()) return false;
      }
    }
  }
  return true;
}

function decodeDifferences(column: i32): bool {
  for (let c = 0; c < scan.components; c++) {
    const part = scanned(c);
    for (let y = 0; y < part.mcuHigh; y++) {
      let to = part.differences + (<usize>((scan.line + y) * part.blockStride + column * part.mcuWide) << 1);
      for (let x = 0; x < part.mcuWide; x++, to += 2) {
        const size = nextSymbol(part.dcTable);
        if (size < 0) return false;
        if (size == 16) store<u16>(to, 32768);
        else {
          if (!hasExtra(size)) return false;
          store<u16>(to, extra(size));
        }
      }
    }
  }
  return true;
}

/** Finds a restart marker, reading on where the bytes at hand end. @returns whether there is one. */
export function findMarkerExact(): bool {
  while (!findMarker(scan.limit)) if (!moveLimit()) return false;
  return true;
}

/** Tells whether the coding is one of these. */
// @ts-ignore: decorator
@inline
export function isExact(): bool {
  return scan.coding >= Coding.EXACT;
}
