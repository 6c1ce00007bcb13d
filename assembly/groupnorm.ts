// GroupNorm (Wu & He 2018, eq. 1 and 7) of feature maps whose rows are pixels: (x - μ)/√(σ² + ε)·scale + shift with μ and σ²
// over all pixels of an image and the channels of a group; added to out and cut at 0 where asked for.
//
// Two passes over the map. The first sums each channel over chunks of pixels, twice while they are in cache: for the chunk's
// mean, then about it, so that no value far from 0 costs digits; chunks are joined in f64 (Chan et al. 1979). The second is (x - μ)·a + b; x·a + b' would round at
// the magnitude of μ·a.
// Error: relative to the largest output 2e-6 for |μ| up to 100 σ (tests/kernels/groupnorm.spec.ts).
import { fork, nextTask } from "./threads";

/** Pixels of a chunk, and of a task of the second pass. */
const CHUNK: usize = 64;

/** Strides in bytes. */
@unmanaged
export class GroupNormJob {
  images: usize; pixels: usize; channels: usize; groups: usize;
  /** images·pixels rows of `channels` floats, writable to the next multiple of 4; may be x. */
  out: usize; outStride: usize;
  /** As many, readable to the next multiple of 4. */
  x: usize; xStride: usize;
  /** `channels` floats each. */
  scale: usize; shift: usize;
  eps: f32;
  /** groupNormScratch bytes. */
  scratch: usize;
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

/** Three rows of sums for each chunk, behind three of factors: means, what multiplies and what is added. */
// @ts-ignore: decorator
@inline
function sumsAt(job: GroupNormJob): usize {
  return job.scratch + 3 * paddedBytes(job.channels);
}

export function groupNorm(job: GroupNormJob): void {
  const size = job.channels / job.groups;
  for (let image: usize = 0; image < job.images; image++) {
    fork(job, sumChunks);
    for (let first: usize = 0; first < job.channels; first += size) factorsOf(job, first, size);
    fork(job, applyFactors);
    job.x += job.pixels * job.xStride;
    job.out += job.pixels * job.outStride;
  }
}

/** For each chunk its mean m, as rounded, and the sums of x - m and of its square. */
function sumChunks(job: GroupNormJob): void {
  const row = paddedBytes(job.channels);
  const stride = job.xStride;
  for (let chunk = nextTask(); chunk * CHUNK < job.pixels; chunk = nextTask()) {
    const first = job.x + chunk * CHUNK * stride;
    const end = job.x + min((chunk + 1) * CHUNK, job.pixels) * stride;
    const sums = sumsAt(job) + chunk * 3 * row;
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
function factorsOf(job: GroupNormJob, first: usize, size: usize): void {
  const row = paddedBytes(job.channels);
  const factors = job.scratch;
  let count: f64 = 0;
  let mean: f64 = 0;
  let squares: f64 = 0;
  for (let c = first << 2; c < (first + size) << 2; c += 4) {
    let sums = sumsAt(job) + c;
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
  const r = 1 / sqrt<f64>(max<f64>(squares / count, 0) + <f64>job.eps);
  for (let c = first << 2; c < (first + size) << 2; c += 4) {
    const a = <f64>load<f32>(job.scale + c) * r;
    store<f32>(factors + c, <f32>mean);
    store<f32>(factors + row + c, <f32>a);
    store<f32>(factors + 2 * row + c, <f32>(<f64>load<f32>(job.shift + c) - (mean - <f64><f32>mean) * a));
  }
}

function applyFactors(job: GroupNormJob): void {
  const row = paddedBytes(job.channels);
  const factors = job.scratch;
  const zero = i32x4.splat(0);
  const floor = job.relu ? zero : f32x4.splat(-f32.MAX_VALUE);
  for (let chunk = nextTask(); chunk * CHUNK < job.pixels; chunk = nextTask()) {
    const end = min((chunk + 1) * CHUNK, job.pixels);
    for (let p = chunk * CHUNK; p < end; p++) {
      const x = job.x + p * job.xStride;
      const out = job.out + p * job.outStride;
      for (let c: usize = 0; c < row; c += 16) {
        let y = f32x4.sub(v128.load(x + c), v128.load(factors + c));
        y = f32x4.mul(y, v128.load(factors + row + c));
        y = f32x4.add(y, v128.load(factors + 2 * row + c));
        if (job.accumulate) y = f32x4.add(y, v128.load(out + c));
        v128.store(out + c, f32x4.pmax(floor, y));
      }
    }
  }
}
