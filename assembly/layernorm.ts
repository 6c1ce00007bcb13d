// LayerNorm (Ba et al. 2016, eq. 3 and 4): (x - μ)/√(σ² + ε)·scale + shift, row by row.
//
// Two passes over a row (mean, then squares about it): one pass loses every digit when μ ≫ σ, which happens in real
// ViTs. The rounded mean m is itself off by up to μ·2^-24, so the second pass also sums x - m, and what remains of the
// mean, δ, is taken off as well: μ = m + δ, σ² = mean (x - m)² - δ². Rows are in L1 after the first pass; linear.ts
// runs this on the rows that it packs next.
// Error: relative to the largest output of a row, 3e-6 for |μ| up to 100 σ (tests/kernels/layernorm.spec.ts).
//
// Without shift: RMSNorm (Zhang & Sennrich 2019, eq. 4), x/√(mean x² + ε)·scale.
import { activate } from "./activations.gen";
import { sumOf } from "./math";
import { fork, nextTask, share, threads } from "./threads";

/** out, x: rows of `width` floats, 16-byte aligned, padded to a multiple of 4; out may be x. shift 0: RMSNorm. */
export function normalizeRow(out: usize, x: usize, width: usize, scale: usize, shift: usize, eps: f32): void {
  if (shift) centreRow(out, x, width, scale, shift, eps);
  else rootMeanSquareRow(out, x, width, scale, eps);
}

function rootMeanSquareRow(out: usize, x: usize, width: usize, scale: usize, eps: f32): void {
  const whole = (width & ~3) << 2;
  const bytes = width << 2;
  let squares = i32x4.splat(0);
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const v = v128.load(x + i);
    squares = f32x4.add(squares, f32x4.mul(v, v));
  }
  let sum = sumOf(squares);
  for (; i < bytes; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
  const r = <f32>1 / sqrt<f32>(sum / <f32>width + eps);
  const r4 = f32x4.splat(r);
  for (i = 0; i < whole; i += 16) {
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), r4), v128.load(scale + i)));
  }
  for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(x + i) * r * load<f32>(scale + i));
}

function centreRow(out: usize, x: usize, width: usize, scale: usize, shift: usize, eps: f32): void {
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

/** Strides in bytes. */
@unmanaged
export class LayerNormJob {
  /** `rows` rows of `width` floats, as normalizeRow has them. */
  out: usize; outStride: usize;
  x: usize; xStride: usize; rows: usize; width: usize;
  /** The norm; shift 0: RMSNorm. */
  scale: usize; shift: usize;
  eps: f32;
  /** 0, or layerNormScratch bytes: the result is then added to out. */
  scratch: usize;
  /** 0, or a number of activations.gen.ts, of the result: out then has whole panels of 8 columns. */
  activation: u32;
}

/** Rows of a task. */
const ROWS: usize = 16;

/** Bytes of scratch that `layerNorm` needs to add to out. */
export function layerNormScratch(width: usize): usize {
  return threads() * rowBytes(width);
}

// @ts-ignore: decorator
@inline
function rowBytes(width: usize): usize {
  return ((width << 2) + 127) & ~63;
}

export function layerNorm(job: LayerNormJob): void {
  fork(job, normalizeRows);
}

function normalizeRows(job: LayerNormJob): void {
  const own = share(job.scratch, rowBytes(job.width));
  for (let row = nextTask() * ROWS; row < job.rows; row = nextTask() * ROWS) {
    const end = min(row + ROWS, job.rows);
    for (let i = row; i < end; i++) {
      const x = job.x + i * job.xStride;
      const out = job.out + i * job.outStride;
      normalizeRow(job.scratch ? own : out, x, job.width, job.scale, job.shift, job.eps);
      if (job.scratch) {
        for (let j: usize = 0; j < job.width << 2; j += 16) {
          v128.store(out + j, f32x4.add(v128.load(out + j), v128.load(own + j)));
        }
      }
    }
    if (job.activation) {
      const out = job.out + row * job.outStride;
      for (let j: usize = 0; j < job.width << 2; j += 32) activate(job.activation, out + j, job.outStride, end - row);
    }
  }
}
