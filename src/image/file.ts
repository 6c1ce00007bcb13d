/** What the readers of the formats share: the file they are given, how they fail, and the bytes they return. */

/** An encoded image on its way through a reader. */
export interface ImageFile {
  bytes: Uint8Array;
  /** How messages call it: its name in quotes, or "the image". */
  label: string;
  /** Largest number of pixels that may be decoded. */
  pixelLimit: number;
}

/** Decoded pixels, as stored: RGB side by side, row by row, and how EXIF says to turn them (1 to 8, 1 is upright). */
export interface StoredImage {
  data: Uint8Array;
  width: number;
  height: number;
  orientation: number;
}

/** The error for a file that cannot be decoded: `what` continues the sentence after the file's name. */
export const broken = (file: ImageFile, what: string): Error => new Error(`decode: ${file.label} ${what}`);

/** The check of a header, before anything is allocated for the pixels. */
export function checkSize(file: ImageFile, width: number, height: number): void {
  if (width < 1 || height < 1) throw broken(file, `says that it is ${width}×${height} pixels; both must be at least 1`);
  if (width * height > file.pixelLimit) {
    const [found, limit] = [width * height, file.pixelLimit].map((n) => n.toLocaleString("en-US"));
    throw broken(file, `says that it is ${width}×${height}, ${found} pixels, and the limit is ${limit}; raise the option pixelLimit to decode it`);
  }
}

/** RGB of RGBA: alpha is dropped, not composited, as in Pillow's convert("RGB"). */
export function dropAlpha(rgba: Uint8Array | Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}

export const ascii = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

export const viewOf = (bytes: Uint8Array): DataView =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function concatenate(parts: readonly ArrayLike<number>[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
