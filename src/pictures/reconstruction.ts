/** Patches that a model imagines where it sees nothing (He et al. 2022, figure 2), from those that are left. */
import type { Tensor } from "../vit/outputs.js";
import type { SeeingModel, Seen } from "./see.js";

/** Part of the patches that is hidden from a model without a decoder, as in SimMIM (Xie et al. 2022, section 4.1). */
const HIDDEN = 0.6;

/** A number of each patch from 0 to 1, the same for the same seed (mulberry32; not torch's). */
export function patchNoise(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  });
}

/** Pixel values of an image as they are where it is seen, and as the model imagines them elsewhere. */
export interface Imagined {
  /** Patches that are hidden, line by line. */
  readonly hidden: readonly boolean[];
  /** [C, H, W], of all patches. */
  readonly data: Float32Array;
}

/** Hides patches of a photo by noise of a seed, and asks the model for them. */
export async function imagine(
  { config, forward }: SeeingModel,
  { inputs: { pixelValues }, grid }: Seen,
  { seed, signal }: { readonly seed: number; readonly signal: AbortSignal | undefined },
): Promise<Imagined> {
  const count = grid[0] * grid[1];
  const data = patchNoise(count, seed);
  const noise = { dims: [1, count], data };
  if (config.reconstruction?.decoder) {
    const { logits, mask } = await forward({ pixelValues, noise }, { outputs: ["logits", "mask"], signal });
    const { normalized } = config.reconstruction.decoder;
    return { hidden: Array.from(mask.data, (x) => x === 1), data: planesOf(logits, pixelValues, grid, normalized) };
  }
  const order = [...data.keys()].sort((a, b) => data[a]! - data[b]!);
  const hidden = new Array<boolean>(count).fill(false);
  for (const patch of order.slice(0, Math.round(HIDDEN * count))) hidden[patch] = true;
  const boolMaskedPos = { dims: [1, count], data: hidden.map(Number) };
  const { reconstruction } = await forward({ pixelValues, boolMaskedPos }, { outputs: ["reconstruction"], signal });
  return { hidden, data: reconstruction.data };
}

/**
 * Patches [1, N, P·P·C] in the order (y, x, channel) as planes [C, H, W]. Where the model was trained on patches of mean 0 and variance
 * 1, each gets those of the photo, as in MAE's own pictures.
 */
function planesOf(
  { data: told }: Tensor,
  { dims, data: photo }: Tensor,
  [rows, columns]: readonly [number, number],
  normalized: boolean,
): Float32Array {
  const [, channels, height, width] = dims as [number, number, number, number];
  const [down, across] = [Math.floor(height / rows), Math.floor(width / columns)];
  const size = channels * down * across;
  const planes = new Float32Array(photo.length);
  for (let patch = 0; patch < rows * columns; patch++) {
    const [top, left] = [Math.floor(patch / columns) * down, (patch % columns) * across];
    const place = (i: number) => {
      const [c, pixel] = [i % channels, Math.floor(i / channels)];
      return (c * height + top + Math.floor(pixel / across)) * width + left + (pixel % across);
    };
    let [mean, variance] = [0, 0];
    if (normalized) {
      for (let i = 0; i < size; i++) mean += photo[place(i)]! / size;
      for (let i = 0; i < size; i++) variance += (photo[place(i)]! - mean) ** 2 / (size - 1);
    }
    const scale = normalized ? Math.sqrt(variance + 1e-6) : 1;
    for (let i = 0; i < size; i++) planes[place(i)] = told[patch * size + i]! * scale + mean;
  }
  return planes;
}

/** The photo without what is hidden, with what is imagined in its place, and as it is, beside each other as bytes [3, H, W, 3]. */
export function tilesOf(
  { hidden, data: imagined }: Imagined,
  { dims, data: photo }: Tensor,
  [rows, columns]: readonly [number, number],
): Uint8Array {
  const [, channels, height, width] = dims as [number, number, number, number];
  const area = height * width;
  const tiles = new Uint8Array(9 * area);
  for (let c = 0; c < 3; c++) {
    const plane = Math.min(c, channels - 1) * area;
    let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = plane; i < plane + area; i++) [low, high] = [Math.min(low, photo[i]!), Math.max(high, photo[i]!)];
    for (let i = 0; i < area; i++) {
      const row = Math.floor((Math.floor(i / width) * rows) / height);
      const away = hidden[row * columns + Math.floor(((i % width) * columns) / width)]!;
      const byteOf = (x: number) => Math.min(255, Math.max(0, (255 * (x - low)) / (high - low || 1))) + 0.5;
      const own = byteOf(photo[plane + i]!);
      for (const [tile, value] of [away ? 128 : own, away ? byteOf(imagined[plane + i]!) : own, own].entries()) {
        tiles[(tile * area + i) * 3 + c] = value;
      }
    }
  }
  return tiles;
}
