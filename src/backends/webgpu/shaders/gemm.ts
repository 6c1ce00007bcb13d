/**
 * out = f(scale ⊙ (x Wᵀ) + b), or out += scale ⊙ (x Wᵀ) + b.
 *
 * Layout: rows of x and of W are vectors of 4 inputs, zeros behind the last; columns: (scale, bias) of each output, by fours
 * as W's rows, zeros behind the last; outputs go to the columns of out from `outFirst` on. A workgroup makes a tile of `rows` × `columns` outputs; each of its threads rows/high × columns/across of
 * them in registers, `across` columns and `high` rows apart, so that neighbors read neighboring rows of a tile in
 * workgroup memory (one vector longer than they need: no two of eight in one bank) and write neighbouring outputs.
 *
 * Precisions: f32; f16: W as halves, widened while it is loaded, or with `half` both sides as halves, sums of 4 products in
 * f16, sums of those in f32; int8: 4 integers a word, sums exact, and a scale for each row of x besides.
 *
 * Error: (k/4 + 4)·2^-24·Σ|x·w| in f32; 2^-9·Σ|x·w| with `half`.
 */
import type { Activation } from "../../../backend.js";
import { ACTIVATIONS } from "../../../numerics/activations.js";
import { each, type Shader } from "../shader.js";
import { WINDOW, WINDOW_PARAMS } from "./window.js";

/** Outputs of a workgroup and how its threads share them. */
export interface Tile {
  readonly rows: number;
  readonly columns: number;
  readonly high: number;
  readonly across: number;
}

/**
 * Tiles of few rows, of one image, and of many: a product of 197 rows has 168 tiles of 32 × 32 for 768 outputs and would have 48 of
 * 64 × 64, fewer than a large GPU has cores; above, reading 16 vectors for 256 products beats 8 for 64.
 */
export const TILES = {
  thin: { rows: 4, columns: 64, high: 1, across: 64 },
  small: { rows: 32, columns: 32, high: 8, across: 8 },
  large: { rows: 64, columns: 64, high: 8, across: 8 },
} as const satisfies Record<string, Tile>;

export interface GemmVariant {
  readonly tile: keyof typeof TILES;
  readonly weights: "f32" | "f16" | "int8";
  /** Multiplies halves: needs shader-f16. */
  readonly half: boolean;
  readonly epilogue: Activation | "accumulate" | "none";
  /** Rows of the left side: those of x, or a window of a map with channels by fours or any. */
  readonly rows: "matrix" | "window4" | "window";
  /** Reads max(x, 0) of the map in the place of x. */
  readonly relu: boolean;
  /** True if the language has dot4I8Packed. */
  readonly packedDot: boolean;
}

/** Vectors of inputs that a step of the loop reads. */
const STEP = 8;
const PITCH = STEP + 1;

export function gemm({ tile: name, weights, half, epilogue, rows, relu, packedDot }: GemmVariant): Shader {
  const tile = TILES[name];
  const threads = tile.high * tile.across;
  const [high, across] = [tile.rows / tile.high, tile.columns / tile.across];
  const integer = weights === "int8";
  const element = integer ? "u32" : half ? "vec4<f16>" : "vec4f";
  const sum = integer ? "i32" : "f32";
  const dot = integer ? "dot4" : "dot";
  const stored = integer ? "u32" : weights === "f16" ? (half ? "vec4<f16>" : "vec2u") : "vec4f";
  const widened =
    weights === "f16" && !half
      ? "let h = w[row * p.inputs4 + k]; return vec4f(unpack2x16float(h.x), unpack2x16float(h.y));"
      : "return w[row * p.inputs4 + k];";
  const convert = (x: string) => (half ? `vec4<f16>(${x})` : x);
  const positive = (x: string) => (relu ? `max(${x}, vec4f(0))` : x);
  const zero = `${element}(0)`;
  const load = {
    matrix: `return ${convert("x[row * p.xStride + k]")};`,
    window4: `
  let at = spot(row, 4u * k);
  if (at.pixel == OUTSIDE) { return ${zero}; }
  return ${convert(positive("x[at.pixel * p.xStride + at.channel / 4u]"))};`,
    window: `
  var v = vec4f(0);
  for (var i = 0u; i < 4u; i++) {
    let at = spot(row, 4u * k + i);
    if (at.pixel != OUTSIDE) { v[i] = x[at.pixel * p.xStride + at.channel / 4u][at.channel % 4u]; }
  }
  return ${convert(positive("v"))};`,
  }[rows];
  const value = (i: number, j: number) =>
    integer ? `f32(s${i}_${j}) * (t${i} * c${j}.x) + c${j}.y` : `s${i}_${j} * c${j}.x + c${j}.y`;
  const put = (at: string, x: string) =>
    epilogue === "accumulate" ? `out[${at}] += ${x};` : `out[${at}] = ${epilogue === "none" ? x : `activate(${x})`};`;

  return {
    name: `gemm ${name} ${weights} ${half} ${epilogue} ${rows} ${relu} ${packedDot}`,
    reads: { x: integer ? "u32" : "vec4f", w: stored, columns: "vec2f", ...(integer ? { scales: "f32" } : {}) },
    writes: { out: "f32" },
    params: [
      "rows",
      "inputs4",
      "xStride",
      "outputs",
      "outStride",
      "outFirst",
      ...(rows === "matrix" ? [] : WINDOW_PARAMS),
    ],
    enable: half ? "f16" : undefined,
    code: `
var<workgroup> left: array<${element}, ${tile.rows * PITCH}>;
var<workgroup> right: array<${element}, ${tile.columns * PITCH}>;
${epilogue === "accumulate" || epilogue === "none" ? "" : `fn activate(x: f32) -> f32 {${ACTIVATIONS[epilogue].wgsl} }`}
${rows === "matrix" ? "" : WINDOW}
${integer ? DOT4[packedDot ? "packed" : "plain"] : ""}
fn leftAt(row: u32, k: u32) -> ${element} {
  if (row >= p.rows || k >= p.inputs4) { return ${zero}; }
  ${load}
}
fn rightAt(row: u32, k: u32) -> ${element} {
  if (row >= p.outputs || k >= p.inputs4) { return ${zero}; }
  ${widened}
}
@compute @workgroup_size(${tile.across}, ${tile.high})
fn main(
  @builtin(workgroup_id) g: vec3u,
  @builtin(local_invocation_id) l: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = g.y * ${tile.rows}u;
  let column = g.x * ${tile.columns}u;
  ${each(high, (i) => each(across, (j) => `var s${i}_${j} = ${sum}(0);`))}
  for (var k = 0u; k < p.inputs4; k += ${STEP}u) {
    for (var i = lane; i < ${tile.rows * STEP}u; i += ${threads}u) {
      left[i / ${STEP}u * ${PITCH}u + i % ${STEP}u] = leftAt(row + i / ${STEP}u, k + i % ${STEP}u);
    }
    for (var i = lane; i < ${tile.columns * STEP}u; i += ${threads}u) {
      right[i / ${STEP}u * ${PITCH}u + i % ${STEP}u] = rightAt(column + i / ${STEP}u, k + i % ${STEP}u);
    }
    workgroupBarrier();
    for (var step = 0u; step < ${STEP}u; step++) {
      ${each(high, (i) => `let a${i} = left[(l.y + ${i * tile.high}u) * ${PITCH}u + step];`)}
      ${each(
        across,
        (j) => `{
        let b = right[(l.x + ${j * tile.across}u) * ${PITCH}u + step];
        ${each(high, (i) => `s${i}_${j} += ${half ? "f32(dot" : dot}(a${i}, b)${half ? ")" : ""};`)}
      }`,
      )}
    }
    workgroupBarrier();
  }
  ${each(across, (j) => `let x${j} = column + l.x + ${j * tile.across}u;`)}
  ${each(across, (j) => `var c${j} = vec2f(0); if (x${j} < p.outputs) { c${j} = columns[x${j}]; }`)}
  ${each(
    high,
    (i) => `{
    let y = row + l.y + ${i * tile.high}u;
    if (y < p.rows) {
      ${integer ? `let t${i} = scales[y];` : ""}
      ${each(across, (j) => `if (x${j} < p.outputs) { ${put(`y * p.outStride + p.outFirst + x${j}`, value(i, j))} }`)}
    }
  }`,
  )}
}`,
  };
}

const DOT4 = {
  packed: "fn dot4(a: u32, b: u32) -> i32 { return dot4I8Packed(a, b); }",
  plain: `
fn bytes(x: u32) -> vec4i { return vec4i(vec4u(x << 24u, x << 16u, x << 8u, x)) >> vec4u(24u); }
fn dot4(a: u32, b: u32) -> i32 { return dot(bytes(a), bytes(b)); }`,
};
