// What the places of tokens add to attention: rotary positions (Su et al. 2021, eq. 34) and biases of offsets, Swin's (Liu et al.
// 2021) and BEiT's (Bao et al. 2021). Both are done once for each block, in a pass of their own: less than 1 % of it.
import { Flag, fork, nextTask } from "./threads";

/**
 * x[i]·cos[i] + x[j]·sin[i] in place, for the queries and keys of rows [q | k | v]: j is i xor 1, or with `halves` i ± d/2.
 * Strides in bytes.
 */
@unmanaged
export class RopeJob {
  /** `rows` rows of queries, keys and values, heads·d floats each; d is even. */
  x: usize; stride: usize; rows: usize; heads: usize; d: usize;
  /** `tokens` rows, repeated, of d floats, or with `own` of heads·d. */
  cos: usize; sin: usize; tableStride: usize; tokens: usize;
  own: Flag; halves: Flag;
}

/** Rows of a task. */
const ROWS: usize = 8;

export function rope(job: RopeJob): void {
  fork(job, ropeRows);
}

function ropeRows(job: RopeJob): void {
  const d = job.d << 2;
  const step = job.own ? d : 0;
  for (let row = nextTask() * ROWS; row < job.rows; row = nextTask() * ROWS) {
    const end = min(row + ROWS, job.rows);
    for (; row < end; row++) {
      const table = (row % job.tokens) * job.tableStride;
      let x = job.x + row * job.stride;
      for (let part = 0; part < 2; part++) {
        let cos = job.cos + table;
        let sin = job.sin + table;
        for (let h = job.heads; h; h--, x += d, cos += step, sin += step) {
          if (job.halves) turnHalves(x, cos, sin, d);
          else turnInterleaved(x, cos, sin, d);
        }
      }
    }
  }
}

/** d in bytes. */
// @ts-ignore: decorator
@inline
function turnInterleaved(x: usize, cos: usize, sin: usize, d: usize): void {
  let i: usize = 0;
  for (const whole = d & ~15; i < whole; i += 16) {
    const v = v128.load(x + i);
    const swapped = v128.shuffle<i32>(v, v, 1, 0, 3, 2);
    v128.store(x + i, f32x4.add(f32x4.mul(v, v128.load(cos + i)), f32x4.mul(swapped, v128.load(sin + i))));
  }
  if (i < d) turnPair(x + i, x + i + 4, cos + i, cos + i + 4, sin + i, sin + i + 4);
}

// @ts-ignore: decorator
@inline
function turnHalves(x: usize, cos: usize, sin: usize, d: usize): void {
  const half = d >> 1;
  let i: usize = 0;
  for (const whole = half & ~15; i < whole; i += 16) {
    const a = v128.load(x + i);
    const b = v128.load(x + half + i);
    v128.store(x + i, f32x4.add(f32x4.mul(a, v128.load(cos + i)), f32x4.mul(b, v128.load(sin + i))));
    v128.store(
      x + half + i,
      f32x4.add(f32x4.mul(b, v128.load(cos + half + i)), f32x4.mul(a, v128.load(sin + half + i))),
    );
  }
  for (; i < half; i += 4) turnPair(x + i, x + half + i, cos + i, cos + half + i, sin + i, sin + half + i);
}

// @ts-ignore: decorator
@inline
function turnPair(x: usize, y: usize, cosX: usize, cosY: usize, sinX: usize, sinY: usize): void {
  const a = load<f32>(x);
  const b = load<f32>(y);
  store<f32>(x, a * load<f32>(cosX) + b * load<f32>(sinX));
  store<f32>(y, b * load<f32>(cosY) + a * load<f32>(sinY));
}

/** An element of out is the table's at the offset of query and key. Strides in bytes. */
@unmanaged
export class RelativePositionsJob {
  /** kinds·heads·tokens rows of tokens floats, tokens = first + height·width. */
  out: usize; outStride: usize;
  /** (2·height-1)(2·width-1) rows of `heads` floats, and 3 more of a class token. */
  table: usize; tableStride: usize;
  heads: usize; height: usize; width: usize;
  /** 1 with a class token, or 0. */
  first: usize;
  /** 1, or 4: in kinds 1 and 3 columns from `right` on are apart from those before, in 2 and 3 lines from `lower` on. */
  kinds: usize; lower: usize; right: usize; penalty: f32;
}

export function relativePositions(job: RelativePositionsJob): void {
  fork(job, biasRows);
}

/** A task is the rows of one head, of windows of one kind. */
function biasRows(job: RelativePositionsJob): void {
  const stride = job.tableStride;
  const height = job.height;
  const width = job.width;
  const line = (2 * width - 1) * stride;
  const tokens = height * width + job.first;
  for (let task = nextTask(); task < job.kinds * job.heads; task = nextTask()) {
    const kind = task / job.heads;
    const lower = kind & 2 ? job.lower : height;
    const right = kind & 1 ? job.right : width;
    const table = job.table + ((task % job.heads) << 2);
    const classToken = table + line * (2 * height - 1);
    let out = job.out + task * tokens * job.outStride;
    if (job.first) {
      store<f32>(out, load<f32>(classToken + 2 * stride));
      const toAny = load<f32>(classToken);
      for (let k: usize = 1; k < tokens; k++) store<f32>(out + (k << 2), toAny);
      out += job.outStride;
    }
    for (let y: usize = 0; y < height; y++) {
      for (let x: usize = 0; x < width; x++, out += job.outStride) {
        let to = out;
        if (job.first) {
          store<f32>(to, load<f32>(classToken + stride));
          to += 4;
        }
        let row = table + (y + height - 1) * line + (x + width - 1) * stride;
        for (let v: usize = 0; v < height; v++, row -= line) {
          const lines = y >= lower != v >= lower;
          let from = row;
          for (let u: usize = 0; u < width; u++, to += 4, from -= stride) {
            const apart = lines || x >= right != u >= right;
            store<f32>(to, load<f32>(from) + (apart ? job.penalty : 0));
          }
        }
      }
    }
  }
}
