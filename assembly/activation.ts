// Elementwise functions over one panel of a matrix: `rows` rows of 8 columns, in place, rows `stride` bytes apart.
// They run on a panel right after the GEMM has written it, while it is in cache. Inlining them into the GEMM tile was
// tried and is slower: 12 accumulators and 11 constants do not fit 16 registers.
import { constant, exp2Once, madd } from "./math";

// g(a) = a/2 erfc(a/√2) ≈ a·P(a)/Q(a), Lawson-weighted least squares on [0, 5.6] in f64: 4.9e-8 before rounding. Beyond 5.6
// g is less than that.
// prettier-ignore
const GELU: usize = memory.data<f32>([
  0.499996662, -0.47080031, 0.178566605, -0.0340809561, 0.00327120465, -0.000126244267,
  1, -0.143860787, 0.243437618, -0.0109611349, 0.025566183, -0.00352189783, 0.00479055569, -0.0012224802, 0.000308108749,
  5.6,
]);

/**
 * x Φ(x) = max(x, 0) - g(|x|). Absolute error at most 2e-7·max(1, |x|): g is 0.17 at most, so its rounding is small, and
 * positive x are kept. The usual x/2 (1 + erf(x/√2)) with a rational erf costs as much and is 8 times further off, with one
 * sign where hidden units of a ViT are most, near -3: it doubled a forward's distance from f64.
 * Two rows at a time, so that four vectors share the loads of a constant (two instructions each): 0.8 ns an element, 1.2
 * with two vectors. Estrin's scheme is as fast as Horner's here, and shorter to write.
 */
export function gelu(x: usize, stride: usize, rows: usize): void {
  for (const last = x + (rows - 1) * stride; x <= last; x += 2 * stride) geluOf(x, min(x + stride, last));
}

/** In place: 8 floats at x and at y, which may be x. */
// @ts-ignore: decorator
@inline
function geluOf(x: usize, y: usize): void {
  const c0 = constant(GELU, 0);
  const c1 = constant(GELU, 1);
  const c2 = constant(GELU, 2);
  const c3 = constant(GELU, 3);
  const c4 = constant(GELU, 4);
  const c5 = constant(GELU, 5);
  const c6 = constant(GELU, 6);
  const c7 = constant(GELU, 7);
  const c8 = constant(GELU, 8);
  const c9 = constant(GELU, 9);
  const c10 = constant(GELU, 10);
  const c11 = constant(GELU, 11);
  const c12 = constant(GELU, 12);
  const c13 = constant(GELU, 13);
  const c14 = constant(GELU, 14);
  const c15 = constant(GELU, 15);
  const g0 = geluVector(v128.load(x), c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15);
  const g1 = geluVector(v128.load(x, 16), c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15);
  const g2 = geluVector(v128.load(y), c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15);
  const g3 = geluVector(v128.load(y, 16), c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11, c12, c13, c14, c15);
  v128.store(x, g0);
  v128.store(x, g1, 16);
  v128.store(y, g2);
  v128.store(y, g3, 16);
}

// @ts-ignore: decorator
@inline
function geluVector(
  x: v128, p0: v128, p1: v128, p2: v128, p3: v128, p4: v128, p5: v128, q0: v128, q1: v128, q2: v128, q3: v128, q4: v128,
  q5: v128, q6: v128, q7: v128, q8: v128, most: v128,
): v128 {
  const zero = i32x4.splat(0);
  const a = f32x4.pmin(most, f32x4.pmax(x, f32x4.sub(zero, x)));
  const a2 = f32x4.mul(a, a);
  const a4 = f32x4.mul(a2, a2);
  const p = madd(madd(p5, a, p4), a4, madd(madd(p3, a, p2), a2, madd(p1, a, p0)));
  const low = madd(madd(q3, a, q2), a2, madd(q1, a, q0));
  const high = madd(q8, a4, madd(madd(q7, a, q6), a2, madd(q5, a, q4)));
  return f32x4.sub(f32x4.pmax(zero, x), f32x4.div(f32x4.mul(a, p), madd(high, a4, low)));
}

// -2·log2(e)·√(2/π), the same times 0.044715, 1, bounds of exp2, and 2·log2(e).
// prettier-ignore
const TANH: usize = memory.data<f32>([
  -2.302208198, -0.1029432397, 1, 126, -126, 2.885390082, 2,
]);

/**
 * x/2 (1 + tanh u) = x / (1 + e^{-2u}), u = √(2/π)(x + 0.044715 x³): GELU's approximation by Hendrycks and Gimpel 2016,
 * eq. 2. Absolute error at most 1e-6·max(1, |x|).
 */
export function geluTanh(x: usize, stride: usize, rows: usize): void {
  for (; rows; rows--, x += stride) {
    v128.store(x, geluTanhOf(v128.load(x)));
    v128.store(x, geluTanhOf(v128.load(x, 16)), 16);
  }
}

// @ts-ignore: decorator
@inline
function geluTanhOf(x: v128): v128 {
  const u = f32x4.mul(x, madd(constant(TANH, 1), f32x4.mul(x, x), constant(TANH, 0)));
  const e = exp2Once(f32x4.pmax(constant(TANH, 4), f32x4.pmin(constant(TANH, 3), u)));
  return f32x4.div(x, f32x4.add(constant(TANH, 2), e));
}

/** tanh x = 1 - 2 / (1 + e^{2x}). Absolute error at most 3e-7. */
export function tanh(x: usize, stride: usize, rows: usize): void {
  for (; rows; rows--, x += stride) {
    v128.store(x, tanhOf(v128.load(x)));
    v128.store(x, tanhOf(v128.load(x, 16)), 16);
  }
}

// @ts-ignore: decorator
@inline
function tanhOf(x: v128): v128 {
  const u = f32x4.mul(x, constant(TANH, 5));
  const e = exp2Once(f32x4.pmax(constant(TANH, 4), f32x4.pmin(constant(TANH, 3), u)));
  const one = constant(TANH, 2);
  return f32x4.sub(one, f32x4.div(constant(TANH, 6), f32x4.add(one, e)));
}

// -1.702·log2(e), -log2(e), 1, bounds of exp2.
const SIGMOID: usize = memory.data<f32>([-2.455466976, -1.442695041, 1, 126, -126]);

/** x σ(1.702 x) = x / (1 + e^{-1.702x}), CLIP's GELU. Absolute error at most 3e-7·max(1, |x|). */
export function quickGelu(x: usize, stride: usize, rows: usize): void {
  for (; rows; rows--, x += stride) {
    v128.store(x, timesSigmoid(v128.load(x), 0));
    v128.store(x, timesSigmoid(v128.load(x, 16), 0), 16);
  }
}

/** x σ(x). Absolute error at most 3e-7·max(1, |x|). */
export function silu(x: usize, stride: usize, rows: usize): void {
  for (; rows; rows--, x += stride) {
    v128.store(x, siluOf(v128.load(x)));
    v128.store(x, siluOf(v128.load(x, 16)), 16);
  }
}

/** The same of a vector. */
// @ts-ignore: decorator
@inline
export function siluOf(x: v128): v128 {
  return timesSigmoid(x, 1);
}

/** x / (1 + 2^{factor·x}) */
// @ts-ignore: decorator
@inline
function timesSigmoid(x: v128, factor: usize): v128 {
  const u = f32x4.mul(x, constant(SIGMOID, factor));
  const e = exp2Once(f32x4.pmax(constant(SIGMOID, 4), f32x4.pmin(constant(SIGMOID, 3), u)));
  return f32x4.div(x, f32x4.add(constant(SIGMOID, 2), e));
}

/** max(x, 0), exact. */
export function relu(x: usize, stride: usize, rows: usize): void {
  const zero = i32x4.splat(0);
  for (; rows; rows--, x += stride) {
    v128.store(x, f32x4.pmax(zero, v128.load(x)));
    v128.store(x, f32x4.pmax(zero, v128.load(x, 16)), 16);
  }
}
