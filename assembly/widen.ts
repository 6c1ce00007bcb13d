// Elements of a checkpoint to f32. F16 and BF16 exactly; F64 and I32, I64 with one rounding.
// Codes are those of src/backends/wasm/index.ts: 0 F64, 1 F32, 2 F16, 3 BF16, 4 I64, 5 I32, 6 I16, 7 I8, 8 U8.

import { widenHalves } from "./half";

/**
 * out: `count` floats, writable to the next multiple of 4; x: `count` elements of type `code`, 16-byte aligned, readable
 * to the next multiple of 16; out may be x for F32.
 */
export function widen(out: usize, x: usize, count: usize, code: u32): void {
  const end = out + (count << 2);
  switch (code) {
    case 2:
      for (let p = out; p < end; p += 16, x += 8) v128.store(p, widenHalves(v128.load16x4_u(x)));
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

/** Rows of k floats, end to end, each times its scale. */
export function scaleRows(x: usize, rows: usize, k: usize, scales: usize): void {
  for (let row: usize = 0; row < rows; row++) {
    const scale = load<f32>(scales + (row << 2));
    for (const end = x + (k << 2); x < end; x += 4) store<f32>(x, load<f32>(x) * scale);
  }
}
