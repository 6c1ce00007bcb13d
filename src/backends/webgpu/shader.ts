/** Parts of a shader, and the WGSL text that every one of them begins with. */

/** One variant of a shader. Bindings are numbered in the order in which they stand here, after the parameters. */
export interface Shader {
  /** Tells it from all others, variants of its own file included. */
  readonly name: string;
  /** Buffers that are read, and the type of their elements. */
  readonly reads: Readonly<Record<string, string>>;
  /** Buffers that are read and written. */
  readonly writes: Readonly<Record<string, string>>;
  /** Fields of `p`, all u32 unless it says `: f32`. */
  readonly params: readonly string[];
  /** Feature that it is compiled with. */
  readonly enable?: "f16" | "subgroups";
  /** Declarations and `main`. */
  readonly code: string;
}

/** The whole text of a shader. */
export function textOf({ reads, writes, params, enable, code }: Shader): string {
  const fields = params.map((field) => (field.includes(":") ? field : `${field}: u32`));
  const buffer =
    (access: string) =>
    ([name, type]: [string, string]) => ({ name, type, access });
  const buffers = [...Object.entries(reads).map(buffer("read")), ...Object.entries(writes).map(buffer("read_write"))];
  return [
    ...(enable ? [`enable ${enable};`] : []),
    `struct Params { ${fields.join(", ")} }`,
    "@group(0) @binding(0) var<uniform> p: Params;",
    ...buffers.map(
      ({ name, type, access }, i) => `@group(0) @binding(${i + 1}) var<storage, ${access}> ${name}: array<${type}>;`,
    ),
    code,
  ].join("\n");
}

/** Text for each of 0 … count-1: loops whose variables are to stay in registers. */
export const each = (count: number, text: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => text(i)).join("\n");

/** Threads of a workgroup where nothing else decides: a whole number of subgroups on every GPU. */
export const THREADS = 64;

/**
 * Number of this thread among all of a dispatch of `groupsFor(count)`, a workgroup's number among its groups: one dimension
 * of a dispatch holds 65,535 groups.
 */
export const LINEAR = `
fn groupOf(g: vec3u, n: vec3u) -> u32 { return g.y * n.x + g.x; }`;

/** The smallest dispatch of at least `count` groups. */
export function groupsFor(count: number): [number, number] {
  const rows = Math.ceil(count / 65535);
  return [Math.ceil(count / rows), rows];
}

/** `main` of a shader of which each thread is told its number `i` in a dispatch of `groupsFor(threads / THREADS)`. */
export const perThread = (body: string): string => `
${LINEAR}
@compute @workgroup_size(${THREADS})
fn main(
  @builtin(workgroup_id) g: vec3u,
  @builtin(num_workgroups) n: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = groupOf(g, n) * ${THREADS}u + lane;
  ${body}
}`;

/** The same where a thread computes `value(row, column)` of out; behind a row are zeros. */
export const elementwise = (value: string, zero = "0.0"): string =>
  perThread(`
  if (i >= p.rows * p.outStride) { return; }
  let row = i / p.outStride;
  let column = i % p.outStride;
  if (column >= p.cols) { out[i] = ${zero}; return; }
  ${value}`);

/**
 * `total(x, lane)` and `largest(x, lane)` of the values of all threads of a workgroup, the same in each of them. By
 * subgroups where there are any, else by halving.
 */
export function reductions(threads: number, subgroups: boolean): string {
  const reduction = (name: string, combine: (a: string, b: string) => string, subgroup: string) =>
    subgroups
      ? `
fn ${name}(x: f32, lane: u32, size: u32) -> f32 {
  let own = ${subgroup}(x);
  workgroupBarrier();
  if (lane % size == 0u) { reduced[lane / size] = own; }
  workgroupBarrier();
  var sum = reduced[0];
  for (var i = 1u; i < (${threads}u + size - 1u) / size; i++) { sum = ${combine("sum", "reduced[i]")}; }
  return sum;
}`
      : `
fn ${name}(x: f32, lane: u32) -> f32 {
  workgroupBarrier();
  reduced[lane] = x;
  for (var half = ${threads / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { reduced[lane] = ${combine("reduced[lane]", "reduced[lane + half]")}; }
  }
  workgroupBarrier();
  return reduced[0];
}`;
  return `
var<workgroup> reduced: array<f32, ${threads}>;
${reduction("total", (a, b) => `${a} + ${b}`, "subgroupAdd")}
${reduction("largest", (a, b) => `max(${a}, ${b})`, "subgroupMax")}`;
}

/** Parameters of `main` for `reductions`, and the arguments that it passes on. */
export const subgroupArgument = (subgroups: boolean) =>
  subgroups ? { taken: ", @builtin(subgroup_size) size: u32", passed: "lane, size" } : { taken: "", passed: "lane" };
