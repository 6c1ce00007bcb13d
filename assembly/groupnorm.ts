// GroupNorm (Wu & He 2018, eq. 1 and 7) of feature maps whose rows are pixels: (x - μ)/√(σ² + ε)·scale + shift with μ and σ²
// over all pixels of an image and the channels of a group; added to out and cut at 0 where asked for.
//
// Two passes over the map. The first sums each channel over chunks of pixels, twice while they are in cache: for the chunk's
// mean, then about it, so that no value far from 0 costs digits; chunks are joined in f64 (Chan et al. 1979). The second is (x - μ)·a + b; x·a + b' would round at
// the magnitude of μ·a.
// Error: relative to the largest output 2e-6 for |μ| up to 100 σ (tests/kernels/groupnorm.spec.ts).
import { fork, jobOf, nextTask } from "./threads";

/** Pixels of a chunk, and of a task of the second pass. */
const CHUNK: usize = 64;

// prettier-ignore
@unmanaged class GroupNormJob {
  out: usize; outStride: usize; x: usize; xStride: usize; pixels: usize; channels: usize; sums: usize; factors: usize;
  accumulate: bool; relu: bool;
}

// @ts-ignore: decorator
@inline
function paddedBytes(channels: usize): usize {
  return ((channels + 3) & ~3) << 2;
}

/** Bytes of scratch that `groupNorm` needs. */
export function groupNormScratch(pixels: usize, channels: usize): usize {
  return (((pixels + CHUNK - 1) / CHUNK) * 3 + 3) * paddedBytes(channels);
}

/**
 * out, x: images·pixels rows of `channels` floats, readable and writable to the next multiple of 4; out may be x. scale,
 * shift: `channels` floats. Strides in bytes.
 */
export function groupNorm(
  out: usize,
  outStride: usize,
  x: usize,
  xStride: usize,
  images: usize,
  pixels: usize,
  channels: usize,
  groups: usize,
  scale: usize,
  shift: usize,
  eps: f32,
  accumulate: bool,
  relu: bool,
  scratch: usize,
): void {
  const job = jobOf<GroupNormJob>();
  const row = paddedBytes(channels);
  job.out = out;
  job.outStride = outStride;
  job.x = x;
  job.xStride = xStride;
  job.pixels = pixels;
  job.channels = channels;
  job.factors = scratch;
  job.sums = scratch + 3 * row;
  job.accumulate = accumulate;
  job.relu = relu;
  for (; images; images--) {
    fork(sumChunks);
    const size = channels / groups;
    for (let first: usize = 0; first < channels; first += size) {
      factorsOf(job, first, size, row, scale, shift, eps);
    }
    fork(applyFactors);
    job.x += pixels * xStride;
    job.out += pixels * outStride;
  }
}

/** For each chunk its mean m, as rounded, and the sums of x - m and of its square. */
function sumChunks(): void {
  const job = jobOf<GroupNormJob>();
  const row = paddedBytes(job.channels);
  const stride = job.xStride;
  for (let chunk = nextTask(); chunk * CHUNK < job.pixels; chunk = nextTask()) {
    const first = job.x + chunk * CHUNK * stride;
    const end = job.x + min((chunk + 1) * CHUNK, job.pixels) * stride;
    const sums = job.sums + chunk * 3 * row;
    const count = f32x4.splat(<f32>(min((chunk + 1) * CHUNK, job.pixels) - chunk * CHUNK));
    for (let c: usize = 0; c < row; c += 16) {
      let sum = i32x4.splat(0);
      for (let x = first; x < end; x += stride) sum = f32x4.add(sum, v128.load(x + c));
      const mean = f32x4.div(sum, count);
      let rest = i32x4.splat(0);
      let squares = rest;
      for (let x = first; x < end; x += stride) {
        const d = f32x4.sub(v128.load(x + c), mean);
        rest = f32x4.add(rest, d);
        squares = f32x4.add(squares, f32x4.mul(d, d));
      }
      v128.store(sums + c, mean);
      v128.store(sums + row + c, rest);
      v128.store(sums + 2 * row + c, squares);
    }
  }
}

/** y = (x - m)·a + b for the channels of a group; m is the mean in f32, and b has what is left of it. */
function factorsOf(job: GroupNormJob, first: usize, size: usize, row: usize, scale: usize, shift: usize, eps: f32): void {
  let count: f64 = 0;
  let mean: f64 = 0;
  let squares: f64 = 0;
  for (let c = first << 2; c < (first + size) << 2; c += 4) {
    let sums = job.sums + c;
    for (let p: usize = 0; p < job.pixels; p += CHUNK, sums += 3 * row) {
      const n = <f64>min(CHUNK, job.pixels - p);
      const rest = <f64>load<f32>(sums + row);
      const d = <f64>load<f32>(sums) + rest / n - mean;
      const all = count + n;
      squares += <f64>load<f32>(sums + 2 * row) - (rest * rest) / n + ((d * d * count) / all) * n;
      mean += (d * n) / all;
      count = all;
    }
  }
  const r = 1 / sqrt<f64>(max<f64>(squares / count, 0) + <f64>eps);
  for (let c = first << 2; c < (first + size) << 2; c += 4) {
    const a = <f64>load<f32>(scale + c) * r;
    store<f32>(job.factors + c, <f32>mean);
    store<f32>(job.factors + row + c, <f32>a);
    store<f32>(job.factors + 2 * row + c, <f32>(<f64>load<f32>(shift + c) - (mean - <f64><f32>mean) * a));
  }
}

function applyFactors(): void {
  const job = jobOf<GroupNormJob>();
  const row = paddedBytes(job.channels);
  const zero = i32x4.splat(0);
  const floor = job.relu ? zero : f32x4.splat(-f32.MAX_VALUE);
  for (let chunk = nextTask(); chunk * CHUNK < job.pixels; chunk = nextTask()) {
    const end = min((chunk + 1) * CHUNK, job.pixels);
    for (let p = chunk * CHUNK; p < end; p++) {
      const x = job.x + p * job.xStride;
      const out = job.out + p * job.outStride;
      for (let c: usize = 0; c < row; c += 16) {
        let y = f32x4.sub(v128.load(x + c), v128.load(job.factors + c));
        y = f32x4.mul(y, v128.load(job.factors + row + c));
        y = f32x4.add(y, v128.load(job.factors + 2 * row + c));
        if (job.accumulate) y = f32x4.add(y, v128.load(out + c));
        v128.store(out + c, f32x4.pmax(floor, y));
      }
    }
  }
}
