import { gemm, gemmPart, packRows, packWeight, panelBytes, tileRows } from "../../assembly/gemm";
import { floats, noise } from "./memory";

/** Largest error of one product as a part of k·2^-24·Σ|a·b|, plus infinity if the canaries around C are touched. */
function worst(tile: u32, rows: usize, k: usize, n: usize, accumulate: bool): f64 {
  const panels = (n + 7) >> 3;
  const stride: usize = panels * 32 + 64;
  const padded: usize = ((k + 3) & ~3) + 4;
  const x = floats(<i32>(rows * padded));
  const w = floats(<i32>(n * k + 8));
  const bias = floats(<i32>n);
  const b = floats(<i32>((panels * panelBytes(k)) >> 2));
  const a = floats(<i32>((rows + 6) * k));
  const c = floats(<i32>(((rows + 1) * stride) >> 2));
  noise(x, <i32>(rows * padded), 1);
  noise(w, <i32>(n * k), 2);
  noise(bias, <i32>n, 3);
  for (let i: usize = 0; i < (rows + 1) * stride; i += 4) store<f32>(c + i, 5);
  // In two uneven pieces, as a checkpoint's chunks come.
  const first = n / 3;
  if (first) packWeight(b, k, 0, w, k << 2, first);
  packWeight(b, k, first, w + ((first * k) << 2), k << 2, n - first);
  for (let j: usize = 0; j < n; j++) store<f32>(b + (j >> 3) * panelBytes(k) + ((j & 7) << 2), load<f32>(bias + (j << 2)));
  packRows(tileRows(tile), a, x, padded << 2, rows, k);
  gemm(tile, c, stride, a, rows, k, b, panels, accumulate);

  let most: f64 = 0;
  for (let i: usize = 0; i < rows; i++) {
    for (let j: usize = 0; j < n; j++) {
      let want = <f64>load<f32>(bias + (j << 2)) + (accumulate ? 5 : 0);
      let size = Math.abs(want);
      for (let e: usize = 0; e < k; e++) {
        const product = <f64>load<f32>(x + ((i * padded + e) << 2)) * <f64>load<f32>(w + ((j * k + e) << 2));
        want += product;
        size += Math.abs(product);
      }
      const error = Math.abs(<f64>load<f32>(c + i * stride + (j << 2)) - want);
      most = Math.max(most, error / (<f64>(k + 1) * size * Math.pow(2, -24)));
    }
    for (let j = panels * 32; j < stride; j += 4) if (load<f32>(c + i * stride + j) != 5) most = Infinity;
  }
  for (let j: usize = 0; j < stride; j += 4) if (load<f32>(c + rows * stride + j) != 5) most = Infinity;
  return most;
}

describe("gemm", () => {
  test("is within (k + 1)·2^-24·Σ|a·b| at every remainder of rows, k and columns, and writes nothing else", () => {
    for (let t: u32 = 0; t < 4; t++) {
      for (let rows: usize = 1; rows <= 13; rows++) {
        expect(worst(t, rows, 5, 9, false)).toBeLessThan(1);
        expect(worst(t, rows, 8, 16, true)).toBeLessThan(1);
      }
      for (let k: usize = 1; k <= 9; k++) expect(worst(t, 7, k, 11, true)).toBeLessThan(1);
      for (let n: usize = 1; n <= 17; n++) expect(worst(t, 7, 6, n, false)).toBeLessThan(1);
    }
  });
  test("at the chunks of k: 127, 128, 129, 257", () => {
    for (let t: u32 = 0; t < 4; t++) {
      expect(worst(t, 7, 127, 9, false)).toBeLessThan(1);
      expect(worst(t, 7, 128, 9, true)).toBeLessThan(1);
      expect(worst(t, 7, 129, 9, false)).toBeLessThan(1);
      expect(worst(t, 7, 257, 9, true)).toBeLessThan(1);
    }
  });
});

/** Largest difference of parts of `step` inputs from the whole, in bits. */
function differenceOfParts(tile: u32, k: usize, step: usize): u32 {
  const rows: usize = 7;
  const n: usize = 19;
  const panels: usize = 3;
  const stride: usize = panels * 32;
  const x = floats(<i32>(rows * k + 4));
  const w = floats(<i32>(n * k + 8));
  const b = floats(<i32>((panels * panelBytes(k)) >> 2));
  const a = floats(<i32>((rows + 6) * k));
  const want = floats(<i32>((rows * stride) >> 2));
  const c = floats(<i32>((rows * stride) >> 2));
  noise(x, <i32>(rows * k), 1);
  noise(w, <i32>(n * k), 2);
  packWeight(b, k, 0, w, k << 2, n);
  for (let j: usize = 0; j < n; j++) store<f32>(b + (j >> 3) * panelBytes(k) + ((j & 7) << 2), <f32>j);
  packRows(tileRows(tile), a, x, k << 2, rows, k);
  gemm(tile, want, stride, a, rows, k, b, panels, false);
  for (let start: usize = 0; start < k; start += step) {
    const inputs = min(step, k - start);
    packRows(tileRows(tile), a, x + (start << 2), k << 2, rows, inputs);
    gemmPart(tile, c, stride, a, rows, inputs, b + (start << 5), panels, panelBytes(k), start == 0, start != 0);
  }
  let most: u32 = 0;
  for (let i: usize = 0; i < rows * stride; i += 4) {
    most = max(most, load<u32>(c + i) ^ load<u32>(want + i));
  }
  return most;
}

describe("gemmPart", () => {
  test("gives the bits of the whole, by parts of a multiple of 128", () => {
    for (let t: u32 = 0; t < 4; t++) {
      expect(differenceOfParts(t, 300, 128)).toBe(0);
      expect(differenceOfParts(t, 512, 256)).toBe(0);
      expect(differenceOfParts(t, 513, 512)).toBe(0);
    }
  });
});
