import { cmykRow, yccRow } from "../../assembly/jpeg/color";
import { Component, component, frame } from "../../assembly/jpeg/frame";
import { transform } from "../../assembly/jpeg/idct";
import { emit } from "../../assembly/jpeg/upsample";
import { floats } from "./memory";

let seed: u32 = 1;

/** A number from 0 up to `count`. */
function below(count: u32): i32 {
  seed = seed * 1664525 + 1013904223;
  return <i32>((<u64>seed * count) >> 32);
}

/** Natural index of a place in zigzag order, by walking it. */
function natural(place: i32): i32 {
  let x = 0;
  let y = 0;
  for (let k = 0; k < place; k++) {
    if ((x + y) & 1) {
      if (y == 7) x++;
      else {
        y++;
        if (x) x--;
      }
    } else if (x == 7) y++;
    else {
      x++;
      if (y) y--;
    }
  }
  return 8 * y + x;
}

const STRIDE = 16;
const block = floats(32);
const quantizer = floats(32);
const found = floats(64);
const again = floats(64);

function part(size: i32): Component {
  const c = component(0);
  c.size = size;
  c.planeStride = STRIDE;
  c.quantizer = quantizer;
  return c;
}

/** A block with coefficients up to `last`, and a quantizer. */
function fill(last: i32, size: i32, step: i32): void {
  memory.fill(block, 0, 128);
  for (let k = 0; k < 64; k++) {
    store<u16>(quantizer + 2 * k, 1 + below(step));
    if (k <= last) store<i16>(block + 2 * natural(k), below(2 * size) - size);
  }
}

/** §A.3.3 in f64, of products that stay within 16 bits. */
function exactSample(x: i32, y: i32): f64 {
  let sum: f64 = 0;
  for (let v = 0; v < 8; v++) {
    for (let u = 0; u < 8; u++) {
      const at = 2 * (8 * v + u);
      const scale = (u ? 1 : Math.SQRT1_2) * (v ? 1 : Math.SQRT1_2);
      const value = <f64>load<i16>(block + at) * <f64>load<u16>(quantizer + at);
      sum += scale * value * Math.cos(((2 * x + 1) * u * Math.PI) / 16) * Math.cos(((2 * y + 1) * v * Math.PI) / 16);
    }
  }
  return Math.min(Math.max(sum / 4 + 128, 0), 255);
}

function w16(x: i32): i32 {
  return <i32>(<i16>x);
}

function sat16(x: i32): i32 {
  return min(max(x, -32768), 32767);
}

const line = floats(8);
const work = floats(64);

/** The formula in assembly/jpeg/idct.ts, of the eight numbers at `line`. */
function transformLine(shift: i32): void {
  const x0 = load<i32>(line, 0);
  const x1 = load<i32>(line, 4);
  const x2 = load<i32>(line, 8);
  const x3 = load<i32>(line, 12);
  const x4 = load<i32>(line, 16);
  const x5 = load<i32>(line, 20);
  const x6 = load<i32>(line, 24);
  const x7 = load<i32>(line, 28);
  const t3 = 10703 * x2 + 4433 * x6;
  const t2 = 4433 * x2 - 10704 * x6;
  const t0 = w16(x0 + x4) << 13;
  const t1 = w16(x0 - x4) << 13;
  const z3 = w16(x3 + x7);
  const z4 = w16(x1 + x5);
  const u3 = -6436 * z3 + 9633 * z4;
  const u4 = 9633 * z3 + 6437 * z4;
  const o0 = -4927 * x7 - 7373 * x1 + u3;
  const o3 = -7373 * x7 + 4926 * x1 + u4;
  const o1 = -4176 * x5 - 20995 * x3 + u4;
  const o2 = -20995 * x5 + 4177 * x3 + u3;
  const half = 1 << (shift - 1);
  store<i32>(line, sat16((t0 + t3 + o3 + half) >> shift), 0);
  store<i32>(line, sat16((t1 + t2 + o2 + half) >> shift), 4);
  store<i32>(line, sat16((t1 - t2 + o1 + half) >> shift), 8);
  store<i32>(line, sat16((t0 - t3 + o0 + half) >> shift), 12);
  store<i32>(line, sat16((t0 - t3 - o0 + half) >> shift), 16);
  store<i32>(line, sat16((t1 - t2 - o1 + half) >> shift), 20);
  store<i32>(line, sat16((t1 + t2 - o2 + half) >> shift), 24);
  store<i32>(line, sat16((t0 + t3 - o3 + half) >> shift), 28);
}

/** Samples that differ from the formula's, with its wrapping and saturation. */
function differences(): i32 {
  let isFull = 0;
  for (let k = 8; k < 64; k++) isFull |= <i32>load<i16>(block + 2 * k);
  for (let c = 0; c < 8; c++) {
    for (let r = 0; r < 8; r++) {
      const at = 2 * (8 * r + c);
      store<i32>(line + 4 * r, w16(<i32>load<i16>(block + at) * <i32>load<i16>(quantizer + at)));
    }
    if (isFull) transformLine(11);
    for (let r = 0; r < 8; r++) {
      const value = isFull ? load<i32>(line + 4 * r) : w16(load<i32>(line) << 2);
      store<i32>(work + 4 * (8 * r + c), value);
    }
  }
  let wrong = 0;
  for (let r = 0; r < 8; r++) {
    memory.copy(line, work + 32 * r, 32);
    transformLine(18);
    for (let c = 0; c < 8; c++) {
      const want = min(max(load<i32>(line + 4 * c), -128), 127) + 128;
      wrong += i32(<i32>load<u8>(found + r * STRIDE + c) != want);
    }
  }
  return wrong;
}

describe("inverse DCT", () => {
  test("samples are within 1 of the definition in f64", () => {
    let farthest: f64 = 0;
    for (let i = 0; i < 400; i++) {
      const last = i & 1 ? below(10) : below(64);
      fill(last, 400 / (last + 4), 8);
      transform(part(8), block, last, found);
      for (let y = 0; y < 8; y++) {
        for (let x = 0; x < 8; x++) {
          farthest = Math.max(farthest, Math.abs(<f64>load<u8>(found + y * STRIDE + x) - exactSample(x, y)));
        }
      }
    }
    expect(farthest).toBeLessThan(1);
    expect(farthest).toBeGreaterThan(0.4);
  });
  test("out of range it wraps and saturates as the formula, in every class of blocks", () => {
    let wrong = 0;
    for (let last = 0; last < 64; last++) {
      for (let i = 0; i < 100; i++) {
        fill(last, 1 << below(16), 1 << below(17));
        // The first row alone, now and then.
        if (i % 5 == 0) memory.fill(block + 16, 0, 112);
        transform(part(8), block, last, found);
        wrong += differences();
      }
    }
    expect(wrong).toBe(0);
  });
  test("a block of few coefficients has the samples of one that might have more, at every size", () => {
    let wrong = 0;
    for (let size = 1; size <= 8; size *= 2) {
      for (let last = 0; last < 64; last++) {
        for (let i = 0; i < 20; i++) {
          fill(last, 1 << below(16), 1 << below(17));
          memory.fill(found, 7, 256);
          memory.fill(again, 7, 256);
          transform(part(size), block, last, found);
          transform(part(size), block, 63, again);
          wrong += i32(memory.compare(found, again, 256) != 0);
        }
      }
    }
    expect(wrong).toBe(0);
  });
});

describe("colors", () => {
  test("YCbCr has 16 fraction bits, for all of Cb and Cr", () => {
    const rows = floats(3 * 80);
    const out = floats(3 * 80);
    const levels: i32[] = [0, 1, 77, 128, 254, 255];
    let wrong = 0;
    for (let i = 0; i < levels.length; i++) {
      const y = levels[i];
      for (let cr = 0; cr < 256; cr++) {
        for (let x = 0; x < 256; x++) {
          store<u8>(rows + x, y);
          store<u8>(rows + 320 + x, x);
          store<u8>(rows + 640 + x, cr);
        }
        yccRow(out, rows, rows + 320, rows + 640, 256);
        const r = cr - 128;
        for (let x = 0; x < 256; x++) {
          const b = x - 128;
          const red = y + ((91881 * r + 32768) >> 16);
          const green = y + ((-22554 * b - 46802 * r + 32768) >> 16);
          const blue = y + ((116130 * b + 32768) >> 16);
          wrong += i32(<i32>load<u8>(out + 3 * x) != min(max(red, 0), 255));
          wrong += i32(<i32>load<u8>(out + 3 * x + 1) != min(max(green, 0), 255));
          wrong += i32(<i32>load<u8>(out + 3 * x + 2) != min(max(blue, 0), 255));
        }
      }
    }
    expect(wrong).toBe(0);
  });
  test("inks are multiplied with black and divided by 255, rounded", () => {
    const rows = floats(2 * 80);
    const out = floats(3 * 80);
    let wrong = 0;
    for (let k = 0; k < 256; k++) {
      for (let x = 0; x < 256; x++) {
        store<u8>(rows + x, x);
        store<u8>(rows + 320 + x, k);
      }
      cmykRow(out, rows, rows, rows, rows + 320, 256);
      for (let x = 0; x < 768; x++) {
        const want = Math.floor((<f64>(x / 3) * <f64>k) / 255 + 0.5);
        wrong += i32(<f64>load<u8>(out + x) != want);
      }
    }
    expect(wrong).toBe(0);
  });
});

const WIDEST = 40;
const HIGHEST = 6;

/** Sample (x, y) of a component that is the only one, clamped to its size. */
function sampleAt(c: Component, x: i32, y: i32): i32 {
  x = min(max(x, 0), c.width - 1);
  y = min(max(y, 0), c.height - 1);
  return load<u8>(c.plane + y * c.planeStride + x);
}

/** What upsampling makes of it, by the formulas of libjpeg's h2v1, h1v2 and h2v2. */
function upsampled(c: Component, x: i32, y: i32): i32 {
  const i = x / c.repeatX;
  const j = y / c.repeatY;
  const near = sampleAt(c, i, j);
  const isWide = c.repeatX == 2 && c.width > 2;
  const isHigh = c.repeatY == 2;
  if (c.repeatX > 2 || c.repeatY > 2 || (c.repeatX == 2 && !isWide)) return near;
  const beside = x & 1 ? i + 1 : i - 1;
  const far = y & 1 ? j + 1 : j - 1;
  if (isWide && isHigh) {
    const a = 3 * near + sampleAt(c, i, far);
    const b = 3 * sampleAt(c, beside, j) + sampleAt(c, beside, far);
    return (3 * a + b + (x & 1 ? 7 : 8)) >> 4;
  }
  if (isWide) return (3 * near + sampleAt(c, beside, j) + (x & 1 ? 2 : 1)) >> 2;
  return isHigh ? (3 * near + sampleAt(c, i, far) + (y & 1 ? 2 : 1)) >> 2 : near;
}

describe("upsampling", () => {
  test("every factor at every width, its neighbors clamped to the component", () => {
    const plane = floats(((WIDEST + 64) * HIGHEST) / 4 + 32) + 16;
    const out = floats(3 * WIDEST * HIGHEST * 4 + 64);
    const c = component(0);
    let wrong = 0;
    for (let columns = 1; columns <= 4; columns++) {
      for (let rows = 1; rows <= 4; rows++) {
        for (let width = 1; width <= WIDEST; width++) {
          c.repeatX = columns;
          c.repeatY = rows;
          c.width = width;
          c.height = HIGHEST;
          c.plane = plane;
          c.planeStride = WIDEST + 64;
          c.planeRows = HIGHEST;
          c.row = floats(WIDEST + 32);
          for (let i = 0; i < (WIDEST + 64) * HIGHEST; i++) store<u8>(plane + i, below(256));
          frame.components = 1;
          frame.interpolates = 1;
          frame.width = width * columns;
          frame.height = HIGHEST * rows;
          frame.out = out;
          emit(0, frame.height);
          for (let y = 0; y < frame.height; y++) {
            for (let x = 0; x < frame.width; x++) {
              const at = out + 3 * (y * frame.width + x);
              const want = upsampled(c, x, y);
              wrong += i32(<i32>load<u8>(at) != want || <i32>load<u8>(at, 2) != want);
            }
          }
        }
      }
    }
    expect(wrong).toBe(0);
  });
});
