/**
 * The block of a Hiera (Ryali et al. 2023, section 3.3) that makes a map wider, and coarser by the largest of four neighbors: of what its
 * tokens are, and of their queries, so that keys and values are still of the finer map.
 */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm, Pair } from "../backend.js";
import type { Mlp } from "./encoder.js";
import type { Encoded } from "./reader.js";

export interface QueryPool {
  readonly norm: Norm;
  /** C → D, of what the block adds to. */
  readonly widen: Linear;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly out: Linear;
  readonly mlp: Mlp;
}

/** Sizes of such a block: lines and columns of windows on the finer map, which attend by themselves; all of it unless given. */
export interface QueryPoolConfig {
  readonly width: number;
  readonly heads: number;
  readonly activation: Activation;
  readonly window: Pair | undefined;
}

/** Fills the map behind the block, half as fine as the one before. */
export function runQueryPool(
  backend: Backend,
  weights: QueryPool,
  { width, heads, activation, window }: QueryPoolConfig,
  { z, grid, images, tokens }: Encoded,
  { z: next, grid: coarse }: Encoded,
): void {
  const { norm, out, mlp } = weights;
  const pixels = coarse[0] * coarse[1];
  const layer = (weights: Linear): Matrix => {
    const y = backend.createTensor(images * tokens, width);
    backend.linear(y, z, weights, { norm });
    return y;
  };
  const pooled = (fine: Matrix, y = backend.createTensor(images * pixels, width)): Matrix => {
    const map = { height: grid[0], width: grid[1], kernel: 2, stride: 2, top: 0, left: 0 };
    backend.maxPool(y, fine, { ...map, outHeight: coarse[0], outWidth: coarse[1] }, Number.NEGATIVE_INFINITY);
    return y;
  };
  pooled(layer(weights.widen), next);
  const [q, k, v] = [pooled(layer(weights.q)), layer(weights.k), layer(weights.v)] as const;
  const attended = backend.createTensor(images * pixels, width);
  if (window) {
    const half: Pair = [window[0] / 2, window[1] / 2];
    const none = backend.createTensor(1, width);
    const cut = (map: Matrix, [height, columns]: Pair, size: Pair): Matrix => {
      const windows = backend.createTensor(map.rows, width);
      backend.toWindows(windows, map, none, { height, width: columns, window: size });
      return windows;
    };
    const inner = backend.createTensor(images * pixels, width);
    const parts = { q: cut(q, coarse, half), k: cut(k, grid, window), v: cut(v, grid, window) };
    backend.attention(inner, parts, { heads, tokens: window[0] * window[1] });
    backend.fromWindows(attended, inner, { height: coarse[0], width: coarse[1], window: half });
  } else backend.attention(attended, { q, k, v }, { heads, tokens });
  backend.linear(next, attended, out, { accumulate: true });
  const hidden = backend.createTensor(images * pixels, mlp.fc1.outputs);
  backend.linear(hidden, next, mlp.fc1, { norm: mlp.norm, activation });
  backend.linear(next, hidden, mlp.out, { accumulate: true });
}
