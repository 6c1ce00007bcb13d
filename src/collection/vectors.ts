/**
 * Rows of features in WebAssembly memory, and the products of queries with all of them (assembly/search.ts). A block is an instance with
 * memory of its own, so that there may be more rows than one memory holds.
 */
import { dot } from "../numerics/vectors.js";
import { fromBase64 } from "../platform/bytes.js";
import { fromStored, type Numbers, numberBytes } from "./numbers.js";
import { base64 } from "./search.gen.js";

interface Kernels {
  readonly memory: WebAssembly.Memory;
  scan_f32(scores: number, queries: number, batch: number, rows: number, count: number, width: number): void;
  /** Takes scores, queries, scales, batch, rows, norms, count and width. */
  scan_i8(...sizes: readonly number[]): void;
  norms_i8(norms: number, rows: number, count: number, width: number): void;
}

/** Rows that are scored at once: scores of 64 queries take 256 KB. */
const CHUNK = 1024;
/** Queries that pass at once. */
export const BATCH = 64;
/** First byte that the kernel leaves free. */
const BASE = 1024;
/** Bytes of rows in a block. */
const MAX_BLOCK = 2 ** 30;

let module: WebAssembly.Module | undefined;

export interface Block {
  /** Rows that fit. */
  readonly room: number;
  /** Rows that are there. */
  readonly count: number;
  /** The place behind the last row, for the bytes of as many more as stored; valid until the next call, which says how many there are. */
  free(rows: number): Uint8Array;
  /** Takes the bytes of so many rows as filled. */
  grow(rows: number): void;
  /** Empties it. */
  clear(): void;
  /** A row of length 1. */
  row(index: number): Float32Array;
  /** The cosine with a query of length 1, in f64. */
  cosine(query: Float32Array, index: number): number;
  /**
   * Scores all rows from `first` on, a chunk at a time.
   * @param queries [n, width] of length 1, at most BATCH of them.
   * @param take is given the first row of each chunk and the scores, [n, rows of the chunk].
   */
  scan(
    queries: readonly Float32Array[],
    take: (first: number, scores: Float32Array, count: number) => void,
    first?: number,
  ): void;
}

/** Rows that a block holds at most; of int8 each has its norm beside it. */
export const rowsOfBlock = (width: number, numbers: Numbers): number =>
  Math.floor(MAX_BLOCK / (numbers === "int8" ? width + 4 : 4 * width));

export function createBlock(width: number, numbers: Numbers, room: number): Block {
  module ??= new WebAssembly.Module(fromBase64(base64));
  const kernels = new WebAssembly.Instance(module).exports as unknown as Kernels;
  const { memory } = kernels;
  const line = numberBytes(numbers) * width;
  const queriesAt = BASE;
  const scalesAt = queriesAt + 4 * BATCH * width;
  const scoresAt = scalesAt + 4 * BATCH;
  const normsAt = scoresAt + 4 * BATCH * CHUNK;
  const rowsAt = normsAt + (numbers === "int8" ? 4 * room : 0);
  const pages = Math.ceil((rowsAt + line * room) / 65536) - memory.buffer.byteLength / 65536;
  if (pages > 0) memory.grow(pages);
  const bytes = (first: number, rows: number) => new Uint8Array(memory.buffer, rowsAt + line * first, line * rows);
  let count = 0;

  function place(query: Float32Array, i: number): void {
    if (numbers === "f32") {
      new Float32Array(memory.buffer, queriesAt + 4 * width * i).set(query);
      return;
    }
    const scale = query.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0) / largestOf(width);
    new Float32Array(memory.buffer, scalesAt + 4 * i)[0] = scale;
    const integers = new Int16Array(memory.buffer, queriesAt + 2 * width * i, width);
    for (let j = 0; j < width; j++) integers[j] = Math.round(query[j]! / Math.fround(scale));
  }

  return {
    room,
    get count() {
      return count;
    },
    free: (rows) => bytes(count, rows),
    grow(rows) {
      if (numbers === "int8") kernels.norms_i8(normsAt + 4 * count, rowsAt + line * count, rows, width);
      count += rows;
    },
    clear() {
      count = 0;
    },
    row: (index) => fromStored(numbers, bytes(index, 1).slice(), width),
    cosine(query, index) {
      if (numbers === "f32") return dot(query, new Float32Array(memory.buffer, rowsAt + line * index, width));
      const row = Float32Array.from(new Int8Array(memory.buffer, rowsAt + line * index, width));
      return dot(query, row) / (Math.sqrt(dot(row, row)) || 1);
    },
    scan(queries, take, first = 0) {
      queries.forEach(place);
      const batch = queries.length;
      for (let at = first; at < count; at += CHUNK) {
        const rows = Math.min(CHUNK, count - at);
        const begin = rowsAt + line * at;
        if (numbers === "f32") kernels.scan_f32(scoresAt, queriesAt, batch, begin, rows, width);
        else kernels.scan_i8(scoresAt, queriesAt, scalesAt, batch, begin, normsAt + 4 * at, rows, width);
        take(at, new Float32Array(memory.buffer, scoresAt, batch * rows), rows);
      }
    },
  };
}

/** Largest integer of a query: sums of `width` products with int8 stay below 2^31. */
const largestOf = (width: number): number => Math.min(32767, Math.floor((2 ** 31 - 1) / (127 * width)));

/**
 * Bound of |score − exact| for rows and a query of length 1, as assembly/search.ts has it, and a little for the lengths and for the
 * rounding of a query's scale.
 */
export function errorOf(width: number, numbers: Numbers): number {
  if (numbers === "f32") return (width / 4 + 8) * 2 ** -24;
  return (0.51 * Math.sqrt(width)) / largestOf(width) + 2 ** -20;
}
