/**
 * Attention rollout (Abnar & Zuidema 2020, section 4): how much each token of the first block's input reaches a token behind the last,
 * if attention carried tokens as they are. With A the heads' attention as one, a block passes on ½A + ½I, rows scaled to sum 1, and
 * blocks are multiplied. Only one row of the product is wanted, so it is a vector times a matrix from the last block to the first:
 * L·N² products, where the whole would take L·N³.
 *
 * `heads` "max" and "min", and `discard`, are jacobgil's vit-explain's: that share of all of A, the smallest, is set to 0 before, but
 * never the first token's attention to itself.
 */
import { BATCH, type BlockAttention, fusedRows, type Heads } from "./attention.js";

export interface RolloutOptions {
  readonly heads?: Exclude<Heads, number>;
  /** Share of a block's attention that is left out, from 0 to less than 1. */
  readonly discard?: number;
}

/** Passes a row of the product, [tokens], through a block that comes before: row · (½A + ½I). */
export function rolledBack(
  row: Float32Array,
  block: BlockAttention,
  { heads = "mean", discard = 0 }: RolloutOptions = {},
): Float32Array {
  const { tokens } = block;
  const fused = new Float32Array(tokens * tokens);
  for (let first = 0; first < tokens; first += BATCH) {
    fused.set(fusedRows(block, heads, first, Math.min(BATCH, tokens - first)), first * tokens);
  }
  if (discard > 0) discardSmallest(fused, discard);
  const out = new Float64Array(tokens);
  for (let query = 0; query < tokens; query++) {
    const own = fused.subarray(query * tokens, (query + 1) * tokens);
    let sum = 1;
    for (let i = 0; i < tokens; i++) sum += own[i]!;
    const weight = row[query]! / sum;
    for (let i = 0; i < tokens; i++) out[i]! += weight * own[i]!;
    out[query]! += weight;
  }
  return Float32Array.from(out);
}

/** Sets the smallest `share` of all values to 0, of equal ones the first, but not the value at 0. */
function discardSmallest(values: Float32Array, share: number): void {
  const count = Math.floor(values.length * share);
  if (count === 0) return;
  const { border, below } = smallestOf(values, count);
  let equal = count - below;
  for (let i = 0; i < values.length; i++) {
    const x = values[i]!;
    if (x < border || (x === border && equal-- > 0)) if (i > 0) values[i] = 0;
  }
}

/**
 * The largest of the `count` smallest of values that are not negative, and how many are smaller: by counting the upper and then the lower
 * half of their bits, which have the order of the values. Of 1370² a tenth of the time of sorting them.
 */
function smallestOf(values: Float32Array, count: number): { border: number; below: number } {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let [found, below] = [0, 0];
  for (const shift of [16, 0]) {
    const counts = new Uint32Array(65536);
    for (const value of bits) if (shift === 16 || value >>> 16 === found) counts[(value >>> shift) & 65535]!++;
    let part = 0;
    while (below + counts[part]! < count) below += counts[part++]!;
    found = found * 65536 + part;
  }
  return { border: new Float32Array(Uint32Array.of(found).buffer)[0]!, below };
}

/**
 * The row of the product for a start, [tokens]: weights of the tokens behind the last block, 1 for the class token's own row.
 * @param blocks first to last.
 */
export function rollout(
  blocks: readonly BlockAttention[],
  start: Float32Array,
  options: RolloutOptions = {},
): Float32Array {
  return blocks.reduceRight((row, block) => rolledBack(row, block, options), start);
}
