// Elements of a checkpoint to f32. F16 and BF16 exactly; F64 and I32, I64 with one rounding.
// Codes are those of src/backends/wasm/index.ts: 0 F64, 1 F32, 2 F16, 3 BF16, 4 I64, 5 I32, 6 I16, 7 I8, 8 U8.

/**
 * out: `count` floats; x: `count` elements of type `code`, 16-byte aligned, readable to the next multiple of 16; out may
 * be x for F32. Returns whether all of them are finite.
 */
export function widen(out: usize, x: usize, count: usize, code: u32): bool {
  const end = out + (count << 2);
  switch (code) {
    case 2:
      return halves(out, x, count);
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
  return finite(out, count);
}

/**
 * IEEE binary16: exponent and mantissa moved to their place in f32, then multiplied by 2^112, the difference of the
 * biases; the product is exact and turns subnormals right. An exponent of 31 (infinity, NaN) is only reported.
 */
function halves(out: usize, x: usize, count: usize): bool {
  const scale = f32x4.splat(5.192296858534828e33);
  const magnitude = i32x4.splat(0x7fff);
  const sign = i32x4.splat(0x8000);
  const infinity = i32x4.splat(0x7c00);
  let bad = i32x4.splat(0);
  const whole = out + ((count & ~3) << 2);
  for (; out < whole; out += 16, x += 8) {
    const h = v128.load16x4_u(x);
    bad = v128.or(bad, i32x4.eq(v128.and(h, infinity), infinity));
    const m = f32x4.mul(i32x4.shl(v128.and(h, magnitude), 13), scale);
    v128.store(out, v128.or(m, i32x4.shl(v128.and(h, sign), 16)));
  }
  let tail: u32 = 0;
  for (let i = count & 3; i; i--, out += 4, x += 2) {
    const h = <u32>load<u16>(x);
    tail |= u32((h & 0x7c00) == 0x7c00);
    const m = reinterpret<f32>((h & 0x7fff) << 13) * 5.192296858534828e33;
    store<u32>(out, reinterpret<u32>(m) | ((h & 0x8000) << 16));
  }
  return !v128.any_true(bad) && !tail;
}

function finite(x: usize, count: usize): bool {
  const infinity = i32x4.splat(0x7f800000);
  let bad = i32x4.splat(0);
  const whole = x + ((count & ~3) << 2);
  for (; x < whole; x += 16) bad = v128.or(bad, i32x4.eq(v128.and(v128.load(x), infinity), infinity));
  for (let i = count & 3; i; i--, x += 4) {
    if ((load<u32>(x) & 0x7f800000) == 0x7f800000) return false;
  }
  return !v128.any_true(bad);
}
