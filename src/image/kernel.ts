/** The compiled assembly/image.ts. Its memory holds one call's data at a time: each caller lays it out from 0. */
import { assets } from "../platform/assets.js";
import { fromBase64 } from "../platform/bytes.js";
import { base64 } from "./kernel.gen.js";

/** The exports of assembly/image.ts, which says what their arguments are; and its memory, seen as bytes. */
export interface ImageKernel {
  bytes: Uint8Array;
  drop_alpha(out: number, src: number, pixels: number): void;
  lay_on_white(out: number, src: number, pixels: number): void;
  pixel_values(out: number, src: number, tables: number, area: number): void;
  sum_taps(...numbers: number[]): number;
  encode_taps(...numbers: number[]): void;
  resize_horizontal(...sizes: number[]): void;
  resize_vertical(...sizes: number[]): void;
  resize_horizontal_i16(...sizes: number[]): void;
  resize_vertical_i16(...sizes: number[]): void;
  values_of_bytes(out: number, src: number, factor: number, count: number): void;
  resize_horizontal_f32(...sizes: number[]): void;
  resize_vertical_f32(...sizes: number[]): void;
  blur_f32(...sizes: number[]): void;
}

/** A kernel that nobody else uses until it is freed. */
export interface BorrowedKernel extends ImageKernel {
  free(): void;
}

/** A memory of more bytes than this is not kept for the next call. */
const KEPT_BYTES = 64 << 20;

let module: WebAssembly.Module | undefined;
let kept: WebAssembly.Exports | undefined;

/** The kernel with `size` bytes of memory at least, until the caller returns. */
export function kernelWith(size: number): ImageKernel {
  const kernel = borrowKernel(size);
  kernel.free();
  return kernel;
}

/** The same for work in slices, between which others may need one. */
export function borrowKernel(size: number): BorrowedKernel {
  module ??= assets.image ?? new WebAssembly.Module(fromBase64(base64));
  const exports = kept ?? new WebAssembly.Instance(module).exports;
  kept = undefined;
  const memory = exports.memory as WebAssembly.Memory;
  const missing = size - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  const free = () => {
    if (memory.buffer.byteLength <= KEPT_BYTES) kept = exports;
  };
  return { ...exports, bytes: new Uint8Array(memory.buffer), free } as unknown as BorrowedKernel;
}
