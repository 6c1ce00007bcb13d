import { softmax } from "../../assembly/softmax";
import { floats, noise } from "./memory";

/** Largest relative error of 2^(x - max) and of the sum, against f64, for scores in [-range, range). */
function worst(padded: i32, range: f32): f64 {
  const x = floats(padded);
  const kept = floats(padded);
  noise(x, padded, 3);
  let max: f64 = -1e300;
  for (let i = 0; i < padded; i++) {
    const v = load<f32>(x + (i << 2)) * range;
    store<f32>(x + (i << 2), v);
    store<f32>(kept + (i << 2), v);
    max = Math.max(max, <f64>v);
  }
  const sum = <f64>softmax(x, padded);
  let want: f64 = 0;
  let error: f64 = 0;
  for (let i = 0; i < padded; i++) {
    const argument = <f64>load<f32>(kept + (i << 2)) - max;
    const e = Math.pow(2, argument);
    want += e;
    const got = <f64>load<f32>(x + (i << 2));
    // Below -126 the result stays at the smallest normal number.
    if (argument < -126) error = Math.max(error, got / 1.7e-38);
    else error = Math.max(error, Math.abs(got / e - 1) / (3e-7 + 6e-8 * Math.abs(argument)));
  }
  return Math.max(error, Math.abs(sum / want - 1) / 5e-7);
}

describe("softmax", () => {
  test("relative error is within 3e-7 + 6e-8·|argument|, the sum's within 5e-7", () => {
    expect(worst(8, 1)).toBeLessThan(1);
    expect(worst(16, 1)).toBeLessThan(1);
    expect(worst(200, 7)).toBeLessThan(1);
    expect(worst(1000, 100)).toBeLessThan(1);
    expect(worst(1000, 100)).toBeGreaterThan(0.05, "the bound is not a slack one");
  });
  test("padding of -1e30 takes no part", () => {
    const x = floats(8);
    for (let i = 0; i < 8; i++) store<f32>(x + (i << 2), i < 3 ? 2 : -1e30);
    expect(softmax(x, 8)).toBe(3);
    expect(load<f32>(x, 12)).toBeLessThan(1e-37);
  });
  test("equal scores of any size give equal weights", () => {
    const x = floats(8);
    for (let i = 0; i < 8; i++) store<f32>(x + (i << 2), 1e20);
    expect(softmax(x, 8)).toBe(8);
  });
});
