import { normalizeRow } from "../../assembly/layernorm";
import { floats, noise } from "./memory";

/** Largest error of a row of `width` with the given mean (deviation 0.58), as a part of its largest output. */
function worst(width: i32, mean: f32): f64 {
  const x = floats(width + 8);
  const scale = floats(width + 8);
  const shift = floats(width + 8);
  const out = floats(width + 8);
  noise(x, width, 1);
  noise(scale, width, 2);
  noise(shift, width, 3);
  for (let i = 0; i < width; i++) store<f32>(x + (i << 2), load<f32>(x + (i << 2)) + mean);
  normalizeRow(out, x, width, scale, shift, 1e-6);
  let m: f64 = 0;
  for (let i = 0; i < width; i++) m += <f64>load<f32>(x + (i << 2)) / <f64>width;
  let v: f64 = 0;
  for (let i = 0; i < width; i++) v += Math.pow(<f64>load<f32>(x + (i << 2)) - m, 2) / <f64>width;
  let error: f64 = 0;
  let most: f64 = 0;
  for (let i = 0; i < width; i++) {
    const at = i << 2;
    const want = ((<f64>load<f32>(x + at) - m) / Math.sqrt(v + 1e-6)) * <f64>load<f32>(scale + at) + <f64>load<f32>(shift + at);
    error = Math.max(error, Math.abs(<f64>load<f32>(out + at) - want));
    most = Math.max(most, Math.abs(want));
  }
  return error / most;
}

describe("normalizeRow, error relative to the largest output", () => {
  test("3e-6 for |mean| up to 100 deviations, at every remainder of the width", () => {
    for (let width = 2; width < 40; width++) {
      expect(worst(width, 0)).toBeLessThan(3e-6);
      expect(worst(width, 58)).toBeLessThan(3e-6);
    }
    expect(worst(192, -58)).toBeLessThan(3e-6);
    expect(worst(1030, 58)).toBeLessThan(3e-6);
  });
  test("RMSNorm: 1e-6 at every remainder of the width", () => {
    for (let width = 1; width < 40; width++) {
      const x = floats(width + 8);
      const scale = floats(width + 8);
      noise(x, width, 1);
      noise(scale, width, 2);
      const out = floats(width + 8);
      normalizeRow(out, x, width, scale, 0, 1e-6);
      let squares: f64 = 0;
      for (let i = 0; i < width; i++) squares += Math.pow(<f64>load<f32>(x + (i << 2)), 2) / <f64>width;
      for (let i = 0; i < width; i++) {
        const at = i << 2;
        const want = (<f64>load<f32>(x + at) / Math.sqrt(squares + 1e-6)) * <f64>load<f32>(scale + at);
        expect(Math.abs(<f64>load<f32>(out + at) - want)).toBeLessThan(1e-6);
      }
    }
  });
  test("a constant row becomes the shift", () => {
    const x = floats(8);
    const one = floats(8);
    for (let i = 0; i < 5; i++) {
      store<f32>(x + (i << 2), 0.1);
      store<f32>(one + (i << 2), 1);
    }
    normalizeRow(x, x, 5, one, one, 1e-6);
    for (let i = 0; i < 5; i++) expect(Math.abs(load<f32>(x + (i << 2)) - 1)).toBeLessThan(1e-4);
  });
});
