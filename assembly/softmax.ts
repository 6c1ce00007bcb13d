// Softmax without its division, in base 2: 2^{x - max x}, in place, and the sum of it.
//
// The caller has scaled x by log2(e)/√d (attention: it scales Q), since 2^x is cheaper than e^x, and multiplies by 1/sum
// where it costs least (after P·V, d instead of N columns). Rows are padded to a multiple of 8 with -1e30, which becomes
// 2^-126.
// With its packing for P·V 0.6 ns a score, 0.5 with 256 bits: the exponentials have a second use in the sum, which keeps V8
// from combining them, and reading them again for it gains nothing.
// Error: relative 3e-7 + 6e-8·|x - max x| (exp2 and the rounding of its argument), down to 2^-126, below which nothing goes;
// measured by tests/kernels/softmax.spec.ts.
import { constant, EXP2, exp2, exp2Once, largestOf, sumOf } from "./math";

const LOW: usize = memory.data<f32>([-126]);

/** x: `padded` floats, 16-byte aligned, a multiple of 8 and at least 8. Returns the sum. */
export function softmax(x: usize, padded: usize): f32 {
  return exponentials(x, padded, largest(x, padded));
}

/** max x. */
export function largest(x: usize, padded: usize): f32 {
  const end = x + (padded << 2);
  let m0 = v128.load(x);
  let m1 = v128.load(x, 16);
  for (let p = x + 32; p < end; p += 32) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  return largestOf(f32x4.pmax(m0, m1));
}

/** 2^{before - most}: the factor of what was summed under the maximum `before` when it becomes `most`. */
export function shrink(before: f32, most: f32): f32 {
  return f32x4.extract_lane(exp2Once(f32x4.pmax(constant(LOW, 0), f32x4.splat(before - most))), 0);
}

/** x = 2^{x - most}; returns the sum. */
export function exponentials(x: usize, padded: usize, most: f32): f32 {
  const end = x + (padded << 2);
  const m0 = f32x4.splat(most);
  const low = constant(LOW, 0);
  const magic = constant(EXP2, 0);
  const c1 = constant(EXP2, 1);
  const c2 = constant(EXP2, 2);
  const c3 = constant(EXP2, 3);
  const c4 = constant(EXP2, 4);
  const c5 = constant(EXP2, 5);
  const c6 = constant(EXP2, 6);
  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  for (let p = x; p < end; p += 32) {
    const e0 = exp2(f32x4.pmax(low, f32x4.sub(v128.load(p), m0)), magic, c1, c2, c3, c4, c5, c6);
    const e1 = exp2(f32x4.pmax(low, f32x4.sub(v128.load(p, 16), m0)), magic, c1, c2, c3, c4, c5, c6);
    v128.store(p, e0);
    v128.store(p, e1, 16);
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
  }
  return sumOf(f32x4.add(sum0, sum1));
}
