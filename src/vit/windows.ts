/** Attention within windows: of images that are large (ViTDet, Li et al. 2022b), and of a Swin Transformer (Liu et al. 2021). */
import type { Backend, Decomposed, Linear, Tensor as Matrix, Norm, Pair } from "../backend.js";

/** Tables of decomposed relative positions, [2n-1, d], of the lines and the columns of a grid or a window (Li et al. 2022). */
export interface Tables {
  readonly down: Matrix;
  readonly across: Matrix;
}

/**
 * Windows of `size` tokens, in the last of which the grid may end: outside of it are tokens of zeros behind the norm, [q | k | v] of
 * which is the layer's bias.
 */
export interface WindowOf {
  readonly size: Pair;
  readonly shift?: Shift;
}

/** A grid that is turned before it is cut, so that windows of one block reach into several of the one before. */
export interface Shift {
  readonly by: Pair;
  /** Added to scores of tokens that were no neighbors before. */
  readonly penalty: number;
  /** Zeros are added to the grid before it is turned (transformers), not behind (timm). */
  readonly padded: boolean;
  /** Only grids with more than a window in each direction are turned (transformers' Swin); any, unless given. */
  readonly several?: boolean;
}

/** Decomposed positions of a grid of any size. */
export function decomposedOf(backend: Backend, { down, across }: Tables, [height, width]: Pair): Decomposed {
  /** A table of offsets of so many tokens, interpolated where it is of another number (ViTDet's get_rel_pos). */
  function fitted(table: Matrix, tokens: number): Matrix {
    const rows = 2 * tokens - 1;
    if (table.rows === rows) return table;
    const out = backend.createTensor(rows, table.cols);
    backend.resizeMap(out, table, { height: table.rows, width: 1, outHeight: rows, outWidth: 1, aligned: false });
    return out;
  }
  return { height, width, down: fitted(down, height), across: fitted(across, width) };
}

/** Layers of SwinV2 that make biases of distances, of two numbers a value of each head (Liu et al. 2022, section 3.3). */
export interface Continuous {
  /** [hidden, 2], [hidden] and [heads, hidden]. */
  readonly hidden: Float32Array;
  readonly bias: Float32Array;
  readonly out: Float32Array;
  /** [heads] of timm's swinv2_cr, whose values are the biases, of natural logarithms of distances in tokens; else none. */
  readonly outBias?: Float32Array;
  /** Window whose farthest token counts as 8 on the logarithmic scale. */
  readonly reach: Pair;
}

const tables = new WeakMap<Continuous, Float32Array>();

/**
 * Table of biases of a window's offsets, [(2h-1)(2w-1), heads], once for each block: 16 σ(out · relu(hidden · c + bias)), or
 * out · relu(hidden · c + bias) + outBias.
 */
function tableOf(layers: Continuous, size: Pair): Float32Array {
  const known = tables.get(layers);
  if (known) return known;
  const { hidden, bias, out, outBias, reach } = layers;
  const heads = out.length / bias.length;
  const [height, width] = [2 * size[0] - 1, 2 * size[1] - 1];
  const distance = (offset: number, axis: 0 | 1) => {
    if (outBias) return Math.sign(offset) * Math.log1p(Math.abs(offset));
    const x = (offset / Math.max(reach[axis] - 1, 1)) * 8;
    return (Math.sign(x) * Math.log2(1 + Math.abs(x))) / 3;
  };
  const table = new Float32Array(height * width * heads);
  const inner = new Float64Array(bias.length);
  for (let i = 0; i < height * width; i++) {
    const y = distance(Math.floor(i / width) - size[0] + 1, 0);
    const x = distance((i % width) - size[1] + 1, 1);
    for (const [j, b] of bias.entries()) inner[j] = Math.max(hidden[2 * j]! * y + hidden[2 * j + 1]! * x + b, 0);
    for (let h = 0; h < heads; h++) {
      let sum = 0;
      for (const [j, value] of inner.entries()) sum += out[h * inner.length + j]! * value;
      table[i * heads + h] = outBias ? sum + outBias[h]! : 16 / (1 + Math.exp(-sum));
    }
  }
  tables.set(layers, table);
  return table;
}

/** The parts of an attention that count within windows. */
interface Attention {
  readonly window: WindowOf | undefined;
  readonly qkv: Linear;
  readonly qkNorm: { readonly query: Norm; readonly key: Norm; readonly heads: number } | undefined;
  /** Table of biases of a window's offsets, [(2h-1)(2w-1), heads], or layers that make it. */
  readonly relativePositions: Float32Array | undefined;
  readonly continuous?: Continuous;
  readonly decomposed: Tables | undefined;
}

/** Sizes of a call, and where the maps of its attention go. */
interface Call {
  readonly images: number;
  readonly heads: number;
  readonly grid: Pair;
  readonly probabilities?: Matrix;
}

/** Windows of a grid, down and across. */
const countOf = (grid: Pair, size: Pair): Pair => [Math.ceil(grid[0] / size[0]), Math.ceil(grid[1] / size[1])];

/** Rows and columns of the maps of a block's attention: those of its windows one after the other, [B·n·m·heads·tokens, tokens]. */
export function mapsOf({ window }: Pick<Attention, "window">, { images, heads, grid }: Call): Pair {
  const [down, across] = countOf(grid, window!.size);
  const area = window!.size[0] * window!.size[1];
  return [images * down * across * heads * area, area];
}

/** Attention of the tokens of each window to each other. out: [B·N, D]; qkv: [B·N, 3D] of a grid of N tokens. */
export function attendInWindows(backend: Backend, out: Matrix, qkv: Matrix, attention: Attention, call: Call): void {
  const { window, decomposed, continuous } = attention;
  const { images, heads, grid, probabilities } = call;
  const { size, shift: stated } = window!;
  const [height, width] = grid;
  const [down, across] = countOf(grid, size);
  const padded: Pair = [down * size[0], across * size[1]];
  const shift = stated?.several && grid.some((side, axis) => side <= size[axis]!) ? undefined : stated;
  const map = {
    ...{ height, width, window: size },
    ...(shift && { shift: { by: shift.by, of: shift.padded ? padded : grid } }),
  };
  const table = continuous ? tableOf(continuous, size) : attention.relativePositions;
  const tokens = size[0] * size[1];
  const count = images * down * across * tokens;
  const mark = backend.mark();
  const inside = backend.createTensor(count, qkv.cols);
  const inner = backend.createTensor(count, out.cols);
  backend.toWindows(inside, qkv, outside(), map);
  const bias = table && biasOf(table);
  const tables = decomposed && decomposedOf(backend, decomposed, size);
  const windows = bias && shift && { down, across };
  backend.attention(inner, inside, { heads, tokens, bias, windows, decomposed: tables, probabilities });
  backend.fromWindows(out, inner, map);
  backend.release(mark);

  function outside(): Matrix {
    const row = backend.createTensor(1, qkv.cols);
    const inputs = out.cols;
    const zeros = backend.createTensor(1, inputs, new Float32Array(inputs));
    if (padded[0] === height && padded[1] === width) return row;
    backend.linear(row, zeros, attention.qkv);
    if (attention.qkNorm) backend.qkNorm(row, attention.qkNorm.heads, attention.qkNorm.query, attention.qkNorm.key);
    return row;
  }

  function biasOf(table: Float32Array): Matrix {
    const bias = backend.createTensor((shift ? 4 : 1) * heads * tokens, tokens);
    const offsets = backend.createTensor(table.length / heads, heads, table);
    backend.relativePositions(bias, offsets, { height: size[0], width: size[1], shifted: shift });
    return bias;
  }
}
