/** The compiled assembly/webp, for one image at a time each: its memory holds the data, the work and the picture. */
import { assets } from "../../platform/assets.js";
import { fromBase64 } from "../../platform/bytes.js";
import { base64 } from "./webp-codec.gen.js";

/** The exports of assembly/webp/index.ts, where what they do is said. Steps return 0 for more, 1 when done, less for faults. */
export interface WebpDecoder {
  readonly memory: WebAssembly.Memory;
  reset(limit: number): void;
  allot(size: number): number;
  lossy_begin(data: number, length: number, width: number, height: number, out: number, stride: number): number;
  lossy_row(): number;
  lossless_begin(
    data: number,
    length: number,
    width: number,
    height: number,
    out: number,
    stride: number,
    end: number,
    /** RGB (0), that laid on white (1), or alpha alone, a byte a pixel (2). */
    kind: number,
  ): number;
  alpha_blend_begin(
    data: number,
    length: number,
    width: number,
    height: number,
    out: number,
    stride: number,
    end: number,
    filter: number,
  ): number;
  alpha_begin(data: number, length: number, width: number, height: number): number;
  lossless_step(): number;
  /** Gives it back. One that failed is not given back: nobody knows its state. */
  free(): void;
}

/** A memory of more bytes than this is not kept for the next image. */
const KEPT_BYTES = 64 << 20;

let module: WebAssembly.Module | undefined;
let kept: WebAssembly.Exports | undefined;

/** A decoder that nobody else uses until it is given back; a new one has zeros in its memory. */
export function borrowDecoder(isNew: boolean): WebpDecoder {
  module ??= assets.webp ?? new WebAssembly.Module(fromBase64(base64));
  const exports = (isNew ? undefined : kept) ?? new WebAssembly.Instance(module).exports;
  if (exports === kept) kept = undefined;
  const memory = exports.memory as WebAssembly.Memory;
  const free = () => {
    if (memory.buffer.byteLength <= KEPT_BYTES) kept = exports;
  };
  return { ...exports, free } as unknown as WebpDecoder;
}
