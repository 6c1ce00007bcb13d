/** The compiled assembly/jpeg/index.ts, with a memory of its own that the decoder lays out for each image. */
import { assets } from "../../platform/assets.js";
import { fromBase64 } from "../../platform/bytes.js";
import { base64 } from "./jpeg-kernel.gen.js";

/** The exports of assembly/jpeg/index.ts, which says what their arguments are. */
export interface JpegExports {
  readonly memory: WebAssembly.Memory;
  heap(): number;
  component_at(index: number): number;
  frame_at(): number;
  scan_at(): number;
  conditioning_at(): number;
  precision_at(): number;
  build_table(slot: number, spec: number, kind: number, largest: number): number;
  has_filled_zero(from: number, to: number): number;
  begin_scan(): void;
  decode(mcus: number): number;
  marker(): number;
  position(): number;
  limit(): number;
  transform_row(component: number, row: number, line: number): void;
  smooth_row(component: number, row: number, line: number): void;
  emit(from: number, to: number): void;
}

export interface JpegKernel {
  readonly exports: JpegExports;
  /** Up to where its memory has been used; what is above is zero. */
  used: number;
  /** By slot: what its Huffman table was made of. */
  readonly tables: {
    readonly spec: Uint8Array;
    readonly kind: number;
    readonly largest: number;
    readonly at: number;
  }[];
}

/** A memory of more bytes than this is not kept for the next image: a progressive photo of 12 megapixels takes 42 MB, or 78 in 4:4:4. */
const KEPT_BYTES = 80 << 20;

let module: WebAssembly.Module | undefined;
let kept: JpegKernel | undefined;

function createKernel(): JpegKernel {
  module ??= assets.jpeg ?? new WebAssembly.Module(fromBase64(base64));
  const exports = new WebAssembly.Instance(module).exports as unknown as JpegExports;
  return { exports, used: 0, tables: [] };
}

/** The first byte of a kernel's memory that is not its own. */
export function firstByte(): number {
  kept ??= createKernel();
  return kept.exports.heap();
}

/** A kernel for one image. It is lost unless `keepKernel` is called: after a failure nobody knows its state. */
export function takeKernel(): JpegKernel {
  const kernel = kept ?? createKernel();
  kept = undefined;
  return kernel;
}

/** Keeps the kernel for the next image, unless its memory is large. */
export function keepKernel(kernel: JpegKernel): void {
  if (kernel.exports.memory.buffer.byteLength <= KEPT_BYTES) kept = kernel;
}

/** Makes its memory `size` bytes large at least. @throws RangeError if the machine has not got them. */
export function growMemory({ exports: { memory } }: JpegKernel, size: number): void {
  const missing = size - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
}
