// Pieces that several kernels share: multiply-add, sums and maxima of lanes, exp2, touching memory. Inlined everywhere.

/**
 * a·b + c. One rounding in the relaxed build where the machine has FMA, two elsewhere: the only place where the two
 * builds differ.
 */
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** The sum of four floats, in pairs. */
// @ts-ignore: decorator
@inline
export function sumOf(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

/** The sum of four integers. */
// @ts-ignore: decorator
@inline
export function sumOfIntegers(x: v128): i32 {
  return (
    i32x4.extract_lane(x, 0) + i32x4.extract_lane(x, 1) + (i32x4.extract_lane(x, 2) + i32x4.extract_lane(x, 3))
  );
}

/** The largest of four floats. */
// @ts-ignore: decorator
@inline
export function largestOf(x: v128): f32 {
  x = f32x4.pmax(x, v128.shuffle<i32>(x, x, 2, 3, 0, 1));
  x = f32x4.pmax(x, v128.shuffle<i32>(x, x, 1, 0, 3, 2));
  return f32x4.extract_lane(x, 0);
}

/** Brings `bytes` bytes into cache, a load a line; writes to `sink`, so that no compiler leaves the loads out. */
// @ts-ignore: decorator
@inline
export function touch(p: usize, bytes: usize, sink: usize): void {
  let all = i64x2.splat(0);
  for (const end = p + bytes; p < end; p += 64) all = v128.or(all, v128.load(p));
  v128.store(sink, all);
}

/** A constant, from memory: engines rebuild v128 literals in every round of a loop (3 instructions; V8 11 to 13). */
// @ts-ignore: decorator
@inline
export function constant(table: usize, index: usize): v128 {
  return v128.load32_splat(table + index * 4);
}

// Minimax polynomial (relative error) of 2^f on [-1/2, 1/2] by Lawson-weighted least squares in f64; 9.2e-8 before
// rounding. Degree 4 gives 4e-6, degree 6 gains nothing in f32. First entry: 1.5·2^23, which rounds to an integer when
// added and leaves that integer in the low bits.
// prettier-ignore
export const EXP2: usize = memory.data<f32>([
  12582912, 1, 0.693147004, 0.240222424, 0.0555073395, 0.00967151299, 0.00132646656,
]);

/**
 * 2^x for x in [-126, 127], to a relative error of 2.5e-7 (measured by tests/kernels/math.spec.ts).
 * x = n + f, n an integer, |f| <= 1/2; the polynomial's exponent bits are then raised by n. The constants are EXP2's, which
 * the caller loads before its loop: 0.9 ns an element become 0.5.
 */
// @ts-ignore: decorator
@inline
export function exp2(x: v128, magic: v128, e1: v128, e2: v128, e3: v128, e4: v128, e5: v128, e6: v128): v128 {
  const t = f32x4.add(x, magic);
  const f = f32x4.sub(x, f32x4.sub(t, magic));
  let p = madd(e6, f, e5);
  p = madd(p, f, e4);
  p = madd(p, f, e3);
  p = madd(p, f, e2);
  p = madd(p, f, e1);
  return i32x4.add(p, i32x4.shl(t, 23));
}

/** The same with its constants, where they are not worth a name each. */
// @ts-ignore: decorator
@inline
export function exp2Once(x: v128): v128 {
  return exp2(
    x,
    constant(EXP2, 0),
    constant(EXP2, 1),
    constant(EXP2, 2),
    constant(EXP2, 3),
    constant(EXP2, 4),
    constant(EXP2, 5),
    constant(EXP2, 6),
  );
}
