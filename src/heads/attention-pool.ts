/** Attention pooling: tokens answer a learned query, then a block's MLP (Zhai et al. 2022, section 3.4). */
import type { Backend, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { EncoderConfig } from "../vit/encoder.js";
import type { Encoded } from "../vit/vit.js";

export interface AttentionPoolConfig extends EncoderConfig {
  /** Heads of the attention pooling. */
  readonly poolHeads: number;
}

/** Attention pooling: the q rows of `qkv` are zero and their biases the projected query, so that all tokens ask the same. */
export interface AttentionPool {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly norm: Norm;
  readonly fc1: Linear;
  readonly fc2: Linear;
}

/** h = MSA(query, z); h + MLP(LN(h)). Every token asks with the same query, so the first one's answer is taken. */
export function poolByAttention(
  backend: Backend,
  weights: AttentionPool,
  { poolHeads, activation, width }: AttentionPoolConfig,
  { z, images, tokens }: Encoded,
): Matrix {
  const qkv = backend.createTensor(z.rows, 3 * width);
  const y = backend.createTensor(z.rows, width);
  const first = backend.createTensor(images, width);
  const h = backend.createTensor(images, width);
  const hidden = backend.createTensor(images, weights.fc1.outputs);
  backend.linear(qkv, z, weights.qkv);
  backend.attention(y, qkv, { heads: poolHeads, tokens });
  backend.pool(first, y, { tokens, first: 0, count: 1 });
  backend.linear(h, first, weights.proj);
  backend.linear(hidden, h, weights.fc1, { norm: weights.norm, activation });
  backend.linear(h, hidden, weights.fc2, { accumulate: true });
  return h;
}
