/**
 * Videos: a patch has pixels of several frames (Arnab et al. 2021, "ViViT", section 3.2), so some frames one after the other are an image
 * with their channels, and the tokens of all such images are one sequence.
 */
import type { Tensor } from "./outputs.js";

export interface VideoConfig {
  /** Frames of a video, and those of them that a patch is of. */
  readonly frames: number;
  readonly tubelet: number;
  /** Positions are sinusoids (VideoMAE, Tong et al. 2022), not a table. */
  readonly sinusoids: boolean;
}

/** Frames [B, T, C, H, W] as images [B·T/t, C·t, H, W], the channels in the order (channel, frame), as a filter's weights have them. */
export function tubeletsOf({ dims, data }: Tensor, tubelet: number): Tensor {
  const [videos, frames, channels, height, width] = dims as [number, number, number, number, number];
  const area = height * width;
  const result = new Float32Array(data.length);
  let at = 0;
  for (let first = 0; first < videos * frames; first += tubelet)
    for (let c = 0; c < channels; c++)
      for (let frame = first; frame < first + tubelet; frame++, at += area) {
        const from = (frame * channels + c) * area;
        result.set(data.subarray(from, from + area), at);
      }
  return { dims: [(videos * frames) / tubelet, channels * tubelet, height, width], data: result };
}

/** Positions of Vaswani et al. 2017, [tokens, D]: sines and cosines beside each other, in f64 as VideoMAE has them. */
export function sinusoids(tokens: number, width: number): Float32Array {
  return Float32Array.from({ length: tokens * width }, (_, i) => {
    const [token, column] = [Math.floor(i / width), i % width];
    const angle = token / 10000 ** ((2 * Math.floor(column / 2)) / width);
    return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  });
}
