import { norms_i8, scan_f32, scan_i8 } from "../../assembly/search";
import { floats, noise } from "./memory";

/** Largest error, as a part of the bound that assembly/search.ts states, of all products at the given sizes. */
function worst(batch: i32, count: i32, width: i32): f64 {
  const queries = floats(batch * width);
  const rows = floats(count * width);
  const scores = floats(batch * count + 4);
  noise(queries, batch * width, 1);
  noise(rows, count * width, 2);
  // What lies behind the scores is not written.
  store<f32>(scores + ((batch * count) << 2), 7);
  scan_f32(scores, queries, batch, rows, count, width);
  expect(load<f32>(scores + ((batch * count) << 2))).toBe(7);
  let most: f64 = 0;
  for (let q = 0; q < batch; q++) {
    for (let r = 0; r < count; r++) {
      let want: f64 = 0;
      let sizes: f64 = 0;
      for (let i = 0; i < width; i++) {
        const product = <f64>load<f32>(queries + ((q * width + i) << 2)) * <f64>load<f32>(rows + ((r * width + i) << 2));
        want += product;
        sizes += Math.abs(product);
      }
      const error = Math.abs(<f64>load<f32>(scores + ((q * count + r) << 2)) - want);
      most = Math.max(most, error / ((<f64>width / 4 + 6) * Math.pow(2, -24) * sizes));
    }
  }
  return most;
}

describe("scan_f32, error relative to its bound", () => {
  test("at every remainder of rows, queries and width", () => {
    for (let width = 1; width < 14; width++) {
      for (let count = 1; count < 7; count++) {
        for (let batch = 1; batch < 7; batch++) expect(worst(batch, count, width)).toBeLessThan(1);
      }
    }
    expect(worst(5, 9, 192)).toBeLessThan(1);
    expect(worst(1, 5, 1030)).toBeLessThan(1);
    // More rows than stay in L2, and four rows that are too long to be touched.
    expect(worst(5, 70, 1030)).toBeLessThan(1);
    expect(worst(5, 9, 20000)).toBeLessThan(1);
  });
});

/** Largest difference of scan_i8 from integers that are added one by one, as a part of 2^-22·|score| and the least float. */
function worstOfIntegers(batch: i32, count: i32, width: i32): f64 {
  const queries = floats((batch * width + 1) >> 1);
  const rows = floats((count * width + 3) >> 2);
  const scales = floats(batch);
  const norms = floats(count);
  const scores = floats(batch * count + 1);
  for (let i = 0; i < batch * width; i++) store<i16>(queries + (i << 1), <i16>(((i * 7919) % 2001) - 1000));
  for (let i = 0; i < count * width; i++) store<i8>(rows + i, <i8>(((i * 104729) % 255) - 127));
  for (let q = 0; q < batch; q++) store<f32>(scales + (q << 2), <f32>(0.001 * <f64>(q + 1)));
  store<f32>(scores + ((batch * count) << 2), 7);
  norms_i8(norms, rows, count, width);
  scan_i8(scores, queries, scales, batch, rows, norms, count, width);
  expect(load<f32>(scores + ((batch * count) << 2))).toBe(7);
  let most: f64 = 0;
  for (let q = 0; q < batch; q++) {
    for (let r = 0; r < count; r++) {
      let product: f64 = 0;
      let square: f64 = 0;
      for (let i = 0; i < width; i++) {
        const x = <f64>load<i8>(rows + (r * width + i));
        product += <f64>load<i16>(queries + ((q * width + i) << 1)) * x;
        square += x * x;
      }
      const scale = <f64>load<f32>(scales + (q << 2));
      const want = square > 0 ? (product * scale) / Math.sqrt(square) : 0;
      const error = Math.abs(<f64>load<f32>(scores + ((q * count + r) << 2)) - want);
      most = Math.max(most, error / (Math.pow(2, -22) * Math.abs(want) + 1e-30));
    }
  }
  return most;
}

describe("scan_i8", () => {
  test("at every remainder of rows and width", () => {
    for (let width = 1; width < 20; width++) {
      for (let count = 1; count < 7; count++) {
        for (let batch = 1; batch < 3; batch++) expect(worstOfIntegers(batch, count, width)).toBeLessThan(1);
      }
    }
    expect(worstOfIntegers(3, 9, 192)).toBeLessThan(1);
    expect(worstOfIntegers(1, 5, 1030)).toBeLessThan(1);
    expect(worstOfIntegers(3, 260, 1030)).toBeLessThan(1);
  });
});
