// LayerNorm (Ba et al. 2016, eq. 3 and 4): (x - μ)/√(σ² + ε)·scale + shift, row by row.
//
// Two passes over a row (mean, then squares about it): one pass loses every digit when μ ≫ σ, which happens in real
// ViTs. The rounded mean m is itself off by up to μ·2^-24, so the second pass also sums x - m, and what remains of the
// mean, δ, is taken off as well: μ = m + δ, σ² = mean (x - m)² - δ². Rows are in L1 after the first pass; linear.ts
// runs this on the rows that it packs next.
// Error: relative to the largest output of a row, 3e-6 for |μ| up to 100 σ (tests/kernels/layernorm.spec.ts).

import { fork, jobOf, nextTask } from "./threads";

/** out, x: rows of `width` floats, 16-byte aligned, padded to a multiple of 4; out may be x. */
export function normaliseRow(out: usize, x: usize, width: usize, scale: usize, shift: usize, eps: f32): void {
  const whole = (width & ~3) << 2;
  const bytes = width << 2;
  let sum0 = i32x4.splat(0);
  let sum1 = sum0;
  let i: usize = 0;
  for (; i + 16 < whole; i += 32) {
    sum0 = f32x4.add(sum0, v128.load(x + i));
    sum1 = f32x4.add(sum1, v128.load(x + i, 16));
  }
  if (i < whole) sum0 = f32x4.add(sum0, v128.load(x + i));
  let sum = sumOf(f32x4.add(sum0, sum1));
  for (i = whole; i < bytes; i += 4) sum += load<f32>(x + i);
  const mean = sum / <f32>width;

  const mean4 = f32x4.splat(mean);
  let rest = i32x4.splat(0);
  let squares = rest;
  for (i = 0; i < whole; i += 16) {
    const d = f32x4.sub(v128.load(x + i), mean4);
    rest = f32x4.add(rest, d);
    squares = f32x4.add(squares, f32x4.mul(d, d));
  }
  let delta = sumOf(rest);
  let variance = sumOf(squares);
  for (i = whole; i < bytes; i += 4) {
    const d = load<f32>(x + i) - mean;
    delta += d;
    variance += d * d;
  }
  delta /= <f32>width;
  variance = max<f32>(variance / <f32>width - delta * delta, 0);
  const r = <f32>1 / sqrt<f32>(variance + eps);

  const delta4 = f32x4.splat(delta);
  const r4 = f32x4.splat(r);
  for (i = 0; i < whole; i += 16) {
    const n = f32x4.mul(f32x4.sub(f32x4.sub(v128.load(x + i), mean4), delta4), r4);
    v128.store(out + i, f32x4.add(f32x4.mul(n, v128.load(scale + i)), v128.load(shift + i)));
  }
  for (; i < bytes; i += 4) {
    store<f32>(out + i, (load<f32>(x + i) - mean - delta) * r * load<f32>(scale + i) + load<f32>(shift + i));
  }
}

// @ts-ignore: decorator
@inline
function sumOf(x: v128): f32 {
  return (
    f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
  );
}

// prettier-ignore
@unmanaged class NormJob {
  out: usize; outStride: usize; x: usize; xStride: usize; rows: usize; width: usize; scale: usize; shift: usize;
  eps: f32;
}

/** Rows of a task. */
const ROWS: usize = 16;

/** normaliseRow for `rows` rows, `stride` bytes apart. */
export function layerNorm(
  out: usize,
  outStride: usize,
  x: usize,
  xStride: usize,
  rows: usize,
  width: usize,
  scale: usize,
  shift: usize,
  eps: f32,
): void {
  const job = jobOf<NormJob>();
  job.out = out;
  job.outStride = outStride;
  job.x = x;
  job.xStride = xStride;
  job.rows = rows;
  job.width = width;
  job.scale = scale;
  job.shift = shift;
  job.eps = eps;
  fork(normaliseRows);
}

function normaliseRows(): void {
  const job = jobOf<NormJob>();
  for (let row = nextTask() * ROWS; row < job.rows; row = nextTask() * ROWS) {
    const end = min(row + ROWS, job.rows);
    for (let i = row; i < end; i++) {
      const x = job.x + i * job.xStride;
      normaliseRow(job.out + i * job.outStride, x, job.width, job.scale, job.shift, job.eps);
    }
  }
}
