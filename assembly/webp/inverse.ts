// Inverse transforms of VP8L (the specification of WebP lossless, section 4), a row at a time, in place; exact.
//
// Pixels are ARGB: blue, green, red, alpha in memory. Channels wrap. Of the predictions 2, 3, 4, 8 and 9 do not depend on
// the pixel at the left, and are done four pixels at a time; the others one, in the lowest lane, 3 (mean) to 15 (select)
// dependent instructions each.

// @ts-ignore: decorator
@inline
function mean(a: v128, b: v128): v128 {
  return i8x16.sub(i8x16.avgr_u(a, b), v128.and(v128.xor(a, b), i8x16.splat(1)));
}

/** Adds green to red and blue. Like the next, it does whole groups of four pixels. */
export function addGreen(line: usize, width: i32): void {
  const greens = i8x16(1, 16, 1, 16, 5, 16, 5, 16, 9, 16, 9, 16, 13, 16, 13, 16);
  for (const end = line + ((<usize>width) << 2); line < end; line += 16) {
    const pixels = v128.load(line);
    v128.store(line, i8x16.add(pixels, i8x16.swizzle(pixels, greens)));
  }
}

/** Adds to red a share of green, and to blue of green and of the new red. tiles: u32 [..] of the row, each with three factors. */
export function addCross(line: usize, width: i32, tiles: usize, bits: i32): void {
  const end = line + ((<usize>width) << 2);
  const tileSize: usize = 4 << bits;
  for (; line < end; tiles += 4) {
    const greenToRed = i32x4.splat(load<i8>(tiles));
    const greenToBlue = i32x4.splat(load<i8>(tiles, 1));
    const redToBlue = i32x4.splat(load<i8>(tiles, 2));
    for (const stop = min(end, line + tileSize); line < stop; line += 16) {
      // 16-bit lanes: a channel with its sign in the lower half of each pixel, products of two bytes in it.
      const pixels = v128.load(line);
      const green = i32x4.shr_s(i32x4.shl(pixels, 16), 24);
      const addRed = i16x8.shr_s(i16x8.mul(green, greenToRed), 5);
      const red = i16x8.add(i32x4.shr_u(pixels, 16), addRed);
      const signedRed = i16x8.shr_s(i16x8.shl(red, 8), 8);
      const addBlue = i16x8.add(
        i16x8.shr_s(i16x8.mul(green, greenToBlue), 5),
        i16x8.shr_s(i16x8.mul(signedRed, redToBlue), 5),
      );
      const low = i32x4.splat(0xff);
      const newRed = i32x4.shl(v128.and(red, low), 16);
      const newBlue = v128.and(i16x8.add(pixels, addBlue), low);
      const others = v128.and(pixels, i32x4.splat(0xff00ff00));
      v128.store(line, v128.or(others, v128.or(newRed, newBlue)));
    }
  }
}

/**
 * Adds to each pixel what is predicted of those before it.
 * above: the row above after this, with room for 4 pixels more, replaced by this row; tiles as above, each with a mode.
 */
export function addPrediction(line: usize, above: usize, width: i32, y: i32, tiles: usize, bits: i32): void {
  const size = (<usize>width) << 2;
  if (y == 0) {
    addBlack(line, above, 0, 4);
    addLeft(line, above, 4, size);
  } else {
    v128.store32_lane(line, i8x16.add(v128.load32_zero(line), v128.load32_zero(above)), 0);
    // What is above and right of the last pixel is the next in memory.
    store<u32>(above + size, load<u32>(line));
    const tileSize: usize = 4 << bits;
    let x: usize = 4;
    for (let stop = min(tileSize, size); x < size; tiles += 4, stop = min(stop + tileSize, size)) {
      switch (load<u8>(tiles, 1) & 15) {
        case 1: addLeft(line, above, x, stop); break;
        case 2: addIndependent(2, line, above, x, stop); break;
        case 3: addIndependent(3, line, above, x, stop); break;
        case 4: addIndependent(4, line, above, x, stop); break;
        case 5: addDependent(5, line, above, x, stop); break;
        case 6: addDependent(6, line, above, x, stop); break;
        case 7: addDependent(7, line, above, x, stop); break;
        case 8: addIndependent(8, line, above, x, stop); break;
        case 9: addIndependent(9, line, above, x, stop); break;
        case 10: addDependent(10, line, above, x, stop); break;
        case 11: addDependent(11, line, above, x, stop); break;
        case 12: addDependent(12, line, above, x, stop); break;
        case 13: addDependent(13, line, above, x, stop); break;
        default: addBlack(line, above, x, stop);
      }
      x = stop;
    }
  }
  memory.copy(above, line, size);
}

function addBlack(line: usize, above: usize, x: usize, end: usize): void {
  addIndependent(0, line, above, x, end);
}

function addLeft(line: usize, above: usize, x: usize, end: usize): void {
  addDependent(1, line, above, x, end);
}

/** Prediction from the row above alone: of one pixel, or four. */
// @ts-ignore: decorator
@inline
function predictAbove(mode: i32, top: v128, topLeft: v128, topRight: v128): v128 {
  if (mode == 2) return top;
  if (mode == 3) return topRight;
  if (mode == 4) return topLeft;
  if (mode == 8) return mean(topLeft, top);
  if (mode == 9) return mean(top, topRight);
  return i32x4.splat(0xff000000);
}

/** Pixels from byte x to byte end of the row. */
// @ts-ignore: decorator
@inline
function addIndependent(mode: i32, line: usize, above: usize, x: usize, end: usize): void {
  for (; x + 16 <= end; x += 16) {
    const p = above + x;
    const predicted = predictAbove(mode, v128.load(p), v128.load(p - 4), v128.load(p + 4));
    v128.store(line + x, i8x16.add(v128.load(line + x), predicted));
  }
  for (; x < end; x += 4) {
    const p = above + x;
    const predicted = predictAbove(mode, v128.load32_zero(p), v128.load32_zero(p - 4), v128.load32_zero(p + 4));
    v128.store32_lane(line + x, i8x16.add(v128.load32_zero(line + x), predicted), 0);
  }
}

/** Sum over the channels of a pixel. */
// @ts-ignore: decorator
@inline
function distance(a: v128, b: v128): v128 {
  const differences = v128.or(i8x16.sub_sat_u(a, b), i8x16.sub_sat_u(b, a));
  return i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(differences));
}

// @ts-ignore: decorator
@inline
function predictLeft(mode: i32, left: v128, top: v128, topLeft: v128, topRight: v128): v128 {
  if (mode == 1) return left;
  if (mode == 5) return mean(mean(left, topRight), top);
  if (mode == 6) return mean(left, topLeft);
  if (mode == 7) return mean(left, top);
  if (mode == 10) return mean(mean(left, topLeft), mean(top, topRight));
  if (mode == 11) return v128.bitselect(left, top, i32x4.lt_s(distance(top, topLeft), distance(left, topLeft)));
  const corner = i16x8.extend_low_i8x16_u(topLeft);
  if (mode == 12) {
    const step = i16x8.sub(i16x8.extend_low_i8x16_u(top), corner);
    const sum = i16x8.add(i16x8.extend_low_i8x16_u(left), step);
    return i8x16.narrow_i16x8_u(sum, sum);
  }
  const middle = i16x8.extend_low_i8x16_u(mean(left, top));
  const step = i16x8.sub(middle, corner);
  // Half of it, toward zero.
  const half = i16x8.shr_s(i16x8.sub(step, i16x8.shr_s(step, 15)), 1);
  const sum = i16x8.add(middle, half);
  return i8x16.narrow_i16x8_u(sum, sum);
}

// @ts-ignore: decorator
@inline
function addDependent(mode: i32, line: usize, above: usize, x: usize, end: usize): void {
  let left = v128.load32_zero(line + x - 4);
  for (; x < end; x += 4) {
    const p = above + x;
    const predicted = predictLeft(mode, left, v128.load32_zero(p), v128.load32_zero(p - 4), v128.load32_zero(p + 4));
    left = i8x16.add(v128.load32_zero(line + x), predicted);
    v128.store32_lane(line + x, left, 0);
  }
}

/** Replaces indices, 1 << bits of them in each green, by colors. palette: u32 [256]. From the right, as there are more colors. */
export function lookUpColors(line: usize, width: i32, palette: usize, bits: i32): void {
  const bitsOfIndex = 8 >> bits;
  const mask: u32 = (1 << bitsOfIndex) - 1;
  const last = (1 << bits) - 1;
  for (let x = width - 1; x >= 0; x--) {
    const green: u32 = load<u8>(line + (<usize>(x >> bits) << 2), 1);
    const index = (green >> ((x & last) * bitsOfIndex)) & mask;
    store<u32>(line + (<usize>x << 2), load<u32>(palette + (index << 2)));
  }
}
