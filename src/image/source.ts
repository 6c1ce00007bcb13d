/** Everything that counts as an image for the library, read into RGB. */
import { isFile, readSource } from "../platform/files.js";
import { nameOf } from "../platform/web.js";
import type { Readable, RgbImage } from "./decode/file.js";
import { type Alpha, checkSize, PIXEL_LIMIT, rgbOfRgba } from "./decode/file.js";
import { drawnByBrowser, otherFormatOf } from "./decode/formats.js";
import type { DecodeOptions } from "./decode/index.js";
import { inSlices, type Slices } from "./slices.js";
import { kept } from "./upright.js";

/** Pixels in memory: RGB or RGBA, 8 bits, row by row. ImageData is one. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** Images that a browser can draw. */
export type Drawable = HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageBitmap | VideoFrame;

/** A path or URL, an encoded file, pixels, or something that a browser can draw. */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | Pixels | Drawable;

/**
 * Kinds of what an image may be given as: "bytes" in memory, encoded or as pixels, Blobs and what can be drawn among them; "files" by path
 * or file: URL; "urls" of http:, https:, data: and blob:, paths too where there is no file system.
 */
export type ImageSource = "bytes" | "files" | "urls";

export interface OpenImageOptions extends DecodeOptions {
  /** Kinds that the image may be of. Default: all; servers that pass on what they are sent allow "bytes" alone. */
  sources?: readonly ImageSource[];
  /** Used in place of the runtime's `fetch` for http: and https: addresses. */
  fetch?: typeof globalThis.fetch;
}

/** How an image is opened that has been read. */
export interface ReadOptions {
  /** How messages call it, in place of its name in quotes. */
  readonly label?: string;
  /** True if messages may quote it: not what was read from a path or an address. */
  readonly quotes?: boolean;
}

/**
 * RGB of an image from anywhere; files are decoded, the others copied. Alpha is dropped unless the options say more.
 * @throws Error: one sentence that names the image, see `decode`; TypeError for something that is not an image.
 */
export async function openImage(input: ImageInput, options: OpenImageOptions = {}): Promise<RgbImage> {
  checkSources("openImage", options.sources);
  return openImageFor(input, options, kept);
}

/** Opens an image and makes something of it, in slices; see `decodeFor`. */
export async function openImageFor<T>(
  input: ImageInput,
  options: OpenImageOptions & ReadOptions,
  use: (image: Readable) => Slices<T>,
): Promise<T> {
  const { signal, pixelLimit = PIXEL_LIMIT, alpha, decodeTimeout: timeout } = options;
  signal?.throwIfAborted();
  const read = await readEncoded(input, options);
  signal?.throwIfAborted();
  if (read) {
    // Pixels need no decoder: a bundle loads them for the first file.
    const { decodeFor } = await import("./decode/index.js");
    const bitmap = otherFormatOf(read.bytes) && (await drawnByBrowser(read.bytes));
    if (!bitmap) return decodeFor(read.bytes, { ...options, ...read.options }, use);
    const drawn = openImageFor(bitmap, { ...options, ...read.options }, use);
    return drawn.finally(() => bitmap.close());
  }

  const label = labelOf(input, options);
  const check = (width: number, height: number) =>
    checkSize({ bytes: new Uint8Array(), label, pixelLimit }, width, height);
  const late = () => new Error(`image: ${label} takes more than the ${timeout} ms of the option decodeTimeout`);
  if (isPixels(input)) {
    check(input.width, input.height);
    return inSlices(() => use(copyPixels(input, label, alpha)), { signal, timeout }, late);
  }
  const size = drawableSize(input);
  if (!size) {
    const found = input === null ? "null" : ((input as object)?.constructor?.name ?? typeof input);
    throw new TypeError(
      `image: ${label} must be a path, URL, encoded bytes, pixels or something drawable; got ${found}`,
    );
  }
  check(...size);
  return inSlices(() => use(draw(input as Drawable, ...size, alpha)), { signal, timeout }, late);
}

/** How messages call an image: its name in quotes, where it has one. */
export function labelOf(
  input: ImageInput,
  { label, name }: Pick<OpenImageOptions & ReadOptions, "label" | "name">,
): string {
  if (label !== undefined) return label;
  if (name !== undefined) return `"${name}"`;
  if (isPlace(input)) return `"${nameOf(input)}"`;
  return typeof File !== "undefined" && input instanceof File ? `"${input.name}"` : "the image";
}

const isPlace = (input: unknown): input is string | URL => typeof input === "string" || input instanceof URL;

/** Tells whether an image has to be fetched. */
export const isAddress = (input: unknown): boolean => isPlace(input) && !isFile(input);

const SOURCES: Readonly<Record<ImageSource, string>> = { bytes: "in memory", files: "a file", urls: "an address" };

/** Throws unless `sources` is an option as it must be. */
export function checkSources(call: string, sources: unknown): void {
  if (sources === undefined) return;
  if (Array.isArray(sources) && sources.length > 0 && sources.every((name) => Object.keys(SOURCES).includes(name)))
    return;
  const names = Object.keys(SOURCES).join(", ");
  throw new RangeError(`${call}: sources must be a list of ${names}; got ${JSON.stringify(sources)?.slice(0, 80)}`);
}

/** Throws unless an image is given as it may be. */
function checkAllowed(input: ImageInput, { sources, ...naming }: Omit<OpenImageOptions, "draft"> & ReadOptions): void {
  const source: ImageSource = !isPlace(input) ? "bytes" : isFile(input) ? "files" : "urls";
  if (!sources || sources.includes(source)) return;
  const what = `${labelOf(input, naming)} is ${SOURCES[source]}, and sources are ${sources.join(" and ")}`;
  const give = source === "bytes" ? "" : "give its bytes, or ";
  throw new Error(`image: ${what}; ${give}add "${source}" to the option sources`);
}

/**
 * Most bytes of an encoded image. No format takes more of them a pixel than 16-bit RGBA, and what is beside the pixels, such as
 * profiles, previews and later frames, is rarely a few megabytes. Counted while they arrive, as what a file says of itself may be
 * wrong.
 */
export const mostBytes = (pixelLimit = PIXEL_LIMIT): number => 8 * pixelLimit + 2 ** 26;

/** An encoded image in memory, and how it is opened from there. */
export interface Encoded {
  readonly bytes: Uint8Array;
  readonly options: ReadOptions & Pick<OpenImageOptions, "sources">;
}

/**
 * The bytes of an encoded image; undefined for pixels and what can be drawn.
 * @throws Error: one sentence, for an image that is given as it may not be, or cannot be read.
 */
export async function readEncoded(
  input: ImageInput,
  options: Omit<OpenImageOptions, "draft"> & ReadOptions,
): Promise<Encoded | undefined> {
  checkAllowed(input, options);
  const { signal, fetch, name, quotes } = options;
  const encoded = (bytes: Uint8Array, label = labelOf(input, options), own = quotes): Encoded => ({
    bytes,
    options: { label, quotes: own, sources: ["bytes"] },
  });
  if (isPlace(input)) {
    const { bytes, label } = await readSource(input, { signal, fetch, maxBytes: mostBytes(options.pixelLimit) });
    return encoded(bytes, name === undefined ? label : undefined, false);
  }
  if (input instanceof Uint8Array) return encoded(input);
  if (input instanceof ArrayBuffer) return encoded(new Uint8Array(input));
  if (!(input instanceof Blob)) return undefined;
  const most = mostBytes(options.pixelLimit);
  if (input.size > most) {
    const [found, limit] = [input.size, most].map((n) => n.toLocaleString("en-US"));
    throw new Error(`image: ${labelOf(input, options)} has ${found} bytes, and at most ${limit} are read`);
  }
  return encoded(new Uint8Array(await input.arrayBuffer()));
}

const isPixels = (input: unknown): input is Pixels => typeof input === "object" && input !== null && "data" in input;

function copyPixels({ data, width, height }: Pixels, label: string, alpha?: Alpha): RgbImage {
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) {
    throw new TypeError(`image: data of ${label} must be a Uint8Array or Uint8ClampedArray`);
  }
  if (!Number.isInteger(width) || !Number.isInteger(height)) {
    throw new RangeError(`image: width and height of ${label} must be integers; got ${width} and ${height}`);
  }
  if (data.length === 4 * width * height) return { data: rgbOfRgba(data, alpha), width, height };
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
export function draw(input: Drawable, width: number, height: number, alpha?: Alpha): RgbImage {
  if (typeof OffscreenCanvas === "undefined") {
    throw new TypeError("image: elements and frames can be drawn only where OffscreenCanvas is; give a file or pixels");
  }
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error(`image: no 2D canvas of ${width}×${height} is available`);
  context.drawImage(input, 0, 0, width, height);
  return { data: rgbOfRgba(context.getImageData(0, 0, width, height).data, alpha), width, height };
}
