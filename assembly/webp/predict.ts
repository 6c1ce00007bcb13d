// Prediction of a macroblock or block from the pixels around it (RFC 6386, section 12), in place: the row above and the
// column at the left are those in memory, which frame.ts keeps as they were before the loop filter.
//
// Eight of the ten modes of a 4×4 block copy pixels of its edge e, smoothed in one of two ways, along a direction. Both
// smoothings of the whole edge take seven instructions, since (a + 2b + c + 2) >> 2 is the rounded mean of b and of the
// truncated mean of a and c; a mode is then a list of where each pixel comes from.

/** Modes, numbered as the bit stream's probabilities are; those of 16×16 and of chroma are the first four. */
export const DC: u32 = 0;
export const TM: u32 = 1;
export const VE: u32 = 2;
export const HE: u32 = 3;
export const RD: u32 = 4;
export const VR: u32 = 5;
export const LD: u32 = 6;
export const VL: u32 = 7;
export const HD: u32 = 8;
export const HU: u32 = 9;

/** For each pixel of a block in modes 2 to 9, the place in the edge whose mean of three counts or, from 16 on, of two. */
const DIRECTIONS: usize = memory.data<u8>([
  6, 7, 8, 9, 6, 7, 8, 9, 6, 7, 8, 9, 6, 7, 8, 9, // VE
  4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, // HE
  5, 6, 7, 8, 4, 5, 6, 7, 3, 4, 5, 6, 2, 3, 4, 5, // RD
  21, 22, 23, 24, 5, 6, 7, 8, 4, 21, 22, 23, 3, 5, 6, 7, // VR
  7, 8, 9, 10, 8, 9, 10, 11, 9, 10, 11, 12, 10, 11, 12, 13, // LD
  22, 23, 24, 25, 7, 8, 9, 10, 23, 24, 25, 11, 8, 9, 10, 12, // VL
  20, 5, 6, 7, 19, 4, 20, 5, 18, 3, 19, 4, 17, 2, 18, 3, // HD
  19, 3, 18, 2, 18, 2, 17, 1, 17, 1, 16, 16, 16, 16, 16, 16, // HU
]);

// @ts-ignore: decorator
@inline
function sumBytes(bytes: v128): u32 {
  const words = i16x8.extadd_pairwise_i8x16_u(bytes);
  const sums = i32x4.extadd_pairwise_i16x8_u(words);
  return i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3);
}

/** Predicts the 4×4 pixels at `at`. Up to 16 bytes of the row above are read from the one before it on. */
export function predictBlock(at: usize, stride: usize, mode: u32): void {
  const above = v128.load(at - stride - 1);
  const left =
    <u32>load<u8>(at + 3 * stride - 1) |
    (<u32>load<u8>(at + 2 * stride - 1) << 8) |
    (<u32>load<u8>(at + stride - 1) << 16) |
    (<u32>load<u8>(at - 1) << 24);
  const column = i32x4.splat(left);
  let pixels: v128;
  if (mode == DC) {
    const both = i32x4.replace_lane(i32x4(0, 0, 0, 0), 0, left);
    pixels = i8x16.splat(<i8>((sumBytes(v128.load32_lane(at - stride, both, 1)) + 4) >> 3));
  } else if (mode == TM) {
    const zero = i32x4.splat(0);
    const corner = v128.shuffle<u8>(above, zero, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16);
    const row = v128.shuffle<u8>(above, zero, 1, 16, 2, 16, 3, 16, 4, 16, 1, 16, 2, 16, 3, 16, 4, 16);
    const steps = i16x8.sub(row, corner);
    const left01 = v128.shuffle<u8>(column, zero, 3, 16, 3, 16, 3, 16, 3, 16, 2, 16, 2, 16, 2, 16, 2, 16);
    const left23 = v128.shuffle<u8>(column, zero, 1, 16, 1, 16, 1, 16, 1, 16, 0, 16, 0, 16, 0, 16, 0, 16);
    pixels = i8x16.narrow_i16x8_u(i16x8.add(steps, left01), i16x8.add(steps, left23));
  } else {
    // From the lowest pixel at the left, twice, over the corner to the one above the block's right neighbor, thrice.
    const edge = v128.shuffle<u8>(column, above, 0, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 24, 24);
    const next = v128.shuffle<u8>(edge, edge, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15);
    const previous = v128.shuffle<u8>(edge, edge, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
    const odd = v128.and(v128.xor(previous, next), i8x16.splat(1));
    const threes = i8x16.avgr_u(edge, i8x16.sub(i8x16.avgr_u(previous, next), odd));
    const twos = i8x16.avgr_u(edge, next);
    const places = v128.load(DIRECTIONS + (<usize>(mode - VE) << 4));
    pixels = v128.or(i8x16.swizzle(threes, places), i8x16.swizzle(twos, i8x16.sub(places, i8x16.splat(16))));
  }
  v128.store32_lane(at, pixels, 0);
  v128.store32_lane(at + stride, pixels, 1);
  v128.store32_lane(at + 2 * stride, pixels, 2);
  v128.store32_lane(at + 3 * stride, pixels, 3);
}

// @ts-ignore: decorator
@inline
function storeRow(size: i32, at: usize, pixels: v128): void {
  if (size == 16) v128.store(at, pixels);
  else v128.store64_lane(at, pixels, 0);
}

// @ts-ignore: decorator
@inline
function predictSquare(size: i32, at: usize, stride: usize, mode: u32, hasLeft: bool, hasAbove: bool): void {
  const end = at + <usize>size * stride;
  const above = size == 16 ? v128.load(at - stride) : v128.load64_zero(at - stride);
  if (mode == DC) {
    let sum: u32 = 0;
    if (hasAbove) sum += sumBytes(above);
    if (hasLeft) for (let p = at - 1; p < end - 1; p += stride) sum += load<u8>(p);
    const sides: u32 = <u32>hasLeft + <u32>hasAbove;
    const mean = sides == 0 ? 128 : (sum + ((size * sides) >> 1)) / (size * sides);
    for (const pixels = i8x16.splat(<i8>mean); at < end; at += stride) storeRow(size, at, pixels);
  } else if (mode == VE) {
    for (; at < end; at += stride) storeRow(size, at, above);
  } else if (mode == HE) {
    for (; at < end; at += stride) storeRow(size, at, v128.load8_splat(at - 1));
  } else {
    const corner = i16x8.splat(<i16>load<u8>(at - stride - 1));
    const low = i16x8.sub(i16x8.extend_low_i8x16_u(above), corner);
    const high = i16x8.sub(i16x8.extend_high_i8x16_u(above), corner);
    for (; at < end; at += stride) {
      const left = i16x8.splat(<i16>load<u8>(at - 1));
      storeRow(size, at, i8x16.narrow_i16x8_u(i16x8.add(low, left), i16x8.add(high, left)));
    }
  }
}

/** Predicts 16×16 pixels. The mean counts only the sides that the picture has. */
export function predictLuma(at: usize, stride: usize, mode: u32, hasLeft: bool, hasAbove: bool): void {
  predictSquare(16, at, stride, mode, hasLeft, hasAbove);
}

/** The same for 8×8. */
export function predictChroma(at: usize, stride: usize, mode: u32, hasLeft: bool, hasAbove: bool): void {
  predictSquare(8, at, stride, mode, hasLeft, hasAbove);
}
