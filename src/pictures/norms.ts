/**
 * Lengths of tokens (Darcet et al. 2024, figures 3 and 4): in large models some patches without content are many times as long as
 * others, which the model uses as scratch memory; registers take that over.
 */

/** Euclidean length of each row of [n, width]. */
export function lengthsOf(rows: Float32Array, width: number): Float32Array {
  return Float32Array.from({ length: rows.length / width }, (_, row) => {
    let sum = 0;
    for (let i = row * width; i < (row + 1) * width; i++) sum += rows[i]! ** 2;
    return Math.sqrt(sum);
  });
}

/** The median: of an even number the mean of the middle two. */
export function medianOf(values: Float32Array): number {
  const sorted = values.slice().sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
