/**
 * From a decoded image to a model's input, as its processor does it (processors.ts). Geometry and arithmetic are those of
 * transformers' PIL image processors and of torchvision under timm, or of transformers' torchvision image processors.
 */
import type { Crop, cropping } from "./affine.js";
import type { Alpha, Readable } from "./decode/file.js";
import type { Box, Geometry } from "./geometry.js";
import { kernelWith } from "./kernel.js";
import type { resizeBlurred } from "./owlv2.js";
import { geometryOf, type Place, type Placing, placeOf } from "./place.js";
import { type Filter, type Part, type Raster, resizing, resizingFramed } from "./resize.js";
import type { resizeByScipy } from "./scipy.js";
import type { Slices } from "./slices.js";
import type { resizeBytes, resizeValues, TorchvisionFilter } from "./torchvision.js";
import { uprightSize } from "./upright.js";

export type Three = readonly [number, number, number];

/**
 * Whose image processors are followed: transformers' on PIL images, the same on every machine, or its default ones on
 * torchvision, as they compute on a processor with vector instructions.
 */
export type Processor = Placing["processor"];

export interface Preprocessing extends Placing {
  /** Torchvision's processors take its nearest-exact for "nearest". */
  filter: Filter;
  /** Levels of the border, where the image is smaller than the result; zeros if not given. */
  fill?: Three;
  /** The image is made gray before it is resized, by Pillow's convert("L"), and pixel values have one channel. */
  gray?: boolean;
  /** The channels of pixel values are blue, green and red. */
  bgr?: boolean;
  /** Treatment of transparency: torchvision's processors with do_convert_rgb lay the image on white. */
  alpha: Alpha;
  /** Bytes are rescaled before they are resized, as f32 values: by OWLv2's processors, and torchvision's of DINOv3. */
  rescaleFirst: boolean;
  /**
   * pixel value = (byte · rescale - mean) / std, by channel, each step rounded to f32. Where torchvision's processors
   * rescale and normalize at once, rescale is 1, and mean and std are multiples of the checkpoint's.
   */
  rescale: number;
  mean: Three;
  std: Three;
  /** Boxes of an image, of processors that see boxes; the whole of it unless given. */
  boxes?: readonly Box[];
  /** Why no image can be prepared: no file says how, and the checkpoint's library has no default. */
  absent?: string;
}

const { fround } = Math;

/** RGB that a model sees, [height, width, 3], and how the photo lies in it. */
export interface SeenImage {
  /** Bytes, or values of f32 where the processor rescales first. */
  data: Uint8Array | Float32Array;
  width: number;
  height: number;
  readonly geometry: Geometry;
  /** Parts of the photo that the model sees by themselves: their pixels are one behind the other, each height × width. */
  readonly crops?: readonly Crop[];
  /** The part that is of the photo, where what is around it becomes values of 0. */
  readonly inside?: Part;
}

/** Refuses a preprocessing that has no bytes to give. */
export function checkBytes(name: string, { rescaleFirst }: Preprocessing): void {
  if (!rescaleFirst) return;
  throw new RangeError(`${name}: the processor of this model resizes values between 0 and 1, and has no bytes`);
}

/** Ways to resize of processors that are not Pillow's on bytes. */
export interface Resizers {
  readonly cropping?: typeof cropping;
  readonly resizeByScipy?: typeof resizeByScipy;
  readonly resizeBlurred?: typeof resizeBlurred;
  readonly resizeBytes?: typeof resizeBytes;
  readonly resizeValues?: typeof resizeValues;
}

/** Those that a preprocessing takes. */
export function importResizers({ processor, resize }: Preprocessing): Promise<Resizers> | Resizers {
  if (resize.mode === "affine") return import("./affine.js");
  if (resize.mode === "blurred") return processor === "pillow" ? import("./scipy.js") : import("./owlv2.js");
  return processor === "pillow" ? {} : import("./torchvision.js");
}

/** Bytes or values of the preprocessing's size, or of whole patches, in slices. */
export function* fitting(image: Readable, preprocessing: Preprocessing, resizers: Resizers): Slices<SeenImage> {
  const { filter, processor, resize, rescale, rescaleFirst } = preprocessing;
  const stored = { orientation: 1, channels: 3, ...image } as const;
  const [uprightWidth, uprightHeight] = uprightSize(stored);
  const photo = { width: uprightWidth, height: uprightHeight };
  if (resize.mode === "affine") {
    const { width, height, unit } = resize;
    const { data, crops } = yield* resizers.cropping!(stored, preprocessing.boxes, { width, height }, unit);
    return { data, width, height, geometry: crops[0]!.geometry, crops };
  }
  const place = placeOf(photo, preprocessing);
  const { resized, window } = place;
  const { width, height } = window;
  const source = preprocessing.gray ? inGray(stored) : stored;
  const { data } =
    resize.mode === "blurred"
      ? yield* (processor === "pillow" ? resizers.resizeByScipy! : resizers.resizeBlurred!)(source, rescale, resize)
      : yield* bordered(preprocessing, place, (inside) => {
          if (place.frame) return resizingFramed(image, place.frame, { ...resized, filter, window: inside });
          if (processor === "pillow") return resizing(source, { ...resized, filter, window: inside });
          const options = { ...resized, filter: TORCHVISION[filter]!, window: inside };
          return rescaleFirst
            ? resizers.resizeValues!(source, rescale, options)
            : resizers.resizeBytes!(source, options);
        });
  const geometry = wholeGeometry(geometryOf(photo, place), image);
  if (preprocessing.divisor === undefined && resize.mode !== "longest") return { data, width, height, geometry };
  const inside = { left: 0 - window.left, top: 0 - window.top, width: resized.width, height: resized.height };
  return { data, width, height, geometry, inside };
}

/** Each of an image's crops as an image; the image itself where it has none. */
export function cropsOf(image: SeenImage): SeenImage[] {
  const { data, width, height, crops } = image;
  if (!crops) return [image];
  const size = 3 * width * height;
  return crops.map((crop, i) => ({
    ...{ data: data.subarray(i * size, (i + 1) * size), width, height },
    ...{ geometry: crop.geometry, crops: [crop] },
  }));
}

/** The geometry of the whole photo, of which only a part of the pixels was decoded. */
function wholeGeometry(geometry: Geometry, { whole, orientation = 1 }: Readable): Geometry {
  if (!whole) return geometry;
  const { side } = whole;
  const [width, height] = uprightSize({ ...whole, orientation });
  const { photo, resized } = geometry;
  // The last pixels may stand for less than a whole side.
  const across = (resized.width * width) / (side * photo.width);
  const down = (resized.height * height) / (side * photo.height);
  return { ...geometry, photo: { width, height }, resized: { width: across, height: down } };
}

/** The part of a window that is of the image, and around it the border. */
function* bordered(
  { fill = [0, 0, 0] }: Preprocessing,
  { resized, window }: Place,
  resizeTo: (inside: Part) => Slices<{ data: Uint8Array | Float32Array }>,
): Slices<{ data: Uint8Array | Float32Array }> {
  const left = Math.max(window.left, 0);
  const top = Math.max(window.top, 0);
  const inside: Part = {
    left,
    top,
    width: Math.min(window.left + window.width, resized.width) - left,
    height: Math.min(window.top + window.height, resized.height) - top,
  };
  const { data } = yield* resizeTo(inside);
  if (inside.width === window.width && inside.height === window.height) return { data };
  const size = 3 * window.width * window.height;
  const padded = data instanceof Float32Array ? new Float32Array(size) : new Uint8Array(size);
  if (fill.some((level) => level !== 0)) for (let i = 0; i < size; i++) padded[i] = fill[i % 3]!;
  for (let y = 0; y < inside.height; y++) {
    const row = data.subarray(3 * y * inside.width, 3 * (y + 1) * inside.width);
    padded.set(row, 3 * ((y + top - window.top) * window.width + left - window.left));
  }
  return { data: padded };
}

/** Gray in three equal channels, so that it is resized as one is: Pillow's convert("L"), ITU-R 601-2 in 16 bits. */
function inGray(image: Raster): Raster {
  const { data, channels, width, height } = image;
  const gray = new Uint8Array(3 * width * height);
  for (let i = 0, at = 0; i < gray.length; i += 3, at += channels) {
    const [r, g, b] = channels === 1 ? [data[at]!, data[at]!, data[at]!] : [data[at]!, data[at + 1]!, data[at + 2]!];
    gray.fill((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16, i, i + 3);
  }
  return { ...image, data: gray, channels: 3 };
}

/** Filters by Pillow's names. */
const TORCHVISION: Partial<Record<Filter, TorchvisionFilter>> = {
  nearest: "nearest-exact",
  bilinear: "bilinear",
  bicubic: "bicubic",
  lanczos: "lanczos",
};

/**
 * Pixel values of RGB: f32 [3, height, width], each step rounded to f32 as in PyTorch and NumPy, in the order of RGB or BGR; of
 * gray images [1, height, width].
 * @param rgb height · width · 3 bytes, or values, as from `toSeen`.
 * @param out where to write them; a new array by default.
 */
export function toPixelValues(
  rgb: Uint8Array | Uint8ClampedArray | Float32Array,
  {
    width,
    height,
    rescale,
    mean,
    std,
    gray = false,
    bgr = false,
  }: Pick<Preprocessing, "width" | "height" | "rescale" | "mean" | "std" | "gray" | "bgr">,
  out: Float32Array = new Float32Array((gray ? 1 : 3) * width * height),
): Float32Array {
  const area = width * height;
  const values = (gray ? 1 : 3) * area;
  if (rgb.length !== 3 * area || out.length !== values) {
    const found = `${rgb.length} bytes and ${out.length} values`;
    const expected = gray ? `${3 * area} bytes and ${values} values` : `${3 * area} bytes and values`;
    throw new RangeError(`preprocessing: ${width}×${height} RGB has ${expected}; got ${found}`);
  }
  if (rgb instanceof Float32Array) return normalized(rgb, mean, std, out);
  const tables = pixelValueTables({ rescale, mean, std });
  const source = tables.byteLength;
  const result = source + 4 * Math.ceil((3 * area) / 4);
  const kernel = kernelWith(result + 12 * area);
  kernel.bytes.set(new Uint8Array(tables.buffer));
  kernel.bytes.set(rgb, source);
  kernel.pixel_values(result, source, 0, area);
  const made = new Float32Array(kernel.bytes.buffer, result, values);
  out.set(made);
  if (bgr) {
    out.set(made.subarray(2 * area), 0);
    out.set(made.subarray(0, area), 2 * area);
  }
  return out;
}

/** The images that a model sees of one: itself, or its windows. */
export function windowsOf(image: SeenImage): readonly SeenImage[] {
  const { geometry, data, width } = image;
  if (!geometry.windows) return [image];
  const side = geometry.model.width;
  return geometry.windows.map(([left, top]) => {
    const cut = data instanceof Float32Array ? new Float32Array(3 * side * side) : new Uint8Array(3 * side * side);
    for (let y = 0; y < side; y++) {
      const at = 3 * ((top + y) * width + left);
      cut.set(data.subarray(at, at + 3 * side), 3 * y * side);
    }
    return { data: cut, width: side, height: side, geometry };
  });
}

/** Pixel values of an image, [3, height, width], with zeros around what is of the photo. */
export function valuesOfSeen(
  { data, width, height, inside }: SeenImage,
  preprocessing: Preprocessing,
  out?: Float32Array,
): Float32Array {
  const values = toPixelValues(data, { ...preprocessing, width, height }, out);
  if (!inside) return values;
  const { left, top } = inside;
  for (let row = 0; row * width < values.length; row++) {
    const [y, at] = [row % height, row * width];
    if (y < top || y >= top + inside.height) values.fill(0, at, at + width);
    else {
      values.fill(0, at, at + left);
      values.fill(0, at + left + inside.width, at + width);
    }
  }
  return values;
}

/** Pixel values of values that are rescaled already. */
function normalized(rgb: Float32Array, mean: Three, std: Three, out: Float32Array): Float32Array {
  const area = rgb.length / 3;
  for (let c = 0; c < 3; c++) {
    const [m, s] = [fround(mean[c]!), fround(std[c]!)];
    for (let i = 0; i < area; i++) out[c * area + i] = fround(rgb[3 * i + c]! - m) / s;
  }
  return out;
}

/** The pixel value of each byte of each channel, [3, 256]. */
export function pixelValueTables({
  rescale,
  mean,
  std,
}: Pick<Preprocessing, "rescale" | "mean" | "std">): Float32Array {
  const tables = new Float32Array(3 * 256);
  for (let c = 0; c < 3; c++) {
    for (let v = 0; v < 256; v++) {
      tables[256 * c + v] = fround(fround(v * rescale) - fround(mean[c]!)) / fround(std[c]!);
    }
  }
  return tables;
}

/** Patches of pixel values [3, H, W], row by row, each in the order (y, x, channel), and their grid. */
export function patchesOf(values: Float32Array, { width, height }: { width: number; height: number }, patch: number) {
  const grid = [height / patch, width / patch] as const;
  const data = new Float32Array(values.length);
  let i = 0;
  for (let row = 0; row < grid[0]; row++)
    for (let column = 0; column < grid[1]; column++)
      for (let y = row * patch; y < (row + 1) * patch; y++)
        for (let x = column * patch; x < (column + 1) * patch; x++)
          for (let c = 0; c < 3; c++) data[i++] = values[(c * height + y) * width + x]!;
  return {
    pixelValues: { dims: [1, grid[0] * grid[1], 3 * patch * patch], data },
    spatialShapes: { dims: [1, 2], data: grid },
  };
}
