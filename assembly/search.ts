// Products of queries with all rows of a collection: scores[q, r] = Σ queries[q]·rows[r], in f32, of rows that
// src/collection/vectors.ts keeps in memory as they lie in the .npy files. Any width and any addresses: rows are not padded.
//
// Error: (width/4 + 6)·2^-24·Σ|q·r|, measured by tests/kernels/search.spec.ts: four sums of every fourth product. Candidates are
// scored again in f64, so that the bound decides only how many there are.
//
// One query reads each row once, four rows at a time, and takes the time of reading memory: these are touched first, a load a line, so
// that the loads are under way together (1.12 to 1.19 times as fast; widths of 192 to 768). Of several, four share what is read, and all
// take turns at rows that stay in L2 (64 queries of 512 numbers: 1.3 times as fast as with 2 MB of rows).
// Not `linear` (linear.ts), which would keep all rows a second time, packed in panels with biases.

import { sumOf, sumOfIntegers, touch } from "./math";

/** Most bytes of four rows that are brought into cache before they are multiplied. */
const TOUCHED: usize = 24 << 10;
/** Bytes of rows that stay in L2 while all queries are multiplied with them. */
const BLOCK: usize = 256 << 10;
/** Address that touching writes to: below the first byte that src/collection/vectors.ts uses. */
const SINK: usize = 64;

// @ts-ignore: decorator
@inline
function fma(sum: v128, a: v128, b: v128): v128 {
  return f32x4.add(sum, f32x4.mul(a, b));
}

/** Four rows and one query. */
// @ts-ignore: decorator
@inline
function rows4(scores: usize, q: usize, rows: usize, count: i32, width: i32): void {
  const stride = (<usize>width) << 2;
  const whole = width & ~3;
  for (let r = 0; r < count; r += 4) {
    // At the end the last row again, whose score is then written again.
    const last = count - 1;
    const r1 = min(r + 1, last);
    const r2 = min(r + 2, last);
    const r3 = min(r + 3, last);
    const a = rows + <usize>r * stride;
    const b = rows + <usize>r1 * stride;
    const c = rows + <usize>r2 * stride;
    const d = rows + <usize>r3 * stride;
    if (stride << 2 <= TOUCHED) touch(a, d + stride - a, SINK);
    let sa = f32x4.splat(0);
    let sb = f32x4.splat(0);
    let sc = f32x4.splat(0);
    let sd = f32x4.splat(0);
    for (let i = 0; i < whole; i += 4) {
      const x = v128.load(q + ((<usize>i) << 2));
      sa = fma(sa, v128.load(a + ((<usize>i) << 2)), x);
      sb = fma(sb, v128.load(b + ((<usize>i) << 2)), x);
      sc = fma(sc, v128.load(c + ((<usize>i) << 2)), x);
      sd = fma(sd, v128.load(d + ((<usize>i) << 2)), x);
    }
    let ta = sumOf(sa);
    let tb = sumOf(sb);
    let tc = sumOf(sc);
    let td = sumOf(sd);
    for (let i = whole; i < width; i++) {
      const x = load<f32>(q + ((<usize>i) << 2));
      ta += load<f32>(a + ((<usize>i) << 2)) * x;
      tb += load<f32>(b + ((<usize>i) << 2)) * x;
      tc += load<f32>(c + ((<usize>i) << 2)) * x;
      td += load<f32>(d + ((<usize>i) << 2)) * x;
    }
    store<f32>(scores + ((<usize>r) << 2), ta);
    store<f32>(scores + ((<usize>r1) << 2), tb);
    store<f32>(scores + ((<usize>r2) << 2), tc);
    store<f32>(scores + ((<usize>r3) << 2), td);
  }
}

/** Two rows and four queries, whose scores are `next` bytes apart. */
// @ts-ignore: decorator
@inline
function queries4(scores: usize, next: usize, q: usize, rows: usize, count: i32, width: i32): void {
  const line = (<usize>width) << 2;
  const whole = width & ~3;
  for (let r = 0; r < count; r += 2) {
    const r1 = min(r + 1, count - 1);
    const a = rows + <usize>r * line;
    const b = rows + <usize>r1 * line;
    let a0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let a2 = f32x4.splat(0);
    let a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let b2 = f32x4.splat(0);
    let b3 = f32x4.splat(0);
    for (let i = 0; i < whole; i += 4) {
      const x = v128.load(a + ((<usize>i) << 2));
      const y = v128.load(b + ((<usize>i) << 2));
      const at = q + ((<usize>i) << 2);
      const q0 = v128.load(at);
      a0 = fma(a0, x, q0);
      b0 = fma(b0, y, q0);
      const q1 = v128.load(at + line);
      a1 = fma(a1, x, q1);
      b1 = fma(b1, y, q1);
      const q2 = v128.load(at + 2 * line);
      a2 = fma(a2, x, q2);
      b2 = fma(b2, y, q2);
      const q3 = v128.load(at + 3 * line);
      a3 = fma(a3, x, q3);
      b3 = fma(b3, y, q3);
    }
    const sa = scores + ((<usize>r) << 2);
    const sb = scores + ((<usize>r1) << 2);
    store<f32>(sa, sumOf(a0));
    store<f32>(sa + next, sumOf(a1));
    store<f32>(sa + 2 * next, sumOf(a2));
    store<f32>(sa + 3 * next, sumOf(a3));
    if (r1 != r) {
      store<f32>(sb, sumOf(b0));
      store<f32>(sb + next, sumOf(b1));
      store<f32>(sb + 2 * next, sumOf(b2));
      store<f32>(sb + 3 * next, sumOf(b3));
    }
    for (let i = whole; i < width; i++) {
      for (let k: usize = 0; k < 4; k++) {
        const x = load<f32>(q + k * line + ((<usize>i) << 2));
        store<f32>(sa + k * next, load<f32>(sa + k * next) + load<f32>(a + ((<usize>i) << 2)) * x);
        if (r1 != r) store<f32>(sb + k * next, load<f32>(sb + k * next) + load<f32>(b + ((<usize>i) << 2)) * x);
      }
    }
  }
}

/** scores [batch, count], queries [batch, width], rows [count, width]; none of them overlap; count ≥ 1. */
export function scan_f32(scores: usize, queries: usize, batch: i32, rows: usize, count: i32, width: i32): void {
  const line = (<usize>width) << 2;
  const next = (<usize>count) << 2;
  const step = batch < 4 ? count : max(4, <i32>(BLOCK / line) & ~3);
  for (let r: i32 = 0; r < count; r += step) {
    const some = min(step, count - r);
    const x = rows + <usize>r * line;
    let out = scores + ((<usize>r) << 2);
    let query = queries;
    let q: i32 = 0;
    for (; q + 4 <= batch; q += 4, out += next << 2, query += line << 2) queries4(out, next, query, x, some, width);
    for (; q < batch; q++, out += next, query += line) rows4(out, query, x, some, width);
  }
}

// The same of rows of int8, whose direction counts: norms[r] is 1/|r|, and a query is integers of 16 bits times its scale. Sums of products
// are exact: the host chooses integers so small that they stay below 2^31. Error: that of rounding the query, scale/2·Σ|r|/|r|, and
// 2^-22·|score|. A row takes a quarter of the bytes, and its numbers the same instructions: 8 a step.

/** norms [count] of rows [count, width]; 0 for a row of zeros. */
export function norms_i8(norms: usize, rows: usize, count: i32, width: i32): void {
  for (let r = 0; r < count; r++, rows += <usize>width) {
    let sum: i32 = 0;
    for (let i = 0; i < width; i++) {
      const x = <i32>load<i8>(rows + <usize>i);
      sum += x * x;
    }
    store<f32>(norms + ((<usize>r) << 2), sum ? <f32>(1 / sqrt<f64>(<f64>sum)) : 0);
  }
}

/** Four rows of int8 and one query. */
// @ts-ignore: decorator
@inline
function integers4(scores: usize, query: usize, scale: f32, rows: usize, norms: usize, count: i32, width: i32): void {
  const whole = width & ~7;
  const last = count - 1;
  for (let r = 0; r < count; r += 4) {
    // At the end the last row again, as in rows4.
    const r1 = min(r + 1, last);
    const r2 = min(r + 2, last);
    const r3 = min(r + 3, last);
    const a = rows + <usize>r * width;
    const b = rows + <usize>r1 * width;
    const c = rows + <usize>r2 * width;
    const d = rows + <usize>r3 * width;
    let sa = i32x4.splat(0);
    let sb = i32x4.splat(0);
    let sc = i32x4.splat(0);
    let sd = i32x4.splat(0);
    for (let i = 0; i < whole; i += 8) {
      const x = v128.load(query + ((<usize>i) << 1));
      sa = i32x4.add(sa, i32x4.dot_i16x8_s(v128.load_ext<i8>(a + <usize>i), x));
      sb = i32x4.add(sb, i32x4.dot_i16x8_s(v128.load_ext<i8>(b + <usize>i), x));
      sc = i32x4.add(sc, i32x4.dot_i16x8_s(v128.load_ext<i8>(c + <usize>i), x));
      sd = i32x4.add(sd, i32x4.dot_i16x8_s(v128.load_ext<i8>(d + <usize>i), x));
    }
    let ta = sumOfIntegers(sa);
    let tb = sumOfIntegers(sb);
    let tc = sumOfIntegers(sc);
    let td = sumOfIntegers(sd);
    for (let i = whole; i < width; i++) {
      const x = <i32>load<i16>(query + ((<usize>i) << 1));
      ta += <i32>load<i8>(a + <usize>i) * x;
      tb += <i32>load<i8>(b + <usize>i) * x;
      tc += <i32>load<i8>(c + <usize>i) * x;
      td += <i32>load<i8>(d + <usize>i) * x;
    }
    store<f32>(scores + ((<usize>r) << 2), <f32>ta * load<f32>(norms + ((<usize>r) << 2)) * scale);
    store<f32>(scores + ((<usize>r1) << 2), <f32>tb * load<f32>(norms + ((<usize>r1) << 2)) * scale);
    store<f32>(scores + ((<usize>r2) << 2), <f32>tc * load<f32>(norms + ((<usize>r2) << 2)) * scale);
    store<f32>(scores + ((<usize>r3) << 2), <f32>td * load<f32>(norms + ((<usize>r3) << 2)) * scale);
  }
}

/** scores [batch, count], queries [batch, width] of i16, scales [batch], rows [count, width] of i8, norms [count]; count ≥ 1. */
export function scan_i8(
  scores: usize, queries: usize, scales: usize, batch: i32, rows: usize, norms: usize, count: i32, width: i32,
): void {
  const next = (<usize>count) << 2;
  const step = batch == 1 ? count : max(4, <i32>(BLOCK / width) & ~3);
  for (let r: i32 = 0; r < count; r += step) {
    const some = min(step, count - r);
    const x = rows + <usize>r * width;
    const n = norms + ((<usize>r) << 2);
    let out = scores + ((<usize>r) << 2);
    let query = queries;
    for (let q: i32 = 0; q < batch; q++, out += next, query += (<usize>width) << 1) {
      integers4(out, query, load<f32>(scales + ((<usize>q) << 2)), x, n, some, width);
    }
  }
}
