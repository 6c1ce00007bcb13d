/**
 * An encoder in stages, between which the map of tokens becomes coarser and wider: the Swin Transformer (Liu et al. 2021), its second
 * version (Liu et al. 2022), and Hiera (Ryali et al. 2023). The other blocks of a stage are those of any encoder.
 */
import type { Activation, Backend, Linear, Tensor as Matrix, Norm, Pair } from "../backend.js";
import { nextTask } from "../waiting.js";
import { type Call, tensorOf } from "./call.js";
import { type Attention, type Block, encode, type PostNorm, type Tap } from "./encoder.js";
import type { StagesConfig } from "./hierarchy.js";
import { inOrder } from "./order.js";
import type { Tensor } from "./outputs.js";
import { type QueryPool, runQueryPool } from "./query-pool.js";
import type { Encoded } from "./reader.js";
import { mapsOf } from "./windows.js";

export interface Stage {
  /** Makes the map of this stage, before its other blocks. */
  readonly queryPool?: QueryPool;
  readonly blocks: readonly Block[];
  /** Makes the map of the next stage. */
  readonly merging?: Merging;
}

/** Patch merging (Liu et al. 2021, section 3.1): four neighbors, beside each other, to twice the width of one. */
export interface Merging {
  /** Before the layer, of 4C, or behind it, of 2C. */
  readonly norm: Norm;
  readonly reduction: Linear;
}

type Config = {
  readonly eps: number;
  readonly activation: Activation;
  readonly postNorm: PostNorm;
  readonly norm: string;
  readonly hierarchy?: StagesConfig;
};

/** Tokens of the last stage, behind its norm, from those of embedded patches. */
export async function encodeStages(
  backend: Backend,
  { stages, norm }: { readonly stages?: readonly Stage[]; readonly norm: Norm | undefined },
  config: Config,
  embedded: Encoded,
  call: Call,
): Promise<Encoded> {
  const { images } = embedded;
  const { stages: sizes, rules } = config.hierarchy!;
  const { eps, activation, postNorm } = config;
  const { wants, outputs, blocks: wanted, signal } = call;
  const states: Promise<Tensor>[] = [];
  if (wants("hiddenStates")) outputs.hiddenStates = states;
  // The library's list is of stages; a state behind every block that is asked for by its number.
  if (!wanted) keep(embedded);
  if (wants("attentions")) outputs.attentions = [];
  let [map, first] = [embedded, 0];
  for (const [i, { queryPool, blocks, merging }] of stages!.entries()) {
    const size = sizes[i]!;
    if (queryPool) {
      if (signal) await nextTask();
      signal?.throwIfAborted();
      const pooled = emptyMap(map, size.width);
      const mark = backend.mark();
      runQueryPool(backend, queryPool, { ...size, activation, ...size.queryPool! }, map, pooled);
      backend.release(mark);
      map = pooled;
      if (wanted?.includes(first) && wants("hiddenStates")) states.push(tokensOf(map));
      first++;
    }
    const { z, grid, tokens } = map;
    const next = merging && emptyMap(map, merging.reduction.outputs);
    const mark = backend.mark();
    if (rules === "swin") checkGrid(grid, size.window!);
    const taps = tapsOf(grid, size.heads, blocks, first);
    const encoder = { ...size, eps, activation, postNorm };
    await encode(backend, encoder, blocks, z, { images, tokens }, { grid }, { taps, first, signal });
    if (rules === "timm" && !wanted) keep(map);
    if (next) merge(backend, map, next, merging!);
    backend.release(mark);
    map = next ?? map;
    if (rules !== "timm" && !wanted) keep(map);
    first += blocks.length;
  }
  // A part of the stages ends before it.
  if (config.norm === "tokens" && stages!.length === sizes.length) backend.layerNorm(map.z, map.z, norm!);
  if (wants("lastHiddenState")) outputs.lastHiddenState = tokensOf(map);
  return map;

  /** The map that comes next, half as fine. */
  function emptyMap({ grid }: Encoded, width: number): Encoded {
    const coarse = grid.map((side) => Math.ceil(side / 2)) as [number, number];
    const tokens = coarse[0] * coarse[1];
    return { images, tokens, z: backend.createTensor(images * tokens, width), grid: coarse };
  }

  function keep(map: Encoded): void {
    if (wants("hiddenStates")) states.push(rules === "timm" ? planesOf(map) : tokensOf(map));
  }

  /** Hiera's in the library's order, as long as there are further maps. */
  function tokensOf({ z, tokens, grid }: Encoded): Promise<Tensor> {
    const halvings = rules === "hiera" ? Math.log2(embedded.grid[0] / grid[0]) : 0;
    const order = rules === "hiera" ? unrolled(grid, sizes.length - 1 - halvings) : undefined;
    const rows = backend.read(z).then((values) => inOrder(values, order, z.cols));
    return tensorOf(rows, [images, tokens, z.cols]);
  }

  /** timm's features, [B, C, rows, columns]. */
  function planesOf({ z, tokens, grid }: Encoded): Promise<Tensor> {
    const { cols } = z;
    const planes = backend.read(z).then((rows) => {
      const data = new Float32Array(rows.length);
      for (let image = 0, at = 0; image < images; image++)
        for (let c = 0; c < cols; c++)
          for (let token = 0; token < tokens; token++) data[at++] = rows[(image * tokens + token) * cols + c]!;
      return data;
    });
    return tensorOf(planes, [images, cols, ...grid]);
  }

  function tapsOf(grid: Pair, heads: number, blocks: readonly Block[], first: number): Tap[] {
    const taps: Tap[] = [];
    if (wanted && wants("hiddenStates")) {
      const read = (z: Matrix) => void states.push(tokensOf({ ...map, z }));
      taps.push({ of: "tokens", blocks: wanted, read });
    }
    if (wants("attentions")) {
      const [{ window }] = blocks[0]![0] as [Attention];
      const [rows, tokens] = mapsOf({ window }, { images, heads, grid });
      const read = ([maps]: readonly Matrix[]) =>
        void outputs.attentions!.push(tensorOf(backend.read(maps!), [rows / (heads * tokens), heads, tokens, tokens]));
      taps.push({ of: "attentions", blocks: wanted, read });
    }
    return taps.map((tap) => ({ ...tap, blocks: tap.blocks?.filter((block) => block >= first) }));
  }
}

/** Places of Hiera's tokens in the library's order: neighbors of the next map outermost, by whole maps of them. */
function unrolled([rows, columns]: Pair, times: number): number[] | undefined {
  if (times === 0) return undefined;
  const inner = unrolled([rows / 2, columns / 2], times - 1) ?? [...Array((rows * columns) / 4).keys()];
  return [0, 1].flatMap((y) =>
    [0, 1].flatMap((x) =>
      inner.map((i) => (2 * Math.floor(i / (columns / 2)) + y) * columns + 2 * (i % (columns / 2)) + x),
    ),
  );
}

/** transformers' Swin takes the map for the window where that is larger, and has no biases for it then. */
function checkGrid(grid: Pair, window: Pair): void {
  if (grid.every((side, axis) => side >= window[axis]!)) return;
  const found = grid.join("×");
  throw new RangeError(
    `forward: images must be so large that each stage has a window of ${window.join("×")} tokens; got a stage of ${found}`,
  );
}

/** Four neighbors to one token of the next map; beyond the last line and column are zeros. */
function merge(
  backend: Backend,
  { z, grid: [height, width] }: Encoded,
  { z: merged }: Encoded,
  { norm, reduction }: Merging,
): void {
  const neighbors = backend.createTensor(merged.rows, 4 * z.cols);
  const zeros = backend.createTensor(1, z.cols, new Float32Array(z.cols));
  backend.toWindows(neighbors, z, zeros, { height, width, window: [2, 2] });
  const before = norm.scale.cols === neighbors.cols;
  backend.linear(merged, neighbors, reduction, before ? { norm } : {});
  if (!before) backend.layerNorm(merged, merged, norm);
}
