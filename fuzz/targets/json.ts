/** Inputs that are JSON documents. */
import { readFileSync } from "node:fs";
import { headerLength, parseHeader } from "../../src/io/safetensors.js";

export const seedOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** The object that an input is; undefined for other inputs, which the code under test would not be given. */
export function readJson<T extends object>(input: Uint8Array): Partial<T> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(input));
    return typeof value === "object" && value !== null ? (value as Partial<T>) : undefined;
  } catch {
    return undefined;
  }
}

/** Bytes that look like a picture without a pattern, always the same. */
export const noise = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 2654435761) >>> 24);

/** A file beside the repository's tests. */
export const fixture = (path: string): string => `tests/fixtures/${path}`;

/** Shapes of the tensors of a safetensors file, by name. */
export function shapesIn(file: string): Record<string, readonly number[]> {
  const bytes = new Uint8Array(readFileSync(file));
  const header = bytes.subarray(8, 8 + headerLength(bytes.subarray(0, 8), bytes.length, file));
  return Object.fromEntries(
    parseHeader(header, { name: file, fileSize: bytes.length }).map((at) => [at.name, at.shape]),
  );
}

/** Shapes of an input, by name, all of type F32: those that are none are left out. */
export const shapesOf = (tensors: object) =>
  new Map(
    Object.entries(tensors)
      .filter(([, shape]) => isShape(shape))
      .map(([name, shape]) => [name, { shape: shape as number[], dtype: "F32" }]),
  );

/** As checkpoint.ts lets them through, of a file of 1 MB: a tensor has the elements that it claims. */
const isShape = (value: unknown): boolean =>
  Array.isArray(value) &&
  value.length <= 64 &&
  value.every((n) => Number.isSafeInteger(n) && n >= 0) &&
  value.reduce((product, n) => product * n, 1) <= 2 ** 18;
