/** The compiled assembly/image.ts. Its memory holds one call's data at a time: each caller lays it out from 0. */
import { assets } from "../platform/assets.js";
import { fromBase64 } from "../platform/bytes.js";
import { base64 } from "./kernel.gen.js";

/** The exports of assembly/image.ts, which says what their arguments are; and its memory, seen as bytes. */
export interface ImageKernel {
  bytes: Uint8Array;
  drop_alpha(out: number, src: number, pixels: number): void;
  pixel_values(out: number, src: number, tables: number, area: number): void;
  resize_horizontal(...sizes: number[]): void;
  resize_vertical(...sizes: number[]): void;
}

/** A memory of more bytes than this is not kept for the next call. */
const KEPT_BYTES = 64 << 20;

let module: WebAssembly.Module | undefined;
let kept: WebAssembly.Exports | undefined;

/** The kernel with `size` bytes of memory at least. */
export function kernelWith(size: number): ImageKernel {
  module ??= assets.image ?? new WebAssembly.Module(fromBase64(base64));
  const exports = kept ?? new WebAssembly.Instance(module).exports;
  const memory = exports.memory as WebAssembly.Memory;
  const missing = size - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  kept = memory.buffer.byteLength > KEPT_BYTES ? undefined : exports;
  return { ...exports, bytes: new Uint8Array(memory.buffer) } as unknown as ImageKernel;
}
