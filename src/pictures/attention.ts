/** Attention of a block, by rows: from queries and keys, so that a picture computes what it shows, or from maps. */
import type { Tensor } from "../vit/outputs.js";

/** Attention of one image in one block. */
export interface BlockAttention {
  readonly heads: number;
  readonly tokens: number;
  /** softmax of a query's scores in a head, [tokens], written to `out`: a row of A in eq. 6 of Dosovitskiy et al. 2021. */
  row(head: number, query: number, out?: Float32Array): Float32Array;
}

/** Attention of queries and keys, [B, heads, tokens, d] each, as `forward` gives them. */
export function attentionOf(queries: Tensor, keys: Tensor, image = 0): BlockAttention {
  const [, heads, tokens, d] = queries.dims as [number, number, number, number];
  const size = heads * tokens * d;
  const q = queries.data.subarray(image * size, (image + 1) * size);
  const k = keys.data.subarray(image * size, (image + 1) * size);
  return {
    heads,
    tokens,
    row(head, query, out = new Float32Array(tokens)) {
      const asked = q.subarray((head * tokens + query) * d, (head * tokens + query + 1) * d);
      let most = Number.NEGATIVE_INFINITY;
      for (let key = 0, at = head * tokens * d; key < tokens; key++, at += d) {
        let score = 0;
        for (let i = 0; i < d; i++) score += asked[i]! * k[at + i]!;
        out[key] = score;
        if (score > most) most = score;
      }
      let sum = 0;
      for (let key = 0; key < tokens; key++) sum += out[key] = Math.exp(out[key]! - most);
      for (let key = 0; key < tokens; key++) out[key]! /= sum;
      return out;
    },
  };
}

/** Attention of maps, [B, heads, tokens, tokens], where scores have a bias that queries and keys do not tell. */
export function attentionOfMaps(maps: Tensor, image = 0): BlockAttention {
  const [, heads, tokens] = maps.dims as [number, number, number];
  return {
    heads,
    tokens,
    row(head, query, out = new Float32Array(tokens)) {
      const at = ((image * heads + head) * tokens + query) * tokens;
      out.set(maps.data.subarray(at, at + tokens));
      return out;
    },
  };
}

/** Heads of a block as one: one of them by its number, from 0, their mean, or in each place the largest or the smallest. */
export type Heads = number | "mean" | "max" | "min";

/** A row of attention of heads taken as one, [tokens]. */
export function fusedRow(block: BlockAttention, heads: Heads, query: number): Float32Array {
  if (typeof heads === "number") return block.row(heads, query);
  const sum = block.row(0, query);
  const row = new Float32Array(block.tokens);
  for (let head = 1; head < block.heads; head++) {
    block.row(head, query, row);
    for (let i = 0; i < sum.length; i++) {
      if (heads === "mean") sum[i]! += row[i]!;
      else sum[i] = heads === "max" ? Math.max(sum[i]!, row[i]!) : Math.min(sum[i]!, row[i]!);
    }
  }
  if (heads === "mean") for (let i = 0; i < sum.length; i++) sum[i]! /= block.heads;
  return sum;
}

/** The mean of rows of attention by weights, which are a query each: Σ w_i · row_i, [tokens]. */
export function weightedRow(block: BlockAttention, heads: Heads, weights: Float32Array): Float32Array {
  const out = new Float32Array(block.tokens);
  for (const [query, weight] of weights.entries()) {
    if (weight === 0) continue;
    const row = fusedRow(block, heads, query);
    for (let i = 0; i < out.length; i++) out[i]! += weight * row[i]!;
  }
  return out;
}
