/** Cosines of a patch's token with all others: what is alike to the model, at any layer. */
import type { Patches } from "./tokens.js";

/** Rows of length 1, [n, width]; a row of zeros stays. */
export function unitRows(rows: Float32Array, width: number): Float32Array {
  const out = new Float32Array(rows.length);
  for (let at = 0; at < rows.length; at += width) {
    let sum = 0;
    for (let i = at; i < at + width; i++) sum += rows[i]! * rows[i]!;
    const factor = sum > 0 ? 1 / Math.sqrt(sum) : 0;
    for (let i = at; i < at + width; i++) out[i] = rows[i]! * factor;
  }
  return out;
}

/**
 * Cosine of every row with one of them.
 * @param units [n, width], of length 1.
 * @param from the number of that row.
 */
export function cosinesOf(units: Float32Array, width: number, from: number): Float32Array {
  const query = units.subarray(from * width, (from + 1) * width);
  const out = new Float32Array(units.length / width);
  for (let row = 0; row < out.length; row++) {
    let sum = 0;
    for (let i = 0, at = row * width; i < width; i++) sum += query[i]! * units[at + i]!;
    out[row] = sum;
  }
  return out;
}

/** Cosine of the patch of a number with every patch, [rows · columns]. */
export const similarityMap = ({ data, width }: Patches, from: number): Float32Array =>
  cosinesOf(unitRows(data, width), width, from);

/**
 * Cosines of all pairs of patches, [rows, columns, rows, columns] (of position embeddings: Dosovitskiy et al. 2021, figure 7, center).
 */
export function similarityGrid({ data, width }: Patches): Float32Array {
  const units = unitRows(data, width);
  const count = data.length / width;
  const out = new Float32Array(count * count);
  for (let from = 0; from < count; from++) out.set(cosinesOf(units, width, from), from * count);
  return out;
}
