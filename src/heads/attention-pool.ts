/** Attention pooling: a learned query asks all tokens, then comes a block's MLP (Zhai et al. 2022, section 3.4). */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { LinearPlan, Planned, Planner } from "../planned.js";
import { source, vector } from "../plans.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { EncoderConfig } from "../vit/encoder.js";
import type { Encoded } from "../vit/reader.js";

export interface AttentionPoolConfig extends EncoderConfig {
  /** Heads of the attention pooling. */
  readonly poolHeads: number;
}

export interface AttentionPool {
  /** The learned query, [1, D], and its projection, if it has one. */
  readonly latent: Matrix;
  readonly query: Linear | undefined;
  readonly key: Linear;
  readonly value: Linear;
  readonly proj: Linear;
  readonly mlp: { readonly norm: Norm; readonly fc1: Linear; readonly fc2: Linear } | undefined;
}

/** Names behind the tower's prefix. */
export interface AttentionPoolNames {
  readonly latent: string;
  /** All three in one; query, then key and value in one; or key and value apart, where the query is not projected. */
  readonly qkv:
    | readonly [qkv: string]
    | readonly [query: string, keyValue: string]
    | { readonly key: string; readonly value: string };
  readonly proj: string;
  readonly mlp?: { readonly norm: string; readonly fc1: string; readonly fc2: string };
}

export function planAttentionPool(
  planner: Planner,
  names: AttentionPoolNames,
  prefix: string,
  { width, mlpWidth, eps }: EncoderConfig,
): Planned<AttentionPool> {
  const at = (name: string) => prefix + name;
  /** Rows of a layer that has `of` times as many. */
  const rows = (layer: string, of: number, from: number): LinearPlan => ({
    place: "linear",
    ...{ outputs: width, inputs: width },
    weight: [source(planner.weightOf(layer), [of * width, width], width, { from: from * width })],
    bias: [source(planner.biasOf(layer), [of * width], width, { from: from * width })],
  });
  function planQkv(): Record<"query" | "key" | "value", LinearPlan> | Record<"key" | "value", LinearPlan> {
    if ("key" in names.qkv) {
      const { key, value } = names.qkv;
      return { key: planner.linear([at(key)], width, width), value: planner.linear([at(value)], width, width) };
    }
    const [first, second] = names.qkv.map(at) as [string, string?];
    return {
      query: rows(first, second ? 1 : 3, 0),
      key: second ? rows(second, 2, 0) : rows(first, 3, 1),
      value: second ? rows(second, 2, 1) : rows(first, 3, 2),
    };
  }
  function planMlp({ norm, fc1, fc2 }: NonNullable<AttentionPoolNames["mlp"]>) {
    const hidden = planner.shapeOf(planner.weightOf(at(fc1)))?.[0] ?? mlpWidth;
    return {
      norm: planner.norm(at(norm), width, eps),
      fc1: planner.linear([at(fc1)], hidden, width),
      fc2: planner.linear([at(fc2)], width, hidden),
    };
  }
  return {
    latent: vector(at(names.latent), width),
    query: undefined,
    ...planQkv(),
    proj: planner.linear([at(names.proj)], width, width),
    mlp: names.mlp && planMlp(names.mlp),
  };
}

/**
 * h = MSA(query, z); h + MLP(LN(h)), where there is an MLP. All images are asked by the same query, about their tokens from
 * `first` on.
 */
export function poolByAttention(
  backend: Backend,
  weights: AttentionPool,
  { poolHeads: heads, activation, width }: AttentionPoolConfig,
  { z, images, tokens }: Encoded,
  first: number,
  { wants, outputs }: Call,
): Matrix {
  const matrix = (rows: number) => backend.createTensor(rows, width);
  const [k, v] = [matrix(z.rows), matrix(z.rows)];
  const q = weights.query ? matrix(1) : weights.latent;
  const [y, h] = [matrix(images), matrix(images)];
  const probabilities = wants("poolAttention") ? backend.createTensor(images * heads, tokens) : undefined;
  if (weights.query) backend.linear(q, weights.latent, weights.query);
  backend.linear(k, z, weights.key);
  backend.linear(v, z, weights.value);
  const bias =
    first > 0
      ? backend.createTensor(1, tokens, new Float32Array(tokens).fill(Number.NEGATIVE_INFINITY, 0, first))
      : undefined;
  backend.attention(y, { q, k, v }, { heads, tokens, bias, probabilities });
  if (probabilities) outputs.poolAttention = tensorOf(backend.read(probabilities), [images, heads, 1, tokens]);
  backend.linear(h, y, weights.proj);
  if (weights.mlp) {
    const { norm, fc1, fc2 } = weights.mlp;
    const hidden = backend.createTensor(images, fc1.outputs);
    backend.linear(hidden, h, fc1, { norm, activation });
    backend.linear(h, hidden, fc2, { accumulate: true });
  }
  return h;
}
