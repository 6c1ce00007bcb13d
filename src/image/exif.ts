/**
 * Which way up a photo is: the orientation tag of EXIF (JEITA CP-3451, tag 0x0112) or, where EXIF has none, of XMP,
 * found as Pillow's Image.getexif finds it, and applied as its ImageOps.exif_transpose does.
 */
import type { Readable, RgbImage } from "./decode.js";
import { ascii, viewOf } from "./file.js";

/** Orientation 1 to 8 of an EXIF block (TIFF bytes, with or without "Exif\0\0" before) or an XMP packet; 1 if unknown. */
export function orientationOf(exif: Uint8Array | undefined, xmp: string | undefined): number {
  const value = (exif && tiffOrientation(exif)) ?? Number(xmp?.match(/tiff:Orientation(?:="|>)([0-9])/)?.[1] ?? 1);
  return value >= 1 && value <= 8 ? value : 1;
}

function tiffOrientation(exif: Uint8Array): number | undefined {
  let tiff = exif;
  while (ascii(tiff, 0, 6) === "Exif\0\0") tiff = tiff.subarray(6);
  if (tiff.length < 8) return undefined;
  const view = viewOf(tiff);
  const little = tiff[0] === 0x49;
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return undefined;
  const entries = Math.min(view.getUint16(directory, little), Math.floor((tiff.length - directory - 2) / 12));
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const type = view.getUint16(entry + 2, little);
    if (type === 3) return view.getUint16(entry + 8, little);
    if (type === 4) return view.getUint32(entry + 8, little);
    if (type === 1) return view.getUint8(entry + 8);
  }
  return undefined;
}

/** Pixels of some channels as stored, and how EXIF says to turn them. */
interface Turned {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels: number;
  orientation: number;
}

/** Width and height of an image turned upright. */
export const uprightSize = ({ width, height, orientation }: Omit<Turned, "data" | "channels">): [number, number] =>
  orientation >= 5 ? [height, width] : [width, height];

/** Rows of an image turned upright, from `first` on, as many as fill `target`. */
export function readUpright(
  { data, width, height, channels, orientation }: Turned,
  first: number,
  target: Uint8Array,
): void {
  if (orientation === 1) {
    const from = first * width * channels;
    target.set(data.subarray(from, from + target.length));
    return;
  }
  // In stored pixels: where the result begins, and the steps to its next column and row.
  const flipsX = [2, 3, 7, 8].includes(orientation);
  const flipsY = [3, 4, 6, 7].includes(orientation);
  const start = (flipsX ? width - 1 : 0) + (flipsY ? (height - 1) * width : 0);
  const steps = [flipsX ? -1 : 1, flipsY ? -width : width];
  if (orientation >= 5) steps.reverse();
  const [column, row] = steps;
  const [columns] = uprightSize({ width, height, orientation });
  let to = 0;
  for (let y = first; to < target.length; y++) {
    let from = channels * (start + y * row);
    for (let x = 0; x < columns; x++, from += channels * column) {
      for (let c = 0; c < channels; c++) target[to++] = data[from + c];
    }
  }
}

/** The image turned upright. */
export function upright<Image extends Turned>(image: Image): Image {
  if (image.orientation === 1) return image;
  const data = new Uint8Array(image.data.length);
  readUpright(image, 0, data);
  const [width, height] = uprightSize(image);
  return { ...image, data, width, height, orientation: 1 };
}

/** An image that is upright, and whose pixels stay. */
export function kept(image: Readable): RgbImage {
  const { data, width, height } = upright({ orientation: 1, channels: 3, ...image });
  const isPart = data.byteLength < data.buffer.byteLength;
  return { data: isPart ? data.slice() : data, width, height };
}
