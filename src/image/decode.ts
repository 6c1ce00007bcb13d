/**
 * Decoding JPEG, PNG, WebP and GIF to RGB, to the byte as Pillow does it:
 * `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`.
 */
import { ascii, broken, type ImageFile, PIXEL_LIMIT, type Reader } from "./file.js";
import { decodeGif } from "./gif.js";
import { decodeJpeg } from "./jpeg.js";
import { decodePng } from "./png.js";
import { kept } from "./upright.js";
import { decodeWebp } from "./webp.js";

/** 8-bit RGB: width · height · 3 bytes, row by row. */
export interface RgbImage {
  data: Uint8Array;
  width: number;
  height: number;
}

export interface DecodeOptions {
  /** A file with more pixels is refused before anything is allocated for them. Default: 178,956,970, as in Pillow. */
  pixelLimit?: number;
  /** What error messages call the image. */
  name?: string;
}

/** By the first bytes; a file's name says nothing. */
function readerOf({ bytes }: ImageFile): Reader | undefined {
  const start = ascii(bytes, 0, 12);
  if (start.startsWith("\xff\xd8\xff")) return decodeJpeg;
  if (start.startsWith("\x89PNG\r\n\x1a\n")) return async (file, use) => use(await decodePng(file));
  if (start.startsWith("RIFF") && start.endsWith("WEBP")) return decodeWebp;
  if (/^GIF8[79]a/.test(start)) return async (file, use) => use(await decodeGif(file));
  return undefined;
}

/**
 * The pixels of an encoded image, turned upright by its EXIF orientation. Alpha is dropped, not composited; palettes
 * and CMYK become RGB, colour profiles are ignored, 16 bits become the upper 8, of an animation the first frame counts.
 * @throws Error: one sentence that names the file, for one that is truncated, corrupt, too large or of another format.
 */
export async function decode(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  return decodeFor(bytes, options, kept);
}

/** An image whose pixels may lie in a decoder's memory, and be as they are stored. */
export type Readable = RgbImage & { orientation?: number };

/**
 * What `use` makes of an image as it is stored, whose pixels may be gone when it returns. A photo then takes the memory of its
 * pixels once.
 * @throws Error as `decode`.
 */
export async function decodeFor<T>(bytes: Uint8Array, options: DecodeOptions, use: (image: Readable) => T): Promise<T> {
  const { pixelLimit = PIXEL_LIMIT, name } = options;
  const file: ImageFile = { bytes, label: name === undefined ? "the image" : `"${name}"`, pixelLimit };
  const read = readerOf(file);
  if (!read) {
    const found = bytes.length === 0 ? "it is empty" : `it begins with ${printable(bytes.subarray(0, 8))}`;
    throw broken(file, `is not a JPEG, PNG, WebP or GIF file; ${found}`);
  }
  return read(file, use);
}

/** Text in quotes, with what is not ASCII as hexadecimal. */
function printable(bytes: Uint8Array): string {
  const characters = Array.from(bytes, (byte) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  return `"${characters.join("")}"`;
}
