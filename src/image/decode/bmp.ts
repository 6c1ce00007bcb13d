/**
 * BMP of Windows and OS/2 (Microsoft, "Bitmap Storage"; Murray and vanRyper, Encyclopedia of Graphics File Formats): 1, 4, 8, 16, 24
 * and 32 bits, run lengths, masks, rows from the bottom up or from the top down. As Pillow 12.3 reads it (BmpImagePlugin.py),
 * also where that is not what the format says: what it refuses is refused, and alpha is dropped.
 */

import type { Slices } from "../slices.js";
import { broken, checkSize, type ImageFile, type StoredImage, viewOf } from "./file.js";

/** Pixels, or bytes of run lengths, between two yields. */
const STRETCH = 1 << 17;

const [NONE, RLE8, RLE4, MASKS] = [0, 1, 2, 3] as const;
/** Sizes of headers: OS/2 1, Windows 3, that with masks and with one of alpha, OS/2 2, Windows 4 and 5. */
const HEADERS = [12, 40, 52, 56, 64, 108, 124];

/** How the pixels of a row lie. */
type Layout =
  /** As indices of so many bits, the highest first; RGB of 256 colors. */
  | { readonly bits: 1 | 4 | 8; readonly colors: Uint8Array }
  /** As 16 bits: 5 of blue, then so many of green, then 5 of red. */
  | { readonly bits: 16; readonly greenBits: 5 | 6 }
  /** As bytes, of which these are red, green and blue. */
  | { readonly bits: 24 | 32; readonly places: readonly [number, number, number] };

/** By the masks of red, green, blue and alpha, of so many bits: those that Pillow knows. */
const LAYOUTS: Readonly<Record<string, Layout>> = {
  "16: 7c00 3e0 1f": { bits: 16, greenBits: 5 },
  "16: f800 7e0 1f": { bits: 16, greenBits: 6 },
  "24: ff0000 ff00 ff": { bits: 24, places: [2, 1, 0] },
  "32: ff0000 ff00 ff 0": { bits: 32, places: [2, 1, 0] },
  "32: ff000000 ff0000 ff00 0": { bits: 32, places: [3, 2, 1] },
  "32: ff000000 ff00 ff 0": { bits: 32, places: [3, 1, 0] },
  "32: ff000000 ff0000 ff00 ff": { bits: 32, places: [3, 2, 1] },
  "32: ff ff00 ff0000 ff000000": { bits: 32, places: [0, 1, 2] },
  "32: ff0000 ff00 ff ff000000": { bits: 32, places: [2, 1, 0] },
  "32: ff000000 ff00 ff ff0000": { bits: 32, places: [3, 1, 0] },
  "32: 0 0 0 0": { bits: 32, places: [2, 1, 0] },
};

interface Header {
  readonly width: number;
  readonly height: number;
  readonly isTopDown: boolean;
  readonly compression: number;
  readonly layout: Layout;
  /** Bytes from one row to the next. */
  readonly stride: number;
  /** Where the pixels begin. */
  readonly from: number;
}

/** @throws Error: one sentence, for a file that is truncated, corrupt, too large or of a kind that is not read. */
export function* readBmp(file: ImageFile): Slices<StoredImage> {
  const header = readHeader(file);
  const { width, height, isTopDown, compression } = header;
  let { layout, stride } = header;
  let bytes = file.bytes.subarray(header.from);
  if (compression === RLE8 || compression === RLE4) {
    if (!("colors" in layout) || layout.bits === 1)
      throw broken(file, "is a BMP with run lengths that are not of a palette");
    layout = { ...layout, bits: 8 };
    stride = width;
    bytes = yield* unpackRuns(file, header);
  }
  const rowBytes = Math.ceil((width * layout.bits) / 8);
  if (stride < rowBytes) throw broken(file, "is a BMP whose gray palette asks for bytes, and its rows are of bits");
  // The last row may end without what makes it a multiple of four bytes.
  const needed = stride * (height - 1) + rowBytes;
  if (bytes.length < needed) {
    const [has, needs] = [bytes.length, needed].map((n) => n.toLocaleString("en-US"));
    throw broken(file, `ends before its last row: ${has} bytes of BMP pixels cannot be ${needs}`);
  }
  const data = new Uint8Array(3 * width * height);
  for (let y = 0, done = 0; y < height; y++, done += width) {
    if (done >= STRETCH) {
      yield;
      done = 0;
    }
    const to = 3 * width * (isTopDown ? y : height - 1 - y);
    readRow(bytes.subarray(stride * y, stride * y + rowBytes), layout, data.subarray(to, to + 3 * width));
  }
  return { data, width, height, orientation: 1 };
}

function readHeader(file: ImageFile): Header {
  const { bytes } = file;
  const view = viewOf(bytes);
  const size = bytes.length < 18 ? 0 : view.getUint32(14, true);
  if (bytes.length < 18 || (HEADERS.includes(size) && bytes.length < 14 + size)) {
    throw broken(file, `ends inside its BMP header; ${bytes.length} bytes were read`);
  }
  if (!HEADERS.includes(size)) {
    throw broken(file, `has a BMP header of ${size.toLocaleString("en-US")} bytes; known are ${HEADERS.join(", ")}`);
  }
  const isOs2 = size === 12;
  // Other negative heights are very large ones, as in Pillow.
  const isTopDown = !isOs2 && bytes[25] === 0xff;
  const width = isOs2 ? view.getUint16(18, true) : view.getUint32(18, true);
  const height = isOs2 ? view.getUint16(20, true) : isTopDown ? -view.getInt32(22, true) : view.getUint32(22, true);
  const bits = view.getUint16(isOs2 ? 24 : 28, true);
  const compression = isOs2 ? NONE : view.getUint32(30, true);
  checkSize(file, width, height);
  if (compression > MASKS) throw broken(file, `is a BMP of compression ${compression}; 0 to 3 are read`);

  const colors = (isOs2 ? 0 : view.getUint32(46, true)) || 2 ** bits;
  const entry = isOs2 ? 3 : 4;
  const end = 14 + size;
  const claimed = view.getUint32(10, true);
  const rest = { width, height, isTopDown, compression, stride: ((width * bits + 31) >>> 3) & ~3 };
  if (bits === 1 || bits === 4 || bits === 8) {
    if (compression === MASKS) throw broken(file, `is a BMP of ${bits} bits with masks; these have 16, 24 or 32`);
    if (colors > 65536)
      throw broken(file, `is a BMP of ${colors.toLocaleString("en-US")} colors; at most 256 are read`);
    const palette = bytes.subarray(end, end + entry * colors);
    // Some say that the pixels begin where the palette does.
    const from = claimed === end ? end + entry * colors : claimed || end + palette.length;
    return { ...rest, layout: withPalette(file, bits, palette, entry, colors), from };
  }
  let masks = { 16: "7c00 3e0 1f", 24: "ff0000 ff00 ff", 32: "ff0000 ff00 ff 0" }[bits];
  let from = end;
  if (compression === MASKS) {
    // Behind a header that has none they lie where a longer one has them.
    from = Math.max(end, 66);
    if (bytes.length < from) throw broken(file, `ends inside its BMP masks; ${bytes.length} bytes were read`);
    const found = [54, 58, 62].map((at) => view.getUint32(at, true));
    if (bits === 32) found.push(size >= 56 ? view.getUint32(66, true) : 0);
    masks = found.map((mask) => mask.toString(16)).join(" ");
  }
  const layout = LAYOUTS[`${bits}: ${masks}`];
  if (!layout) {
    const how = masks ? ` with masks of ${masks}` : "";
    throw broken(file, `is a BMP of ${bits} bits${how}, which is not read`);
  }
  return { ...rest, layout, from: claimed || from };
}

/** A palette that is all gray in its order is none: indices are then gray, of 8 bits, or of one if there are two colors. */
function withPalette(file: ImageFile, bits: 1 | 4 | 8, palette: Uint8Array, entry: number, count: number): Layout {
  const colors = new Uint8Array(768);
  let isGray = palette.length >= entry * (count - 1) + 3;
  for (let i = 0; i < count && i < palette.length / entry; i++) {
    const [blue, green, red] = palette.subarray(entry * i, entry * i + 3);
    const gray = count === 2 ? 255 * i : i & 255;
    if (red !== gray || green !== gray || blue !== gray) isGray = false;
  }
  if (isGray && count === 2) return { bits: 1, colors: colors.fill(255, 3, 6) };
  if (isGray) return { bits: 8, colors: colors.map((_, i) => Math.floor(i / 3)) };
  const entries = Math.floor(palette.length / entry);
  if (entries > 256) throw broken(file, `is a BMP of ${entries.toLocaleString("en-US")} colors; at most 256 are read`);
  for (let i = 0; i < entries; i++) {
    const [blue = 0, green = 0, red = 0] = palette.subarray(entry * i, entry * i + 3);
    colors.set([red, green, blue], 3 * i);
  }
  return { bits, colors };
}

function readRow(row: Uint8Array, layout: Layout, rgb: Uint8Array): void {
  if ("colors" in layout) {
    const { bits, colors } = layout;
    const mask = (1 << bits) - 1;
    for (let i = 0, bit = 0; i < rgb.length; i += 3, bit += bits) {
      const color = 3 * ((row[bit >> 3]! >> (8 - bits - (bit & 7))) & mask);
      rgb[i] = colors[color]!;
      rgb[i + 1] = colors[color + 1]!;
      rgb[i + 2] = colors[color + 2]!;
    }
  } else if ("greenBits" in layout) {
    const greens = (1 << layout.greenBits) - 1;
    for (let i = 0, at = 0; i < rgb.length; i += 3, at += 2) {
      const pixel = row[at]! | (row[at + 1]! << 8);
      rgb[i] = (255 * ((pixel >> (5 + layout.greenBits)) & 31)) / 31;
      rgb[i + 1] = (255 * ((pixel >> 5) & greens)) / greens;
      rgb[i + 2] = (255 * (pixel & 31)) / 31;
    }
  } else {
    const [red, green, blue] = layout.places;
    for (let i = 0, at = 0; i < rgb.length; i += 3, at += layout.bits >> 3) {
      rgb[i] = row[at + red]!;
      rgb[i + 1] = row[at + green]!;
      rgb[i + 2] = row[at + blue]!;
    }
  }
}

/** The indices of run lengths, a byte each. */
function* unpackRuns(file: ImageFile, { width, height, compression, from }: Header): Slices<Uint8Array> {
  const { bytes } = file;
  const isNibbles = compression === RLE4;
  const indices = new Uint8Array(width * height);
  // The place in the row, which pixels that are given one by one may pass.
  let x = 0;
  let to = 0;
  let at = from;
  for (let next = at + STRETCH; to < indices.length && at + 1 < bytes.length; ) {
    if (at >= next) {
      yield;
      next = at + STRETCH;
    }
    const [count, value] = [bytes[at]!, bytes[at + 1]!];
    at += 2;
    if (count > 0) {
      const run = Math.min(count, Math.max(0, width - x));
      if (!isNibbles) indices.fill(value, to, to + run);
      else for (let i = 0; i < run; i++) indices[to + i] = i % 2 === 0 ? value >> 4 : value & 15;
      to += run;
      x += run;
    } else if (value === 0) {
      to = Math.ceil(to / width) * width;
      x = 0;
    } else if (value === 1) {
      break;
    } else if (value === 2) {
      if (at + 1 >= bytes.length) break;
      to += bytes[at]! + bytes[at + 1]! * width;
      x = to % width;
      at += 2;
    } else {
      // Of an odd number of nibbles Pillow leaves out the last.
      const length = isNibbles ? value >> 1 : value;
      const given = bytes.subarray(at, at + length);
      for (const byte of given) {
        if (isNibbles) indices[to++] = byte >> 4;
        indices[to++] = isNibbles ? byte & 15 : byte;
      }
      at += given.length;
      if (given.length < length) break;
      x += value;
      // To an even place in the file.
      at += at & 1;
    }
  }
  return indices.subarray(0, to);
}
