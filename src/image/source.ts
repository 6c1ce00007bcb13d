/** Everything that counts as an image for the library, read into RGB. */
import { readFile } from "../platform/files.js";
import type { DecodeOptions, Readable, RgbImage } from "./decode.js";
import { checkSize, dropAlpha, PIXEL_LIMIT } from "./file.js";
import { inSlices, type Slices } from "./slices.js";
import { kept } from "./upright.js";

/** Pixels in memory: RGB or RGBA, 8 bits, row by row. ImageData is one. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** What a browser can draw. */
export type Drawable = HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | VideoFrame;

/** A path or URL, an encoded file, pixels, or something that a browser can draw. */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | Pixels | Drawable;

export type OpenImageOptions = DecodeOptions;

/**
 * RGB of an image from anywhere; files are decoded, the others copied. Alpha is dropped.
 * @throws Error: one sentence that names the image, see `decode`; TypeError for something that is not an image.
 */
export async function openImage(input: ImageInput, options: OpenImageOptions = {}): Promise<RgbImage> {
  return openImageFor(input, options, kept);
}

/** Opens an image and makes something of it, in slices; see `decodeFor`. */
export async function openImageFor<T>(
  input: ImageInput,
  options: OpenImageOptions,
  use: (image: Readable) => Slices<T>,
): Promise<T> {
  const { signal, pixelLimit = PIXEL_LIMIT, name = nameOf(input), decodeTimeout: timeout } = options;
  signal?.throwIfAborted();
  const encoded = await readEncoded(input, { signal, pixelLimit });
  signal?.throwIfAborted();
  if (encoded) {
    // Pixels need no decoder: a bundle loads them for the first file.
    const { decodeFor } = await import("./decode.js");
    return decodeFor(encoded, { ...options, pixelLimit, name }, use);
  }

  const label = name === undefined ? "the image" : `"${name}"`;
  const check = (width: number, height: number) =>
    checkSize({ bytes: new Uint8Array(), label, pixelLimit }, width, height);
  const late = () => new Error(`image: ${label} takes more than the ${timeout} ms of the option decodeTimeout`);
  if (isPixels(input)) {
    check(input.width, input.height);
    return inSlices(() => use(copyPixels(input, label)), { signal, timeout }, late);
  }
  const size = drawableSize(input);
  if (!size) {
    const found = input === null ? "null" : ((input as object)?.constructor?.name ?? typeof input);
    throw new TypeError(
      `image: ${label} must be a path, URL, encoded bytes, pixels or something drawable; got ${found}`,
    );
  }
  check(...size);
  return inSlices(() => use(draw(input as Drawable, ...size)), { signal, timeout }, late);
}

/** The name for messages, where the input has one. */
export function nameOf(input: ImageInput): string | undefined {
  if (typeof input === "string") return input.length > 200 ? `${input.slice(0, 60)}…` : input;
  if (input instanceof URL) return nameOf(input.href);
  return typeof File !== "undefined" && input instanceof File ? input.name : undefined;
}

/** The bytes of an encoded image; undefined for pixels and what can be drawn. */
export async function readEncoded(
  input: ImageInput,
  { signal, pixelLimit = PIXEL_LIMIT }: Pick<OpenImageOptions, "signal" | "pixelLimit">,
): Promise<Uint8Array | undefined> {
  // No format takes more bytes a pixel than 16-bit RGBA.
  if (typeof input === "string" || input instanceof URL) return readFile(input, { signal, maxBytes: 8 * pixelLimit });
  if (input instanceof Uint8Array) return input;
  if (input instanceof ArrayBuffer) return new Uint8Array(input);
  if (input instanceof Blob) return new Uint8Array(await input.arrayBuffer());
  return undefined;
}

const isPixels = (input: unknown): input is Pixels => typeof input === "object" && input !== null && "data" in input;

function copyPixels({ data, width, height }: Pixels, label: string): RgbImage {
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new TypeError(`image: data of ${label} must be a Uint8Array or Uint8ClampedArray`);
  }
  if (!Number.isInteger(width) || !Number.isInteger(height)) {
    throw new RangeError(`image: width and height of ${label} must be integers; got ${width} and ${height}`);
  }
  if (data.length === 4 * width * height) return { data: dropAlpha(data), width, height };
  if (data.length === 3 * width * height) return { data: new Uint8Array(data), width, height };
  const expected = `${3 * width * height} bytes (RGB) or ${4 * width * height} (RGBA)`;
  throw new RangeError(`image: data of ${label}, ${width}×${height}, must have ${expected}; got ${data.length}`);
}

/** Size in pixels of the picture itself, not of how it is shown; undefined for what cannot be drawn. */
export function drawableSize(input: unknown): [number, number] | undefined {
  if (typeof input !== "object" || input === null) return undefined;
  const { naturalWidth, naturalHeight, displayWidth, displayHeight, width, height } = input as Record<string, unknown>;
  for (const size of [
    [naturalWidth, naturalHeight],
    [displayWidth, displayHeight],
    [width, height],
  ]) {
    if (size.every((n) => typeof n === "number")) return size as [number, number];
  }
  return undefined;
}

/** RGB of what a browser can draw, by a canvas. */
export function draw(input: Drawable, width: number, height: number): RgbImage {
  if (typeof OffscreenCanvas === "undefined") {
    throw new TypeError("image: elements and frames can be drawn only where OffscreenCanvas is; give a file or pixels");
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`image: no 2D canvas of ${width}×${height} is available`);
  context.drawImage(input, 0, 0, width, height);
  return { data: dropAlpha(context.getImageData(0, 0, width, height).data), width, height };
}
