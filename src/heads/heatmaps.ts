/**
 * Heatmaps of keypoints (ViTPose, Xu et al. 2022, section 3.1): a map of each keypoint, 1 where it is. The classic decoder enlarges
 * the patch tokens twice by a transposed convolution with batch norm; the simple one once, by interpolation.
 */
import type { Backend, Linear, Norm } from "../backend.js";
import type { LinearPlan, Planned, Planner, ValuesPlan } from "../planned.js";
import { convolutionRows, source, transposedRows, values } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import { type Integers, integersOf } from "../vit/inputs.js";
import type { Tensor } from "../vit/outputs.js";
import type { Encoded, Reader } from "../vit/reader.js";
import { type FeatureMap, planes, windowOf } from "../vit/resnet.js";
import type { Head, HeadPass } from "./head.js";
import { positive } from "./maps.js";

export interface HeatmapsConfig {
  /** Blocks behind which the backbone's feature maps are read, from 0, in order; -1: before the first. The head reads the last. */
  readonly blocks: readonly number[];
  readonly keypoints: number;
  /** Factor by which the simple decoder enlarges a map, or the channels of the classic one's maps. */
  readonly decoder: { readonly factor: number } | { readonly channels: number };
  /** Pairs of keypoints that are joined, where the file has them. */
  readonly edges: readonly (readonly [number, number])[] | undefined;
}

export interface Heatmaps {
  /** The classic decoder's transposed convolutions, 4×4 by 2; none of the simple one. */
  readonly deconvolutions: readonly Linear[];
  /** 3×3, or 1×1 in the classic decoder. */
  readonly conv: Linear;
}

const CONV = "head.conv";
const DECONVOLUTIONS = [
  { name: "head.deconv1", norm: "head.batchnorm1" },
  { name: "head.deconv2", norm: "head.batchnorm2" },
] as const;
const KERNEL = 4;
const STRIDE = 2;

/** Counts of batches, which take part in training alone. */
const UNREAD = /^head\.batchnorm[12]\.num_batches_tracked$/;

/** Sizes that the tensors of a head tell; undefined without one. */
export function observeHeatmaps(shapeOf: (tensor: string) => readonly number[] | undefined) {
  const conv = shapeOf(`${CONV}.weight`);
  if (conv?.length !== 4) return undefined;
  return {
    keypoints: conv[0]!,
    channels: shapeOf(`${DECONVOLUTIONS[0].name}.weight`)?.[1],
  };
}

/** @param width of the encoder's tokens. */
function planHeatmaps(
  { weightOf, biasOf }: Planner,
  { keypoints, decoder }: HeatmapsConfig,
  width: number,
): Planned<Heatmaps> {
  const classic = "channels" in decoder;
  const inputs = classic ? decoder.channels : width;
  const kernel = classic ? 1 : 3;
  const rows = convolutionRows({ outputs: keypoints, channels: inputs, kernel });

  function deconvolution({ name, norm }: (typeof DECONVOLUTIONS)[number], i: number, outputs: number): LinearPlan {
    const channels = i === 0 ? width : outputs;
    const all = STRIDE * STRIDE * outputs;
    // Each output once for each pixel that is made at once.
    const vector = (part: string): ValuesPlan =>
      values(`${norm}.${part}`, [outputs], (x) => Float32Array.from({ length: all }, (_, at) => x[at % outputs]!));
    const arrange = transposedRows({ outputs, channels, kernel: KERNEL, stride: STRIDE });
    return {
      place: "linear",
      ...{ outputs: all, inputs: (KERNEL / STRIDE) ** 2 * channels },
      weight: [source(weightOf(name), [channels, outputs, KERNEL, KERNEL], all, { arrange })],
      bias: [],
      batchNorm: {
        eps: 1e-5,
        values: {
          ...{ scale: vector("weight"), shift: vector("bias") },
          ...{ mean: vector("running_mean"), variance: vector("running_var") },
        },
      },
    };
  }

  return {
    deconvolutions: classic ? DECONVOLUTIONS.map((names, i) => deconvolution(names, i, decoder.channels)) : [],
    conv: {
      place: "linear",
      ...{ outputs: keypoints, inputs: kernel * kernel * inputs },
      weight: [source(weightOf(CONV), [keypoints, inputs, kernel, kernel], keypoints, { arrange: rows })],
      bias: [source(biasOf(CONV), [keypoints], keypoints)],
      // A keypoint's place is between pixels, by the logarithms of small values: integers would move it.
      exact: true,
    },
  };
}

/** Config of a model that may have the head. */
interface Config {
  readonly heatmaps?: HeatmapsConfig;
  readonly width: number;
}

interface Weights {
  readonly heatmaps: Heatmaps | undefined;
  /** Norm behind the encoder. */
  readonly norm: Norm | undefined;
}

/** Reads the backbone's maps while the encoder runs, and decodes the last; undefined where no output needs it. */
function passOf(
  backend: Backend,
  { heatmaps, norm }: Weights,
  config: HeatmapsConfig,
  { wants, outputs }: Call,
): HeadPass | undefined {
  if (!wants("heatmaps") && !wants("featureMaps")) return undefined;
  const weights = heatmaps!;
  const last = config.blocks.at(-1)!;
  const featureMaps: Promise<Tensor>[] = [];
  if (wants("featureMaps")) outputs.featureMaps = featureMaps;
  let tokens: FeatureMap | undefined;

  const mapOf = (images: number, height: number, width: number, channels: number): FeatureMap => ({
    x: backend.createTensor(images * height * width, channels),
    ...{ height, width },
  });

  const reader: Reader = {
    blocks: config.blocks,
    tokens(block, { images, z, grid }) {
      const kept = mapOf(images, ...grid, z.cols);
      backend.layerNorm(kept.x, z, norm!);
      if (wants("featureMaps")) {
        featureMaps.push(tensorOf(backend.read(kept.x), [images, grid[0] * grid[1], z.cols]));
      }
      if (block === last) tokens = kept;
    },
  };

  /** The classic decoder: each map twice as large. */
  function enlarged(map: FeatureMap, images: number): FeatureMap {
    return weights.deconvolutions.reduce(({ x, height, width }, layer) => {
      const out = mapOf(images, STRIDE * height, STRIDE * width, layer.outputs / STRIDE ** 2);
      const sizes = { height, width, kernel: KERNEL, stride: STRIDE };
      backend.convolveTransposed(out.x, x, layer, sizes, { activation: "relu" });
      return out;
    }, map);
  }

  /** The simple one: max(x, 0), interpolated. */
  function interpolated({ x, height, width }: FeatureMap, images: number, factor: number): FeatureMap {
    const out = mapOf(images, factor * height, factor * width, x.cols);
    const sizes = { height, width, outHeight: out.height, outWidth: out.width, aligned: false };
    backend.resizeMap(out.x, positive(backend, x), sizes);
    return out;
  }

  function run({ images }: Encoded): void {
    if (!wants("heatmaps")) return;
    const { decoder, keypoints } = config;
    const classic = "channels" in decoder;
    const map = classic ? enlarged(tokens!, images) : interpolated(tokens!, images, decoder.factor);
    const made = mapOf(images, map.height, map.width, keypoints);
    if (classic) backend.linear(made.x, map.x, weights.conv);
    else backend.convolve(made.x, map.x, weights.conv, windowOf(map, 3, 1, "symmetric"));
    outputs.heatmaps = planes(backend, made, images);
  }

  return { reader, run };
}

/** Heatmaps of mirrored images as those of the images: pairs of keypoints change places, and each map is mirrored. */
function flippedBack({ dims, data }: Tensor, pairs: readonly (readonly [number, number])[]): Tensor {
  const [images, keypoints, height, width] = dims as [number, number, number, number];
  const from = Array.from({ length: keypoints }, (_, i) => i);
  for (const [left, right] of pairs) [from[left], from[right]] = [right, left];
  const result = new Float32Array(data.length);
  let at = 0;
  for (let image = 0; image < images; image++)
    for (let keypoint = 0; keypoint < keypoints; keypoint++)
      for (let y = 0; y < height; y++) {
        const line = ((image * keypoints + from[keypoint]!) * height + y) * width;
        for (let x = width - 1; x >= 0; x--) result[at++] = data[line + x]!;
      }
  return { dims, data: result };
}

/**
 * Costs for an image of this grid.
 * @param width of the encoder's tokens.
 * @returns multiply-adds of products, and elements of the maps that are there at once, about.
 */
function costsOf(
  { keypoints, decoder }: HeatmapsConfig,
  width: number,
  [rows, columns]: readonly [number, number],
): { readonly products: number; readonly elements: number } {
  const area = rows * columns;
  if ("factor" in decoder) {
    const large = area * decoder.factor ** 2;
    return { products: large * 9 * width * keypoints, elements: 2 * area * width + large * (width + keypoints) };
  }
  const { channels } = decoder;
  const taps = (KERNEL / STRIDE) ** 2;
  const [middle, large] = [area * STRIDE ** 2, area * STRIDE ** 4];
  return {
    products: middle * taps * width * channels + large * channels * (taps * channels + keypoints),
    elements: area * width + (middle + large) * channels + large * keypoints,
  };
}

/** Elements of the largest matrix that an image of this grid needs, its rows filled to eight columns. */
function largestOf(
  { keypoints, decoder }: HeatmapsConfig,
  width: number,
  [rows, columns]: readonly [number, number],
): number {
  const to8 = (n: number) => Math.ceil(n / 8) * 8;
  if ("factor" in decoder) return rows * columns * decoder.factor ** 2 * to8(Math.max(width, keypoints));
  return rows * columns * 16 * to8(Math.max(decoder.channels, keypoints));
}

/** Keypoints that are each other's mirror images. */
function pairsOf(flipPairs: Integers, { keypoints }: HeatmapsConfig): [number, number][] {
  const flat = integersOf("flipPairs", flipPairs, [flipPairs.dims?.[0] ?? 0, 2]);
  const bad = flat.find((i) => !(Number.isSafeInteger(i) && i >= 0 && i < keypoints));
  if (bad !== undefined) throw new RangeError(`forward: flipPairs must be from 0 to ${keypoints - 1}; got ${bad}`);
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!]);
}

/** Takes flipPairs; gives heatmaps and featureMaps. */
export const heatmaps: Head<Config, Weights, Heatmaps> = {
  plan: (planner, { heatmaps, width }) => planHeatmaps(planner, heatmaps!, width),
  unread: UNREAD,
  largest: ({ heatmaps, width }, grid) => largestOf(heatmaps!, width, grid),
  costs: ({ heatmaps, width }, grid) => costsOf(heatmaps!, width, grid),
  begin({ weights, config }, { flipPairs }) {
    const pairs = flipPairs && pairsOf(flipPairs, config.heatmaps!);
    return {
      pass: (backend, call) => passOf(backend, weights, config.heatmaps!, call),
      finish: ({ heatmaps }) => (heatmaps && pairs ? { heatmaps: flippedBack(heatmaps, pairs) } : {}),
    };
  },
};
