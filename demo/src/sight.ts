/** What the model saw, as views read it: the patch at hand, its rows of numbers, and the scales that they are shown on. */
import { attentionOf, attentionOfMaps, type BlockAttention, cosinesOf, fusedRows, unitRows } from "vitrail/pictures";
import type { Grid } from "./draw.js";
import type { Seen } from "./model.js";
import type { LoadedModel, Photo, State } from "./state.js";

/** The state when there is something to show. */
export type Sight = State & { readonly facts: LoadedModel; readonly seen: Seen; readonly opened: Photo };

export const isReady = (state: State): state is Sight =>
  state.facts !== undefined && state.seen !== undefined && state.opened !== undefined;

export const gridOf = ({ seen }: Sight): Grid => seen.grid;
export const patchesOf = ({ seen: { grid } }: Sight): number => grid[0] * grid[1];
export const patchOf = ({ row, col, seen: { grid } }: Sight): number => row * grid[1] + col;

/** True if its layers look at all patches, which a ResNet's and those with windows do not. */
export const hasAttention = ({ seen }: Sight): boolean => seen.queries.length > 0 || seen.maps.length > 0;

/** What carries the answer, as the page calls it. */
export function carrierOf({ facts: { config } }: Sight): string {
  if (config.pooling === "attention") return "pooled token";
  return config.pooling === "token" && config.classToken ? "class token" : "mean of all tokens";
}

/** Layers after which tokens are shown: 0 is before the first. */
export const layerOf = ({ layer, seen: { states } }: Sight): number =>
  layer < 0 ? Math.round(0.75 * (states.length - 1)) : Math.min(layer, states.length - 1);

/** The layer whose attention is shown: there is none before the first. */
export const blockOf = (s: Sight): number => Math.max(0, layerOf(s) - 1);

export const headOf = ({ head, facts: { config } }: Sight): number => (head <= config.heads ? head : 0);
export const fromClass = ({ from, facts: { config } }: Sight): boolean => from === "class" && config.classToken;

/** The row of the token at hand among all tokens. */
const rowOf = (s: Sight): number => (fromClass(s) ? 0 : s.seen.prefix + patchOf(s));

/** Keeps the last result for as long as the keys are the same: several parts of the page ask for it. */
function last<Args extends readonly unknown[], T>(
  keys: (...args: Args) => readonly unknown[],
  compute: (...args: Args) => T,
) {
  let known: readonly unknown[] = [];
  let value: T;
  return (...args: Args): T => {
    const now = keys(...args);
    if (now.length !== known.length || now.some((key, i) => key !== known[i])) {
      value = compute(...args);
      known = now;
    }
    return value;
  };
}

/** Tokens of length 1 after a layer, [N, D]. */
const unitsOf = last(
  ({ seen }: Sight, layer: number) => [seen, layer],
  ({ seen }, layer) => unitRows(seen.states[layer]!.data, seen.states[layer]!.dims.at(-1)!),
);

/** The part of all tokens that patches are. */
const ofPatches = ({ seen: { prefix, grid } }: Sight, values: Float32Array): Float32Array =>
  values.subarray(prefix, prefix + grid[0] * grid[1]);

/** Cosine of the token at hand with each patch's, after a layer. */
export const similarity = last(
  (s: Sight, layer: number) => [s.seen, layer, rowOf(s)],
  (s, layer) => ofPatches(s, cosinesOf(unitsOf(s, layer), s.seen.states[layer]!.dims.at(-1)!, rowOf(s))),
);

const blocks = new WeakMap<Seen, BlockAttention[]>();

/** Attention of each layer. */
function blocksOf(seen: Seen): BlockAttention[] {
  const known = blocks.get(seen);
  if (known) return known;
  const { queries, keys, maps } = seen;
  const made =
    maps.length > 0
      ? maps.map((map) => attentionOfMaps(map))
      : queries.map((query, block) => attentionOf(query, keys[block]!));
  blocks.set(seen, made);
  return made;
}

/** Shares of its attention that the token at hand gives to each patch: of a head from 1 on, or for 0 the mean of all. */
export const attentionIn = (s: Sight, block: number, head: number): Float32Array =>
  ofPatches(s, fusedRows(blocksOf(s.seen)[block]!, head > 0 ? head - 1 : "mean", rowOf(s)));

/** The layer and the head that are chosen. */
export const attention = last(
  (s: Sight) => [s.seen, blockOf(s), headOf(s), rowOf(s)],
  (s) => attentionIn(s, blockOf(s), headOf(s)),
);

/** Numbers as parts from 0 to 1 of a range. */
export function parts(
  values: ArrayLike<number>,
  [from, to]: readonly [number, number] = rangeOf(values),
): Float32Array {
  const scale = to > from ? 1 / (to - from) : 0;
  return Float32Array.from(values, (value) => Math.min(1, Math.max(0, (value - from) * scale)));
}

export function rangeOf(values: ArrayLike<number>): readonly [number, number] {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    if (values[i]! < least) least = values[i]!;
    if (values[i]! > most) most = values[i]!;
  }
  return [least, most];
}

/** Cosines as light: a tenth of the patches stays dark, a twentieth is lit in full. */
export function lit(cosines: Float32Array): Float32Array {
  const sorted = Float32Array.from(cosines).sort();
  const at = (part: number) => sorted[Math.floor(part * (sorted.length - 1))]!;
  return parts(cosines, [at(0.1), at(0.95)]);
}

/**
 * The end of a scale of attention. A few patches often take much of it: the scale ends at the fifth largest share, but not under 15 % of
 * the largest, and says so.
 */
export function endOf(shares: Float32Array): number {
  const sorted = Float32Array.from(shares).sort();
  return Math.max(sorted.at(-5) ?? 0, 0.15 * sorted.at(-1)!);
}

/** Attention as parts of its scale, by the square root, as it is steep. */
export const bent = (shares: Float32Array): Float32Array =>
  parts(Float32Array.from(shares, Math.sqrt), [0, Math.sqrt(endOf(shares))]);

/** The patches with the largest numbers, the largest first. */
export const largest = (values: Float32Array, count: number, except = -1): number[] =>
  Array.from(values.keys())
    .filter((patch) => patch !== except)
    .sort((a, b) => values[b]! - values[a]!)
    .slice(0, count);
