/** Vectors that the heads read, [B, D]: the class token, the mean of the patches, both, or an attention's; or all tokens. */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { Call } from "../vit/call.js";
import type { Encoded } from "../vit/reader.js";
import type { VitConfig } from "../vit/vit.js";
import { type AttentionPool, type AttentionPoolConfig, poolByAttention } from "./attention-pool.js";

export interface PoolingConfig extends AttentionPoolConfig {
  /**
   * Vector that the head reads. token: the class token; tokens: the mean of several class tokens; summary: some of them, one
   * after the other; pooler: BERT's tanh layer on the class token; distilled: class and distillation token, each by its own
   * head, and the mean of both (Touvron et al. 2021, section 4); mean: the mean of the patches; max: the largest value of each
   * column; mean+max: the mean of both; token+mean: class token and mean, one after the other; attention: attention pooling with
   * a learned query (Zhai et al. 2022, section 3.4); none: every token by itself.
   */
  readonly pooling:
    | "token"
    | "tokens"
    | "summary"
    | "pooler"
    | "distilled"
    | "mean"
    | "max"
    | "mean+max"
    | "token+mean"
    | "attention"
    | "none";
  /** Places of the tokens of a summary. */
  readonly summary?: readonly number[];
  /** True if the mean, the maximum and attention pooling are of all tokens, those before the patches among them. */
  readonly poolsPrefix: boolean;
}

export interface PoolingWeights {
  readonly attentionPool: AttentionPool | undefined;
  /** Layer of BERT's pooler, before its tanh. */
  readonly pooler: Linear | undefined;
  /** LN of the pooled vector, where the config says so. */
  readonly norm: Norm | undefined;
}

/** Vectors that are pooled, [B, D] each: one, or several; of no pooling [B·tokens, D]. */
export type Pooled = readonly Matrix[];

/** y of eq. 4, or what a family has in its place. */
export function pool(
  backend: Backend,
  weights: PoolingWeights,
  config: PoolingConfig & Pick<VitConfig, "prefixTokens" | "norm">,
  encoded: Encoded,
  call: Call,
): Pooled {
  const { pooling, norm } = config;
  const { joined = 0 } = encoded;
  const first = joined + (config.poolsPrefix ? 0 : config.prefixTokens);
  const token = (i: number) => tokenOf(backend, encoded, i);
  const mean = () => meanOf(backend, encoded, first, encoded.tokens - first);
  if (pooling === "distilled") return [token(0), token(1)];
  if (pooling === "token+mean") return [token(0), mean()];
  if (pooling === "summary") return config.summary!.map(token);
  if (pooling === "none") return [normed(encoded.z, backend.createTensor(encoded.z.rows, encoded.z.cols))];
  const vectors: Readonly<Record<typeof pooling, () => Matrix>> = {
    token: () => token(0),
    tokens: () => meanOf(backend, encoded, joined, config.prefixTokens),
    pooler: () => poolerOf(backend, weights, encoded),
    mean,
    max: () => maxOf(backend, encoded, first),
    "mean+max": () => halfOfSum(backend, mean(), maxOf(backend, encoded, first)),
    attention: () => poolByAttention(backend, weights.attentionPool!, config, encoded, first, call),
  };
  const y = vectors[pooling]();
  return [normed(y, y)];

  function normed(x: Matrix, out: Matrix): Matrix {
    if (norm !== "pooled" && norm !== "twice") return x;
    backend.layerNorm(out, x, weights.norm!);
    return out;
  }
}

/** Token i of each image, [B, D], of its own. */
export const tokenOf = (backend: Backend, encoded: Encoded, i: number): Matrix =>
  meanOf(backend, encoded, (encoded.joined ?? 0) + i, 1);

/** BERT's pooler: tanh of a layer on the class token, [B, poolerWidth]. */
export function poolerOf(backend: Backend, { pooler }: Pick<PoolingWeights, "pooler">, encoded: Encoded): Matrix {
  const y = backend.createTensor(encoded.images, pooler!.outputs);
  backend.linear(y, tokenOf(backend, encoded, 0), pooler!, { activation: "tanh" });
  return y;
}

/** Mean of `count` tokens of each image, [B, D]. */
export function meanOf(
  backend: Backend,
  { z, images, tokens }: Omit<Encoded, "grid">,
  first: number,
  count: number,
): Matrix {
  const out = backend.createTensor(images, z.cols);
  backend.pool(out, z, { tokens, first, count });
  return out;
}

/** Mean of two matrices, [B, D], by ops that there are: their sum is a row of each image beside one of zeros. */
function halfOfSum(backend: Backend, a: Matrix, b: Matrix): Matrix {
  const [sum, pairs, out] = [1, 2, 1].map((rows) => backend.createTensor(rows * a.rows, a.cols)) as [
    Matrix,
    Matrix,
    Matrix,
  ];
  backend.assembleTokens(sum, undefined, a, b);
  backend.assembleTokens(pairs, backend.createTensor(1, a.cols, new Float32Array(a.cols)), sum, undefined);
  backend.pool(out, pairs, { tokens: 2, first: 0, count: 2 });
  return out;
}

/** Largest values of the tokens of each image from `first` on, [B, D]. */
function maxOf(backend: Backend, { z, images, tokens }: Encoded, first: number): Matrix {
  // A column of tokens is a map; windows that begin at its first token and at the one that is asked for.
  const windows = first === 0 ? 1 : 2;
  const column = { height: tokens, width: 1, kernel: tokens - first, stride: Math.max(first, 1), top: 0, left: 0 };
  const largest = backend.createTensor(images * windows, z.cols);
  backend.maxPool(largest, z, { ...column, outHeight: windows, outWidth: 1 }, Number.NEGATIVE_INFINITY);
  return first === 0 ? largest : meanOf(backend, { z: largest, images, tokens: windows }, 1, 1);
}
