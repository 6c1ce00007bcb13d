/**
 * Frames of an animated WebP, each on what earlier ones left, as libwebp's WebPAnimDecoder has them (src/demux/anim_decode.c of
 * version 1.6), by which Pillow reads them. Alpha is dropped behind that, as by Pillow's convert("RGB").
 */

import type { Slices } from "../slices.js";
import { broken, checkFrames, type ImageFile, type Readable, viewOf } from "./file.js";
import {
  ALPHA_BIT,
  type AnimatedFrame,
  checkAlpha,
  type Frame,
  MOST,
  ROOM,
  readContainer,
  readWebp,
  run,
  VP8L,
} from "./webp.js";
import { borrowDecoder } from "./webp-codec.js";

/** Pixels that are blended between two yields. */
const STRETCH = 1 << 18;

/** Pixels of a canvas or a frame: RGB, and the alpha of each, if any is not 255. */
interface Layer {
  readonly rgb: Uint8Array;
  readonly alpha: Uint8Array | undefined;
}

export function* readWebpFrames<T>(
  file: ImageFile,
  choose: (frames: number) => readonly number[],
  use: (image: Readable) => Slices<T>,
): Slices<T[]> {
  const { width, height, frames, orientation } = yield* readContainer(file, true);
  checkFrames(
    file,
    frames.reduce((sum, { width, height }) => sum + width * height, 0),
  );
  const chosen = choose(frames.length);
  const results: T[] = [];
  const [first] = frames as [AnimatedFrame];
  if (frames.length === 1 && first.covers === undefined) {
    const image = yield* readWebp(file);
    try {
      for (const _ of chosen) results.push(yield* use(image));
    } finally {
      image.free?.();
    }
    return results;
  }
  const rgb = new Uint8Array(3 * width * height);
  const alpha = new Uint8Array(width * height);
  const isWhole = (frame: Frame) => frame.width === width && frame.height === height;
  let last: AnimatedFrame | undefined;
  let wasKey = false;
  for (const [number, frame] of frames.entries()) {
    const layer = yield* decodeFrame(file, frame);
    const isKey: boolean =
      !last ||
      ((!layer.alpha || frame.covers === true) && isWhole(frame)) ||
      (last.disposes === true && (isWhole(last) || wasKey));
    if (isKey) {
      rgb.fill(0);
      alpha.fill(0);
    } else if (last!.disposes) {
      for (let y = last!.top; y < last!.top + last!.height; y++) {
        rgb.fill(0, 3 * (y * width + last!.left), 3 * (y * width + last!.left + last!.width));
        alpha.fill(0, y * width + last!.left, y * width + last!.left + last!.width);
      }
    }
    // What is blended with a part that was just made transparent stays as it is.
    yield* lay({ rgb, alpha }, width, frame, layer, isKey || frame.covers === true, last?.disposes ? last : undefined);
    if (chosen.includes(number)) results.push(yield* use({ data: rgb.slice(), width, height, orientation }));
    if (results.length === chosen.length) break;
    [last, wasKey] = [frame, isKey];
  }
  return results;
}

/** Lays a frame on the canvas: in its place, or blended with what is there but for a part of it. */
function* lay(
  canvas: { readonly rgb: Uint8Array; readonly alpha: Uint8Array },
  stride: number,
  { left, top, width, height }: Frame,
  { rgb, alpha }: Layer,
  covers: boolean,
  apart: Frame | undefined,
): Slices<void> {
  for (let y = 0; y < height; y++) {
    const inRows = apart && top + y >= apart.top && top + y < apart.top + apart.height;
    for (let x = 0; x < width; x++) {
      const [from, to] = [y * width + x, (top + y) * stride + left + x];
      const own = alpha?.[from] ?? 255;
      const kept = inRows && left + x >= apart.left && left + x < apart.left + apart.width;
      if (covers || own === 255 || kept) {
        canvas.alpha[to] = own;
        for (let c = 0; c < 3; c++) canvas.rgb[3 * to + c] = rgb[3 * from + c]!;
      } else if (own > 0) {
        // BlendPixelNonPremult: in integers, nearly a/255.
        const under = (canvas.alpha[to]! * (256 - own)) >> 8;
        const scale = Math.floor(2 ** 24 / (own + under));
        for (let c = 0; c < 3; c++) {
          const sum = rgb[3 * from + c]! * own + canvas.rgb[3 * to + c]! * under;
          canvas.rgb[3 * to + c] = Math.floor((sum * scale) / 2 ** 24);
        }
        canvas.alpha[to] = own + under;
      }
    }
    if (((y + 1) * width) % STRETCH < width) yield;
  }
}

/** A frame's pixels. */
function* decodeFrame(file: ImageFile, frame: Frame): Slices<Layer> {
  const { image, alpha, width, height } = frame;
  const [size, pixels] = [[width, height] as const, width * height];
  const isLossless = image.tag === VP8L;
  const length = image.next - image.start;
  const decoder = borrowDecoder(false);
  const limit = length + (alpha ? alpha.end - alpha.start : 0) + 12 * pixels + ROOM;
  const allot = (bytes: number) => {
    const at = bytes < MOST ? decoder.allot(bytes) >>> 0 : 0;
    if (!at) throw broken(file, `has a frame of ${width}×${height} pixels, for which there is not enough memory`);
    return at;
  };
  /** The address of data in the decoder's memory, behind which it writes 16 zeros. */
  const copy = (start: number, end: number) => {
    const at = allot(end - start + 16);
    new Uint8Array(decoder.memory.buffer).set(file.bytes.subarray(start, end), at);
    return at;
  };
  const bytesAt = (at: number, count: number) => new Uint8Array(decoder.memory.buffer).slice(at, at + count);
  /** A pass of the lossless decoder: RGB (0) or alpha (2). */
  function* lossless(kind: 0 | 2): Slices<Uint8Array> {
    decoder.reset(Math.min(limit, MOST));
    const data = copy(image.start, image.next);
    const out = allot(4 * pixels + 16);
    const stride = kind === 0 ? 3 * width : width;
    const begun = decoder.lossless_begin(data, length, ...size, out, stride, out + 4 * pixels, kind);
    yield* run(file, "WebP data", begun, decoder.lossless_step);
    return bytesAt(out, height * stride);
  }
  const made = isLossless ? { rgb: yield* lossless(0), alpha: yield* losslessAlpha() } : yield* lossy();
  decoder.free();
  return made;

  function* losslessAlpha(): Slices<Uint8Array | undefined> {
    const hasAlpha = (viewOf(file.bytes).getUint32(image.start + 1, true) & ALPHA_BIT) !== 0;
    return hasAlpha ? yield* lossless(2) : undefined;
  }

  function* lossy(): Slices<Layer> {
    decoder.reset(Math.min(limit, MOST));
    const data = copy(image.start, image.next);
    const out = allot(3 * pixels + 16);
    yield* run(file, "WebP data", decoder.lossy_begin(data, length, ...size, out, 3 * width), decoder.lossy_row);
    const rgb = bytesAt(out, 3 * pixels);
    if (!alpha) return { rgb, alpha };
    yield* checkAlpha(file, alpha, pixels, (start) => {
      decoder.alpha_begin(copy(start, alpha.end), alpha.end - start, ...size);
      return decoder.lossless_step;
    });
    // Black that is laid on white is 255 less the alpha.
    new Uint8Array(decoder.memory.buffer).fill(0, out, out + 3 * pixels);
    const flags = file.bytes[alpha.start]!;
    const begun = decoder.alpha_blend_begin(
      ...([copy(alpha.start + 1, alpha.end), alpha.end - alpha.start + 7, ...size, out, 3 * width] as const),
      (flags & 3) === 0 ? 0 : allot(4 * pixels + 16) + 4 * pixels,
      (flags >> 2) & 3,
    );
    yield* run(file, "WebP alpha", begun, decoder.lossless_step);
    const laid = bytesAt(out, 3 * pixels);
    return { rgb, alpha: Uint8Array.from({ length: pixels }, (_, i) => 255 - laid[3 * i]!) };
  }
}
