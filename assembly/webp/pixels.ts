// Pixels of an image of VP8L (the specification of WebP lossless, sections 5 and 6): literals, copies, and a cache of colors.
//
// The codes of a pixel are those of its tile's group. In each group, red, blue and alpha are often of one symbol (which takes no
// bits): then a literal is a single look-up, and if green is too, the rest of the tile is filled.
import { data, isPastEnd, moveTo, noteEnd, peek, position as sharedPosition, read, total } from "./bits";
import { CODE, lookUp, readSymbol } from "./prefix";
import { BAD_COPY, DONE, ENDS_EARLY, MORE } from "./status";

// A group of codes: green (and lengths, and the cache), red, blue, alpha, distance; then u32 the pixel without its green, and
// u32 which it is: no code but green's takes bits, for a literal; and not green's either.
export const GROUP: usize = 48;
export const RED: usize = CODE;
export const BLUE: usize = 2 * CODE;
export const ALPHA: usize = 3 * CODE;
export const DISTANCE: usize = 4 * CODE;
const LITERAL: usize = 40;
const KIND: usize = 44;
const ANY: u32 = 0;
const GREEN_ONLY: u32 = 1;
const CONSTANT: u32 = 2;

/** Cost of a change of the group, in pixels. */
const CHANGE: usize = 32;

/** Symbols of green: literals, then lengths, then places in the cache. */
const LENGTHS: u32 = 256;
const CACHE: u32 = 256 + 24;

/** Where near copies come from: i8 [120][columns, rows]. */
const NEAR: usize = memory.data<i8>([
  0, 1, 1, 0, 1, 1, -1, 1, 0, 2, 2, 0, 1, 2, -1, 2, 2, 1, -2, 1, 2, 2, -2, 2,
  0, 3, 3, 0, 1, 3, -1, 3, 3, 1, -3, 1, 2, 3, -2, 3, 3, 2, -3, 2, 0, 4, 4, 0,
  1, 4, -1, 4, 4, 1, -4, 1, 3, 3, -3, 3, 2, 4, -2, 4, 4, 2, -4, 2, 0, 5, 3, 4,
  -3, 4, 4, 3, -4, 3, 5, 0, 1, 5, -1, 5, 5, 1, -5, 1, 2, 5, -2, 5, 5, 2, -5, 2,
  4, 4, -4, 4, 3, 5, -3, 5, 5, 3, -5, 3, 0, 6, 6, 0, 1, 6, -1, 6, 6, 1, -6, 1,
  2, 6, -2, 6, 6, 2, -6, 2, 4, 5, -4, 5, 5, 4, -5, 4, 3, 6, -3, 6, 6, 3, -6, 3,
  0, 7, 7, 0, 1, 7, -1, 7, 5, 5, -5, 5, 7, 1, -7, 1, 4, 6, -4, 6, 6, 4, -6, 4,
  2, 7, -2, 7, 7, 2, -7, 2, 3, 7, -3, 7, 7, 3, -7, 3, 5, 6, -5, 6, 6, 5, -6, 5,
  8, 0, 4, 7, -4, 7, 7, 4, -7, 4, 8, 1, 8, 2, 6, 6, -6, 6, 8, 3, 5, 7, -5, 7,
  7, 5, -7, 5, 8, 4, 6, 7, -6, 7, 7, 6, -7, 6, 8, 5, 7, 7, -7, 7, 8, 6, 8, 7,
]);

/** Colors seen, by hash: u32 [2^bits]. */
const cache: usize = memory.data(2048 * 4, 4);
let cacheBits: u32 = 0;
/** The first pixel that is not in the cache yet. */
let uncached: usize = 0;

let start: usize = 0;
let end: usize = 0;
let at: usize = 0;
let width: i32 = 0;
/** First pixel of the row, and its number. */
let rowStart: usize = 0;
let y: i32 = 0;

/** Groups: one, or by tile. Tiles: u32 [..], whose upper 16 bits but 8 are the group's number; groups: u32 [number] address. */
let onlyGroup: usize = 0;
let tiles: usize = 0;
let tileBits: i32 = 0;
let tileColumns: i32 = 0;
let groups: usize = 0;

/** Completes a group whose five codes were read. */
export function completeGroup(group: usize): void {
  let kind = ANY;
  let literal: u32 = 0;
  if (!(load<u32>(group + RED, 4) | load<u32>(group + BLUE, 4) | load<u32>(group + ALPHA, 4))) {
    kind = GREEN_ONLY;
    literal = (onlySymbol(group + ALPHA) << 24) | (onlySymbol(group + RED) << 16) | onlySymbol(group + BLUE);
    if (!load<u32>(group, 4) && onlySymbol(group) < LENGTHS) {
      kind = CONSTANT;
      literal |= onlySymbol(group) << 8;
    }
  }
  store<u32>(group, literal, LITERAL);
  store<u32>(group, kind, KIND);
}

// @ts-ignore: decorator
@inline
function onlySymbol(code: usize): u32 {
  return load<u16>(load<u32>(code)) >> 4;
}

export function isGreenOnly(group: usize): bool {
  return load<u32>(group, KIND) != ANY;
}

/** Begins an image of w×h pixels at `pixels`, behind which lie 16 bytes more. */
export function beginPixels(pixels: usize, w: i32, h: i32, bits: u32, group: usize): void {
  start = at = rowStart = uncached = pixels;
  end = pixels + ((<usize>w * <usize>h) << 2);
  width = w;
  y = 0;
  cacheBits = bits;
  if (bits) memory.fill(cache, 0, 4 << bits);
  onlyGroup = group;
  tileBits = 0;
}

/** Says that its groups are those of tiles. */
export function useTiles(from: usize, bits: i32, columns: i32, byNumber: usize): void {
  tiles = from;
  tileBits = bits;
  tileColumns = columns;
  groups = byNumber;
}

// @ts-ignore: decorator
@inline
function tileAt(x: i32): usize {
  return tiles + (<usize>((y >> tileBits) * tileColumns + (x >> tileBits)) << 2);
}

// @ts-ignore: decorator
@inline
function groupAt(x: i32): usize {
  return load<u32>(groups + ((<usize>(load<u32>(tileAt(x)) >> 8) & 0xffff) << 2));
}

/** Number of extra bits of a length's or distance's symbol, and the number that they are added to. */
// @ts-ignore: decorator
@inline
function extraBits(symbol: u32): u32 {
  return symbol < 4 ? 0 : (symbol - 2) >> 1;
}
// @ts-ignore: decorator
@inline
function base(symbol: u32): u32 {
  return symbol < 4 ? symbol + 1 : ((2 + (symbol & 1)) << ((symbol - 2) >> 1)) + 1;
}

/** Pixels between a copy and where it comes from. */
// @ts-ignore: decorator
@inline
function distanceOf(code: u32): u32 {
  if (code > 120) return code - 120;
  const near = NEAR + ((code - 1) << 1);
  return max(1, <i32>load<i8>(near) + <i32>load<i8>(near, 1) * width);
}

function cacheUntil(place: usize): void {
  const shift = 32 - cacheBits;
  for (; uncached < place; uncached += 4) {
    const pixel = load<u32>(uncached);
    store<u32>(cache + (((pixel * 0x1e35a7bd) >> shift) << 2), pixel);
  }
}

/** Copies `length` pixels to `to`; up to 12 bytes behind them are overwritten, which come later. */
function copyPixels(to: usize, distance: usize, length: usize): void {
  const stop = to + (length << 2);
  const from = to - (distance << 2);
  if (distance >= 4) {
    const back = distance << 2;
    for (; to < stop; to += 16) v128.store(to, v128.load(to - back));
  } else if (distance == 1) {
    for (const pixels = v128.load32_splat(from); to < stop; to += 16) v128.store(to, pixels);
  } else if (distance == 2) {
    for (const pixels = v128.load64_splat(from); to < stop; to += 16) v128.store(to, pixels);
  } else {
    for (; to < stop; to += 4) store<u32>(to, load<u32>(to - 12));
  }
}

/**
 * Decodes about `budget` pixels, or fewer where groups change often: their tables are then far apart in memory, and a look-up
 * may take as long as twenty.
 * @returns MORE, DONE after the last, or what is wrong.
 */
export function decodePixels(budget: usize): i32 {
  let sliceEnd = min(end, at + (budget << 2));
  let position = sharedPosition;
  let to = at;
  let lastGroup: usize = 0;
  while (to < sliceEnd) {
    let group = onlyGroup;
    let stop = sliceEnd;
    if (tileBits) {
      const x = <i32>((to - rowStart) >> 2);
      group = groupAt(x);
      stop = rowStart + (<usize>min(width, ((x >> tileBits) + 1) << tileBits) << 2);
      if (group != lastGroup) sliceEnd -= 4 * CHANGE;
      lastGroup = group;
    }
    const kind = load<u32>(group, KIND);
    if (kind == CONSTANT) {
      for (const pixel = load<u32>(group, LITERAL); to < stop; to += 4) store<u32>(to, pixel);
    }
    const greenTable = load<u32>(group);
    const greenMask = load<u32>(group, 4);
    while (to < stop) {
      let bits = load<u64>(data + <usize>(position >> 3)) >> (position & 7);
      let entry = lookUp(greenTable, greenMask, bits);
      let length: u64 = entry & 15;
      position += length;
      const green = entry >> 4;
      if (green < LENGTHS) {
        if (kind == GREEN_ONLY) {
          store<u32>(to, load<u32>(group, LITERAL) | (green << 8));
        } else {
          bits >>= length;
          entry = lookUp(load<u32>(group, RED), load<u32>(group, RED + 4), bits);
          length = entry & 15;
          position += length;
          bits >>= length;
          let pixel = (green << 8) | ((entry >> 4) << 16);
          entry = lookUp(load<u32>(group, BLUE), load<u32>(group, BLUE + 4), bits);
          length = entry & 15;
          position += length;
          pixel |= entry >> 4;
          const alphaMask = load<u32>(group, ALPHA + 4);
          // Three codes may have taken 45 of the 57 bits.
          bits = alphaMask ? load<u64>(data + <usize>(position >> 3)) >> (position & 7) : 0;
          entry = lookUp(load<u32>(group, ALPHA), alphaMask, bits);
          position += entry & 15;
          store<u32>(to, pixel | ((entry >> 4) << 24));
        }
        to += 4;
        if (position > total) return ENDS_EARLY;
      } else if (green < CACHE) {
        bits >>= length;
        const extra = extraBits(green - LENGTHS);
        const count: usize = base(green - LENGTHS) + (<u32>bits & ((1 << extra) - 1));
        position += extra;
        bits = load<u64>(data + <usize>(position >> 3)) >> (position & 7);
        entry = lookUp(load<u32>(group, DISTANCE), load<u32>(group, DISTANCE + 4), bits);
        length = entry & 15;
        const extraDistance = extraBits(entry >> 4);
        const code = base(entry >> 4) + (<u32>(bits >> length) & ((1 << extraDistance) - 1));
        position += length + extraDistance;
        if (position > total) return ENDS_EARLY;
        const distance: usize = distanceOf(code);
        if (distance > (to - start) >> 2 || count > (end - to) >> 2) return BAD_COPY;
        copyPixels(to, distance, count);
        to += count << 2;
        // They may have left the tile.
        break;
      } else {
        if (position > total) return ENDS_EARLY;
        cacheUntil(to);
        store<u32>(to, load<u32>(cache + ((green - CACHE) << 2)));
        to += 4;
      }
    }
    const rowSize = <usize>width << 2;
    for (; to - rowStart >= rowSize; rowStart += rowSize) y++;
  }
  at = to;
  moveTo(position);
  return to < end ? MORE : DONE;
}

let checked: usize = 0;
let count: usize = 0;
let column: i32 = 0;

/** Begins an image of which only is checked that it can be decoded; then `useTiles` as above. */
export function beginCheck(w: i32, h: i32, group: usize): void {
  checked = 0;
  count = <usize>w * <usize>h;
  column = 0;
  y = 0;
  width = w;
  onlyGroup = group;
  tileBits = 0;
}

/**
 * Checks about `budget` pixels. What they are does not matter, so they are not kept.
 * isBytes: libwebp decodes them as bytes, where the last symbol may lie beyond the data if only it completes the image.
 */
export function checkPixels(budget: usize, isBytes: bool): i32 {
  const stop = min(count, checked + budget);
  while (checked < stop) {
    const group = tileBits ? groupAt(column) : onlyGroup;
    noteEnd();
    const green = readSymbol(group);
    let length: usize = 1;
    if (!isBytes && isPastEnd()) return ENDS_EARLY;
    if (green < LENGTHS) {
      if (!isBytes) {
        readSymbol(group + RED);
        noteEnd();
        readSymbol(group + BLUE);
        readSymbol(group + ALPHA);
      }
    } else if (green < CACHE) {
      length = base(green - LENGTHS) + read(extraBits(green - LENGTHS));
      const symbol = readSymbol(group + DISTANCE);
      noteEnd();
      const distance: usize = distanceOf(base(symbol) + read(extraBits(symbol)));
      if (!isBytes && isPastEnd()) return ENDS_EARLY;
      if (distance > checked || length > count - checked) return BAD_COPY;
    }
    checked += length;
    for (column += <i32>length; column >= width; column -= width) y++;
    if (isPastEnd()) {
      if (isBytes && checked == count) return DONE;
      return ENDS_EARLY;
    }
  }
  return checked < count ? MORE : DONE;
}
