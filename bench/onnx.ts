/**
 * Writes ONNX models, so that onnxruntime can run the very weights that vitrail runs.
 *
 * Sources: onnx.proto3 of https://github.com/onnx/onnx for the field numbers, and https://protobuf.dev/programming-guides/encoding.
 */

/** One call of an operator; a whole number becomes an INT attribute, any other number a FLOAT. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | readonly number[]>>;
  /** "com.microsoft" for onnxruntime's own operators; ONNX's if absent. */
  readonly domain?: string;
}

/** A constant: f32, int8 for quantized weights, or int64 for the shapes that some operators take as inputs. */
export interface OnnxTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly data: Float32Array | Int8Array | BigInt64Array;
}

/** An input or output of the model, of f32. */
export interface OnnxValue {
  readonly name: string;
  readonly dims: readonly number[];
}

export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly tensors: readonly OnnxTensor[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
}

/** The newest ONNX operator set used here: that of Gelu. */
const OPSET = 20;
const IR_VERSION = 9;
/** TensorProto.DataType. */
export const FLOAT = 1;
const INT8 = 3;
const INT64 = 7;

/** A piece of the file; nested, since a message is preceded by its length. */
interface Chunk {
  readonly length: number;
  readonly parts: readonly (Uint8Array | Chunk)[];
}

/** @returns the bytes of the .onnx file. */
export function writeOnnx(graph: OnnxGraph): Uint8Array<ArrayBuffer> {
  const model = join([
    integer(1, IR_VERSION),
    message(7, [
      ...graph.nodes.map((node) => message(1, writeNode(node))),
      text(2, "graph"),
      ...graph.tensors.map((tensor) => message(5, writeTensor(tensor))),
      ...graph.inputs.map((value) => message(11, writeValue(value))),
      ...graph.outputs.map((value) => message(12, writeValue(value))),
    ]),
    message(8, [text(1, ""), integer(2, OPSET)]),
    message(8, [text(1, "com.microsoft"), integer(2, 1)]),
  ]);
  const file = new Uint8Array(model.length);
  copyInto(file, 0, model);
  return file;
}

function writeNode({ op, inputs, outputs, attributes = {}, domain = "" }: OnnxNode): Chunk[] {
  return [
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => message(5, [text(1, name), ...writeAttribute(value)])),
    text(7, domain),
  ];
}

function writeAttribute(value: number | readonly number[]): Chunk[] {
  if (typeof value !== "number") return [...value.map((item) => integer(8, item)), integer(20, 7)];
  if (Number.isInteger(value)) return [integer(3, value), integer(20, 2)];
  return [join([tag(2, 5), leaf(bytesOf(new Float32Array([value])))]), integer(20, 1)];
}

function writeTensor({ name, dims, data }: OnnxTensor): Chunk[] {
  const type = data instanceof Float32Array ? FLOAT : data instanceof Int8Array ? INT8 : INT64;
  return [...dims.map((size) => integer(1, size)), integer(2, type), text(8, name), message(9, [leaf(bytesOf(data))])];
}

function writeValue({ name, dims }: OnnxValue): Chunk[] {
  const shape = dims.map((size) => message(1, [integer(1, size)]));
  return [text(1, name), message(2, [message(1, [integer(1, FLOAT), message(2, shape)])])];
}

const integer = (field: number, value: number): Chunk => join([tag(field, 0), varint(value)]);
const text = (field: number, value: string): Chunk => message(field, [leaf(new TextEncoder().encode(value))]);
const tag = (field: number, wireType: number): Chunk => varint((field << 3) | wireType);
const leaf = (bytes: Uint8Array): Chunk => ({ length: bytes.length, parts: [bytes] });

function message(field: number, parts: readonly Chunk[]): Chunk {
  const content = join(parts);
  return join([tag(field, 2), varint(content.length), content]);
}

function join(parts: readonly Chunk[]): Chunk {
  return { length: parts.reduce((sum, part) => sum + part.length, 0), parts };
}

/** Seven bits a byte, low ones first; negative numbers as 64-bit two's complement. */
function varint(value: number): Chunk {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return leaf(Uint8Array.from([...bytes, Number(rest)]));
}

function bytesOf(data: OnnxTensor["data"]): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function copyInto(file: Uint8Array, at: number, chunk: Chunk): number {
  for (const part of chunk.parts) {
    if (part instanceof Uint8Array) {
      file.set(part, at);
      at += part.length;
    } else {
      at = copyInto(file, at, part);
    }
  }
  return at;
}
