// The SIMD of WebP's decoder against the formulas of RFC 6386 and of libwebp's output, a pixel at a time. Whole files are in
// tests/webp.test.ts.
import { filterChroma, filterLuma } from "../../assembly/webp/filter";
import { blendRows, dropAlpha, writeRow } from "../../assembly/webp/rgb";
import { addResidual } from "../../assembly/webp/transform";
import { floats } from "./memory";

let seed: u32 = 1;
function random(below: u32): u32 {
  seed = seed * 1664525 + 1013904223;
  return (seed >> 8) % below;
}

function clip(value: i32, least: i32, most: i32): i32 {
  return max(least, min(value, most));
}

function pixel(at: usize): i32 {
  return <i32>load<u8>(at);
}

/** Section 15.2 and 15.3 for one line of pixels across an edge, `step` bytes apart. */
function filterLine(at: usize, step: usize, isSimple: bool, isOuter: bool, limit: i32, interior: i32, threshold: i32): void {
  const p3 = pixel(at - 4 * step);
  const p2 = pixel(at - 3 * step);
  const p1 = pixel(at - 2 * step);
  const p0 = pixel(at - step);
  const q0 = pixel(at);
  const q1 = pixel(at + step);
  const q2 = pixel(at + 2 * step);
  const q3 = pixel(at + 3 * step);
  if (4 * abs(p0 - q0) + abs(p1 - q1) > 2 * limit + 1) return;
  const varies = abs(p1 - p0) > threshold || abs(q1 - q0) > threshold;
  if (!isSimple) {
    if (abs(p3 - p2) > interior || abs(p2 - p1) > interior || abs(p1 - p0) > interior) return;
    if (abs(q3 - q2) > interior || abs(q2 - q1) > interior || abs(q1 - q0) > interior) return;
  }
  const outer = clip(p1 - q1, -128, 127);
  if (isSimple || varies) {
    const a = 3 * (q0 - p0) + outer;
    store<u8>(at - step, clip(p0 + clip((a + 3) >> 3, -16, 15), 0, 255));
    store<u8>(at, clip(q0 - clip((a + 4) >> 3, -16, 15), 0, 255));
  } else if (isOuter) {
    const a = clip(3 * (q0 - p0) + outer, -128, 127);
    store<u8>(at - 3 * step, clip(p2 + ((9 * a + 63) >> 7), 0, 255));
    store<u8>(at - 2 * step, clip(p1 + ((18 * a + 63) >> 7), 0, 255));
    store<u8>(at - step, clip(p0 + ((27 * a + 63) >> 7), 0, 255));
    store<u8>(at, clip(q0 - ((27 * a + 63) >> 7), 0, 255));
    store<u8>(at + step, clip(q1 - ((18 * a + 63) >> 7), 0, 255));
    store<u8>(at + 2 * step, clip(q2 - ((9 * a + 63) >> 7), 0, 255));
  } else {
    const a = 3 * (q0 - p0);
    const d = clip((a + 4) >> 3, -16, 15);
    store<u8>(at - 2 * step, clip(p1 + ((d + 1) >> 1), 0, 255));
    store<u8>(at - step, clip(p0 + clip((a + 3) >> 3, -16, 15), 0, 255));
    store<u8>(at, clip(q0 - d, 0, 255));
    store<u8>(at + step, clip(q1 - ((d + 1) >> 1), 0, 255));
  }
}

/** All edges of a block of size×size in the order of section 15.2. */
function filterBlock(at: usize, stride: usize, size: i32, isSimple: bool, level: i32, interior: i32, threshold: i32): void {
  const limit = 2 * level + interior;
  for (let across = 0; across < 2; across++) {
    const step: usize = across == 0 ? 1 : stride;
    const along: usize = across == 0 ? stride : 1;
    for (let edge = 0; edge < size; edge += 4) {
      for (let i = 0; i < size; i++) {
        const line = at + <usize>edge * step + <usize>i * along;
        filterLine(line, step, isSimple, edge == 0, edge == 0 ? limit + 4 : limit, interior, threshold);
      }
    }
  }
}

/** Different bytes of a filtered block in 40×40 pixels, which are nearly flat, so that many edges are filtered. */
function filterErrors(size: i32, isSimple: bool, level: i32, interior: i32, threshold: i32, contrast: u32): i32 {
  const stride: usize = 64;
  const bytes = stride * 80;
  const got = floats(<i32>bytes);
  const want = floats(<i32>bytes);
  const base = random(256);
  for (let i: usize = 0; i < bytes; i++) {
    const value = clip(<i32>base + <i32>random(contrast) - <i32>(contrast >> 1), 0, 255);
    store<u8>(got + i, value);
    store<u8>(want + i, value);
  }
  const filter = floats(1);
  store<u8>(filter, level);
  store<u8>(filter, interior, 1);
  store<u8>(filter, threshold, 2);
  const at = stride * 8 + 16;
  const apart = stride * 40;
  if (size == 16) {
    filterLuma(got + at, stride, filter, isSimple, true, true, true);
    filterBlock(want + at, stride, 16, isSimple, level, interior, threshold);
  } else {
    filterChroma(got + at, apart, stride, filter, true, true, true);
    filterBlock(want + at, stride, 8, false, level, interior, threshold);
    filterBlock(want + at + apart, stride, 8, false, level, interior, threshold);
  }
  let errors = 0;
  for (let i: usize = 0; i < bytes; i++) errors += <i32>(load<u8>(got + i) != load<u8>(want + i));
  return errors;
}

function firstHalf(value: i32, factor: i32): i32 {
  return (value * factor) >> 16;
}

/** Section 14.3 in 32 bits. */
function inverse(c: usize, at: usize, stride: usize): void {
  const t = new StaticArray<i32>(16);
  for (let i = 0; i < 4; i++) {
    const c0 = <i32>load<i16>(c + (i << 1));
    const c1 = <i32>load<i16>(c + (i << 1), 8);
    const c2 = <i32>load<i16>(c + (i << 1), 16);
    const c3 = <i32>load<i16>(c + (i << 1), 24);
    const e = firstHalf(c1, 35468) - (c3 + firstHalf(c3, 20091));
    const f = c1 + firstHalf(c1, 20091) + firstHalf(c3, 35468);
    t[i] = c0 + c2 + f;
    t[4 + i] = c0 - c2 + e;
    t[8 + i] = c0 - c2 - e;
    t[12 + i] = c0 + c2 - f;
  }
  for (let y = 0; y < 4; y++) {
    const r0 = t[4 * y] + 4;
    const r1 = t[4 * y + 1];
    const r2 = t[4 * y + 2];
    const r3 = t[4 * y + 3];
    const e = firstHalf(r1, 35468) - (r3 + firstHalf(r3, 20091));
    const f = r1 + firstHalf(r1, 20091) + firstHalf(r3, 35468);
    const p = at + <usize>y * stride;
    store<u8>(p, clip(pixel(p) + ((r0 + r2 + f) >> 3), 0, 255));
    store<u8>(p, clip(pixel(p + 1) + ((r0 - r2 + e) >> 3), 0, 255), 1);
    store<u8>(p, clip(pixel(p + 2) + ((r0 - r2 - e) >> 3), 0, 255), 2);
    store<u8>(p, clip(pixel(p + 3) + ((r0 + r2 - f) >> 3), 0, 255), 3);
  }
}

/** Different bytes of a block with a residual of `count` coefficients in the order of the zigzag, below `size`. */
function residualErrors(count: i32, size: u32): i32 {
  const zigzag: StaticArray<i32> = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];
  const stride: usize = 16;
  const got = floats(32);
  const want = floats(32);
  const c = floats(8);
  for (let i: usize = 0; i < 128; i++) {
    const value = random(256);
    store<u8>(got + i, value);
    store<u8>(want + i, value);
  }
  for (let i = 0; i < count; i++) {
    store<i16>(c + (zigzag[i] << 1), <i16>(<i32>random(2 * size) - <i32>size));
  }
  inverse(c, want + 20, stride);
  addResidual(c, count, got + 20, stride);
  let errors = 0;
  for (let i: usize = 0; i < 128; i++) errors += <i32>(load<u8>(got + i) != load<u8>(want + i));
  for (let i: usize = 0; i < 32; i++) errors += load<u8>(c + i);
  return errors;
}

function toByte(value: i32): i32 {
  return clip(value >> 6, 0, 255);
}

/** Different bytes of a row of RGB, and of what lies behind it. */
function rowErrors(width: i32, isRandom: bool): i32 {
  const columns = (width + 1) >> 1;
  const luma = floats((width >> 2) + 16);
  const planes = floats(4 * ((columns >> 2) + 16));
  const plane: usize = ((<usize>columns >> 2) + 16) << 2;
  for (let i = 0; i < width; i++) store<u8>(luma + i, isRandom ? random(256) : random(2) * 255);
  for (let i: usize = 0; i < 4 * plane; i++) store<u8>(planes + i, isRandom ? random(256) : random(2) * 255);
  const sums = floats(2 * (columns + 32));
  const u = sums + 16;
  const v = u + ((columns + 32) << 1);
  blendRows(planes, planes + plane, u, columns);
  blendRows(planes + 2 * plane, planes + 3 * plane, v, columns);
  const out = floats(width + 32);
  for (let i = 0; i < 3 * width + 64; i++) store<u8>(out + i, 77);
  writeRow(luma, u, v, out, width);
  let errors = 0;
  for (let x = 0; x < width; x++) {
    const near = x >> 1;
    const far = clip(x & 1 ? near + 1 : near - 1, 0, columns - 1);
    const chroma = new StaticArray<i32>(2);
    for (let i = 0; i < 2; i++) {
      const nearRow = planes + 2 * i * plane;
      const farRow = nearRow + plane;
      const sum = 9 * pixel(nearRow + near) + 3 * pixel(nearRow + far) + 3 * pixel(farRow + near) + pixel(farRow + far);
      chroma[i] = (sum + 8) >> 4;
    }
    const y = (pixel(luma + x) * 19077) >> 8;
    const cu = chroma[0];
    const cv = chroma[1];
    const r = toByte(y + ((cv * 26149) >> 8) - 14234);
    const g = toByte(y - ((cu * 6419) >> 8) - ((cv * 13320) >> 8) + 8708);
    const b = toByte(y + ((cu * 33050) >> 8) - 17685);
    errors += <i32>(pixel(out + 3 * x) != r) + <i32>(pixel(out + 3 * x + 1) != g) + <i32>(pixel(out + 3 * x + 2) != b);
  }
  for (let i = 3 * width; i < 3 * width + 64; i++) errors += <i32>(load<u8>(out + i) != 77);
  return errors;
}

describe("webp", () => {
  test("the loop filter is that of the paper, at every level", () => {
    let errors = 0;
    for (let level = 1; level < 64; level++) {
      const interior = 1 + <i32>random(<u32>level);
      const threshold = level >= 40 ? 2 : level >= 15 ? 1 : 0;
      for (let contrast: u32 = 1; contrast < 200; contrast = contrast * 2 + 1) {
        errors += filterErrors(16, false, level, interior, threshold, contrast);
        errors += filterErrors(16, true, level, interior, threshold, contrast);
        errors += filterErrors(8, false, level, interior, threshold, contrast);
      }
    }
    expect(errors).toBe(0);
  });
  test("the inverse transform is that of the paper, with few coefficients and with all", () => {
    let errors = 0;
    for (let count = 0; count <= 16; count++) {
      for (let size: u32 = 1; size < 4096; size *= 2) errors += residualErrors(count, size);
    }
    expect(errors).toBe(0);
  });
  test("a row of RGB has libwebp's values and nothing behind it, at every width", () => {
    let errors = 0;
    for (let width = 1; width < 70; width++) errors += rowErrors(width, true) + rowErrors(width, false);
    errors += rowErrors(20000, true);
    expect(errors).toBe(0);
  });
  test("alpha is dropped in place, and nothing behind the row is written", () => {
    let errors = 0;
    for (let width = 1; width < 20; width++) {
      const pixels = floats(width + 8);
      const out = floats(width + 8);
      for (let i: usize = 0; i < <usize>(4 * width + 16); i++) {
        store<u8>(pixels + i, random(256));
        store<u8>(out + i, load<u8>(pixels + i));
      }
      dropAlpha(out, out, width);
      for (let x = 0; x < width; x++) {
        for (let c = 0; c < 3; c++) errors += <i32>(load<u8>(out + 3 * x + c) != load<u8>(pixels + 4 * x + 2 - c));
      }
      for (let i = 3 * width; i < 4 * width + 16; i++) errors += <i32>(load<u8>(out + i) != load<u8>(pixels + i));
    }
    expect(errors).toBe(0);
  });
});
