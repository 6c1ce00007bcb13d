// Coefficients of a macroblock (RFC 6386, sections 13 and 14.1), already times the quantizer's steps.
//
// Half the time of decoding a photo. The four bits that most coefficients take (is there one, is it zero, is it above one,
// its sign) are read on locals, written out: the value, the number of bits and the range as globals would be stored and
// loaded at each bit, and a function returns one thing only. Magnitudes above one go through the globals.
import { bit, bits as sharedBits, range as sharedRange, refill, setState, value as sharedValue } from "./boolean";
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

/** A magnitude above one, whose probabilities are at p. */
function readLarge(p: usize): i32 {
  if (!bit(load<u8>(p, 3))) return bit(load<u8>(p, 4)) ? 3 + bit(load<u8>(p, 5)) : 2;
  if (!bit(load<u8>(p, 6))) {
    if (!bit(load<u8>(p, 7))) return 5 + bit(159);
    const high = bit(165);
    return 7 + 2 * high + bit(145);
  }
  const high = bit(load<u8>(p, 8));
  const category = 2 * high + bit(load<u8>(p + 9 + high));
  let extra = 0;
  for (let q = CATEGORIES + 12 * category; load<u8>(q); q++) extra = 2 * extra + bit(load<u8>(q));
  return extra + 3 + (8 << category);
}

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
    const probabilities = PROBABILITIES + type * (17 * 33);
    const steps = STEPS + segment * 24 + ((type == 3 ? 0 : type) << 3);
    const out = COEFFICIENTS + (block << 5);
    const flagAbove = above + <usize>load<u8>(ABOVE + block);
    const flagLeft = left + <usize>load<u8>(LEFT + block);
    let n = first;
    let p = probabilities + n * 33 + <usize>(load<u8>(flagAbove) + load<u8>(flagLeft)) * 11;
    while (n < 16) {
      // Is there another coefficient?
      let shift = clz(range) - 24;
      range <<= shift;
      bits -= shift;
      if (bits < 0) {
        setState(value, bits, range);
        refill();
        value = sharedValue;
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
          setState(value, bits, range);
          refill();
          value = sharedValue;
          bits = sharedBits;
        }
        split = (((range - 1) * <u32>load<u8>(p, 1)) >> 8) + 1;
        if (<u32>(value >> <u64>bits) >= split) break;
        range = split;
        p = probabilities + ++n * 33;
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
        setState(value, bits, range);
        refill();
        value = sharedValue;
        bits = sharedBits;
      }
      split = (((range - 1) * <u32>load<u8>(p, 2)) >> 8) + 1;
      let magnitude = 1;
      let context: usize = 11;
      if (<u32>(value >> <u64>bits) < split) {
        range = split;
      } else {
        setState(value - (<u64>split << <u64>bits), bits, range - split);
        magnitude = readLarge(p);
        value = sharedValue;
        bits = sharedBits;
        range = sharedRange;
        context = 22;
      }

      // Its sign, one bit of even odds. The comparison is signed as in libwebp, which only corrupt data can tell.
      shift = clz(range) - 24;
      range <<= shift;
      bits -= shift;
      if (bits < 0) {
        setState(value, bits, range);
        refill();
        value = sharedValue;
        bits = sharedBits;
      }
      split = ((range - 1) >> 1) + 1;
      let coefficient = magnitude;
      if (<i32>(split - 1 - <u32>(value >> <u64>bits)) < 0) {
        value -= <u64>split << <u64>bits;
        range -= split;
        coefficient = -magnitude;
      } else {
        range = split;
      }
      const step = load<i32>(steps + (n > 0 ? 4 : 0));
      store<i16>(out + (<usize>load<u8>(ZIGZAG + n) << 1), <i16>(coefficient * step));
      p = probabilities + ++n * 33 + context;
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
