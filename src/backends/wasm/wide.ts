/**
 * 256-bit vectors: V8 on x64 can combine pairs of 128-bit operations into AVX2's when it compiles a module
 * (--experimental-wasm-revectorize, Node 24 and later), and the 6×16 and 4×16 tiles are shaped for it: 1.8 to 1.9 times the
 * speed. The flag is experimental, so the combined kernels must first give the bits of the plain ones, at sizes where every
 * loop has a remainder.
 */
import type { Precision } from "../../backend.js";
import { canSetEngineFlags } from "../../platform/host.js";
import type { Kernels } from "./jobs.gen.js";
import { type CompiledKernels, compileKernels, compileOnce } from "./kernels.js";
import { candidates, instantiateAlone, PRECISIONS, tileOf } from "./tile.js";

/** Versions of V8 whose wide kernels pass the whole conformance file (tests/wasm.test.ts): those of Node 24 and 26. */
const KNOWN = /^(13\.6|14\.6)\./;

/** Tells whether wide kernels are taken where nobody says. */
export const isWideKnown = (): boolean =>
  canSetEngineFlags() && process.arch === "x64" && !process.versions.electron && KNOWN.test(process.versions.v8);

/** The wide kernels, or why there are none. */
export async function wideKernels(
  shared: boolean,
  given: CompiledKernels | undefined,
): Promise<CompiledKernels | { readonly reason: string }> {
  if (given) return { reason: "wide needs the kernels in the code; others were given" };
  const version = globalThis.process?.versions?.node;
  if (!canSetEngineFlags() || Number.parseInt(version!, 10) < 24) {
    return { reason: `wide needs Node 24 or later; this is ${version ? `Node ${version}` : "another runtime"}` };
  }
  if (process.arch !== "x64") return { reason: `wide needs an x64 processor; this is ${process.arch}` };
  const wide = await compileKernels({ shared, wide: true });
  if (wide?.build !== "relaxed") return { reason: "wide needs an engine with relaxed SIMD" };
  let failure = tested.get(wide);
  if (!failure) {
    failure = compileOnce(shared).then((plain) => selfTest(wide, plain));
    tested.set(wide, failure);
  }
  const reason = await failure;
  return reason === undefined ? wide : { reason };
}

/** The failure of each module, tested once a process. */
const tested = new WeakMap<CompiledKernels, Promise<string | undefined>>();

/** Rows, inputs and outputs. */
const SHAPES = [
  [1, 1, 1],
  [5, 3, 9],
  [7, 33, 17],
  [13, 130, 31],
  [25, 260, 48],
] as const;

/** A sentence on the first result that differs between the two, if any does. */
export async function selfTest(wide: CompiledKernels, plain: CompiledKernels): Promise<string | undefined> {
  const [a, b] = await Promise.all([run(wide), run(plain)]);
  for (const [name, bits] of a) {
    const other = b.get(name)!;
    const at = bits.findIndex((word, i) => word !== other[i]);
    if (at >= 0) return `wide failed its self-test: ${name} differs from the plain kernels in word ${at}`;
  }
  return undefined;
}

/** Bits of the results of every op with a tile of its own, by name. */
async function run(compiled: CompiledKernels): Promise<Map<string, Int32Array>> {
  const { kernels, memory, top } = await instantiateAlone(compiled, 16);
  const tiles = candidates(compiled);
  const [float, integer] = [tiles.float[0]!, tiles.integer[0]!];
  const results = new Map<string, Int32Array>();
  for (const [rows, inputs, outputs] of SHAPES) {
    for (const precision of ["f32", "f16", "int8"] as const) {
      const tile = tileOf({ float, integer }, precision);
      results.set(
        `${precision} ${rows}×${inputs}×${outputs}`,
        linear(kernels, memory, top, { precision, tile, rows, inputs, outputs }),
      );
    }
  }
  for (const integers of [false, true]) {
    results.set(
      integers ? "attention of integers" : "attention",
      attention(kernels, memory, top, { tile: float, integerTile: integer, integers }),
    );
  }
  return results;
}

function noise(memory: WebAssembly.Memory, at: number, count: number): number {
  const x = new Float32Array(memory.buffer, at, count);
  for (let i = 0; i < count; i++) x[i] = Math.fround(Math.sin(i * 12.9898 + at) * 2);
  return Math.ceil((at + count * 4 + 64) / 64) * 64;
}

function linear(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  top: number,
  of: { precision: Precision; tile: number; rows: number; inputs: number; outputs: number },
): Int32Array {
  const { tile, rows, inputs, outputs } = of;
  const precision = PRECISIONS[of.precision];
  const panels = Math.ceil(outputs / 8);
  const [stride, outStride] = [Math.ceil(inputs / 4) * 16 + 16, panels * 32 + 64];
  const source = noise(memory, top, (rows * stride) / 4);
  const norm = noise(memory, source, outputs * inputs);
  const w = noise(memory, norm, 2 * inputs + 16);
  const out = w + panels * kernels.weightPanelBytes(precision, inputs);
  new Uint8Array(memory.buffer).fill(0, w, out + rows * outStride);
  kernels.storeWeight({ precision, w, k: inputs, row: 0, x: source, rows: outputs, scales: 0 });
  const shift = norm + Math.ceil(inputs / 4) * 16;
  const scratch = Math.ceil((out + rows * outStride) / 64) * 64;
  const product = { precision, tile, out, outStride, x: top, xStride: stride, rows, k: inputs, w, panels, scratch };
  kernels.linear({ ...product, scale: norm, shift, eps: 1e-5, activation: 1, accumulate: false });
  kernels.linear({ ...product, scale: 0, shift: 0, eps: 0, activation: 0, accumulate: true });
  return new Int32Array(memory.buffer, out, (rows * outStride) / 4).slice();
}

function attention(
  kernels: Kernels,
  memory: WebAssembly.Memory,
  top: number,
  tiles: { tile: number; integerTile: number; integers: boolean },
): Int32Array {
  const [tokens, heads, d] = [29, 2, 20];
  const out = noise(memory, top, tokens * 3 * heads * d + 8);
  const scratch = out + tokens * heads * d * 4;
  const [outStride, stride] = [heads * d * 4, 3 * heads * d * 4];
  const [q, k, v] = [0, 1, 2].map((part) => top + part * outStride) as [number, number, number];
  kernels.attention({
    ...tiles,
    images: 1,
    queries: tokens,
    tokens,
    heads,
    d,
    out,
    outStride,
    q,
    qStride: stride,
    qImage: 0,
    k,
    kStride: stride,
    v,
    vStride: stride,
    probabilities: 0,
    probabilityStride: 0,
    bias: 0,
    biasStride: 0,
    biasHead: 0,
    biasKind: 0,
    windowsDown: 0,
    windowsAcross: 0,
    // Tables of decomposed positions: any numbers, of 29 keys in one line.
    down: top,
    downStride: d * 4,
    height: 1,
    across: top,
    acrossStride: d * 4,
    width: tokens,
    scratch: Math.ceil(scratch / 64) * 64,
  });
  return new Int32Array(memory.buffer, out, tokens * heads * d).slice();
}
