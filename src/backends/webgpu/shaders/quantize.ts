/**
 * Rows of x, normalized if wanted, or windows of a map, as integers in -127…127, four a word, and the scale of each row: the
 * left side of a product in int8 (the contract's `linear`). One workgroup a row.
 */
import { LINEAR, reductions, type Shader, subgroupArgument, THREADS } from "../shader.js";
import { moments } from "./norm.js";
import { WINDOW, WINDOW_PARAMS } from "./window.js";

export interface QuantizeVariant {
  readonly rows: "matrix" | "window" | "LayerNorm" | "RMSNorm";
  /** Reads max(x, 0) of a map in the place of x. */
  readonly relu: boolean;
  readonly subgroups: boolean;
}

export function quantize({ rows, relu, subgroups }: QuantizeVariant): Shader {
  const { taken, passed } = subgroupArgument(subgroups);
  const window = rows === "window";
  const shift = rows === "LayerNorm";
  const norm = shift || rows === "RMSNorm";
  return {
    name: `quantize ${rows} ${relu} ${subgroups}`,
    reads: { x: "f32", ...(norm ? { scale: "f32" } : {}), ...(shift ? { shift: "f32" } : {}) },
    writes: { integers: "u32", scales: "f32" },
    params: [
      ...["rows", "inputs", "inputs4", "xStride"],
      ...(window ? WINDOW_PARAMS : []),
      ...(norm ? ["eps: f32"] : []),
    ],
    enable: subgroups ? "subgroups" : undefined,
    code: `
${LINEAR}
${reductions(THREADS, subgroups)}
${window ? WINDOW : ""}
${norm ? "// Mean, what rounding left of it, and the factor of this row.\nvar<private> own: vec3f;" : ""}
fn at(row: u32, i: u32) -> f32 {
  if (i >= p.inputs) { return 0.0; }
  ${
    window
      ? `let place = spot(row, i);
  if (place.pixel == OUTSIDE) { return 0.0; }
  return ${relu ? "max(x[place.pixel * p.xStride + place.channel], 0.0)" : "x[place.pixel * p.xStride + place.channel]"};`
      : norm
        ? `return ((x[row * p.xStride + i] - own.x) - own.y) * own.z * scale[i]${shift ? " + shift[i]" : ""};`
        : "return x[row * p.xStride + i];"
  }
}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) g: vec3u,
  @builtin(num_workgroups) n: vec3u,
  @builtin(local_invocation_index) lane: u32${taken},
) {
  let row = groupOf(g, n);
  ${
    norm
      ? `let begin = min(row, p.rows - 1u) * p.xStride;
  ${moments("x", "p.inputs", shift, passed)}
  own = vec3f(mean, rest, factor);`
      : ""
  }
  var most = 0.0;
  if (row < p.rows) {
    for (var i = lane; i < p.inputs; i += ${THREADS}u) { most = max(most, abs(at(row, i))); }
  }
  most = largest(most, ${passed});
  if (row >= p.rows) { return; }
  // 2^-100
  let zero = most < 7.888609052210118e-31;
  let inverse = select(127.0 / most, 0.0, zero);
  if (lane == 0u) { scales[row] = select(most / 127.0, 1.0, zero); }
  for (var k = lane; k < p.inputs4; k += ${THREADS}u) {
    let v = vec4f(at(row, 4u * k), at(row, 4u * k + 1u), at(row, 4u * k + 2u), at(row, 4u * k + 3u));
    let q = vec4u(vec4i(clamp(round(v * inverse), vec4f(-127), vec4f(127)))) & vec4u(255u);
    integers[row * p.inputs4 + k] = q.x | (q.y << 8u) | (q.z << 16u) | (q.w << 24u);
  }
}`,
  };
}
