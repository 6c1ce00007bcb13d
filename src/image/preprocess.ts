/**
 * A model's preprocessing, as processors.ts reads it, the RGB that it makes (fitting.ts), and pixel values of that. Geometry and
 * arithmetic are those of transformers' PIL image processors and of torchvision under timm, or of transformers' torchvision ones.
 */
import type { Crop } from "./affine.js";
import type { Alpha } from "./decode/file.js";
import type { Box, Geometry } from "./geometry.js";
import { kernelWith } from "./kernel.js";
import type { Placing } from "./place.js";
import type { Filter, Part } from "./resize.js";

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
  /** Factor of the levels of a trimap, which are a fourth channel of pixel values (ViTMatte). */
  trimap?: number;
  /** The channels of pixel values are blue, green and red. */
  bgr?: boolean;
  /** Treatment of transparency: transformers' processors with do_convert_rgb lay the image on white. */
  alpha: Alpha;
  /** Bytes are rescaled before they are resized, as f32 values: by OWLv2's processors, and torchvision's of DINOv3. */
  rescaleFirst: boolean;
  /**
   * pixel value = (byte · rescale - offset - mean) / std, by channel, each step rounded to f32. Where torchvision's processors
   * rescale and normalize at once, rescale is 1, and mean and std are multiples of the checkpoint's.
   */
  rescale: number;
  /** ViViT's processor takes off 1; none unless given. */
  offset?: number;
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
  /** Frames of a clip, whose pixels are one behind the other, each height × width. */
  readonly frames?: number;
  /** The part that is of the photo, where what is around it becomes values of 0. */
  readonly inside?: Part;
}

/** Refuses a preprocessing that has no bytes to give. */
export function checkBytes(name: string, { rescaleFirst }: Preprocessing): void {
  if (!rescaleFirst) return;
  throw new RangeError(`${name}: the processor of this model resizes values between 0 and 1, and has no bytes`);
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
    offset,
    mean,
    std,
    gray = false,
    bgr = false,
  }: Pick<Preprocessing, "width" | "height" | "rescale" | "offset" | "mean" | "std" | "gray" | "bgr">,
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
  const tables = pixelValueTables({ rescale, offset, mean, std });
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
  offset = 0,
  mean,
  std,
}: Pick<Preprocessing, "rescale" | "offset" | "mean" | "std">): Float32Array {
  const tables = new Float32Array(3 * 256);
  for (let c = 0; c < 3; c++) {
    for (let v = 0; v < 256; v++) {
      tables[256 * c + v] = fround(fround(fround(v * rescale) - offset) - fround(mean[c]!)) / fround(std[c]!);
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
