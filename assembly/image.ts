// The two passes of Pillow's 8-bit resize (src/libImaging/Resample.c, ImagingResampleHorizontal_8bpc and
// ImagingResampleVertical_8bpc) on SIMD: each output is clip8((2^21 + sum of sample * coefficient) >> 22).
// Below them, the same of torchvision, and what comes before and after: RGB of RGBA, and the f32 of bytes.
//
// A coefficient k has 22 fraction bits and a sign, too many for the 16-bit dot product. It is split into
// k = 2^11 * high + low with low in [0, 2^11); both halves fit 16 bits, and since addition wraps modulo 2^32,
// 2^11 * (sum of sample * high) + (sum of sample * low) is the same 32-bit integer that Pillow adds up. Exact, no bound.
//
// The kernels own no layout and check nothing: src/image/resize.ts lays out memory and pads every row and tap list.
//
// The weights, too, are made here: encode_taps, with sum_taps before it. A tap of a bicubic resize takes 2.3 and 4.3 ns in the two
// (Intel Xeon, Node 20.20, others busy), of a bilinear one 1.5 and 3.1, of Lanczos' 17 and 20; in TypeScript, 19 for a bicubic one.
//
// Measured on a 500×375 photo to 331×248, of which 224×224 are kept (AMD EPYC, Node 24.21 and 20.20): horizontal pass
// 0.23 and 0.24 ms, vertical pass 0.07 and 0.07. Tried: four rows at a time, 0.23 and 0.27, as the sums do not fit into
// 16 registers; shuffle masks whose zeros have the top bit set, which lets V8 leave out an addition: no difference. Of the
// 4.7 ms from JPEG file to tensor, 3.4 are MozJPEG's, which is compiled without SIMD.

const FRACTION: i32 = 22;
const LOW: i32 = 11;
const HALF: i32 = 1 << (FRACTION - 1);

// Widens 4 packed pixels into two vectors of 16-bit sample pairs (pixels 0 and 1, pixels 2 and 3), one channel a pair.
// Index 16 and above makes a zero byte.
// @ts-ignore: decorator
@inline
function pairMask(channels: i32, second: bool): v128 {
  if (channels == 1) {
    if (second) return i8x16(2, 16, 3, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16);
    return i8x16(0, 16, 1, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16, 16);
  }
  if (channels == 3) {
    if (second) return i8x16(6, 16, 9, 16, 7, 16, 10, 16, 8, 16, 11, 16, 16, 16, 16, 16);
    return i8x16(0, 16, 3, 16, 1, 16, 4, 16, 2, 16, 5, 16, 16, 16, 16, 16);
  }
  if (second) return i8x16(8, 16, 12, 16, 9, 16, 13, 16, 10, 16, 14, 16, 11, 16, 15, 16);
  return i8x16(0, 16, 4, 16, 1, 16, 5, 16, 2, 16, 6, 16, 3, 16, 7, 16);
}

// @ts-ignore: decorator
@inline
function combine(high: v128, low: v128): v128 {
  return i32x4.add(i32x4.shl(high, LOW), low);
}

// @ts-ignore: decorator
@inline
function addDots(sum: v128, a: v128, ka: v128, b: v128, kb: v128): v128 {
  return i32x4.add(i32x4.add(sum, i32x4.dot_i16x8_s(a, ka)), i32x4.dot_i16x8_s(b, kb));
}

// @ts-ignore: decorator
@inline
function storePixel(out: usize, sum: v128, fraction: i32): void {
  const levels = i32x4.shr_s(sum, fraction);
  const words = i16x8.narrow_i32x4_s(levels, levels);
  v128.store32_lane(out, i8x16.narrow_i16x8_u(words, words), 0);
}

// @ts-ignore: decorator
@inline
function rows2(
  channels: i32,
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  coefficients: usize,
  width: i32,
): void {
  const mask0 = pairMask(channels, false);
  const mask1 = pairMask(channels, true);
  const half = i32x4.splat(HALF);
  for (let x = 0; x < width; x++) {
    let p = src + <usize>load<i32>(spans);
    const end = coefficients + (<usize>load<i32>(spans, 4) << 4);
    spans += 8;
    let high0 = i32x4.splat(0);
    let high1 = high0;
    let low0 = half;
    let low1 = half;
    while (coefficients < end) {
      const h0 = v128.load32_splat(coefficients);
      const h1 = v128.load32_splat(coefficients, 4);
      const l0 = v128.load32_splat(coefficients, 8);
      const l1 = v128.load32_splat(coefficients, 12);
      let pixels = v128.load(p);
      let a = i8x16.swizzle(pixels, mask0);
      let b = i8x16.swizzle(pixels, mask1);
      high0 = addDots(high0, a, h0, b, h1);
      low0 = addDots(low0, a, l0, b, l1);
      pixels = v128.load(p + srcStride);
      a = i8x16.swizzle(pixels, mask0);
      b = i8x16.swizzle(pixels, mask1);
      high1 = addDots(high1, a, h0, b, h1);
      low1 = addDots(low1, a, l0, b, l1);
      coefficients += 16;
      p += 4 * channels;
    }
    storePixel(out, combine(high0, low0), FRACTION);
    storePixel(out + outStride, combine(high1, low1), FRACTION);
    out += channels;
  }
}

// Filters, numbered as in src/image/taps.ts.
const BOX: i32 = 0;
const BILINEAR: i32 = 1;
const HAMMING: i32 = 2;
const BICUBIC: i32 = 3;
const LANCZOS: i32 = 4;

// @ts-ignore: decorator
@inline
function sinc(x: f64): f64 {
  if (x == 0) return 1;
  x *= Math.PI;
  return Math.sin(x) / x;
}

/** A filter's weight at x. Hamming's two constants are C floats in Pillow. */
// @ts-ignore: decorator
@inline
function weight(filter: i32, x: f64): f64 {
  if (filter == BOX) return x > -0.5 && x <= 0.5 ? 1 : 0;
  if (filter == BILINEAR) return max<f64>(0, 1 - abs(x));
  if (filter == HAMMING) {
    if (x == 0) return 1;
    if (abs(x) >= 1) return 0;
    return sinc(x) * (<f64>(<f32>0.54) + <f64>(<f32>0.46) * Math.cos(x * Math.PI));
  }
  if (filter == BICUBIC) {
    x = abs(x);
    const inner = (1.5 * x - 2.5) * x * x + 1;
    const outer = (((x - 5) * x + 8) * x - 4) * -0.5;
    return x < 1 ? inner : x < 2 ? outer : 0;
  }
  return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

/** Two weights, at the two numbers of x. */
// @ts-ignore: decorator
@inline
function weights(filter: i32, x: v128): v128 {
  const one = f64x2.splat(1);
  if (filter == BOX) {
    const isInside = v128.and(f64x2.gt(x, f64x2.splat(-0.5)), f64x2.le(x, f64x2.splat(0.5)));
    return v128.and(isInside, one);
  }
  if (filter == BILINEAR) return f64x2.max(f64x2.splat(0), f64x2.sub(one, f64x2.abs(x)));
  if (filter == BICUBIC) {
    const d = f64x2.abs(x);
    let inner = f64x2.sub(f64x2.mul(f64x2.splat(1.5), d), f64x2.splat(2.5));
    inner = f64x2.add(f64x2.mul(f64x2.mul(inner, d), d), one);
    let outer = f64x2.add(f64x2.mul(f64x2.sub(d, f64x2.splat(5)), d), f64x2.splat(8));
    outer = f64x2.mul(f64x2.sub(f64x2.mul(outer, d), f64x2.splat(4)), f64x2.splat(-0.5));
    return v128.bitselect(inner, v128.and(outer, f64x2.lt(d, f64x2.splat(2))), f64x2.lt(d, one));
  }
  const first = weight(filter, f64x2.extract_lane(x, 0));
  return f64x2.replace_lane(f64x2.splat(first), 1, weight(filter, f64x2.extract_lane(x, 1)));
}

// @ts-ignore: decorator
@inline
function sumOf(filter: i32, first: f64, count: i32, center: f64, inverse: f64, sum: f64): f64 {
  let i = 0;
  let at = f64x2.replace_lane(f64x2.splat(first), 1, first + 1);
  for (; i + 2 <= count; i += 2) {
    const x = f64x2.add(f64x2.sub(at, f64x2.splat(center)), f64x2.splat(0.5));
    const w = weights(filter, f64x2.mul(x, f64x2.splat(inverse)));
    sum += f64x2.extract_lane(w, 0);
    sum += f64x2.extract_lane(w, 1);
    at = f64x2.add(at, f64x2.splat(2));
  }
  return i < count ? sum + weight(filter, (first + <f64>i - center + 0.5) * inverse) : sum;
}

/**
 * sum + (the sum over i < count of weight((first + i - center + 0.5) * inverse)), added up in that order
 *
 * The weights of Pillow's precompute_coeffs, before they are divided by their sum.
 */
export function sum_taps(filter: i32, first: f64, count: i32, center: f64, inverse: f64, sum: f64): f64 {
  if (filter == BOX) return sumOf(BOX, first, count, center, inverse, sum);
  if (filter == BILINEAR) return sumOf(BILINEAR, first, count, center, inverse, sum);
  if (filter == HAMMING) return sumOf(HAMMING, first, count, center, inverse, sum);
  if (filter == BICUBIC) return sumOf(BICUBIC, first, count, center, inverse, sum);
  return sumOf(LANCZOS, first, count, center, inverse, sum);
}

// @ts-ignore: decorator
@inline
function encodeOf(
  filter: i32,
  group: i32,
  out: usize,
  first: f64,
  step: f64,
  count: i32,
  center: f64,
  inverse: f64,
  sum: f64,
): void {
  const low = <usize>group << 1;
  let at = f64x2.replace_lane(f64x2.splat(first), 1, first + step);
  for (let i = 0; i < count; i += group) {
    for (let j = 0; j < group; j += 2) {
      const x = f64x2.add(f64x2.sub(at, f64x2.splat(center)), f64x2.splat(0.5));
      let w = f64x2.div(weights(filter, f64x2.mul(x, f64x2.splat(inverse))), f64x2.splat(sum));
      if (i + j + 1 >= count) w = f64x2.replace_lane(i + j < count ? w : f64x2.splat(0), 1, 0);
      const half = v128.bitselect(w, f64x2.splat(0.5), i64x2.splat(i64.MIN_VALUE));
      w = f64x2.add(f64x2.mul(w, f64x2.splat(<f64>(1 << FRACTION))), half);
      const k = i32x4.trunc_sat_f64x2_s_zero(w);
      const halves = i16x8.narrow_i32x4_s(i32x4.shr_s(k, LOW), v128.and(k, i32x4.splat((1 << LOW) - 1)));
      v128.store32_lane(out, halves, 0);
      v128.store32_lane(out + low, halves, 2);
      out += 4;
      at = f64x2.add(at, f64x2.splat(2 * step));
    }
    out += low;
  }
}

/**
 * The weights at first, first + step, ... of which `sum` is the sum of all, as `group` halves high and as many low; the last
 * group is filled up with zeros
 *
 * Pillow's normalize_coeffs_8bpc: k = w / sum * 2^22, rounded half away from zero. `step` is -1 for a source that is
 * stored backwards. They are made anew wherever they are needed, since of a long side they may be many.
 */
export function encode_taps(
  filter: i32,
  group: i32,
  out: usize,
  first: f64,
  step: f64,
  count: i32,
  center: f64,
  inverse: f64,
  sum: f64,
): void {
  if (filter == BOX) encodeOf(BOX, group, out, first, step, count, center, inverse, sum);
  else if (filter == BILINEAR) encodeOf(BILINEAR, group, out, first, step, count, center, inverse, sum);
  else if (filter == HAMMING) encodeOf(HAMMING, group, out, first, step, count, center, inverse, sum);
  else if (filter == BICUBIC) encodeOf(BICUBIC, group, out, first, step, count, center, inverse, sum);
  else encodeOf(LANCZOS, group, out, first, step, count, center, inverse, sum);
}

/**
 * out[y, x, :] = clip8((2^21 + sum over i of src[y, first(x) + i, :] * k(x, i)) >> 22)
 *
 * src, out: rows of interleaved u8 pixels of 1, 3 or 4 channels; `rows` is even. Up to 15 bytes after the
 * last pixel of a span are read and times zero, 3 bytes after the last pixel of an out row are overwritten: both
 * must be slack. spans: per output pixel i32 byte offset of its first pixel, i32 number of groups of four taps.
 * coefficients: 16 bytes a group, i16 high 0..3 then i16 low 0..3. No alignment needed; out must not overlap src.
 */
export function resize_horizontal(
  channels: i32,
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  coefficients: usize,
  width: i32,
  rows: i32,
): void {
  for (let y = 0; y < rows; y += 2) {
    if (channels == 3) rows2(3, out, outStride, src, srcStride, spans, coefficients, width);
    else if (channels == 4) rows2(4, out, outStride, src, srcStride, spans, coefficients, width);
    else rows2(1, out, outStride, src, srcStride, spans, coefficients, width);
    out += outStride << 1;
    src += srcStride << 1;
  }
}

/**
 * out[y, j] = clip8((2^21 + sum over i of src[first(y) + i, j] * k(y, i)) >> 22) for every byte j of a row
 *
 * The sum may be added up in several calls, of some of its rows each: in between, it is kept as 32-bit integers.
 * src, out: rows of u8; `bytes` of a row are computed, rounded up to 16. spans: five i32 per output row: byte offset of its
 * first source row; number of pairs of taps; 1 if the sum begins; where it is kept (4 bytes for each of out's); where the row
 * goes if the sum ends, or 0. The second row of the last pair may be slack. coefficients: 8 bytes a pair, i16 high
 * 0, 1 then i16 low 0, 1. No alignment needed; out must not overlap src.
 */
export function resize_vertical(
  src: usize,
  srcStride: usize,
  spans: usize,
  coefficients: usize,
  bytes: i32,
  rows: i32,
): void {
  const zero = i32x4.splat(0);
  const half = i32x4.splat(HALF);
  for (let y = 0; y < rows; y++) {
    const first = src + <usize>load<i32>(spans);
    const end = coefficients + (<usize>load<i32>(spans, 4) << 3);
    const begins = load<i32>(spans, 8) != 0;
    const sums = load<usize>(spans, 12);
    const out = load<usize>(spans, 16);
    spans += 20;
    for (let j = 0; j < bytes; j += 16) {
      let high0 = zero;
      let high1 = zero;
      let high2 = zero;
      let high3 = zero;
      let low0 = half;
      let low1 = half;
      let low2 = half;
      let low3 = half;
      if (!begins) {
        const kept = sums + (j << 2);
        low0 = v128.load(kept);
        low1 = v128.load(kept, 16);
        low2 = v128.load(kept, 32);
        low3 = v128.load(kept, 48);
      }
      let p = first + j;
      for (let k = coefficients; k < end; k += 8) {
        const a = v128.load(p);
        const b = v128.load(p + srcStride);
        const h = v128.load32_splat(k);
        const l = v128.load32_splat(k, 4);
        const pairs0 = v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const pairs1 = v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        let pair = i16x8.extend_low_i8x16_u(pairs0);
        high0 = i32x4.add(high0, i32x4.dot_i16x8_s(pair, h));
        low0 = i32x4.add(low0, i32x4.dot_i16x8_s(pair, l));
        pair = i16x8.extend_high_i8x16_u(pairs0);
        high1 = i32x4.add(high1, i32x4.dot_i16x8_s(pair, h));
        low1 = i32x4.add(low1, i32x4.dot_i16x8_s(pair, l));
        pair = i16x8.extend_low_i8x16_u(pairs1);
        high2 = i32x4.add(high2, i32x4.dot_i16x8_s(pair, h));
        low2 = i32x4.add(low2, i32x4.dot_i16x8_s(pair, l));
        pair = i16x8.extend_high_i8x16_u(pairs1);
        high3 = i32x4.add(high3, i32x4.dot_i16x8_s(pair, h));
        low3 = i32x4.add(low3, i32x4.dot_i16x8_s(pair, l));
        p += srcStride << 1;
      }
      const sum0 = combine(high0, low0);
      const sum1 = combine(high1, low1);
      const sum2 = combine(high2, low2);
      const sum3 = combine(high3, low3);
      if (out) {
        const words0 = i16x8.narrow_i32x4_s(i32x4.shr_s(sum0, FRACTION), i32x4.shr_s(sum1, FRACTION));
        const words1 = i16x8.narrow_i32x4_s(i32x4.shr_s(sum2, FRACTION), i32x4.shr_s(sum3, FRACTION));
        v128.store(out + j, i8x16.narrow_i16x8_u(words0, words1));
      } else {
        const kept = sums + (j << 2);
        v128.store(kept, sum0);
        v128.store(kept, sum1, 16);
        v128.store(kept, sum2, 32);
        v128.store(kept, sum3, 48);
      }
    }
    coefficients = end;
  }
}

// ---- torchvision's resize (src/image/torchvision.ts lays out memory) ----
//
// Bytes have weights of 16 bits, so that one dot product does where Pillow's need two: the horizontal pass of 12 megapixels to
// 224 columns takes 15, 32 and 38 ms by bilinear, bicubic and Lanczos, Pillow's 24, 49 and 61 (Xeon, Node 20.20, one of two busy
// cores; the least of 15). f32 values have torch's order of operations, in which some are fused: their product is exact in f64,
// and the sum is rounded twice, which shows in about 1 of 2^29.

// @ts-ignore: decorator
@inline
function rows4(
  channels: i32,
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  weights: usize,
  weightStride: usize,
  precision: i32,
  width: i32,
): void {
  const mask0 = pairMask(channels, false);
  const mask1 = pairMask(channels, true);
  const half = i32x4.splat(1 << (precision - 1));
  for (let x = 0; x < width; x++) {
    let p = src + <usize>load<i32>(spans);
    const end = weights + (<usize>load<i32>(spans, 4) << 3);
    spans += 8;
    let sum0 = half;
    let sum1 = half;
    let sum2 = half;
    let sum3 = half;
    for (let k = weights; k < end; k += 8) {
      const k0 = v128.load32_splat(k);
      const k1 = v128.load32_splat(k, 4);
      let pixels = v128.load(p);
      sum0 = addDots(sum0, i8x16.swizzle(pixels, mask0), k0, i8x16.swizzle(pixels, mask1), k1);
      pixels = v128.load(p + srcStride);
      sum1 = addDots(sum1, i8x16.swizzle(pixels, mask0), k0, i8x16.swizzle(pixels, mask1), k1);
      pixels = v128.load(p + 2 * srcStride);
      sum2 = addDots(sum2, i8x16.swizzle(pixels, mask0), k0, i8x16.swizzle(pixels, mask1), k1);
      pixels = v128.load(p + 3 * srcStride);
      sum3 = addDots(sum3, i8x16.swizzle(pixels, mask0), k0, i8x16.swizzle(pixels, mask1), k1);
      p += 4 * channels;
    }
    weights += weightStride;
    storePixel(out, sum0, precision);
    storePixel(out + outStride, sum1, precision);
    storePixel(out + 2 * outStride, sum2, precision);
    storePixel(out + 3 * outStride, sum3, precision);
    out += channels;
  }
}

/**
 * out[y, x, :] = clip8((2^(precision-1) + sum over i of src[y, first(x) + i, :] * k(x, i)) >> precision)
 *
 * The weights are i16, so that one dot product does where Pillow's need two; the sum fits 32 bits, since they add up to
 * about 2^precision, of which none is above 2^15 (torch's upsample_avx_bilinear_bicubic_uint8).
 * src, out: rows of interleaved u8 pixels of 1, 3 or 4 channels; `rows` is a multiple of 4. Up to 15 bytes after the
 * last pixel of a span are read and times zero, 3 bytes after the last pixel of an out row are overwritten: both
 * must be slack. spans: per output pixel i32 byte offset of its first pixel, i32 number of groups of four taps.
 * weights: per output pixel `weightStride` bytes, 8 a group. No alignment needed; out must not overlap src.
 */
export function resize_horizontal_i16(
  channels: i32,
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  weights: usize,
  weightStride: usize,
  precision: i32,
  width: i32,
  rows: i32,
): void {
  for (let y = 0; y < rows; y += 4) {
    if (channels == 3) rows4(3, out, outStride, src, srcStride, spans, weights, weightStride, precision, width);
    else if (channels == 4) rows4(4, out, outStride, src, srcStride, spans, weights, weightStride, precision, width);
    else rows4(1, out, outStride, src, srcStride, spans, weights, weightStride, precision, width);
    out += outStride << 2;
    src += srcStride << 2;
  }
}

/**
 * out[y, j] = clip8((2^(precision-1) + sum over i of src[first(y) + i, j] * k(y, i)) >> precision) for every byte j of a row
 *
 * src, out: rows of u8, outStride a multiple of 16; `bytes` of a row are computed, rounded up to 16.
 * spans: per output row i32 byte offset of its first source row, i32 number of pairs of taps; the second row of the
 * last pair may be slack. weights: per output row `weightStride` bytes, 4 a pair. out must not overlap src.
 */
export function resize_vertical_i16(
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  weights: usize,
  weightStride: usize,
  precision: i32,
  bytes: i32,
  rows: i32,
): void {
  const half = i32x4.splat(1 << (precision - 1));
  for (let y = 0; y < rows; y++) {
    const first = src + <usize>load<i32>(spans);
    const end = weights + (<usize>load<i32>(spans, 4) << 2);
    spans += 8;
    for (let j = 0; j < bytes; j += 16) {
      let sum0 = half;
      let sum1 = half;
      let sum2 = half;
      let sum3 = half;
      let p = first + j;
      for (let k = weights; k < end; k += 4) {
        const a = v128.load(p);
        const b = v128.load(p + srcStride);
        const w = v128.load32_splat(k);
        const pairs0 = v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const pairs1 = v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        sum0 = i32x4.add(sum0, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(pairs0), w));
        sum1 = i32x4.add(sum1, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(pairs0), w));
        sum2 = i32x4.add(sum2, i32x4.dot_i16x8_s(i16x8.extend_low_i8x16_u(pairs1), w));
        sum3 = i32x4.add(sum3, i32x4.dot_i16x8_s(i16x8.extend_high_i8x16_u(pairs1), w));
        p += srcStride << 1;
      }
      sum0 = i32x4.shr_s(sum0, precision);
      sum1 = i32x4.shr_s(sum1, precision);
      sum2 = i32x4.shr_s(sum2, precision);
      sum3 = i32x4.shr_s(sum3, precision);
      const words0 = i16x8.narrow_i32x4_s(sum0, sum1);
      const words1 = i16x8.narrow_i32x4_s(sum2, sum3);
      v128.store(out + j, i8x16.narrow_i16x8_u(words0, words1));
    }
    weights += weightStride;
    out += outStride;
  }
}

// a * b + c as AVX2 fuses it.
// @ts-ignore: decorator
@inline
function fused(a: v128, b: v128, c: v128): v128 {
  const low = f64x2.add(
    f64x2.mul(f64x2.promote_low_f32x4(a), f64x2.promote_low_f32x4(b)),
    f64x2.promote_low_f32x4(c),
  );
  const high = f64x2.add(f64x2.mul(promoteHigh(a), promoteHigh(b)), promoteHigh(c));
  return v128.shuffle<i64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2);
}

// @ts-ignore: decorator
@inline
function promoteHigh(a: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i64>(a, a, 1, 1));
}

// The sum of an output's taps in the order of torch's AVX2 build: its compiler adds four products at a time without fusing
// after the first, and fuses those that are left over.
// @ts-ignore: decorator
@inline
function tapsSum(p: usize, step: usize, weights: usize, count: i32): v128 {
  const end = weights + (<usize>count << 2);
  const whole = weights + ((<usize>(count - 1) & ~3) << 2);
  let sum = f32x4.mul(v128.load(p), v128.load32_splat(weights));
  while (weights < whole) {
    weights += 4;
    p += step;
    sum = f32x4.add(sum, f32x4.mul(v128.load(p), v128.load32_splat(weights)));
  }
  for (weights += 4; weights < end; weights += 4) {
    p += step;
    sum = fused(v128.load(p), v128.load32_splat(weights), sum);
  }
  return sum;
}

/**
 * out[i] = src[i] * factor, as f32, for each of `count` bytes
 *
 * 16 are done at once: up to 15 bytes after src are read and 60 after out are overwritten. src may lie in the last quarter of out.
 */
export function values_of_bytes(out: usize, src: usize, factor: f32, count: i32): void {
  const scale = f32x4.splat(factor);
  for (const end = src + <usize>count; src < end; src += 16) {
    const bytes = v128.load(src);
    const low = i16x8.extend_low_i8x16_u(bytes);
    const high = i16x8.extend_high_i8x16_u(bytes);
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(low)), scale));
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(low)), scale), 16);
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(high)), scale), 32);
    v128.store(out, f32x4.mul(f32x4.convert_i32x4_u(i32x4.extend_high_i16x8_u(high)), scale), 48);
    out += 64;
  }
}

/**
 * out[y, x, :] = sum over i of src[y, first(x) + i, :] * k(x, i), every step rounded to f32
 *
 * src, out: rows of interleaved f32 pixels of at most 4 channels. Up to 12 bytes after the last pixel of a span are read, and
 * as many after the last pixel of an out row are overwritten: both must be slack. spans: per output pixel i32 byte
 * offset of its first pixel, i32 number of taps, at least 1. weights: per output pixel `weightStride` bytes, f32.
 */
export function resize_horizontal_f32(
  channels: i32,
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  weights: usize,
  weightStride: usize,
  width: i32,
  rows: i32,
): void {
  const step = <usize>channels << 2;
  for (let y = 0; y < rows; y++) {
    let to = out;
    let k = weights;
    for (let s = spans, end = spans + (<usize>width << 3); s < end; s += 8) {
      v128.store(to, tapsSum(src + <usize>load<i32>(s), step, k, load<i32>(s, 4)));
      to += step;
      k += weightStride;
    }
    out += outStride;
    src += srcStride;
  }
}

/**
 * out[y, j] = sum over i of src[first(y) + i, j] * k(y, i) for every f32 j of a row, every step rounded to f32
 *
 * `values` of a row are computed, rounded up to 4. spans: per output row i32 byte offset of its first source row, i32
 * number of taps, at least 1. weights: per output row `weightStride` bytes, f32.
 */
export function resize_vertical_f32(
  out: usize,
  outStride: usize,
  src: usize,
  srcStride: usize,
  spans: usize,
  weights: usize,
  weightStride: usize,
  values: i32,
  rows: i32,
): void {
  for (let y = 0; y < rows; y++) {
    const first = src + <usize>load<i32>(spans);
    const count = load<i32>(spans, 4);
    spans += 8;
    for (let j: usize = 0, end = <usize>values << 2; j < end; j += 16) {
      v128.store(out + j, tapsSum(first + j, srcStride, weights, count));
    }
    weights += weightStride;
    out += outStride;
  }
}

/**
 * out[i, :3] = sum over y, x of row(y)[at(i) + 12 x] * k(y, x), in this order, each step fused and rounded to f32: a blur of
 * `count` pixels of 3 f32 channels
 *
 * rows: per row of the kernel, i32 address. at: per pixel, i32 byte offset of the first pixel under the kernel. weights: f32
 * [height, width]. 4 bytes after the last pixel of a row are read and of out are overwritten: both must be slack.
 */
export function blur_f32(
  out: usize,
  rows: usize,
  at: usize,
  weights: usize,
  height: i32,
  width: i32,
  count: i32,
): void {
  const zero = f64x2.splat(0);
  const rowsEnd = rows + (<usize>height << 2);
  for (const end = at + (<usize>count << 2); at < end; at += 4) {
    const offset = <usize>load<i32>(at);
    let low = zero;
    let high = zero;
    let k = weights;
    for (let row = rows; row < rowsEnd; row += 4) {
      let p = <usize>load<i32>(row) + offset;
      for (const rowEnd = k + (<usize>width << 2); k < rowEnd; k += 4) {
        const weight = f64x2.promote_low_f32x4(v128.load32_splat(k));
        const pixel = v128.load(p);
        low = f64x2.add(f64x2.mul(f64x2.promote_low_f32x4(pixel), weight), low);
        high = f64x2.add(f64x2.mul(promoteHigh(pixel), weight), high);
        low = f64x2.promote_low_f32x4(f32x4.demote_f64x2_zero(low));
        high = f64x2.promote_low_f32x4(f32x4.demote_f64x2_zero(high));
        p += 12;
      }
    }
    v128.store(out, v128.shuffle<i64>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 2));
    out += 12;
  }
}

/**
 * out[i, :] = src[i, :3] for each of `pixels` RGBA pixels
 *
 * Four pixels are done at once: up to 12 bytes after src are read and up to 15 after out are overwritten.
 */
export function drop_alpha(out: usize, src: usize, pixels: i32): void {
  const rgb = i8x16(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 16, 16, 16);
  for (const end = src + (<usize>pixels << 2); src < end; src += 16) {
    v128.store(out, i8x16.swizzle(v128.load(src), rgb));
    out += 12;
  }
}

// Two pixels of RGBA in 16 bits: round((c * a + 255 * (255 - a)) / 255). The division is exact: the dividend plus 128 is at
// most 65,153.
// @ts-ignore: decorator
@inline
function onWhite(pixels: v128): v128 {
  const white = i16x8.splat(255);
  const alpha = v128.shuffle<u16>(pixels, pixels, 3, 3, 3, 3, 7, 7, 7, 7);
  const sum = i16x8.add(i16x8.mul(pixels, alpha), i16x8.mul(white, i16x8.sub(white, alpha)));
  const rounded = i16x8.add(sum, i16x8.splat(128));
  return i16x8.shr_u(i16x8.add(rounded, i16x8.shr_u(rounded, 8)), 8);
}

/**
 * out[i, c] = round((src[i, c] * src[i, 3] + 255 * (255 - src[i, 3])) / 255) for each of `pixels` RGBA pixels and c < 3:
 * Pillow's alpha_composite on opaque white
 *
 * Four pixels are done at once: up to 12 bytes after src are read and up to 15 after out are overwritten.
 */
export function lay_on_white(out: usize, src: usize, pixels: i32): void {
  const rgb = i8x16(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 16, 16, 16);
  for (const end = src + (<usize>pixels << 2); src < end; src += 16) {
    const rgba = v128.load(src);
    const low = onWhite(i16x8.extend_low_i8x16_u(rgba));
    const high = onWhite(i16x8.extend_high_i8x16_u(rgba));
    v128.store(out, i8x16.swizzle(i8x16.narrow_i16x8_u(low, high), rgb));
    out += 12;
  }
}

/**
 * out[c, i] = tables[c, src[i, c]]
 *
 * src: u8 [area, 3]; tables: f32 [3, 256]; out: f32 [3, area]. 150,528 values take 0.09 ms with the
 * copies into this memory and out of it; 0.19 in JavaScript (Node 24.21).
 */
export function pixel_values(out: usize, src: usize, tables: usize, area: i32): void {
  const plane = <usize>area << 2;
  for (const end = out + plane; out < end; out += 4) {
    store<f32>(out, load<f32>(tables + (<usize>load<u8>(src) << 2)));
    store<f32>(out + plane, load<f32>(tables + (<usize>load<u8>(src, 1) << 2), 1024));
    store<f32>(out + 2 * plane, load<f32>(tables + (<usize>load<u8>(src, 2) << 2), 2048));
    src += 3;
  }
}
