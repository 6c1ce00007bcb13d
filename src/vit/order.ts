/**
 * Order of tokens. Libraries have YOLOS's detection tokens behind the patches; here they are before them, behind the class token,
 * as all tokens that are no patches. Attention does not see the order, positions are moved with their tokens at load, and
 * outputs are in the library's order.
 */

/** Tokens of a sequence: `prefix` of them before the patches here, the last `suffix` of which the library has behind them. */
interface Tokens {
  readonly tokens: number;
  readonly prefix: number;
  readonly suffix: number;
}

const range = (first: number, end: number): number[] => Array.from({ length: end - first }, (_, i) => first + i);

/** Our place of each token of the library's sequence; undefined where it is the same. */
export const libraryOrder = ({ tokens, prefix, suffix }: Tokens): readonly number[] | undefined =>
  suffix === 0
    ? undefined
    : [...range(0, prefix - suffix), ...range(prefix, tokens), ...range(prefix - suffix, prefix)];

/** The library's place of each token of ours; undefined where it is the same. */
export function ownOrder({ tokens, prefix, suffix }: Tokens): readonly number[] | undefined {
  const before = prefix - suffix;
  if (suffix === 0) return undefined;
  return [...range(0, before), ...range(tokens - suffix, tokens), ...range(before, tokens - suffix)];
}

/** Rows of sequences, one after the other, in another order: row i of a result is row order[i]. */
export function inOrder(rows: Float32Array, order: readonly number[] | undefined, width: number): Float32Array {
  if (!order) return rows;
  const result = new Float32Array(rows.length);
  const size = order.length * width;
  for (let at = 0; at < rows.length; at += size)
    for (const [i, from] of order.entries()) {
      result.set(rows.subarray(at + from * width, at + (from + 1) * width), at + i * width);
    }
  return result;
}
