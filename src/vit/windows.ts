/** Attention of images that are large (ViTDet, Li et al. 2022b): within windows, and with decomposed relative positions. */
import type { Backend, Decomposed, Tensor as Matrix } from "../backend.js";

/** Tables of decomposed relative positions, [2n-1, d], of the lines and the columns of a grid or a window (Li et al. 2022). */
export interface Tables {
  readonly down: Matrix;
  readonly across: Matrix;
}

/**
 * Windows of `size` tokens a side, in the last of which the grid may end: outside of it are tokens of zeros behind the norm,
 * [q | k | v] of which is the layer's bias, [1, 3D].
 */
export interface WindowOf {
  readonly size: number;
  readonly outside: Matrix;
}

export const decomposedOf = (tables: Tables, [height, width]: readonly [number, number]): Decomposed => ({
  ...{ height, width },
  ...tables,
});

/** Attention of the tokens of each window to each other. out: [B·N, D]; qkv: [B·N, 3D] of a grid of N tokens. */
export function attendInWindows(
  backend: Backend,
  out: Matrix,
  qkv: Matrix,
  { window, decomposed }: { readonly window: WindowOf | undefined; readonly decomposed: Tables | undefined },
  {
    images,
    heads,
    grid,
  }: { readonly images: number; readonly heads: number; readonly grid: readonly [number, number] },
): void {
  const { size, outside } = window!;
  const [height, width] = grid;
  const map = { height, width, window: [size, size] } as const;
  const count = images * Math.ceil(height / size) * Math.ceil(width / size) * size * size;
  const mark = backend.mark();
  const inside = backend.createTensor(count, qkv.cols);
  const inner = backend.createTensor(count, out.cols);
  backend.toWindows(inside, qkv, outside, map);
  const shape = { heads, tokens: size * size, decomposed: decomposed && decomposedOf(decomposed, [size, size]) };
  backend.attention(inner, inside, shape);
  backend.fromWindows(out, inner, map);
  backend.release(mark);
}
