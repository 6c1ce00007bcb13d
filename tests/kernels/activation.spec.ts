import { gelu, geluTanh, quickGelu, relu, silu, tanh } from "../../assembly/activation";
import { erfc, floats } from "./memory";

const COUNT = 800000;

/** Values from -10 to 10 in rows of 8. */
function ramp(at: usize): void {
  for (let i = 0; i < COUNT; i++) store<f32>(at + (i << 2), <f32>((<f64>i / <f64>COUNT) * 20 - 10));
}

type Kernel = (x: usize, stride: usize, rows: usize) => void;

/** Largest error, divided by max(1, |x|). */
function worst(kernel: Kernel, formula: (x: f64) => f64): f64 {
  const x = floats(COUNT);
  ramp(x);
  kernel(x, 32, COUNT / 8);
  let most: f64 = 0;
  for (let i = 0; i < COUNT; i++) {
    const v = <f64>(<f32>((<f64>i / <f64>COUNT) * 20 - 10));
    const error = Math.abs(<f64>load<f32>(x + (i << 2)) - formula(v));
    most = Math.max(most, error / Math.max(1, Math.abs(v)));
  }
  return most;
}

describe("activations, largest error over [-10, 10]", () => {
  test("gelu: 2e-7·max(1, |x|)", () => {
    const error = worst(gelu, (x) => 0.5 * x * erfc(-x / Math.SQRT2));
    expect(error).toBeLessThan(2e-7);
    expect(error).toBeGreaterThan(5e-8, "the bound is not a slack one");
  });
  test("geluTanh: 5e-7·max(1, |x|)", () => {
    const error = worst(geluTanh, (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))));
    expect(error).toBeLessThan(5e-7);
  });
  test("quickGelu: 3e-7·max(1, |x|)", () => {
    expect(worst(quickGelu, (x) => x / (1 + Math.exp(-1.702 * x)))).toBeLessThan(3e-7);
  });
  test("silu: 3e-7·max(1, |x|)", () => {
    expect(worst(silu, (x) => x / (1 + Math.exp(-x)))).toBeLessThan(3e-7);
  });
  test("quickGelu of ±1e30 is x and 0", () => {
    const x = floats(8);
    store<f32>(x, 1e30);
    store<f32>(x, -1e30, 4);
    quickGelu(x, 32, 1);
    expect(load<f32>(x)).toBe(1e30);
    expect(Math.abs(load<f32>(x, 4))).toBeLessThan(1.2e-8);
  });
  test("tanh: 3e-7", () => {
    expect(worst(tanh, (x) => Math.tanh(x))).toBeLessThan(3e-7);
  });
  test("relu: exact", () => {
    expect(worst(relu, (x) => Math.max(x, 0))).toBe(0);
  });
  test("gelu of ±1e30 and 0", () => {
    const x = floats(8);
    store<f32>(x, 1e30);
    store<f32>(x, -1e30, 4);
    gelu(x, 32, 1);
    expect(load<f32>(x)).toBe(1e30);
    expect(Math.abs(load<f32>(x, 4))).toBeLessThan(1e-7);
    expect(load<f32>(x, 8)).toBe(0);
  });
  test("rows stride: columns behind the panel are left alone", () => {
    const x = floats(32);
    for (let i = 0; i < 32; i++) store<f32>(x + (i << 2), -1);
    relu(x, 64, 2);
    for (let i = 0; i < 32; i++) expect(load<f32>(x + (i << 2))).toBe(i % 16 < 8 ? 0 : -1);
  });
});
