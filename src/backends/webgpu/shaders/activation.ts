/**
 * Activations of `linear`. WGSL leaves tanh inexact near 0 and lets exp overflow, so both are made of exp of what cannot.
 * erf: Abramowitz & Stegun 7.1.26, within 1.5e-7 absolute.
 */
import type { Activation } from "../../../backend.js";

export const ACTIVATIONS: Record<Activation, string> = {
  gelu: `
fn activate(x: f32) -> f32 {
  let z = abs(x) * 0.70710678;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = ((((1.061405429 * t - 1.453152027) * t) + 1.421413741) * t - 0.284496736) * t + 0.254829592;
  // 1 - erf(|x|/√2), half of which is Φ(-|x|).
  let tail = 0.5 * series * t * exp(-min(z * z, 80.0));
  return max(x, 0.0) - abs(x) * tail;
}`,
  gelu_tanh: `
fn activate(x: f32) -> f32 {
  let z = clamp(1.5957691216 * (x + 0.044715 * x * x * x), -80.0, 80.0);
  return x / (1.0 + exp(-z));
}`,
  quick_gelu: `
fn activate(x: f32) -> f32 { return x / (1.0 + exp(clamp(-1.702 * x, -80.0, 80.0))); }`,
  tanh: `
fn activate(x: f32) -> f32 { return sign(x) * (1.0 - 2.0 / (exp(min(2.0 * abs(x), 80.0)) + 1.0)); }`,
  relu: `
fn activate(x: f32) -> f32 { return max(x, 0.0); }`,
};
