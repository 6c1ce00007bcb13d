/**
 * Rows of features in WebAssembly memory, and the products of queries with all of them (assembly/search.ts). A block is an instance with
 * memory of its own, so that there may be more rows than one memory holds.
 */
import { fromBase64 } from "../platform/bytes.js";
import { base64 } from "./search.gen.js";

type Scan = (scores: number, queries: number, batch: number, rows: number, count: number, width: number) => void;

/** Rows that are scored at once: of 512 floats, 2 MB, which stay in a cache while several queries pass. */
const CHUNK = 1024;
/** Queries that pass at once. */
export const BATCH = 64;
/** First byte that the kernel leaves free. */
const BASE = 1024;
/** Bytes of rows in a block. */
const MAX_BLOCK = 2 ** 30;

let module: WebAssembly.Module | undefined;

export interface Block {
  readonly width: number;
  /** Rows that fit. */
  readonly room: number;
  /** Rows that are there. */
  count: number;
  /** The bytes of rows, to be filled; those behind `count` mean nothing. Valid until the next call. */
  bytes(first: number, count: number): Uint8Array;
  /** A row, valid until the next call. */
  row(index: number): Float32Array;
  /**
   * Scores all rows from `first` on, a chunk at a time.
   * @param queries [n, width], at most BATCH of them.
   * @param take is given the first row of each chunk and the scores, [n, rows of the chunk].
   */
  scan(
    queries: readonly Float32Array[],
    take: (first: number, scores: Float32Array, count: number) => void,
    first?: number,
  ): void;
}

/** Rows that a block holds at most. */
export const rowsOfBlock = (width: number): number => Math.floor(MAX_BLOCK / (4 * width));

export function createBlock(width: number, room: number): Block {
  module ??= new WebAssembly.Module(fromBase64(base64));
  const exports = new WebAssembly.Instance(module).exports as { memory: WebAssembly.Memory; scan_f32: Scan };
  const { memory, scan_f32: scan } = exports;
  const queriesAt = BASE;
  const scoresAt = queriesAt + 4 * BATCH * width;
  const rowsAt = scoresAt + 4 * BATCH * CHUNK;
  const pages = Math.ceil((rowsAt + 4 * width * room) / 65536) - memory.buffer.byteLength / 65536;
  if (pages > 0) memory.grow(pages);

  const block: Block = {
    ...{ width, room, count: 0 },
    bytes: (first, count) => new Uint8Array(memory.buffer, rowsAt + 4 * width * first, 4 * width * count),
    row: (index) => new Float32Array(memory.buffer, rowsAt + 4 * width * index, width),
    scan(queries, take, first = 0) {
      for (const [i, query] of queries.entries()) new Float32Array(memory.buffer, queriesAt + 4 * width * i).set(query);
      for (let at = first; at < block.count; at += CHUNK) {
        const count = Math.min(CHUNK, block.count - at);
        scan(scoresAt, queriesAt, queries.length, rowsAt + 4 * width * at, count, width);
        take(at, new Float32Array(memory.buffer, scoresAt, queries.length * count), count);
      }
    },
  };
  return block;
}

/** Bound of |score − exact| for rows and a query of length 1, as assembly/search.ts has it, and a little for the lengths. */
export const errorOf = (width: number): number => (width / 4 + 8) * 2 ** -24;
