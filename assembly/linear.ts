// out = f(LN(x) Wᵀ + b), or out += …: eq. 2, 3 and 5 of Dosovitskiy et al. 2021. Rows are taken in parts that stay in L2, and so are
// their inputs where there are many, each part in two steps that all threads share.
//
// 1. Rows of x are normalized where asked for, and packed (gemm.ts) or quantized (int8.ts) into blocks. A row stays in L1
//    between the two.
// 2. Panels of W, a few to a task, are multiplied with all blocks; the activation runs on a panel while it is in cache.
// Threads write to different panels, and each element is summed in the same order, so that neither their number nor the
// batch changes a bit of the result.
//
// Panels come from memory, each once in a pass. What a tile loads while it multiplies is a line at a time, and waits for each; so
// panels are touched first, a load a line with nothing between them, which are under way together. (Widening does so for f16.)
// 192 or 50 rows to 768 to 3072 outputs, weights that were in no cache: 1.04 to 1.48 times as fast, weights in cache as fast.
//
// Many inputs in parts of 768: 197 rows of 3072 stay in L2 with 240 others, where there had been 48 rows and panels that leave L1, which
// came from memory five times. 197 or 50 rows of 3072 or 4096 inputs: 1.05 to 1.12 times as fast, with 256-bit vectors 1.08 to 1.16,
// the same bits. Parts of 384, 512 and 1024: as fast, or up to 0.05 slower.
//
// Tried before: touching 64 KB at once (panels of 3072 inputs leave L1 again), every eighth line or one of each page, with the
// rest left to the processor (a whole ViT-B 1.04 times as slow), or the lines of the next panel from within the tile (no gain, and
// a loss with 256-bit vectors); parts of 240 rows whatever k is, 2.9 MB of 3072 inputs (4,096 rows to 768 outputs at 34 GFLOP/s in
// place of 40, 192 rows at 37 in place of 43), and all rows packed before any is multiplied (4,096 rows of 256 inputs to 128
// outputs at 25 in place of 40, and 50 MB of scratch for SAM's 4,096 tokens).
import { activate } from "./activations.gen";
import { gemmPart, packRows, packWeight, panelBytes, tilePanels, tileRows } from "./gemm";
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
import { touch } from "./math";
import { Flag, fork, nextTask, share, threads } from "./threads";

/** Precisions as src/backends/wasm/tile.ts numbers them. */
const F32: u32 = 0;
const F16: u32 = 1;

/** Tasks for each thread at least, so that none waits long for the last. */
const TASKS: usize = 6;
/** Most rows that are packed at once, and most bytes of them. */
const ROWS: usize = 240;
const PACKED: usize = 768 << 10;
/** Most inputs that are multiplied at once where rows are not normalized, a multiple of gemm.ts's KC. */
const INPUTS: usize = 768;
/** Bytes of panels that are brought into cache at once, where one panel has less. */
const TOUCHED: usize = 24 << 10;

/** A product: what `linear` and `convolve` have in common. Strides in bytes, multiples of 16 but not of 4096. */
@unmanaged
class ProductJob {
  /** The weight's, and a number of tiles.js for it. */
  precision: u32; tile: u32;
  /** `rows` rows of `panels` panels of 8 floats. */
  out: usize; outStride: usize; rows: usize; panels: usize;
  x: usize; xStride: usize;
  /** Panels of k inputs. */
  w: usize; k: usize;
  /** A number of activations.js, or 0. */
  activation: u32;
  /** linearScratch bytes. */
  scratch: usize;
  /** Adds to out. */
  accumulate: Flag;
}

/** x: `rows` rows of k floats, readable to the next multiple of 4. */
@unmanaged
export class LinearJob extends ProductJob {
  /** The norm, k floats each, or 0: none; shift 0: RMSNorm. */
  scale: usize; shift: usize;
  eps: f32;
}

/**
 * A convolution is a product whose rows are windows of a feature map: they are gathered where a linear layer normalizes
 * (implicit im2col), a few hundred at a time, and otherwise the two are the same. x: images·height·width rows of `channels`
 * floats; out: images·outHeight·outWidth rows; k = kernel·kernel·channels inputs in the order (y, x, channel).
 */
@unmanaged
export class ConvolveJob extends ProductJob {
  channels: usize; height: usize; width: usize; outHeight: usize; outWidth: usize;
  /** Windows are `stride` pixels apart, the first one `top` and `left` pixels outside, where there are zeros. */
  kernel: usize; stride: usize; top: usize; left: usize;
  /** Reads max(x, 0) in the place of x. */
  relu: Flag;
}

/** The inputs that are multiplied at once: `inputs` of k from the one of number `start` on. */
@unmanaged
class LinearPart extends LinearJob {
  start: usize; inputs: usize;
}

/** The same, and the rows that are multiplied at once: out and `rows` are theirs, `first` is the number of the first. */
@unmanaged
class ConvolvePart extends ConvolveJob {
  first: usize; start: usize; inputs: usize;
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

/**
 * Rows that are packed at once, in parts of about the same size: they stay in L2 while all panels are multiplied with them. A
 * multiple of all tiles' rows.
 */
// @ts-ignore: decorator
@inline
function rowsAtOnce(precision: u32, rows: usize, k: usize): usize {
  // Panels of f16 are widened for each part, so that these are as large as they may be.
  const fitting = precision == F16 ? ROWS : PACKED / (precision == F32 ? k << 2 : k);
  const most = max<usize>(48, min(ROWS, fitting) / 24 * 24);
  const parts = (rows + most - 1) / most;
  return ((rows + parts - 1) / parts + 23) / 24 * 24;
}

/**
 * Inputs that are multiplied at once, in parts of about the same size: then more rows stay in L2, and weights come from memory for all
 * of them once. A multiple of `channels`, those of one pixel of a window (1: of a row), and of KC = 128 if they are not all. Rows of
 * integers are a quarter as long, and have one scale.
 */
// @ts-ignore: decorator
@inline
function inputsAtOnce(precision: u32, k: usize, channels: usize): usize {
  if (precision > F16) return k;
  const unit = channels << max<isize>(0, 7 - <isize>ctz(channels));
  const parts = (k + INPUTS - 1) / INPUTS;
  return min(k, ((k + parts - 1) / parts + unit - 1) / unit * unit);
}

/** Bytes of scratch that `linear` (channels: 1) and `convolve` need. */
export function linearScratch(precision: u32, tile: u32, rows: usize, k: usize, channels: usize): usize {
  const inputs = inputsAtOnce(precision, k, channels);
  const whole = packedBytes(precision, tile, rowsAtOnce(precision, rows, k), k);
  const part = packedBytes(precision, tile, rowsAtOnce(precision, rows, inputs), inputs);
  return max(whole, part) + threads() * threadBytes(k);
}

/** This thread's memory behind the packed rows of so many inputs. */
// @ts-ignore: decorator
@inline
function threadScratch(job: ProductJob, inputs: usize): usize {
  return share(job.scratch + packedBytes(job.precision, job.tile, job.rows, inputs), threadBytes(job.k));
}

export function linear(job: LinearJob): void {
  const part = changetype<LinearPart>(job);
  const rows = job.rows;
  const k = job.k;
  // A norm is one of whole rows.
  const inputs = job.scale ? k : inputsAtOnce(job.precision, k, 1);
  const step = rowsAtOnce(job.precision, rows, inputs);
  for (let row: usize = 0; row < rows; row += step, job.x += step * job.xStride, job.out += step * job.outStride) {
    job.rows = min(step, rows - row);
    for (part.start = 0; part.start < k; part.start += inputs) {
      part.inputs = min(inputs, k - part.start);
      fork(part, packBlocks);
      fork(part, multiplyInputs);
    }
  }
}

export function convolve(job: ConvolveJob): void {
  const part = changetype<ConvolvePart>(job);
  const rows = job.rows;
  const k = job.k;
  const inputs = inputsAtOnce(job.precision, k, job.channels);
  const step = rowsAtOnce(job.precision, rows, inputs);
  for (part.first = 0; part.first < rows; part.first += step, part.out += step * part.outStride) {
    part.rows = min(step, rows - part.first);
    for (part.start = 0; part.start < k; part.start += inputs) {
      part.inputs = min(inputs, k - part.start);
      fork(part, gatherBlocks);
      fork(part, multiplyWindows);
    }
  }
}

/** Pixels of the window of output pixel `row`: those whose inputs are `start` to `start` + `inputs` - 1. */
function gather(to: usize, job: ConvolvePart, row: usize): void {
  const area = job.outHeight * job.outWidth;
  const map = job.x + (row / area) * job.height * job.width * job.xStride;
  const bytes = job.channels << 2;
  const top = <isize>(((row % area) / job.outWidth) * job.stride) - <isize>job.top;
  const left = <isize>((row % job.outWidth) * job.stride) - <isize>job.left;
  const kernel = <isize>job.kernel;
  const first = <isize>(job.start / job.channels);
  let pixels = <isize>(job.inputs / job.channels);
  let kx = first % kernel;
  for (let ky = first / kernel; pixels; ky++, kx = 0) {
    const y = top + ky;
    const line = map + <usize>y * job.width * job.xStride;
    const inside = y >= 0 && y < <isize>job.height;
    const stop = min(kernel, kx + pixels);
    pixels -= stop - kx;
    for (; kx < stop; kx++, to += bytes) {
      const x = left + kx;
      if (!inside || x < 0 || x >= <isize>job.width) memory.fill(to, 0, bytes);
      else if (job.relu) copyPositive(to, line + <usize>x * job.xStride, bytes);
      else copyRow(to, line + <usize>x * job.xStride, bytes);
    }
  }
}

/** max(x, 0) of the floats of `bytes` bytes. */
// @ts-ignore: decorator
@inline
function copyPositive(to: usize, from: usize, bytes: usize): void {
  const zero = f32x4.splat(0);
  let i: usize = 0;
  for (const whole = bytes & ~15; i < whole; i += 16) v128.store(to + i, f32x4.pmax(zero, v128.load(from + i)));
  for (; i < bytes; i += 4) store<f32>(to + i, max<f32>(load<f32>(from + i), 0));
}

/** Exactly `bytes`, a multiple of 4. */
// @ts-ignore: decorator
@inline
export function copyRow(to: usize, from: usize, bytes: usize): void {
  let i: usize = 0;
  for (const whole = bytes & ~15; i < whole; i += 16) v128.store(to + i, v128.load(from + i));
  for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(from + i));
}

function packBlocks(job: LinearPart): void {
  const k = job.inputs;
  const stride = job.xStride;
  const height = blockRows(job.precision, job.tile);
  const normalized = threadScratch(job, k);
  for (let row = nextTask() * height; row < job.rows; row = nextTask() * height) {
    const rows = min(height, job.rows - row);
    const x = job.x + row * stride + (job.start << 2);
    if (job.scale) {
      for (let i: usize = 0; i < rows; i++) {
        normalizeRow(normalized + i * rowBytes(k), x + i * stride, k, job.scale, job.shift, job.eps);
      }
      packBlock(job, k, row, rows, normalized, rowBytes(k));
    } else {
      packBlock(job, k, row, rows, x, stride);
    }
  }
}

function gatherBlocks(job: ConvolvePart): void {
  const k = job.inputs;
  const step = rowBytes(k);
  const height = blockRows(job.precision, job.tile);
  const gathered = threadScratch(job, k);
  for (let row = nextTask() * height; row < job.rows; row = nextTask() * height) {
    const rows = min(height, job.rows - row);
    for (let i: usize = 0; i < rows; i++) gather(gathered + i * step, job, job.first + row + i);
    packBlock(job, k, row, rows, gathered, step);
  }
}

/** `rows` rows of k inputs, `stride` bytes apart, as the block of rows from `row` on. */
function packBlock(job: ProductJob, k: usize, row: usize, rows: usize, x: usize, stride: usize): void {
  const precision = job.precision;
  const tile = job.tile;
  const height = blockRows(precision, tile);
  const a = job.scratch + (row / height) * blockBytes(precision, tile, k);
  if (precision <= F16) packRows(height, a, x, stride, rows, k);
  else quantizeBlock(tile, a, x, stride, x + (rows - 1) * stride, k);
}

function multiplyInputs(job: LinearPart): void {
  multiply(job, job.start, job.inputs);
}

function multiplyWindows(job: ConvolvePart): void {
  multiply(job, job.start, job.inputs);
}

/** The product of inputs `start` to `start` + k - 1. */
function multiply(job: ProductJob, start: usize, k: usize): void {
  const precision = job.precision;
  const tile = job.tile;
  const stride = job.outStride;
  const isFirst = start == 0;
  const activation = start + k == job.k ? job.activation : 0;
  const accumulate = job.accumulate != 0 || !isFirst;
  const rows = job.rows;
  const panel = weightPanelBytes(precision, job.k);
  // Bytes of a panel's inputs that are multiplied.
  const bytes = weightPanelBytes(precision, k);
  const from = start << (precision == F32 ? 5 : 4);
  const step = precision <= F16 ? tilePanels(tile) : integerTilePanels(tile);
  const group = max(step, job.panels / (threads() * TASKS) / step * step);
  const scratch = threadScratch(job, k);
  const ahead = max(step, TOUCHED / bytes / step * step);
  for (let first = nextTask() * group; first < job.panels; first = nextTask() * group) {
    const last = min(first + group, job.panels);
    for (let j = first; j < last; j += step) {
      const count = min(step, last - j);
      const c = job.out + (j << 5);
      const b = job.w + j * panel + from;
      if (precision != F16 && (j - first) % ahead == 0) {
        for (let i: usize = 0, n = min(ahead, last - j); i < n; i++) touch(b + i * panel, bytes, scratch);
      }
      if (precision == F32) {
        gemmPart(tile, c, stride, job.scratch, rows, k, b, count, panel, isFirst, accumulate);
      } else if (precision == F16) {
        for (let i: usize = 0; i < count; i++) widenPanel(scratch + i * panelBytes(k), b + i * panel, k);
        gemmPart(tile, c, stride, job.scratch, rows, k, scratch, count, panelBytes(k), isFirst, accumulate);
      } else {
        integerGemm(tile, c, stride, job.scratch, rows, k, b, count, accumulate);
      }
      if (activation) for (let i: usize = 0; i < count; i++) activate(activation, c + (i << 5), stride, rows);
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

/**
 * Rows `row` to `row` + `rows` - 1 of a weight into its panels at w; x: these rows of k floats, end to end, readable to
 * 16 bytes behind the last. scales: as in quantizeWeight.
 */
@unmanaged
export class StoreWeightJob {
  precision: u32; w: usize; k: usize; row: usize; x: usize; rows: usize; scales: usize;
}

/**
 * Rows of a matrix as the panels of an f32 weight without a bias, for products of two matrices. x: `rows` rows of k floats,
 * xStride bytes apart, readable to the next multiple of 4.
 */
@unmanaged
export class PackPanelsJob {
  w: usize; k: usize; x: usize; xStride: usize; rows: usize;
}

export function packPanels(job: PackPanelsJob): void {
  fork(job, packPanelRows);
}

/** A task is a panel; outputs behind the last are zeros. */
function packPanelRows(job: PackPanelsJob): void {
  const k = job.k;
  const bytes = panelBytes(k);
  const panels = (job.rows + 7) >> 3;
  for (let panel = nextTask(); panel < panels; panel = nextTask()) {
    const to = job.w + panel * bytes;
    const rows = min<usize>(8, job.rows - (panel << 3));
    memory.fill(to, 0, rows == 8 ? 32 : bytes);
    packWeight(to, k, 0, job.x + (panel << 3) * job.xStride, job.xStride, rows);
  }
}

/** Rows of a task of `storeWeight`, a multiple of a panel's. */
const STORED: usize = 32;

export function storeWeight(job: StoreWeightJob): void {
  fork(job, storeRows);
}

function storeRows(job: StoreWeightJob): void {
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
