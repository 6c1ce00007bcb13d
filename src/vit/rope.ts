/**
 * Rotary positions (Su et al. 2021) of patches on a grid: the angles by which queries and keys are turned. Prefix tokens
 * are not turned, but by learned angles in MLCD.
 */
import type { Pairs } from "../backend.js";

/**
 * Source of the angles. dinov3: patch centers from -1 to 1 (Siméoni et al. 2025); axial: indices of rows and columns
 * (EVA-02, PE; Heo et al. 2024), `offset` added and scaled to a reference grid if there is one; mixed: indices times learned
 * frequencies, for each block and head.
 */
export type Rotary =
  | { readonly kind: "dinov3"; readonly temperature: number }
  | {
      readonly kind: "axial";
      readonly temperature: number;
      readonly reference: readonly [number, number] | undefined;
      readonly offset: number;
      /** ij: the first half of a head turns by rows, the second by columns; xy: the other way around. */
      readonly order: "ij" | "xy";
      /** Elements that are turned together; neighbours unless given. */
      readonly pairs?: "halves";
    }
  | { readonly kind: "mixed" };

/** cos and sin, [tokens, d] or [tokens, heads·d]; sin is negative for the first of a pair. */
export interface RotaryTable {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Elements that are turned together. */
export const pairsOf = (rotary: Rotary): Pairs =>
  rotary.kind === "dinov3" || (rotary.kind === "axial" && rotary.pairs === "halves") ? "halves" : "interleaved";

/**
 * Tables of a grid: one for all blocks, or one a block.
 * @param sizes frequencies: of the mixed kind, [2, L, heads, d/2]; prefixAngles: of the prefix tokens, [prefixTokens, d/2].
 */
export function rotaryTables(
  rotary: Rotary,
  sizes: {
    readonly grid: readonly [number, number];
    readonly headWidth: number;
    readonly heads: number;
    readonly depth: number;
    readonly prefixTokens: number;
    readonly frequencies: Float32Array | undefined;
    readonly prefixAngles?: Float32Array | undefined;
  },
): RotaryTable[] {
  const { grid, headWidth, heads, depth, prefixTokens, frequencies, prefixAngles } = sizes;
  const half = headWidth / 2;
  const patches = grid[0] * grid[1];

  /** From the angles of a patch's pairs, for `columns` heads. */
  function table(columns: number, angle: (y: number, x: number, head: number, pair: number) => number): RotaryTable {
    const width = columns * headWidth;
    const cos = new Float32Array((prefixTokens + patches) * width).fill(1, 0, prefixTokens * width);
    const sin = new Float32Array(cos.length);
    for (let token = prefixAngles ? 0 : prefixTokens; token < prefixTokens + patches; token++)
      for (let head = 0; head < columns; head++)
        for (let pair = 0; pair < half; pair++) {
          const patch = token - prefixTokens;
          // Angles in f32, as the libraries have them.
          const turn = Math.fround(
            patch < 0
              ? prefixAngles![token * half + pair]!
              : angle(Math.floor(patch / grid[1]), patch % grid[1], head, pair),
          );
          const at = token * width + head * headWidth;
          const [first, second] =
            pairsOf(rotary) === "halves" ? [at + pair, at + half + pair] : [at + 2 * pair, at + 2 * pair + 1];
          cos[first] = cos[second] = Math.cos(turn);
          sin[second] = Math.sin(turn);
          sin[first] = -sin[second]!;
        }
    return { cos, sin };
  }

  if (rotary.kind === "mixed") {
    const size = heads * half;
    return Array.from({ length: depth }, (_, block) =>
      table(heads, (y, x, head, pair) => {
        const at = block * size + head * half + pair;
        return x * frequencies![at]! + y * frequencies![depth * size + at]!;
      }),
    );
  }
  const bands = half / 2;
  // The first pairs turn by one axis, the others by the other.
  const band = (pair: number) => Math.fround(rotary.temperature ** -((pair % bands) / bands));
  if (rotary.kind === "dinov3") {
    const center = (i: number, n: number) => 2 * ((i + 0.5) / n) - 1;
    return [
      table(1, (y, x, _, pair) => 2 * Math.PI * (pair < bands ? center(y, grid[0]) : center(x, grid[1])) * band(pair)),
    ];
  }
  const { reference, offset, order } = rotary;
  const place = (i: number, axis: 0 | 1) => (reference ? ((i + offset) / grid[axis]) * reference[axis] : i + offset);
  return [
    table(1, (y, x, _, pair) => {
      const rows = pair < bands === (order === "ij");
      return (rows ? place(y, 0) : place(x, 1)) * band(pair);
    }),
  ];
}
