// The bits of entropy-coded data (§F.2.2.5). A segment runs to the next marker, whichever that is; after its bits
// come zeros.
//
// A pass takes the stuffed zeros out, 16 bytes at a time, into a window that is written backwards: byte i of the
// segment at `top - 1 - i`. So eight bytes loaded at any address are a big-endian number, and a decoder refills its
// 64 bits by
//
//     bits |= load<u64>(at) >> held;  at -= (63 - held) >> 3;  held |= 56;
//
// without a branch and without a look at markers (Giesen, "Reading bits in far too many ways", variant 4). `bits` has
// the next bit at its top, `held` of them are counted; what follows them is right as well, so that it may be or-ed
// again.
import { scan } from "./frame";

/** Most bytes that one block, or one MCU of a scan of DC or of lossless samples, can take, and a refill after it. */
const READ: usize = 272;
/**
 * How far the position may fall behind the end of a segment: by more than 64 bits, so that one sees that bits were
 * lacking.
 */
const BEHIND: usize = 24;
const TAIL: usize = BEHIND + READ + 24;
const WINDOW: usize = 8192;

const BUFFER: usize = memory.data(8544, 16);
const TOP: usize = BUFFER + TAIL + WINDOW;

// prettier-ignore
@unmanaged class Reader {
  bits: u64;
  held: u64;
  /** Where the next refill loads. */
  at: usize;
  /** Below it a decoder has to ask for `more` before it goes on. */
  floor: usize;
  /** Address of the segment's last byte in the window, and whether it is the last at all. */
  bottom: usize;
  isWhole: bool;
  /** Tells whether the file ended before a marker did the segment. */
  isCut: bool;
  /** Bits were lacking before this segment, and none came. */
  wasLacking: bool;
  /** Where the file is read on: after the window's bytes, or after the marker. */
  raw: usize;
  /** The marker that ended the segment and is not dealt with; 0 for none. */
  marker: i32;
}

export const reader = changetype<Reader>(memory.data(64, 16));

/** Starts at `from` with no bits lacking. */
export function beginData(from: usize): void {
  reader.raw = from;
  reader.marker = 0;
  reader.isCut = false;
  reader.wasLacking = false;
  beginSegment();
}

/** Starts a segment; a marker that is still there makes it empty. */
export function beginSegment(): void {
  reader.bits = 0;
  reader.held = 0;
  reader.bottom = TOP;
  reader.at = TOP - 8;
  reader.isWhole = false;
  if (reader.marker) endSegment();
  else fillWindow();
}

/** More bits were used than there were. */
// @ts-ignore: decorator
@inline
export function isLacking(): bool {
  if (!reader.isWhole) return false;
  return reader.wasLacking || <isize>((reader.at + 8 - reader.bottom) << 3) + <isize>reader.held < 0;
}

/** Makes room for the next block where `at` is below `floor`. */
export function more(): void {
  if (reader.isWhole) {
    reader.at = reader.floor;
    return;
  }
  // What is left goes to the top.
  const left = reader.at + 8 - reader.bottom;
  memory.copy(TOP - left, reader.bottom, left);
  reader.bottom = TOP - left;
  reader.at = TOP - 8;
  fillWindow();
}

function endSegment(): void {
  reader.isWhole = true;
  reader.floor = reader.bottom - BEHIND;
  const zero = i64x2.splat(0);
  for (let at = reader.bottom - 16, end = reader.bottom - TAIL; at > end; at -= 16) v128.store(at, zero);
}

/** Takes bytes of the file until the window is full or the segment ends. */
function fillWindow(): void {
  const end = scan.end;
  const low = BUFFER + TAIL + 16;
  const ff = i8x16.splat(-1);
  let from = reader.raw;
  let to = reader.bottom;
  while (to >= low) {
    const bytes = v128.load(from);
    v128.store(to - 16, v128.shuffle<u8>(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    let found = i8x16.bitmask(i8x16.eq(bytes, ff));
    if (from + 16 > end) found |= 1 << <i32>(end - from);
    if (!found) {
      from += 16;
      to -= 16;
      continue;
    }
    const before = <usize>ctz(found);
    from += before;
    to -= before;
    if (from < end) {
      // One 0xff of any number, if a zero follows.
      from++;
      to--;
      while (from < end && load<u8>(from) == 0xff) from++;
      if (from < end && !load<u8>(from)) {
        from++;
        continue;
      }
      to++;
    }
    reader.isCut = from == end;
    if (!reader.isCut) reader.marker = load<u8>(from++);
    reader.raw = from;
    reader.bottom = to;
    endSegment();
    return;
  }
  reader.raw = from;
  reader.bottom = to;
  reader.floor = to + READ;
}

/**
 * Finds the next marker of the file before `limit`, if there is none that is not dealt with: 0xff of any number, then
 * neither 0xff nor 0.
 */
export function findMarker(limit: usize): bool {
  if (reader.marker) return true;
  let from = reader.raw;
  const ff = i8x16.splat(-1);
  while (from < limit) {
    const found = i8x16.bitmask(i8x16.eq(v128.load(from), ff));
    if (!found) {
      from += 16;
      continue;
    }
    from += <usize>ctz(found);
    const first = from;
    while (from < limit && load<u8>(from) == 0xff) from++;
    if (from >= limit) {
      reader.raw = min(first, limit);
      return false;
    }
    const marker = load<u8>(from++);
    if (!marker) continue;
    reader.marker = marker;
    reader.raw = from;
    return true;
  }
  reader.raw = limit;
  return false;
}
