/** Feature vectors of images. */

import type { Config } from "../checkpoint/config.js";
import type { Clip } from "../image/clip.js";
import type { ImageInput } from "../image/source.js";
import { toUnit } from "../numerics/vectors.js";
import type { OutputName, Tensor } from "../vit/outputs.js";
import { concat, meanRow } from "./rows.js";
import type { Task } from "./task.js";

/** Options of `embed`. */
export interface EmbedOptions {
  /**
   * head: what the classification head reads, after the last norm; token: the class token; mean: the mean of the patches;
   * map: what attention pooling makes, in checkpoints that have it; pooler: Hugging Face's pooler_output; none: all tokens,
   * one after the other. Image-text models: features, in the space that they share with texts (the default there).
   */
  pooling?: "head" | "token" | "mean" | "map" | "pooler" | "none" | "features";
  /** Scale each row to length 1. */
  normalize?: boolean;
  /** Frames of a clip from one to the next that is taken, as of `classify`. */
  frameSamplingRate?: number;
  signal?: AbortSignal;
}

export interface Embed {
  /** Feature vectors, [images, D] in one array, one row an image. */
  embed(images: ImageInput | Clip | readonly (ImageInput | Clip)[], options?: EmbedOptions): Promise<Float32Array>;
}

/** The output that each pooling is made of. */
const POOLINGS = {
  head: "preLogits",
  token: "lastHiddenState",
  mean: "lastHiddenState",
  map: "preLogits",
  pooler: "pooled",
  none: "lastHiddenState",
  features: "imageFeatures",
} as const satisfies Record<NonNullable<EmbedOptions["pooling"]>, OutputName>;

export const embed: Task<EmbedOptions, [], Float32Array, Float32Array> = {
  options: { pooling: true, normalize: true, frameSamplingRate: true },
  arguments: 0,
  lacks: ({ sam, matting }) => (sam || matting?.decoder ? "a vector for the whole image" : undefined),
  begin({ config }, { pooling = config.features > 0 ? "features" : "head", normalize = false }) {
    checkPooling(pooling, config);
    const output: OutputName = POOLINGS[pooling];
    return async (image) => {
      const outputs = await image.run([output]);
      const row = rowOf(outputs[output] as Tensor, pooling, config);
      return normalize ? toUnit(row) : row;
    };
  },
  join: (rows) => concat(rows, Float32Array),
};

/** One row of what a model gave for an image, [1, D], [1, tokens, D] or a feature map [1, C, h, w]. */
function rowOf(
  { data, dims }: Tensor,
  pooling: string,
  { prefixTokens, suffixTokens, queryMasks }: Config,
): Float32Array {
  const width = dims.at(-1)!;
  // Queries come before all other tokens.
  const joined = queryMasks?.queries ?? 0;
  if (pooling === "token") return data.slice(joined * width, (joined + 1) * width);
  if (pooling !== "mean") return data;
  if (dims.length === 4) return meanOfMap(data, dims[1]!);
  // Tokens behind the patches are no patches.
  return meanRow(data.subarray(0, data.length - suffixTokens * width), width, joined + prefixTokens - suffixTokens);
}

function meanOfMap(data: Float32Array, channels: number): Float32Array {
  const area = data.length / channels;
  return Float32Array.from(
    { length: channels },
    (_, c) => data.subarray(c * area, (c + 1) * area).reduce((sum, x) => sum + x, 0) / area,
  );
}

function checkPooling(pooling: NonNullable<EmbedOptions["pooling"]>, config: Config): void {
  if (!Object.hasOwn(POOLINGS, pooling)) {
    throw new RangeError(
      `embed: pooling must be one of ${Object.keys(POOLINGS).join(", ")}; got ${JSON.stringify(pooling)}`,
    );
  }
  const lacks = (what: string) =>
    new RangeError(`embed: pooling ${pooling} needs a checkpoint with ${what}; this one has none`);
  if (pooling === "token" && !config.classToken) throw lacks("a class token");
  if (pooling === "map" && config.pooling !== "attention") throw lacks("attention pooling");
  if (pooling === "pooler" && config.pooled === "none") throw lacks("a pooler");
  if (pooling === "features" && config.features === 0) throw lacks("features that images and texts share");
  if ((pooling === "token" || pooling === "none") && config.depth === 0) throw lacks("a transformer");
}
