/**
 * Position embeddings, E_pos of eq. 1, and the resampling of what a checkpoint learned on a grid, with the arithmetic of
 * PyTorch's interpolate, align_corners=False.
 */

type Size = readonly [number, number];

export interface Resampling {
  readonly filter: "bicubic" | "bilinear";
  readonly antialias: boolean;
}

/** Resampling of position embeddings for another grid, as the checkpoint's library does it. */
export interface Interpolation {
  readonly filter: "bicubic" | "bilinear";
  readonly antialias: boolean;
  /** Without being asked: every size is taken. */
  readonly always: boolean;
  /** Images are padded with zeros at the bottom and right to whole patches (timm's dynamic_img_pad). */
  readonly pad?: boolean;
  /**
   * RADIO's cropped positions: the table is of images of this size, whatever the model's; it is resampled for the square of an
   * image's longer side, of which the upper left part counts.
   */
  readonly cropped?: { readonly size: Size };
}

/** E_pos of eq. 1. */
export interface Positions {
  /** [rows before the grid's + grid, D], as in the checkpoint. */
  readonly table: Float32Array;
  /** Grid that the table is of. */
  readonly grid: readonly [number, number];
  /** Rows before the grid's: of the first prefix tokens. */
  readonly prefix: number;
}

/** A row for every token: of zeros for those without. */
export function positionRows(
  { table, prefix }: Positions,
  { prefixTokens, width }: { readonly prefixTokens: number; readonly width: number },
): Float32Array {
  if (prefix === prefixTokens) return table;
  const rows = new Float32Array(table.length + (prefixTokens - prefix) * width);
  rows.set(table.subarray(0, prefix * width));
  rows.set(table.subarray(prefix * width), prefixTokens * width);
  return rows;
}

/** Positions of another grid; rows before the grid's stay as they are. */
export function positionsAt(
  positions: Positions,
  grid: readonly [number, number],
  { width, interpolation }: { readonly width: number; readonly interpolation: Interpolation },
): Positions {
  const { table, grid: from, prefix } = positions;
  if (from[0] === grid[0] && from[1] === grid[1]) return positions;
  const result = new Float32Array((prefix + grid[0] * grid[1]) * width);
  result.set(table.subarray(0, prefix * width));
  const longer = Math.max(...grid);
  const to = interpolation.cropped ? ([longer, longer] as const) : grid;
  result.set(resample(table.subarray(prefix * width), from, to, interpolation, grid), prefix * width);
  return { table: result, grid, prefix };
}

/** Tables that are one after the other, each for another grid. */
export function tablesAt(
  { table, grid: from, prefix }: Positions,
  grid: readonly [number, number],
  config: { readonly width: number; readonly interpolation: Interpolation },
): Positions[] {
  const size = (prefix + from[0] * from[1]) * config.width;
  return Array.from({ length: table.length / size }, (_, i) =>
    positionsAt({ table: table.subarray(i * size, (i + 1) * size), grid: from, prefix }, grid, config),
  );
}

/** Samples that one result is the weighted sum of. */
export interface Taps {
  readonly at: readonly number[];
  readonly weights: readonly number[];
}

/** Keys' cubic; PyTorch takes a = -0.75, and -0.5 with antialias. */
const cubic = (a: number) => (x: number) => {
  const t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((t - 5) * t + 8) * a * t - 4 * a : 0;
};

const triangle = (x: number) => Math.max(0, 1 - Math.abs(x));

/** The taps of every result along one axis. */
export function tapsOf(from: number, to: number, { filter, antialias }: Resampling): Taps[] {
  const scale = from / to;
  return Array.from({ length: to }, (_, i) => {
    if (!antialias) {
      const kernel = filter === "bicubic" ? cubic(-0.75) : triangle;
      const reach = filter === "bicubic" ? 2 : 1;
      // Bilinear begins at the first sample; bicubic takes the border's for those outside.
      const center = (i + 0.5) * scale - 0.5;
      const source = filter === "bilinear" ? Math.max(0, center) : center;
      const first = Math.floor(source) - reach + 1;
      const taps = Array.from({ length: 2 * reach }, (_, k) => first + k);
      return {
        at: taps.map((j) => Math.min(Math.max(j, 0), from - 1)),
        weights: taps.map((j) => kernel(j - source)),
      };
    }
    const kernel = filter === "bicubic" ? cubic(-0.5) : triangle;
    const stretch = Math.max(scale, 1);
    const reach = (filter === "bicubic" ? 2 : 1) * stretch;
    const center = scale * (i + 0.5);
    const first = Math.max(Math.trunc(center - reach + 0.5), 0);
    const last = Math.min(Math.trunc(center + reach + 0.5), from);
    const at = Array.from({ length: last - first }, (_, k) => first + k);
    const weights = at.map((j) => kernel((j - center + 0.5) / stretch));
    const sum = weights.reduce((total, w) => total + w, 0);
    return { at, weights: weights.map((w) => w / sum) };
  });
}

/**
 * A table of another grid: torch.nn.functional.interpolate of its rows.
 * @param table [from[0]·from[1], D], row by row.
 * @param part the upper left part of the result that is wanted; all of it by default.
 * @returns [part[0]·part[1], D]
 */
export function resample(table: Float32Array, from: Size, to: Size, how: Resampling, part = to): Float32Array {
  const width = table.length / (from[0] * from[1]);
  const columns = tapsOf(from[1], to[1], how).slice(0, part[1]);
  const rows = tapsOf(from[0], to[0], how).slice(0, part[0]);
  const between = new Float64Array(from[0] * part[1] * width);
  for (let y = 0; y < from[0]; y++)
    for (const [x, { at, weights }] of columns.entries())
      for (const [k, j] of at.entries()) {
        const [out, source, weight] = [(y * part[1] + x) * width, (y * from[1] + j) * width, weights[k]!];
        for (let i = 0; i < width; i++) between[out + i]! += weight * table[source + i]!;
      }
  const sums = new Float64Array(part[1] * width);
  const result = new Float32Array(part[0] * part[1] * width);
  for (const [y, { at, weights }] of rows.entries()) {
    sums.fill(0);
    for (const [k, j] of at.entries()) {
      const [source, weight] = [j * sums.length, weights[k]!];
      for (let i = 0; i < sums.length; i++) sums[i]! += weight * between[source + i]!;
    }
    result.set(sums, y * sums.length);
  }
  return result;
}

/**
 * A patch embedding for patches of another size, so that it gives about the same for a resized patch: FlexiViT's
 * pseudo-inverse of the resize (Beyer et al. 2023, section 3.4), bicubic and antialiased as timm's resample_patch_embed.
 * @param weight [D·C, from[0], from[1]]
 * @returns [D·C, to[0], to[1]]
 */
export function resamplePatches(weight: Float32Array, from: Size, to: Size): Float32Array {
  // The resize is separable, so its pseudo-inverse is too.
  const [down, across] = [0, 1].map((axis) => inverseResize(from[axis]!, to[axis]!)) as [number[][], number[][]];
  const planes = weight.length / (from[0] * from[1]);
  const result = new Float32Array(planes * to[0] * to[1]);
  for (let plane = 0; plane < planes; plane++) {
    const at = plane * from[0] * from[1];
    const between = down.map((row) =>
      Array.from({ length: from[1] }, (_, x) => row.reduce((sum, w, y) => sum + w * weight[at + y * from[1] + x]!, 0)),
    );
    for (const [y, values] of between.entries())
      for (const [x, row] of across.entries()) {
        result[(plane * to[0] + y) * to[1] + x] = row.reduce((sum, w, i) => sum + w * values[i]!, 0);
      }
  }
  return result;
}

/** pinv(Rᵀ), [to, from], of the matrix R, [to, from], that resizes from `from` to `to` samples. R has full rank. */
function inverseResize(from: number, to: number): number[][] {
  const resize = tapsOf(from, to, { filter: "bicubic", antialias: true }).map(({ at, weights }) => {
    const row = new Array<number>(from).fill(0);
    for (const [k, j] of at.entries()) row[j]! += weights[k]!;
    return row;
  });
  const transposed = (m: readonly (readonly number[])[]) => m[0]!.map((_, j) => m.map((row) => row[j]!));
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
  // Fewer samples: (R Rᵀ)⁻¹ R; more: R (Rᵀ R)⁻¹.
  if (to <= from)
    return solve(
      resize.map((a) => resize.map((b) => dot(a, b))),
      resize,
    );
  const columns = transposed(resize);
  return transposed(
    solve(
      columns.map((a) => columns.map((b) => dot(a, b))),
      columns,
    ),
  );
}

/** X of A X = B by Gauss and Jordan, with pivots. */
function solve(a: readonly (readonly number[])[], b: readonly (readonly number[])[]): number[][] {
  const n = a.length;
  const rows = a.map((row, i) => [...row, ...b[i]!]);
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let j = i + 1; j < n; j++) if (Math.abs(rows[j]![i]!) > Math.abs(rows[pivot]![i]!)) pivot = j;
    [rows[i], rows[pivot]] = [rows[pivot]!, rows[i]!];
    const top = rows[i]!;
    const scale = top[i]!;
    for (let k = 0; k < top.length; k++) top[k]! /= scale;
    for (const [j, row] of rows.entries()) {
      const factor = row[i]!;
      if (j !== i && factor !== 0) for (let k = 0; k < row.length; k++) row[k]! -= factor * top[k]!;
    }
  }
  return rows.map((row) => row.slice(n));
}
