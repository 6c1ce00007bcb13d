// Softmax without its division: e^{scale·(x - max x)}, in place, and the sum of it.
//
// In base 2, since 2^x is cheaper than e^x. The caller multiplies by 1/sum where it costs least (attention: after P·V,
// d instead of N columns). Rows are padded to a multiple of 8 with -1e30, which becomes 2^-126.
// Error: relative 3e-7 + 1.2e-7·|scale·(x - max x)| (exp2 and the roundings of its argument), down to 2^-126, below which
// nothing goes; measured by tests/kernels/softmax.spec.ts.
import { constant, exp2 } from "./math";

const TABLE: usize = memory.data<f32>([1.442695040888963, -126]);

/** x: `padded` floats, 16-byte aligned, a multiple of 8 and at least 8. Returns the sum. */
export function softmax(x: usize, padded: usize, scale: f32): f32 {
  const end = x + ((padded) << 2);
  let m0 = v128.load(x);
  let m1 = v128.load(x, 16);
  for (let p = x + 32; p < end; p += 32) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  m0 = f32x4.pmax(m0, m1);
  m0 = f32x4.pmax(m0, v128.shuffle<i32>(m0, m0, 2, 3, 0, 1));
  m0 = f32x4.pmax(m0, v128.shuffle<i32>(m0, m0, 1, 0, 3, 2));

  const s = f32x4.mul(constant(TABLE, 0), f32x4.splat(scale));
  const low = constant(TABLE, 1);
  let sum0 = f32x4.sub(m0, m0);
  let sum1 = sum0;
  for (let p = x; p < end; p += 32) {
    const e0 = exp2(f32x4.pmax(low, f32x4.mul(f32x4.sub(v128.load(p), m0), s)));
    const e1 = exp2(f32x4.pmax(low, f32x4.mul(f32x4.sub(v128.load(p, 16), m0), s)));
    v128.store(p, e0);
    v128.store(p, e1, 16);
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
  }
  sum0 = f32x4.add(sum0, sum1);
  return (
    f32x4.extract_lane(sum0, 0) +
    f32x4.extract_lane(sum0, 1) +
    (f32x4.extract_lane(sum0, 2) + f32x4.extract_lane(sum0, 3))
  );
}
