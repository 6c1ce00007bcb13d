// Loop filter of VP8 (RFC 6386, section 15), 16 pixels of an edge at once: bytes minus 128 and saturating arithmetic are the
// clamps of the paper. The edge lies between two rows; for edges between columns the pixels are transposed into rows and back.
// U and V go together, 8 pixels each.
//
// Exact, no bound. With p the pixels before the edge and q those behind it, an edge is filtered where
// 4·|p0 - q0| + |p1 - q1| <= 2·limit + 1, which is 2·|p0 - q0| + (|p1 - q1| >> 1) <= limit, and where no two
// neighbors on a side differ by more than the interior limit.

/** Columns of the block and of the four pixels at its left, as rows of 16 bytes. */
const COLUMNS: usize = memory.data(24 * 16, 16);

// @ts-ignore: decorator
@inline
function difference(a: v128, b: v128): v128 {
  return v128.or(i8x16.sub_sat_u(a, b), i8x16.sub_sat_u(b, a));
}

// @ts-ignore: decorator
@inline
function isAcross(p1: v128, p0: v128, q0: v128, q1: v128, limit: v128): v128 {
  const inner = difference(p0, q0);
  const sum = i8x16.add_sat_u(i8x16.add_sat_u(inner, inner), i8x16.shr_u(difference(p1, q1), 1));
  return i8x16.le_u(sum, limit);
}

/** a = 3(q0 - p0) + outer, where outer is p1 - q1 or nothing. */
// @ts-ignore: decorator
@inline
function step(p0: v128, q0: v128, outer: v128): v128 {
  const inner = i8x16.sub_sat_s(q0, p0);
  return i8x16.add_sat_s(i8x16.add_sat_s(i8x16.add_sat_s(outer, inner), inner), inner);
}

// @ts-ignore: decorator
@inline
function eighths(a: v128, rounding: i8): v128 {
  return i8x16.shr_s(i8x16.add_sat_s(a, i8x16.splat(rounding)), 3);
}

/** A row of 16 pixels, or of 8 and 8. */
// @ts-ignore: decorator
@inline
function loadRow(isPair: bool, at: usize, second: usize): v128 {
  return isPair ? v128.load64_lane(second, v128.load64_zero(at), 1) : v128.load(at);
}

/** The same of pixels minus 128. */
// @ts-ignore: decorator
@inline
function storeRow(isPair: bool, at: usize, second: usize, centered: v128): void {
  const pixels = v128.xor(centered, i8x16.splat(-128));
  if (isPair) {
    v128.store64_lane(at, pixels, 0);
    v128.store64_lane(second, pixels, 1);
  } else {
    v128.store(at, pixels);
  }
}

/** The simple filter, of the edge between the row before `at` and the row there. */
// @ts-ignore: decorator
@inline
function filterSimple(at: usize, stride: usize, limit: v128): void {
  const center = i8x16.splat(-128);
  const p1 = v128.load(at - 2 * stride);
  const p0 = v128.load(at - stride);
  const q0 = v128.load(at);
  const q1 = v128.load(at + stride);
  const outer = i8x16.sub_sat_s(v128.xor(p1, center), v128.xor(q1, center));
  const p = v128.xor(p0, center);
  const q = v128.xor(q0, center);
  const a = v128.and(step(p, q, outer), isAcross(p1, p0, q0, q1, limit));
  storeRow(false, at - stride, 0, i8x16.add_sat_s(p, eighths(a, 3)));
  storeRow(false, at, 0, i8x16.sub_sat_s(q, eighths(a, 4)));
}

/** The normal filter of a macroblock's own edge, or of one inside it, with the second row of a pair `apart` bytes away. */
// @ts-ignore: decorator
@inline
function filterNormal(
  isOuter: bool,
  isPair: bool,
  at: usize,
  apart: usize,
  stride: usize,
  limit: v128,
  interior: v128,
  threshold: v128,
): void {
  const center = i8x16.splat(-128);
  const before = at - 4 * stride;
  const p3 = loadRow(isPair, before, before + apart);
  const p2 = loadRow(isPair, before + stride, before + stride + apart);
  const p1 = loadRow(isPair, before + 2 * stride, before + 2 * stride + apart);
  const p0 = loadRow(isPair, before + 3 * stride, before + 3 * stride + apart);
  const q0 = loadRow(isPair, at, at + apart);
  const q1 = loadRow(isPair, at + stride, at + stride + apart);
  const q2 = loadRow(isPair, at + 2 * stride, at + 2 * stride + apart);
  const q3 = loadRow(isPair, at + 3 * stride, at + 3 * stride + apart);

  const nearest = i8x16.max_u(difference(p1, p0), difference(q1, q0));
  let largest = i8x16.max_u(difference(p3, p2), difference(p2, p1));
  largest = i8x16.max_u(largest, i8x16.max_u(difference(q3, q2), difference(q2, q1)));
  largest = i8x16.max_u(largest, nearest);
  const isFiltered = v128.and(i8x16.le_u(largest, interior), isAcross(p1, p0, q0, q1, limit));
  if (!v128.any_true(isFiltered)) return;
  const varies = i8x16.gt_u(nearest, threshold);

  let c1 = v128.xor(p1, center);
  let c0 = v128.xor(p0, center);
  let d0 = v128.xor(q0, center);
  let d1 = v128.xor(q1, center);
  const outer = i8x16.sub_sat_s(c1, d1);
  if (isOuter) {
    const a = v128.and(step(c0, d0, outer), isFiltered);
    const sharp = v128.and(a, varies);
    c0 = i8x16.add_sat_s(c0, eighths(sharp, 3));
    d0 = i8x16.sub_sat_s(d0, eighths(sharp, 4));
    // 27, 18 and 9 times a in 128ths.
    const smooth = v128.andnot(a, varies);
    const nine = i16x8.splat(9);
    const low = i16x8.mul(i16x8.extend_low_i8x16_s(smooth), nine);
    const high = i16x8.mul(i16x8.extend_high_i8x16_s(smooth), nine);
    const low9 = i16x8.add(low, i16x8.splat(63));
    const high9 = i16x8.add(high, i16x8.splat(63));
    const low18 = i16x8.add(low9, low);
    const high18 = i16x8.add(high9, high);
    const a9 = i8x16.narrow_i16x8_s(i16x8.shr_s(low9, 7), i16x8.shr_s(high9, 7));
    const a18 = i8x16.narrow_i16x8_s(i16x8.shr_s(low18, 7), i16x8.shr_s(high18, 7));
    const a27 = i8x16.narrow_i16x8_s(
      i16x8.shr_s(i16x8.add(low18, low), 7),
      i16x8.shr_s(i16x8.add(high18, high), 7),
    );
    c0 = i8x16.add_sat_s(c0, a27);
    d0 = i8x16.sub_sat_s(d0, a27);
    c1 = i8x16.add_sat_s(c1, a18);
    d1 = i8x16.sub_sat_s(d1, a18);
    const c2 = i8x16.add_sat_s(v128.xor(p2, center), a9);
    const d2 = i8x16.sub_sat_s(v128.xor(q2, center), a9);
    storeRow(isPair, before + stride, before + stride + apart, c2);
    storeRow(isPair, at + 2 * stride, at + 2 * stride + apart, d2);
  } else {
    const a = v128.and(step(c0, d0, v128.and(outer, varies)), isFiltered);
    const a4 = eighths(a, 4);
    c0 = i8x16.add_sat_s(c0, eighths(a, 3));
    d0 = i8x16.sub_sat_s(d0, a4);
    const half = v128.andnot(i8x16.shr_s(i8x16.add(a4, i8x16.splat(1)), 1), varies);
    c1 = i8x16.add_sat_s(c1, half);
    d1 = i8x16.sub_sat_s(d1, half);
  }
  storeRow(isPair, before + 2 * stride, before + 2 * stride + apart, c1);
  storeRow(isPair, before + 3 * stride, before + 3 * stride + apart, c0);
  storeRow(isPair, at, at + apart, d0);
  storeRow(isPair, at + stride, at + stride + apart, d1);
}

// @ts-ignore: decorator
@inline
function zipLow8(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
// @ts-ignore: decorator
@inline
function zipHigh8(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
// @ts-ignore: decorator
@inline
function zipLow16(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
// @ts-ignore: decorator
@inline
function zipHigh16(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
// @ts-ignore: decorator
@inline
function zipLow32(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 0, 4, 1, 5);
}
// @ts-ignore: decorator
@inline
function zipHigh32(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 2, 6, 3, 7);
}

/** Eight columns of 8 rows at `at` and of 8 rows at `second`, as eight rows of 16. */
function gather(at: usize, second: usize, stride: usize, out: usize): void {
  const r0 = loadRow(true, at, second);
  const r1 = loadRow(true, at + stride, second + stride);
  const r2 = loadRow(true, at + 2 * stride, second + 2 * stride);
  const r3 = loadRow(true, at + 3 * stride, second + 3 * stride);
  const r4 = loadRow(true, at + 4 * stride, second + 4 * stride);
  const r5 = loadRow(true, at + 5 * stride, second + 5 * stride);
  const r6 = loadRow(true, at + 6 * stride, second + 6 * stride);
  const r7 = loadRow(true, at + 7 * stride, second + 7 * stride);
  gatherHalf(zipLow8(r0, r1), zipLow8(r2, r3), zipLow8(r4, r5), zipLow8(r6, r7), out);
  gatherHalf(zipHigh8(r0, r1), zipHigh8(r2, r3), zipHigh8(r4, r5), zipHigh8(r6, r7), out + 8);
}

/** Eight columns of 8 rows, given as pairs of rows, into half a row each. */
// @ts-ignore: decorator
@inline
function gatherHalf(r01: v128, r23: v128, r45: v128, r67: v128, out: usize): void {
  const left03 = zipLow16(r01, r23);
  const right03 = zipHigh16(r01, r23);
  const left47 = zipLow16(r45, r67);
  const right47 = zipHigh16(r45, r67);
  const c01 = zipLow32(left03, left47);
  const c23 = zipHigh32(left03, left47);
  const c45 = zipLow32(right03, right47);
  const c67 = zipHigh32(right03, right47);
  v128.store64_lane(out, c01, 0);
  v128.store64_lane(out, c01, 1, 16);
  v128.store64_lane(out, c23, 0, 32);
  v128.store64_lane(out, c23, 1, 48);
  v128.store64_lane(out, c45, 0, 64);
  v128.store64_lane(out, c45, 1, 80);
  v128.store64_lane(out, c67, 0, 96);
  v128.store64_lane(out, c67, 1, 112);
}

/** The way back. */
function scatter(from: usize, at: usize, second: usize, stride: usize): void {
  const c0 = v128.load(from);
  const c1 = v128.load(from, 16);
  const c2 = v128.load(from, 32);
  const c3 = v128.load(from, 48);
  const c4 = v128.load(from, 64);
  const c5 = v128.load(from, 80);
  const c6 = v128.load(from, 96);
  const c7 = v128.load(from, 112);
  scatterHalf(zipLow8(c0, c1), zipLow8(c2, c3), zipLow8(c4, c5), zipLow8(c6, c7), at, stride);
  scatterHalf(zipHigh8(c0, c1), zipHigh8(c2, c3), zipHigh8(c4, c5), zipHigh8(c6, c7), second, stride);
}

// @ts-ignore: decorator
@inline
function scatterHalf(c01: v128, c23: v128, c45: v128, c67: v128, at: usize, stride: usize): void {
  const top03 = zipLow16(c01, c23);
  const bottom03 = zipHigh16(c01, c23);
  const top47 = zipLow16(c45, c67);
  const bottom47 = zipHigh16(c45, c67);
  const r01 = zipLow32(top03, top47);
  const r23 = zipHigh32(top03, top47);
  const r45 = zipLow32(bottom03, bottom47);
  const r67 = zipHigh32(bottom03, bottom47);
  v128.store64_lane(at, r01, 0);
  v128.store64_lane(at + stride, r01, 1);
  v128.store64_lane(at + 2 * stride, r23, 0);
  v128.store64_lane(at + 3 * stride, r23, 1);
  v128.store64_lane(at + 4 * stride, r45, 0);
  v128.store64_lane(at + 5 * stride, r45, 1);
  v128.store64_lane(at + 6 * stride, r67, 0);
  v128.store64_lane(at + 7 * stride, r67, 1);
}

/**
 * Filters the luma of a macroblock at `at`: its left and its top edge, if it has neighbors there, and the edges inside.
 * filter: its level, interior limit and threshold of edge variance, u8 each. Columns -4 to 19 are read and written.
 */
export function filterLuma(
  at: usize,
  stride: usize,
  filter: usize,
  isSimple: bool,
  hasLeft: bool,
  hasAbove: bool,
  hasInner: bool,
): void {
  const sum = 2 * <u32>load<u8>(filter) + <u32>load<u8>(filter, 1);
  const outerLimit = i8x16.splat(<i8>(sum + 4));
  const innerLimit = i8x16.splat(<i8>sum);
  const interior = v128.load8_splat(filter, 1);
  const threshold = v128.load8_splat(filter, 2);
  const lower = at + 8 * stride;
  if (hasLeft || hasInner) {
    gather(at - 4, lower - 4, stride, COLUMNS);
    if (hasInner) {
      gather(at + 4, lower + 4, stride, COLUMNS + 128);
      gather(at + 12, lower + 12, stride, COLUMNS + 256);
    }
    if (hasLeft) {
      if (isSimple) filterSimple(COLUMNS + 64, 16, outerLimit);
      else filterNormal(true, false, COLUMNS + 64, 0, 16, outerLimit, interior, threshold);
    }
    if (hasInner) {
      for (let edge = COLUMNS + 128; edge <= COLUMNS + 256; edge += 64) {
        if (isSimple) filterSimple(edge, 16, innerLimit);
        else filterNormal(false, false, edge, 0, 16, innerLimit, interior, threshold);
      }
      scatter(COLUMNS + 128, at + 4, lower + 4, stride);
      scatter(COLUMNS + 256, at + 12, lower + 12, stride);
    }
    scatter(COLUMNS, at - 4, lower - 4, stride);
  }
  if (hasAbove) {
    if (isSimple) filterSimple(at, stride, outerLimit);
    else filterNormal(true, false, at, 0, stride, outerLimit, interior, threshold);
  }
  if (hasInner) {
    for (let edge = at + 4 * stride, end = at + 16 * stride; edge < end; edge += 4 * stride) {
      if (isSimple) filterSimple(edge, stride, innerLimit);
      else filterNormal(false, false, edge, 0, stride, innerLimit, interior, threshold);
    }
  }
}

/** The same, always normal, for the chroma: V lies `apart` bytes behind U. Columns -4 to 11 are read and written. */
export function filterChroma(
  at: usize,
  apart: usize,
  stride: usize,
  filter: usize,
  hasLeft: bool,
  hasAbove: bool,
  hasInner: bool,
): void {
  const sum = 2 * <u32>load<u8>(filter) + <u32>load<u8>(filter, 1);
  const outerLimit = i8x16.splat(<i8>(sum + 4));
  const innerLimit = i8x16.splat(<i8>sum);
  const interior = v128.load8_splat(filter, 1);
  const threshold = v128.load8_splat(filter, 2);
  if (hasLeft || hasInner) {
    gather(at - 4, at - 4 + apart, stride, COLUMNS);
    if (hasLeft) filterNormal(true, false, COLUMNS + 64, 0, 16, outerLimit, interior, threshold);
    if (hasInner) {
      gather(at + 4, at + 4 + apart, stride, COLUMNS + 128);
      filterNormal(false, false, COLUMNS + 128, 0, 16, innerLimit, interior, threshold);
      scatter(COLUMNS + 128, at + 4, at + 4 + apart, stride);
    }
    scatter(COLUMNS, at - 4, at - 4 + apart, stride);
  }
  if (hasAbove) filterNormal(true, true, at, apart, stride, outerLimit, interior, threshold);
  if (hasInner) filterNormal(false, true, at + 4 * stride, apart, stride, innerLimit, interior, threshold);
}
