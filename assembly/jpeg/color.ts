// Colors of samples (JFIF 1.02, §5 of Adobe's TN 5116, and Pillow's CMYK to RGB): a row of 16 pixels at a time, of
// which up to 15 too many are read and written.
//
// YCbCr, with Cb and Cr less 128, in 16 fraction bits as libjpeg:
//
//     R = Y + ((91881 Cr + 2^15) >> 16)    B = Y + ((116130 Cb + 2^15) >> 16)
//     G = Y + ((-22554 Cb - 46802 Cr + 2^15) >> 16)                                each clamped to 0 … 255
//
// On 16-bit lanes, with q(x, k) = (k x + 2^14) >> 15: R = Y + Cr + q(Cr, 13173), B = Y + 2 Cb + q(Cb, -7471), and G =
// Y - Cr + ((-22554 Cb + 18734 Cr + 2^15) >> 16), the same for all of 2^16 pairs. Exact, no bound.
//
// CMYK, inverted as Adobe writes it: R = d(C K), G = d(M K), B = d(Y K) with d(t) = t / 255, rounded: u = t + 128,
// ((u >> 8) + u) >> 8.

export namespace Color {
  export const GRAY: i32 = 0;
  export const RGB: i32 = 1;
  export const YCC: i32 = 2;
  export const CMYK: i32 = 3;
  export const YCCK: i32 = 4;
}

/**
 * Pixels of three planes, side by side: as four bytes each, of which the last is dropped; 4 bytes after them are
 * overwritten.
 */
// @ts-ignore: decorator
@inline
function storePixels(out: usize, r: v128, g: v128, b: v128): void {
  const mask = i8x16(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 12, 13, 14, 15);
  const rg0 = v128.shuffle<u8>(r, g, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const rg1 = v128.shuffle<u8>(r, g, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const bb0 = v128.shuffle<u8>(b, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const bb1 = v128.shuffle<u8>(b, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  v128.store(out, i8x16.swizzle(v128.shuffle<u16>(rg0, bb0, 0, 8, 1, 9, 2, 10, 3, 11), mask), 0);
  v128.store(out, i8x16.swizzle(v128.shuffle<u16>(rg0, bb0, 4, 12, 5, 13, 6, 14, 7, 15), mask), 12);
  v128.store(out, i8x16.swizzle(v128.shuffle<u16>(rg1, bb1, 0, 8, 1, 9, 2, 10, 3, 11), mask), 24);
  v128.store(out, i8x16.swizzle(v128.shuffle<u16>(rg1, bb1, 4, 12, 5, 13, 6, 14, 7, 15), mask), 36);
}

export function grayRow(out: usize, gray: usize, width: i32): void {
  for (let x = 0; x < width; x += 16, gray += 16, out += 48) {
    const g = v128.load(gray);
    v128.store(out, v128.shuffle<u8>(g, g, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5), 0);
    v128.store(out, v128.shuffle<u8>(g, g, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10), 16);
    v128.store(out, v128.shuffle<u8>(g, g, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15), 32);
  }
}

export function rgbRow(out: usize, red: usize, green: usize, blue: usize, width: i32): void {
  for (let x: usize = 0; x < <usize>width; x += 16, out += 48) {
    storePixels(out, v128.load(red + x), v128.load(green + x), v128.load(blue + x));
  }
}

// @ts-ignore: decorator
@inline
function red(luma: v128, cr: v128): v128 {
  return i16x8.add(luma, i16x8.add(cr, i16x8.q15mulr_sat_s(cr, i16x8.splat(13173))));
}

// @ts-ignore: decorator
@inline
function blue(luma: v128, cb: v128): v128 {
  return i16x8.add(luma, i16x8.add(i16x8.add(cb, cb), i16x8.q15mulr_sat_s(cb, i16x8.splat(-7471))));
}

// @ts-ignore: decorator
@inline
function green(luma: v128, cb: v128, cr: v128): v128 {
  const k = i32x4.splat((-22554 & 0xffff) | (18734 << 16));
  const half = i32x4.splat(32768);
  const low = v128.shuffle<u16>(cb, cr, 0, 8, 1, 9, 2, 10, 3, 11);
  const high = v128.shuffle<u16>(cb, cr, 4, 12, 5, 13, 6, 14, 7, 15);
  const sum = i16x8.narrow_i32x4_s(
    i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(low, k), half), 16),
    i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(high, k), half), 16),
  );
  return i16x8.add(i16x8.sub(luma, cr), sum);
}

export function yccRow(out: usize, luma: usize, cb: usize, cr: usize, width: i32): void {
  const half = i8x16.splat(-128);
  for (let x: usize = 0; x < <usize>width; x += 16, out += 48) {
    const y = v128.load(luma + x);
    const b = v128.xor(v128.load(cb + x), half);
    const r = v128.xor(v128.load(cr + x), half);
    const y0 = i16x8.extend_low_i8x16_u(y);
    const y1 = i16x8.extend_high_i8x16_u(y);
    const b0 = i16x8.extend_low_i8x16_s(b);
    const b1 = i16x8.extend_high_i8x16_s(b);
    const r0 = i16x8.extend_low_i8x16_s(r);
    const r1 = i16x8.extend_high_i8x16_s(r);
    storePixels(
      out,
      i8x16.narrow_i16x8_u(red(y0, r0), red(y1, r1)),
      i8x16.narrow_i16x8_u(green(y0, b0, r0), green(y1, b1, r1)),
      i8x16.narrow_i16x8_u(blue(y0, b0), blue(y1, b1)),
    );
  }
}

/** a * b / 255, rounded, of 16 bytes. */
// @ts-ignore: decorator
@inline
function multiply(a: v128, b: v128): v128 {
  const half = i16x8.splat(128);
  const low = i16x8.add(i16x8.extmul_low_i8x16_u(a, b), half);
  const high = i16x8.add(i16x8.extmul_high_i8x16_u(a, b), half);
  return i8x16.narrow_i16x8_u(
    i16x8.shr_u(i16x8.add(i16x8.shr_u(low, 8), low), 8),
    i16x8.shr_u(i16x8.add(i16x8.shr_u(high, 8), high), 8),
  );
}

export function cmykRow(out: usize, cyan: usize, magenta: usize, yellow: usize, black: usize, width: i32): void {
  for (let x: usize = 0; x < <usize>width; x += 16, out += 48) {
    const k = v128.load(black + x);
    storePixels(
      out,
      multiply(v128.load(cyan + x), k),
      multiply(v128.load(magenta + x), k),
      multiply(v128.load(yellow + x), k),
    );
  }
}

/** As CMYK of 255 - R, 255 - G and 255 - B. `out` has RGB and is turned into that. */
export function ycckRow(out: usize, luma: usize, cb: usize, cr: usize, black: usize, width: i32): void {
  yccRow(out, luma, cb, cr, width);
  for (let x = 0; x < width; x++, out += 3) {
    const k = <u32>load<u8>(black + x);
    for (let c: usize = 0; c < 3; c++) {
      const t = (255 - <u32>load<u8>(out + c)) * k + 128;
      store<u8>(out + c, ((t >> 8) + t) >> 8);
    }
  }
}
