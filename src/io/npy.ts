/**
 * NumPy's file of one array: magic, version, a Python dict that describes it, its bytes
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
 */

import { type DType, ELEMENT_BYTES } from "../backend.js";
import { excerpt } from "../json.js";
import { latin1 } from "../platform/bytes.js";
import type { ByteSource } from "./source.js";

/** numpy's dtype strings; V2 is what it calls JAX's bfloat16. */
const DTYPES: Readonly<Record<string, DType>> = {
  "<f8": "F64",
  "<f4": "F32",
  "<f2": "F16",
  "|V2": "BF16",
  "<V2": "BF16",
  "<i8": "I64",
  "<i4": "I32",
  "<i2": "I16",
  "|i1": "I8",
  "|u1": "U8",
  "|b1": "BOOL",
};

/** Longest head of an array that is believed: NumPy writes 128 bytes. */
const MAX_HEAD = 65536;

/** Most dimensions of an array, as in NumPy 2. */
const MAX_DIMENSIONS = 64;

export interface NpyHead {
  readonly dtype: DType;
  readonly shape: number[];
  /** Offset of its bytes. */
  readonly begin: number;
}

/**
 * Reads the head of an array, and compares what it claims with the bytes that there are.
 * @param refuse throws an error that says which array it is, the rule, and what was found.
 */
export async function readNpyHead(source: ByteSource, refuse: (rule: string, got: unknown) => never): Promise<NpyHead> {
  const { size } = source;
  const magic = new Uint8Array(12);
  if (size < magic.length) refuse("begin with the head of an array", `${size} bytes`);
  await source.read(magic, 0);
  if (latin1(magic.subarray(0, 6)) !== "\x93NUMPY") refuse("begin with NumPy's magic", "other bytes");
  const view = new DataView(magic.buffer);
  const [before, length] = magic[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (magic[6]! < 1 || magic[6]! > 3) refuse("be of version 1, 2 or 3", magic[6]);
  const begin = before + length;
  if (length > MAX_HEAD || begin > size) refuse(`have a head of at most ${MAX_HEAD} bytes`, length);
  if (begin < magic.length) refuse("have a head that says descr, fortran_order and shape", `one of ${length} bytes`);
  const rest = new Uint8Array(begin - magic.length);
  await source.read(rest, magic.length);
  const text = latin1(new Uint8Array([...magic.subarray(before), ...rest]));
  const { descr, fortran, shape } =
    parseHead(text) ?? refuse("have a head that says descr, fortran_order and shape", "another");
  const dtype = DTYPES[descr] ?? refuse(`be of a type among ${Object.keys(DTYPES).join(", ")}`, excerpt(descr));
  if (fortran && shape.length > 1) refuse("be in C order", "Fortran order");
  if (shape.length > MAX_DIMENSIONS) refuse(`have at most ${MAX_DIMENSIONS} dimensions`, shape.length);
  const bytes = shape.reduce((product, n) => product * n, 1) * ELEMENT_BYTES[dtype];
  if (begin + bytes !== size) refuse(`have ${bytes} bytes behind its head`, size - begin);
  return { dtype, shape, begin };
}

/** {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
function parseHead(text: string): { descr: string; fortran: boolean; shape: number[] } | undefined {
  const descr = /'descr':\s*'([^']*)'/.exec(text)?.[1];
  const fortran = /'fortran_order':\s*(True|False)/.exec(text)?.[1];
  const shape = /'shape':\s*\(([\d,\s]*)\)/.exec(text)?.[1];
  if (descr === undefined || fortran === undefined || shape === undefined) return undefined;
  const sizes = (shape.match(/\d+/g) ?? []).map(Number);
  return sizes.every(Number.isSafeInteger) ? { descr, fortran: fortran === "True", shape: sizes } : undefined;
}

/** The bytes of an .npy file of floats or small integers, version 1.0. */
export function encodeNpy({
  dims,
  data,
}: {
  readonly dims: readonly number[];
  readonly data: Float32Array | Int8Array;
}): Uint8Array {
  const shape = `(${dims.join(", ")}${dims.length === 1 ? "," : ""})`;
  const descr = data instanceof Int8Array ? "|i1" : "<f4";
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }`;
  // 10 bytes come before the header; with its line end the data begin at a multiple of 64.
  const start = Math.ceil((10 + header.length + 1) / 64) * 64;
  const file = new Uint8Array(start + data.byteLength);
  file.set(new TextEncoder().encode(`?NUMPY\x01\x00??${header.padEnd(start - 11)}\n`));
  file[0] = 0x93;
  new DataView(file.buffer).setUint16(8, start - 10, true);
  file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), start);
  return file;
}
