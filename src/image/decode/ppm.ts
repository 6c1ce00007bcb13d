/**
 * PBM, PGM and PPM (netpbm's P1 to P6): bits, gray and RGB, as text or as bytes, as Pillow 12.3 reads them (PpmImagePlugin.py), also
 * where that is not what netpbm says: what it refuses is refused. Gray of more than 8 bits becomes its upper 8, where Pillow saturates.
 */

import type { Slices } from "../slices.js";
import { broken, checkSize, type ImageFile, type StoredImage } from "./file.js";

/** Pixels, or bytes of text, between two yields. */
const STRETCH = 1 << 16;
/** Pillow reads text in blocks of so many bytes, and looks at all of a block. */
const BLOCK = 1 << 20;
const LONGEST_TOKEN = 10;
const [TAB, LINE_FEED, RETURN, SPACE, COMMENT, ZERO, NINE] = [9, 10, 13, 32, 35, 48, 57] as const;

const isSpace = (byte: number) => byte === SPACE || (byte >= TAB && byte <= RETURN);
const isLineEnd = (byte: number) => byte === LINE_FEED || byte === RETURN;

interface Header {
  readonly width: number;
  readonly height: number;
  /** Samples of a pixel: of bits 1, too. */
  readonly channels: 1 | 3;
  readonly isText: boolean;
  /** The largest sample, which is white; 1 of bits. */
  readonly most: number;
  readonly isBits: boolean;
  /** Where the samples begin. */
  readonly from: number;
}

/** @throws Error: one sentence, for a file that is truncated, corrupt or too large. */
export function* readPpm(file: ImageFile): Slices<StoredImage> {
  const header = readHeader(file);
  const { width, height, channels, isText, most, isBits, from } = header;
  checkSize(file, width, height);
  const count = channels * width * height;
  const size = { width, height, orientation: 1 };
  const rest = file.bytes.length - from;
  // A sample of text takes a byte at least.
  const needed = isText ? count : isBits ? Math.ceil(width / 8) * height : count * (most > 255 ? 2 : 1);
  if (rest < needed) throw truncated(file, rest, needed);
  if (!isText && channels === 3 && most === 255) return { ...size, data: file.bytes.subarray(from, from + count) };
  const data = new Uint8Array(3 * width * height);
  if (isText) yield* isBits ? readBits(file, header, data) : readNumbers(file, header, data);
  else if (isBits) yield* unpackBits(file, header, data);
  else yield* readSamples(file, header, data);
  return { ...size, data };
}

function truncated(file: ImageFile, found: number, needed: number): Error {
  const [has, needs] = [found, needed].map((n) => n.toLocaleString("en-US"));
  return broken(file, `ends before its last row: ${has} bytes of pixels cannot be ${needs} of a PPM`);
}

function readHeader(file: ImageFile): Header {
  const { bytes } = file;
  const kind = bytes[1]! - ZERO;
  let at = 3;
  const readNumber = (what: string): number => {
    let token = "";
    while (token.length <= LONGEST_TOKEN && at < bytes.length) {
      const byte = bytes[at++]!;
      if (isSpace(byte)) {
        if (token) break;
      } else if (byte === COMMENT) {
        while (at < bytes.length && !isLineEnd(bytes[at++]!));
      } else token += String.fromCharCode(byte);
    }
    const value = integerOf(token);
    if (value === undefined) throw broken(file, `has a PPM header whose ${what} is not a number of up to 10 digits`);
    return value;
  };
  const [width, height] = [readNumber("width"), readNumber("height")];
  const isBits = kind === 1 || kind === 4;
  const most = isBits ? 1 : readNumber("largest value");
  if (most < 1 || most > 65535)
    throw broken(file, `is a PPM of values up to ${most}; they go up to 1 at least and 65535 at most`);
  return { width, height, channels: kind % 3 === 0 ? 3 : 1, isText: kind < 4, most, isBits, from: at };
}

/** Text that Python takes for an integer. */
const integerOf = (token: string): number | undefined =>
  token.length <= LONGEST_TOKEN && /^[+-]?\d+(_\d+)*$/.test(token) ? Number(token.replaceAll("_", "")) : undefined;

/** Levels of the samples from 0 to `count` - 1, rounded to the nearest, then to even ones; of gray of 16 bits the upper byte. */
function levelsOf({ channels, most }: Header, count: number): Uint8Array {
  const isWide = channels === 1 && most > 255;
  const top = isWide ? 65535 : 255;
  return Uint8Array.from({ length: count }, (_, value) => {
    const exact = (value / most) * top;
    let level = Math.round(exact);
    if (level - exact === 0.5 && level % 2 === 1) level--;
    level = Math.min(top, level);
    return isWide ? level >> 8 : level;
  });
}

/** Writes the samples from `first` on: gray ones three times. */
function write(data: Uint8Array, channels: 1 | 3, index: number, level: number): void {
  if (channels === 3) data[index] = level;
  else data[3 * index] = data[3 * index + 1] = data[3 * index + 2] = level;
}

function* readSamples({ bytes }: ImageFile, header: Header, data: Uint8Array): Slices<void> {
  const { channels, most, from } = header;
  const isWide = most > 255;
  const levels = levelsOf(header, isWide ? 65536 : 256);
  const count = (channels * data.length) / 3;
  for (let i = 0; i < count; ) {
    const end = Math.min(count, i + STRETCH);
    if (isWide)
      for (; i < end; i++) write(data, channels, i, levels[(bytes[from + 2 * i]! << 8) | bytes[from + 2 * i + 1]!]!);
    else for (; i < end; i++) write(data, channels, i, levels[bytes[from + i]!]!);
    yield;
  }
}

/** Bits, of which 1 is black; a row ends with a byte. */
function* unpackBits({ bytes }: ImageFile, { width, height, from }: Header, data: Uint8Array): Slices<void> {
  const stride = Math.ceil(width / 8);
  let done = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; ) {
      const end = Math.min(width, x + STRETCH);
      done += end - x;
      for (; x < end; x++) {
        const bit = (bytes[from + y * stride + (x >> 3)]! >> (7 - (x & 7))) & 1;
        data.fill(bit ? 0 : 255, 3 * (y * width + x), 3 * (y * width + x) + 3);
      }
      if (done < STRETCH) continue;
      done = 0;
      yield;
    }
  }
}

/** Blocks of text without comments: what is before and behind one is side by side. */
function* blocksOf({ bytes }: ImageFile, from: number): Generator<Uint8Array, void, undefined> {
  let isComment = false;
  for (let at = from; at < bytes.length; at += BLOCK) {
    const block = bytes.slice(at, at + BLOCK);
    let to = 0;
    for (let i = 0; i < block.length; i++) {
      const byte = block[i]!;
      if (isComment) isComment = !isLineEnd(byte);
      else if (byte === COMMENT) isComment = true;
      else block[to++] = byte;
    }
    yield block.subarray(0, to);
  }
}

/** Digits 0 and 1, with or without space between them. */
function* readBits(file: ImageFile, { from }: Header, data: Uint8Array): Slices<void> {
  const count = data.length / 3;
  let index = 0;
  for (const block of blocksOf(file, from)) {
    yield;
    for (let i = 0; i < block.length; i++) {
      if (i % STRETCH === 0) yield;
      const byte = block[i]!;
      if (isSpace(byte)) continue;
      if (byte !== ZERO && byte !== ZERO + 1) throw broken(file, "has a PBM pixel that is neither 0 nor 1");
      if (index < count) write(data, 1, index++, byte === ZERO ? 255 : 0);
    }
    if (index === count) return;
  }
  throw truncated(file, index, count);
}

/** Numbers with space between them. */
function* readNumbers(file: ImageFile, header: Header, data: Uint8Array): Slices<void> {
  const { channels, most, from } = header;
  const levels = levelsOf(header, most + 1);
  const count = (channels * data.length) / 3;
  let index = 0;
  /** The last token of the block before, which may go on. */
  let half = "";
  function take(token: string): void {
    const value = integerOf(token);
    if (value === undefined || value < 0 || value > most)
      throw broken(file, `has a PPM value that is not a number from 0 to ${most}`);
    write(data, channels, index++, levels[value]!);
  }
  for (const block of blocksOf(file, from)) {
    yield;
    let token = half;
    half = "";
    let end = block.length;
    while (end > 0 && !isSpace(block[end - 1]!)) end--;
    const tail = block.length - end + (end === 0 ? token.length : 0);
    if (tail > LONGEST_TOKEN) throw broken(file, "has a PPM value of more than 10 digits");
    for (let i = 0; i < end && index < count; i++) {
      if (i % STRETCH === 0) yield;
      const byte = block[i]!;
      if (token === "" && byte >= ZERO && byte <= NINE) {
        // Most are digits alone.
        let value = byte - ZERO;
        let next = i + 1;
        for (; next < end && block[next]! >= ZERO && block[next]! <= NINE && value <= most; next++) {
          value = 10 * value + block[next]! - ZERO;
        }
        if (isSpace(block[next]!) && next - i <= LONGEST_TOKEN && value <= most) {
          write(data, channels, index++, levels[value]!);
          i = next;
          continue;
        }
      }
      if (!isSpace(byte)) {
        token += String.fromCharCode(byte);
        if (token.length > LONGEST_TOKEN) throw broken(file, "has a PPM value of more than 10 digits");
      } else if (token) {
        take(token);
        token = "";
      }
    }
    if (index === count) return;
    half = end === 0 ? token : "";
    for (const byte of block.subarray(end)) half += String.fromCharCode(byte);
  }
  if (half) take(half);
  if (index < count) throw truncated(file, index, count);
}
