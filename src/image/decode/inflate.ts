/**
 * The compiled assembly/png.ts and assembly/inflate.ts: zlib streams (RFC 1950, RFC 1951) decompressed piece by piece, and rows
 * of PNG made of them.
 */
import { assets } from "../../platform/assets.js";
import { concatenate, fromBase64 } from "../../platform/bytes.js";
import type { Slices } from "../slices.js";
import { base64 } from "./png.gen.js";

/** The exports of the module, which say what their arguments are; places are addresses in its memory, seen as bytes. */
export interface PngKernel {
  readonly bytes: Uint8Array;
  /** Where decompressed input goes, at most PIECE bytes; where output begins; 256 colours; and the memory that is free. */
  readonly input: number;
  readonly output: number;
  readonly colours: number;
  readonly heap: number;
  begin(): void;
  feed(count: number): void;
  step(room: number): number;
  slide(taken: number): number;
  /** Where the next byte of output will be. */
  end(): number;
  begin_rows(alpha: number, transparent: number): void;
  begin_pass(...numbers: number[]): void;
  advance(isLast: boolean): number;
  rows_left(): number;
  unread_bits(): number;
  is_within_row(): number;
  /** Lets others use it; one that has failed is dropped instead. */
  free(): void;
}

/** Bytes of input that are given at once, see assembly/inflate.ts; Pillow reads as many at once from a chunk or less. */
export const PIECE = 65536;

// What `step` and `advance` return, or an error below 0.
export const NEEDS_INPUT = 0;
export const NEEDS_ROOM = 1;
export const NEEDS_TIME = 2;
export const ENDED = 3;
const ERRORS = [
  "not a zlib stream",
  "no such kind of block",
  "stored length and its complement differ",
  "its Huffman codes are not whole, or too many",
  "no such code",
  "a distance to before the start",
  "its checksum is wrong",
  "a row has a filter above 4, which does not exist",
];
export const errorText = (status: number): string => ERRORS[-1 - status]!;

/** A memory of more bytes than this is not kept: its pixels would have to be blackened for the next picture. */
const KEPT_BYTES = 8 << 20;

let module: WebAssembly.Module | undefined;
let kept: WebAssembly.Instance | undefined;

/** A kernel that nobody else uses until it is freed, with `size` bytes of 0 at its heap. */
export function borrowPng(size: number): PngKernel {
  module ??= assets.png ?? new WebAssembly.Module(fromBase64(base64));
  const instance = kept ?? new WebAssembly.Instance(module);
  kept = undefined;
  const { memory, at, ...exports } = instance.exports as Record<string, unknown> & {
    memory: WebAssembly.Memory;
    at: WebAssembly.Global;
  };
  const place = (name: string) => (exports[name] as WebAssembly.Global).value as number;
  const heap = place("HEAP");
  const used = memory.buffer.byteLength;
  const missing = heap + size - used;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  const bytes = new Uint8Array(memory.buffer);
  bytes.fill(0, heap, Math.min(used, heap + size));
  return {
    ...exports,
    bytes,
    heap,
    input: place("INPUT"),
    output: place("OUTPUT"),
    colours: place("COLOURS"),
    end: () => at.value,
    free() {
      if (bytes.length <= KEPT_BYTES) kept = instance;
    },
  } as unknown as PngKernel;
}

/**
 * A decompressed stream: what there is of one that is cut off, `undefined` for one that is damaged.
 * @throws RangeError if it has more than `most` bytes.
 */
export function* inflate(input: Uint8Array, most: number): Slices<Uint8Array | undefined> {
  const kernel = borrowPng(0);
  const { bytes, output } = kernel;
  const parts: Uint8Array[] = [];
  let taken = output;
  let left = most;
  let status = NEEDS_INPUT;
  kernel.begin();
  for (let from = 0; from < input.length && status !== ENDED; from += PIECE) {
    const piece = input.subarray(from, from + PIECE);
    bytes.set(piece, kernel.input);
    kernel.feed(piece.length);
    do {
      status = kernel.step(Math.min(left, PIECE));
      if (status < 0) return undefined;
      const end = kernel.end();
      if (status === NEEDS_ROOM && end === taken && left === 0) throw new RangeError(`more than ${most} bytes`);
      parts.push(bytes.slice(taken, end));
      left -= end - taken;
      taken = end - kernel.slide(end);
      yield;
    } while (status !== NEEDS_INPUT && status !== ENDED);
  }
  kernel.free();
  return concatenate(parts);
}

/** Fills memory from streams, one after the other, of which what comes behind is not looked at. */
export interface Inflater {
  /** @returns how many bytes of `input` were read, in whole pieces; undefined for a stream that is cut off, damaged or too short. */
  fill(input: Uint8Array, output: Uint8Array): Slices<number | undefined>;
  free(): void;
}

export function createInflater(): Inflater {
  const kernel = borrowPng(0);
  const { bytes } = kernel;
  return {
    *fill(input, output) {
      let taken = kernel.output;
      let to = 0;
      let from = 0;
      kernel.begin();
      while (from < input.length) {
        let status = NEEDS_INPUT;
        const piece = input.subarray(from, from + PIECE);
        from += piece.length;
        bytes.set(piece, kernel.input);
        kernel.feed(piece.length);
        for (;;) {
          const room = Math.min(output.length - to, PIECE);
          status = kernel.step(room);
          if (status < 0) return undefined;
          const end = kernel.end();
          output.set(bytes.subarray(taken, end), to);
          to += end - taken;
          taken = end - kernel.slide(end);
          // As zlib does, it goes on when all is there, up to what would need room: a wrong checksum shows.
          if (status === ENDED || status === NEEDS_INPUT || (status === NEEDS_ROOM && room === 0)) break;
          yield;
        }
        if (status !== NEEDS_INPUT) break;
        yield;
      }
      return to === output.length ? from : undefined;
    },
    free: kernel.free,
  };
}
