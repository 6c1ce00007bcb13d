// Inverse transforms of VP8 (RFC 6386, section 14): Walsh-Hadamard for the first coefficients of luma, DCT for the blocks.
//
// Exact, also where a corrupt file's coefficients overflow: there libwebp's SSE2 code computes blocks with more than three
// coefficients in wrapping 16 bits and the others in 32, and so does this. Other data give the same either way.
import { COEFFICIENTS, ENDS } from "./tokens";

/**
 * √2·cos(π/8) - 1 and √2·sin(π/8) - 1 in 65536ths: of a product the upper half counts, to which the operand is added. The
 * second is 35468 less 65536.
 */
const C: i16 = 20091;
const S: i16 = -30068;

/** The second-order luma of block 0, inverted into the first coefficients of blocks 1 to 16. */
export function invertSecondOrder(): void {
  const c = COEFFICIENTS;
  const out = COEFFICIENTS + 32;
  if (load<u8>(ENDS) > 1) {
    // Columns, then rows, four at a time.
    const row01 = v128.load(c);
    const row23 = v128.load(c, 16);
    let r0 = i32x4.extend_low_i16x8_s(row01);
    let r1 = i32x4.extend_high_i16x8_s(row01);
    let r2 = i32x4.extend_low_i16x8_s(row23);
    let r3 = i32x4.extend_high_i16x8_s(row23);
    let a0 = i32x4.add(r0, r3);
    let a1 = i32x4.add(r1, r2);
    let a2 = i32x4.sub(r1, r2);
    let a3 = i32x4.sub(r0, r3);
    r0 = i32x4.add(a0, a1);
    r1 = i32x4.add(a3, a2);
    r2 = i32x4.sub(a0, a1);
    r3 = i32x4.sub(a3, a2);
    const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
    const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
    const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
    const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
    const c0 = i32x4.add(v128.shuffle<i64>(low01, low23, 0, 2), i32x4.splat(3));
    const c1 = v128.shuffle<i64>(low01, low23, 1, 3);
    const c2 = v128.shuffle<i64>(high01, high23, 0, 2);
    const c3 = v128.shuffle<i64>(high01, high23, 1, 3);
    a0 = i32x4.add(c0, c3);
    a1 = i32x4.add(c1, c2);
    a2 = i32x4.sub(c1, c2);
    a3 = i32x4.sub(c0, c3);
    storeFirst(out, i32x4.add(a0, a1));
    storeFirst(out + 32, i32x4.add(a3, a2));
    storeFirst(out + 64, i32x4.sub(a0, a1));
    storeFirst(out + 96, i32x4.sub(a3, a2));
  } else {
    const value = (<i32>load<i16>(c) + 3) >> 3;
    for (let block: usize = 0; block < 16; block++) store<i16>(out + (block << 5), value);
  }
  v128.store(c, i32x4.splat(0));
  v128.store(c, i32x4.splat(0), 16);
}

/** Eighths of four sums, as the first coefficients of every fourth block. */
// @ts-ignore: decorator
@inline
function storeFirst(out: usize, sums: v128): void {
  const values = i32x4.shr_s(sums, 3);
  v128.store16_lane(out, values, 0);
  v128.store16_lane(out + 128, values, 2);
  v128.store16_lane(out + 256, values, 4);
  v128.store16_lane(out + 384, values, 6);
}

/**
 * Adds a block's residual to the 4×4 pixels at `at`, and clears its coefficients c.
 * end: the place behind its last coefficient, or 16 if it is to be computed in 16 bits whatever it has.
 */
export function addResidual(c: usize, end: u32, at: usize, stride: usize): void {
  if (end > 3) addInverse(c, at, stride);
  else if (end > 1) addFew(c, at, stride);
  else addFirst(c, at, stride);
  v128.store(c, i32x4.splat(0));
  v128.store(c, i32x4.splat(0), 16);
}

/** (a + f, b + e) and (a - f, b - e) of rows or columns 0 to 3, four wide: the butterfly of both passes. */
// @ts-ignore: decorator
@inline
function evenPart(v01: v128, v23: v128): v128 {
  return v128.shuffle<i64>(i16x8.add(v01, v23), i16x8.sub(v01, v23), 0, 2);
}

// @ts-ignore: decorator
@inline
function oddPart(v01: v128, v23: v128): v128 {
  const c = i16x8.splat(C);
  const s = i16x8.splat(S);
  const c1 = i32x4.shr_s(i32x4.extmul_high_i16x8_s(v01, c), 16);
  const s1 = i32x4.shr_s(i32x4.extmul_high_i16x8_s(v01, s), 16);
  const c3 = i32x4.shr_s(i32x4.extmul_high_i16x8_s(v23, c), 16);
  const s3 = i32x4.shr_s(i32x4.extmul_high_i16x8_s(v23, s), 16);
  // Both sums fit 16 bits.
  const products = i16x8.narrow_i32x4_s(i32x4.add(c1, s3), i32x4.sub(s1, c3));
  return i16x8.add(v128.shuffle<i64>(i16x8.add(v01, v23), i16x8.sub(v01, v23), 1, 3), products);
}

function addInverse(c: usize, at: usize, stride: usize): void {
  const row01 = v128.load(c);
  const row23 = v128.load(c, 16);
  let even = evenPart(row01, row23);
  let odd = oddPart(row01, row23);
  // Rows 0 and 1, then 3 and 2; as columns of which the first is rounded.
  let a = i16x8.add(even, odd);
  let b = i16x8.sub(even, odd);
  const column01 = v128.shuffle<i16>(a, b, 0, 4, 12, 8, 1, 5, 13, 9);
  const column23 = v128.shuffle<i16>(a, b, 2, 6, 14, 10, 3, 7, 15, 11);
  const rounded = i16x8.add(column01, i16x8(4, 4, 4, 4, 0, 0, 0, 0));
  even = evenPart(rounded, column23);
  odd = oddPart(rounded, column23);
  a = i16x8.shr_s(i16x8.add(even, odd), 3);
  b = i16x8.shr_s(i16x8.sub(even, odd), 3);
  // Columns 0 and 1, then 3 and 2.
  addRows(
    v128.shuffle<i16>(a, b, 0, 4, 12, 8, 1, 5, 13, 9),
    v128.shuffle<i16>(a, b, 2, 6, 14, 10, 3, 7, 15, 11),
    at,
    stride,
  );
}

/** Only coefficients 0, 1 and 4, which are the corner of the block. */
function addFew(c: usize, at: usize, stride: usize): void {
  const a = <i32>load<i16>(c) + 4;
  const across = <i32>load<i16>(c, 2);
  const down = <i32>load<i16>(c, 8);
  const far1 = across + ((across * <i32>C) >> 16);
  const near1 = (across * 35468) >> 16;
  const far4 = down + ((down * <i32>C) >> 16);
  const near4 = (down * 35468) >> 16;
  const row = i32x4.replace_lane(
    i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(far1), 1, near1), 2, -near1),
    3,
    -far1,
  );
  addRows(
    i16x8.narrow_i32x4_s(
      i32x4.shr_s(i32x4.add(row, i32x4.splat(a + far4)), 3),
      i32x4.shr_s(i32x4.add(row, i32x4.splat(a + near4)), 3),
    ),
    i16x8.narrow_i32x4_s(
      i32x4.shr_s(i32x4.add(row, i32x4.splat(a - near4)), 3),
      i32x4.shr_s(i32x4.add(row, i32x4.splat(a - far4)), 3),
    ),
    at,
    stride,
  );
}

function addFirst(c: usize, at: usize, stride: usize): void {
  const first = <i32>load<i16>(c);
  if (!first) return;
  const step = i16x8.splat(<i16>((first + 4) >> 3));
  addRows(step, step, at, stride);
}

/** Adds rows 0 and 1, then 2 and 3, of four 16-bit numbers. */
// @ts-ignore: decorator
@inline
function addRows(row01: v128, row23: v128, at: usize, stride: usize): void {
  const at1 = at + stride;
  const at2 = at1 + stride;
  const at3 = at2 + stride;
  const pixels01 = i16x8.extend_low_i8x16_u(v128.load32_lane(at1, v128.load32_zero(at), 1));
  const pixels23 = i16x8.extend_low_i8x16_u(v128.load32_lane(at3, v128.load32_zero(at2), 1));
  const sums = i8x16.narrow_i16x8_u(i16x8.add(pixels01, row01), i16x8.add(pixels23, row23));
  v128.store32_lane(at, sums, 0);
  v128.store32_lane(at1, sums, 1);
  v128.store32_lane(at2, sums, 2);
  v128.store32_lane(at3, sums, 3);
}
