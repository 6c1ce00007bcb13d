/** The first frame of a GIF (CompuServe, version 89a), as Pillow shows it: transparency is ignored. */
import { concatenate } from "../platform/bytes.js";
import { broken, checkSize, type ImageFile, type StoredImage, viewOf } from "./file.js";
import type { Slices } from "./slices.js";

/** First row and step of the four passes of an interlaced frame. */
const PASSES = [
  [0, 8],
  [4, 8],
  [2, 4],
  [1, 2],
];

/** @throws Error: one sentence, for a file that is truncated, corrupt or too large. */
export function* readGif(file: ImageFile): Slices<StoredImage> {
  const { bytes } = file;
  const truncated = broken(file, `ends before its last row; ${bytes.length.toLocaleString("en-US")} bytes were read`);
  const view = viewOf(bytes);
  if (bytes.length < 13) throw truncated;
  let at = 13;
  const readPalette = (flags: number) => {
    if (!(flags & 128)) return undefined;
    const size = 3 << ((flags & 7) + 1);
    at += size;
    return bytes.subarray(at - size, at);
  };
  const readBlocks = () => {
    const blocks: Uint8Array[] = [];
    for (let length = bytes[at]; at < bytes.length; length = bytes[at]) {
      at += 1 + length;
      if (length === 0) break;
      blocks.push(bytes.subarray(at - length, at));
    }
    return blocks;
  };

  let palette = readPalette(bytes[10]);
  let background = 0;
  while (bytes[at] !== 0x2c) {
    if (at >= bytes.length) throw truncated;
    if (bytes[at] === 0x3b) throw broken(file, "is a GIF without a frame");
    const isExtension = bytes[at++] === 0x21;
    if (!isExtension) continue;
    const isControl = bytes[at++] === 0xf9;
    const [control] = readBlocks();
    if (isControl && control?.length >= 4 && control[0] & 1) background = control[3];
  }
  if (at + 10 > bytes.length) throw truncated;
  const [left, top, frameWidth, frameHeight] = [1, 3, 5, 7].map((i) => view.getUint16(at + i, true));
  const flags = bytes[at + 9];
  at += 10;
  palette = readPalette(flags) ?? palette;
  const width = Math.max(view.getUint16(6, true), left + frameWidth);
  const height = Math.max(view.getUint16(8, true), top + frameHeight);
  checkSize(file, width, height);
  checkSize(file, frameWidth, frameHeight);

  const codeSize = bytes[at++];
  if (codeSize > 8) throw broken(file, `has a GIF code size of ${codeSize} bits; at most 8 are allowed`);
  const data = concatenate(readBlocks());
  // A code of at least two bits makes at most 4,096 pixels.
  if (data.length * 4 * 4096 < frameWidth * frameHeight) throw truncated;
  const frame = new Uint8Array(frameWidth * frameHeight);
  if (unpackLzw(data, codeSize, frame) < frame.length) throw truncated;

  const colours = expandPalette(palette);
  const indices = new Uint8Array(width * height).fill(background);
  const rows = flags & 64 ? PASSES : [[0, 1]];
  let from = 0;
  for (const [first, step] of rows) {
    for (let y = first; y < frameHeight; y += step, from += frameWidth) {
      indices.set(frame.subarray(from, from + frameWidth), (top + y) * width + left);
    }
  }
  const rgb = new Uint8Array(3 * indices.length);
  for (let i = 0; i < indices.length; i++) {
    rgb[3 * i] = colours[3 * indices[i]];
    rgb[3 * i + 1] = colours[3 * indices[i] + 1];
    rgb[3 * i + 2] = colours[3 * indices[i] + 2];
  }
  return { data: rgb, width, height, orientation: 1 };
}

/** 256 colours: those that are missing are black; without a palette, or with one that says the same, all are gray. */
function expandPalette(palette: Uint8Array | undefined): Uint8Array {
  const isGray = !palette || palette.every((value, i) => value === Math.floor(i / 3));
  const colours = new Uint8Array(768);
  if (isGray) return colours.map((_, i) => Math.floor(i / 3));
  colours.set(palette.subarray(0, 768));
  return colours;
}

/** Lempel-Ziv-Welch with codes of growing length. @returns the number of indices written to `out`. */
function unpackLzw(data: Uint8Array, codeSize: number, out: Uint8Array): number {
  const clear = 1 << codeSize;
  // Each code stands for a stretch of what has been written: its start and length.
  const starts = new Uint32Array(4096);
  const lengths = new Uint32Array(4096);
  let next = clear + 2;
  let bits = codeSize + 1;
  let held = 0;
  let heldBits = 0;
  let to = 0;
  let previousStart = -1;
  for (let from = 0; to < out.length; ) {
    for (; heldBits < bits && from < data.length; heldBits += 8) held |= data[from++] << heldBits;
    if (heldBits < bits) break;
    const code = held & ((1 << bits) - 1);
    held >>>= bits;
    heldBits -= bits;
    if (code === clear) {
      next = clear + 2;
      bits = codeSize + 1;
      previousStart = -1;
      continue;
    }
    if (code === clear + 1) break;
    const start = to;
    if (previousStart >= 0 && next < 4096) {
      // The new code is the previous stretch and the index after it, which this code is about to write.
      starts[next] = previousStart;
      lengths[next] = start - previousStart + 1;
      next++;
    }
    if (code < clear) out[to++] = code;
    else if (code < next) {
      for (let i = 0; i < lengths[code] && to < out.length; i++) out[to++] = out[starts[code] + i];
    } else break;
    previousStart = start;
    if (next === 1 << bits && bits < 12) bits++;
  }
  return to;
}
