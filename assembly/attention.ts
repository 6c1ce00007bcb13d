// Scaled dot-product attention of one image (Vaswani et al. 2017, eq. 1; Dosovitskiy et al. 2021, eq. 5 to 7):
// softmax(Q Kᵀ/√d) V for every head.
//
// A head's keys and values are packed once as the B of two GEMMs: K as a weight [tokens, d], V as the transpose of one
// [d, tokens]. Then, for 24 rows of Q at a time (a multiple of both tiles; 24 full rows of scores fit L1 or L2):
// S = Q Kᵀ, softmax, O = P V, and 1/sum while O is copied to its columns. Full rows of scores need no running maximum
// (FlashAttention's), which costs more than it saves while a row fits the cache. Keys behind the last are masked by their
// bias, -1e30. The values' columns behind d repeat 0.
// Error: that of two GEMMs and softmax.ts.
import { gemm, packedRowsBytes, packRows, packWeight, panelBytes } from "./gemm";
import { softmax } from "./softmax";

const ROWS: usize = 24;

// @ts-ignore: decorator
@inline
function panels(n: usize): usize {
  return (n + 7) >> 3;
}

// Strides of scores and outputs: whole panels and 64 bytes, so that rows do not share cache sets.
// @ts-ignore: decorator
@inline
function rowBytes(n: usize): usize {
  return (panels(n) << 5) + 64;
}

/** Bytes of scratch that `attention` needs. */
export function attentionScratch(tokens: usize, d: usize): usize {
  return (
    panels(tokens) * panelBytes(d) +
    panels(d) * panelBytes(tokens) +
    packedRowsBytes(ROWS, ROWS, max(tokens, d)) +
    ROWS * (rowBytes(tokens) + rowBytes(d))
  );
}

/**
 * out: `tokens` rows of heads·d floats; qkv: `tokens` rows of 3·heads·d floats, [q | k | v], a head's columns together,
 * readable to the next multiple of 4 floats; probabilities: 0, or heads·tokens rows of `tokens` floats. Strides in bytes.
 */
export function attention(
  tile: usize,
  out: usize,
  outStride: usize,
  qkv: usize,
  qkvStride: usize,
  tokens: usize,
  heads: usize,
  d: usize,
  scratch: usize,
  probabilities: usize,
  probabilityStride: usize,
): void {
  const scale = <f32>(1 / sqrt<f64>(d));
  const keys = scratch;
  const values = keys + panels(tokens) * panelBytes(d);
  const packed = values + panels(d) * panelBytes(tokens);
  const scores = packed + packedRowsBytes(ROWS, ROWS, max(tokens, d));
  const result = scores + ROWS * rowBytes(tokens);
  const width = (heads * d) << 2;

  // What no head writes: masks of the keys, zero biases of the values.
  const pad = tokens & 7;
  const lastKeys = keys + (panels(tokens) - 1) * panelBytes(d);
  memory.fill(keys, 0, panels(tokens) * panelBytes(d));
  if (pad) for (let i = pad; i < 8; i++) store<f32>(lastKeys + (i << 2), -1e30);
  memory.fill(values, 0, panels(d) * panelBytes(tokens));

  for (let h: usize = 0; h < heads; h++) {
    const q = qkv + ((h * d) << 2);
    packWeight(keys, d, 0, q + width, qkvStride, tokens);
    packValues(values, q + 2 * width, qkvStride, tokens, d);
    for (let row: usize = 0; row < tokens; row += ROWS) {
      const rows = min(ROWS, tokens - row);
      packRows(tile, packed, q + row * qkvStride, qkvStride, rows, d);
      gemm(tile, scores, rowBytes(tokens), packed, rows, d, keys, 0, panels(tokens), false);
      for (let i: usize = 0; i < rows; i++) {
        const s = scores + i * rowBytes(tokens);
        // The sum is kept in the row's spare 64 bytes.
        store<f32>(s + rowBytes(tokens) - 64, softmax(s, panels(tokens) << 3, scale));
      }
      packRows(tile, packed, scores, rowBytes(tokens), rows, tokens);
      gemm(tile, result, rowBytes(d), packed, rows, tokens, values, 0, panels(d), false);
      for (let i: usize = 0; i < rows; i++) {
        const s = scores + i * rowBytes(tokens);
        const r = <f32>1 / load<f32>(s + rowBytes(tokens) - 64);
        scaleInto(out + (row + i) * outStride + ((h * d) << 2), result + i * rowBytes(d), d, r);
        if (probabilities) scaleInto(probabilities + (h * tokens + row + i) * probabilityStride, s, tokens, r);
      }
    }
  }
}

/** v: `tokens` rows of d floats, as the panels of their transpose. */
function packValues(b: usize, v: usize, stride: usize, tokens: usize, d: usize): void {
  for (let j: usize = 0; j < d; j += 8, b += panelBytes(tokens), v += 32) {
    let to = b + 32;
    let from = v;
    if (j + 8 <= d) {
      for (let t = tokens; t; t--, to += 32, from += stride) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
      }
    } else {
      for (let t = tokens; t; t--, to += 32, from += stride) memory.copy(to, from, (d - j) << 2);
    }
  }
}

/** out = x·r, exactly `count` floats. */
// @ts-ignore: decorator
@inline
function scaleInto(out: usize, x: usize, count: usize, r: f32): void {
  const r4 = f32x4.splat(r);
  const whole = (count & ~3) << 2;
  let i: usize = 0;
  for (; i < whole; i += 16) v128.store(out + i, f32x4.mul(v128.load(x + i), r4));
  for (; i < (count) << 2; i += 4) store<f32>(out + i, load<f32>(x + i) * r);
}
