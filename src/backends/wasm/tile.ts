/** Choosing the register tiles of the matrix products by measuring them, once a process for each build. */
import type { Precision } from "../../backend.js";
import { isEdge } from "../../platform/host.js";
import { instantiate } from "./instance.js";
import type { CompiledKernels } from "./kernels.js";

/** By the numbers of assembly/tiles.js. Results do not depend on the choice. */
export const FLOAT_TILES = ["6×8", "4×8", "4×8 shuffled", "6×16"] as const;
export const INTEGER_TILES = [
  "4×8 by 16 bits",
  "4×8 by split dot",
  "4×8 by dot",
  "6×8 by dot",
  "4×16 by split dot",
  "6×16 by dot",
] as const;

/** A tile of each kind. */
export interface Tiles {
  readonly float: number;
  readonly integer: number;
}

/** As assembly/linear.ts numbers them. */
export const PRECISIONS: Readonly<Record<Precision, number>> = { f32: 0, f16: 1, int8: 2 };

/** The tile for a precision. */
export const tileOf = (tiles: Tiles, precision: Precision): number =>
  precision === "int8" ? tiles.integer : tiles.float;

/** Tiles that are worth a trial. Without fused multiply-add the taller tile always spills; pairs of panels need 256 bits. */
export function candidates({ build, wide }: Pick<CompiledKernels, "build" | "wide">): Record<keyof Tiles, number[]> {
  if (build === "simd") return { float: [1, 2], integer: [0] };
  return { float: wide ? [3, 0] : [0, 1, 2], integer: wide ? [4, 5, 1, 2, 3] : [1, 2, 3] };
}

/** Rows (whole tiles of all heights), inputs and panels of a product that stays in L1: 0.8 Mflop, 5 to 40 µs. */
const ROWS = 24;
const INPUTS = 256;
const PANELS = 8;
/**
 * Engines that do not compile for speed at once do so beside the first calls. Milliseconds in which they may: less than weights take
 * to come.
 */
const WARM_UP = 20;
/** Calls of each tile that set it off in V8: its budget of a function is 13 MB of code that has run, and a call here runs 5. */
const FIRST_CALLS = 6;
const ROUNDS = 5;
/** Trials of such an engine at most, so many milliseconds apart: where another tile than the first has won, that may not have been compiled. */
const [TRIALS, AGAIN] = [4, 1000];
/** Milliseconds of a sample at least; in browsers whose clocks move by a whole one at a time, it lasts that. */
const SAMPLE = 0.2;

/** Trials by the kernels and kinds that they measure. */
const trials = new WeakMap<WebAssembly.Module, Map<keyof Tiles, Promise<() => number>>>();

/**
 * The fastest tiles of this build on this engine, measured when they are first asked for: what an engine compiles for speed only after
 * some calls is then compiled, as this begins with them. Measured at once, Chromium had the wrong one of three for int8 in three pages of six,
 * 1.2 times as slow.
 * @param precision of all layers, if they have one: where it is not int8, integer tiles are not measured.
 */
export async function fastestTiles(kernels: CompiledKernels, precision: Precision = "int8"): Promise<() => Tiles> {
  const all = candidates(kernels);
  const float = await trialOnce(kernels, "float", all.float);
  const integer = precision === "int8" ? await trialOnce(kernels, "integer", all.integer) : () => all.integer[0]!;
  return () => ({ float: float(), integer: integer() });
}

function trialOnce(kernels: CompiledKernels, kind: keyof Tiles, tiles: number[]): Promise<() => number> {
  const known = trials.get(kernels.module) ?? new Map<keyof Tiles, Promise<() => number>>();
  trials.set(kernels.module, known);
  const trial = known.get(kind) ?? begin(kernels, kind === "integer" ? "int8" : "f32", tiles);
  known.set(kind, trial);
  return trial;
}

async function begin(kernels: CompiledKernels, precision: Precision, tiles: number[]): Promise<() => number> {
  if (isEdge() || tiles.length === 1) return () => tiles[0]!;
  let run: ((tile: number) => void) | undefined = await createBench(kernels, precision);
  let warm = performance.now() + (kernels.eager ? 0 : WARM_UP);
  if (!kernels.eager) for (const tile of tiles) for (let call = 0; call < FIRST_CALLS; call++) run(tile);
  let best: number | undefined;
  let trials = kernels.eager ? 1 : TRIALS;
  return () => {
    if (run && (best === undefined || performance.now() >= warm)) {
      best = fastest(run, tiles, warm);
      if (best === tiles[0] || --trials === 0) run = undefined;
      warm = performance.now() + AGAIN;
    }
    return best!;
  };
}

/**
 * Tiles take turns, and the best sample of each counts. A later one must be a tenth faster: where engines differ in this they
 * differ by a third or more. Since a neighbour on the machine may disturb all samples of one tile, the first has four times as many
 * before it loses.
 * @param warm the time before which samples do not count.
 */
function fastest(run: (tile: number) => void, tiles: number[], warm: number): number {
  while (performance.now() < warm) for (const tile of tiles) run(tile);
  const rates = tiles.map(() => 0);
  const best = () => rates.findIndex((rate) => rate >= Math.max(...rates) / 1.1);
  for (let round = 0; round < ROUNDS || (round < 4 * ROUNDS && best() > 0); round++) {
    for (const [i, tile] of tiles.entries())
      rates[i] = Math.max(
        rates[i]!,
        rateOf(() => run(tile)),
      );
  }
  return tiles[best()]!;
}

/** Runs a millisecond in one sample, from one tick of the clock to another. */
function rateOf(run: () => void): number {
  let now = performance.now();
  let start = now;
  while (start === now) {
    run();
    start = performance.now();
  }
  let runs = 0;
  do {
    run();
    runs++;
    now = performance.now();
  } while (now < start + SAMPLE);
  return runs / (now - start);
}

/** Instances on memory of their own, as large as the product. */
async function createBench(compiled: CompiledKernels, precision: Precision): Promise<(tile: number) => void> {
  const { kernels, top } = await instantiateAlone(compiled, 8);
  const stride = PANELS * 32 + 64;
  const [x, out] = [top, top + ROWS * (INPUTS * 4 + 64)];
  const w = out + ROWS * stride;
  const scratch = w + PANELS * kernels.weightPanelBytes(PRECISIONS.f32, INPUTS);
  return (tile) =>
    kernels.linear({
      precision: PRECISIONS[precision],
      tile,
      out,
      outStride: stride,
      rows: ROWS,
      panels: PANELS,
      x,
      xStride: INPUTS * 4 + 64,
      w,
      k: INPUTS,
      activation: 0,
      scratch,
      accumulate: false,
      scale: 0,
      shift: 0,
      eps: 0,
    });
}

/** An instance on a memory of its own, of 64 KiB pages. */
export async function instantiateAlone({ module, shared }: CompiledKernels, pages: number) {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: 65536, shared });
  const { kernels, base } = await instantiate(module, memory);
  return { kernels, memory, top: Math.ceil(base / 64) * 64 };
}
