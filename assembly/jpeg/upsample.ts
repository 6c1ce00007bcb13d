// Rows of the image from rows of samples: components with fewer samples are interpolated as libjpeg's "fancy
// upsampling" does, or repeated, and colors are made of them (color.ts).
//
// A sample lies a quarter off the two that it becomes: (3 near + far) / 4, in 2 bits and rounded half up or down, in
// turn. In both directions the first pass keeps its 2 bits. With avg(a, b) = (a + b + 1) >> 1, as the instruction has
// it, and floor(a, b) = (a + b) >> 1: (3 a + b + 1) >> 2 = floor(a, avg(a, b)) and (3 a + b + 2) >> 2 = avg(a,
// floor(a, b)).
//
// Samples beyond the last column are that column, and so at the first; rows likewise.
import { Color, cmykRow, grayRow, rgbRow, ycckRow, yccRow } from "./color";
import { Component, component, frame } from "./frame";

/** Writes rows `from` up to `to` of the image; those of MCUs that they need are there. */
export function emit(from: i32, to: i32): void {
  const width = frame.width;
  let out = frame.out + <usize>from * <usize>width * 3;
  for (let y = from; y < to; y++, out += <usize>width * 3) {
    const first = rowOf(component(0), y);
    if (frame.components == 1) {
      grayRow(out, first, width);
      continue;
    }
    const second = rowOf(component(1), y);
    const third = rowOf(component(2), y);
    if (frame.color == Color.YCC) yccRow(out, first, second, third, width);
    else if (frame.color == Color.RGB) rgbRow(out, first, second, third, width);
    else if (frame.color == Color.CMYK) cmykRow(out, first, second, third, rowOf(component(3), y), width);
    else ycckRow(out, first, second, third, rowOf(component(3), y), width);
  }
}

/** Row y of a component's samples, with the columns beside it. */
// @ts-ignore: decorator
@inline
function samples(part: Component, y: i32): usize {
  y = min(max(y, 0), part.height - 1);
  const row = part.plane + <usize>(y % part.planeRows) * <usize>part.planeStride;
  const end = row + <usize>part.width;
  store<u8>(row - 1, load<u8>(row));
  store<u8>(end, load<u8>(end - 1));
  return row;
}

/** Row y of the image of one component. */
function rowOf(part: Component, y: i32): usize {
  const row = y / part.repeatY;
  const near = samples(part, row);
  if (part.repeatX == 1 && part.repeatY == 1) return near;
  const out = part.row;
  if (frame.interpolates && part.repeatX <= 2 && part.repeatY <= 2 && (part.repeatX == 1 || part.width > 2)) {
    if (part.repeatY == 1) wider(out, near, part.width);
    else {
      const far = samples(part, y & 1 ? row + 1 : row - 1);
      if (part.repeatX == 1) higher(out, near, far, y & 1, part.width);
      else both(out, near, far, part.width);
    }
    return out;
  }
  if (part.repeatX == 1) return near;
  if (part.repeatX == 2) {
    for (let x = 0; x < part.width; x += 16) {
      const a = v128.load(near + x);
      storeInterleaved(out + 2 * x, a, a);
    }
    return out;
  }
  let to = out;
  for (let x = 0; x < part.width; x++) {
    const a = load<u8>(near + x);
    for (let i = 0; i < part.repeatX; i++) store<u8>(to++, a);
  }
  return out;
}

// @ts-ignore: decorator
@inline
function storeInterleaved(out: usize, even: v128, odd: v128): void {
  v128.store(out, v128.shuffle<u8>(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), 0);
  v128.store(out, v128.shuffle<u8>(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
}

/** (a + b) >> 1 */
// @ts-ignore: decorator
@inline
function floor(a: v128, b: v128): v128 {
  return i8x16.sub(i8x16.avgr_u(a, b), v128.and(v128.xor(a, b), i8x16.splat(1)));
}

/** Twice the columns: out[2 i] = (3 a[i] + a[i - 1] + 1) >> 2, out[2 i + 1] = (3 a[i] + a[i + 1] + 2) >> 2 */
function wider(out: usize, a: usize, width: i32): void {
  for (let x = 0; x < width; x += 16) {
    const center = v128.load(a + x);
    const left = v128.load(a + x - 1);
    const right = v128.load(a + x + 1);
    storeInterleaved(
      out + 2 * x,
      floor(center, i8x16.avgr_u(center, left)),
      i8x16.avgr_u(center, floor(center, right)),
    );
  }
}

/** One of twice the rows: (3 near + far + 1) >> 2, or + 2 in odd rows. */
function higher(out: usize, near: usize, far: usize, isOdd: i32, width: i32): void {
  for (let x = 0; x < width; x += 16) {
    const a = v128.load(near + x);
    const b = v128.load(far + x);
    v128.store(out + x, isOdd ? i8x16.avgr_u(a, floor(a, b)) : floor(a, i8x16.avgr_u(a, b)));
  }
}

/** 3 near + far of eight samples: u16 */
// @ts-ignore: decorator
@inline
function mixed(near: usize, far: usize): v128 {
  const a = v128.load8x8_u(near);
  return i16x8.add(i16x8.add(i16x8.shl(a, 1), a), v128.load8x8_u(far));
}

/**
 * One of twice the rows, twice the columns: with c = 3 near + far, (3 c[i] + c[i - 1] + 8) >> 4, (3 c[i] + c[i + 1] +
 * 7) >> 4
 */
function both(out: usize, near: usize, far: usize, width: i32): void {
  const eight = i16x8.splat(8);
  const seven = i16x8.splat(7);
  let before = i16x8.splat(<i16>(3 * <i32>load<u8>(near - 1) + <i32>load<u8>(far - 1)));
  let c = mixed(near, far);
  for (let x = 0; x < width; x += 8) {
    const after = mixed(near + x + 8, far + x + 8);
    const left = v128.shuffle<u16>(before, c, 7, 8, 9, 10, 11, 12, 13, 14);
    const right = v128.shuffle<u16>(c, after, 1, 2, 3, 4, 5, 6, 7, 8);
    const three = i16x8.add(i16x8.shl(c, 1), c);
    const even = i16x8.shr_u(i16x8.add(i16x8.add(three, left), eight), 4);
    const odd = i16x8.shr_u(i16x8.add(i16x8.add(three, right), seven), 4);
    v128.store(out + 2 * x, v128.or(even, i16x8.shl(odd, 8)));
    before = c;
    c = after;
  }
}
