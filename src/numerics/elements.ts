/** Elements of a checkpoint as f32, where no backend converts them. */
import { type DType, ELEMENT_BYTES } from "../backend.js";

/** f16 to number, exact: 1 sign, 5 exponent, 10 fraction bits (IEEE 754 binary16). */
function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  let size = (1024 + fraction) * 2 ** (exponent - 25);
  if (exponent === 0) size = fraction * 2 ** -24;
  if (exponent === 31) size = fraction === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
  return bits & 0x8000 ? -size : size;
}

/**
 * i64 to a number that rounds to f32 once. Beyond 2⁵³ the low bits are folded into one that is set if any was
 * (rounding to odd), so that the double is exact and no tie is made up.
 */
function wide(value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  return Number((value >> 16n) | (value & 0xffffn ? 1n : 0n)) * 65536;
}

const scratch = new DataView(new ArrayBuffer(4));
function bfloat(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** True if this machine has the byte order of checkpoints. */
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

const ELEMENT: Record<DType, (view: DataView, at: number) => number> = {
  F64: (view, at) => view.getFloat64(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F16: (view, at) => half(view.getUint16(at, true)),
  BF16: (view, at) => bfloat(view.getUint16(at, true)),
  I64: (view, at) => wide(view.getBigInt64(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  I8: (view, at) => view.getInt8(at),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => view.getUint8(at),
};

/** Little-endian elements as f32: 16-bit floats, small integers and F32 exactly, the others rounded to nearest once. */
export function widen(bytes: Uint8Array, dtype: DType): Float32Array {
  // A copy, for the bytes may lie at any address.
  if (dtype === "F32" && LITTLE) return new Float32Array(new Uint8Array(bytes).buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const step = ELEMENT_BYTES[dtype];
  const element = ELEMENT[dtype];
  const out = new Float32Array(bytes.byteLength / step);
  for (let i = 0; i < out.length; i++) out[i] = element(view, i * step);
  return out;
}

const words = new Float32Array(1);
const bits = new Uint32Array(words.buffer);

/** f32 to the bits of the nearest f16, ties to even; beyond its range, infinity. */
export function narrow(x: number): number {
  words[0] = x;
  const b = bits[0]!;
  const sign = (b >>> 16) & 0x8000;
  const size = b & 0x7fffffff;
  // 65520 and above round to infinity, which NaN becomes as well.
  if (size >= 0x477ff000) return sign | 0x7c00;
  if (size < 0x38800000) {
    // Subnormal, in units of 2^-24: adding 0.5 lets the f32 adder round at that place.
    words[0] = Math.fround(Math.abs(x) + 0.5);
    return sign | (bits[0]! - 0x3f000000);
  }
  const odd = (size >>> 13) & 1;
  return sign | ((size - 0x38000000 + 0xfff + odd) >>> 13);
}

/** 8-bit floats that checkpoints store (Micikevicius et al. 2022), each of which is an f16 as well. */
export type Float8 = "F8_E4M3" | "F8_E5M2";

/** f16 of all bytes of E4M3: 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinity, NaN where all are set. */
const E4M3 = Uint16Array.from({ length: 256 }, (_, byte) => {
  const [exponent, fraction] = [(byte >> 3) & 15, byte & 7];
  const size = exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10);
  return ((byte & 0x80) << 8) | ((byte & 0x7f) === 0x7f ? 0x7e00 : narrow(size));
});

/** E5M2 is f16 without its last 8 fraction bits. */
const E5M2 = Uint16Array.from({ length: 256 }, (_, byte) => byte << 8);

/** 8-bit floats as little-endian f16, exactly. */
export function widen8(bytes: Uint8Array, kind: Float8, out: Uint8Array): void {
  const table = kind === "F8_E4M3" ? E4M3 : E5M2;
  for (let i = 0; i < bytes.length; i++) {
    const half = table[bytes[i]!]!;
    out[2 * i] = half;
    out[2 * i + 1] = half >> 8;
  }
}
