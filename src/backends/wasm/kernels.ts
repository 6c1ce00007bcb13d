/** The compiled kernels (assembly/): choosing the build this engine can run, and its typed exports. */
import { relaxed, simd } from "./kernels.gen.js";

/** Exports of assembly/index.ts. Pointers and strides in bytes, sizes in elements; see there for the layouts. */
export interface Kernels {
  heapBase(): number;
  gemm(
    tile: number,
    c: number,
    stride: number,
    a: number,
    rows: number,
    k: number,
    b: number,
    first: number,
    last: number,
    accumulate: boolean,
  ): void;
  packRows(tile: number, a: number, x: number, stride: number, rows: number, k: number): void;
  packedRowsBytes(tile: number, rows: number, k: number): number;
  packWeight(b: number, k: number, row: number, x: number, stride: number, rows: number): void;
  panelBytes(k: number): number;
  attention(
    tile: number,
    out: number,
    outStride: number,
    qkv: number,
    qkvStride: number,
    tokens: number,
    heads: number,
    d: number,
    scratch: number,
    probabilities: number,
    probabilityStride: number,
  ): void;
  attentionScratch(tokens: number, d: number): number;
  gelu(x: number, stride: number, rows: number): void;
  geluTanh(x: number, stride: number, rows: number): void;
  tanh(x: number, stride: number, rows: number): void;
  relu(x: number, stride: number, rows: number): void;
  layerNorm(
    out: number,
    outStride: number,
    x: number,
    xStride: number,
    rows: number,
    width: number,
    scale: number,
    shift: number,
    eps: number,
  ): void;
  assembleTokens(
    out: number,
    prefix: number,
    prefixRows: number,
    patches: number,
    patchRows: number,
    positions: number,
    stride: number,
    padded: number,
  ): void;
  patchify(
    out: number,
    outStride: number,
    pixels: number,
    pixelStride: number,
    channels: number,
    width: number,
    gridHeight: number,
    gridWidth: number,
    patchHeight: number,
    patchWidth: number,
  ): void;
  pool(out: number, x: number, stride: number, count: number, padded: number): void;
  firstBeyond(x: number, count: number, limit: number): number;
  widen(out: number, x: number, count: number, code: number): void;
}

/** Which build of the kernels: with fused multiply-add where the engine knows relaxed SIMD, else without. */
export type Build = "relaxed" | "simd";

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** Instantiates the given build, or the best that this engine validates, on `memory`. */
export async function instantiate(
  memory: WebAssembly.Memory,
  wanted?: Build,
): Promise<{ build: Build; kernels: Kernels }> {
  const builds: [Build, string][] = [
    ["relaxed", relaxed],
    ["simd", simd],
  ];
  for (const [build, base64] of builds) {
    const bytes = bytesOf(base64);
    if ((wanted && wanted !== build) || !WebAssembly.validate(bytes)) continue;
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
    return { build, kernels: instance.exports as unknown as Kernels };
  }
  throw new Error(
    `wasm: the kernels need WebAssembly ${wanted ?? "simd"}, which this engine does not have; use backend "reference"`,
  );
}
