// Scaled dot-product attention (Vaswani et al. 2017, eq. 1; Dosovitskiy et al. 2021, eq. 5 to 7): softmax(Q Kᵀ/√d) V for
// every head.
//
// A few heads at a time, of one image or of several that are small, in two steps that all threads share. First the keys and
// values are packed as the B of two GEMMs: K as a weight [tokens, d], V as the transpose of one [d, tokens]; a task is one
// head's K or V. Then a task is 24 rows of a head's queries (a multiple of all tiles): S = Q Kᵀ with log2(e)/√d in the packed
// Q, softmax in base 2, O = P V, and 1/sum while O is copied to its columns. Keys behind the last are masked by their bias,
// -1e30. The values' columns behind d are 0.
//
// Of more than KEYS keys a task takes one part after the other, so that scores and what is packed of them stay in cache: a row has
// a running maximum, and O and the sum are scaled when it grows (Milakov & Gimelshein 2018; Dao et al. 2022, algorithm 1). Parts
// are of about the same size, and one part is the plain formula, to the bit. Heads of 64 run at 78 to 80 % of the multiply-add peak
// at 197, 1,370 and 4,097 tokens: softmax and its packing take a tenth, the rest is the beginning and the end of tiles.
//
// With `integers` both products are of integers (int8.ts): a query's row in 8 bits, a key's in 7; the powers of two times 255 in 8
// bits, rounded, and a column of values, less its mean, in 7, each of a part's keys. The sum is that of the powers before they are
// rounded, and the mean is added to O: what many small powers lose by rounding to 0 is then weight of the mean.
//
// Decomposed relative positions (Li et al. 2022, eq. 4) are two short rows of products a query, with the 2·height-1 and
// 2·width-1 rows of the tables, of which its place selects `height` and `width` that are added to its row of scores line by line.
// A bias of the same would be heads·tokens·tokens floats, 805 MB for the 4,096 tokens of SAM. The tables are packed as a third B,
// backwards, so that the products of keys beside each other are so as well: twice the products that are needed, but by the tile,
// where one sum for each that is needed took a fifth of the time of windows of 14 × 14, and a tenth of 64 × 64's.
// Error: that of the GEMMs and softmax.ts; of products with the tables 2·2^-24·Σ|q·r| more, as √d goes in and out.
import { gemm, packRows, packWeight, panelBytes, tileRows } from "./gemm";
import {
  columnMeans,
  integerBlockBytes,
  integerGemm,
  integerPanelBytes,
  integerTileRows,
  quantizeBlock,
  quantizeColumns,
  quantizedExponential,
  quantizeExponentials,
  quantizeWeight,
} from "./int8";
import { constant } from "./math";
import { exponentials, largest, shrink } from "./softmax";
import { Flag, fork, nextTask, share, threads } from "./threads";

const ROWS: usize = 24;
/**
 * Keys of a part, at most, unless whole rows of probabilities are asked for. Whole rows of 4,097 took 1.06 times as long, with 256 bits
 * 1.18 times (2 MB of L2); rows of 1,370 as long, and parts of 320 keys 1 to 2 % longer.
 */
const KEYS: usize = 640;
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

/** Keys of each part but the last: all, or pairs of panels. */
function partKeys(tokens: usize, whole: bool): usize {
  if (whole || tokens <= KEYS) return tokens;
  const parts = (tokens + KEYS - 1) / KEYS;
  return ((tokens + parts - 1) / parts + 15) & ~15;
}

/** Room for a panel of k floats, or of as many integers. */
// @ts-ignore: decorator
@inline
function panelRoom(k: usize): usize {
  return panelBytes(k) + 32;
}

/** Bytes of one head's keys, and of its values: part by part, and their means. */
// @ts-ignore: decorator
@inline
function keyBytes(tokens: usize, d: usize): usize {
  return panels(tokens) * panelRoom(d);
}

// @ts-ignore: decorator
@inline
function valueBytes(tokens: usize, part: usize, d: usize): usize {
  return (tokens + part - 1) / part * panels(d) * panelRoom(part) + (panels(d) << 5);
}

/** Room for a row of k floats in a block, or of as many integers. */
// @ts-ignore: decorator
@inline
function packedBytes(k: usize): usize {
  return (k << 2) + 16;
}

/** Working memory of one thread, for parts of so many keys: packed queries, packed probabilities, scores, outputs. */
// @ts-ignore: decorator
@inline
function threadBytes(part: usize, d: usize): usize {
  return ROWS * (packedBytes(d) + packedBytes(part) + rowBytes(part) + rowBytes(d));
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
function headsAtOnce(tokens: usize, part: usize, heads: usize, d: usize): usize {
  return min(heads, max(threads(), PACKED / (keyBytes(tokens, d) + valueBytes(tokens, part, d))));
}

/**
 * Bytes of scratch that `attention` needs, for so many heads of all images together; height and width: of the grid that decomposed
 * positions are of, or 0; whole: with probabilities.
 */
export function attentionScratch(
  tokens: usize,
  heads: usize,
  d: usize,
  height: usize,
  width: usize,
  whole: bool,
): usize {
  const part = partKeys(tokens, whole);
  const packed = headsAtOnce(tokens, part, heads, d) * (keyBytes(tokens, d) + valueBytes(tokens, part, d));
  const each = threadBytes(part, d) + positionBytes(height, width);
  return packed + tableBytes(height, width, d) + threads() * each;
}

/** Strides in bytes; matrices are readable to the next multiple of 4 floats. */
@unmanaged
export class AttentionJob {
  /** A number of gemm.ts, and one of int8.ts. */
  tile: u32; integerTile: u32;
  /** Multiplies integers. */
  integers: Flag;
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

/** With the heads that are packed, `count` from `first` on, counted through all images, and the keys of a part. */
@unmanaged
class Part extends AttentionJob {
  first: usize; count: usize; keys: usize;
}

export function attention(job: AttentionJob): void {
  const part = changetype<Part>(job);
  const heads = job.images * job.heads;
  part.keys = partKeys(job.tokens, job.probabilities != 0);
  const most = headsAtOnce(job.tokens, part.keys, heads, job.d);
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
  const part = job.keys;
  const values = job.scratch + job.count * keyBytes(tokens, d);
  const tables = values + job.count * valueBytes(tokens, part, d);
  for (let task = nextTask(); task <= 2 * job.count; task = nextTask()) {
    const h = task >> 1;
    if (h == job.count) {
      if (job.down) packTables(tables, job);
      continue;
    }
    const row = (job.first + h) / job.heads * tokens;
    const column = ((job.first + h) % job.heads * d) << 2;
    if (task & 1) {
      let to = values + h * valueBytes(tokens, part, d);
      let from = job.v + row * job.vStride + column;
      const means = to + valueBytes(tokens, part, d) - (panels(d) << 5);
      if (job.integers) columnMeans(means, from, job.vStride, tokens, d);
      for (let first: usize = 0; first < tokens; first += part) {
        const count = min(part, tokens - first);
        if (job.integers) quantizeColumns(to, from, job.vStride, count, d, means);
        else packValues(to, from, job.vStride, count, d);
        to += panels(d) * panelRoom(part);
        from += part * job.vStride;
      }
    } else {
      const to = job.scratch + h * keyBytes(tokens, d);
      const from = job.k + row * job.kStride + column;
      if (job.integers) quantizeKeys(to, from, job.kStride, tokens, d);
      else packKeys(to, from, job.kStride, tokens, d);
    }
  }
}

function attend(job: Part): void {
  const tile = job.tile;
  const height = tileRows(tile);
  const integers = job.integers != 0;
  const integerTile = job.integerTile;
  const integerHeight = integerTileRows(integerTile);
  const queries = job.queries;
  const tokens = job.tokens;
  const d = job.d;
  const part = job.keys;
  const scale = <f32>(LOG2E / sqrt<f64>(d));
  const allKeys = job.scratch;
  const allValues = allKeys + job.count * keyBytes(tokens, d);
  const tables = allValues + job.count * valueBytes(tokens, part, d);
  const each = threadBytes(part, d) + positionBytes(job.height, job.width);
  const packed = share(tables + tableBytes(job.height, job.width, d), each);
  const packedScores = packed + ROWS * packedBytes(d);
  const scores = packedScores + ROWS * packedBytes(part);
  const scoreStride = rowBytes(part);
  const result = scores + ROWS * scoreStride;
  const resultStride = rowBytes(d);
  const down = result + ROWS * resultStride;
  const downPanels = panels(tableRows(job.height));
  const downStride = rowBytes(tableRows(job.height));
  const across = down + ROWS * downStride;
  const acrossStride = rowBytes(tableRows(job.width));
  const keyPanel = integers ? integerPanelBytes(d) : panelBytes(d);
  const blocks = (queries + ROWS - 1) / ROWS;

  for (let task = nextTask(); task < job.count * blocks; task = nextTask()) {
    const packedHead = task / blocks;
    let keys = allKeys + packedHead * keyBytes(tokens, d);
    let values = allValues + packedHead * valueBytes(tokens, part, d);
    const means = values + valueBytes(tokens, part, d) - (panels(d) << 5);
    const image = (job.first + packedHead) / job.heads;
    const h = (job.first + packedHead) % job.heads;
    const row = (task % blocks) * ROWS;
    const rows = min(ROWS, queries - row);
    const bias = job.bias + kindBytes(job, image) + h * job.biasHead + row * job.biasStride;
    const q = job.q + image * job.qImage + row * job.qStride + ((h * d) << 2);
    if (!integers || job.down) {
      packRows(height, packed, q, job.qStride, rows, d);
      const whole = (rows + height - 1) / height * height * d;
      scaleInto(packed, packed, whole, scale);
    }
    if (job.down) {
      gemm(tile, down, downStride, packed, rows, d, tables, downPanels, false);
      const columns = tables + downPanels * panelBytes(d);
      gemm(tile, across, acrossStride, packed, rows, d, columns, panels(tableRows(job.width)), false);
    }
    if (integers) quantizeQueries(integerTile, packed, q, job.qStride, rows, d, scale);
    for (let first: usize = 0; first < tokens; first += part) {
      const count = min(part, tokens - first);
      if (integers) integerGemm(integerTile, scores, scoreStride, packed, rows, d, keys, panels(count), false);
      else gemm(tile, scores, scoreStride, packed, rows, d, keys, panels(count), false);
      const blockBytes = integers ? integerBlockBytes(integerTile, count) : 0;
      for (let i: usize = 0; i < rows; i++) {
        const s = scores + i * scoreStride;
        if (job.down) {
          const y = (row + i) / job.width;
          const x = row + i - y * job.width;
          const lines = down + i * downStride + ((job.height - 1 - y) << 2);
          const places = across + i * acrossStride + ((job.width - 1 - x) << 2);
          addPositions(s, lines, places, job.width, first, count);
        }
        if (job.bias) addBias(s, bias + i * job.biasStride + (first << 2), count);
        // The row's spare 64 bytes keep its sum and its maximum.
        const spare = s + scoreStride - 64;
        const found = largest(s, panels(count) << 3);
        const most = first ? raise(spare, found, result + i * resultStride, d) : found;
        let sum: f32 = first ? load<f32>(spare) : 0;
        if (integers) {
          const block = packedScores + i / integerHeight * blockBytes;
          sum += quantizeExponentials(integerTile, block, i % integerHeight, s, count, most);
          // Rows that fill up the last block repeat its last one.
          for (let to = i + 1; i == rows - 1 && to % integerHeight; to++) {
            quantizeExponentials(integerTile, block, to % integerHeight, s, count, most);
          }
        } else {
          sum += exponentials(s, panels(count) << 3, most);
        }
        store<f32>(spare, sum);
        store<f32>(spare, most, 4);
      }
      if (integers) {
        integerGemm(integerTile, result, resultStride, packedScores, rows, count, values, panels(d), first != 0);
      } else {
        packRows(height, packedScores, scores, scoreStride, rows, count);
        gemm(tile, result, resultStride, packedScores, rows, count, values, panels(d), first != 0);
      }
      keys += panels(part) * keyPanel;
      values += panels(d) * panelRoom(part);
    }
    for (let i: usize = 0; i < rows; i++) {
      const s = scores + i * scoreStride;
      const r = <f32>1 / load<f32>(s + scoreStride - 64);
      const out = image * queries + row + i;
      const to = job.out + out * job.outStride + ((h * d) << 2);
      scaleInto(to, result + i * resultStride, d, r);
      if (integers) addInto(to, means, d);
      if (job.probabilities) {
        if (integers) {
          const block = packedScores + i / integerHeight * integerBlockBytes(integerTile, tokens);
          for (let key: usize = 0; key < tokens; key++) {
            store<f32>(s + (key << 2), quantizedExponential(integerTile, block, i % integerHeight, key));
          }
        }
        const map = (image * job.heads + h) * queries + row + i;
        scaleInto(job.probabilities + map * job.probabilityStride, s, tokens, r);
      }
    }
  }
}

/** The larger of a row's maximum so far and `found`; its sum and its O, of d floats, become what they are under that. */
function raise(spare: usize, found: f32, result: usize, d: usize): f32 {
  const before = load<f32>(spare, 4);
  if (found <= before) return before;
  const r = shrink(before, found);
  store<f32>(spare, load<f32>(spare) * r);
  scaleInto(result, result, d, r);
  return found;
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

/** s += lines[v] + places[u] for the keys (v, u), `count` from `first` on. */
function addPositions(s: usize, lines: usize, places: usize, width: usize, first: usize, count: usize): void {
  let u = first % width;
  lines += first / width << 2;
  while (count) {
    const run = min(width - u, count);
    const line = load<f32>(lines);
    const line4 = f32x4.splat(line);
    let from = places + (u << 2);
    const end = from + (run << 2);
    for (const whole = from + ((run & ~3) << 2); from < whole; from += 16, s += 16) {
      v128.store(s, f32x4.add(v128.load(s), f32x4.add(line4, v128.load(from))));
    }
    for (; from < end; from += 4, s += 4) store<f32>(s, load<f32>(s) + (line + load<f32>(from)));
    count -= run;
    lines += 4;
    u = 0;
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

/** Blocks of `rows` rows of d floats, which give scores times `scale`. */
function quantizeQueries(tile: u32, a: usize, q: usize, stride: usize, rows: usize, d: usize, scale: f32): void {
  const height = integerTileRows(tile);
  const last = q + (rows - 1) * stride;
  for (; q <= last; q += height * stride, a += integerBlockBytes(tile, d)) {
    quantizeBlock(tile, a, q, stride, last, d);
    scaleInto(a, a, height, scale);
  }
}

/** As packKeys, quantized as a weight is. */
function quantizeKeys(b: usize, k: usize, stride: usize, tokens: usize, d: usize): void {
  const bytes = integerPanelBytes(d);
  const last = b + (panels(tokens) - 1) * bytes;
  for (let panel = b; panel < last; panel += bytes) memory.fill(panel, 0, 32);
  memory.fill(last, 0, bytes);
  const pad = tokens & 7;
  if (pad) for (let i = pad; i < 8; i++) store<f32>(last + (i << 2), -1e30);
  quantizeWeight(b, d, 0, k, stride, tokens, 0);
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

/** out += x, exactly `count` floats. */
// @ts-ignore: decorator
@inline
function addInto(out: usize, x: usize, count: usize): void {
  const whole = (count & ~3) << 2;
  let i: usize = 0;
  for (; i < whole; i += 16) v128.store(out + i, f32x4.add(v128.load(out + i), v128.load(x + i)));
  for (; i < (count) << 2; i += 4) store<f32>(out + i, load<f32>(out + i) + load<f32>(x + i));
}
