/**
 * Mean attention distance (Dosovitskiy et al. 2021, figure 7, right, and appendix D.7): how far, in pixels of the model's image, the
 * patches are that a head looks at. For each patch the distances of its center from those of all patches, weighted by its attention to
 * them; then the mean over patches. A weighted mean is of weights that sum to 1, so a patch's attention to patches is scaled to
 * that: what it gives to the class token and to registers has no distance. `renormalize: false` leaves it as it is, as notebooks do
 * that cut the class token's column away.
 */
import { BATCH, type BlockAttention } from "./attention.js";
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
  const { heads, tokens } = block;
  const attention = new Float32Array(BATCH * tokens);
  return Float32Array.from({ length: heads }, (_, head) => {
    let total = 0;
    for (let first = 0; first < patches; first += BATCH) {
      const end = Math.min(first + BATCH, patches);
      block.rows(head, prefix + first, end - first, attention);
      for (let patch = first; patch < end; patch++) {
        const [y, x] = [Math.floor(patch / columns), patch % columns];
        let [sum, weights] = [0, 0];
        for (let v = 0, at = (patch - first) * tokens + prefix; v < rows; v++)
          for (let u = 0; u < columns; u++, at++) {
            sum += attention[at]! * apart[Math.abs(v - y) * columns + Math.abs(u - x)]!;
            weights += attention[at]!;
          }
        total += renormalize ? (weights > 0 ? sum / weights : 0) : sum;
      }
    }
    return total / patches;
  });
}
