// Elements of a checkpoint to f32. F16 and BF16 exactly; F64 and I32, I64 with one rounding.
// Codes are those of src/backends/wasm/index.ts: 0 F64, 1 F32, 2 F16, 3 BF16, 4 I64, 5 I32, 6 I16, 7 I8, 8 U8.

import { constant } from "./math";

/**
 * out: `count` floats, writable to the next multiple of 4; x: `count` elements of type `code`, 16-byte aligned, readable
 * to the next multiple of 16; out may be x for F32.
 */
export function widen(out: usize, x: usize, count: usize, code: u32): void {
  const end = out + (count << 2);
  switch (code) {
    case 2:
      halves(out, x, count);
      break;
    case 3:
      for (let p = out; p < end; p += 16, x += 8) {
        v128.store(p, i32x4.shl(v128.load16x4_u(x), 16));
      }
      break;
    case 1:
      if (out != x) memory.copy(out, x, end - out);
      break;
    case 0:
      for (let p = out; p < end; p += 4, x += 8) store<f32>(p, <f32>load<f64>(x));
      break;
    case 4:
      for (let p = out; p < end; p += 4, x += 8) store<f32>(p, <f32>load<i64>(x));
      break;
    case 5:
      for (let p = out; p < end; p += 4, x += 4) store<f32>(p, <f32>load<i32>(x));
      break;
    case 6:
      for (let p = out; p < end; p += 4, x += 2) store<f32>(p, <f32>load<i16>(x));
      break;
    case 7:
      for (let p = out; p < end; p += 4, x += 1) store<f32>(p, <f32>load<i8>(x));
      break;
    default:
      for (let p = out; p < end; p += 4, x += 1) store<f32>(p, <f32>load<u8>(x));
  }
}

// 2^112, and as bits: magnitude, sign of a half.
const SCALE: usize = memory.data<f32>([5.192296858534828e33]);
const BITS: usize = memory.data<u32>([0x7fff, 0x8000]);

/**
 * IEEE binary16: exponent and mantissa moved to their place in f32, then multiplied by 2^112, the difference of the
 * biases; the product is exact and turns subnormals right. Infinities and NaN become 65536 and more.
 */
function halves(out: usize, x: usize, count: usize): void {
  const scale = constant(SCALE, 0);
  const magnitude = constant(BITS, 0);
  const sign = constant(BITS, 1);
  for (const end = out + (count << 2); out < end; out += 16, x += 8) {
    const h = v128.load16x4_u(x);
    const m = f32x4.mul(i32x4.shl(v128.and(h, magnitude), 13), scale);
    v128.store(out, v128.or(m, i32x4.shl(v128.and(h, sign), 16)));
  }
}

/**
 * Index of the first of `count` floats beyond ±limit or NaN, -1 if there is none. x: 16-byte aligned, readable to the next
 * multiple of 4.
 */
export function firstBeyond(x: usize, count: usize, limit: f32): i32 {
  const bound = f32x4.splat(limit);
  let i: usize = 0;
  for (const whole = count & ~3; i < whole; i += 4) {
    if (!v128.all_true<i32>(f32x4.le(f32x4.abs(v128.load(x + (i << 2))), bound))) break;
  }
  for (; i < count; i++) if (!(abs(load<f32>(x + (i << 2))) <= limit)) return <i32>i;
  return -1;
}
