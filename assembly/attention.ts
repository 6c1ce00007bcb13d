// Scaled dot-product attention (Vaswani et al. 2017, eq. 1; Dosovitskiy et al. 2021, eq. 5 to 7): softmax(Q Kᵀ/√d) V for
// every head.
//
// A few heads at a time, of one image or of several that are small, in two steps that all threads share. First the keys and values are packed as the B of two
// GEMMs: K as a weight [tokens, d], V as the transpose of one [d, tokens]; a task is one head's K or V. Then a task is 24
// rows of a head's queries (a multiple of all tiles; 24 full rows of scores fit L1 or L2): S = Q Kᵀ with log2(e)/√d in
// the packed Q, softmax in base 2, O = P V, and 1/sum while O is copied to its columns. Full rows of scores need no running maximum (FlashAttention's), which costs more
// than it saves while a row fits the cache. Keys behind the last are masked by their bias, -1e30. The values' columns
// behind d are 0.
//
// Decomposed relative positions (Li et al. 2022, eq. 4) are two short rows of products a query, with the 2·height-1 and
// 2·width-1 rows of the tables, of which its place selects `height` and `width` that are added to its row of scores line by line.
// A bias of the same would be heads·tokens·tokens floats, 805 MB for the 4,096 tokens of SAM. The tables are packed as a third B,
// backwards, so that the products of keys beside each other are so as well: twice the products that are needed, but by the tile,
// where one sum for each that is needed took a fifth of the time of windows of 14 × 14, and a tenth of 64 × 64's.
// Error: that of the GEMMs and softmax.ts; of products with the tables 2·2^-24·Σ|q·r| more, as √d goes in and out.
import { gemm, packRows, packWeight, panelBytes, tileRows } from "./gemm";
import { constant } from "./math";
import { softmax } from "./softmax";
import { fork, nextTask, share, threads } from "./threads";

const ROWS: usize = 24;
const LOG2E: f64 = 1.4426950408889634;
const LOG2E_TABLE: usize = memory.data<f32>([1.4426950408889634]);

// @ts-ignore: decorator
@inline
function panels(n: usize): usize {
  return (n + 7) >> 3;
}

// Strides of scores and outputs: whole panels and 64 bytes, so that rows do not share cache sets.
// @ts-ignore: decorator
@inline
function rowBytes(n: usize): usize {
  return (panels(n) << 5) + 64;
}

/** Bytes of one head's keys, and of its values. */
// @ts-ignore: decorator
@inline
function keyBytes(tokens: usize, d: usize): usize {
  return panels(tokens) * panelBytes(d);
}

// @ts-ignore: decorator
@inline
function valueBytes(tokens: usize, d: usize): usize {
  return panels(d) * panelBytes(tokens);
}

/** Working memory of one thread: packed queries or probabilities, scores, outputs. */
// @ts-ignore: decorator
@inline
function threadBytes(tokens: usize, d: usize): usize {
  return ROWS * ((max(tokens, d) << 2) + rowBytes(tokens) + rowBytes(d));
}

/** Rows of a table of decomposed positions for sides of `n`, 0 for none. */
// @ts-ignore: decorator
@inline
function tableRows(n: usize): usize {
  return n ? 2 * n - 1 : 0;
}

/** Bytes of both tables as panels. */
// @ts-ignore: decorator
@inline
function tableBytes(height: usize, width: usize, d: usize): usize {
  return (panels(tableRows(height)) + panels(tableRows(width))) * panelBytes(d);
}

/** Bytes of the products of a task's queries with both. */
// @ts-ignore: decorator
@inline
function positionBytes(height: usize, width: usize): usize {
  return height ? ROWS * (rowBytes(tableRows(height)) + rowBytes(tableRows(width))) : 0;
}

/** Bytes of packed keys and values that stay in L2 beside the rest. */
const PACKED: usize = 512 << 10;

/** Heads that are packed at once, of all images together: as many as fit L2, and enough for all threads. */
// @ts-ignore: decorator
@inline
function headsAtOnce(tokens: usize, heads: usize, d: usize): usize {
  return min(heads, max(threads(), PACKED / (keyBytes(tokens, d) + valueBytes(tokens, d))));
}

/**
 * Bytes of scratch that `attention` needs, for so many heads of all images together; height and width: of the grid that decomposed
 * positions are of, or 0.
 */
export function attentionScratch(tokens: usize, heads: usize, d: usize, height: usize, width: usize): usize {
  const packed = headsAtOnce(tokens, heads, d) * (keyBytes(tokens, d) + valueBytes(tokens, d));
  const each = threadBytes(tokens, d) + positionBytes(height, width);
  return packed + tableBytes(height, width, d) + threads() * each;
}

/** Strides in bytes; matrices are readable to the next multiple of 4 floats. */
@unmanaged
export class AttentionJob {
  /** A number of gemm.ts. */
  tile: u32;
  images: usize; queries: usize; tokens: usize; heads: usize; d: usize;
  /** images·queries rows of heads·d floats, a head's columns together. */
  out: usize; outStride: usize;
  /** `queries` such rows, qImage bytes from one image's to the next's, or 0. q, k and v may lie in one matrix, [q | k | v]. */
  q: usize; qStride: usize; qImage: usize;
  /** images·tokens such rows. */
  k: usize; kStride: usize;
  v: usize; vStride: usize;
  /** 0, or images·heads·queries rows of `tokens` floats to be written. */
  probabilities: usize; probabilityStride: usize;
  /** 0, or `queries` rows of `tokens` floats that are added to the scores. -∞ becomes a weight of 2^-126. */
  bias: usize; biasStride: usize;
  /** Bytes from the bias of one head to the next's, or 0. */
  biasHead: usize;
  /** Bytes from the bias of one kind of windows to the next's, or 0; images are down × across windows of a map. */
  biasKind: usize; windowsDown: usize; windowsAcross: usize;
  /** 0, or the tables of decomposed positions of height·width queries and keys: 2·height-1 and 2·width-1 rows of d floats. */
  down: usize; downStride: usize; height: usize;
  across: usize; acrossStride: usize; width: usize;
  /** attentionScratch bytes. */
  scratch: usize;
}

/** With the heads that are packed, `count` from `first` on, counted through all images. */
@unmanaged
class Part extends AttentionJob {
  first: usize; count: usize;
}

export function attention(job: AttentionJob): void {
  const part = changetype<Part>(job);
  const heads = job.images * job.heads;
  const most = headsAtOnce(job.tokens, heads, job.d);
  for (part.first = 0; part.first < heads; part.first += most) {
    part.count = min(most, heads - part.first);
    fork(part, packHeads);
    fork(part, attend);
  }
}

/** Bytes from the first bias to that of an image, whose window is at the end of a line (kind 1), of a column (2), or of both. */
// @ts-ignore: decorator
@inline
function kindBytes(job: Part, image: usize): usize {
  if (!job.biasKind) return 0;
  const column = image % job.windowsAcross == job.windowsAcross - 1;
  const line = (image / job.windowsAcross) % job.windowsDown == job.windowsDown - 1;
  return job.biasKind * (usize(column) + (usize(line) << 1));
}

function packHeads(job: Part): void {
  const tokens = job.tokens;
  const d = job.d;
  const values = job.scratch + job.count * keyBytes(tokens, d);
  const tables = values + job.count * valueBytes(tokens, d);
  for (let task = nextTask(); task <= 2 * job.count; task = nextTask()) {
    const h = task >> 1;
    if (h == job.count) {
      if (job.down) packTables(tables, job);
      continue;
    }
    const row = (job.first + h) / job.heads * tokens;
    const column = ((job.first + h) % job.heads * d) << 2;
    if (task & 1) packValues(values + h * valueBytes(tokens, d), job.v + row * job.vStride + column, job.vStride, tokens, d);
    else packKeys(job.scratch + h * keyBytes(tokens, d), job.k + row * job.kStride + column, job.kStride, tokens, d);
  }
}

function attend(job: Part): void {
  const tile = job.tile;
  const height = tileRows(tile);
  const queries = job.queries;
  const tokens = job.tokens;
  const d = job.d;
  const scale = <f32>(LOG2E / sqrt<f64>(d));
  const allKeys = job.scratch;
  const allValues = allKeys + job.count * keyBytes(tokens, d);
  const tables = allValues + job.count * valueBytes(tokens, d);
  const each = threadBytes(tokens, d) + positionBytes(job.height, job.width);
  const packed = share(tables + tableBytes(job.height, job.width, d), each);
  const scores = packed + ROWS * (max(tokens, d) << 2);
  const result = scores + ROWS * rowBytes(tokens);
  const down = result + ROWS * rowBytes(d);
  const downPanels = panels(tableRows(job.height));
  const across = down + ROWS * rowBytes(tableRows(job.height));
  const blocks = (queries + ROWS - 1) / ROWS;

  for (let task = nextTask(); task < job.count * blocks; task = nextTask()) {
    const packedHead = task / blocks;
    const keys = allKeys + packedHead * keyBytes(tokens, d);
    const values = allValues + packedHead * valueBytes(tokens, d);
    const image = (job.first + packedHead) / job.heads;
    const h = (job.first + packedHead) % job.heads;
    const row = (task % blocks) * ROWS;
    const rows = min(ROWS, queries - row);
    const bias = job.bias + kindBytes(job, image) + h * job.biasHead + row * job.biasStride;
    const q = job.q + image * job.qImage + row * job.qStride + ((h * d) << 2);
    packRows(height, packed, q, job.qStride, rows, d);
    const whole = (rows + height - 1) / height * height * d;
    scaleInto(packed, packed, whole, scale);
    gemm(tile, scores, rowBytes(tokens), packed, rows, d, keys, panels(tokens), false);
    if (job.down) {
      const downStride = rowBytes(tableRows(job.height));
      const acrossStride = rowBytes(tableRows(job.width));
      gemm(tile, down, downStride, packed, rows, d, tables, downPanels, false);
      const columns = tables + downPanels * panelBytes(d);
      gemm(tile, across, acrossStride, packed, rows, d, columns, panels(tableRows(job.width)), false);
      for (let i: usize = 0; i < rows; i++) {
        const y = (row + i) / job.width;
        const x = row + i - y * job.width;
        const lines = down + i * downStride + ((job.height - 1 - y) << 2);
        const places = across + i * acrossStride + ((job.width - 1 - x) << 2);
        addPositions(scores + i * rowBytes(tokens), lines, places, job.height, job.width);
      }
    }
    for (let i: usize = 0; i < rows; i++) {
      const s = scores + i * rowBytes(tokens);
      if (job.bias) addBias(s, bias + i * job.biasStride, tokens);
      // The sum is kept in the row's spare 64 bytes.
      store<f32>(s + rowBytes(tokens) - 64, softmax(s, panels(tokens) << 3));
    }
    packRows(height, packed, scores, rowBytes(tokens), rows, tokens);
    gemm(tile, result, rowBytes(d), packed, rows, tokens, values, panels(d), false);
    for (let i: usize = 0; i < rows; i++) {
      const s = scores + i * rowBytes(tokens);
      const r = <f32>1 / load<f32>(s + rowBytes(tokens) - 64);
      const out = image * queries + row + i;
      scaleInto(job.out + out * job.outStride + ((h * d) << 2), result + i * rowBytes(d), d, r);
      if (job.probabilities) {
        const map = (image * job.heads + h) * queries + row + i;
        scaleInto(job.probabilities + map * job.probabilityStride, s, tokens, r);
      }
    }
  }
}

/** s += bias·log2(e), as scores are in base 2; columns behind the last keep their mask. */
function addBias(s: usize, bias: usize, tokens: usize): void {
  const log2e = constant(LOG2E_TABLE, 0);
  let i: usize = 0;
  for (const whole = (tokens & ~3) << 2; i < whole; i += 16) {
    v128.store(s + i, f32x4.add(v128.load(s + i), f32x4.mul(v128.load(bias + i), log2e)));
  }
  for (; i < tokens << 2; i += 4) store<f32>(s + i, load<f32>(s + i) + load<f32>(bias + i) * <f32>LOG2E);
}

/** s += lines[v] + places[u] for the keys (v, u). */
function addPositions(s: usize, lines: usize, places: usize, height: usize, width: usize): void {
  const whole = (width & ~3) << 2;
  const bytes = width << 2;
  for (const end = lines + (height << 2); lines < end; lines += 4, s += bytes) {
    const line = load<f32>(lines);
    const line4 = f32x4.splat(line);
    let u: usize = 0;
    for (; u < whole; u += 16) {
      v128.store(s + u, f32x4.add(v128.load(s + u), f32x4.add(line4, v128.load(places + u))));
    }
    for (; u < bytes; u += 4) store<f32>(s + u, load<f32>(s + u) + (line + load<f32>(places + u)));
  }
}

/** The tables' rows from the last to the first, times √d, by which queries are divided. */
function packTables(b: usize, job: Part): void {
  const down = panels(tableRows(job.height)) * panelBytes(job.d);
  packTable(b, job.down, job.downStride, tableRows(job.height), job.d);
  packTable(b + down, job.across, job.acrossStride, tableRows(job.width), job.d);
}

function packTable(b: usize, table: usize, stride: usize, rows: usize, d: usize): void {
  const bytes = panels(rows) * panelBytes(d);
  memory.fill(b, 0, bytes);
  packWeight(b, d, 0, table + (rows - 1) * stride, 0 - stride, rows);
  scaleInto(b, b, bytes >> 2, <f32>sqrt<f64>(d));
}

/** k: `tokens` rows of d floats, as panels without bias but for the masks behind the last. */
function packKeys(b: usize, k: usize, stride: usize, tokens: usize, d: usize): void {
  const last = b + (panels(tokens) - 1) * panelBytes(d);
  for (let panel = b; panel < last; panel += panelBytes(d)) memory.fill(panel, 0, 32);
  memory.fill(last, 0, panelBytes(d));
  const pad = tokens & 7;
  if (pad) for (let i = pad; i < 8; i++) store<f32>(last + (i << 2), -1e30);
  packWeight(b, d, 0, k, stride, tokens);
}

/** v: `tokens` rows of d floats, as the panels of their transpose. */
function packValues(b: usize, v: usize, stride: usize, tokens: usize, d: usize): void {
  for (let j: usize = 0; j < d; j += 8, b += panelBytes(tokens), v += 32) {
    memory.fill(b, 0, j + 8 <= d ? 32 : panelBytes(tokens));
    let to = b + 32;
    let from = v;
    if (j + 8 <= d) {
      for (let t = tokens; t; t--, to += 32, from += stride) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
      }
    } else {
      for (let t = tokens; t; t--, to += 32, from += stride) memory.copy(to, from, (d - j) << 2);
    }
  }
}

/** out = x·r, exactly `count` floats. */
// @ts-ignore: decorator
@inline
function scaleInto(out: usize, x: usize, count: usize, r: f32): void {
  const r4 = f32x4.splat(r);
  const whole = (count & ~3) << 2;
  let i: usize = 0;
  for (; i < whole; i += 16) v128.store(out + i, f32x4.mul(v128.load(x + i), r4));
  for (; i < (count) << 2; i += 4) store<f32>(out + i, load<f32>(x + i) * r);
}
