/** Photos turned upright by their orientation (exif.ts), as Pillow's ImageOps.exif_transpose does. */
import type { Readable, RgbImage } from "./decode/file.js";
import type { Slices } from "./slices.js";

/** Pixels of some channels as stored, and how EXIF says to turn them. */
export interface Turned {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels: number;
  orientation: number;
}

/** How an orientation from 1 to 8 turns an image: first it is mirrored, then rows become columns. */
export const turnOf = (orientation: number) => ({
  mirrorsX: [2, 3, 7, 8].includes(orientation),
  mirrorsY: [3, 4, 6, 7].includes(orientation),
  transposes: orientation >= 5,
});

/** Width and height of an image turned upright. */
export const uprightSize = ({ width, height, orientation }: Omit<Turned, "data" | "channels">): [number, number] =>
  orientation >= 5 ? [height, width] : [width, height];

/** In stored pixels: where the upright image begins, and the steps to its next column and row. */
export function uprightSteps({ width, height, orientation }: Omit<Turned, "data" | "channels">) {
  const { mirrorsX, mirrorsY, transposes } = turnOf(orientation);
  const start = (mirrorsX ? width - 1 : 0) + (mirrorsY ? (height - 1) * width : 0);
  const [x, y] = [mirrorsX ? -1 : 1, mirrorsY ? -width : width];
  return transposes ? { start, column: y, row: x } : { start, column: x, row: y };
}

/** Columns that are read of one row after the other, so that what is near in storage is still in the cache. */
const BLOCK = 64;

/** Rows of an image turned upright, from `first` on, as many as fill `target`; of each, `count` columns from `left` on. */
export function readUpright(
  image: Turned,
  first: number,
  target: Uint8Array,
  left = 0,
  count = uprightSize(image)[0] - left,
): void {
  const { data, channels } = image;
  const { start, column, row } = uprightSteps(image);
  const rows = target.length / (count * channels);
  if (column === 1 && (rows === 1 || row === count)) {
    const from = channels * (start + first * row + left);
    target.set(data.subarray(from, from + target.length));
    return;
  }
  const step = channels * column;
  for (let x = 0; x < count; x += BLOCK) {
    const block = Math.min(BLOCK, count - x);
    for (let y = 0; y < rows; y++) {
      let from = channels * (start + (first + y) * row + (left + x) * column);
      let to = channels * (y * count + x);
      for (let i = 0; i < block; i++, from += step) {
        for (let c = 0; c < channels; c++) target[to++] = data[from + c]!;
      }
    }
  }
}

/** Bytes that are turned between two yields. */
const STRETCH = 1 << 20;

/** A copy of the image, turned upright. */
export function* turning(image: Turned): Slices<RgbImage> {
  const { channels } = image;
  const data = new Uint8Array(image.data.length);
  const [width, height] = uprightSize(image);
  const rows = Math.max(1, Math.floor(STRETCH / (width * channels)));
  const columns = Math.min(width, STRETCH);
  for (let y = 0; y < height; y += rows) {
    for (let x = 0; x < width; x += columns) {
      const count = Math.min(columns, width - x);
      const from = y * width + x;
      const pixels = count * Math.min(rows, height - y);
      readUpright(image, y, data.subarray(channels * from, channels * (from + pixels)), x, count);
      yield;
    }
  }
  return { data, width, height };
}

/** An image that is upright, and whose pixels stay. */
export function* kept(image: Readable): Slices<RgbImage> {
  const { data, width, height, orientation = 1 } = image;
  const isOwn = orientation === 1 && data.byteLength === data.buffer.byteLength;
  return isOwn ? { data, width, height } : yield* turning({ ...image, channels: 3, orientation });
}
