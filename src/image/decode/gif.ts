/**
 * The first frame of a GIF (CompuServe, version 89a), as Pillow shows it: transparency is ignored, or laid on white. What is refused is what
 * Pillow 12.3 refuses (its GifImagePlugin.py and GifDecode.c), whose ways with damaged files are followed where they show.
 */

import type { Slices } from "../slices.js";
import { ascii, broken, checkSize, type ImageFile, type StoredImage, viewOf } from "./file.js";

/** First row and step of the four passes of an interlaced frame. */
const PASSES = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
] as const;

/** Codes have up to 12 bits, and so the table of their strings as many entries. */
const CODE_BITS = 12;
const CODES = 1 << CODE_BITS;
/** Bytes that Pillow reads at once. */
const READ = 65536;
/** Pixels, or bytes of the file, that are done between two yields. */
const STRETCH = 1 << 17;

/** A frame's rows and codes. */
export interface GifFrame {
  /** Left, top, width, height of the frame, inside the picture. */
  readonly frame: readonly [number, number, number, number];
  readonly isInterlaced: boolean;
  readonly codeBits: number;
  /** Start of the blocks of codes. */
  readonly from: number;
}

/** The parts before the pixels of the first frame. */
interface Header extends GifFrame {
  readonly width: number;
  readonly height: number;
  /** The index of what no frame covers. */
  readonly background: number;
  /** RGB of 256 colours. */
  readonly colours: Uint8Array;
  /** The index that is not drawn, if there is one, and how the frame goes before the next one is drawn. */
  readonly transparency: number | undefined;
  readonly disposal: number;
}

/** @throws Error: one sentence, for a file that is truncated, corrupt or too large. */
export function* readGif(file: ImageFile): Slices<StoredImage> {
  return yield* drawFirst(file, yield* readHeader(file));
}

/** The picture with the first frame on it. */
export function* drawFirst(file: ImageFile, header: Header): Slices<StoredImage> {
  const { width, height, background, colours } = header;
  const indices = yield* readCodes(file, header);

  const data = new Uint8Array(3 * width * height);
  const colour = colours.subarray(3 * background, 3 * background + 3);
  if (indices.length < width * height && colour.some((value) => value !== 0)) {
    for (let i = 0; i < data.length; i++) {
      data[i] = colour[i % 3]!;
      if (i % STRETCH === 0) yield;
    }
  }
  yield* drawIndices(data, width, header, indices, colours);
  return { data, width, height, orientation: 1 };
}

/** Draws a frame on RGB of so many columns, but for the index that is transparent. */
export function* drawIndices(
  data: Uint8Array,
  width: number,
  { frame: [left, top, columns, rows], isInterlaced }: GifFrame,
  indices: Uint8Array,
  colours: Uint8Array,
  transparency?: number,
): Slices<void> {
  let done = 0;
  let from = 0;
  for (const [first, step] of isInterlaced ? PASSES : ([[0, 1]] as const)) {
    for (let y = first; y < rows; y += step) {
      let to = 3 * ((top + y) * width + left);
      for (let x = 0; x < columns; ) {
        const end = Math.min(columns, x + STRETCH);
        for (done += end - x; x < end; x++, to += 3) {
          const index = indices[from++]!;
          if (index === transparency) continue;
          const at = 3 * index;
          data[to] = colours[at]!;
          data[to + 1] = colours[at + 1]!;
          data[to + 2] = colours[at + 2]!;
        }
        if (done < STRETCH) continue;
        done = 0;
        yield;
      }
    }
  }
}

export const truncated = (file: ImageFile) =>
  broken(file, `ends before its last row; ${file.bytes.length.toLocaleString("en-US")} bytes were read`);

export function* readHeader(file: ImageFile): Slices<Header> {
  const { bytes } = file;
  const view = viewOf(bytes);
  if (bytes.length < 13) throw truncated(file);
  let at = 13;
  const readPalette = (flags: number) => {
    if (!(flags & 128)) return undefined;
    const size = 3 << ((flags & 7) + 1);
    at += size;
    if (at > bytes.length) throw truncated(file);
    return bytes.subarray(at - size, at);
  };
  /** The next block; undefined for one of no bytes, which ends a sequence. */
  const readBlock = () => {
    const length = bytes[at++] ?? 0;
    if (length === 0) return undefined;
    at += length;
    return bytes.subarray(at - length, at);
  };
  const skipBlocks = () => {
    while (readBlock()?.length);
  };

  let palette = readPalette(bytes[10]!);
  let background = 0;
  let isTransparent = false;
  let disposal = 0;
  for (let seen = at; bytes[at] !== 0x2c; ) {
    if (at >= bytes.length) throw truncated(file);
    if (bytes[at] === 0x3b) throw broken(file, "is a GIF without a frame");
    if (at - seen > STRETCH) {
      seen = at;
      yield;
    }
    const isExtension = bytes[at++] === 0x21;
    if (!isExtension) continue;
    const kind = bytes[at++];
    const block = readBlock();
    if (kind === 0xf9 && block) {
      const needed = block[0]! & 1 ? 4 : 3;
      if (block.length < needed)
        throw broken(file, `has a GIF control block of ${block.length} bytes; ${needed} are needed`);
      disposal = (block[0]! >> 2) & 7 || disposal;
      if (block[0]! & 1) {
        background = block[3]!;
        isTransparent = true;
      }
    }
    // Pillow goes on after an empty sequence as if it had not ended, and after the name of this extension; not so for a comment.
    if (kind === 0xff && block && ascii(block, 0, 11) === "NETSCAPE2.0") readBlock();
    if (kind !== 0xfe || block) skipBlocks();
  }
  if (at + 10 > bytes.length) throw truncated(file);
  const [left, top, columns, rows] = [1, 3, 5, 7].map((i) => view.getUint16(at + i, true)) as [
    number,
    number,
    number,
    number,
  ];
  const flags = bytes[at + 9]!;
  at += 10;
  const own = readPalette(flags);
  // Pillow takes one of gray levels for none.
  if (own && !isGray(own)) palette = own;
  const codeBits = bytes[at++];
  if (codeBits === undefined) throw truncated(file);
  const width = Math.max(view.getUint16(6, true), left + columns);
  const height = Math.max(view.getUint16(8, true), top + rows);
  checkSize(file, width, height);
  checkSize(file, columns, rows);
  if (codeBits > CODE_BITS) throw broken(file, `has a GIF code size of ${codeBits} bits; at most 12 are allowed`);
  const isInterlaced = (flags & 64) !== 0;
  const colours = expandPalette(palette);
  if (file.alpha === "white" && isTransparent) colours.fill(255, 3 * background, 3 * background + 3);
  const transparency = isTransparent ? background : undefined;
  const frame = [left, top, columns, rows] as const;
  return { width, height, frame, isInterlaced, background, colours, transparency, disposal, codeBits, from: at };
}

export const isGray = (palette: Uint8Array) => palette.every((value, i) => value === Math.floor(i / 3));

/** 256 colours: those that are missing are black; without a palette, or with one that says the same, all are gray. */
export function expandPalette(palette: Uint8Array | undefined): Uint8Array {
  const colours = new Uint8Array(768);
  if (!palette || isGray(palette)) return colours.map((_, i) => Math.floor(i / 3));
  colours.set(palette);
  return colours;
}

/** The frame's indices, row by row as they are stored: Lempel-Ziv-Welch with codes of growing length. */
export function* readCodes(file: ImageFile, { frame, codeBits, from }: GifFrame): Slices<Uint8Array> {
  const { bytes } = file;
  const [, , columns, rows] = frame;
  // A code of at least two bits makes at most 4,096 pixels.
  if ((bytes.length - from) * 4 * CODES < columns * rows) throw truncated(file);
  const out = new Uint8Array(columns * rows);
  const clear = 1 << codeBits;
  // Each code stands for a stretch of what has been written: its start and length.
  const starts = new Uint32Array(CODES);
  const lengths = new Uint16Array(CODES);
  let next = clear + 2;
  let bits = codeBits + 1;
  let held = 0;
  let heldBits = 0;
  let to = 0;
  // The last code, and the start of its stretch; -1 after a clear code.
  let previous = -1;
  let previousStart = 0;
  let at = from;
  let blockEnd = from;
  // Up to where Pillow has read: it begins a block when it has all of it.
  let readEnd = from + READ;
  let seen = 0;
  while (to < out.length) {
    while (heldBits < bits) {
      if (at === blockEnd) {
        // A block of no bytes ends the codes, but Pillow passes over it while pixels are missing.
        if (at >= bytes.length) throw truncated(file);
        blockEnd = at + 1 + bytes[at]!;
        if (blockEnd > bytes.length) throw truncated(file);
        while (readEnd < blockEnd) readEnd += READ;
        at++;
      } else {
        held |= bytes[at++]! << heldBits;
        heldBits += 8;
      }
    }
    if (at + to - seen > STRETCH) {
      seen = at + to;
      yield;
    }
    const code = held & ((1 << bits) - 1);
    held >>>= bits;
    heldBits -= bits;
    if (code === clear) {
      // Nothing changes where no code came since the last one.
      if (previous < 0) continue;
      next = clear + 2;
      bits = codeBits + 1;
      previous = -1;
      continue;
    }
    if (code === clear + 1) {
      // The end; where there is more to read, Pillow goes on.
      if (readEnd >= bytes.length) throw truncated(file);
      readEnd += READ;
      continue;
    }
    const start = to;
    if (previous < 0) {
      if (code > clear) throw broken(file, `has a GIF code ${code} that stands for nothing`);
      out[to++] = code;
    } else {
      // The next code's stretch is the previous one and the index after it, which this code is about to write.
      const isNext = code === next && (next < CODES || previous < CODES);
      if (code > next || (code === next && !isNext))
        throw broken(file, `has a GIF code ${code} that stands for nothing`);
      if (next < CODES) {
        starts[next] = previousStart;
        lengths[next] = start - previousStart + 1;
      }
      if (code < clear) out[to++] = code;
      else {
        const length = isNext ? start - previousStart + 1 : lengths[code]!;
        const source = isNext ? previousStart : starts[code]!;
        const end = Math.min(to + length, out.length);
        if (length > 32 && source + length <= to) {
          out.copyWithin(to, source, source + (end - to));
          to = end;
        } else for (let i = source; to < end; ) out[to++] = out[i++]!;
      }
      if (next < CODES) {
        if (next === (1 << bits) - 1 && bits < CODE_BITS) bits++;
        next++;
      }
    }
    previous = code;
    previousStart = start;
  }
  return out;
}
