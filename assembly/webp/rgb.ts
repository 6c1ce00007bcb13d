// RGB of luma and half-size chroma, as libwebp's "fancy" upsampling and its fixed-point matrix make it; and of ARGB.
//
// A chroma sample counts for the four pixels around its center: of its two nearest rows and columns a pixel takes 9/16, 3/16,
// 3/16 and 1/16. First 3 near + far of the two rows, then the same of the columns: (3t[c] + t[c ± 1] + 8) >> 4, which is
// the formula of webp.md and libwebp's. 16 bits are enough.
//
// R = (Y·19077 >> 8) + (V·26149 >> 8) - 14234 in 64ths, clamped, and so on. (x·(256a + b)) >> 8 is x·a + (x·b >> 8), so 16
// bits without sign hold all of it, and subtraction that saturates at 0 is the lower clamp.

/**
 * The sums t of two rows of `columns` chroma samples, u16: with a copy of the first before `out` and of the last behind them.
 * Up to 7 samples behind the rows are read, and up to 14 bytes behind the sums are written.
 */
export function blendRows(near: usize, far: usize, out: usize, columns: usize): void {
  const three = i16x8.splat(3);
  for (let c: usize = 0; c < columns; c += 8) {
    v128.store(out + (c << 1), i16x8.add(i16x8.mul(v128.load8x8_u(near + c), three), v128.load8x8_u(far + c)));
  }
  store<u16>(out - 2, load<u16>(out));
  const end = out + (columns << 1);
  store<u16>(end, load<u16>(end - 2));
}

// @ts-ignore: decorator
@inline
function scaled(x: v128, whole: i16, part: i16): v128 {
  return i16x8.add(
    i16x8.mul(x, i16x8.splat(whole)),
    i16x8.shr_u(i16x8.mul(x, i16x8.splat(part)), 8),
  );
}

/** Red, green, blue of 8 pixels, in 64ths and 0 at least. */
// @ts-ignore: decorator
@inline
function redOf(y: v128, v: v128): v128 {
  return i16x8.shr_u(i16x8.sub_sat_u(i16x8.add(y, scaled(v, 102, 37)), i16x8.splat(14234)), 6);
}
// @ts-ignore: decorator
@inline
function greenOf(y: v128, u: v128, v: v128): v128 {
  const less = i16x8.add(scaled(u, 25, 19), scaled(v, 52, 8));
  return i16x8.shr_u(i16x8.sub_sat_u(i16x8.add(y, i16x8.splat(8708)), less), 6);
}
// @ts-ignore: decorator
@inline
function blueOf(y: v128, u: v128): v128 {
  return i16x8.shr_u(i16x8.sub_sat_u(i16x8.add(y, scaled(u, 129, 26)), i16x8.splat(17685)), 6);
}

/** Makes of 8 samples t what the pixel on their left side, or the one on the right, takes. */
// @ts-ignore: decorator
@inline
function side(center: v128, neighbor: v128): v128 {
  const sum = i16x8.add(i16x8.add(i16x8.mul(center, i16x8.splat(3)), neighbor), i16x8.splat(8));
  return i16x8.shr_u(sum, 4);
}

/** 16 pixels. */
// @ts-ignore: decorator
@inline
function convert(luma: usize, u: usize, v: usize, out: usize): void {
  const pixels = v128.load(luma);
  const yLow = scaled(i16x8.extend_low_i8x16_u(pixels), 74, 133);
  const yHigh = scaled(i16x8.extend_high_i8x16_u(pixels), 74, 133);
  const uCenter = v128.load(u);
  const vCenter = v128.load(v);
  const uLeft = side(uCenter, v128.load(u - 2));
  const uRight = side(uCenter, v128.load(u + 2));
  const vLeft = side(vCenter, v128.load(v - 2));
  const vRight = side(vCenter, v128.load(v + 2));
  const uLow = v128.shuffle<u16>(uLeft, uRight, 0, 8, 1, 9, 2, 10, 3, 11);
  const uHigh = v128.shuffle<u16>(uLeft, uRight, 4, 12, 5, 13, 6, 14, 7, 15);
  const vLow = v128.shuffle<u16>(vLeft, vRight, 0, 8, 1, 9, 2, 10, 3, 11);
  const vHigh = v128.shuffle<u16>(vLeft, vRight, 4, 12, 5, 13, 6, 14, 7, 15);
  const r = i8x16.narrow_i16x8_u(redOf(yLow, vLow), redOf(yHigh, vHigh));
  const g = i8x16.narrow_i16x8_u(greenOf(yLow, uLow, vLow), greenOf(yHigh, uHigh, vHigh));
  const b = i8x16.narrow_i16x8_u(blueOf(yLow, uLow), blueOf(yHigh, uHigh));
  const rg0 = v128.shuffle<u8>(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
  const rg1 = v128.shuffle<u8>(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
  const rg2 = v128.shuffle<u8>(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
  v128.store(out, v128.shuffle<u8>(rg0, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15));
  v128.store(out, v128.shuffle<u8>(rg1, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15), 16);
  v128.store(out, v128.shuffle<u8>(rg2, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31), 32);
}

/** The last pixels of a row, when they are not 16. */
const LAST: usize = memory.data(48, 16);

/**
 * RGB of a row of `width` pixels; u, v: sums of `blendRows`. Up to 15 pixels behind the row of luma are read, with 8 sums
 * behind those of the row; nothing behind the row of RGB is written.
 */
export function writeRow(luma: usize, u: usize, v: usize, out: usize, width: usize): void {
  const whole = width & ~15;
  for (let x: usize = 0; x < whole; x += 16) convert(luma + x, u + x, v + x, out + 3 * x);
  if (whole == width) return;
  convert(luma + whole, u + whole, v + whole, LAST);
  memory.copy(out + 3 * whole, LAST, 3 * (width - whole));
}

/** RGB of `width` pixels of ARGB; it may lie where they begin, or before it. Nothing behind the row of RGB is written. */
export function dropAlpha(argb: usize, out: usize, width: usize): void {
  const rgb = i8x16(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, 16, 16, 16, 16);
  let x: usize = 0;
  // Four bytes more than four pixels are written, so two pixels follow at least.
  for (; x + 6 <= width; x += 4) v128.store(out + 3 * x, i8x16.swizzle(v128.load(argb + (x << 2)), rgb));
  for (; x < width; x++) {
    const pixel = bswap(load<u32>(argb + (x << 2))) >> 8;
    store<u16>(out + 3 * x, <u16>pixel);
    store<u8>(out + 3 * x, <u8>(pixel >> 16), 2);
  }
}

/** A sample on white, to the nearest: the division by 255 is exact. */
// @ts-ignore: decorator
@inline
function onWhite(sample: u32, alpha: u32): u8 {
  const sum = sample * alpha + 255 * (255 - alpha) + 128;
  return <u8>((sum + (sum >> 8)) >> 8);
}

/** RGB of `width` pixels of ARGB laid on white; it may lie where they begin, or before it. */
export function layOnWhite(argb: usize, out: usize, width: usize): void {
  for (const end = argb + (width << 2); argb < end; argb += 4, out += 3) {
    const pixel = load<u32>(argb);
    const alpha = pixel >> 24;
    store<u8>(out, onWhite((pixel >> 16) & 255, alpha));
    store<u8>(out, onWhite((pixel >> 8) & 255, alpha), 1);
    store<u8>(out, onWhite(pixel & 255, alpha), 2);
  }
}

/** Alpha of `width` pixels of ARGB, a byte each; it may lie where they begin, or before it. */
export function keepAlpha(argb: usize, out: usize, width: usize): void {
  for (const end = argb + (width << 2); argb < end; argb += 4, out++) store<u8>(out, load<u8>(argb, 3));
}

/** Lays `width` pixels of RGB on white, in place, by the alpha of each. */
export function layRowOnWhite(rgb: usize, alphas: usize, width: usize): void {
  for (const end = alphas + width; alphas < end; alphas++, rgb += 3) {
    const alpha = <u32>load<u8>(alphas);
    if (alpha == 255) continue;
    for (let c: usize = 0; c < 3; c++) store<u8>(rgb + c, onWhite(load<u8>(rgb + c), alpha));
  }
}
