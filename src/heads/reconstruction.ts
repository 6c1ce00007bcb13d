/**
 * Pictures of what is hidden: by a decoder of all patches, of which the encoder sees few (MAE, He et al. 2022, section 3), or by a layer
 * on each token, of which some stand for hidden patches (SimMIM, Xie et al. 2022; transformers' ViTForMaskedImageModeling).
 */
import type { Backend, Linear, Norm } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import { values } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import { type Block, type EncoderConfig, encode } from "../vit/encoder.js";
import { checkNumbers, type Inputs, integersOf } from "../vit/inputs.js";
import { gridOf, type PlacesConfig } from "../vit/places.js";
import type { Encoded } from "../vit/reader.js";
import type { Head, HeadCall, Place } from "./head.js";

/** Sizes of MAE's decoder, and the part of the patches that is hidden from the encoder; without, a layer on each token. */
export interface ReconstructionConfig {
  readonly decoder?: EncoderConfig & {
    readonly maskRatio: number;
    /** Patches that it tells have a mean of 0 and a variance of 1. */
    readonly normalized: boolean;
  };
}

export interface Reconstruction {
  /** Stands for a hidden patch, [D] of the encoder, or of the decoder. */
  readonly maskToken: Float32Array;
  /** D → P·P·channels of a patch's pixels. */
  readonly pixels: Linear;
  readonly decoder: Decoder | undefined;
}

interface Decoder {
  /** From the encoder's D. */
  readonly embed: Linear;
  /** [1 + N, D] */
  readonly positions: Float32Array;
  readonly blocks: readonly Block[];
  readonly norm: Norm;
}

/** Whole names. */
export interface ReconstructionNames {
  readonly maskToken: string;
  readonly pixels: string;
  /** Names of the decoder, beside which those above are others. */
  readonly decoder: Readonly<Record<"maskToken" | "pixels" | "embed" | "positions" | "norm", string>>;
}

interface Config extends PlacesConfig {
  readonly reconstruction?: ReconstructionConfig;
  readonly inputChannels: number;
}

function planReconstruction(
  planner: Planner,
  config: Config,
  { prefix, names, blocks }: Place<ReconstructionNames>,
): Planned<Reconstruction> {
  const { decoder } = config.reconstruction!;
  const { width, patchSize, inputChannels } = config;
  const outputs = inputChannels * patchSize[0] * patchSize[1];
  if (!decoder) {
    return {
      maskToken: values(prefix + names.maskToken, [width]),
      pixels: planner.linear([names.pixels], outputs, width, { biased: true }),
      decoder: undefined,
    };
  }
  const own = names.decoder;
  const [rows, columns] = gridOf(config, config.imageSize);
  return {
    maskToken: values(own.maskToken, [decoder.width]),
    pixels: planner.linear([own.pixels], outputs, decoder.width, { biased: true }),
    decoder: {
      embed: planner.linear([own.embed], decoder.width, width, { biased: true }),
      positions: values(own.positions, [1 + rows * columns, decoder.width]),
      blocks: blocks(decoder, decoder.depth),
      norm: planner.norm(own.norm, decoder.width, decoder.eps),
    },
  };
}

/** Images of a call. */
interface Images {
  readonly images: number;
  readonly grid: readonly [number, number];
}

/** Patches that stand for others, 1 where boolMaskedPos says so, and pixels of all of them behind the encoder, [B, C, H, W]. */
function beginTokens(
  { maskToken, pixels }: Reconstruction,
  { patchSize, prefixTokens }: Config,
  { boolMaskedPos }: Inputs,
  { images, grid }: Images,
): HeadCall {
  const patches = grid[0] * grid[1];
  const hidden = boolMaskedPos && integersOf("boolMaskedPos", boolMaskedPos, [images, patches]);
  const bad = hidden?.find((x) => x !== 0 && x !== 1);
  if (bad !== undefined) throw new RangeError(`forward: boolMaskedPos must be 0 or 1; got ${bad}`);
  return {
    pass(backend, { wants, outputs }, image) {
      const hide = (rows: Float32Array) => {
        const { length } = maskToken;
        for (let i = 0; i < rows.length / length; i++)
          if (hidden![image * patches + i]) rows.set(maskToken, i * length);
      };
      return {
        ...(hidden && { masking: { patches: hide } }),
        run(encoded) {
          if (!wants("reconstruction")) return;
          const { z, images, tokens } = encoded;
          const own = backend.createTensor(images * patches, z.cols);
          backend.readout(own, z, { tokens, prefix: prefixTokens, readout: "ignore" });
          const told = backend.createTensor(images * patches, pixels.outputs);
          backend.linear(told, own, pixels);
          const [height, width] = [grid[0] * patchSize[0], grid[1] * patchSize[1]];
          const planes = backend.read(told).then((rows) => shuffled(rows, images, grid, patchSize));
          const channels = pixels.outputs / (patchSize[0] * patchSize[1]);
          outputs.reconstruction = tensorOf(planes, [images, channels, height, width]);
        },
      };
    },
  };
}

/** Pixels of patches, [B·N, C·P·P] in the order (channel, y, x), in their places: [B, C, H, W]. */
function shuffled(
  rows: Float32Array,
  images: number,
  [down, across]: readonly [number, number],
  [height, width]: readonly [number, number],
): Float32Array {
  const channels = rows.length / (images * down * height * across * width);
  const planes = new Float32Array(rows.length);
  let at = 0;
  for (let image = 0; image < images; image++)
    for (let row = 0; row < down; row++)
      for (let column = 0; column < across; column++)
        for (let c = 0; c < channels; c++)
          for (let y = 0; y < height; y++, at += width) {
            const line = ((image * channels + c) * down + row) * height + y;
            planes.set(rows.subarray(at, at + width), (line * across + column) * width);
          }
  return planes;
}

/** Patches by their noise, the smallest first; equal ones in their order. */
const byNoise = (noise: Float32Array): number[] => [...noise.keys()].sort((a, b) => noise[a]! - noise[b]! || a - b);

/** Keeps the patches of the least noise for the encoder, and decodes all. */
function beginDecoder(weights: Reconstruction, config: Config, { noise }: Inputs, { images, grid }: Images): HeadCall {
  const { maskRatio, ...decoder } = config.reconstruction!.decoder!;
  const patches = grid[0] * grid[1];
  if (!noise)
    throw new TypeError(`forward: a decoder of hidden patches needs noise: { dims: [${images}, ${patches}], data }`);
  checkNumbers("noise", noise, [images, patches]);
  const kept = Math.trunc(patches * (1 - maskRatio));
  const orders = Array.from({ length: images }, (_, i) => byNoise(noise.data.subarray(i * patches, (i + 1) * patches)));
  return {
    pass(backend, call, image) {
      const own = (i: number) => orders[image + i]!;
      return {
        masking: { kept: (i) => own(i).slice(0, kept) },
        async run(encoded) {
          if (call.wants("logits")) await decode(backend, weights, decoder, encoded, { kept, own }, call);
        },
      };
    },
    finish(outputs) {
      const restore = Float32Array.from(orders.flatMap((order) => placesOf(order)));
      const idsRestore = { dims: [images, patches], data: restore };
      const mask = { dims: [images, patches], data: restore.map((place) => Number(place >= kept)) };
      return { ...outputs, idsRestore, mask };
    },
  };
}

/** Place of each patch in an order. */
function placesOf(order: readonly number[]): number[] {
  const places = new Array<number>(order.length);
  for (const [place, patch] of order.entries()) places[patch] = place;
  return places;
}

/** Mask tokens take the places of hidden patches. Gives logits, [B, N, P·P·C] in the order (y, x, channel). */
async function decode(
  backend: Backend,
  { decoder, maskToken, pixels }: Reconstruction,
  config: EncoderConfig,
  { z, images, tokens }: Encoded,
  { kept, own }: { readonly kept: number; readonly own: (image: number) => readonly number[] },
  { outputs, signal }: Call,
): Promise<void> {
  const { embed, positions, blocks, norm } = decoder!;
  const { width } = config;
  const seen = backend.createTensor(z.rows, width);
  backend.linear(seen, z, embed);
  const rows = await backend.read(seen);
  const all = positions.length / width;
  const data = new Float32Array(images * all * width);
  for (let image = 0; image < images; image++) {
    const put = (token: number, row: Float32Array) => {
      for (let i = 0; i < width; i++) data[(image * all + token) * width + i] = row[i]! + positions[token * width + i]!;
    };
    const token = (i: number) => rows.subarray((image * tokens + i) * width, (image * tokens + i + 1) * width);
    put(0, token(0));
    for (const [i, patch] of own(image).entries()) put(1 + patch, i < kept ? token(1 + i) : maskToken);
  }
  const x = backend.createTensor(images * all, width, data);
  await encode(backend, config, blocks, x, { images, tokens: all }, {}, { signal });
  const patches = backend.createTensor(images * (all - 1), width);
  backend.layerNorm(x, x, norm);
  backend.readout(patches, x, { tokens: all, prefix: 1, readout: "ignore" });
  const told = backend.createTensor(images * (all - 1), pixels.outputs);
  backend.linear(told, patches, pixels);
  outputs.logits = tensorOf(backend.read(told), [images, all - 1, pixels.outputs]);
}

/** Gives reconstruction, or logits of patches with mask and idsRestore. */
export const reconstruction: Head<
  Config,
  { readonly reconstruction: Reconstruction | undefined },
  Reconstruction,
  ReconstructionNames
> = {
  plan: planReconstruction,
  readsVectors: () => true,
  begin({ weights, config }, inputs, wanted) {
    const { decoder } = config.reconstruction!;
    const asked = wanted.some((name) => name === "reconstruction" || name === "mask" || name === "idsRestore");
    const [given, other] = decoder ? (["noise", "boolMaskedPos"] as const) : (["boolMaskedPos", "noise"] as const);
    if (inputs[other]) throw new RangeError(`forward: this checkpoint hides patches by ${given}; got ${other}`);
    if (!asked && !inputs[given] && !(decoder && wanted.includes("logits"))) return undefined;
    const [images = 0, , height = 0, width = 0] = inputs.pixelValues?.dims ?? [];
    const sizes = { images, grid: gridOf(config, [height, width]) };
    return (decoder ? beginDecoder : beginTokens)(weights.reconstruction!, config, inputs, sizes);
  },
};
