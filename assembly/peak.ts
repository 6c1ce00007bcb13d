// The multiply-add peak of one core, for bench/: fourteen independent chains, which hide the latency of a multiply and an
// add on x64 and Arm cores and, with the constant, fit the fifteen registers that V8 has on x64. No memory is touched.
// Twelve reach the same with relaxed SIMD; mul + add needs the other two (Zen 3, Node 22: 44 and 48 GFLOP/s).

/** Floating-point operations in one step: 14 chains × 4 lanes × (multiply, add). */
export const FLOPS_PER_STEP: i32 = 14 * 4 * 2;

// Where multiply and add are two instructions the multiplicand must vary, or one product serves all chains; where they
// are one instruction the sum must be the addend, or V8 copies a register each time.
// @ts-ignore: decorator
@inline
function step(sum: v128, x: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(x, x, sum) : f32x4.add(f32x4.mul(sum, x), x);
}

/** Runs `steps` ≥ 1 steps; the result only keeps the work from being dropped. |x| < 1 keeps it finite. */
export function peak(steps: i32, x: f32): f32 {
  const v = f32x4.splat(x);
  // Different starts, or the compiler may see that the chains are equal.
  let a = v;
  let b = f32x4.add(a, v);
  let c = f32x4.add(b, v);
  let d = f32x4.add(c, v);
  let e = f32x4.add(d, v);
  let f = f32x4.add(e, v);
  let g = f32x4.add(f, v);
  let h = f32x4.add(g, v);
  let i = f32x4.add(h, v);
  let j = f32x4.add(i, v);
  let k = f32x4.add(j, v);
  let l = f32x4.add(k, v);
  let m = f32x4.add(l, v);
  let n = f32x4.add(m, v);
  do {
    a = step(a, v);
    b = step(b, v);
    c = step(c, v);
    d = step(d, v);
    e = step(e, v);
    f = step(f, v);
    g = step(g, v);
    h = step(h, v);
    i = step(i, v);
    j = step(j, v);
    k = step(k, v);
    l = step(l, v);
    m = step(m, v);
    n = step(n, v);
  } while (--steps);
  a = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
  i = f32x4.add(f32x4.add(f32x4.add(i, j), f32x4.add(k, l)), f32x4.add(m, n));
  return f32x4.extract_lane(f32x4.add(a, i), 0);
}
