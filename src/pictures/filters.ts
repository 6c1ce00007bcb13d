/**
 * Principal components of the filters of the first layer (Dosovitskiy et al. 2021, figure 7, left): the patches of pixels that
 * the embedding tells apart.
 */
import type { Tensor } from "../vit/outputs.js";
import { principalComponents } from "./components.js";

/** Components that the paper shows. */
export const FILTERS = 28;

/**
 * The first `count` components of filters [D, C, height, width], [count, height, width, C], each of length 1: directions in pixel
 * space, of what the D filters differ by.
 */
export function filterComponents({ dims, data }: Tensor, count = FILTERS): Tensor & { readonly shares: Float64Array } {
  const [, channels, height, width] = dims as [number, number, number, number];
  const area = height * width;
  const { vectors, shares } = principalComponents(data, channels * area, count);
  const out = new Float32Array(vectors.length);
  for (let c = 0; c < shares.length; c++)
    for (let i = 0; i < area; i++)
      for (let channel = 0; channel < channels; channel++)
        out[(c * area + i) * channels + channel] = vectors[(c * channels + channel) * area + i]!;
  return { dims: [shares.length, height, width, channels], data: out, shares };
}
