// Elementwise functions over one panel of a matrix: `rows` rows of 8 columns, in place, rows `stride` bytes apart.
// They run on a panel right after the GEMM has written it, while it is in cache. Inlining them into the GEMM tile was
// tried and is slower: 12 accumulators and 11 constants do not fit 16 registers.
import { constant, exp2, madd } from "./math";

// erf(x/√2) ≈ x·P(x²)/Q(x²), Lawson-weighted least squares on [0, 5.1638] in f64 with the weight that makes it minimax
// for GELU: 7.8e-9 before rounding. Beyond 5.1638 erf is 1 to 2.4e-7.
// prettier-ignore
const GELU: usize = memory.data<f32>([
  0.797884345, 0.0663517043, 0.00929546449, 0.000326861133, 1.29285254e-5, 4.85662994e-8,
  1, 0.249824986, 0.0282894149, 0.00185382552, 7.26771832e-5, 1.25011547e-6,
  5.1638, -5.1638, 0.5,
]);

/** x Φ(x) = x/2 (1 + erf(x/√2)). Absolute error at most 1.1e-6, and at most 3e-7·max(1, |x|). */
export function gelu(x: usize, stride: usize, rows: usize): void {
  for (; rows; rows--, x += stride) {
    v128.store(x, geluOf(v128.load(x)));
    v128.store(x, geluOf(v128.load(x, 16)), 16);
  }
}

// @ts-ignore: decorator
@inline
function geluOf(x: v128): v128 {
  const c = f32x4.pmax(constant(GELU, 13), f32x4.pmin(constant(GELU, 12), x));
  const t = f32x4.mul(c, c);
  let p = madd(constant(GELU, 5), t, constant(GELU, 4));
  let q = madd(constant(GELU, 11), t, constant(GELU, 10));
  p = madd(p, t, constant(GELU, 3));
  q = madd(q, t, constant(GELU, 9));
  p = madd(p, t, constant(GELU, 2));
  q = madd(q, t, constant(GELU, 8));
  p = madd(p, t, constant(GELU, 1));
  q = madd(q, t, constant(GELU, 7));
  p = madd(p, t, constant(GELU, 0));
  q = madd(q, t, constant(GELU, 6));
  const erf = f32x4.div(f32x4.mul(c, p), q);
  const half = f32x4.mul(x, constant(GELU, 14));
  return madd(half, erf, half);
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
  const e = exp2(f32x4.pmax(constant(TANH, 4), f32x4.pmin(constant(TANH, 3), u)));
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
  const e = exp2(f32x4.pmax(constant(TANH, 4), f32x4.pmin(constant(TANH, 3), u)));
  const one = constant(TANH, 2);
  return f32x4.sub(one, f32x4.div(constant(TANH, 6), f32x4.add(one, e)));
}

/** max(x, 0), exact. */
export function relu(x: usize, stride: usize, rows: usize): void {
  const zero = i32x4.splat(0);
  for (; rows; rows--, x += stride) {
    v128.store(x, f32x4.pmax(zero, v128.load(x)));
    v128.store(x, f32x4.pmax(zero, v128.load(x, 16)), 16);
  }
}
