/** Arithmetic of feature vectors, summed in f64. */

/** The row scaled to length 1; a row of zeros stays. */
export function toUnit(row: Float32Array): Float32Array {
  const length = Math.sqrt(dot(row, row));
  return length > 0 ? row.map((x) => x / length) : row;
}

/** The sum of the products of two rows of the same length. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
