/**
 * The safetensors format: 8 bytes that give the length of a JSON header, the header, the tensors' bytes end to end.
 * Rules as in https://github.com/huggingface/safetensors#format and its reference reader, none of them relaxed: a file
 * that two readers could understand differently is refused.
 */
import { type DType, ELEMENT_BYTES } from "../backend.js";
import { excerpt, MAX_CONTAINERS, MAX_NESTING } from "../json.js";
import { type Float8, widen } from "../numerics/elements.js";

/** Bits of one element, for the types of the format that have no f32 value of their own. */
const OTHER_BITS = {
  U16: 16,
  U32: 32,
  U64: 64,
  C64: 64,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
};

/** Kinds of tensors that other formats have besides, and nobody reads here: as a message names them. */
export type UnreadType = "C32" | "C128" | "sparse" | "quantized" | "without data" | "of another kind";

/** Where a tensor lies. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType | keyof typeof OTHER_BITS | UnreadType;
  readonly shape: readonly number[];
  /** First byte and the byte after the last, counted from the start of the file. */
  readonly begin: number;
  readonly end: number;
  /** The file, for messages. */
  readonly file: string;
}

/** A tensor whose elements convert to f32. */
export type ConvertibleTensor = TensorInfo & { readonly dtype: DType };

export const isConvertible = (info: TensorInfo): info is ConvertibleTensor => Object.hasOwn(ELEMENT_BYTES, info.dtype);

/** A tensor as it is read: 8-bit floats are given as f16, with the bytes that these take. */
export function asRead(info: TensorInfo): TensorInfo {
  return isFloat8(info) ? { ...info, dtype: "F16", end: 2 * info.end - info.begin } : info;
}

/** Tells whether its elements are 8-bit floats, which are read as f16. */
export const isFloat8 = (info: TensorInfo): info is TensorInfo & { readonly dtype: Float8 } =>
  info.dtype === "F8_E4M3" || info.dtype === "F8_E5M2";

/** The format's own limit on the header, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Length of the JSON header.
 * @param first8 the first 8 bytes of the file, fewer if it has fewer.
 * @param fileSize bytes in the file; Infinity for a stream, whose end is not known yet.
 * @param name the file, for messages.
 */
export function headerLength(first8: Uint8Array, fileSize: number, name: string): number {
  if (first8.length < 8) {
    throw new Error(`safetensors: "${name}" has ${first8.length} bytes; the length of the header alone takes 8`);
  }
  if (new TextDecoder().decode(first8) === "version ") {
    throw new Error(`safetensors: "${name}" is a Git LFS pointer, not the file that it stands for`);
  }
  // Pages and JSON begin with a mark, or white space before it.
  const [mark] = new TextDecoder().decode(first8).trimStart();
  if (first8.every((byte) => byte >= 9 && byte < 127)) {
    const what =
      mark === "<" ? "an HTML or XML page, such as a server sends in the place of a file" : "JSON, not weights";
    if (mark === "<" || mark === "{") throw new Error(`safetensors: "${name}" is ${what}`);
  }
  const length = new DataView(first8.buffer, first8.byteOffset).getBigUint64(0, true);
  // A number of this size is eight characters of some text, which are not to be told.
  const says = () => `says ${length < 2n ** 53n ? `${grouped(length)} bytes` : "2^53 bytes or more"}`;
  if (Number(length) > fileSize - 8) {
    throw new Error(`safetensors: header of "${name}" ${says()} but the file has ${grouped(fileSize)}`);
  }
  if (length > MAX_HEADER_BYTES) {
    throw new Error(`safetensors: header of "${name}" ${says()}; the format allows ${grouped(MAX_HEADER_BYTES)}`);
  }
  return Number(length);
}

/**
 * The tensors of a file, in the order of their bytes.
 * @param header the JSON header, without the 8 bytes before it.
 * @param file its name for messages, and its size in bytes: Infinity for a stream, where the reader compares later.
 * @throws Error: one sentence with the file, the rule and what was found.
 */
export function parseHeader(header: Uint8Array, file: { name: string; fileSize: number }): TensorInfo[] {
  const fail = (found: string): never => {
    throw new Error(`safetensors: header of "${file.name}" ${found}`);
  };
  const entries = Object.entries(parseObject(header, fail));
  const infos: TensorInfo[] = [];
  for (const [name, value] of entries) {
    if (name === "__metadata__") {
      if (!isObject(value) || Object.values(value).some((text) => typeof text !== "string")) {
        fail(`must map texts to texts in "__metadata__"; it holds ${shown(value)}`);
      }
    } else {
      infos.push(parseTensor(name, value, file.name, 8 + header.length, fail));
    }
  }
  infos.sort((a, b) => a.begin - b.begin || a.end - b.end);

  let end = 8 + header.length;
  for (const [i, info] of infos.entries()) {
    if (info.begin < end) {
      const [name, other] = [quoted(info.name), quoted(infos[i - 1]!.name)];
      fail(`lets tensors overlap: ${name} begins at byte ${grouped(info.begin)}, ${other} ends at ${grouped(end)}`);
    }
    if (info.begin > end) {
      fail(`leaves a hole: bytes ${grouped(end)} to ${grouped(info.begin)} belong to no tensor`);
    }
    end = info.end;
  }
  if (Number.isFinite(file.fileSize) && end !== file.fileSize) {
    fail(`describes a file of ${grouped(end)} bytes but the file has ${grouped(file.fileSize)}`);
  }
  return infos;
}

/** The texts of a header's `__metadata__`, after `parseHeader` took it. */
export const metadataOf = (header: Uint8Array): Readonly<Record<string, string>> =>
  JSON.parse(new TextDecoder().decode(header)).__metadata__ ?? {};

/** The header's JSON object, without repeated names. */
function parseObject(header: Uint8Array, fail: (found: string) => never): Record<string, unknown> {
  if (header[0] !== 0x7b) {
    fail('must start with "{"');
  }
  let json = "";
  try {
    json = new TextDecoder("utf-8", { fatal: true }).decode(header);
  } catch {
    fail("is not valid UTF-8");
  }
  let value: unknown;
  checkHeader(json, fail);
  try {
    value = JSON.parse(json);
  } catch {
    fail("is not valid JSON");
  }
  return value as Record<string, unknown>;
}

/** A tensor's entry, checked on its own. `dataStart`: offsets in the header count from there. */
function parseTensor(
  name: string,
  entry: unknown,
  file: string,
  dataStart: number,
  fail: (found: string) => never,
): TensorInfo {
  const tensor = quoted(name);
  if (!isObject(entry)) fail(`must describe ${tensor} by an object; it holds ${shown(entry)}`);
  const { dtype, shape, data_offsets: offsets } = entry as Record<string, unknown>;
  const bits = typeof dtype === "string" ? elementBits(dtype) : undefined;
  if (bits === undefined) fail(`gives ${tensor} the dtype ${shown(dtype)}, which the format does not have`);
  if (!isSizes(shape)) fail(`must give ${tensor} a shape of whole numbers; it holds ${shown(shape)}`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    fail(`must give ${tensor} two data_offsets, whole numbers; it holds ${shown(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) fail(`lets ${tensor} begin at ${grouped(begin)} and end before, at ${grouped(end)}`);
  let total = bits as number;
  for (const size of shape as number[]) {
    total *= size;
    if (total > Number.MAX_SAFE_INTEGER) fail(`gives ${tensor} the shape ${shown(shape)}, too large for any file`);
  }
  if (total !== (end - begin) * 8) {
    fail(
      `gives ${tensor}, ${dtype} of shape ${shown(shape)}, ${grouped(end - begin)} bytes; it takes ${grouped(total / 8)}`,
    );
  }
  return {
    name,
    dtype: dtype as TensorInfo["dtype"],
    shape: shape as number[],
    begin: dataStart + begin,
    end: dataStart + end,
    file,
  };
}

/** Half of a character: a surrogate without the other one. */
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/**
 * Refuses what JSON.parse does not show, before it makes anything of it: a name that the header, or an object in it, has twice,
 * numbers that serde's usize does not take (1.0, 1e2, -0), texts that are no Unicode, and more than is believed. What is not
 * JSON at all is left to the parser.
 */
function checkHeader(json: string, fail: (found: string) => never): void {
  // What lies deeper than a tensor's entry means nothing to the format.
  const names = [new Set<string>(), new Set<string>()];
  const number = /-?[\d.eE+-]*/y;
  let [objects, depth, containers] = [0, 0, 0];
  let text = { start: 0, end: 0 };
  let field = "";
  for (let i = 0; i < json.length; i++) {
    const char = json[i]!;
    if (char === '"') {
      const start = i;
      let escaped = false;
      for (i++; i < json.length && json[i] !== '"'; i++) {
        if (json[i] !== "\\") continue;
        escaped ||= json[++i] === "u";
      }
      text = { start, end: i + 1 };
      if (escaped && LONE.test(parsed(json, text) ?? "")) {
        fail(`has a text that is no Unicode: ${excerpt(parsed(json, text))}`);
      }
    } else if (char === "{" || char === "[") {
      if (char === "{" && ++objects === 2) names[1] = new Set();
      if (++depth > MAX_NESTING) fail(`nests values deeper than ${MAX_NESTING} levels`);
      if (++containers > MAX_CONTAINERS) fail(`holds more than ${grouped(MAX_CONTAINERS)} objects and arrays`);
    } else if (char === "}" || char === "]") {
      if (char === "}") objects--;
      depth--;
    } else if (char === ":" && objects <= 2 && depth === objects) {
      // A colon outside texts follows a name.
      const known = names[objects - 1];
      const name = parsed(json, text);
      if (known === undefined || name === undefined) return;
      if (known.has(name)) fail(`has ${quoted(name)} twice`);
      known.add(name);
      if (objects === 2) field = name;
    } else if (char === "-" || (char >= "0" && char <= "9")) {
      number.lastIndex = i;
      const found = number.exec(json)![0];
      i += found.length - 1;
      // Nearly all are a few digits.
      if (found.length < 16 && !/[^\d]/.test(found)) continue;
      const value = Number(found);
      const counts = objects === 2 && (field === "shape" || field === "data_offsets");
      if (counts && isSize(value) && !/^\d+$/.test(found)) {
        fail(`must write the whole numbers of "${field}" in digits alone; it holds ${found.slice(0, 80)}`);
      }
      if (Math.abs(value) === Number.POSITIVE_INFINITY) fail(`has a number out of range: ${found.slice(0, 80)}`);
    }
  }
}

/** A text of the header; undefined where it is none. */
function parsed(json: string, { start, end }: { start: number; end: number }): string | undefined {
  try {
    return JSON.parse(json.slice(start, end));
  } catch {
    return undefined;
  }
}

/** Bits of one element; undefined for a type that the format does not have. */
export function elementBits(dtype: string): number | undefined {
  if (Object.hasOwn(ELEMENT_BYTES, dtype)) return 8 * ELEMENT_BYTES[dtype as DType];
  return Object.hasOwn(OTHER_BITS, dtype) ? OTHER_BITS[dtype as keyof typeof OTHER_BITS] : undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is number[] => Array.isArray(value) && value.every(isSize);

const grouped = (count: number | bigint): string => count.toLocaleString("en-US");

/** A value of the header for a message. */
const shown = (value: unknown): string => (value === undefined ? "nothing" : excerpt(value));

const quoted = (name: string): string => excerpt(name);

/**
 * The F32 tensors of a file in memory, and its metadata.
 * @throws Error: one sentence, also for tensors of another type.
 */
export function decode(file: Uint8Array, name: string) {
  const length = headerLength(file.subarray(0, 8), file.length, name);
  const header = file.subarray(8, 8 + length);
  const tensors = new Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>();
  for (const { name: tensor, dtype, shape, begin, end } of parseHeader(header, { name, fileSize: file.length })) {
    if (dtype !== "F32") throw new Error(`safetensors: ${quoted(tensor)} of "${name}" must be F32; got ${dtype}`);
    tensors.set(tensor, { shape, data: widen(file.subarray(begin, end), dtype) });
  }
  return { tensors, metadata: metadataOf(header) };
}

/** Larger elements before smaller ones, as the format's reference writer has them: each then begins at a multiple of its size. */
export const aligned = <T extends { readonly dtype: DType }>(tensors: readonly T[]): T[] =>
  [...tensors].sort((a, b) => ELEMENT_BYTES[b.dtype] - ELEMENT_BYTES[a.dtype]);

/**
 * Writes the beginning of a safetensors file of these tensors, and says where each of them then begins, in the order given.
 * @param metadata texts for the header's `__metadata__`.
 */
export function encodeHeader(
  tensors: readonly { name: string; dtype: DType; shape: readonly number[] }[],
  metadata?: Record<string, string>,
): { bytes: Uint8Array; begins: number[]; end: number } {
  const header = new Map<string, unknown>();
  if (metadata) header.set("__metadata__", metadata);
  let end = 0;
  const offsets: number[] = [];
  for (const { name, dtype, shape } of tensors) {
    if (header.has(name)) throw new RangeError(`safetensors: ${quoted(name)} is given twice`);
    offsets.push(end);
    end += shape.reduce((product, n) => product * n, ELEMENT_BYTES[dtype]);
    header.set(name, { dtype, shape, data_offsets: [offsets.at(-1), end] });
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  // Spaces after the header let the data begin at a multiple of 8.
  const start = 8 + Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(start).fill(0x20, 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - 8), true);
  bytes.set(text, 8);
  return { bytes, begins: offsets.map((offset) => start + offset), end: start + end };
}

/**
 * A safetensors file of F32 tensors, in the order given.
 * @param tensors `data` is row-major and has as many elements as `shape` says.
 * @param metadata texts for the header's `__metadata__`.
 */
export function encode(
  tensors: readonly { name: string; shape: readonly number[]; data: Float32Array }[],
  metadata?: Record<string, string>,
): Uint8Array {
  const described = tensors.map(({ name, shape }) => ({ name, dtype: "F32" as const, shape }));
  const { bytes, begins, end } = encodeHeader(described, metadata);
  const file = new Uint8Array(end);
  file.set(bytes);
  for (const [i, { name, shape, data }] of tensors.entries()) {
    const size = shape.reduce((product, n) => product * n, 1);
    if (size !== data.length) {
      throw new RangeError(
        `safetensors: ${quoted(name)} of shape ${shown(shape)} takes ${size} elements, got ${data.length}`,
      );
    }
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), begins[i]!);
  }
  return file;
}
