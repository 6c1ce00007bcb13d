// Coefficients of a macroblock (RFC 6386, sections 13 and 14.1), already times the quantizer's steps.
//
// More than half the time of decoding a photo. The bits are read on locals, each place written out: the value, the number of
// bits and the range as globals would be stored and loaded at each bit, and a function returns one thing only. Magnitudes
// above one walk a tree, so that they need two places. The sign, of even odds, is taken without a branch.
//
// Measured on a photo of 12 megapixels at quality 80 (2.3 MB; AMD EPYC, Node 20.20), all of decoding: 190 ms of processor
// time. Tried: magnitudes above one by a function on the globals, and the sign by a branch, 211.
import { bits as sharedBits, range as sharedRange, refill, setState, value as sharedValue } from "./boolean";
import { PROBABILITIES, STEPS } from "./header";
import { CATEGORIES, ZIGZAG } from "./tables";

/** Blocks of a macroblock: 0 is the second-order luma, 1 to 16 luma, 17 to 20 U, 21 to 24 V. */
const BLOCKS: usize = 25;

/** Coefficients: i16 [block 25][16]. Who uses a block's leaves zeros. */
export const COEFFICIENTS: usize = memory.data(25 * 32, 16);

/** Place behind the last coefficient that is there: u8 [block 25]. */
export const ENDS: usize = memory.data(32, 8);

/** Which of a macroblock's 9 flags tells whether the block above, and the one at the left, has coefficients: u8 [block 25]. */
const ABOVE: usize = memory.data<u8>([8, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7]);
const LEFT: usize = memory.data<u8>([8, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);

/** Tree of magnitudes above one, u8 [probability 3 to 10][bit]: the next probability, or 16 + the range that it is in. */
const TREE: usize = memory.data<u8>([4, 6, 16, 17, 0, 0, 7, 8, 18, 19, 9, 10, 20, 21, 22, 23]);
/** Ranges, each with its least magnitude and its number of extra bits, u8 [8][2]. */
const RANGES: usize = memory.data<u8>([2, 0, 3, 1, 5, 1, 7, 2, 11, 3, 19, 4, 35, 5, 67, 11]);

/**
 * Reads COEFFICIENTS and ENDS of a macroblock.
 * above, left: u8 [9] flags of the macroblocks there, 4 of luma, 2 of U, 2 of V, 1 of second-order luma; replaced by its own.
 * isSmall: it is predicted by blocks of 4×4, and has no second-order luma.
 */
export function readCoefficients(above: usize, left: usize, segment: usize, isSmall: bool): void {
  let value = sharedValue;
  let bits = sharedBits;
  let range = sharedRange;
  for (let block: usize = isSmall ? 1 : 0; block < BLOCKS; block++) {
    const isLuma = block - 1 < 16;
    const type: usize = block == 0 ? 1 : !isLuma ? 2 : isSmall ? 3 : 0;
    const first: usize = type == 0 ? 1 : 0;
    const steps = STEPS + segment * 24 + ((type == 3 ? 0 : type) << 3);
    const firstStep = load<i32>(steps);
    const step = load<i32>(steps, 4);
    const out = COEFFICIENTS + (block << 5);
    const flagAbove = above + <usize>load<u8>(ABOVE + block);
    const flagLeft = left + <usize>load<u8>(LEFT + block);
    let n = first;
    // Probabilities of the place, and of the context there.
    let place = PROBABILITIES + type * (17 * 33) + n * 33;
    let p = place + <usize>(load<u8>(flagAbove) + load<u8>(flagLeft)) * 11;
    while (n < 16) {
      // Is there another coefficient?
      let shift = clz(range) - 24;
      range <<= shift;
      bits -= shift;
      if (bits < 0) {
        value = refill(value, bits);
        bits = sharedBits;
      }
      let split = (((range - 1) * <u32>load<u8>(p)) >> 8) + 1;
      if (<u32>(value >> <u64>bits) < split) {
        range = split;
        break;
      }
      value -= <u64>split << <u64>bits;
      range -= split;

      // Zeros before it.
      for (;;) {
        shift = clz(range) - 24;
        range <<= shift;
        bits -= shift;
        if (bits < 0) {
          value = refill(value, bits);
          bits = sharedBits;
        }
        split = (((range - 1) * <u32>load<u8>(p, 1)) >> 8) + 1;
        if (<u32>(value >> <u64>bits) >= split) break;
        range = split;
        n++;
        p = place += 33;
        if (n == 16) break;
      }
      if (n == 16) break;
      value -= <u64>split << <u64>bits;
      range -= split;

      // Its magnitude.
      shift = clz(range) - 24;
      range <<= shift;
      bits -= shift;
      if (bits < 0) {
        value = refill(value, bits);
        bits = sharedBits;
      }
      split = (((range - 1) * <u32>load<u8>(p, 2)) >> 8) + 1;
      let magnitude: i32 = 1;
      let context: usize = 11;
      if (<u32>(value >> <u64>bits) < split) {
        range = split;
      } else {
        value -= <u64>split << <u64>bits;
        range -= split;
        context = 22;
        let node: usize = 3;
        do {
          shift = clz(range) - 24;
          range <<= shift;
          bits -= shift;
          if (bits < 0) {
            value = refill(value, bits);
            bits = sharedBits;
          }
          split = (((range - 1) * <u32>load<u8>(p + node)) >> 8) + 1;
          const branches = TREE + ((node - 3) << 1);
          if (<u32>(value >> <u64>bits) < split) {
            range = split;
            node = load<u8>(branches);
          } else {
            value -= <u64>split << <u64>bits;
            range -= split;
            node = load<u8>(branches, 1);
          }
        } while (node < 16);
        const leaf = node - 16;
        // The bit of 3 or 4 has a probability of the tree, the others have fixed ones.
        let q = leaf == 1 ? p + 5 : CATEGORIES + 12 * leaf;
        let extra = 0;
        for (const end = q + <usize>load<u8>(RANGES + (leaf << 1), 1); q < end; q++) {
          shift = clz(range) - 24;
          range <<= shift;
          bits -= shift;
          if (bits < 0) {
            value = refill(value, bits);
            bits = sharedBits;
          }
          split = (((range - 1) * <u32>load<u8>(q)) >> 8) + 1;
          extra <<= 1;
          if (<u32>(value >> <u64>bits) < split) {
            range = split;
          } else {
            value -= <u64>split << <u64>bits;
            range -= split;
            extra++;
          }
        }
        magnitude = <i32>load<u8>(RANGES + (leaf << 1)) + extra;
      }

      // Its sign. The comparison is signed as in libwebp, which only corrupt data can tell.
      shift = clz(range) - 24;
      range <<= shift;
      bits -= shift;
      if (bits < 0) {
        value = refill(value, bits);
        bits = sharedBits;
      }
      split = ((range - 1) >> 1) + 1;
      const sign = <i32>(split - 1 - <u32>(value >> <u64>bits)) >> 31;
      value -= (<u64>split << <u64>bits) & <u64>(<i64>sign);
      range = ((range - 1 + sign) | 1) + 1;
      bits--;
      const coefficient = ((magnitude ^ sign) - sign) * (n > 0 ? step : firstStep);
      store<i16>(out + (<usize>load<u8>(ZIGZAG + n) << 1), <i16>coefficient);
      n++;
      place += 33;
      p = place + context;
    }
    store<u8>(ENDS + block, n);
    store<u8>(flagAbove, n > first);
    store<u8>(flagLeft, n > first);
  }
  setState(value, bits, range);
}

/** The same for one without coefficients: the flag of second-order luma stays if it would have none. */
export function skipCoefficients(above: usize, left: usize, isSmall: bool): void {
  memory.fill(ENDS, 0, BLOCKS);
  store<u64>(above, 0);
  store<u64>(left, 0);
  if (isSmall) return;
  store<u8>(above, 0, 8);
  store<u8>(left, 0, 8);
}
