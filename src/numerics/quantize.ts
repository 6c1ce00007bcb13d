/**
 * The arithmetic of int8 in plain TypeScript: what the contract says at `Backend.linear`, for the reference backend and for
 * checkpoints that are quantized ahead of time. Kernels do the same, to the bit.
 *
 * Attention with `integers`: a head's rows of Q are quantized as rows of x in `linear`, those of K as rows of W; of the scores that their
 * products give, p = round(255·e^(score - max)), less 128, is multiplied with the columns of V, less their means, as rows of W, of so many
 * keys at a time as a backend likes; the sum that divides is of 255·e^(score - max), and the means are added.
 *
 * Other ways that were tried, on the real ViT-Ti and 200 photos (tests/vit-tiny.test.ts prints the first line; mean difference of
 * logits to f32 in their deviations, photos whose top class agrees). Another last bit moves these by 0.0002 and 2.
 *
 *   as it is                                           0.0500   196
 *   attention in f32, as in the lines below            0.0489   195 to 197
 *   clipping by least squared error, 0.40 to 1.00      0.0483   197
 *   scale by least squares for the same integers       0.0485   196
 *   smoothing folded into layer norms, α 0.5; 0.3      0.0485; 0.0502   198; 198
 *   patch embedding and head in f32                    0.0457   198
 *   activations with a zero point                      0.0436   198
 *   qkv; proj; fc1; fc2 of all blocks in f32           0.0458; 0.0464; 0.0428; 0.0368
 *   weights alone; activations alone                   0.0401; 0.0273
 *
 * Clipping, least squares and smoothing gain nothing that counts. A zero point gains a tenth, for another kernel; fc2 in f32
 * a quarter, for a third of the products. None is used. Of attention, simulated: probabilities in 7 bits add 0.014, sums of rounded ones
 * 0.005 and values with their means 0.003; keys in 8 bits, or less their mean, gain nothing.
 */

/** Least and greatest integer of a weight: 7 bits, so that sums of pairs of products with 8 bits fit in 16. */
export const WEIGHT_RANGE = [-64, 63] as const;

/** The same of an activation. */
export const ACTIVATION_RANGE = [-127, 127] as const;

const f32 = Math.fround;

/** To the nearest whole number, ties to the even one. */
export function roundToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * A row as integers in a range, to be multiplied by its scale: max(max x/most, min x/least), where the range is symmetric
 * max|x|/most. Rows below 2^-100 are zeros.
 * @param integers written, as long as the row
 * @returns the scale
 */
export function quantizeRow(
  integers: Float32Array | Int8Array,
  row: Float32Array,
  [least, most]: readonly [least: number, most: number],
): number {
  let high = 0;
  let low = 0;
  for (const x of row) {
    if (x > high) high = x;
    if (x < low) low = x;
  }
  const largest = Math.max(high, -low);
  if (largest < 2 ** -100) {
    integers.fill(0);
    return 1;
  }
  const symmetric = least === -most;
  const scale = symmetric ? f32(largest / most) : Math.max(f32(high / most), f32(low / least));
  const inverse = symmetric ? f32(most / largest) : f32(1 / scale);
  for (let i = 0; i < row.length; i++) {
    integers[i] = Math.min(most, Math.max(least, roundToEven(f32(row[i]! * inverse))));
  }
  return scale;
}
