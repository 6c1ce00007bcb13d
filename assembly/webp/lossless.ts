// An image of VP8L, or the alpha of a lossy one (the specification of WebP lossless), in steps of about a millisecond.
//
// The stream has transforms, of which two have small images as their data, then the image: codes, of which there may be 65,536
// groups, and pixels. All are read before the first row is written, since a pixel may be a copy of any before it.
// The pixels lie at the end of a piece of four bytes a pixel, at whose beginning RGB may be written: it never passes them.
import { beginBits, isPastEnd, moveTo, read } from "./bits";
import { addCross, addGreen, addPrediction, lookUpColors } from "./inverse";
import { allot, allotZeros, mark, release } from "./memory";
import {
  ALPHA,
  beginCheck,
  beginPixels,
  BLUE,
  checkPixels,
  completeGroup,
  decodePixels,
  DISTANCE,
  GROUP,
  isGreenOnly,
  RED,
  useTiles,
} from "./pixels";
import { readCode } from "./prefix";
import { unfilterAlpha } from "./alpha";
import { dropAlpha, keepAlpha, layOnWhite, layRowOnWhite } from "./rgb";
import { BAD_CACHE, BAD_TRANSFORM, DONE, ENDS_EARLY, MORE, TOO_LARGE } from "./status";

/** Work of a step: pixels decoded, checked or written, tiles looked at, and symbols of codes read. */
const PIXELS: usize = 1 << 16;
const TILES: usize = 1 << 19;
const SYMBOLS: i32 = 1 << 17;

const PREDICTOR: i32 = 0;
const CROSS_COLOR: i32 = 1;
const SUBTRACT_GREEN: i32 = 2;
const COLOR_INDEXING: i32 = 3;
/** Not a transform, but a small image as well: the group of codes of each tile. */
const ENTROPY: i32 = 4;

/** Kinds of steps. */
const READ_TRANSFORM: i32 = 0;
const DECODE_SMALL: i32 = 1;
const COUNT_GROUPS: i32 = 2;
const READ_GROUPS: i32 = 3;
const DECODE: i32 = 4;
const WRITE: i32 = 5;
const WRITE_ALPHA: i32 = 6;
let stage: i32 = 0;

/** Transforms in their order: u32 [4][type, bits, width before, data]. */
const TRANSFORMS: usize = memory.data(4 * 16, 4);
let transforms: usize = 0;
let seen: i32 = 0;

let width: i32 = 0;
let height: i32 = 0;
/** After a transform that puts several pixels in one. */
let packedWidth: i32 = 0;
/** Nothing of an image whose pixels do not matter. */
let out: usize = 0;
let outStride: usize = 0;
let pixelsEnd: usize = 0;
let row: i32 = 0;
/** Results that are made of the pixels: RGB, that laid on white, their alpha alone, or the alpha by which the RGB that is there is laid on white. */
let use: i32 = 0;
const DROP: i32 = 0;
const ON_WHITE: i32 = 1;
const ALPHA_ALONE: i32 = 2;
const AS_ALPHA: i32 = 3;
/** For alpha: the filter, the row, and where it lies as it is. */
let filter: i32 = 0;
let alphas: usize = 0;
let raw: usize = 0;
let line: usize = 0;
let above: usize = 0;

/** The small image that is being decoded: what for, its pixels, and where the memory behind them begins. */
let smallType: i32 = 0;
let small: usize = 0;
let smallCount: usize = 0;
let smallEnd: usize = 0;
const smallGroup: usize = memory.data(48, 4);

let cacheBits: u32 = 0;
let tiles: usize = 0;
let tileBits: i32 = 0;
let tileCount: usize = 0;
/** Address of each group by its number: u32 [65536]; 1 before it is read, 0 if it is not used. */
let groups: usize = 0;
let groupCount: i32 = 0;
let nextTile: usize = 0;
let nextGroup: i32 = 0;
/** Every group in use has one symbol each of red, blue and alpha. */
let isGreenOnlyImage: bool = false;

// @ts-ignore: decorator
@inline
function tilesOf(size: i32, bits: i32): i32 {
  return (size + (1 << bits) - 1) >> bits;
}

/**
 * Begins the alpha of a w×h image in the `length` bytes at `data`, of which 16 more may be written: only whether it can be
 * decoded is told.
 */
export function alpha_begin(data: usize, length: usize, w: i32, h: i32): i32 {
  beginBits(data, length);
  width = packedWidth = w;
  height = h;
  out = 0;
  transforms = TRANSFORMS;
  seen = 0;
  stage = READ_TRANSFORM;
  return MORE;
}

/**
 * Begins an image, in `length` bytes at `data`, of which the first five were checked and 16 more may be written. Its RGB (0), laid on
 * white (1), or its alpha, a byte a pixel (2), goes to rows at `rgb`, its pixels before `end`; behind them 16 bytes may be written.
 */
export function lossless_begin(
  data: usize,
  length: usize,
  w: i32,
  h: i32,
  rgb: usize,
  stride: usize,
  end: usize,
  kind: i32,
): i32 {
  alpha_begin(data, length, w, h);
  moveTo(5 << 3);
  use = kind;
  return beginRows(rgb, stride, end);
}

/**
 * Begins to lay RGB, which is there, on white, by alpha that has been checked: an image without a header, whose pixels go before
 * `end`, or, if that is 0, bytes as they are.
 */
export function alpha_blend_begin(
  data: usize,
  length: usize,
  w: i32,
  h: i32,
  rgb: usize,
  stride: usize,
  end: usize,
  kind: i32,
): i32 {
  alpha_begin(data, length, w, h);
  use = AS_ALPHA;
  filter = kind;
  raw = data;
  alphas = allot(<usize>w);
  if (!alphas) return TOO_LARGE;
  if (!end) stage = WRITE_ALPHA;
  return beginRows(rgb, stride, end);
}

function beginRows(rgb: usize, stride: usize, end: usize): i32 {
  out = rgb;
  outStride = stride;
  pixelsEnd = end;
  row = 0;
  line = allot((<usize>width << 2) + 16);
  above = allot((<usize>width << 2) + 32);
  return above ? MORE : TOO_LARGE;
}

/** @returns MORE, DONE after the last pixel, or what is wrong. */
export function lossless_step(): i32 {
  if (stage == READ_TRANSFORM) return readTransform();
  if (stage == DECODE_SMALL) {
    const status = decodePixels(PIXELS);
    return status == DONE ? endSmall() : status;
  }
  if (stage == COUNT_GROUPS) return countGroups();
  if (stage == READ_GROUPS) return readGroups();
  if (stage == WRITE) return writeRows();
  if (stage == WRITE_ALPHA) return writeAlpha();
  if (out == 0) {
    const isIndexed = transforms == TRANSFORMS + 16 && load<i32>(TRANSFORMS) == COLOR_INDEXING;
    return checkPixels(PIXELS >> 2, isIndexed && !cacheBits && isGreenOnlyImage);
  }
  const status = decodePixels(PIXELS);
  if (status != DONE) return status;
  stage = WRITE;
  return MORE;
}

function readTransform(): i32 {
  if (!read(1)) return beginImage();
  const type = read(2);
  if (seen & (1 << type)) return isPastEnd() ? ENDS_EARLY : BAD_TRANSFORM;
  seen |= 1 << type;
  store<i32>(transforms, type);
  store<i32>(transforms, packedWidth, 8);
  if (type == SUBTRACT_GREEN) {
    transforms += 16;
    return MORE;
  }
  if (type == COLOR_INDEXING) {
    const colors = 1 + read(8);
    const bits = colors > 16 ? 0 : colors > 4 ? 1 : colors > 2 ? 2 : 3;
    store<i32>(transforms, bits, 4);
    packedWidth = tilesOf(packedWidth, bits);
    return beginSmall(type, colors, 1, 256);
  }
  const bits = 2 + read(3);
  store<i32>(transforms, bits, 4);
  const columns = tilesOf(packedWidth, bits);
  const rows = tilesOf(height, bits);
  return beginSmall(type, columns, rows, 0);
}

/** Reads the bits of the color cache. */
function readCacheBits(): i32 {
  cacheBits = 0;
  if (!read(1)) return MORE;
  cacheBits = read(4);
  return cacheBits < 1 || cacheBits > 11 ? (isPastEnd() ? ENDS_EARLY : BAD_CACHE) : MORE;
}

/** Begins a small image of w×h pixels, with room for `least`. */
function beginSmall(type: i32, w: i32, h: i32, least: usize): i32 {
  smallType = type;
  smallCount = <usize>w * <usize>h;
  small = allot((max(smallCount, least) << 2) + 16);
  if (!small) return TOO_LARGE;
  smallEnd = mark();
  const keptBits = cacheBits;
  let status = readCacheBits();
  if (status < 0) return status;
  status = readGroup(smallGroup);
  if (status < 0) return status;
  beginPixels(small, w, h, cacheBits, smallGroup);
  cacheBits = keptBits;
  stage = DECODE_SMALL;
  return MORE;
}

/** Reads the five codes of a group, to `group`, or none. */
function readGroup(group: usize): i32 {
  if (isPastEnd()) return ENDS_EARLY;
  let status = readCode(256 + 24 + (cacheBits ? 1 << cacheBits : 0), group);
  if (status >= 0) status = readCode(256, group ? group + RED : 0);
  if (status >= 0) status = readCode(256, group ? group + BLUE : 0);
  if (status >= 0) status = readCode(256, group ? group + ALPHA : 0);
  if (status >= 0) status = readCode(40, group ? group + DISTANCE : 0);
  if (status >= 0 && group) completeGroup(group);
  return status;
}

function endSmall(): i32 {
  release(smallEnd);
  if (smallType == ENTROPY) {
    tiles = small;
    tileCount = smallCount;
    nextTile = 0;
    groupCount = 1;
    groups = allotZeros(65536 * 4);
    if (!groups) return TOO_LARGE;
    stage = COUNT_GROUPS;
    return MORE;
  }
  if (smallType == COLOR_INDEXING) {
    // Each color is written as its difference from the one before; behind the last there is transparent black.
    const end = small + (smallCount << 2);
    for (let color = small + 4; color < end; color += 4) {
      v128.store32_lane(color, i8x16.add(v128.load32_zero(color), v128.load32_zero(color - 4)), 0);
    }
    memory.fill(end, 0, (256 - smallCount) << 2);
  }
  store<u32>(transforms, <u32>small, 12);
  transforms += 16;
  stage = READ_TRANSFORM;
  return MORE;
}

/** Begins the image itself. */
function beginImage(): i32 {
  const status = readCacheBits();
  if (status < 0) return status;
  isGreenOnlyImage = true;
  nextGroup = 0;
  if (read(1)) {
    tileBits = 2 + read(3);
    return beginSmall(ENTROPY, tilesOf(packedWidth, tileBits), tilesOf(height, tileBits), 0);
  }
  tileBits = 0;
  groupCount = 1;
  groups = smallGroup;
  stage = READ_GROUPS;
  return MORE;
}

/** Finds the groups that are used. */
function countGroups(): i32 {
  const stop = min(tileCount, nextTile + TILES);
  for (; nextTile < stop; nextTile++) {
    const group = (load<u32>(tiles + (nextTile << 2)) >> 8) & 0xffff;
    store<u32>(groups + (<usize>group << 2), 1);
    groupCount = max<i32>(groupCount, group + 1);
  }
  if (nextTile == tileCount) stage = READ_GROUPS;
  return MORE;
}

/** Reads groups; those that are not used, too, as they must be right. */
function readGroups(): i32 {
  const symbols = 1088 + (cacheBits ? 1 << cacheBits : 0);
  for (let work = 0; nextGroup < groupCount && work < SYMBOLS; nextGroup++, work += symbols) {
    const place = groups + (<usize>nextGroup << 2);
    let group: usize = 0;
    if (!tileBits) group = smallGroup;
    else if (load<u32>(place)) {
      group = allot(GROUP);
      if (!group) return TOO_LARGE;
      store<u32>(place, <u32>group);
    }
    const status = readGroup(group);
    if (status < 0) return status;
    if (group && !isGreenOnly(group)) isGreenOnlyImage = false;
  }
  if (nextGroup < groupCount) return MORE;
  stage = DECODE;
  const pixels = pixelsEnd - ((<usize>packedWidth * <usize>height) << 2);
  if (out) beginPixels(pixels, packedWidth, height, cacheBits, smallGroup);
  else beginCheck(packedWidth, height, smallGroup);
  if (tileBits) useTiles(tiles, tileBits, tilesOf(packedWidth, tileBits), groups);
  return MORE;
}

/** Inverts the transforms of some rows, the last that was read first, and writes their RGB. */
function writeRows(): i32 {
  const size = (<usize>packedWidth) << 2;
  const stop = min(height, row + <i32>(PIXELS / <usize>width) + 1);
  for (; row < stop; row++) {
    let pixels = pixelsEnd - <usize>(height - row) * size;
    if (transforms > TRANSFORMS) {
      memory.copy(line, pixels, size);
      pixels = line;
    }
    for (let transform = transforms; transform > TRANSFORMS; ) {
      transform -= 16;
      const type = load<i32>(transform);
      const bits = load<i32>(transform, 4);
      const before = load<i32>(transform, 8);
      const data: usize = load<u32>(transform, 12);
      const rowOfTiles = data + (<usize>((row >> bits) * tilesOf(before, bits)) << 2);
      if (type == PREDICTOR) addPrediction(line, above, before, row, rowOfTiles, bits);
      else if (type == CROSS_COLOR) addCross(line, before, rowOfTiles, bits);
      else if (type == SUBTRACT_GREEN) addGreen(line, before);
      else lookUpColors(line, before, data, bits);
    }
    const place = out + <usize>row * outStride;
    if (use == DROP) dropAlpha(pixels, place, width);
    else if (use == ON_WHITE) layOnWhite(pixels, place, width);
    else if (use == ALPHA_ALONE) keepAlpha(pixels, place, width);
    else blendRow(pixels + 1, 4, place);
  }
  return row == height ? DONE : MORE;
}

/** The same of alpha that is not compressed. */
function writeAlpha(): i32 {
  const stop = min(height, row + <i32>(PIXELS / <usize>width) + 1);
  for (; row < stop; row++) blendRow(raw + <usize>row * width, 1, out + <usize>row * outStride);
  return row == height ? DONE : MORE;
}

function blendRow(values: usize, step: usize, place: usize): void {
  unfilterAlpha(values, step, alphas, width, filter, row == 0);
  layRowOnWhite(place, alphas, width);
}
