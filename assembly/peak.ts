// The multiply-add peak of one core, for bench/: twelve independent chains, which hide the latency of a multiply and an
// add on every core known to us and still fit the sixteen vector registers of x64. No memory is touched.

/** Floating-point operations in one step: 12 chains × 4 lanes × (multiply, add). */
export const FLOPS_PER_STEP: i32 = 12 * 4 * 2;

// The multiplicand must vary where multiply and add are two instructions, or one product serves all chains; where they
// are one instruction the accumulator must be the addend, or V8 copies a register at each.
// @ts-ignore: decorator
@inline
function step(sum: v128, x: v128, y: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(x, y, sum) : f32x4.add(f32x4.mul(sum, x), y);
}

/** Runs `steps` ≥ 1 of sums of x and y; the result only keeps the work from being dropped. |x| < 1 keeps it finite. */
export function peak(steps: i32, x: f32, y: f32): f32 {
  const vx = f32x4.splat(x);
  const vy = f32x4.splat(y);
  // Twelve different starts, or the compiler may see that the chains are equal.
  let a = vx;
  let b = vy;
  let c = f32x4.add(vx, vy);
  let d = f32x4.sub(vx, vy);
  let e = f32x4.add(a, c);
  let f = f32x4.add(b, c);
  let g = f32x4.add(a, d);
  let h = f32x4.add(b, d);
  let i = f32x4.mul(a, c);
  let j = f32x4.mul(b, c);
  let k = f32x4.mul(a, d);
  let l = f32x4.mul(b, d);
  do {
    a = step(a, vx, vy);
    b = step(b, vx, vy);
    c = step(c, vx, vy);
    d = step(d, vx, vy);
    e = step(e, vx, vy);
    f = step(f, vx, vy);
    g = step(g, vx, vy);
    h = step(h, vx, vy);
    i = step(i, vx, vy);
    j = step(j, vx, vy);
    k = step(k, vx, vy);
    l = step(l, vx, vy);
  } while (--steps);
  const sum = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(f32x4.add(e, f), f32x4.add(g, h)));
  return f32x4.extract_lane(f32x4.add(sum, f32x4.add(f32x4.add(i, j), f32x4.add(k, l))), 0);
}
