/** Parts that the readers of the formats share: the file they are given, how they fail, and the pixels they return. */
import { kernelWith } from "../kernel.js";
import type { Slices } from "../slices.js";

/** Where Pillow refuses: twice its MAX_IMAGE_PIXELS, which is a quarter of a gibibyte of RGB. */
export const PIXEL_LIMIT = 178_956_970;

/** An encoded image on its way through a reader. */
export interface ImageFile {
  bytes: Uint8Array;
  /** How messages call it: its name in quotes, or "the image". */
  label: string;
  /** Largest number of pixels that may be decoded. */
  pixelLimit: number;
  /** Treatment of transparency, also of a palette's. Default: "drop". */
  alpha?: Alpha;
  /** The size that is needed at least; see `DecodeOptions`. */
  draft?: { readonly width: number; readonly height: number } | undefined;
}

/** Decoded pixels, as stored: RGB side by side, row by row, and how EXIF says to turn them (1 to 8, 1 is upright). */
export interface StoredImage {
  /** 3 · width · height bytes. They may lie in a decoder's memory, and are gone when that is given back. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly orientation: number;
  /** The scale of a JPEG that is decoded at 1/2, 1/4 or 1/8: its whole size, and how many of its pixels a side of one of these has. */
  readonly whole?: { readonly width: number; readonly height: number; readonly side: number };
  /** Gives back the memory of the pixels. */
  free?(): void;
}

/** 8-bit RGB: width · height · 3 bytes, row by row. */
export interface RgbImage {
  data: Uint8Array;
  width: number;
  height: number;
}

/** An image whose pixels may be as they are stored, and lie in a decoder's memory. */
export type Readable = RgbImage & Partial<Pick<StoredImage, "orientation" | "whole">>;

/**
 * Reads a format, in slices of a few milliseconds.
 * @throws Error: one sentence by `broken`, for a file that is truncated, corrupt, too large or of a kind that is not decoded.
 */
export type Reader = (file: ImageFile) => Slices<StoredImage>;

/** Reads an animation: what is made of each frame that is chosen of so many, while its pixels are there. */
export type FramesReader = <T>(
  file: ImageFile,
  choose: (frames: number) => readonly number[],
  use: (image: Readable) => Slices<T>,
) => Slices<T[]>;

/** The error for a file that cannot be decoded: `what` continues the sentence after the file's name. */
export const broken = (file: ImageFile, what: string): Error => new Error(`decode: ${file.label} ${what}`);

/** The check of a header, before anything is allocated for the pixels. */
export function checkSize(file: ImageFile, width: number, height: number): void {
  if (width < 1 || height < 1) throw broken(file, `says that it is ${width}×${height} pixels; both must be at least 1`);
  if (width * height > file.pixelLimit) {
    const [found, limit] = [width * height, file.pixelLimit].map((n) => n.toLocaleString("en-US"));
    throw broken(
      file,
      `says that it is ${width}×${height}, ${found} pixels, and the limit is ${limit}; raise the option pixelLimit to decode it`,
    );
  }
}

/** Pixels of all frames of an animation together, as a multiple of the limit of one picture: 18,000 frames of 320×240. */
const FRAMES_OF_LIMIT = 8;

/** The check of an animation, before any of its frames is drawn. */
export function checkFrames(file: ImageFile, pixels: number): void {
  const most = FRAMES_OF_LIMIT * file.pixelLimit;
  if (pixels <= most) return;
  const [found, limit] = [pixels, most].map((n) => n.toLocaleString("en-US"));
  throw broken(
    file,
    `has frames of ${found} pixels in all, and the limit is ${limit}; raise the option pixelLimit to decode it`,
  );
}

/** Pixels that go through the kernel's memory at once: few enough to stay in the cache. */
const BAND = 1 << 15;

/** How RGBA becomes RGB: alpha is dropped, as by Pillow's convert("RGB"), or the picture is laid on white. */
export type Alpha = "drop" | "white";

/**
 * RGB of RGBA.
 * @param into where it is put, which may be where the RGBA begins.
 */
export function rgbOfRgba(
  rgba: Uint8Array | Uint8ClampedArray,
  alpha: Alpha = "drop",
  into: Uint8Array = new Uint8Array((rgba.length / 4) * 3),
): Uint8Array {
  const pixels = rgba.length / 4;
  const rgb = into.subarray(0, 3 * pixels);
  const { bytes, drop_alpha, lay_on_white } = kernelWith(7 * BAND + 16);
  const convert = alpha === "white" ? lay_on_white : drop_alpha;
  for (let at = 0; at < pixels; at += BAND) {
    const count = Math.min(BAND, pixels - at);
    bytes.set(rgba.subarray(4 * at, 4 * (at + count)));
    convert(4 * BAND, 0, count);
    rgb.set(bytes.subarray(4 * BAND, 4 * BAND + 3 * count), 3 * at);
  }
  return rgb;
}

export const ascii = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
