/** What the model saw, as views read it: the patch at hand, its rows of numbers, and the scales that they are shown on. */
import type { Grid } from "./draw.js";
import { attentionRow, cosines } from "./rows.js";
import type { LoadedModel, Photo, State } from "./state.js";
import type { Seen } from "./worker.js";

/** The state when there is something to show. */
export type Sight = State & { readonly facts: LoadedModel; readonly seen: Seen; readonly opened: Photo };

export const isReady = (state: State): state is Sight =>
  state.facts !== undefined && state.seen !== undefined && state.opened !== undefined;

export const gridOf = ({ seen }: Sight): Grid => seen.grid;
export const patchesOf = ({ seen: { grid } }: Sight): number => grid[0] * grid[1];
export const patchOf = ({ row, col, seen: { grid } }: Sight): number => row * grid[1] + col;

/** Layers after which tokens are shown: 0 is before the first. */
export const layerOf = ({ layer, facts: { config } }: Pick<Sight, "layer" | "facts">): number =>
  layer < 0 ? Math.round(0.75 * config.depth) : Math.min(layer, config.depth);

/** The layer whose attention is shown: there is none before the first. */
export const blockOf = (s: Sight): number => Math.max(0, layerOf(s) - 1);

export const headOf = ({ head, facts: { config } }: Sight): number => (head <= config.heads ? head : 0);
export const fromClass = ({ from, facts: { config } }: Sight): boolean => from === "class" && config.classToken;

/** The row of the token at hand among all tokens. */
const rowOf = (s: Sight): number => (fromClass(s) ? 0 : s.seen.prefix + patchOf(s));

/** Keeps the last result: several parts of the page ask for the same. */
function last<T>(compute: (s: Sight, ...numbers: number[]) => T): (s: Sight, ...numbers: number[]) => T {
  let key: readonly unknown[] = [];
  let value: T;
  return (s, ...numbers) => {
    const now = [s.seen, rowOf(s), ...numbers];
    if (now.length !== key.length || now.some((part, i) => part !== key[i])) {
      value = compute(s, ...numbers);
      key = now;
    }
    return value;
  };
}

/** Cosine of the token at hand with each patch's, after a layer. */
export const similarity = last((s, layer: number) => {
  const { tokens, prefix } = s.seen;
  return cosines(tokens[layer]!, s.facts.config.width, rowOf(s)).subarray(prefix);
});

/** Shares of its attention that the token at hand gives to each patch: of a head, or the mean of all. */
export const attention = last((s, block: number, head: number) => attentionFrom(s, block, head, rowOf(s)));

/** The same of any row. */
export function attentionFrom(s: Sight, block: number, head: number, row: number): Float32Array {
  const { queries, keys, prefix } = s.seen;
  const { heads } = s.facts.config;
  const tokens = prefix + patchesOf(s);
  const of = (head: number) => attentionRow(queries[block]!, keys[block]!, { heads, tokens, head, row });
  if (head > 0) return of(head - 1).subarray(prefix);
  const mean = new Float32Array(tokens);
  for (let h = 0; h < heads; h++) {
    const shares = of(h);
    for (let i = 0; i < tokens; i++) mean[i]! += shares[i]! / heads;
  }
  return mean.subarray(prefix);
}

/** Numbers as parts from 0 to 1 of a range. */
export function parts(values: ArrayLike<number>, [from, to]: readonly [number, number] = rangeOf(values)): Float32Array {
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
