// Weights in IEEE binary16: half the memory, the arithmetic of f32.
//
// Layout. A panel has 8 biases in f32, then k × 8 halves. Right before it is used, a thread widens it to an f32 panel that
// stays in L1 for all rows: one conversion for each 197 products at batch 1.
// Exact, no bound: rounding to nearest, ties to even, as IEEE 754; widening loses nothing.
import { constant } from "./math";
import { panelBytes } from "./gemm";

/** Bytes of one panel: 8 outputs, k inputs. */
// @ts-ignore: decorator
@inline
export function halfPanelBytes(k: usize): usize {
  return (k << 4) + 32;
}

// 2^112 and 2^-112 as floats (the difference of the biases is 112), then the bits: magnitude, sign of a half; sign and
// magnitude of a float; half a unit in the last place less one, one; 2^-14, 0.5.
// prettier-ignore
const TABLE: usize = memory.data<u32>([
  0x77800000, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0x0fff, 1, 0x38800000, 0x3f000000, 0x38000000,
]);

/**
 * Four halves to floats: exponent and mantissa moved to their place, then multiplied by 2^112; the product is exact and
 * turns subnormals right. Infinities and NaN become 65536 and more.
 */
// @ts-ignore: decorator
@inline
export function widenHalves(h: v128): v128 {
  const m = f32x4.mul(i32x4.shl(v128.and(h, constant(TABLE, 1)), 13), constant(TABLE, 0));
  return v128.or(m, i32x4.shl(v128.and(h, constant(TABLE, 2)), 16));
}

/**
 * Four floats below 65520 in magnitude to halves, in the low 16 bits of each lane. Normal ones: the bits rounded at the
 * 13th and the exponent rebiased. Subnormal ones: 0.5 is added, whose last place is 2^-24, so that the sum's low bits are
 * the half.
 */
// @ts-ignore: decorator
@inline
function toHalves(x: v128): v128 {
  const magnitude = v128.and(x, constant(TABLE, 3));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), constant(TABLE, 6));
  const rounded = i32x4.add(i32x4.add(magnitude, constant(TABLE, 5)), odd);
  const normal = i32x4.shr_u(i32x4.sub(rounded, constant(TABLE, 9)), 13);
  const subnormal = i32x4.sub(f32x4.add(magnitude, constant(TABLE, 8)), constant(TABLE, 8));
  const half = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, constant(TABLE, 7)));
  return v128.or(half, i32x4.shr_u(v128.and(x, constant(TABLE, 4)), 16));
}

/** As packWeight. x is readable to the next multiple of 4 floats. */
export function packHalves(b: usize, k: usize, row: usize, x: usize, stride: usize, rows: usize): void {
  for (const end = row + rows; row < end; row++, x += stride) {
    let to = b + (row >> 3) * halfPanelBytes(k) + 32 + ((row & 7) << 1);
    for (let i: usize = 0; i < k; i += 4, to += 64) {
      const h = toHalves(v128.load(x + (i << 2)));
      v128.store_lane<i16>(to, h, 0);
      if (i + 1 < k) v128.store_lane<i16>(to + 16, h, 2);
      if (i + 2 < k) v128.store_lane<i16>(to + 32, h, 4);
      if (i + 3 < k) v128.store_lane<i16>(to + 48, h, 6);
    }
  }
}

/** k rows of 8 halves times factors, rounded again. */
export function rescaleHalves(b: usize, k: usize, f0: v128, f1: v128): void {
  for (; k; k--, b += 16) {
    const h0 = toHalves(f32x4.mul(widenHalves(v128.load16x4_u(b)), f0));
    const h1 = toHalves(f32x4.mul(widenHalves(v128.load16x4_u(b, 8)), f1));
    v128.store(b, i16x8.narrow_i32x4_u(h0, h1));
  }
}

/** One panel of halves at b to an f32 panel at `out`. */
export function widenPanel(out: usize, b: usize, k: usize): void {
  v128.store(out, v128.load(b));
  v128.store(out, v128.load(b, 16), 16);
  b += 32;
  for (const end = out + panelBytes(k); (out += 32) < end; b += 16) {
    v128.store(out, widenHalves(v128.load16x4_u(b)));
    v128.store(out, widenHalves(v128.load16x4_u(b, 8)), 16);
  }
}
