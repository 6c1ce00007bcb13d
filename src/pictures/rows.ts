/** Rows of attention by the compiled assembly/rows.ts, whose memory holds one head's keys and some queries at a time. */
import { assets } from "../platform/assets.js";
import { fromBase64 } from "../platform/bytes.js";
import { base64 } from "./rows.gen.js";

interface Kernel {
  readonly memory: WebAssembly.Memory;
  attention_rows(
    rows: number,
    queries: number,
    count: number,
    keys: number,
    tokens: number,
    padded: number,
    d: number,
  ): void;
}

/** First byte behind the kernel's constants. */
const BASE = 2048;
/** A memory of more bytes than this is not kept for the next call. */
const KEPT_BYTES = 2 ** 24;

let module: WebAssembly.Module | undefined;
let kept: Kernel | undefined;

const aligned = (bytes: number): number => Math.ceil(bytes / 16) * 16;

/**
 * softmax of the scores of queries [count, d] with keys [tokens, d], written to `out`, [count, tokens]; scores are products as they are.
 */
export function attentionRows(queries: Float32Array, keys: Float32Array, d: number, out: Float32Array): void {
  const [count, tokens] = [queries.length / d, keys.length / d];
  const padded = Math.ceil(tokens / 8) * 8;
  const rowsAt = BASE + aligned(4 * padded * d);
  const queriesAt = rowsAt + 4 * count * padded;
  const size = queriesAt + 4 * count * d;

  module ??= assets.rows ?? new WebAssembly.Module(fromBase64(base64));
  const kernel = kept ?? (new WebAssembly.Instance(module).exports as unknown as Kernel);
  const { memory } = kernel;
  const missing = size - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  kept = memory.buffer.byteLength <= KEPT_BYTES ? kernel : undefined;

  const placed = new Float32Array(memory.buffer, BASE, padded * d);
  placed.set(keys);
  placed.fill(0, keys.length);
  const asked = new Float32Array(memory.buffer, queriesAt, count * d);
  for (let i = 0; i < asked.length; i++) asked[i] = queries[i]! * Math.LOG2E;
  kernel.attention_rows(rowsAt, queriesAt, count, BASE, tokens, padded, d);
  for (let row = 0; row < count; row++) {
    out.set(new Float32Array(memory.buffer, rowsAt + 4 * row * padded, tokens), row * tokens);
  }
}
