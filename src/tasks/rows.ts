/** Arithmetic of rows of features. */

/** Mean of the rows of [rows, width] from `first` on. */
export function meanRow(data: Float32Array, width: number, first: number): Float32Array {
  const rows = data.length / width;
  return Float32Array.from({ length: width }, (_, i) => {
    let sum = 0;
    for (let row = first; row < rows; row++) sum += data[row * width + i]!;
    return sum / (rows - first);
  });
}

/** Rows one after the other, in an array of `kind`. */
export function concat<All extends Float32Array | Uint8Array>(
  rows: readonly ArrayLike<number>[],
  kind: new (length: number) => All,
): All {
  const all = new kind(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    all.set(row, at);
    at += row.length;
  }
  return all;
}
