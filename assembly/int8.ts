// C = A Bᵀ + bias with integers: W in 7 bits for each output, A in 8 bits for each row, both with a scale of their own; sums
// are exact. The arithmetic is that of `linear` in src/backend.ts, to the bit, on every engine and with every tile.
//
// Layout. A panel of B has 8 biases, 8 scales, then for every 4 k (zeros behind the last) 8 × 4 bytes q + 64: 0 to 127 as
// the second operand of relaxed_dot, for which every lowering of that instruction agrees and none saturates (2·128·127 <
// 2^15). A block of A has T scales, T offsets -64·Σa, from which the sums start, then for every 4 k T × 4 bytes. Without
// relaxed SIMD, products are i16: a panel's 32 bytes hold two k of all 8 outputs before the next two, and A is in i16.
//
// Tiles: `dot` where a dot-add is one instruction (AVX-VNNI, Arm's dot product), `split` (dot to i16, pairs to i32 by a
// vector of ones, add: V8's own lowering rebuilds the ones each time) elsewhere, `dot16` without relaxed SIMD. The host
// measures, as they give the same integers. Rounding is the addition of 1.5·2^23, ties to even; the product before it
// rounds by itself, so no madd. Exact, no bound: every f32 operation rounds once, in the order given there.
import { constant, EXP2, exp2, largestOf, sumOf, sumOfIntegers } from "./math";
import { INTEGER_PANELS, INTEGER_ROWS, integerTile } from "./tiles.gen";

/** Largest magnitudes that count as a row of zeros. */
const LEAST: f32 = 7.888609052210118e-31;
/** 1.5·2^23; its bits less the 64 that weights are offset by; 127; its bits and the 128 that probabilities have less. */
const TABLE: usize = memory.data<u32>([0x4b400000, 0x4b3fffc0, 127, 0x4b400080]);
/** 63 and -64, the range of a weight; -126, the least exponent; log2(255). */
const RANGE: usize = memory.data<f32>([63, -64, -126, 7.994353294372559]);
/** Masks of the last k % 4 lanes; all for 0. */
// prettier-ignore
const TAILS: usize = memory.data<i32>([-1, -1, -1, -1, -1, 0, 0, 0, -1, -1, 0, 0, -1, -1, -1, 0], 16);

/** Bytes of one panel: 8 outputs, k inputs. */
// @ts-ignore: decorator
@inline
export function integerPanelBytes(k: usize): usize {
  return 64 + (((k + 3) >> 2) << 5);
}

/** Bytes of one block of A. */
// @ts-ignore: decorator
@inline
export function integerBlockBytes(tile: u32, k: usize): usize {
  const rows = integerTileRows(tile);
  return rows * 8 + rows * ((((k + 3) >> 2) << 2) << usize(!ASC_FEATURE_RELAXED_SIMD));
}

// @ts-ignore: decorator
@inline
export function integerTileRows(tile: u32): usize {
  return load<u8>(INTEGER_ROWS + tile);
}

// @ts-ignore: decorator
@inline
export function integerTilePanels(tile: u32): usize {
  return load<u8>(INTEGER_PANELS + tile);
}

/** The tile of the same layout that takes one panel. */
// @ts-ignore: decorator
@inline
export function narrowIntegerTile(tile: u32): u32 {
  return integerTilePanels(tile) == 1 ? tile : integerTileRows(tile) == 6 ? 3 : 1;
}

/** As gemm. */
export function integerGemm(
  tile: u32,
  c: usize,
  stride: usize,
  a: usize,
  rows: usize,
  k: usize,
  b: usize,
  panels: usize,
  add: bool,
): void {
  const panel = integerPanelBytes(k);
  let step = integerTilePanels(tile);
  for (let j: usize = 0; j < panels; j += step, b += step * panel, c += step << 5) {
    if (j + step > panels) {
      tile = narrowIntegerTile(tile);
      step = 1;
    }
    integerTile(tile, c, stride, rows, a, k, b, panel, add);
  }
}

/** One block of A: `tile` rows of k floats from x on, none behind `last`, which is repeated. */
export function quantizeBlock(tile: u32, a: usize, x: usize, stride: usize, last: usize, k: usize): void {
  const rows = integerTileRows(tile);
  for (let i: usize = 0; i < rows; i++, x = min(x + stride, last)) {
    const largest = magnitudeOf(x, k);
    const zero = largest < LEAST;
    store<f32>(a + (i << 2), zero ? 1 : largest / 127);
    const sum = quantizeRow(a + 8 * rows + (i << 2), rows << 2, x, k, zero ? 0 : <f32>127 / largest);
    store<i32>(a + ((rows + i) << 2), -64 * sum);
  }
}

/** Largest magnitude of a row: four at once, as one would wait for itself (a third of the time of ViT-Ti's packing). */
function magnitudeOf(x: usize, k: usize): f32 {
  let m = f32x4.splat(0);
  let m1 = m;
  let m2 = m;
  let m3 = m;
  let i: usize = 0;
  for (const whole = (k & ~15) << 2; i < whole; i += 64) {
    m = f32x4.pmax(m, f32x4.abs(v128.load(x + i)));
    m1 = f32x4.pmax(m1, f32x4.abs(v128.load(x + i, 16)));
    m2 = f32x4.pmax(m2, f32x4.abs(v128.load(x + i, 32)));
    m3 = f32x4.pmax(m3, f32x4.abs(v128.load(x + i, 48)));
  }
  m = f32x4.pmax(f32x4.pmax(m, m1), f32x4.pmax(m2, m3));
  for (const whole = (k & ~3) << 2; i < whole; i += 16) m = f32x4.pmax(m, f32x4.abs(v128.load(x + i)));
  let largest = largestOf(m);
  for (; i < k << 2; i += 4) largest = max(largest, abs(load<f32>(x + i)));
  return largest;
}

/** Integers of a row, four bytes (or two pairs of i16) every `step` bytes. Returns their sum. */
function quantizeRow(a: usize, step: usize, x: usize, k: usize, inverse: f32): i32 {
  const magic = v128.load32_splat(TABLE);
  const by = f32x4.splat(inverse);
  let sums = i32x4.splat(0);
  let i: usize = 0;
  for (const whole = (k & ~15) << 2; i < whole; i += 64) {
    const v0 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(x + i), by), magic), magic);
    const v1 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(x + i, 16), by), magic), magic);
    const v2 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(x + i, 32), by), magic), magic);
    const v3 = i32x4.sub(f32x4.add(f32x4.mul(v128.load(x + i, 48), by), magic), magic);
    sums = i32x4.add(sums, i32x4.add(i32x4.add(v0, v1), i32x4.add(v2, v3)));
    a = storeEight(a, step, v0, v1);
    a = storeEight(a, step, v2, v3);
  }
  let sum = sumOfIntegers(sums);
  for (; i < k << 2; i += 16) {
    for (let e: usize = 0; e < 4; e++) {
      const q = i + (e << 2) < k << 2 ? <i32>nearest<f32>(load<f32>(x + i + (e << 2)) * inverse) : 0;
      sum += q;
      if (ASC_FEATURE_RELAXED_SIMD) store<i8>(a + e, <i8>q);
      else store<i16>(a + (e >> 1) * step + ((e & 1) << 1), <i16>q);
    }
    a += ASC_FEATURE_RELAXED_SIMD ? step : 2 * step;
  }
  return sum;
}

/** Eight integers of a row of A; returns where the next are. */
// @ts-ignore: decorator
@inline
function storeEight(a: usize, step: usize, v0: v128, v1: v128): usize {
  const pairs = i16x8.narrow_i32x4_s(v0, v1);
  if (ASC_FEATURE_RELAXED_SIMD) {
    const bytes = i8x16.narrow_i16x8_s(pairs, pairs);
    v128.store_lane<i32>(a, bytes, 0);
    v128.store_lane<i32>(a + step, bytes, 1);
    return a + 2 * step;
  }
  v128.store_lane<i32>(a, pairs, 0);
  v128.store_lane<i32>(a + step, pairs, 1);
  v128.store_lane<i32>(a + 2 * step, pairs, 2);
  v128.store_lane<i32>(a + 3 * step, pairs, 3);
  return a + 4 * step;
}

/**
 * Row `i` of the block of A at a: p = round(255·2^{x - most}) - 128 of `count` scores, with a scale of 1; returns Σ 255·2^{x - most}.
 * x: readable to the next multiple of 4, and there -1e30.
 */
export function quantizeExponentials(tile: u32, a: usize, i: usize, x: usize, count: usize, most: f32): f32 {
  const rows = integerTileRows(tile);
  const step = rows << 2;
  const rounding = v128.load32_splat(TABLE);
  const offset = v128.load32_splat(TABLE + 12);
  const low = constant(RANGE, 2);
  const top = f32x4.splat(most);
  // Added to the difference, not to the maximum, whose rounding may be larger than all there is between 255 and 256.
  const up = constant(RANGE, 3);
  const magic = constant(EXP2, 0);
  const c1 = constant(EXP2, 1);
  const c2 = constant(EXP2, 2);
  const c3 = constant(EXP2, 3);
  const c4 = constant(EXP2, 4);
  const c5 = constant(EXP2, 5);
  const c6 = constant(EXP2, 6);
  let total = f32x4.splat(0);
  let sums = i32x4.splat(0);
  let to = a + 8 * rows + (i << 2);
  const end = x + (((count + 3) >> 2) << 4);
  for (; x + 16 < end; x += 32) {
    const x0 = f32x4.add(f32x4.sub(v128.load(x), top), up);
    const x1 = f32x4.add(f32x4.sub(v128.load(x, 16), top), up);
    const e0 = exp2(f32x4.pmax(low, x0), magic, c1, c2, c3, c4, c5, c6);
    const e1 = exp2(f32x4.pmax(low, x1), magic, c1, c2, c3, c4, c5, c6);
    const v0 = i32x4.sub(f32x4.add(e0, rounding), offset);
    const v1 = i32x4.sub(f32x4.add(e1, rounding), offset);
    total = f32x4.add(total, f32x4.add(e0, e1));
    sums = i32x4.add(sums, i32x4.add(v0, v1));
    to = storeEight(to, step, v0, v1);
  }
  if (x < end) {
    const x0 = f32x4.add(f32x4.sub(v128.load(x), top), up);
    const e = exp2(f32x4.pmax(low, x0), magic, c1, c2, c3, c4, c5, c6);
    const v = i32x4.sub(f32x4.add(e, rounding), offset);
    total = f32x4.add(total, e);
    sums = i32x4.add(sums, v);
    const pairs = i16x8.narrow_i32x4_s(v, v);
    if (ASC_FEATURE_RELAXED_SIMD) {
      v128.store_lane<i32>(to, i8x16.narrow_i16x8_s(pairs, pairs), 0);
    } else {
      v128.store_lane<i32>(to, pairs, 0);
      v128.store_lane<i32>(to + step, pairs, 1);
    }
  }
  store<f32>(a + (i << 2), 1);
  store<i32>(a + ((rows + i) << 2), -64 * sumOfIntegers(sums));
  return sumOf(total);
}

/** p + 128 of what `quantizeExponentials` wrote: row `i`, number k. */
export function quantizedExponential(tile: u32, a: usize, i: usize, k: usize): f32 {
  const rows = integerTileRows(tile);
  if (ASC_FEATURE_RELAXED_SIMD) return <f32>(load<i8>(a + 8 * rows + (k >> 2) * (rows << 2) + (i << 2) + (k & 3)) + 128);
  return <f32>(load<i16>(a + 8 * rows + (k >> 1) * (rows << 2) + (i << 2) + ((k & 1) << 1)) + 128);
}

/**
 * As packWeight, quantized. scales: 0, or the address of a scale for each row: x then holds integers in -64…63. x is
 * readable to the next multiple of 4 floats.
 */
export function quantizeWeight(
  b: usize,
  k: usize,
  row: usize,
  x: usize,
  stride: usize,
  rows: usize,
  scales: usize,
): void {
  const magic = v128.load32_splat(TABLE);
  const offset = v128.load32_splat(TABLE + 4);
  const most = v128.load32_splat(TABLE + 8);
  const zero = i32x4.splat(0);
  const tail = v128.load(TAILS + ((k & 3) << 4));
  for (let i: usize = 0; i < rows; i++, row++, x += stride) {
    let scale: f32 = 1;
    let inverse: f32 = 1;
    if (scales) {
      scale = load<f32>(scales + (i << 2));
    } else {
      let most4 = f32x4.splat(0);
      let least4 = most4;
      for (let e: usize = 0; e < k; e += 4) {
        let v = v128.load(x + (e << 2));
        if (e + 4 > k) v = v128.and(v, tail);
        most4 = f32x4.pmax(most4, v);
        least4 = f32x4.pmin(least4, v);
      }
      const high = largestOf(most4);
      const low = largestOf(f32x4.neg(least4));
      if (max(high, low) < LEAST) {
        inverse = 0;
      } else {
        scale = max(high / 63, low / 64);
        inverse = <f32>1 / scale;
      }
    }
    const panel = b + (row >> 3) * integerPanelBytes(k);
    const lane = (row & 7) << 2;
    store<f32>(panel + 32 + lane, scale);
    const by = f32x4.splat(inverse);
    let to = panel + 64;
    for (let e: usize = 0; e < k; e += 4, to += 32) {
      let v = v128.load(x + (e << 2));
      if (e + 4 > k) v = v128.and(v, tail);
      const pairs = i16x8.narrow_i32x4_s(weightOf(v, by, magic, offset, most), zero);
      const bytes = i8x16.narrow_i16x8_u(pairs, pairs);
      if (ASC_FEATURE_RELAXED_SIMD) {
        v128.store_lane<i32>(to + lane, bytes, 0);
      } else {
        v128.store_lane<i16>(to + (lane >> 1), bytes, 0);
        v128.store_lane<i16>(to + 16 + (lane >> 1), bytes, 1);
      }
    }
  }
}

/**
 * The transpose of a matrix less its columns' means as panels, quantized as a weight is; biases are 128·Σq times the scale, for a left
 * side of p less 128. x: `rows` rows of `columns` floats, `stride` bytes apart; x and means are readable to 12 bytes behind the last.
 */
export function quantizeColumns(
  b: usize,
  x: usize,
  stride: usize,
  rows: usize,
  columns: usize,
  means: usize,
): void {
  const magic = v128.load32_splat(TABLE);
  const offset = v128.load32_splat(TABLE + 4);
  const most = v128.load32_splat(TABLE + 8);
  const zero = i32x4.splat(0);
  const one = f32x4.splat(1);
  const bytes = integerPanelBytes(rows);
  if (columns & 7) memory.fill(b + (columns >> 3) * bytes, 0, bytes);
  for (let j: usize = 0; j < columns; j += 4, x += 16, means += 16) {
    const mean = v128.load(means);
    const panel = b + (j >> 3) * bytes;
    const half = j & 4;
    let high = zero;
    let low = zero;
    let high1 = zero;
    let low1 = zero;
    let from = x;
    for (const last = x + (rows - 1) * stride; from <= last; from += 2 * stride) {
      const v = f32x4.sub(v128.load(from), mean);
      const v1 = f32x4.sub(v128.load(min(from + stride, last)), mean);
      high = f32x4.pmax(high, v);
      low = f32x4.pmin(low, v);
      high1 = f32x4.pmax(high1, v1);
      low1 = f32x4.pmin(low1, v1);
    }
    high = f32x4.pmax(high, high1);
    low = f32x4.pmin(low, low1);
    const none = f32x4.lt(f32x4.pmax(high, f32x4.neg(low)), f32x4.splat(LEAST));
    const widest = f32x4.pmax(f32x4.div(high, constant(RANGE, 0)), f32x4.div(low, constant(RANGE, 1)));
    const scale = v128.bitselect(one, widest, none);
    const by = v128.andnot(f32x4.div(one, scale), none);
    let sums = zero;
    let to = panel + 64;
    from = x;
    for (let row: usize = 0; row < rows; row += 4, from += 4 * stride, to += 32) {
      const left = rows - row;
      const v0 = v128.load(from);
      const v1 = left > 1 ? v128.load(from + stride) : mean;
      const v2 = left > 2 ? v128.load(from + 2 * stride) : mean;
      const v3 = left > 3 ? v128.load(from + 3 * stride) : mean;
      const q0 = weightOf(f32x4.sub(v0, mean), by, magic, offset, most);
      const q1 = weightOf(f32x4.sub(v1, mean), by, magic, offset, most);
      const q2 = weightOf(f32x4.sub(v2, mean), by, magic, offset, most);
      const q3 = weightOf(f32x4.sub(v3, mean), by, magic, offset, most);
      sums = i32x4.add(sums, i32x4.add(i32x4.add(q0, q1), i32x4.add(q2, q3)));
      // Four bytes of each row: the columns' of each pair of rows, or of all four.
      const four = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(q0, q1), i16x8.narrow_i32x4_s(q2, q3));
      if (ASC_FEATURE_RELAXED_SIMD) {
        v128.store(
          to + (half << 2),
          v128.shuffle<i8>(four, four, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
        );
      } else {
        const pairs = v128.shuffle<i8>(four, four, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
        v128.store_lane<i64>(to + (half << 1), pairs, 0);
        v128.store_lane<i64>(to + 16 + (half << 1), pairs, 1);
      }
    }
    // Less the 64 of each weight, also of those behind the last row.
    const whole = i32x4.sub(sums, i32x4.splat(<i32>((rows + 3) & ~3) << 6));
    v128.store(panel + (half << 2), f32x4.mul(f32x4.convert_i32x4_s(i32x4.shl(whole, 7)), scale));
    v128.store(panel + 32 + (half << 2), scale);
  }
}

/** Means of the columns of `rows` rows of `columns` floats, four at a time. */
export function columnMeans(to: usize, x: usize, stride: usize, rows: usize, columns: usize): void {
  const count = f32x4.splat(<f32>rows);
  for (let j: usize = 0; j < columns; j += 4, x += 16, to += 16) {
    let sum = f32x4.splat(0);
    let sum1 = sum;
    let from = x;
    const last = x + (rows - 1) * stride;
    for (; from < last; from += 2 * stride) {
      sum = f32x4.add(sum, v128.load(from));
      sum1 = f32x4.add(sum1, v128.load(from + stride));
    }
    if (from == last) sum = f32x4.add(sum, v128.load(from));
    v128.store(to, f32x4.div(f32x4.add(sum, sum1), count));
  }
}

/** Weights and the 64 that they are offset by. */
// @ts-ignore: decorator
@inline
function weightOf(v: v128, by: v128, magic: v128, offset: v128, most: v128): v128 {
  const q = i32x4.sub(f32x4.add(f32x4.mul(v, by), magic), offset);
  return i32x4.min_s(i32x4.max_s(q, i32x4.splat(0)), most);
}
