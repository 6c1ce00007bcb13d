/**
 * Decoding JPEG, PNG, WebP, GIF, BMP, TIFF and PPM to RGB, to the byte as Pillow does it:
 * `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`.
 */

import { inSlices, type Slices } from "../slices.js";
import { kept } from "../upright.js";
import {
  type Alpha,
  broken,
  type FramesReader,
  type ImageFile,
  PIXEL_LIMIT,
  type Readable,
  type Reader,
  type RgbImage,
  type StoredImage,
} from "./file.js";
import { type OwnFormat, otherFormatOf, ownFormatOf } from "./formats.js";

export interface DecodeOptions {
  /** A file with more pixels is refused before anything is allocated for them. Default: 178,956,970, as in Pillow. */
  pixelLimit?: number;
  /** Treatment of transparency: it is dropped (default), or the image is laid on white. */
  alpha?: Alpha;
  /** Name of the image in error messages. */
  name?: string;
  /** Ends decoding; the promise then rejects with the signal's reason. */
  signal?: AbortSignal;
  /**
   * The size that is needed at least, for many large photos: a JPEG is then decoded to 1/2, 1/4 or 1/8 of its size, in a part of
   * the time, if that is no smaller. As Pillow's `Image.draft(None, (width, height))`: sides as stored, before EXIF turns them,
   * and pixels that are not those of the whole picture resized. Other formats and lossless JPEG do not change. Default: none.
   */
  draft?: { readonly width: number; readonly height: number };
  /** Most milliseconds of work on the image, decoding and resizing; it is refused when they are over. Default: no limit. */
  decodeTimeout?: number;
}

/** How to load the reader of a format. */
const READERS: Readonly<Record<OwnFormat, () => Promise<Reader>>> = {
  JPEG: async () => (await import("./jpeg.js")).readJpeg,
  PNG: async () => (await import("./png.js")).readPng,
  WebP: async () => (await import("./webp.js")).readWebp,
  GIF: async () => (await import("./gif.js")).readGif,
  BMP: async () => (await import("./bmp.js")).readBmp,
  TIFF: async () => (await import("./tiff.js")).readTiff,
  PPM: async () => (await import("./ppm.js")).readPpm,
};

/**
 * The pixels of an encoded image, turned upright by its EXIF orientation. Alpha is dropped unless the options say more; palettes
 * and CMYK become RGB, colour profiles are ignored, 16 bits become the upper 8; of an animation the first frame counts, and the
 * first page of a TIFF.
 * @throws Error: one sentence that names the file, for one that is truncated, corrupt, too large or of another format.
 */
export async function decode(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  return decodeFor(bytes, options, kept);
}

/**
 * Decodes an image and makes something of it, in slices, one image after the other.
 * @param options its label is how messages call the image, in place of its name; without `quotes` they quote nothing of it.
 * @param use what is made of the image, whose pixels are gone afterwards; a photo then takes the memory of its pixels once.
 * @throws Error as `decode`.
 */
export async function decodeFor<T>(
  bytes: Uint8Array,
  options: DecodeOptions & { readonly label?: string; readonly quotes?: boolean },
  use: (image: Readable) => Slices<T>,
): Promise<T> {
  const { pixelLimit = PIXEL_LIMIT, alpha, name, signal, draft, decodeTimeout: timeout, quotes = true } = options;
  const { label = name === undefined ? "the image" : `"${name}"` } = options;
  checkDraft(draft);
  const file: ImageFile = { bytes, label, pixelLimit, alpha, draft };
  const format = ownFormatOf(bytes);
  if (!format) throw unknown(file, quotes);
  const read = await READERS[format]();
  let size = "";
  function* work(): Slices<T> {
    let image: StoredImage | undefined;
    try {
      image = yield* read(file);
      size = `, which is ${image.width}×${image.height} pixels`;
      return yield* use(image);
    } finally {
      image?.free?.();
    }
  }
  const late = () => broken(file, `takes more than the ${timeout} ms of the option decodeTimeout${size}`);
  return inSlices(work, { signal, timeout }, late);
}

/** How to load the reader of an animation's frames. */
const FRAME_READERS: Partial<Record<OwnFormat, () => Promise<FramesReader>>> = {
  GIF: async () => (await import("./gif-frames.js")).readGifFrames,
  WebP: async () => (await import("./webp-frames.js")).readWebpFrames,
};

/**
 * Decodes frames of an animation, as Pillow shows them, and makes something of each; of other files there is one.
 * @param choose gives the numbers of those that are wanted of so many, in their order, from 0; it may throw.
 * @throws Error as `decode`.
 */
export async function decodeFramesFor<T>(
  bytes: Uint8Array,
  options: Parameters<typeof decodeFor>[1],
  choose: (frames: number) => readonly number[],
  use: (image: Readable) => Slices<T>,
): Promise<T[]> {
  const { pixelLimit = PIXEL_LIMIT, alpha, signal, decodeTimeout: timeout, label = "the image" } = options;
  const format = ownFormatOf(bytes);
  const frames = format && FRAME_READERS[format];
  if (!frames) {
    const made = await decodeFor(bytes, options, use);
    return choose(1).map(() => made);
  }
  const read = await frames();
  const file: ImageFile = { bytes, label, pixelLimit };
  if (alpha === "white") throw broken(file, "is an animation, which is not laid on white; give its frames as images");
  const late = () => broken(file, `takes more than the ${timeout} ms of the option decodeTimeout`);
  return inSlices(() => read(file, choose, use), { signal, timeout }, late);
}

/** The error for a file of no format that is decoded here. */
function unknown(file: ImageFile, quotes: boolean): Error {
  const { bytes } = file;
  const names = new Intl.ListFormat("en-GB", { type: "disjunction" }).format(Object.keys(READERS));
  if (bytes.length === 0) return broken(file, `is not a ${names} file; it is empty`);
  const other = otherFormatOf(bytes);
  if (other) {
    return broken(file, `is in the format ${other}, which is decoded only by some browsers; convert it to PNG or JPEG`);
  }
  const begin = quotes ? `; it begins with ${printable(bytes.subarray(0, 8))}` : "";
  return broken(file, `is not a ${names} file${begin}`);
}

function checkDraft(draft: DecodeOptions["draft"]): void {
  if (!draft || [draft.width, draft.height].every((side) => Number.isInteger(side) && side > 0)) return;
  const rule = "must have a width and a height that are positive integers";
  throw new RangeError(`decode: draft ${rule}; got ${draft.width}×${draft.height}`);
}

/** Text in quotes, with what is not ASCII as hexadecimal. */
function printable(bytes: Uint8Array): string {
  const characters = Array.from(bytes, (byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return `"${characters.join("")}"`;
}
