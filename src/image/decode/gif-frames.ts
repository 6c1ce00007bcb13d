/**
 * Frames of an animated GIF, each with what earlier ones left around it, as Pillow 12.3 shows them (its GifImagePlugin.py). Where one is
 * transparent, the earlier ones are seen. Where the first one's own palette is of all levels of gray, colours of later ones are as they
 * are, not as Pillow takes them, for levels.
 */

import type { Slices } from "../slices.js";
import { broken, checkFrames, checkSize, type ImageFile, type Readable, type RgbImage, viewOf } from "./file.js";
import {
  drawFirst,
  drawIndices,
  expandPalette,
  type GifFrame,
  isGray,
  readCodes,
  readHeader,
  truncated,
} from "./gif.js";

/** Ways in which a frame goes before the next one is drawn: its part becomes the background, or, of this and larger ones, what it was. */
const [TO_BACKGROUND, TO_PREVIOUS] = [2, 3];
/** Bytes of the file that are read between two yields. */
const STRETCH = 1 << 17;

/** A frame behind the first. */
interface LaterFrame extends GifFrame {
  readonly colours: Uint8Array;
  /** How many of them there are, others being black. */
  readonly count: number;
  readonly transparency: number | undefined;
  readonly disposal: number;
}

/** A part of the picture, and what it becomes. */
interface Disposal {
  readonly frame: GifFrame["frame"];
  /** RGB of all pixels, or of one. */
  readonly pixels: Uint8Array;
}

export function* readGifFrames<T>(
  file: ImageFile,
  choose: (frames: number) => readonly number[],
  use: (image: Readable) => Slices<T>,
): Slices<T[]> {
  const first = yield* readHeader(file);
  const own = globalPalette(file);
  let [frames, pixels] = [0, 0];
  for (let next: (GifFrame & Pick<LaterFrame, "disposal">) | undefined = first; next; frames++) {
    pixels += next.frame[2] * next.frame[3];
    next = yield* nextFrame(file, next, own);
  }
  checkFrames(file, pixels);
  const chosen = choose(frames);

  let { data, width, height } = yield* drawFirst(file, first);
  const results: T[] = [];
  const index = first.transparency ?? backgroundOf(file);
  const fill = first.colours.slice(3 * index, 3 * index + 3);
  let disposal: Disposal | undefined;
  // What the first one replaces is nothing: it stays, unless something of it is transparent.
  if (first.disposal === TO_BACKGROUND || (first.disposal >= TO_PREVIOUS && first.transparency !== undefined)) {
    disposal = { frame: first.frame, pixels: fill };
  }
  let last: GifFrame & Pick<LaterFrame, "disposal"> = first;
  for (let number = 0; ; number++) {
    // Values may be read from the picture as they are.
    if (chosen.includes(number)) results.push(yield* use({ data: data.slice(), width, height }));
    if (results.length === chosen.length) return results;
    const next = (yield* nextFrame(file, last, own))!;
    if (disposal) yield* paste(data, width, disposal);
    disposal = yield* disposalOf(file, next, { data, width, height });
    const [left, top, columns, rows] = next.frame;
    if (left + columns > width || top + rows > height) {
      const [wider, higher] = [Math.max(width, left + columns), Math.max(height, top + rows)];
      data = yield* grown(file, { data, width, height }, [wider, higher], next);
      [width, height] = [wider, higher];
    }
    yield* drawIndices(data, width, next, yield* readCodes(file, next), next.colours, next.transparency);
    last = next;
  }
}

/** The colours that frames without their own have; undefined for levels of gray, which Pillow takes for none. */
function globalPalette({ bytes }: ImageFile): Uint8Array | undefined {
  const flags = bytes[10]!;
  const palette = flags & 128 ? bytes.subarray(13, 13 + (3 << ((flags & 7) + 1))) : undefined;
  return palette && !isGray(palette) ? palette : undefined;
}

/** The index of the background, where there are colours for it. */
const backgroundOf = ({ bytes }: ImageFile): number => (bytes[10]! & 128 ? bytes[11]! : 0);

/** The frame behind another, or undefined where the file ends. A disposal that is not said is that of the frame before. */
function* nextFrame(
  file: ImageFile,
  { from, disposal: before }: Pick<LaterFrame, "from" | "disposal">,
  global: Uint8Array | undefined,
): Slices<LaterFrame | undefined> {
  const { bytes } = file;
  let at = from;
  let seen = at;
  let disposal = before;
  let transparency: number | undefined;
  function* skipBlocks(): Slices<void> {
    while (bytes[at]) {
      at += 1 + bytes[at]!;
      if (at - seen < STRETCH) continue;
      seen = at;
      yield;
    }
    at++;
  }
  yield* skipBlocks();
  for (;;) {
    const kind = bytes[at++];
    if (kind === undefined || kind === 0x3b) return undefined;
    if (kind === 0x21) {
      const label = bytes[at++];
      const length = bytes[at];
      if (label === 0xf9 && length) {
        const flags = bytes[at + 1] ?? 0;
        const needed = flags & 1 ? 4 : 3;
        if (length < needed) throw broken(file, `has a GIF control block of ${length} bytes; ${needed} are needed`);
        disposal = (flags >> 2) & 7 || disposal;
        if (flags & 1) transparency = bytes[at + 4] ?? 0;
      }
      yield* skipBlocks();
    } else if (kind === 0x2c) break;
    if (at - seen < STRETCH) continue;
    seen = at;
    yield;
  }
  if (at + 10 > bytes.length) throw truncated(file);
  const view = viewOf(bytes);
  const [left, top, columns, rows] = [0, 2, 4, 6].map((i) => view.getUint16(at + i, true)) as [
    number,
    number,
    number,
    number,
  ];
  checkSize(file, columns, rows);
  const flags = bytes[at + 8]!;
  at += 9;
  let palette = global;
  if (flags & 128) {
    const size = 3 << ((flags & 7) + 1);
    palette = bytes.subarray(at, at + size);
    at += size;
  }
  const codeBits = bytes[at++];
  if (codeBits === undefined) throw truncated(file);
  if (codeBits > 12) throw broken(file, `has a GIF code size of ${codeBits} bits; at most 12 are allowed`);
  const frame = [left, top, columns, rows] as const;
  return {
    ...{ frame, isInterlaced: (flags & 64) !== 0, codeBits, from: at },
    ...{ colours: expandPalette(palette), count: palette && !isGray(palette) ? palette.length / 3 : 256 },
    ...{ transparency, disposal },
  };
}

/** A frame's part of the picture as it becomes before the next one is drawn, given the picture before it is drawn itself. */
function* disposalOf(
  file: ImageFile,
  { frame, colours, count, transparency, disposal }: LaterFrame,
  { data, width, height }: RgbImage,
): Slices<Disposal | undefined> {
  if (disposal === TO_BACKGROUND) {
    const index = transparency ?? backgroundOf(file);
    const known = index < count ? index : 0;
    return { frame, pixels: colours.slice(3 * known, 3 * known + 3) };
  }
  if (disposal < TO_PREVIOUS) return undefined;
  const [left, top, columns, rows] = frame;
  const pixels = new Uint8Array(3 * columns * rows);
  // What is beyond the picture, which grows, is black.
  const inside = 3 * Math.max(0, Math.min(columns, width - left));
  for (let y = 0; y < Math.min(rows, height - top); y++) {
    const from = 3 * ((top + y) * width + left);
    pixels.set(data.subarray(from, from + inside), 3 * y * columns);
    if (((y + 1) * columns) % STRETCH < columns) yield;
  }
  return { frame, pixels };
}

function* paste(
  data: Uint8Array,
  width: number,
  { frame: [left, top, columns, rows], pixels }: Disposal,
): Slices<void> {
  for (let y = 0; y < rows; y++) {
    const to = 3 * ((top + y) * width + left);
    if (pixels.length > 3) data.set(pixels.subarray(3 * y * columns, 3 * (y + 1) * columns), to);
    else for (let i = 0; i < 3 * columns; i++) data[to + i] = pixels[i % 3]!;
    if (((y + 1) * columns) % STRETCH < columns) yield;
  }
}

/** A picture on a larger one, which is black, or of the first of a frame's colours where nothing of it is transparent. */
function* grown(
  file: ImageFile,
  { data, width, height }: RgbImage,
  [wider, higher]: readonly [number, number],
  { colours, transparency }: LaterFrame,
): Slices<Uint8Array> {
  checkSize(file, wider, higher);
  const result = new Uint8Array(3 * wider * higher);
  const whole = { frame: [0, 0, wider, higher], pixels: colours.slice(0, 3) } as const;
  if (transparency === undefined) yield* paste(result, wider, whole);
  yield* paste(result, wider, { frame: [0, 0, width, height], pixels: data });
  return result;
}
