/**
 * The affine crop of transformers' VitPoseImageProcessor: a box grows to the model's shape and by a quarter, and the middles of the
 * result's border pixels lie on its borders (UDP, Huang et al. 2020). Samples are scipy.ndimage's affine_transform of order 1 on
 * bytes: interpolated in f64 between the middles of pixels, 0 outside of them, rounded half up.
 */
import type { Box, Geometry, Size } from "./geometry.js";
import type { Slices } from "./slices.js";
import { readUpright, type Turned, uprightSize } from "./upright.js";

const { fround } = Math;

/** Center and size of a box as the library has them: f32, the size in units of 200 pixels unless the processor says another. */
export interface CropPlace {
  readonly center: readonly [x: number, y: number];
  readonly scale: readonly [width: number, height: number];
}

/** Most boxes of a photo: of 256×192 pixels each, their bytes are 147 MB. */
export const MAX_BOXES = 1000;

/** The part around a box by which it grows. */
const PADDING = 1.25;

/** The place of a box that has grown to the shape of the model's images and by a quarter. */
export function cropPlaceOf({ xmin, ymin, xmax, ymax }: Box, model: Size, unit = 200): CropPlace {
  let [width, height] = [xmax - xmin, ymax - ymin];
  const center = [fround(xmin + width * 0.5), fround(ymin + height * 0.5)] as const;
  const ratio = model.width / model.height;
  if (width > ratio * height) height = width / ratio;
  else if (width < ratio * height) width = height * ratio;
  const grown = (side: number) => fround(fround(side / unit) * PADDING);
  return { center, scale: [grown(width), grown(height)] };
}

/** A pixel's place on the photo, in middles of pixels: index · step + first. */
interface Axis {
  readonly step: number;
  readonly first: number;
}

/** The inverse of get_warp_matrix, whose elements are f32. */
function axesOf({ center, scale }: CropPlace, { width, height }: Size): [Axis, Axis] {
  const axis = (i: 0 | 1, pixels: number): Axis => {
    const size = fround(scale[i] * 200);
    const factor = (pixels - 1) / size;
    const offset = fround(factor * fround(fround(-0.5 * fround(center[i] * 2)) + fround(0.5 * size)));
    const step = 1 / fround(factor);
    return { step, first: -(step * offset) };
  };
  return [axis(0, width), axis(1, height)];
}

/** Refuses boxes that say nothing of a photo. */
function checkBoxes(boxes: readonly Box[], photo: Size): void {
  if (boxes.length === 0 || boxes.length > MAX_BOXES) {
    const rule = `a photo must have from 1 to ${MAX_BOXES} boxes, or none given for the whole of it`;
    throw new RangeError(`boxes: ${rule}; got ${boxes.length}`);
  }
  for (const [i, box] of boxes.entries()) {
    const sides = [box?.xmin, box?.ymin, box?.xmax, box?.ymax];
    const fault = (rule: string) => new RangeError(`boxes: box ${i} must ${rule}; got ${sides.join(", ")}`);
    if (!sides.every(Number.isFinite)) throw fault("have finite xmin, ymin, xmax and ymax");
    const { xmin, ymin, xmax, ymax } = box;
    if (!(xmax > xmin && ymax > ymin)) throw fault("have its xmax and ymax above its xmin and ymin");
    if (xmin >= photo.width || ymin >= photo.height || xmax <= 0 || ymax <= 0) {
      throw fault(`lie on the photo of ${photo.width}×${photo.height}, at least in part`);
    }
  }
}

/** A part of a photo that the model sees by itself. */
export interface Crop {
  /** As it was asked for. */
  readonly box: Box;
  readonly geometry: Geometry;
}

/** The crops of the boxes of an image, one after the other, each [height, width, 3] of the model's size. */
export function* cropping(
  image: Turned,
  boxes: readonly Box[] | undefined,
  model: Size,
  unit: number,
): Slices<{ data: Uint8Array; crops: Crop[] }> {
  const [width, height] = uprightSize(image);
  const photo = { width, height };
  const given = boxes ?? [{ xmin: 0, ymin: 0, xmax: width, ymax: height }];
  checkBoxes(given, photo);
  const data = new Uint8Array(3 * given.length * model.width * model.height);
  const crops: Crop[] = [];
  for (const [i, box] of given.entries()) {
    const axes = axesOf(cropPlaceOf(box, model, unit), model);
    const size = 3 * model.width * model.height;
    yield* warping(image, axes, model, data.subarray(i * size, (i + 1) * size));
    crops.push({ box, geometry: geometryOf(photo, axes, model) });
  }
  return { data, crops };
}

/** Where samples lie on an axis: between which pixels, and how much the second of them counts; -1 outside. */
function samplesOf({ step, first }: Axis, count: number, size: number) {
  const pixels = new Int32Array(count);
  const parts = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const place = i * step + first;
    pixels[i] = place >= 0 && place <= size - 1 ? Math.floor(place) : -1;
    parts[i] = place - Math.floor(place);
  }
  return { pixels, parts };
}

function* warping(image: Turned, [across, down]: [Axis, Axis], model: Size, out: Uint8Array): Slices<void> {
  const [width, height] = uprightSize(image);
  const columns = samplesOf(across, model.width, width);
  const rows = samplesOf(down, model.height, height);
  const seen = columns.pixels.filter((x) => x >= 0);
  if (seen.length === 0) return;
  // Columns that any sample reads, and the row last read.
  const left = seen[0]!;
  const count = Math.min(seen.at(-1)! + 2, width) - left;
  const { channels } = image;
  let [upper, lower] = [new Uint8Array(count * channels), new Uint8Array(count * channels)];
  let [upperAt, lowerAt] = [-1, -1];
  for (let y = 0; y < model.height; y++) {
    const row = rows.pixels[y]!;
    if (row < 0) continue;
    const next = Math.min(row + 1, height - 1);
    if (row === lowerAt) [upper, lower, upperAt, lowerAt] = [lower, upper, lowerAt, upperAt];
    if (row !== upperAt) readUpright(image, row, upper, left, count);
    if (next !== lowerAt) readUpright(image, next, lower, left, count);
    [upperAt, lowerAt] = [row, next];
    const v1 = rows.parts[y]!;
    const v0 = 1 - v1;
    for (let x = 0; x < model.width; x++) {
      const column = columns.pixels[x]!;
      if (column < 0) continue;
      const first = (column - left) * channels;
      const second = (Math.min(column + 1, width - 1) - left) * channels;
      const h1 = columns.parts[x]!;
      const h0 = 1 - h1;
      for (let c = 0; c < 3; c++) {
        const above = upper[first + c]! * v0 * h0 + upper[second + c]! * v0 * h1;
        const value = above + lower[first + c]! * v1 * h0 + lower[second + c]! * v1 * h1;
        out[3 * (y * model.width + x) + c] = value + 0.5;
      }
    }
    yield;
  }
}

/** The middle of pixel i of the result lies at i · step + first, in middles of pixels of the photo. */
function geometryOf(photo: Size, [across, down]: readonly [Axis, Axis], model: Size): Geometry {
  const offset = ({ step, first }: Axis) => 0.5 - (0.5 + first) / step;
  return {
    photo,
    resized: { width: photo.width / across.step, height: photo.height / down.step },
    offset: [offset(across), offset(down)],
    model,
  };
}
