/**
 * Mean attention distance (Dosovitskiy et al. 2021, figure 7, right, and appendix D.7): how far, in pixels of the model's image, the
 * patches are that a head looks at. For each patch the distances of its center from those of all patches, weighted by its attention to
 * them; then the mean over patches. A weighted mean is of weights that sum to 1, so a patch's attention to patches is scaled to
 * that: what it gives to the class token and to registers has no distance. `renormalize: false` leaves it as it is, as notebooks do
 * that cut the class token's column away.
 */
import type { BlockAttention } from "./attention.js";
import type { Grid } from "./tokens.js";

export interface DistanceOptions {
  readonly renormalize?: boolean;
}

/**
 * Mean attention distance of each head of a block, [heads], pixels.
 * @param prefix tokens before the patches.
 * @param patchSize height and width of a patch, pixels.
 */
export function attentionDistances(
  block: BlockAttention,
  [rows, columns]: Grid,
  prefix: number,
  [height, width]: readonly [number, number],
  { renormalize = true }: DistanceOptions = {},
): Float32Array {
  const patches = rows * columns;
  // Distances by how many rows and columns there are between: [rows, columns].
  const apart = new Float64Array(patches);
  for (let dy = 0; dy < rows; dy++)
    for (let dx = 0; dx < columns; dx++) apart[dy * columns + dx] = Math.hypot(dy * height, dx * width);
  const row = new Float32Array(block.tokens);
  return Float32Array.from({ length: block.heads }, (_, head) => {
    let total = 0;
    for (let y = 0; y < rows; y++)
      for (let x = 0; x < columns; x++) {
        block.row(head, prefix + y * columns + x, row);
        let [sum, weights] = [0, 0];
        for (let v = 0, at = prefix; v < rows; v++)
          for (let u = 0; u < columns; u++, at++) {
            sum += row[at]! * apart[Math.abs(v - y) * columns + Math.abs(u - x)]!;
            weights += row[at]!;
          }
        total += renormalize ? (weights > 0 ? sum / weights : 0) : sum;
      }
    return total / patches;
  });
}
