/**
 * Layer norm or RMSNorm of parts of rows: whole rows, or each head's query or key. One workgroup a part, which is read three
 * times: for its mean, for the mean of squared distances from it, and for the result. Sums in f32, a 64th of a part a thread.
 */
import type { Activation } from "../../../backend.js";
import { ACTIVATIONS } from "../../../numerics/activations.js";
import { LINEAR, reductions, type Shader, subgroupArgument, THREADS } from "../shader.js";

export interface NormVariant {
  /** Without it, RMSNorm. */
  readonly shift: boolean;
  /** x is out: a buffer cannot be bound twice if it is written. */
  readonly inPlace: boolean;
  readonly accumulate: boolean;
  readonly activation?: Activation;
  readonly subgroups: boolean;
}

/**
 * `mean`, `rest`, what rounding left of it, and `factor`, 1 / √(variance + eps), of `width` elements of x from `begin` on; of an
 * RMSNorm mean and rest are 0. The same in all threads, which must all come here.
 */
export const moments = (x: string, width: string, shift: boolean, passed: string): string => `
  var mean = 0.0;
  ${
    shift
      ? `for (var i = lane; i < ${width}; i += ${THREADS}u) { mean += ${x}[begin + i]; }
  mean = total(mean, ${passed}) / f32(${width});`
      : ""
  }
  var squares = 0.0;
  var rest = 0.0;
  for (var i = lane; i < ${width}; i += ${THREADS}u) {
    let d = ${x}[begin + i] - mean;
    squares += d * d;
    rest += d;
  }
  squares = total(squares, ${passed}) / f32(${width});
  rest = ${shift ? `total(rest, ${passed}) / f32(${width})` : "0.0"};
  let factor = 1.0 / sqrt(max(squares - rest * rest, 0.0) + p.eps);`;

export function norm({ shift, inPlace, accumulate, activation, subgroups }: NormVariant): Shader {
  const { taken, passed } = subgroupArgument(subgroups);
  const x = inPlace ? "out" : "x";
  return {
    name: `norm ${shift} ${inPlace} ${accumulate} ${activation} ${subgroups}`,
    reads: { ...(inPlace ? {} : { x: "f32" }), scale: "f32", ...(shift ? { shift: "f32" } : {}) },
    writes: { out: "f32" },
    // A row has `parts` of `width` columns, from column `first` on; columns up to `end` behind the last are set to 0.
    // `own` is the width where each part has its own scale and shift, else 0.
    params: ["rows", "parts", "width", "first", "end", "own", "xStride", "outStride", "eps: f32"],
    enable: subgroups ? "subgroups" : undefined,
    code: `
${LINEAR}
${reductions(THREADS, subgroups)}
${activation ? `fn activate(x: f32) -> f32 {${ACTIVATIONS[activation].wgsl} }` : ""}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) g: vec3u,
  @builtin(num_workgroups) n: vec3u,
  @builtin(local_invocation_index) lane: u32${taken},
) {
  let group = groupOf(g, n);
  let row = min(group / p.parts, p.rows - 1u);
  let column = p.first + group % p.parts * p.width;
  let begin = row * p.xStride + column;
  ${moments(x, "p.width", shift, passed)}
  if (group >= p.rows * p.parts) { return; }
  let to = row * p.outStride + column;
  let part = group % p.parts * p.own;
  for (var i = lane; i < p.width; i += ${THREADS}u) {
    let y = ((${x}[begin + i] - mean) - rest) * factor * scale[part + i]${shift ? " + shift[part + i]" : ""};
    out[to + i] ${accumulate ? "+=" : "="} ${activation ? "activate(y)" : "y"};
  }
  if (lane < p.end - min(p.end, column + p.width) && group % p.parts == p.parts - 1u) { out[to + p.width + lane] = 0.0; }
}`,
  };
}
