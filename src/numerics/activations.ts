/** Activations: a row each, which the backends and the readers of configs share. Kernels have theirs in assembly/activation.ts. */
import type { Activation } from "../backend.js";

export interface ActivationRow {
  /** The function itself, in f64. */
  readonly of: (x: number) => number;
  /**
   * The body of the same in WGSL, from x: f32. WGSL leaves tanh inexact near 0 and lets exp overflow, so all are made of exp
   * of what cannot.
   */
  readonly wgsl: string;
  /** Names in transformers' `hidden_act`; none, where no MLP has it. */
  readonly hiddenAct: readonly string[];
}

/** erf, to 1e-15: the series 2/√π Σ (-1)ⁿ x^(2n+1)/(n!(2n+1)) below 3, a continued fraction of erfc above (DLMF 7.6.1, 7.9.2). */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let sum = a;
    let term = a;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (-a * a) / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

/** The logistic function. */
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export const ACTIVATIONS: Readonly<Record<Activation, ActivationRow>> = {
  gelu: {
    of: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
    // erf: Abramowitz & Stegun 7.1.26, within 1.5e-7 absolute; tail is 1 - erf(|x|/√2), half of which is Φ(-|x|).
    wgsl: `
  let z = abs(x) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592;
  let tail = 0.5 * series * t * exp(-min(z * z, 80.0));
  return max(x, 0.0) - abs(x) * tail;`,
    hiddenAct: ["gelu", "gelu_python"],
  },
  gelu_tanh: {
    of: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    wgsl: `
  let z = clamp(1.5957691216 * (x + 0.044715 * x * x * x), -80.0, 80.0);
  return x / (1.0 + exp(-z));`,
    hiddenAct: ["gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_accurate"],
  },
  quick_gelu: {
    of: (x) => x * sigmoid(1.702 * x),
    wgsl: "return x / (1.0 + exp(clamp(-1.702 * x, -80.0, 80.0)));",
    hiddenAct: ["quick_gelu"],
  },
  silu: {
    of: (x) => x * sigmoid(x),
    wgsl: "return x / (1.0 + exp(clamp(-x, -80.0, 80.0)));",
    hiddenAct: ["silu"],
  },
  tanh: {
    of: Math.tanh,
    wgsl: "return sign(x) * (1.0 - 2.0 / (exp(min(2.0 * abs(x), 80.0)) + 1.0));",
    hiddenAct: [],
  },
  relu: {
    of: (x) => Math.max(0, x),
    wgsl: "return max(x, 0.0);",
    hiddenAct: ["relu"],
  },
};
