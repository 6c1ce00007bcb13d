/** Trimaps of masks, by which what a click selects is cut out. */
import { BACKGROUND, OBJECT, type Trimap, UNKNOWN } from "../image/trimap.js";

/** 1 where an object is and 0 elsewhere, line by line: the mask of a segment. */
export interface Mask {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Part of the longer side that is unknown on either side of an outline, unless it is said. */
const PART = 1 / 50;

/**
 * The trimap of a mask: a pixel is unknown where the square of 2·width + 1 pixels around it has some of the object and some that
 * are not, which is where OpenCV's dilate and erode by that square differ.
 * @param options width: pixels that are unknown on either side of the outline, by default a fiftieth of the longer side. As wide as hair
 *   and fur are long is right; what lies beyond it the model does not tell.
 * @throws RangeError for a mask that is none, or is of one kind.
 * @example
 * const mask = { width: 5, height: 1, data: Uint8Array.of(1, 1, 1, 0, 0) };
 * console.log(trimapOf(mask, { width: 1 }).data); // 255, 255, 128, 128, 0
 */
export function trimapOf(mask: Mask, options: { width?: number } = {}): Trimap {
  const { width: columns, height: rows, data } = Object(mask) as Mask;
  if (!(data instanceof Uint8Array) || !(data.length > 0) || data.length !== columns * rows) {
    const got = data instanceof Uint8Array ? `${data.length} bytes of ${columns}×${rows}` : typeof data;
    throw new RangeError(`trimapOf: mask must be { width, height, data }, a byte a pixel; got ${got}`);
  }
  const { width = Math.max(1, Math.round(PART * Math.max(columns, rows))) } = options;
  if (!Number.isSafeInteger(width) || width < 1) {
    throw new RangeError(`trimapOf: width must be a whole number of pixels from 1 on; got ${JSON.stringify(width)}`);
  }
  let area = 0;
  for (let i = 0; i < data.length; i++) {
    if (data[i]! > 1) throw new RangeError(`trimapOf: mask must be of 0 and 1; got ${data[i]} at ${i}`);
    area += data[i]!;
  }
  if (area === 0 || area === data.length) {
    throw new RangeError(`trimapOf: mask must have pixels of 0 and of 1; all of its ${data.length} are ${data[0]}`);
  }
  // Pixels of the object around each: sums along lines, and of these along columns.
  const across = new Int32Array(data.length);
  for (let y = 0; y < rows; y++) sumAround(data, across, y * columns, columns, 1, width);
  const around = new Int32Array(data.length);
  for (let x = 0; x < columns; x++) sumAround(across, around, x, rows, columns, width);
  const within = (at: number, side: number) => Math.min(at + width, side - 1) - Math.max(at - width, 0) + 1;
  const trimap = new Uint8Array(data.length);
  for (let y = 0, i = 0; y < rows; y++) {
    const height = within(y, rows);
    for (let x = 0; x < columns; x++, i++) {
      const all = height * within(x, columns);
      trimap[i] = around[i] === 0 ? BACKGROUND : around[i] === all ? OBJECT : UNKNOWN;
    }
  }
  return { width: columns, height: rows, data: trimap };
}

/** Sums of the values at most `reach` away from each of `count`, from `first` on, `stride` apart. */
function sumAround(
  values: Uint8Array | Int32Array,
  sums: Int32Array,
  first: number,
  count: number,
  stride: number,
  reach: number,
): void {
  let sum = 0;
  for (let i = 0; i < Math.min(reach, count); i++) sum += values[first + i * stride]!;
  for (let i = 0; i < count; i++) {
    if (i + reach < count) sum += values[first + (i + reach) * stride]!;
    if (i > reach) sum -= values[first + (i - reach - 1) * stride]!;
    sums[first + i * stride] = sum;
  }
}
