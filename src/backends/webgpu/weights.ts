/**
 * Linear layers in a device's memory: rows of W as in a checkpoint, each filled up to whole vectors of 4 inputs, and a scale
 * and a bias for each output. Elements are converted here, as they arrive.
 */
import type { DType, Linear, Precision, Tensor, WeightTarget } from "../../backend.js";
import { narrow, widen } from "../../numerics/elements.js";
import { quantizeRow, WEIGHT_RANGE } from "../../numerics/quantize.js";
import type { Recorder, Storage } from "./recorder.js";

/** Rows `stride` elements apart, zeros behind the last column. */
export interface GpuTensor extends Tensor {
  readonly stride: number;
  readonly storage: Storage;
}

export interface GpuLinear extends Linear {
  readonly weight: Storage;
  /** (scale, bias) of each output. */
  readonly columns: Storage;
  /** Values of `columns`. */
  readonly values: Float32Array;
}

/** To whole vectors. */
export const upTo4 = (n: number): number => Math.ceil(n / 4) * 4;

export const WEIGHT_BYTES: Record<Precision, number> = { f32: 4, f16: 2, int8: 1 };

/** Elements as f32; without a copy where they are. */
function floatsOf(bytes: Uint8Array, dtype: DType): Float32Array {
  if (dtype === "F32" && bytes.byteOffset % 4 === 0) {
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  }
  return widen(bytes, dtype);
}

/** Stores whole rows; returns -1, or the index of the first element that is not finite, in its precision. */
export function storeRows(recorder: Recorder, target: WeightTarget, dtype: DType, bytes: Uint8Array): number {
  const x = floatsOf(bytes, dtype);
  if ("tensor" in target) {
    const bad = firstBad(x);
    if (bad < 0) {
      const { storage, cols, stride } = target.tensor as GpuTensor;
      recorder.write(storage, target.row * stride * 4, bytesOf(padRows(x, cols, stride)));
    }
    return bad;
  }
  const linear = target.linear as GpuLinear;
  const { inputs, precision, weight, values } = linear;
  if (target.part === "bias") {
    const bad = firstBad(x);
    if (bad < 0) {
      for (const [i, value] of x.entries()) values[2 * (target.row + i) + 1] = value;
      storeColumns(recorder, linear);
    }
    return bad;
  }
  const stride = upTo4(inputs);
  const rows = x.length / inputs;
  const at = target.row * stride * WEIGHT_BYTES[precision];
  const given = target.scales;
  if (precision === "int8") {
    const bad = firstBad(x);
    if (bad >= 0) return bad;
    const integers = new Int8Array(rows * stride);
    for (let row = 0; row < rows; row++) {
      const from = x.subarray(row * inputs, (row + 1) * inputs);
      const to = integers.subarray(row * stride, row * stride + inputs);
      if (given) to.set(from);
      values[2 * (target.row + row)] = given ? given[row]! : quantizeRow(to, from, WEIGHT_RANGE);
    }
    recorder.write(weight, at, bytesOf(integers));
    storeColumns(recorder, linear);
    return -1;
  }
  const scaled = given ? x.map((value, i) => value * given[Math.floor(i / inputs)]!) : x;
  const bad = firstBad(scaled);
  if (bad >= 0) return bad;
  if (precision === "f32") {
    recorder.write(weight, at, bytesOf(padRows(scaled, inputs, stride)));
    return -1;
  }
  const halves = new Uint16Array(rows * stride);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < inputs; i++) {
      const half = narrow(scaled[row * inputs + i]!);
      if ((half & 0x7fff) === 0x7c00) return row * inputs + i;
      halves[row * stride + i] = half;
    }
  }
  recorder.write(weight, at, bytesOf(halves));
  return -1;
}

/** Uploads scales and biases: all of them, they are few. */
export const storeColumns = (recorder: Recorder, { columns, values }: GpuLinear): void =>
  recorder.write(columns, 0, bytesOf(values));

export const bytesOf = (x: Float32Array | Int32Array | Uint16Array | Int8Array): Uint8Array =>
  new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

export function padRows(x: Float32Array, cols: number, stride: number): Float32Array {
  if (cols === stride) return x;
  const rows = x.length / cols;
  const out = new Float32Array(rows * stride);
  for (let row = 0; row < rows; row++) out.set(x.subarray(row * cols, (row + 1) * cols), row * stride);
  return out;
}

function firstBad(x: Float32Array): number {
  // A sum is finite only if all are, unless it overflows, which large sums do not: then each is looked at.
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]!;
  return Number.isFinite(sum) ? -1 : x.findIndex((value) => !Number.isFinite(value));
}
