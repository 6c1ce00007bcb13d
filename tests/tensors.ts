/** Reading golden tensors: whole safetensors files, as f32. */
import { readFileSync } from "node:fs";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { headerLength, isConvertible, parseHeader } from "../src/io/safetensors.js";
import { widen } from "../src/numerics/elements.js";
import type { Tensor } from "../src/vit/outputs.js";
import { noise } from "./backend.cases.js";

export const readTensors = (path: string): Map<string, Tensor> => tensorsOf(readFileSync(path), path);

/** @param path for messages. */
export function tensorsOf(bytes: Uint8Array, path: string): Map<string, Tensor> {
  const length = headerLength(bytes.subarray(0, 8), bytes.length, path);
  const tensors = new Map<string, Tensor>();
  for (const info of parseHeader(bytes.subarray(8, 8 + length), { name: path, fileSize: bytes.length })) {
    if (!isConvertible(info)) throw new Error(`golden: ${info.name} is ${info.dtype}`);
    tensors.set(info.name, { dims: info.shape, data: widen(bytes.slice(info.begin, info.end), info.dtype) });
  }
  return tensors;
}

/** Tensors of a safetensors file by name, as the bytes that they are. */
export function readBytes(path: string): (name: string) => Uint8Array {
  const file = readFileSync(path);
  const { length, header } = readHeader(file);
  return (name) => {
    const [begin, end] = header[name]!.data_offsets;
    return new Uint8Array(file.subarray(8 + length + begin, 8 + length + end));
  };
}

/** Their shapes. */
export function readShapes(path: string): (name: string) => number[] {
  const { header } = readHeader(readFileSync(path));
  return (name) => header[name]!.shape;
}

function readHeader(file: Buffer) {
  const length = Number(file.readBigUInt64LE(0));
  const header: Record<string, { shape: number[]; data_offsets: [number, number] }> = JSON.parse(
    file.toString("utf8", 8, 8 + length),
  );
  return { length, header };
}

/** A tensor as a checkpoint reads it. */
export interface ReadTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** All tensors of a checkpoint that convert, as they are read. */
export async function readCheckpoint(...args: Parameters<typeof openCheckpoint>): Promise<Map<string, ReadTensor>> {
  const checkpoint = await openCheckpoint(...args);
  const read = new Map<string, ReadTensor>();
  try {
    for (const [name, info] of checkpoint.tensors) {
      if (isConvertible(info)) read.set(name, { ...info, bytes: new Uint8Array(info.end - info.begin) });
    }
    await checkpoint.read({
      wanted: isConvertible,
      stage: (length) => new Uint8Array(length),
      store({ name }, row, bytes) {
        const all = read.get(name)!;
        all.bytes.set(bytes, (row * all.bytes.length) / (all.shape[0] ?? 1));
        return -1;
      },
    });
  } finally {
    await checkpoint.close();
  }
  return read;
}

/** A safetensors file of noise, in the magnitude of weights of as many inputs. */
export function safetensorsOfNoise(tensors: Readonly<Record<string, readonly number[]>>): Uint8Array {
  const header: Record<string, object> = {};
  const parts: Float32Array[] = [];
  let at = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const count = shape.reduce((product, n) => product * n, 1);
    const inputs = shape.length > 1 ? count / shape[0]! : 4;
    parts.push(
      noise(count, parts.length + 1).map((x) => (2 * x) / Math.sqrt(inputs) + (name.endsWith("bias") ? 0.2 : 0)),
    );
    header[name] = { dtype: "F32", shape, data_offsets: [at, at + 4 * count] };
    at += 4 * count;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + at);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  let to = 8 + json.length;
  for (const part of parts) {
    file.set(new Uint8Array(part.buffer), to);
    to += part.byteLength;
  }
  return file;
}
