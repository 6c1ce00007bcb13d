/** Choosing the height of the GEMM tile by measuring, once per backend. */
import type { Kernels } from "./kernels.js";

/** Rows of A per tile. Results do not depend on it, see assembly/gemm.ts. */
export type Tile = 4 | 6;

/** 24 rows (whole tiles of both heights), k and columns of a problem that stays in L1: 0.8 Mflop, 15 to 200 µs. */
const ROWS = 24;
const K = 256;
const PANELS = 8;

/**
 * The faster tile on this engine. Engines compile a hot function a second time and better after some calls, so both
 * tiles take turns for a few milliseconds and the best run of each counts.
 *
 * `scratch` points to tileScratch bytes.
 */
export function fastestTile(kernels: Kernels, scratch: number): Tile {
  const c = scratch;
  const stride = PANELS * 32 + 64;
  const a = c + ROWS * stride;
  const b = a + ROWS * K * 4;
  const best = { 4: Infinity, 6: Infinity };
  const deadline = performance.now() + 8;
  for (let round = 0; round < 20 || performance.now() < deadline; round++) {
    for (const tile of [6, 4] as const) {
      const start = performance.now();
      for (let i = 0; i < 4; i++) kernels.gemm(tile, c, stride, a, ROWS, K, b, 0, PANELS, false);
      best[tile] = Math.min(best[tile], performance.now() - start);
    }
  }
  // Within 2 % the taller one: it gains more on matrices that do not stay in L1.
  return best[6] <= 1.02 * best[4] ? 6 : 4;
}

export function tileScratch(kernels: Kernels): number {
  return ROWS * (PANELS * 32 + 64) + ROWS * K * 4 + PANELS * kernels.panelBytes(K);
}
