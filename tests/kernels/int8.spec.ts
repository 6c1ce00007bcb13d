import { integerBlockBytes, integerGemm, integerPanelBytes, integerTileRows, quantizeBlock, quantizeWeight } from "../../assembly/int8";
import { floats, noise } from "./memory";

const row = new StaticArray<i32>(4096);

/** As src/backend.ts says: integers of a row of `count` floats, in `row`; returns the scale. */
function quantise(x: usize, count: usize, least: i32, most: i32): f32 {
  let high: f32 = 0;
  let low: f32 = 0;
  for (let i: usize = 0; i < count; i++) {
    high = max(high, load<f32>(x + (i << 2)));
    low = min(low, load<f32>(x + (i << 2)));
  }
  const magnitude = max(high, -low);
  let scale: f32 = 1;
  let inverse: f32 = 0;
  if (least == -most) {
    if (magnitude > 0) scale = magnitude / <f32>most;
    if (magnitude > 0) inverse = <f32>most / magnitude;
  } else if (magnitude > 0) {
    scale = max(high / <f32>most, low / <f32>least);
    inverse = <f32>1 / scale;
  }
  for (let i: usize = 0; i < count; i++) {
    const q = <i32>nearest<f32>(load<f32>(x + (i << 2)) * inverse);
    row[<i32>i] = max(least, min(most, q));
  }
  return scale;
}

/** How many elements of a product differ from the formula, bit by bit. */
function wrong(tile: u32, rows: usize, k: usize, n: usize, add: bool): i32 {
  const panels = (n + 7) >> 3;
  const stride: usize = panels * 32 + 64;
  const xStride: usize = ((k + 3) & ~3) + 4;
  const x = floats(<i32>(rows * xStride));
  const w = floats(<i32>(n * k + 8));
  const b = floats(<i32>((panels * integerPanelBytes(k)) >> 2));
  const height = integerTileRows(tile);
  const block = integerBlockBytes(tile, k);
  const a = floats(<i32>((((rows + height - 1) / height) * block) >> 2));
  const c = floats(<i32>((rows * stride) >> 2));
  noise(x, <i32>(rows * xStride), 1);
  noise(w, <i32>(n * k), 2);
  // A row of zeros, and one of large values.
  for (let e: usize = 0; e < k; e++) store<f32>(x + e * 4, 0);
  if (rows > 2) for (let e: usize = 0; e < k; e++) store<f32>(x + ((2 * xStride + e) << 2), <f32>e * 1000 - 3);
  for (let i: usize = 0; i < rows * stride; i += 4) store<f32>(c + i, 5);
  // In two uneven pieces, as a checkpoint's chunks come.
  const first = n / 3;
  if (first) quantizeWeight(b, k, 0, w, k << 2, first, 0);
  quantizeWeight(b, k, first, w + ((first * k) << 2), k << 2, n - first, 0);
  for (let j: usize = 0; j < n; j++) {
    store<f32>(b + (j >> 3) * integerPanelBytes(k) + ((j & 7) << 2), <f32>j - 2);
  }
  for (let i: usize = 0; i < rows; i += height) {
    quantizeBlock(tile, a + (i / height) * block, x + ((i * xStride) << 2), xStride << 2, x + (((rows - 1) * xStride) << 2), k);
  }
  integerGemm(tile, c, stride, a, rows, k, b, panels, add);

  const integers = new StaticArray<i32>(<i32>k);
  let count = 0;
  for (let i: usize = 0; i < rows; i++) {
    const t = quantise(x + ((i * xStride) << 2), k, -127, 127);
    for (let e: usize = 0; e < k; e++) integers[<i32>e] = row[<i32>e];
    for (let j: usize = 0; j < n; j++) {
      const s = quantise(w + ((j * k) << 2), k, -64, 63);
      let sum = 0;
      for (let e: usize = 0; e < k; e++) sum += integers[<i32>e] * row[<i32>e];
      let want = <f32>(<f32>(<f32>sum * <f32>(t * s)) + (<f32>j - 2));
      if (add) want = want + 5;
      if (load<f32>(c + i * stride + (j << 2)) != want) count++;
    }
  }
  return count;
}

/**
 * The tiles of a single dot-add are left to tests/wasm.test.ts, as tile 0, which is of the other build: behind its flag, the
 * V8 of Node 20 has an earlier draft of that instruction.
 */
const TILES: u32[] = [1, 4];

describe("int8", () => {
  test("is the formula to the bit, with every tile, at every remainder of rows, k and columns", () => {
    for (let t = 0; t < TILES.length; t++) {
      const tile = TILES[t];
      for (let rows: usize = 1; rows <= 13; rows++) expect(wrong(tile, rows, 8, 9, false)).toBe(0, `tile ${tile}, ${rows} rows`);
      for (let k: usize = 1; k <= 37; k++) expect(wrong(tile, 7, k, 11, true)).toBe(0, `tile ${tile}, ${k} inputs`);
      for (let n: usize = 1; n <= 25; n++) expect(wrong(tile, 5, 20, n, false)).toBe(0, `tile ${tile}, ${n} outputs`);
      expect(wrong(tile, 7, 1030, 9, false)).toBe(0);
    }
  });
  test("sums of the largest integers do not overflow or saturate", () => {
    const k: usize = 3072;
    const x = floats(4 * 3072);
    const b = floats(<i32>(integerPanelBytes(k) >> 2));
    const c = floats(128);
    for (let i: usize = 0; i < 4 * k; i++) store<f32>(x + (i << 2), -1);
    for (let t = 0; t < TILES.length; t++) {
      const tile = TILES[t];
      const a = floats(<i32>(integerBlockBytes(tile, k) >> 2));
      quantizeWeight(b, k, 0, x, k << 2, 4, 0);
      quantizeBlock(tile, a, x, k << 2, x + ((3 * k) << 2), k);
      integerGemm(tile, c, 32, a, 4, k, b, 1, false);
      // -127 · -64 · 3072 products, times the scales 1/127 and 1/64.
      expect(Math.abs(<f64>load<f32>(c) - 3072)).toBeLessThan(1e-3);
    }
  });
});
