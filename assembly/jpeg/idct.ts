// Dequantization and the inverse DCT (§A.3.3, A.3.4): Loeffler, Ligtenberg and Moschytz's algorithm with 13 fraction
// bits, to 8×8, 4×4, 2×2 or 1 sample, in the arithmetic of libjpeg-turbo's SIMD, which rounds, wraps and saturates at
// 16 bits:
//
//     x = w16(coefficient * quantizer)                                     w16: the low 16 bits as a signed number
//     columns: sat16((y + 2^10) >> 11), rows: clamp((y + 2^17) >> 18, -128, 127) + 128, where y of a line of eight is
//     t3 = 10703 x2 + 4433 x6          t2 = 4433 x2 - 10704 x6             t0, t1 = w16(x0 ± x4) << 13
//     e0, e3 = t0 ± t3                 e1, e2 = t1 ± t2                    z3 = w16(x3 + x7), z4 = w16(x1 + x5)
//     u3 = -6436 z3 + 9633 z4          u4 = 9633 z3 + 6437 z4
//     o0 = -4927 x7 - 7373 x1 + u3     o3 = -7373 x7 + 4926 x1 + u4
//     o1 = -4176 x5 - 20995 x3 + u4    o2 = -20995 x5 + 4177 x3 + u3
//     y0, y7 = e0 ± o3    y1, y6 = e1 ± o2    y2, y5 = e2 ± o1    y3, y4 = e3 ± o0
//
// and where all coefficients of rows 1 to 7 are zero, columns are w16(4 x0). Exact, no bound: sums of zeros are left
// out, and sums of 32 bits wrap, so that constants may be added before. A column is a lane; pairs of terms are one
// 16-bit dot product.
import { Component } from "./frame";

/** Columns, after the first pass: i16 [8, 8]. */
const WORK: usize = memory.data(128, 16);

/** Where the samples of a block begin, in a ring of two rows of MCUs: by its row of MCUs, row in that and column. */
// @ts-ignore: decorator
@inline
export function samplesOf(part: Component, row: i32, line: i32, column: i32): usize {
  const y = ((row & 1) * part.v + line) * part.size;
  return part.plane + <usize>(y * part.planeStride + column * part.size);
}

/** Samples of a block whose coefficients after place `last` in zigzag order are zero. */
export function transform(part: Component, block: usize, last: i32, out: usize): void {
  const size = part.size;
  const stride = <usize>part.planeStride;
  if (size == 8) {
    if (last == 0) flat(block, part.quantizer, out, stride);
    else if (last < 10) corner(block, part.quantizer, out, stride);
    else full(block, part.quantizer, out, stride);
  } else if (size == 4) reduce4(block, part.quantizer, out, stride);
  else if (size == 2) reduce2(block, part.quantizer, out, stride);
  else reduce1(block, part.quantizer, out);
}

function flat(block: usize, quantizer: usize, out: usize, stride: usize): void {
  const dc = <i32>(<i16>(product(block, quantizer, 0) << 2));
  const row = <u64>sample((dc + 16) >> 5) * 0x0101010101010101;
  for (let y = 0; y < 8; y++, out += stride) store<u64>(out, row);
}

// @ts-ignore: decorator
@inline
function dequantized(block: usize, quantizer: usize, row: usize): v128 {
  return i16x8.mul(v128.load(block + (row << 4)), v128.load(quantizer + (row << 4)));
}

// @ts-ignore: decorator
@inline
function interleaveLow(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

// @ts-ignore: decorator
@inline
function interleaveHigh(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** a * x + b * y of interleaved x and y. */
// @ts-ignore: decorator
@inline
function dot(pairs: v128, a: i32, b: i32): v128 {
  return i32x4.dot_i16x8_s(pairs, i32x4.splat((a & 0xffff) | (b << 16)));
}

/** y0 to y7 of four lines, before rounding, from interleaved pairs; t0 and t1 have their rounding. Into i32 [8, 4]. */
// @ts-ignore: decorator
@inline
function lines4(out: usize, shift: i32, t0: v128, t1: v128, x26: v128, x71: v128, x53: v128, z34: v128): void {
  const t3 = dot(x26, 10703, 4433);
  const t2 = dot(x26, 4433, -10704);
  const u3 = dot(z34, -6436, 9633);
  const u4 = dot(z34, 9633, 6437);
  const o0 = i32x4.add(dot(x71, -4927, -7373), u3);
  const o3 = i32x4.add(dot(x71, -7373, 4926), u4);
  const o1 = i32x4.add(dot(x53, -4176, -20995), u4);
  const o2 = i32x4.add(dot(x53, -20995, 4177), u3);
  const e0 = i32x4.add(t0, t3);
  const e3 = i32x4.sub(t0, t3);
  const e1 = i32x4.add(t1, t2);
  const e2 = i32x4.sub(t1, t2);
  v128.store(out, i32x4.shr_s(i32x4.add(e0, o3), shift), 0);
  v128.store(out, i32x4.shr_s(i32x4.add(e1, o2), shift), 16);
  v128.store(out, i32x4.shr_s(i32x4.add(e2, o1), shift), 32);
  v128.store(out, i32x4.shr_s(i32x4.add(e3, o0), shift), 48);
  v128.store(out, i32x4.shr_s(i32x4.sub(e3, o0), shift), 64);
  v128.store(out, i32x4.shr_s(i32x4.sub(e2, o1), shift), 80);
  v128.store(out, i32x4.shr_s(i32x4.sub(e1, o2), shift), 96);
  v128.store(out, i32x4.shr_s(i32x4.sub(e0, o3), shift), 112);
}

/** The lines of lanes 0 to 3 and of lanes 4 to 7: i32 [8, 4] each. */
const LOW: usize = memory.data(128, 16);
const HIGH: usize = memory.data(128, 16);

/** Eight lines at once: lane i of x0 to x7 is line i. */
// @ts-ignore: decorator
@inline
function lines8(shift: i32, x0: v128, x1: v128, x2: v128, x3: v128, x4: v128, x5: v128, x6: v128, x7: v128): void {
  const sum = i16x8.add(x0, x4);
  const difference = i16x8.sub(x0, x4);
  const z3 = i16x8.add(x3, x7);
  const z4 = i16x8.add(x1, x5);
  const round = i32x4.splat(1 << (shift - 1));
  lines4(
    LOW,
    shift,
    i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(sum), 13), round),
    i32x4.add(i32x4.shl(i32x4.extend_low_i16x8_s(difference), 13), round),
    interleaveLow(x2, x6),
    interleaveLow(x7, x1),
    interleaveLow(x5, x3),
    interleaveLow(z3, z4),
  );
  lines4(
    HIGH,
    shift,
    i32x4.add(i32x4.shl(i32x4.extend_high_i16x8_s(sum), 13), round),
    i32x4.add(i32x4.shl(i32x4.extend_high_i16x8_s(difference), 13), round),
    interleaveHigh(x2, x6),
    interleaveHigh(x7, x1),
    interleaveHigh(x5, x3),
    interleaveHigh(z3, z4),
  );
}

/** Value y of the eight lines, saturated. */
// @ts-ignore: decorator
@inline
function line(y: usize): v128 {
  return i16x8.narrow_i32x4_s(v128.load(LOW + (y << 4)), v128.load(HIGH + (y << 4)));
}

/** All 64 coefficients. */
function full(block: usize, quantizer: usize, out: usize, stride: usize): void {
  const below = v128.or(
    v128.or(v128.or(v128.load(block, 16), v128.load(block, 32)), v128.or(v128.load(block, 48), v128.load(block, 64))),
    v128.or(v128.or(v128.load(block, 80), v128.load(block, 96)), v128.load(block, 112)),
  );
  if (!v128.any_true(below)) {
    firstRow(block, quantizer, out, stride);
    return;
  }
  lines8(
    11,
    dequantized(block, quantizer, 0),
    dequantized(block, quantizer, 1),
    dequantized(block, quantizer, 2),
    dequantized(block, quantizer, 3),
    dequantized(block, quantizer, 4),
    dequantized(block, quantizer, 5),
    dequantized(block, quantizer, 6),
    dequantized(block, quantizer, 7),
  );
  // Columns become rows.
  const r0 = line(0);
  const r1 = line(1);
  const r2 = line(2);
  const r3 = line(3);
  const r4 = line(4);
  const r5 = line(5);
  const r6 = line(6);
  const r7 = line(7);
  const a0 = interleaveLow(r0, r4);
  const a1 = interleaveHigh(r0, r4);
  const a2 = interleaveLow(r2, r6);
  const a3 = interleaveHigh(r2, r6);
  const a4 = interleaveLow(r1, r5);
  const a5 = interleaveHigh(r1, r5);
  const a6 = interleaveLow(r3, r7);
  const a7 = interleaveHigh(r3, r7);
  const b0 = interleaveLow(a0, a2);
  const b1 = interleaveHigh(a0, a2);
  const b2 = interleaveLow(a1, a3);
  const b3 = interleaveHigh(a1, a3);
  const b4 = interleaveLow(a4, a6);
  const b5 = interleaveHigh(a4, a6);
  const b6 = interleaveLow(a5, a7);
  const b7 = interleaveHigh(a5, a7);
  lines8(
    18,
    interleaveLow(b0, b4),
    interleaveHigh(b0, b4),
    interleaveLow(b1, b5),
    interleaveHigh(b1, b5),
    interleaveLow(b2, b6),
    interleaveHigh(b2, b6),
    interleaveLow(b3, b7),
    interleaveHigh(b3, b7),
  );
  storeColumns(out, stride);
}

/** Rows 1 to 7 are zero: all rows are the same, and the first pass wraps. */
function firstRow(block: usize, quantizer: usize, out: usize, stride: usize): void {
  const x = i16x8.shl(dequantized(block, quantizer, 0), 2);
  lines8(
    18,
    i16x8.splat(i16x8.extract_lane_s(x, 0)),
    i16x8.splat(i16x8.extract_lane_s(x, 1)),
    i16x8.splat(i16x8.extract_lane_s(x, 2)),
    i16x8.splat(i16x8.extract_lane_s(x, 3)),
    i16x8.splat(i16x8.extract_lane_s(x, 4)),
    i16x8.splat(i16x8.extract_lane_s(x, 5)),
    i16x8.splat(i16x8.extract_lane_s(x, 6)),
    i16x8.splat(i16x8.extract_lane_s(x, 7)),
  );
  storeColumns(out, stride);
}

/** y0 to y7 of four lines whose x4 to x7 are zero, from pairs of x0 and x2, and of x1 and x3. Into i32 [8, 4]. */
// @ts-ignore: decorator
@inline
function corner4(out: usize, shift: i32, x02: v128, x13: v128): void {
  const round = i32x4.splat(1 << (shift - 1));
  const e0 = i32x4.add(dot(x02, 8192, 10703), round);
  const e3 = i32x4.add(dot(x02, 8192, -10703), round);
  const e1 = i32x4.add(dot(x02, 8192, 4433), round);
  const e2 = i32x4.add(dot(x02, 8192, -4433), round);
  const o0 = dot(x13, 9633 - 7373, -6436);
  const o3 = dot(x13, 4926 + 6437, 9633);
  const o1 = dot(x13, 6437, 9633 - 20995);
  const o2 = dot(x13, 9633, 4177 - 6436);
  v128.store(out, i32x4.shr_s(i32x4.add(e0, o3), shift), 0);
  v128.store(out, i32x4.shr_s(i32x4.add(e1, o2), shift), 16);
  v128.store(out, i32x4.shr_s(i32x4.add(e2, o1), shift), 32);
  v128.store(out, i32x4.shr_s(i32x4.add(e3, o0), shift), 48);
  v128.store(out, i32x4.shr_s(i32x4.sub(e3, o0), shift), 64);
  v128.store(out, i32x4.shr_s(i32x4.sub(e2, o1), shift), 80);
  v128.store(out, i32x4.shr_s(i32x4.sub(e1, o2), shift), 96);
  v128.store(out, i32x4.shr_s(i32x4.sub(e0, o3), shift), 112);
}

/** Rows y and y + 1, four columns of each, saturated. */
// @ts-ignore: decorator
@inline
function rows2(y: usize): v128 {
  return i16x8.narrow_i32x4_s(v128.load(LOW + (y << 4)), v128.load(LOW + (y << 4), 16));
}

/** Coefficients in the first four rows and columns only. */
function corner(block: usize, quantizer: usize, out: usize, stride: usize): void {
  const below = v128.or(v128.or(v128.load(block, 16), v128.load(block, 32)), v128.load(block, 48));
  if (!v128.any_true(below)) {
    firstRow(block, quantizer, out, stride);
    return;
  }
  corner4(
    LOW,
    11,
    interleaveLow(dequantized(block, quantizer, 0), dequantized(block, quantizer, 2)),
    interleaveLow(dequantized(block, quantizer, 1), dequantized(block, quantizer, 3)),
  );
  const r0 = rows2(0);
  const r2 = rows2(2);
  const r4 = rows2(4);
  const r6 = rows2(6);
  corner4(
    LOW,
    18,
    v128.shuffle<u16>(r0, r2, 0, 2, 4, 6, 8, 10, 12, 14),
    v128.shuffle<u16>(r0, r2, 1, 3, 5, 7, 9, 11, 13, 15),
  );
  corner4(
    HIGH,
    18,
    v128.shuffle<u16>(r4, r6, 0, 2, 4, 6, 8, 10, 12, 14),
    v128.shuffle<u16>(r4, r6, 1, 3, 5, 7, 9, 11, 13, 15),
  );
  storeColumns(out, stride);
}

// @ts-ignore: decorator
@inline
function interleaveBytesLow(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline
function interleaveBytesHigh(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** Clamps the eight columns in LOW and HIGH and writes them as rows of samples. */
// @ts-ignore: decorator
@inline
function storeColumns(out: usize, stride: usize): void {
  const c02 = i8x16.narrow_i16x8_s(line(0), line(2));
  const c13 = i8x16.narrow_i16x8_s(line(1), line(3));
  const c46 = i8x16.narrow_i16x8_s(line(4), line(6));
  const c57 = i8x16.narrow_i16x8_s(line(5), line(7));
  const c01 = interleaveBytesLow(c02, c13);
  const c23 = interleaveBytesHigh(c02, c13);
  const c45 = interleaveBytesLow(c46, c57);
  const c67 = interleaveBytesHigh(c46, c57);
  const half = i8x16.splat(-128);
  storeRows(out, stride, interleaveLow(c01, c23), interleaveLow(c45, c67), half);
  storeRows(out + 4 * stride, stride, interleaveHigh(c01, c23), interleaveHigh(c45, c67), half);
}

/** Four rows of which `left` has columns 0 to 3 and `right` 4 to 7. */
// @ts-ignore: decorator
@inline
function storeRows(out: usize, stride: usize, left: v128, right: v128, half: v128): void {
  const low = v128.xor(v128.shuffle<u32>(left, right, 0, 4, 1, 5), half);
  const high = v128.xor(v128.shuffle<u32>(left, right, 2, 6, 3, 7), half);
  v128.store64_lane(out, low, 0);
  v128.store64_lane(out + stride, low, 1);
  v128.store64_lane(out + 2 * stride, high, 0);
  v128.store64_lane(out + 3 * stride, high, 1);
}

// ---- reduced sizes, for Image.draft ----

// @ts-ignore: decorator
@inline
function sample(value: i32): u8 {
  return <u8>(min(max(value, -128), 127) + 128);
}

/** Coefficient times quantizer at a natural index. */
// @ts-ignore: decorator
@inline
function product(block: usize, quantizer: usize, index: usize): i32 {
  return <i32>(<i16>(<i32>load<i16>(block + (index << 1)) * <i32>load<i16>(quantizer + (index << 1))));
}

// @ts-ignore: decorator
@inline
function sat16(value: i32): i32 {
  return min(max(value, -32768), 32767);
}

/** Columns of the 4×4 transform: i32 [4, 8]; of the 2×2 transform [2, 8]. */
const REDUCED: usize = memory.data(128, 16);

// @ts-ignore: decorator
@inline
function reduced(row: usize, column: usize): i32 {
  return load<i32>(REDUCED + (row << 5) + (column << 2));
}

/**
 * e = x0 << 14    t = 15137 x2 - 6270 x6    a = 20995 x1 + 7373 x3 - 4926 x5 - 4176 x7
 * y0, y3 = (e + t) ± a    y1, y2 = (e - t) ± b    b = 8697 x1 - 17799 x3 + 11893 x5 - 1730 x7
 * columns: sat16((y + 2^11) >> 12), of row 0 alone w16(4 x0); rows: (y + 2^18) >> 19, clamped.
 */
function reduce4(block: usize, quantizer: usize, out: usize, stride: usize): void {
  const below = v128.or(
    v128.or(v128.or(v128.load(block, 16), v128.load(block, 32)), v128.load(block, 48)),
    v128.or(v128.or(v128.load(block, 80), v128.load(block, 96)), v128.load(block, 112)),
  );
  const isFirstRow = !v128.any_true(below);
  for (let c: usize = 0; c < 8; c++) {
    if (c == 4) continue;
    const to = REDUCED + (c << 2);
    const x0 = product(block, quantizer, c);
    if (isFirstRow) {
      const x = <i32>(<i16>(x0 << 2));
      store<i32>(to, x, 0);
      store<i32>(to, x, 32);
      store<i32>(to, x, 64);
      store<i32>(to, x, 96);
      continue;
    }
    const x1 = product(block, quantizer, 8 + c);
    const x2 = product(block, quantizer, 16 + c);
    const x3 = product(block, quantizer, 24 + c);
    const x5 = product(block, quantizer, 40 + c);
    const x6 = product(block, quantizer, 48 + c);
    const x7 = product(block, quantizer, 56 + c);
    const t = 15137 * x2 - 6270 * x6;
    const a = 20995 * x1 + 7373 * x3 + (-4926 * x5 - 4176 * x7);
    const b = 8697 * x1 - 17799 * x3 + (11893 * x5 - 1730 * x7);
    const e = (x0 << 14) + (1 << 11);
    store<i32>(to, sat16((e + t + a) >> 12), 0);
    store<i32>(to, sat16((e - t + b) >> 12), 32);
    store<i32>(to, sat16((e - t - b) >> 12), 64);
    store<i32>(to, sat16((e + t - a) >> 12), 96);
  }
  for (let y: usize = 0; y < 4; y++, out += stride) {
    const t = 15137 * reduced(y, 2) - 6270 * reduced(y, 6);
    const a = 20995 * reduced(y, 1) + 7373 * reduced(y, 3) + (-4926 * reduced(y, 5) - 4176 * reduced(y, 7));
    const b = 8697 * reduced(y, 1) - 17799 * reduced(y, 3) + (11893 * reduced(y, 5) - 1730 * reduced(y, 7));
    const e = (reduced(y, 0) << 14) + (1 << 18);
    store<u8>(out, sample((e + t + a) >> 19), 0);
    store<u8>(out, sample((e - t + b) >> 19), 1);
    store<u8>(out, sample((e - t - b) >> 19), 2);
    store<u8>(out, sample((e + t - a) >> 19), 3);
  }
}

/**
 * t = 29692 x1 - 10426 x3 + 6967 x5 - 5906 x7    y0, y1 = (x0 << 15) ± t
 * columns 0, 1, 3, 5, 7: sat16((y + 2^12) >> 13), but for column 0, whose 32 bits stay; rows: (y + 2^19) >> 20,
 * clamped.
 */
function reduce2(block: usize, quantizer: usize, out: usize, stride: usize): void {
  for (let c: usize = 0; c < 8; c++) {
    if (c && !(c & 1)) continue;
    const e = (product(block, quantizer, c) << 15) + (1 << 12);
    const t =
      29692 * product(block, quantizer, 8 + c) -
      10426 * product(block, quantizer, 24 + c) +
      (6967 * product(block, quantizer, 40 + c) - 5906 * product(block, quantizer, 56 + c));
    const y0 = (e + t) >> 13;
    const y1 = (e - t) >> 13;
    store<i32>(REDUCED + (c << 2), c ? sat16(y0) : y0, 0);
    store<i32>(REDUCED + (c << 2), c ? sat16(y1) : y1, 32);
  }
  for (let y: usize = 0; y < 2; y++, out += stride) {
    const e = (reduced(y, 0) << 15) + (1 << 19);
    const t = 29692 * reduced(y, 1) - 10426 * reduced(y, 3) + (6967 * reduced(y, 5) - 5906 * reduced(y, 7));
    store<u8>(out, sample((e + t) >> 20), 0);
    store<u8>(out, sample((e - t) >> 20), 1);
  }
}

/**
 * The mean, in 10 bits that wrap: what is out of range by less than 512 is clamped, or else comes out at the other
 * end.
 */
function reduce1(block: usize, quantizer: usize, out: usize): void {
  const mean = ((<i32>load<i16>(block) * <i32>load<i16>(quantizer) + 4) >> 3) & 1023;
  store<u8>(out, sample(mean < 512 ? mean : mean - 1024));
}
