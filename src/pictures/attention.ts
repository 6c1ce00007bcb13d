/** Attention of a block, by rows: from queries and keys, so that a picture computes what it shows, or from maps. */
import type { Tensor } from "../vit/outputs.js";
import { attentionRows } from "./rows.js";

/** Attention of one image in one block. */
export interface BlockAttention {
  readonly heads: number;
  readonly tokens: number;
  /**
   * softmax of the scores of `count` queries in a head, from the query `first` on, [count, tokens], written to `out`: rows of A in eq. 6
   * of Dosovitskiy et al. 2021.
   */
  rows(head: number, first: number, count: number, out?: Float32Array): Float32Array;
}

/** Rows that are asked for at once where all are wanted: of a 37 × 37 grid 350 kB, which stay in a cache. */
export const BATCH = 64;

/** Attention of queries and keys, [B, heads, tokens, d] each, as `forward` gives them. */
export function attentionOf(queries: Tensor, keys: Tensor, image = 0): BlockAttention {
  const [, heads, tokens, d] = queries.dims as [number, number, number, number];
  const partOf = ({ data }: Tensor, head: number, first: number, count: number) => {
    const at = ((image * heads + head) * tokens + first) * d;
    return data.subarray(at, at + count * d);
  };
  return {
    heads,
    tokens,
    rows(head, first, count, out = new Float32Array(count * tokens)) {
      attentionRows(partOf(queries, head, first, count), partOf(keys, head, 0, tokens), d, out);
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
    rows(head, first, count, out = new Float32Array(count * tokens)) {
      const at = ((image * heads + head) * tokens + first) * tokens;
      out.set(maps.data.subarray(at, at + count * tokens));
      return out;
    },
  };
}

/** Heads of a block as one: one of them by its number, from 0, their mean, or in each place the largest or the smallest. */
export type Heads = number | "mean" | "max" | "min";

/** Rows of attention of heads taken as one, of `count` queries from `first` on, [count, tokens]. */
export function fusedRows(block: BlockAttention, heads: Heads, first: number, count = 1): Float32Array {
  if (typeof heads === "number") return block.rows(heads, first, count);
  const fused = block.rows(0, first, count);
  const rows = new Float32Array(fused.length);
  for (let head = 1; head < block.heads; head++) {
    block.rows(head, first, count, rows);
    for (let i = 0; i < fused.length; i++) {
      if (heads === "mean") fused[i]! += rows[i]!;
      else fused[i] = heads === "max" ? Math.max(fused[i]!, rows[i]!) : Math.min(fused[i]!, rows[i]!);
    }
  }
  if (heads === "mean") for (let i = 0; i < fused.length; i++) fused[i]! /= block.heads;
  return fused;
}

/** The mean of rows of attention by weights, which are a query each: Σ w_i · row_i, [tokens]. */
export function weightedRow(block: BlockAttention, heads: Heads, weights: Float32Array): Float32Array {
  const { tokens } = block;
  const out = new Float32Array(tokens);
  for (let first = 0; first < tokens; first++) {
    if (weights[first] === 0) continue;
    let end = first + 1;
    while (end < Math.min(first + BATCH, tokens) && weights[end] !== 0) end++;
    const rows = fusedRows(block, heads, first, end - first);
    for (let query = first; query < end; query++) {
      const weight = weights[query]!;
      for (let i = 0, at = (query - first) * tokens; i < tokens; i++, at++) out[i]! += weight * rows[at]!;
    }
    first = end - 1;
  }
  return out;
}
