/**
 * Tensors end to end, as if a safetensors file held them. Those that lie in their storage as they are pass in chunks; of those
 * that do not (views with strides, matrices stored by columns) the part of the storage is read, and elements are put in order.
 */
import { elementBits, type TensorInfo } from "../safetensors.js";
import type { ByteSource } from "../source.js";
import type { Refuse, View } from "./globals.js";
import { checkExpansion, type Opened, type StorageRecord } from "./opened.js";
import type { States } from "./state.js";

/** A tensor with its bytes, in the order of a C array, at `begin` of all. */
interface Piece {
  readonly view: View;
  readonly size: number;
  readonly record: StorageRecord;
  /** The byte of the first element, in the record. */
  readonly first: number;
  readonly begin: number;
  readonly end: number;
}

/** Tensors and where they lie in `source`, which ends at `end`. */
export interface LaidOut {
  readonly source: ByteSource;
  readonly tensors: readonly TensorInfo[];
  readonly end: number;
}

/** Lays tensors end to end, in the order of their bytes in the file. */
export function layOut(
  file: ByteSource,
  tensors: States,
  { record: recordOf, isBigEndian }: Opened,
  refuse: Refuse,
): LaidOut {
  const pieces: (Omit<Piece, "begin" | "end"> & { name: string; bytes: number })[] = [];
  const infos: TensorInfo[] = [];
  for (const [name, view] of tensors) {
    const { type, shape, at } = view;
    const size = (elementBits(type) ?? 0) / 8;
    if (!at) {
      infos.push({ name, dtype: type, shape, begin: 0, end: 0, file: file.name });
      continue;
    }
    const { storage, offset } = at;
    const record = recordOf(storage);
    if (record.length !== storage.whole) {
      refuse(`must have ${storage.whole} bytes in storage ${storage.key}; it has ${record.length}`);
    }
    const bytes = shape.reduce((product, n) => product * n, size);
    pieces.push({ name, view, size, record, first: storage.begin + offset * size, bytes });
  }
  pieces.sort((a, b) => a.record.order - b.record.order || a.first - b.first);
  let end = 0;
  const placed = pieces.map(({ name, bytes, ...piece }): Piece => {
    const begin = end;
    end += bytes;
    const { type, shape } = piece.view;
    infos.push({ name, dtype: type, shape, begin, end, file: file.name });
    return { ...piece, begin, end };
  });
  checkExpansion(end, file.size, refuse);
  const source: ByteSource = {
    name: file.name,
    size: end,
    read: createReading(placed, isBigEndian),
    finish: async () => {},
    close: async () => {},
  };
  return { source, tensors: infos, end };
}

/** Reads from pieces, in each of which the target has to lie. */
function createReading(pieces: readonly Piece[], isBigEndian: boolean): ByteSource["read"] {
  let held: { readonly piece: Piece; readonly bytes: Uint8Array } | undefined;
  return async (target, position) => {
    const piece = pieceAt(pieces, position);
    const { view, size, record, first, begin } = piece;
    const at = position - begin;
    if (isContiguous(view)) {
      await record.read(target, first + at);
    } else {
      // Rows of a matrix that is stored by columns have elements everywhere in it.
      if (held?.piece !== piece) {
        held = undefined;
        const bytes = new Uint8Array(spanOf(view) * size);
        await record.read(bytes, first);
        held = { piece, bytes };
      }
      gather(held.bytes, view, size, at / size, target);
      if (position + target.length === piece.end) held = undefined;
    }
    if (isBigEndian) swap(target, size);
  };
}

/** The piece that has the byte at `position`. */
function pieceAt(pieces: readonly Piece[], position: number): Piece {
  let [low, high] = [0, pieces.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (pieces[middle]!.end <= position) low = middle + 1;
    else high = middle;
  }
  return pieces[low]!;
}

/** Tells whether elements lie in the order of a C array, without gaps. */
function isContiguous({ shape, at }: View): boolean {
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && at!.strides[i] !== step) return false;
    step *= shape[i]!;
  }
  return true;
}

/** Elements of the storage from the first to the last one of a tensor. */
const spanOf = ({ shape, at }: View): number =>
  shape.reduce((last, size, i) => last + (size - 1) * at!.strides[i]!, 0) + 1;

/** Fills `target` with a tensor's elements from the `start`-th on, in the order of a C array. */
function gather(bytes: Uint8Array, { shape, at }: View, size: number, start: number, target: Uint8Array): void {
  // Eight bytes are two words of four.
  const word = Math.min(size, 4);
  const words = size / word;
  const Words = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array }[word as 1 | 2 | 4];
  const from = new Words(bytes.buffer as ArrayBuffer);
  const isAligned = target.byteOffset % word === 0;
  const to = isAligned
    ? new Words(target.buffer as ArrayBuffer, target.byteOffset, target.length / word)
    : new Words(target.length / word);
  const { strides } = at!;
  const last = shape.length - 1;
  const index = new Array<number>(shape.length);
  let rest = start;
  let begin = 0;
  for (let i = last; i >= 0; i--) {
    index[i] = rest % shape[i]!;
    rest = Math.floor(rest / shape[i]!);
    begin += index[i]! * strides[i]!;
  }
  const step = strides[last]!;
  for (let next = 0; next < to.length; ) {
    const run = Math.min(shape[last]! - index[last]!, (to.length - next) / words);
    for (let i = 0, position = begin; i < run; i++, position += step) {
      for (let j = 0; j < words; j++) to[next++] = from[position * words + j]!;
    }
    // The next row: the last index that can be counted up, and zeros behind it.
    begin -= index[last]! * step;
    index[last] = 0;
    for (let i = last - 1; i >= 0; i--) {
      begin += strides[i]!;
      if (++index[i]! < shape[i]!) break;
      begin -= shape[i]! * strides[i]!;
      index[i] = 0;
    }
  }
  if (!isAligned) target.set(new Uint8Array(to.buffer));
}

/** Turns the bytes of each element around. */
function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; size > 1 && at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}
