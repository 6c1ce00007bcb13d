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
    throw broken(
      file,
      `says that it is ${width}×${height}, ${found} pixels, and the limit is ${limit}; raise the option pixelLimit to decode it`,
    );
  }
}

/** RGB of RGBA: alpha is dropped, not composited, as in Pillow's convert("RGB"). */
export function dropAlpha(rgba: Uint8Array | Uint8ClampedArray): Uint8Array {
  // Four pixels are four words in and three words out, in half the time that it takes by bytes; this is a tenth of
  // decoding a JPEG. Words are taken to be little-endian, as they are wherever WebAssembly runs.
  const aligned = rgba.byteOffset % 4 === 0 ? rgba : rgba.slice();
  const pixels = new Uint32Array(aligned.buffer, aligned.byteOffset, rgba.length >> 2);
  const words = new Uint32Array(3 * Math.ceil(pixels.length / 4));
  for (let from = 0, to = 0; from < pixels.length; from += 4, to += 3) {
    const b = pixels[from + 1];
    const c = pixels[from + 2];
    const d = pixels[from + 3];
    words[to] = (pixels[from] & 0xffffff) | (b << 24);
    words[to + 1] = ((b >>> 8) & 0xffff) | (c << 16);
    words[to + 2] = ((c >>> 16) & 0xff) | (d << 8);
  }
  return new Uint8Array(words.buffer, 0, 3 * pixels.length);
}

export const ascii = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, to));

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export function concatenate(parts: readonly ArrayLike<number>[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
