/**
 * WebP (Google's container specification, RFC 9649), its first frame, as Pillow shows it: what Pillow refuses is refused.
 * assembly/webp decodes the pixels, here is the container.
 */

import { latin1 } from "../../platform/bytes.js";
import type { Slices } from "../slices.js";
import { orientationOf } from "./exif.js";
import { ascii, broken, checkSize, type ImageFile, type StoredImage, viewOf } from "./file.js";
import { borrowDecoder } from "./webp-codec.js";

/** Four letters as they lie in the file. */
const tag = (letters: string) => viewOf(new TextEncoder().encode(letters)).getUint32(0);
export const [VP8X, VP8, VP8L, ALPH] = [tag("VP8X"), tag("VP8 "), tag("VP8L"), tag("ALPH")];
const [ANIM, ANMF, EXIF, XMP] = [tag("ANIM"), tag("ANMF"), tag("EXIF"), tag("XMP ")];

/** Flags of VP8X; the other bits of the first byte must be 0, but for that of a color profile. */
const ANIMATION_FLAG = 2;
const XMP_FLAG = 4;
const EXIF_FLAG = 8;
const ALPHA_FLAG = 16;
const UNKNOWN_FLAGS = 0xc1;
export const ALPHA_BIT = 1 << 28;

/** A chunk of RIFF, whose payload lies from `start` to `end` and, with the byte that makes it even, to `next`. */
export interface Chunk {
  tag: number;
  start: number;
  end: number;
  next: number;
}

/** A picture in the file: VP8 (lossy, with ALPH for its alpha) or VP8L (lossless), and its place on the canvas. */
export interface Frame {
  image: Chunk;
  alpha?: Chunk;
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A frame of an animation. */
export interface AnimatedFrame extends Frame {
  /** True if it covers what is under it, even where it is transparent; and if its part of the canvas is transparent behind it. */
  readonly covers?: boolean;
  readonly disposes?: boolean;
}

/** Most frames of an animation, each of which takes some memory, where all are asked for. */
const MOST_FRAMES = 1 << 16;

export interface Container {
  /** Sides of the canvas. */
  width: number;
  height: number;
  frame: Frame;
  /** All of an animation's, if they are asked for; else the one. */
  frames: readonly AnimatedFrame[];
  /** True if Pillow has it with alpha, as the file says. */
  hasAlpha: boolean;
  orientation: number;
}

/** Chunks between two yields. */
const CHUNKS = 1 << 12;

/** All chunks are checked, and all frames of an animation, as libwebp's demuxer does before the first is decoded. */
export function* readContainer(file: ImageFile, all = false): Slices<Container> {
  const { bytes } = file;
  const view = viewOf(bytes);
  const end = view.getUint32(4, true) + 8;
  if (end < 12) throw broken(file, `says in its header that it is ${end} bytes long, which is less than the header`);
  if (bytes.length < end) {
    const [says, has] = [end, bytes.length].map((n) => n.toLocaleString("en-US"));
    throw broken(file, `is cut off: its header says ${says} bytes and it has ${has}`);
  }
  const uint24 = (at: number) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
  /** A chunk for messages, which name it if the format does: other letters may be of any file. */
  const shown = (at: number) => {
    const name = ascii(bytes, at, at + 4);
    return /^(VP8[ LX]|ANIM|ANMF|ALPH|ICCP|EXIF|XMP )$/.test(name) ? `WebP chunk "${name}"` : "WebP chunk";
  };

  let at = 12;
  const peek = (): Chunk => {
    const left = end - at - 8;
    if (left < 0) throw broken(file, `has ${end - at} bytes where a WebP chunk should begin`);
    const size = view.getUint32(at + 4, true);
    if (size + (size & 1) > left) {
      throw broken(file, `has a ${shown(at)} of ${size.toLocaleString("en-US")} bytes where ${left} are left`);
    }
    const start = at + 8;
    return { tag: view.getUint32(at), start, end: start + size, next: start + size + (size & 1) };
  };

  /** Width and height by the header of a VP8 or VP8L chunk. */
  const sizeOf = ({ tag, start, end, next }: Chunk): [number, number] => {
    if (next - start < (tag === VP8 ? 10 : 5)) throw broken(file, "has a picture without a header in its WebP data");
    if (tag === VP8L) {
      const bits = view.getUint32(start + 1, true);
      if (bytes[start] !== 0x2f || bits >>> 29) throw broken(file, "has WebP data of an unknown version of VP8L");
      return [1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff)];
    }
    const bits = uint24(start);
    const isFrame = view.getUint16(start + 3) === 0x9d01 && bytes[start + 5] === 0x2a;
    if (!isFrame || bits & 1) throw broken(file, "has WebP data that does not begin with a key frame of VP8");
    if (((bits >> 1) & 7) > 3 || !(bits & 16))
      throw broken(file, "has a VP8 frame that is hidden or of an unknown profile");
    if (bits >> 5 >= end - start) throw broken(file, "has WebP data that ends before its last pixel");
    const [width, height] = [view.getUint16(start + 6, true) & 0x3fff, view.getUint16(start + 8, true) & 0x3fff];
    if (!width || !height) throw broken(file, `has a picture of ${width}×${height} pixels; both must be at least 1`);
    return [width, height];
  };

  /** The chunks of a picture, up to one that cannot belong to it. */
  const readFrame = (): Partial<Frame> => {
    const frame: Partial<Frame> = {};
    while (at < end) {
      const chunk = peek();
      if (chunk.tag === ALPH && !frame.alpha) frame.alpha = chunk;
      else if (chunk.tag === VP8L && frame.alpha)
        throw broken(file, "has a WebP chunk ALPH before VP8L, which has its own alpha");
      else if ((chunk.tag === VP8 || chunk.tag === VP8L) && !frame.image) {
        frame.image = chunk;
        [frame.width, frame.height] = sizeOf(chunk);
      } else break;
      at = chunk.next;
    }
    return frame;
  };
  const complete = (frame: Partial<Frame>, left: number, top: number): Frame => {
    const { image, alpha, width = 0, height = 0 } = frame;
    if (!image) throw broken(file, "has no WebP pixels (VP8 or VP8L) where a picture should be");
    if (alpha && alpha.start > image.start)
      throw broken(file, "has a WebP chunk ALPH behind the picture that it belongs to");
    return { image, alpha, left, top, width, height };
  };

  const first = peek();
  if (first.tag !== VP8X) {
    if (first.tag !== VP8 && first.tag !== VP8L) {
      throw broken(file, `has no WebP pixels (VP8 or VP8L); its first is a ${shown(12)}`);
    }
    const [width, height] = sizeOf(first);
    checkSize(file, width, height);
    const frame = complete({ ...readFrame(), alpha: undefined }, 0, 0);
    // Of VP8L a bit behind the size says it.
    const hasAlpha = first.tag === VP8L && (view.getUint32(first.start + 1, true) & ALPHA_BIT) !== 0;
    return { width, height, frame, frames: [frame], hasAlpha, orientation: 1 };
  }

  if (first.end - first.start !== 10) throw broken(file, "has a WebP chunk VP8X that is not of 10 bytes");
  const flags = bytes[first.start] ?? 0;
  if (flags & UNKNOWN_FLAGS) throw broken(file, "has unknown flags in its WebP chunk VP8X");
  const [width, height] = [1 + uint24(first.start + 4), 1 + uint24(first.start + 7)];
  checkSize(file, width, height);
  const isAnimated = (flags & ANIMATION_FLAG) !== 0;

  const frames: AnimatedFrame[] = [];
  let frame: Frame | undefined;
  let hasAnim = false;
  let exif: Chunk | undefined;
  let xmp: Chunk | undefined;
  at = first.next;
  for (let chunks = 1; at < end; chunks++) {
    if (chunks % CHUNKS === 0) yield;
    const chunk = peek();
    const { tag, start, next } = chunk;
    if (tag === VP8X) throw broken(file, "has two WebP chunks VP8X");
    if (tag === ALPH || tag === VP8 || tag === VP8L) {
      if (isAnimated || hasAnim) throw broken(file, "is an animated WebP with a picture that is in no frame");
      if (frame) throw broken(file, "has two pictures, and is no animated WebP");
      const found = readFrame();
      // Alpha that no flag announces is none.
      frame = complete(flags & ALPHA_FLAG ? found : { ...found, alpha: undefined }, 0, 0);
      if (frame.width !== width || frame.height !== height) {
        throw broken(
          file,
          `says that it is ${width}×${height} and has a picture of ${frame.width}×${frame.height} pixels`,
        );
      }
    } else if (tag === ANMF) {
      if (!hasAnim) throw broken(file, "has a WebP chunk ANMF without ANIM before it");
      if (next - start < 16) throw broken(file, "has a frame without a header in its animated WebP");
      const [left, top] = [2 * uint24(start), 2 * uint24(start + 3)];
      const [claimedWidth, claimedHeight] = [1 + uint24(start + 6), 1 + uint24(start + 9)];
      // Else they are not looked at: those of the picture count.
      if (claimedWidth * claimedHeight >= 2 ** 32) {
        throw broken(file, `says that it has a frame of ${claimedWidth}×${claimedHeight} pixels`);
      }
      at = start + 16;
      const found = readFrame();
      if (at > next) throw broken(file, "has a frame of an animated WebP that is longer than its chunk");
      if (!isAnimated || !(found.image || found.alpha)) continue;
      const counted = complete(found, left, top);
      if (left + counted.width > width || top + counted.height > height) {
        const size = `${counted.width}×${counted.height} at (${left}, ${top})`;
        throw broken(file, `has a frame of ${size}, which is not inside its ${width}×${height} pixels`);
      }
      frame ??= counted;
      if (!all) continue;
      if (frames.length === MOST_FRAMES) throw broken(file, `has more than ${MOST_FRAMES} frames`);
      const flags = bytes[start + 15]!;
      frames.push({ ...counted, covers: (flags & 2) !== 0, disposes: (flags & 1) !== 0 });
    } else {
      if (tag === ANIM) {
        if (next - start < 6) throw broken(file, "has a WebP chunk ANIM of less than 6 bytes");
        hasAnim = true;
      }
      if (tag === EXIF && flags & EXIF_FLAG) exif ??= chunk;
      if (tag === XMP && flags & XMP_FLAG) xmp ??= chunk;
      at = next;
    }
  }
  if (!frame)
    throw broken(file, isAnimated ? "is an animated WebP without a frame" : "has no WebP pixels (VP8 or VP8L)");
  const orientation = orientationOf(
    exif && bytes.subarray(exif.start, exif.end),
    xmp && latin1(bytes.subarray(xmp.start, xmp.end)),
  );
  const own = frames.length > 0 ? frames : [frame];
  return { width, height, frame, frames: own, hasAlpha: (flags & ALPHA_FLAG) !== 0, orientation };
}

/** Faults, by their numbers in assembly/webp/status.ts. */
const FAULTS: Readonly<Record<number, string>> = {
  [-1]: "that ends before its last pixel",
  [-2]: "with a prefix code that is not complete",
  [-3]: "that copies pixels from outside the picture",
  [-4]: "with a transform that comes twice",
  [-5]: "with a color cache of an unknown size",
  [-6]: "whose prefix codes take too much memory for its pixels",
};

/** Memory beside the data and 12 bytes a pixel: the module's tables, rows, and codes. */
export const ROOM = 48 << 20;
/** Bytes that WebAssembly can address, less a page. */
export const MOST = 2 ** 32 - 2 ** 16;

/** Reads the pixels, of a canvas that is black where the frame is not, or transparent. */
export function* readWebp(file: ImageFile): Slices<StoredImage> {
  const { width, height, orientation, frame, hasAlpha } = yield* readContainer(file);
  const isWhite = hasAlpha && file.alpha === "white";
  const { image, alpha, left, top } = frame;
  const isWhole = frame.width === width && frame.height === height;
  const [pixels, canvas] = [frame.width * frame.height, width * height];
  const dataSize = image.next - image.start + (alpha ? alpha.end - alpha.start : 0);
  const limit = (isWhite ? 2 : 1) * dataSize + 12 * canvas + ROOM;
  // Memory that was used before is not zero.
  const decoder = borrowDecoder(!isWhole);
  decoder.reset(Math.min(limit, MOST));
  const allot = (size: number) => {
    const at = size < MOST ? decoder.allot(size) >>> 0 : 0;
    if (!at) throw broken(file, `is ${width}×${height} pixels, for which there is not enough memory`);
    return at;
  };
  /** The address of the data in the decoder's memory, behind which it writes 16 zeros. */
  const copy = (start: number, end: number) => {
    const at = allot(end - start + 16);
    new Uint8Array(decoder.memory.buffer).set(file.bytes.subarray(start, end), at);
    return at;
  };

  const dataAt = copy(image.start, image.next);
  const length = image.next - image.start;
  // Lossless pixels take 4 bytes each before they are RGB, which may take their place.
  const isLossless = image.tag === VP8L;
  const out = allot((isLossless && isWhole ? 4 : 3) * canvas + 16);
  const stride = 3 * width;
  const at = out + stride * top + 3 * left;
  const size = [frame.width, frame.height] as const;
  if (isWhite && !isWhole) yield* whiten(new Uint8Array(decoder.memory.buffer, out, 3 * canvas));
  if (isLossless) {
    const end = (isWhole ? out : allot(4 * pixels + 16)) + 4 * pixels;
    const begun = decoder.lossless_begin(dataAt, length, ...size, at, stride, end, Number(isWhite));
    yield* run(file, "WebP data", begun, decoder.lossless_step);
  } else {
    yield* run(file, "WebP data", decoder.lossy_begin(dataAt, length, ...size, at, stride), decoder.lossy_row);
    if (alpha)
      yield* checkAlpha(file, alpha, pixels, (start) => {
        decoder.alpha_begin(copy(start, alpha.end), alpha.end - start, ...size);
        return decoder.lossless_step;
      });
    if (alpha && isWhite) {
      const flags = file.bytes[alpha.start]!;
      const isRaw = (flags & 3) === 0;
      // What was checked may end in the zeros behind it, as libwebp reads them.
      const begun = decoder.alpha_blend_begin(
        copy(alpha.start + 1, alpha.end),
        alpha.end - alpha.start + 7,
        ...size,
        at,
        stride,
        isRaw ? 0 : allot(4 * pixels + 16) + 4 * pixels,
        (flags >> 2) & 3,
      );
      yield* run(file, "WebP alpha", begun, decoder.lossless_step);
    }
  }
  const data = new Uint8Array(decoder.memory.buffer, out, 3 * canvas);
  return { data, width, height, orientation, free: decoder.free };
}

/** Pixels that are made white between two yields. */
const WHITE = 1 << 22;

function* whiten(pixels: Uint8Array): Slices<void> {
  for (let at = 0; at < pixels.length; at += WHITE) {
    pixels.fill(255, at, at + WHITE);
    yield;
  }
}

/** Calls a step of the decoder until it is done. */
export function* run(file: ImageFile, what: string, begun: number, step: () => number): Slices<void> {
  for (let status = begun; status !== 1; status = step()) {
    if (status < 0) throw broken(file, `has ${what} ${FAULTS[status]}`);
    yield;
  }
}

/**
 * Alpha that is dropped changes no color, but as in Pillow it must be right.
 * @param begin begins to decode it, from the address on, as an image of VP8L.
 */
export function* checkAlpha(
  file: ImageFile,
  { start, end }: Chunk,
  pixels: number,
  begin: (start: number) => () => number,
): Slices<void> {
  const flags = file.bytes[start] ?? 0;
  const [method, preprocessing, reserved] = [flags & 3, (flags >> 4) & 3, flags >> 6];
  if (end - start < 2 || method > 1 || preprocessing > 1 || reserved) {
    throw broken(file, "has WebP alpha of an unknown kind");
  }
  if (method === 1) yield* run(file, "WebP alpha", 0, begin(start + 1));
  else if (end - start - 1 < pixels) throw broken(file, `has WebP alpha ${FAULTS[-1]}`);
}
