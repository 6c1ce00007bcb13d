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
import { INTEGER_PANELS, INTEGER_ROWS, integerTile } from "./tiles.gen";

/** Largest magnitudes that count as a row of zeros. */
const LEAST: f32 = 7.888609052210118e-31;
/** 1.5·2^23; its bits less the 64 that weights are offset by; 127; a sign bit, none. */
const TABLE: usize = memory.data<u32>([0x4b400000, 0x4b3fffc0, 127, 0x80000000, 0]);
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

/** Largest of 0 and the values of a row, or of their negatives. */
function largestOf(x: usize, k: usize, negative: bool): f32 {
  const flip = v128.load32_splat(TABLE + (negative ? 12 : 16));
  let m = f32x4.splat(0);
  let i: usize = 0;
  for (const whole = (k & ~3) << 2; i < whole; i += 16) m = f32x4.pmax(m, v128.xor(flip, v128.load(x + i)));
  m = f32x4.pmax(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  m = f32x4.pmax(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  let largest = f32x4.extract_lane(m, 0);
  for (; i < k << 2; i += 4) largest = max(largest, negative ? -load<f32>(x + i) : load<f32>(x + i));
  return largest;
}

/** Largest magnitude of a row. */
function magnitudeOf(x: usize, k: usize): f32 {
  let m = f32x4.splat(0);
  let i: usize = 0;
  for (const whole = (k & ~3) << 2; i < whole; i += 16) m = f32x4.pmax(m, f32x4.abs(v128.load(x + i)));
  m = f32x4.pmax(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  m = f32x4.pmax(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  let largest = f32x4.extract_lane(m, 0);
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
    const low = i16x8.narrow_i32x4_s(v0, v1);
    const high = i16x8.narrow_i32x4_s(v2, v3);
    if (ASC_FEATURE_RELAXED_SIMD) {
      const bytes = i8x16.narrow_i16x8_s(low, high);
      v128.store_lane<i32>(a, bytes, 0);
      v128.store_lane<i32>(a + step, bytes, 1);
      v128.store_lane<i32>(a + 2 * step, bytes, 2);
      v128.store_lane<i32>(a + 3 * step, bytes, 3);
      a += 4 * step;
    } else {
      v128.store_lane<i32>(a, low, 0);
      v128.store_lane<i32>(a + step, low, 1);
      v128.store_lane<i32>(a + 2 * step, low, 2);
      v128.store_lane<i32>(a + 3 * step, low, 3);
      v128.store_lane<i32>(a + 4 * step, high, 0);
      v128.store_lane<i32>(a + 5 * step, high, 1);
      v128.store_lane<i32>(a + 6 * step, high, 2);
      v128.store_lane<i32>(a + 7 * step, high, 3);
      a += 8 * step;
    }
  }
  let sum = sumOf(sums);
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

// @ts-ignore: decorator
@inline
function sumOf(x: v128): i32 {
  return (
    i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + (i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3))
  );
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
      const high = largestOf(x, k, false);
      const low = largestOf(x, k, true);
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
      const q = i32x4.sub(f32x4.add(f32x4.mul(v, by), magic), offset);
      const pairs = i16x8.narrow_i32x4_s(i32x4.min_s(i32x4.max_s(q, zero), most), zero);
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
