/**
 * Numbers of stored vectors. f32: rows of length 1. int8: integers from -127 to 127, the largest of a row being 127 or -127, whose
 * direction is the row's: a quarter of the bytes. Cosines of rows of 192 or more numbers then differ by less than 0.003 (measured by
 * tests/int8-rows.test.ts), and nothing is lost when rows are read and written again.
 */
import { toUnit } from "../numerics/vectors.js";

export type Numbers = "f32" | "int8";

export const numberBytes = (numbers: Numbers): number => (numbers === "int8" ? 1 : 4);

/** Rows of unit vectors, [n, width], as they are stored. */
export function toStored(numbers: Numbers, rows: Float32Array, width: number): Float32Array | Int8Array {
  if (numbers === "f32") return rows;
  const stored = new Int8Array(rows.length);
  for (let at = 0; at < rows.length; at += width) {
    let largest = 0;
    for (let i = at; i < at + width; i++) largest = Math.max(largest, Math.abs(rows[i]!));
    if (largest > 0) for (let i = at; i < at + width; i++) stored[i] = Math.round((127 * rows[i]!) / largest);
  }
  return stored;
}

/** Stored rows as unit vectors. */
export function fromStored(numbers: Numbers, bytes: Uint8Array<ArrayBuffer>, width: number): Float32Array {
  if (numbers === "f32") return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const rows = Float32Array.from(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length));
  for (let at = 0; at < rows.length; at += width) rows.set(toUnit(rows.subarray(at, at + width)), at);
  return rows;
}
