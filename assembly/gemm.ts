// C = A Bᵀ + bias in f32, blocked for registers and L1: the product under `linear` and `attention`.
//
// Layout. B (a weight, [n, k]) is packed into panels of 8 of its rows: 8 biases, then k × 8 elements, so that one k needs
// two vector loads. A (activations, [m, k]) is packed into blocks of T rows, k × T elements, so that a tile reads it
// through one pointer with immediate offsets. C is row-major, its columns padded to whole panels.
//
// Loop order: panel, block, k. A panel (8k floats, 24 KiB for k = 768) stays in L1 while the blocks of A stream from L2. A
// tile (tiles.js) keeps T × 8 or T × 16 sums in registers over KC products, then adds them to C, which stays in L1 as well.
// Every element is summed in the same order whatever the tile, so that the choice does not change a bit of the result.
//
// T = 6 (12 sums, 2 of B, 1 of A: 15 of the 16 registers of x64) is best where the engine allocates registers well and
// has FMA, T = 4 elsewhere; T = 4 with its rows loaded by one vector and splat by shuffles where loads are dear (engines
// that check bounds explicitly). Two panels at once need 256-bit registers. The host measures (src/backends/wasm/tile.ts).
//
// Tried and left: reading A by row pointers (6 pointers to increment; 3 to 4 points of peak with cold weights), chunks of
// k outside the loop over blocks (2 points; linear.ts has them where k is above 768), unrolling k by 2 and 4 (no gain,
// spills), GELU in the tile (activation.ts).
//
// Error: that of summation in f32, at most (KC + k/KC)·2^-24·Σ|a·b|, in practice about the root of it. Two choices halve the
// distance of a ViT-Ti from f64, to PyTorch's own: sums of KC = 128 (costs 2.5 points of peak; 256 costs 1), and z + x Wᵀ
// added to finished sums (sums that start from z round at its magnitude in every step, and some tokens are massive).
//
// Pointers are 16-byte aligned, strides multiples of 16 bytes but not of 4096 (rows of a block would share cache sets).
import { FLOAT_PANELS, FLOAT_ROWS, floatTile, NO_BIASES } from "./tiles.gen";

/** Bytes of one panel: 8 outputs, k inputs. */
// @ts-ignore: decorator
@inline
export function panelBytes(k: usize): usize {
  return (k + 1) << 5;
}

/** Rows of A that a tile takes at once. */
// @ts-ignore: decorator
@inline
export function tileRows(tile: u32): usize {
  return load<u8>(FLOAT_ROWS + tile);
}

/** Panels of B that it takes at once. */
// @ts-ignore: decorator
@inline
export function tilePanels(tile: u32): usize {
  return load<u8>(FLOAT_PANELS + tile);
}

/** The tile of as many rows that takes one panel. */
// @ts-ignore: decorator
@inline
export function narrowTile(tile: u32): u32 {
  return tilePanels(tile) == 1 ? tile : 0;
}

/** c: `rows` rows, `stride` bytes apart; a: blocks of packBlock; b: `panels` panels. With `add`, the result is added to C. */
export function gemm(
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
  gemmPart(tile, c, stride, a, rows, k, b, panels, panelBytes(k), true, add);
}

/**
 * The same of k inputs in a row of longer panels, `panel` bytes apart. b: 32 bytes before their weights in the first panel; biases are
 * there, and are added, if the inputs are the first ones (`biased`). Parts of a multiple of KC inputs, one after the other, each but the
 * first with `add`, give the bits of the whole.
 */
export function gemmPart(
  tile: u32,
  c: usize,
  stride: usize,
  a: usize,
  rows: usize,
  k: usize,
  b: usize,
  panels: usize,
  panel: usize,
  biased: bool,
  add: bool,
): void {
  let step = tilePanels(tile);
  for (let j: usize = 0; j < panels; j += step, b += step * panel, c += step << 5) {
    if (j + step > panels) {
      tile = narrowTile(tile);
      step = 1;
    }
    floatTile(tile, c, stride, rows, a, k, b, panel, add, biased ? b : NO_BIASES);
  }
}

/**
 * a: blocks of `tile` (4 or 6) rows, k × tile elements each; x: `rows` rows of k floats, `stride` bytes apart, readable
 * to the next multiple of 4. Rows behind the last repeat it.
 */
export function packRows(tile: usize, a: usize, x: usize, stride: usize, rows: usize, k: usize): void {
  const last = x + (rows - 1) * stride;
  const step = tile << 2;
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
    for (; i < k << 2; i += 4, a += step) {
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
      for (; i < k << 2; i += 4, to += 32) {
        store<f32>(to, load<f32>(x + i));
        store<f32>(to, load<f32>(x + i + stride), 4);
        store<f32>(to, load<f32>(x + i + 2 * stride), 8);
        store<f32>(to, load<f32>(x + i + 3 * stride), 12);
      }
      row += 4;
      x += 4 * stride;
    } else {
      for (; i < k << 2; i += 4, to += 32) store<f32>(to, load<f32>(x + i));
      row++;
      x += stride;
    }
  }
}
