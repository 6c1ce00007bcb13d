// Rows of attention of one head, as pictures ask for them: softmax(q·kᵀ) of some queries over all keys, in f32, from what
// `forward` gives as queries and keys. src/pictures/rows.ts lays out memory.
//
// Queries come scaled by log2(e), as `softmax` is of base 2. Keys are padded with zeros to a multiple of 8, and their scores are set to
// -1e30 before the softmax, as it asks for.
//
// Error: 4e-6 of the largest of a row, for scores up to 30: that of search.ts in the exponent, and of softmax.ts; measured by
// tests/kernels/rows.spec.ts.
import { scan_f32 } from "./search";
import { softmax } from "./softmax";

/** rows [count, padded], queries [count, d], keys [padded, d], 16-byte aligned; none of them overlap; padded ≥ tokens ≥ 1, of 8. */
export function attention_rows(
  rows: usize,
  queries: usize,
  count: i32,
  keys: usize,
  tokens: i32,
  padded: i32,
  d: i32,
): void {
  scan_f32(rows, queries, count, keys, padded, d);
  const line = (<usize>padded) << 2;
  for (let q = 0; q < count; q++, rows += line) {
    const end = rows + line;
    for (let p = rows + ((<usize>tokens) << 2); p < end; p += 4) store<f32>(p, -1e30);
    const part = f32x4.splat(1 / softmax(rows, padded));
    for (let p = rows; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), part));
  }
}
