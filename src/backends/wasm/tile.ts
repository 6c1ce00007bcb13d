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
/** Engines that do not compile for speed at once do so after some calls: milliseconds that go by at least. */
const WARM_UP = 6;
const ROUNDS = 5;
/** Milliseconds of a sample at least; in browsers whose clocks move by a whole one at a time, it lasts that. */
const SAMPLE = 0.2;

/** Tiles by the precisions that they were measured with. */
const chosen = new WeakMap<WebAssembly.Module, Map<Precision, Promise<number>>>();

/**
 * The fastest tiles of this build on this engine.
 * @param precision of all layers, if they have one: where it is not int8, integer tiles are not measured.
 */
export async function fastestTiles(kernels: CompiledKernels, precision: Precision = "int8"): Promise<Tiles> {
  const { float, integer } = candidates(kernels);
  return {
    float: await fastestOnce(kernels, "f32", float),
    integer: precision === "int8" ? await fastestOnce(kernels, precision, integer) : integer[0]!,
  };
}

function fastestOnce(kernels: CompiledKernels, precision: Precision, tiles: number[]): Promise<number> {
  const known = chosen.get(kernels.module) ?? new Map<Precision, Promise<number>>();
  chosen.set(kernels.module, known);
  const tile = known.get(precision) ?? measure(kernels, precision, tiles);
  known.set(precision, tile);
  return tile;
}

async function measure(kernels: CompiledKernels, precision: Precision, tiles: number[]): Promise<number> {
  if (isEdge() || tiles.length === 1) return tiles[0]!;
  return fastest(await createBench(kernels), precision, tiles, kernels.eager ? 0 : WARM_UP);
}

/**
 * Tiles take turns, and the best sample of each counts. A later one must be a tenth faster: where engines differ in this they
 * differ by a third or more, and a neighbour on the machine may disturb all samples of one tile.
 */
function fastest(
  run: (precision: Precision, tile: number) => void,
  precision: Precision,
  tiles: number[],
  warmUp: number,
): number {
  const rates = tiles.map(() => 0);
  const start = performance.now();
  for (let round = 0; round < ROUNDS || performance.now() < start + warmUp; round++) {
    for (const [i, tile] of tiles.entries())
      rates[i] = Math.max(
        rates[i]!,
        rateOf(() => run(precision, tile)),
      );
  }
  const most = Math.max(...rates);
  return tiles[rates.findIndex((rate) => rate >= most / 1.1)]!;
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
async function createBench(compiled: CompiledKernels): Promise<(precision: Precision, tile: number) => void> {
  const { kernels, top } = await instantiateAlone(compiled, 8);
  const stride = PANELS * 32 + 64;
  const [x, out] = [top, top + ROWS * (INPUTS * 4 + 64)];
  const w = out + ROWS * stride;
  const scratch = w + PANELS * kernels.weightPanelBytes(PRECISIONS.f32, INPUTS);
  return (precision, tile) =>
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
