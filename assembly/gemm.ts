// C = f(A Bᵀ + bias) in f32, the one matrix product of the model: blocked for registers and L1.
//
// Layout. B (a weight, [n, k]) is packed into panels of 8 of its rows: 8 biases, then k × 8 elements, so that one k needs
// two vector loads. A (activations, [m, k]) is packed into blocks of T rows, k × T elements, so that the tile reads it
// through one pointer with immediate offsets. C is row-major, its columns padded to whole panels.
//
// Loop order: panel, block, k. A panel (8k floats, 24 KiB for k = 768) stays in L1 while the blocks of A stream from L2. A
// tile keeps T × 8 sums in registers over KC products, then adds them to C, which stays in L1 as well. Every element is
// summed in the same order whatever T is, so that T does not change a bit of the result.
//
// T = 6 (12 sums, 2 of B, 1 of A: 15 of the 16 registers of x64) is best where the engine allocates registers well and
// has FMA, T = 4 elsewhere. Of the measured peak at 197×768×768, x64 with AVX2, T = 6 and T = 4: relaxed on V8 13.6 91 and
// 88 %, on V8 12.4 45 and 88 % (T = 6 spills); simd on V8 11.3 43 and 67 %. The host measures (src/backends/wasm/tile.ts).
//
// Tried and left: reading A by row pointers (6 pointers to increment; 3 to 4 points of peak with cold weights), chunks of
// k outside the loop over blocks (2 points), unrolling k by 2 and 4 (no gain, spills), GELU in the tile (activation.ts).
//
// Error: that of summation in f32, at most (KC + k/KC)·2^-24·Σ|a·b|, in practice about the root of it. Two choices halve the
// distance of a ViT-Ti from f64, to PyTorch's own: sums of KC = 128 (costs 2.5 points of peak; 256 costs 1), and z + x Wᵀ
// added to finished sums (sums that start from z round at its magnitude in every step, and some tokens are massive).
//
// Rows of a last, partial block repeat its last row: the tile stores it again, all loads of C before all stores.
// Pointers are 16-byte aligned, strides multiples of 16 bytes but not of 4096 (rows of a block would share cache sets).
import { madd } from "./math";

/** Products that a tile sums up before it adds them to C. */
const KC: usize = 128;

/** Eight zeros: the biases of all but the first KC products. */
const ZERO: usize = memory.data<f32>([0, 0, 0, 0, 0, 0, 0, 0]);

/** Bytes of one panel: 8 outputs, k inputs. */
// @ts-ignore: decorator
@inline
export function panelBytes(k: usize): usize {
  return (k + 1) << 5;
}

/** Bytes that packRows writes for `rows` rows. */
export function packedRowsBytes(tile: usize, rows: usize, k: usize): usize {
  return (((rows + tile - 1) / tile) * tile * k) << 2;
}

/**
 * c: `rows` rows, `stride` bytes apart; a: from packRows with the same tile; b: panels `first` to `last` - 1 of a packed
 * weight. With `accumulate`, the result is added to C.
 */
export function gemm(
  tile: usize,
  c: usize,
  stride: usize,
  a: usize,
  rows: usize,
  k: usize,
  b: usize,
  first: usize,
  last: usize,
  accumulate: bool,
): void {
  const panel = panelBytes(k);
  const block = k * tile * 4;
  for (let j = first; j < last; j++) {
    const bias = b + j * panel;
    const end = bias + panel;
    const bottom = c + (rows - 1) * stride + (j << 5);
    let x = a;
    for (let at = c + (j << 5); at <= bottom; at += tile * stride, x += block) {
      if (tile == 6) tile6(at, stride, bottom, x, bias, bias + 32, end, accumulate);
      else tile4(at, stride, bottom, x, bias, bias + 32, end, accumulate);
    }
  }
}

// @ts-ignore: decorator
@inline
function tile6(c: usize, stride: usize, last: usize, a: usize, bias: usize, b: usize, end: usize, add: bool): void {
  const r0 = c;
  const r1 = min(r0 + stride, last);
  const r2 = min(r1 + stride, last);
  const r3 = min(r2 + stride, last);
  const r4 = min(r3 + stride, last);
  const r5 = min(r4 + stride, last);
  do {
    const x = v128.load(bias);
    const y = v128.load(bias, 16);
    let c00 = x;
    let c01 = y;
    let c10 = x;
    let c11 = y;
    let c20 = x;
    let c21 = y;
    let c30 = x;
    let c31 = y;
    let c40 = x;
    let c41 = y;
    let c50 = x;
    let c51 = y;
    const next = min(b + KC * 32, end);
    do {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(a);
      c00 = madd(a0, b0, c00);
      c01 = madd(a0, b1, c01);
      const a1 = v128.load32_splat(a, 4);
      c10 = madd(a1, b0, c10);
      c11 = madd(a1, b1, c11);
      const a2 = v128.load32_splat(a, 8);
      c20 = madd(a2, b0, c20);
      c21 = madd(a2, b1, c21);
      const a3 = v128.load32_splat(a, 12);
      c30 = madd(a3, b0, c30);
      c31 = madd(a3, b1, c31);
      const a4 = v128.load32_splat(a, 16);
      c40 = madd(a4, b0, c40);
      c41 = madd(a4, b1, c41);
      const a5 = v128.load32_splat(a, 20);
      c50 = madd(a5, b0, c50);
      c51 = madd(a5, b1, c51);
      a += 24;
      b += 32;
    } while (b < next);
    if (add) {
      c00 = f32x4.add(c00, v128.load(r0));
      c01 = f32x4.add(c01, v128.load(r0, 16));
      c10 = f32x4.add(c10, v128.load(r1));
      c11 = f32x4.add(c11, v128.load(r1, 16));
      c20 = f32x4.add(c20, v128.load(r2));
      c21 = f32x4.add(c21, v128.load(r2, 16));
      c30 = f32x4.add(c30, v128.load(r3));
      c31 = f32x4.add(c31, v128.load(r3, 16));
      c40 = f32x4.add(c40, v128.load(r4));
      c41 = f32x4.add(c41, v128.load(r4, 16));
      c50 = f32x4.add(c50, v128.load(r5));
      c51 = f32x4.add(c51, v128.load(r5, 16));
    }
    v128.store(r0, c00);
    v128.store(r0, c01, 16);
    v128.store(r1, c10);
    v128.store(r1, c11, 16);
    v128.store(r2, c20);
    v128.store(r2, c21, 16);
    v128.store(r3, c30);
    v128.store(r3, c31, 16);
    v128.store(r4, c40);
    v128.store(r4, c41, 16);
    v128.store(r5, c50);
    v128.store(r5, c51, 16);
    bias = ZERO;
    add = true;
  } while (b < end);
}

// @ts-ignore: decorator
@inline
function tile4(c: usize, stride: usize, last: usize, a: usize, bias: usize, b: usize, end: usize, add: bool): void {
  const r0 = c;
  const r1 = min(r0 + stride, last);
  const r2 = min(r1 + stride, last);
  const r3 = min(r2 + stride, last);
  do {
    const x = v128.load(bias);
    const y = v128.load(bias, 16);
    let c00 = x;
    let c01 = y;
    let c10 = x;
    let c11 = y;
    let c20 = x;
    let c21 = y;
    let c30 = x;
    let c31 = y;
    const next = min(b + KC * 32, end);
    do {
      const b0 = v128.load(b);
      const b1 = v128.load(b, 16);
      const a0 = v128.load32_splat(a);
      c00 = madd(a0, b0, c00);
      c01 = madd(a0, b1, c01);
      const a1 = v128.load32_splat(a, 4);
      c10 = madd(a1, b0, c10);
      c11 = madd(a1, b1, c11);
      const a2 = v128.load32_splat(a, 8);
      c20 = madd(a2, b0, c20);
      c21 = madd(a2, b1, c21);
      const a3 = v128.load32_splat(a, 12);
      c30 = madd(a3, b0, c30);
      c31 = madd(a3, b1, c31);
      a += 16;
      b += 32;
    } while (b < next);
    if (add) {
      c00 = f32x4.add(c00, v128.load(r0));
      c01 = f32x4.add(c01, v128.load(r0, 16));
      c10 = f32x4.add(c10, v128.load(r1));
      c11 = f32x4.add(c11, v128.load(r1, 16));
      c20 = f32x4.add(c20, v128.load(r2));
      c21 = f32x4.add(c21, v128.load(r2, 16));
      c30 = f32x4.add(c30, v128.load(r3));
      c31 = f32x4.add(c31, v128.load(r3, 16));
    }
    v128.store(r0, c00);
    v128.store(r0, c01, 16);
    v128.store(r1, c10);
    v128.store(r1, c11, 16);
    v128.store(r2, c20);
    v128.store(r2, c21, 16);
    v128.store(r3, c30);
    v128.store(r3, c31, 16);
    bias = ZERO;
    add = true;
  } while (b < end);
}

/**
 * a: blocks of `tile` (4 or 6) rows, k × tile elements each; x: `rows` rows of k floats, `stride` bytes apart, readable
 * to the next multiple of 4. Rows behind the last repeat it.
 */
export function packRows(tile: usize, a: usize, x: usize, stride: usize, rows: usize, k: usize): void {
  const last = x + (rows - 1) * stride;
  const step = (tile) << 2;
  for (; x <= last; x += tile * stride) {
    const r0 = x;
    const r1 = min(r0 + stride, last);
    const r2 = min(r1 + stride, last);
    const r3 = min(r2 + stride, last);
    const r4 = min(r3 + stride, last);
    const r5 = min(r4 + stride, last);
    let i: usize = 0;
    const whole = (k & ~3) << 2;
    for (; i < whole; i += 16, a += 4 * step) {
      const v0 = v128.load(r0 + i);
      const v1 = v128.load(r1 + i);
      const v2 = v128.load(r2 + i);
      const v3 = v128.load(r3 + i);
      const t0 = v128.shuffle<i32>(v0, v1, 0, 4, 1, 5);
      const t1 = v128.shuffle<i32>(v0, v1, 2, 6, 3, 7);
      const t2 = v128.shuffle<i32>(v2, v3, 0, 4, 1, 5);
      const t3 = v128.shuffle<i32>(v2, v3, 2, 6, 3, 7);
      v128.store(a, v128.shuffle<i64>(t0, t2, 0, 2));
      v128.store(a + step, v128.shuffle<i64>(t0, t2, 1, 3));
      v128.store(a + 2 * step, v128.shuffle<i64>(t1, t3, 0, 2));
      v128.store(a + 3 * step, v128.shuffle<i64>(t1, t3, 1, 3));
      if (tile == 6) {
        const v4 = v128.load(r4 + i);
        const v5 = v128.load(r5 + i);
        const t4 = v128.shuffle<i32>(v4, v5, 0, 4, 1, 5);
        const t5 = v128.shuffle<i32>(v4, v5, 2, 6, 3, 7);
        v128.store_lane<i64>(a, t4, 0, 16);
        v128.store_lane<i64>(a, t4, 1, 40);
        v128.store_lane<i64>(a, t5, 0, 64);
        v128.store_lane<i64>(a, t5, 1, 88);
      }
    }
    for (; i < (k) << 2; i += 4, a += step) {
      store<f32>(a, load<f32>(r0 + i));
      store<f32>(a, load<f32>(r1 + i), 4);
      store<f32>(a, load<f32>(r2 + i), 8);
      store<f32>(a, load<f32>(r3 + i), 12);
      if (tile == 6) {
        store<f32>(a, load<f32>(r4 + i), 16);
        store<f32>(a, load<f32>(r5 + i), 20);
      }
    }
  }
}

/**
 * Rows `row` to `row` + `rows` - 1 of a weight [n, k] into its panels at b; x: these rows, `stride` bytes apart. Biases
 * and other rows are left as they are.
 */
export function packWeight(b: usize, k: usize, row: usize, x: usize, stride: usize, rows: usize): void {
  const end = row + rows;
  while (row < end) {
    let to = b + (row >> 3) * panelBytes(k) + 32 + ((row & 7) << 2);
    let i: usize = 0;
    if (!(row & 3) && row + 4 <= end) {
      for (const whole = (k & ~3) << 2; i < whole; i += 16, to += 128) {
        const v0 = v128.load(x + i);
        const v1 = v128.load(x + i + stride);
        const v2 = v128.load(x + i + 2 * stride);
        const v3 = v128.load(x + i + 3 * stride);
        const t0 = v128.shuffle<i32>(v0, v1, 0, 4, 1, 5);
        const t1 = v128.shuffle<i32>(v0, v1, 2, 6, 3, 7);
        const t2 = v128.shuffle<i32>(v2, v3, 0, 4, 1, 5);
        const t3 = v128.shuffle<i32>(v2, v3, 2, 6, 3, 7);
        v128.store(to, v128.shuffle<i64>(t0, t2, 0, 2));
        v128.store(to, v128.shuffle<i64>(t0, t2, 1, 3), 32);
        v128.store(to, v128.shuffle<i64>(t1, t3, 0, 2), 64);
        v128.store(to, v128.shuffle<i64>(t1, t3, 1, 3), 96);
      }
      for (; i < (k) << 2; i += 4, to += 32) {
        store<f32>(to, load<f32>(x + i));
        store<f32>(to, load<f32>(x + i + stride), 4);
        store<f32>(to, load<f32>(x + i + 2 * stride), 8);
        store<f32>(to, load<f32>(x + i + 3 * stride), 12);
      }
      row += 4;
      x += 4 * stride;
    } else {
      for (; i < (k) << 2; i += 4, to += 32) store<f32>(to, load<f32>(x + i));
      row++;
      x += stride;
    }
  }
}
