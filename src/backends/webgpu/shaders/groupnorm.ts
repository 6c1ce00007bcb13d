/**
 * GroupNorm (Wu & He 2018): one workgroup an image's group of channels, over all pixels, which it reads three times as
 * norm.ts reads a row.
 */
import { LINEAR, reductions, type Shader, subgroupArgument } from "../shader.js";

export interface GroupNormVariant {
  readonly relu: boolean;
  readonly accumulate: boolean;
  /** x is out. */
  readonly inPlace: boolean;
  readonly subgroups: boolean;
}

/** As many as any device runs: there are few groups, of many pixels. */
const THREADS = 256;

export function groupNorm({ relu, accumulate, inPlace, subgroups }: GroupNormVariant): Shader {
  const { taken, passed } = subgroupArgument(subgroups);
  const x = inPlace ? "out" : "x";
  const loop = (body: string) => `
  for (var i = lane; i < count; i += ${THREADS}u) {
    let channel = group * width + i % width;
    let at = (image * p.pixels + i / width) * p.stride + channel;
    ${body}
  }`;
  return {
    name: `groupNorm ${relu} ${accumulate} ${inPlace} ${subgroups}`,
    reads: { ...(inPlace ? {} : { x: "f32" }), scale: "f32", shift: "f32" },
    writes: { out: "f32" },
    params: ["images", "pixels", "cols", "stride", "groups", "eps: f32"],
    enable: subgroups ? "subgroups" : undefined,
    code: `
${LINEAR}
${reductions(THREADS, subgroups)}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) g: vec3u,
  @builtin(num_workgroups) n: vec3u,
  @builtin(local_invocation_index) lane: u32${taken},
) {
  let number = groupOf(g, n);
  let image = min(number / p.groups, p.images - 1u);
  let group = number % p.groups;
  let width = p.cols / p.groups;
  let count = width * p.pixels;
  var mean = 0.0;
  ${loop(`mean += ${x}[at];`)}
  mean = total(mean, ${passed}) / f32(count);
  var squares = 0.0;
  var rest = 0.0;
  ${loop(`let d = ${x}[at] - mean; squares += d * d; rest += d;`)}
  squares = total(squares, ${passed}) / f32(count);
  rest = total(rest, ${passed}) / f32(count);
  if (number >= p.images * p.groups) { return; }
  let factor = 1.0 / sqrt(max(squares - rest * rest, 0.0) + p.eps);
  ${loop(`let y = ((${x}[at] - mean) - rest) * factor * scale[channel] + shift[channel]${accumulate ? " + out[at]" : ""};
    out[at] = ${relu ? "max(y, 0.0)" : "y"};`)}
  // Behind the last channel.
  if (group == p.groups - 1u) {
    let rest4 = p.stride - p.cols;
    for (var i = lane; i < rest4 * p.pixels; i += ${THREADS}u) {
      out[(image * p.pixels + i / rest4) * p.stride + p.cols + i % rest4] = 0.0;
    }
  }
}`,
  };
}
