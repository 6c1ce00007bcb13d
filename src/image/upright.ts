/** Photos turned upright by their orientation (exif.ts), as Pillow's ImageOps.exif_transpose does. */
import type { Readable, RgbImage } from "./decode.js";
import type { Slices } from "./slices.js";

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
export function* kept(image: Readable): Slices<RgbImage> {
  const { data, width, height } = upright({ orientation: 1, channels: 3, ...image });
  const isPart = data.byteLength < data.buffer.byteLength;
  return { data: isPart ? data.slice() : data, width, height };
}
