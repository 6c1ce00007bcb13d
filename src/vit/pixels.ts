/** Pixels as patches are cut from them: with the border that a model wants, and normalized by the model itself where it does so. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import type { DrawnValues } from "./inputs.js";
import type { Tensor } from "./outputs.js";
import type { PlacesConfig } from "./places.js";

/** Mean and deviation of each channel, by which the model normalizes pixel values itself (RADIO), [C]. */
export interface Conditioner {
  readonly mean: Float32Array;
  readonly std: Float32Array;
}

/** Pixel values of images in the backend's memory, [images · channels, height · width]. */
export interface Pixels {
  readonly x: Matrix;
  readonly height: number;
  readonly width: number;
}

/** x ∈ ℝ^{H×W×C} of which patches are cut. */
export function pixelsToCut(
  backend: Backend,
  { conditioner }: { readonly conditioner: Conditioner | undefined },
  {
    interpolation,
    patchSize,
    patchPadding,
  }: Pick<PlacesConfig, "interpolation" | "patchSize"> & { readonly patchPadding?: number },
  values: Tensor | DrawnValues,
): Pixels {
  const whole = interpolation.pad ? padded(values, patchSize) : values;
  const bordered = patchPadding ? moved(whole, patchPadding) : whole;
  return pixelsOf(backend, conditioner ? conditioned(bordered, conditioner) : bordered);
}

/** Pixel values as they are. */
export function pixelsOf(backend: Backend, values: Tensor | DrawnValues): Pixels {
  const [images, channels, height, width] = values.dims as [number, number, number, number];
  const x = backend.createTensor(images * channels, height * width);
  const drawn = "sampling" in values && backend.draw?.(x, values.image, values.sampling);
  if (!drawn) backend.write(x, values.data);
  return { x, height, width };
}

/** (x - mean) / std, each step rounded to f32. */
function conditioned({ dims, data }: Tensor, { mean, std }: Conditioner): Tensor {
  const [, channels, height, width] = dims as [number, number, number, number];
  const area = height * width;
  const result = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const channel = Math.floor(i / area) % channels;
    result[i] = Math.fround(data[i]! - mean[channel]!) / std[channel]!;
  }
  return { dims, data: result };
}

/** Zeros at the bottom and right, to whole patches. */
function padded(values: Tensor, patch: readonly [number, number]): Tensor {
  const [images, channels, height, width] = values.dims as [number, number, number, number];
  const [newHeight, newWidth] = [Math.ceil(height / patch[0]) * patch[0], Math.ceil(width / patch[1]) * patch[1]];
  if (newHeight === height && newWidth === width) return values;
  const { data } = values;
  const result = new Float32Array(images * channels * newHeight * newWidth);
  for (let plane = 0; plane < images * channels; plane++)
    for (let y = 0; y < height; y++) {
      const row = data.subarray((plane * height + y) * width, (plane * height + y + 1) * width);
      result.set(row, (plane * newHeight + y) * newWidth);
    }
  return { dims: [images, channels, newHeight, newWidth], data: result };
}

/**
 * The image further down and to the right, with zeros in the place of what it leaves: patches cut from it are those of an image with
 * such a border on all sides, whose other side no patch reaches.
 */
function moved(values: Tensor, by: number): Tensor {
  const [images, channels, height, width] = values.dims as [number, number, number, number];
  const { data } = values;
  const result = new Float32Array(data.length);
  for (let plane = 0; plane < images * channels; plane++)
    for (let y = by; y < height; y++) {
      const from = (plane * height + y - by) * width;
      result.set(data.subarray(from, from + width - by), (plane * height + y) * width + by);
    }
  return { dims: values.dims, data: result };
}
