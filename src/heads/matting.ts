/**
 * Alpha maps (ViTMatte, Yao et al. 2023, section 3.3): which part of a pixel is of an object. The map of a ViTDet's tokens is enlarged
 * twofold, again and again, and each time convolved with details of that size, which convolutions make of the image and its trimap.
 *
 * Where the library lays maps side by side before a convolution, the convolutions of both are added here. What is as fine as the image
 * is made some lines at a time: of a photo of 1024×1024 a map of 64 channels is 268 MB.
 */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import type { Arrange, BatchNormPlan, LinearPlan, Planned, Planner } from "../planned.js";
import { convolutionRows, source, values } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Inputs } from "../vit/inputs.js";
import type { Tensor } from "../vit/outputs.js";
import type { Encoded } from "../vit/reader.js";
import { type FeatureMap, planes, windowOf } from "../vit/resnet.js";
import { nextTask } from "../waiting.js";
import type { Head, HeadPass } from "./head.js";
import { inBands, positive } from "./maps.js";

export interface MattingConfig {
  /** Blocks behind which the maps of a ViTDet are read, from 0; -1: before the first. The decoder reads the last. */
  readonly blocks: readonly number[];
  /** Channels of the details, each of half the size of those before, and of the fused maps, each of twice; of a ViTDet alone none. */
  readonly decoder:
    | { readonly details: readonly number[]; readonly fused: readonly number[]; readonly eps: number }
    | undefined;
}

/** The two parts of a convolution of 3×3 of maps that the library lays side by side. */
export interface Fusion {
  readonly detail: Linear;
  readonly features: Linear;
}

export interface Matting {
  readonly decoder:
    | {
        /** 3×3 by 2. */
        readonly details: readonly Linear[];
        readonly fusions: readonly Fusion[];
        /** 3×3, and 1×1. */
        readonly hidden: Linear;
        readonly alpha: Linear;
      }
    | undefined;
}

const DETAIL = "decoder.convstream.convs.#";
const FUSION = "decoder.fusion_blocks.#.conv";
const HIDDEN = "decoder.matting_head.matting_convs.0";
const HIDDEN_NORM = "decoder.matting_head.matting_convs.1";
const ALPHA = "decoder.matting_head.matting_convs.3";
const at = (name: string, i: number) => name.replace("#", String(i));

/** Channels of the map before the last convolution. */
const HIDDEN_CHANNELS = 16;
/** Channels of an image and its trimap. */
const INPUTS = 4;
/** Most maps: a side of 2¹⁶ pixels has no more. */
const MAX_MAPS = 16;

/** Counts of batches, which take part in training alone. */
const UNREAD = /^decoder\..*\.num_batches_tracked$/;

/** Channels that the tensors of a decoder tell; undefined without one. */
export function observeMatting(shapeOf: (tensor: string) => readonly number[] | undefined) {
  const channels = (name: string) => {
    const all: number[] = [];
    for (let i = 0; i < MAX_MAPS; i++) {
      const outputs = shapeOf(`${at(name, i)}.conv.weight`)?.[0];
      if (outputs === undefined) break;
      all.push(outputs);
    }
    return all;
  };
  const [details, fused] = [channels(DETAIL), channels(FUSION)];
  return details.length > 0 ? { details, fused } : undefined;
}

/** @param width of the encoder's tokens. */
function planDecoder(
  { weightOf, biasOf }: Planner,
  { details, fused, eps }: NonNullable<MattingConfig["decoder"]>,
  width: number,
): Planned<NonNullable<Matting["decoder"]>> {
  // In int8 the head was off by 0.44 % of alpha, its encoder by 0.25 %. With what reads pixels and what is read in the end in f32,
  // which are small, it is 0.12 %.
  const exact = { exact: true } as const;
  const zeros: Arrange = (x) => new Float32Array(x.length);

  /** @param shifts false of one of two convolutions that are added. */
  function batchNorm(norm: string, channels: number, own: number, shifts = true, bias?: string): BatchNormPlan {
    const vector = (part: string, arrange?: Arrange) => values(`${norm}.${part}`, [channels], arrange);
    return {
      eps: own,
      values: {
        ...{ scale: vector("weight"), variance: vector("running_var") },
        ...{
          shift: vector("bias", shifts ? undefined : zeros),
          mean: vector("running_mean", shifts ? undefined : zeros),
        },
        ...(bias && { bias: values(bias, [channels]) }),
      },
    };
  }

  /** A convolution of 3×3 of `inputs` of `all` channels, those from `from` on. */
  function part(name: string, outputs: number, all: number, from: number, inputs: number): LinearPlan {
    const rows = convolutionRows({ outputs, channels: inputs, kernel: 3 });
    const arrange: Arrange = (filters) => {
      const own = new Float32Array(outputs * inputs * 9);
      for (let o = 0; o < outputs; o++) {
        const first = (o * all + from) * 9;
        own.set(filters.subarray(first, first + inputs * 9), o * inputs * 9);
      }
      return rows(own);
    };
    return {
      place: "linear",
      ...{ outputs, inputs: 9 * inputs, bias: [] },
      weight: [source(weightOf(`${name}.conv`), [outputs, all, 3, 3], outputs, { arrange })],
      batchNorm: batchNorm(`${name}.batch_norm`, outputs, eps, from === 0),
      ...(inputs === INPUTS && exact),
    };
  }

  const streamed = [INPUTS, ...details];
  const enlarged = [width, ...fused];
  const last = fused.at(-1)!;
  const hidden = convolutionRows({ outputs: HIDDEN_CHANNELS, channels: last, kernel: 3 });
  return {
    details: details.map((outputs, i) => part(at(DETAIL, i), outputs, streamed[i]!, 0, streamed[i]!)),
    fusions: fused.map((outputs, i) => {
      const [detail, features] = [streamed[details.length - i]!, enlarged[i]!];
      return {
        detail: part(at(FUSION, i), outputs, detail + features, 0, detail),
        features: part(at(FUSION, i), outputs, detail + features, detail, features),
      };
    }),
    hidden: {
      place: "linear",
      ...{ outputs: HIDDEN_CHANNELS, inputs: 9 * last, bias: [], ...exact },
      weight: [source(weightOf(HIDDEN), [HIDDEN_CHANNELS, last, 3, 3], HIDDEN_CHANNELS, { arrange: hidden })],
      batchNorm: batchNorm(HIDDEN_NORM, HIDDEN_CHANNELS, 1e-5, true, biasOf(HIDDEN)),
    },
    alpha: {
      place: "linear",
      ...{ outputs: 1, inputs: HIDDEN_CHANNELS, ...exact },
      weight: [source(weightOf(ALPHA), [1, HIDDEN_CHANNELS, 1, 1], 1)],
      bias: [source(biasOf(ALPHA), [1], 1)],
    },
  };
}

/** Config of a model that may have the head. */
interface Config {
  readonly matting?: MattingConfig;
  readonly width: number;
  readonly patchSize: readonly [number, number];
}

/** Pixel values as rows, [height·width, C], of an image's lines from `top` on. */
function linesOf(pixels: Float32Array, channels: number, width: number, top: number, count: number): Float32Array {
  const plane = pixels.length / channels;
  const rows = new Float32Array(count * width * channels);
  for (let c = 0; c < channels; c++) {
    const from = c * plane + top * width;
    for (let i = 0; i < count * width; i++) rows[i * channels + c] = pixels[from + i]!;
  }
  return rows;
}

/** Reads the maps of the backbone while the encoder runs, and decodes the last; undefined where no output needs it. */
function passOf(
  backend: Backend,
  { decoder }: Matting,
  { blocks }: MattingConfig,
  { wants, outputs, signal }: Call,
  { dims, data }: Tensor,
  image: number,
): HeadPass | undefined {
  if (!wants("alphas") && !wants("featureMaps")) return undefined;
  const [, channels, height, width] = dims as [number, number, number, number];
  const pixels = data.subarray(image * channels * height * width, (image + 1) * channels * height * width);
  const featureMaps: Promise<Tensor>[] = [];
  if (wants("featureMaps")) outputs.featureMaps = featureMaps;
  let last: FeatureMap | undefined;
  const mapOf = (height: number, width: number, channels: number): FeatureMap => ({
    x: backend.createTensor(height * width, channels),
    ...{ height, width },
  });

  /** relu(x·w + y·v), of convolutions of 3×3. */
  function fuse(out: Matrix, detail: Matrix, features: Matrix, layers: Fusion, window: ReturnType<typeof windowOf>) {
    const mark = backend.mark();
    const sum = backend.createTensor(out.rows, out.cols);
    backend.convolve(sum, detail, layers.detail, window);
    backend.convolve(sum, features, layers.features, window, { accumulate: true });
    positive(backend, sum, out);
    backend.release(mark);
  }

  /** Lets the event loop turn, by which a signal may end the call. */
  async function pause(): Promise<void> {
    if (signal) await nextTask();
    signal?.throwIfAborted();
  }

  async function run({ images }: Encoded): Promise<void> {
    if (!wants("alphas")) return;
    const { details: layers, fusions, hidden, alpha } = decoder!;
    const details: FeatureMap[] = [];
    let from: FeatureMap = { x: backend.createTensor(height * width, channels), height, width };
    backend.write(from.x, linesOf(pixels, channels, width, 0, height));
    for (const layer of layers) {
      const window = windowOf(from, 3, 2, "symmetric");
      const map = mapOf(window.outHeight, window.outWidth, layer.outputs);
      backend.convolve(map.x, from.x, layer, window, { activation: "relu" });
      details.push(map);
      from = map;
    }
    let features = last!;
    for (const [i, layer] of fusions.slice(0, -1).entries()) {
      await pause();
      const detail = details.at(-1 - i)!;
      const fused = mapOf(detail.height, detail.width, layer.detail.outputs);
      const mark = backend.mark();
      const enlarged = mapOf(detail.height, detail.width, features.x.cols);
      backend.resizeMap(enlarged.x, features.x, sizesOf(features, detail));
      fuse(fused.x, detail.x, enlarged.x, layer, windowOf(detail, 3, 1, "symmetric"));
      backend.release(mark);
      features = fused;
    }
    await pause();

    /** Lines that a convolution of 3×3 makes of those around them. */
    const around = (top: number, count: number) => {
      const first = Math.max(top - 1, 0);
      return { first, count: Math.min(top + count + 1, height) - first, before: top - first };
    };
    const windowOfLines = (lines: { count: number; before: number }, count: number) => ({
      ...{ height: lines.count, width, kernel: 3, stride: 1, left: 1, top: 1 - lines.before },
      ...{ outHeight: count, outWidth: width },
    });
    const layer = fusions.at(-1)!;
    const sizes = { images, height, width, channels: 1, columns: Math.max(features.x.cols, 9 * layer.detail.outputs) };
    const scores = inBands(backend, sizes, (top, count) => {
      const inner = around(top, count);
      const outer = around(inner.first, inner.count);
      const enlarged = backend.createTensor(outer.count * width, features.x.cols);
      const { first, count: lines } = outer;
      backend.resizeMap(enlarged, features.x, {
        ...sizesOf(features, { height, width }),
        rows: { first, count: lines },
      });
      const detail = backend.createTensor(outer.count * width, channels);
      backend.write(detail, linesOf(pixels, channels, width, outer.first, outer.count));
      const fused = backend.createTensor(inner.count * width, layer.detail.outputs);
      fuse(fused, detail, enlarged, layer, windowOfLines(outer, inner.count));
      const map = backend.createTensor(count * width, hidden.outputs);
      backend.convolve(map, fused, hidden, windowOfLines(inner, count), { activation: "relu" });
      const out = backend.createTensor(count * width, 1);
      backend.linear(out, map, alpha);
      return out;
    });
    const sigmoid = scores.then((all) => all.map((x) => 1 / (1 + Math.exp(-x))));
    outputs.alphas = tensorOf(sigmoid, [images, 1, height, width]);
  }

  return {
    reader: {
      blocks,
      tokens(_, { images, tokens, z, grid }) {
        const map = mapOf(images * grid[0], grid[1], z.cols);
        backend.readout(map.x, z, { tokens, prefix: 0, readout: "ignore" });
        last = { x: map.x, height: grid[0], width: grid[1] };
        if (wants("featureMaps")) featureMaps.push(planes(backend, last, images));
      },
    },
    run,
  };
}

/** Sizes of a map that becomes as large as another. */
const sizesOf = (from: { height: number; width: number }, to: { height: number; width: number }) => ({
  ...{ height: from.height, width: from.width },
  ...{ outHeight: to.height, outWidth: to.width, aligned: false },
});

/** Refuses images that cannot be halved as often as the maps are. */
function checkSides({ pixelValues }: Inputs, [height, width]: readonly [number, number]): void {
  const [rows = 0, columns = 0] = pixelValues?.dims?.slice(2) ?? [];
  if (rows % height === 0 && columns % width === 0) return;
  throw new RangeError(
    `forward: for alphas the sides of pixelValues must be multiples of ${height} and ${width}; got ${rows}×${columns}`,
  );
}

/** Gives alphas and featureMaps. */
export const matting: Head<Config, { readonly matting: Matting | undefined }, Matting> = {
  plan: (planner, { matting, width }) => ({
    decoder: matting!.decoder && planDecoder(planner, matting!.decoder, width),
  }),
  unread: UNREAD,
  largest({ matting, width }, [rows, columns]) {
    const { details, fused } = matting!.decoder ?? { details: [], fused: [] };
    const to8 = (n: number) => Math.ceil(n / 8) * 8;
    const enlarged = [width, ...fused].slice(0, -2).map((channels, i) => 4 ** (i + 1) * to8(channels));
    const own = details.map((channels, i) => 4 ** (details.length - i) * to8(channels));
    return rows * columns * Math.max(to8(width), 4 ** fused.length * to8(INPUTS), ...enlarged, ...own);
  },
  costs({ matting, width }, [rows, columns]) {
    const { details, fused } = matting!.decoder ?? { details: [], fused: [] };
    const streamed = [INPUTS, ...details];
    const enlarged = [width, ...fused];
    const patches = rows * columns;
    const area = (i: number) => patches * 4 ** (i + 1);
    const pixels = patches * 4 ** fused.length;
    const stream = details.reduce((sum, c, i) => sum + (pixels / 4 ** (i + 1)) * 9 * c * streamed[i]!, 0);
    const fusions = fused.reduce(
      (sum, c, i) => sum + area(i) * 9 * c * (enlarged[i]! + streamed[details.length - i]!),
      0,
    );
    const last = fused.length > 0 ? pixels * HIDDEN_CHANNELS * (9 * fused.at(-1)! + 1) : 0;
    const maps = fused.slice(0, -1).reduce((sum, c, i) => sum + area(i) * (c + streamed[details.length - i]!), 0);
    return { products: stream + fusions + last, elements: maps + pixels * (fused.length > 0 ? 9 : 0) };
  },
  begin({ weights, config }, inputs, wanted) {
    if (wanted.includes("alphas")) checkSides(inputs, config.patchSize);
    return {
      alone: true,
      pass: (backend, call, image) =>
        passOf(backend, weights.matting!, config.matting!, call, inputs.pixelValues!, image),
    };
  },
};
