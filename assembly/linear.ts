// out = f(LN(x) Wᵀ + b), or out += …: eq. 2, 3 and 5 of Dosovitskiy et al. 2021, in two steps, each shared by all threads.
//
// 1. Rows of x are normalized where asked for, and packed (gemm.ts) or quantized (int8.ts) into blocks. A row stays in L1
//    between the two.
// 2. Panels of W, a few to a task, are multiplied with all blocks; the activation runs on a panel while it is in cache.
//    Rows beyond about an image are taken in parts that fit L2 (a batch of 8 ViT-S: 1576 rows), for all panels of a task.
// Threads write to different panels, and each element is summed in the same order, so that neither their number nor the
// batch changes a bit of the result.
import { activate } from "./activations.gen";
import { gemm, packRows, packWeight, panelBytes, tilePanels, tileRows } from "./gemm";
import { halfPanelBytes, packHalves, rescaleHalves, widenPanel } from "./half";
import {
  integerBlockBytes,
  integerGemm,
  integerPanelBytes,
  integerTilePanels,
  integerTileRows,
  quantizeBlock,
  quantizeWeight,
} from "./int8";
import { normalizeRow } from "./layernorm";
import { fork, jobOf, nextTask, share, threads } from "./threads";

/** Precisions as src/backends/wasm/tile.ts numbers them. */
const F32: u32 = 0;
const F16: u32 = 1;

/** Panels of a task at most: what they take of L2 when rows come in parts. */
const PANELS: usize = 8;
/** Tasks for each thread at least, so that none waits long for the last. */
const TASKS: usize = 6;
/** Most rows that are multiplied at once. */
const ROWS: usize = 240;

// prettier-ignore
@unmanaged class LinearJob {
  tile: u32; precision: u32; out: usize; outStride: usize; x: usize; xStride: usize; rows: usize; k: usize; w: usize;
  panels: usize; scale: usize; shift: usize; eps: f32; activation: u32; accumulate: bool; scratch: usize; group: usize;
  window: bool; first: usize; channels: usize; height: usize; width: usize; kernel: usize; stride: usize; top: usize;
  left: usize; outHeight: usize; outWidth: usize;
}

/** Bytes of one panel of a weight with k inputs. */
export function weightPanelBytes(precision: u32, k: usize): usize {
  if (precision == F32) return panelBytes(k);
  return precision == F16 ? halfPanelBytes(k) : integerPanelBytes(k);
}

// @ts-ignore: decorator
@inline
function blockRows(precision: u32, tile: u32): usize {
  return precision <= F16 ? tileRows(tile) : integerTileRows(tile);
}

// @ts-ignore: decorator
@inline
function blockBytes(precision: u32, tile: u32, k: usize): usize {
  return precision <= F16 ? (tileRows(tile) * k) << 2 : integerBlockBytes(tile, k);
}

// @ts-ignore: decorator
@inline
function packedBytes(precision: u32, tile: u32, rows: usize, k: usize): usize {
  const height = blockRows(precision, tile);
  return (((rows + height - 1) / height) * blockBytes(precision, tile, k) + 63) & ~63;
}

/** Bytes between the normalized rows of a block: whole vectors, and not a multiple of 4096. */
// @ts-ignore: decorator
@inline
function rowBytes(k: usize): usize {
  return (((k + 3) & ~3) << 2) + 64;
}

/** Bytes that one thread needs: the rows of a block, or two panels. */
// @ts-ignore: decorator
@inline
function threadBytes(k: usize): usize {
  return (max<usize>(6 * rowBytes(k), 2 * panelBytes(k)) + 63) & ~63;
}

/** Bytes of scratch that `linear` needs. */
export function linearScratch(precision: u32, tile: u32, rows: usize, k: usize): usize {
  return packedBytes(precision, tile, rows, k) + threads() * threadBytes(k);
}

/**
 * out: `rows` rows of `panels` panels of 8 floats; x: `rows` rows of k floats, readable to the next multiple of 4; w: panels
 * of `precision`; scale, shift: of the norm, or 0. Strides in bytes, multiples of 16 but not of 4096.
 */
export function linear(
  precision: u32,
  tile: u32,
  out: usize,
  outStride: usize,
  x: usize,
  xStride: usize,
  rows: usize,
  k: usize,
  w: usize,
  panels: usize,
  scale: usize,
  shift: usize,
  eps: f32,
  activation: u32,
  accumulate: bool,
  scratch: usize,
): void {
  const job = jobOf<LinearJob>();
  job.precision = precision;
  job.tile = tile;
  job.out = out;
  job.outStride = outStride;
  job.x = x;
  job.xStride = xStride;
  job.rows = rows;
  job.k = k;
  job.w = w;
  job.panels = panels;
  job.scale = scale;
  job.shift = shift;
  job.eps = eps;
  job.activation = activation;
  job.accumulate = accumulate;
  job.scratch = scratch;
  job.window = false;
  run(job);
}

/** Packs the job's rows and multiplies them. */
function run(job: LinearJob): void {
  const precision = job.precision;
  const tile = job.tile;
  const step = precision <= F16 ? tilePanels(tile) : integerTilePanels(tile);
  job.group = max(step, min(PANELS, job.panels / (threads() * TASKS)) / step * step);
  fork(packBlocks);
  fork(multiplyPanels);
}

/** Rows of a convolution that are packed at once: what stays in L2 while all panels are multiplied with it. */
// @ts-ignore: decorator
@inline
function convolvedRows(k: usize): usize {
  return max<usize>(48, min<usize>(ROWS, (384 << 10) / (k << 2) / 24 * 24));
}

/** Bytes of scratch that `convolve` needs. */
export function convolveScratch(precision: u32, tile: u32, k: usize): usize {
  return linearScratch(precision, tile, convolvedRows(k), k);
}

/**
 * A convolution is a product whose rows are windows of a feature map: they are gathered where a linear layer normalizes
 * (implicit im2col), a few hundred at a time, and otherwise the two are the same. x: images·height·width rows of `channels`
 * floats; out: images·outHeight·outWidth rows of panels; w: panels of kernel·kernel·channels inputs in the order (y, x,
 * channel). Windows are `stride` pixels apart, the first one `top` and `left` pixels outside, where there are zeros.
 */
export function convolve(
  precision: u32,
  tile: u32,
  out: usize,
  outStride: usize,
  x: usize,
  xStride: usize,
  rows: usize,
  channels: usize,
  w: usize,
  panels: usize,
  accumulate: bool,
  height: usize,
  width: usize,
  kernel: usize,
  stride: usize,
  top: usize,
  left: usize,
  outHeight: usize,
  outWidth: usize,
  scratch: usize,
): void {
  const job = jobOf<LinearJob>();
  job.precision = precision;
  job.tile = tile;
  job.outStride = outStride;
  job.x = x;
  job.xStride = xStride;
  job.k = kernel * kernel * channels;
  job.w = w;
  job.panels = panels;
  job.scale = 0;
  job.activation = 0;
  job.accumulate = accumulate;
  job.scratch = scratch;
  job.window = true;
  job.channels = channels;
  job.height = height;
  job.width = width;
  job.kernel = kernel;
  job.stride = stride;
  job.top = top;
  job.left = left;
  job.outHeight = outHeight;
  job.outWidth = outWidth;
  const step = convolvedRows(job.k);
  for (let first: usize = 0; first < rows; first += step) {
    job.first = first;
    job.out = out + first * outStride;
    job.rows = min(step, rows - first);
    run(job);
  }
}

/** The window of output pixel `row` as a row of k floats. */
function gather(to: usize, job: LinearJob, row: usize): void {
  const area = job.outHeight * job.outWidth;
  const map = job.x + (row / area) * job.height * job.width * job.xStride;
  const bytes = job.channels << 2;
  const top = <isize>(((row % area) / job.outWidth) * job.stride) - <isize>job.top;
  const left = <isize>((row % job.outWidth) * job.stride) - <isize>job.left;
  for (let ky: isize = 0; ky < <isize>job.kernel; ky++) {
    const y = top + ky;
    const line = map + <usize>y * job.width * job.xStride;
    const inside = y >= 0 && y < <isize>job.height;
    for (let kx: isize = 0; kx < <isize>job.kernel; kx++, to += bytes) {
      const x = left + kx;
      if (inside && x >= 0 && x < <isize>job.width) copyRow(to, line + <usize>x * job.xStride, bytes);
      else memory.fill(to, 0, bytes);
    }
  }
}

/** Exactly `bytes`, a multiple of 4. */
// @ts-ignore: decorator
@inline
function copyRow(to: usize, from: usize, bytes: usize): void {
  let i: usize = 0;
  for (const whole = bytes & ~15; i < whole; i += 16) v128.store(to + i, v128.load(from + i));
  for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(from + i));
}

function packBlocks(): void {
  const job = jobOf<LinearJob>();
  const tile = job.tile;
  const k = job.k;
  const stride = job.xStride;
  const height = blockRows(job.precision, tile);
  const bytes = blockBytes(job.precision, tile, k);
  const normalized = share(job.scratch + packedBytes(job.precision, tile, job.rows, k), threadBytes(k));
  for (let row = nextTask() * height; row < job.rows; row = nextTask() * height) {
    const rows = min(height, job.rows - row);
    let x = job.x + row * stride;
    let step = stride;
    if (job.window) {
      step = rowBytes(k);
      for (let i: usize = 0; i < rows; i++) gather(normalized + i * step, job, job.first + row + i);
      x = normalized;
    } else if (job.scale) {
      step = rowBytes(k);
      for (let i: usize = 0; i < rows; i++) {
        normalizeRow(normalized + i * step, x + i * stride, k, job.scale, job.shift, job.eps);
      }
      x = normalized;
    }
    const a = job.scratch + (row / height) * bytes;
    if (job.precision <= F16) packRows(height, a, x, step, rows, k);
    else quantizeBlock(tile, a, x, step, x + (rows - 1) * step, k);
  }
}

function multiplyPanels(): void {
  const job = jobOf<LinearJob>();
  const precision = job.precision;
  const tile = job.tile;
  const k = job.k;
  const stride = job.outStride;
  const bytes = blockBytes(precision, tile, k);
  const height = blockRows(precision, tile);
  const panel = weightPanelBytes(precision, k);
  const step = precision <= F16 ? tilePanels(tile) : integerTilePanels(tile);
  const widened = share(job.scratch + packedBytes(precision, tile, job.rows, k), threadBytes(k));
  const parts = (job.rows + ROWS - 1) / ROWS;
  const part = ((job.rows + parts - 1) / parts + height - 1) / height * height;
  for (let first = nextTask() * job.group; first < job.panels; first = nextTask() * job.group) {
    const last = min(first + job.group, job.panels);
    for (let row: usize = 0; row < job.rows; row += part) {
      const rows = min(part, job.rows - row);
      const a = job.scratch + (row / height) * bytes;
      for (let j = first; j < last; j += step) {
        const count = min(step, last - j);
        const c = job.out + row * stride + (j << 5);
        let b = job.w + j * panel;
        if (precision == F16) {
          for (let i: usize = 0; i < count; i++) widenPanel(widened + i * panelBytes(k), b + i * panel, k);
          b = widened;
        }
        if (precision <= F16) gemm(tile, c, stride, a, rows, k, b, count, job.accumulate);
        else integerGemm(tile, c, stride, a, rows, k, b, count, job.accumulate);
        if (job.activation) for (let i: usize = 0; i < count; i++) activate(job.activation, c + (i << 5), stride, rows);
      }
    }
  }
}

/** Panels of a weight, and their biases, times one factor for each output; factors: 8 for each panel. */
export function rescale(precision: u32, w: usize, k: usize, panels: usize, factors: usize): void {
  const bytes = weightPanelBytes(precision, k);
  for (; panels; panels--, w += bytes, factors += 32) {
    const f0 = v128.load(factors);
    const f1 = v128.load(factors, 16);
    // Biases, and the scales behind them; or rows of weights.
    const end = w + (precision == F32 ? bytes : precision == F16 ? 32 : 64);
    for (let p = w; p < end; p += 32) {
      v128.store(p, f32x4.mul(v128.load(p), f0));
      v128.store(p, f32x4.mul(v128.load(p, 16), f1), 16);
    }
    if (precision == F16) rescaleHalves(w + 32, k, f0, f1);
  }
}

// prettier-ignore
@unmanaged class StoreJob {
  precision: u32; w: usize; k: usize; row: usize; x: usize; rows: usize; scales: usize;
}

/** Rows of a task of `storeWeight`, a multiple of a panel's. */
const STORED: usize = 32;

/**
 * Rows `row` to `row` + `rows` - 1 of a weight into its panels at w; x: these rows of k floats, end to end, readable to
 * 16 bytes behind the last. scales: as in quantizeWeight.
 */
export function storeWeight(
  precision: u32,
  w: usize,
  k: usize,
  row: usize,
  x: usize,
  rows: usize,
  scales: usize,
): void {
  const job = jobOf<StoreJob>();
  job.precision = precision;
  job.w = w;
  job.k = k;
  job.row = row;
  job.x = x;
  job.rows = rows;
  job.scales = scales;
  fork(storeRows);
}

function storeRows(): void {
  const job = jobOf<StoreJob>();
  const k = job.k;
  const end = job.row + job.rows;
  // Tasks begin at multiples of STORED, so that no two threads write to one panel.
  const start = job.row / STORED * STORED;
  for (let at = start + nextTask() * STORED; at < end; at = start + nextTask() * STORED) {
    const row = max(at, job.row);
    const rows = min(at + STORED, end) - row;
    const x = job.x + (((row - job.row) * k) << 2);
    const scales = job.scales ? job.scales + ((row - job.row) << 2) : 0;
    if (job.precision == F32) packWeight(job.w, k, row, x, k << 2, rows);
    else if (job.precision == F16) packHalves(job.w, k, row, x, k << 2, rows);
    else quantizeWeight(job.w, k, row, x, k << 2, rows, scales);
  }
}
