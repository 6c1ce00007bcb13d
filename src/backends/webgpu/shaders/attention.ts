/**
 * softmax(Q Kᵀ / √d + bias) V for a head's block of queries, keys a block at a time (Milakov & Gimelshein 2018; Dao et al.
 * 2022): the scores stay in registers, the running maximum and sum of a row in all threads that share it. Probabilities, where
 * they are wanted, come from a second pass over the keys, when the sums are known.
 *
 * 64 threads, 16 across and 4 high. A thread has `queries`/4 rows: their scores for keys 16 apart, and their outputs for
 * vectors of 4 columns 16 apart. Workgroup memory: the queries, one block of keys or values (rows one vector longer than they
 * need), and `queries` × `keys` probabilities; `blockOf` fits it to what a device has.
 *
 * Scores are of base 2. Error: that of the products, d and `tokens` terms, and of exp2 (2 + 2|x| units in the last place).
 */
import { each, elementwise, type Shader, THREADS } from "../shader.js";

export interface AttentionVariant {
  /** True if queries, keys and values are matrices of their own, not columns of one. */
  readonly apart: boolean;
  /** Columns of a head. */
  readonly d: number;
  readonly bias: boolean;
  /** True if there are products of queries with tables of decomposed positions, as {@link positionProducts} makes them. */
  readonly decomposed: boolean;
  readonly probabilities: boolean;
  readonly block: Block;
}

export interface Block {
  readonly queries: number;
  readonly keys: number;
}

const bytesOf = (d4: number, { queries, keys }: Block) =>
  16 * (queries * d4 + keys * (d4 + 1)) + 4 * (queries * keys + 16 * queries);

/** The largest block that fits `bytes` of workgroup memory, undefined if none does. */
export function blockOf(d: number, bytes: number): Block | undefined {
  const blocks = [16, 8, 4].flatMap((queries) => [32, 16].map((keys) => ({ queries, keys })));
  return blocks.find((block) => bytesOf(Math.ceil(d / 4), block) <= bytes);
}

export function attention({ apart, d, bias, decomposed, probabilities, block }: AttentionVariant): Shader {
  const { queries, keys } = block;
  const d4 = Math.ceil(d / 4);
  const pitch = d4 + 1;
  const rows = queries / 4;
  const perThread = keys / 16;
  const vectors = Math.ceil(d4 / 16);
  const aligned = d % 4 === 0;
  /** Places of rows of q, k and v: the matrix, its stride, the row of an image's first and the head's first column. */
  const places = apart
    ? [
        { from: "queries", stride: "p.queryStride", row: "g.z * p.queryRows", column: "head" },
        { from: "keys", stride: "p.keyStride", row: "g.z * p.tokens", column: "head" },
        { from: "values", stride: "p.valueStride", row: "g.z * p.tokens", column: "head" },
      ]
    : [0, 1, 2].map((part) => ({
        ...{ from: "qkv", stride: "p.stride", row: "g.z * p.tokens" },
        column: `${part}u * p.heads + head`,
      }));
  const component = (from: string, c: number) => `select(0.0, ${from}[at + ${c}u], 4u * c + ${c}u < ${d}u)`;

  /** A block of rows of q, k or v to workgroup memory; rows behind the last are zeros. */
  const load = (to: string, part: 0 | 1 | 2, count: number, pitch: number, first: string, factor: string) => {
    const { from, stride, row, column } = places[part]!;
    return `
    for (var i = lane; i < ${count * d4}u; i += ${THREADS}u) {
      let row = ${first} + i / ${d4}u;
      let c = i % ${d4}u;
      var v = vec4f(0);
      if (row < ${part === 0 ? "p.queries" : "p.tokens"}) {
        ${
          aligned
            ? `v = ${from}[(${row} + row) * (${stride} / 4u) + (${column}) * ${d4}u + c]${factor};`
            : `let at = (${row} + row) * ${stride} + (${column}) * ${d}u + 4u * c;
        v = vec4f(${[0, 1, 2, 3].map((c) => component(from, c)).join(", ")})${factor};`
        }
      }
      ${to}[i / ${d4}u * ${pitch}u + c] = v;
    }`;
  };
  /** Scores of this thread's rows and keys, in s0_0 …, and -1e30 where there is no key. */
  const scores = `
    ${each(rows, (i) => each(perThread, (j) => `var s${i}_${j} = 0.0;`))}
    for (var c = 0u; c < ${d4}u; c++) {
      ${each(rows, (i) => `let q${i} = q[(l.y * ${rows}u + ${i}u) * ${d4}u + c];`)}
      ${each(perThread, (j) => `{ let k = tile[(l.x + ${16 * j}u) * ${pitch}u + c]; ${each(rows, (i) => `s${i}_${j} += dot(q${i}, k);`)} }`)}
    }
    ${each(perThread, (j) => `let key${j} = key + l.x + ${16 * j}u;`)}
    ${each(rows, (i) =>
      each(
        perThread,
        (j) =>
          `if (key${j} >= p.tokens) { s${i}_${j} = -1e30; }${
            bias
              ? ` else { s${i}_${j} += max(biases[(kind * p.biasKind + head * p.biasHead + min(query + ${i}u, p.queries - 1u)) * p.biasStride + key${j}], -1e30) * 1.4426950408889634; }`
              : ""
          }`,
      ),
    )}
    ${
      decomposed
        ? each(rows, (i) => {
            const row = `((g.z * p.heads + head) * p.tokens + min(query + ${i}u, p.tokens - 1u)) * p.positionStride`;
            const add = (j: number) =>
              `if (key${j} < p.tokens) { s${i}_${j} += (positions[r${i} + key${j} / p.width] + positions[r${i} + p.height + key${j} % p.width]) * 1.4426950408889634; }`;
            return `{ let r${i} = ${row}; ${each(perThread, add)} }`;
          })
        : ""
    }`;

  return {
    name: `attention ${apart} ${d} ${bias} ${decomposed} ${probabilities} ${queries} ${keys}`,
    reads: {
      ...Object.fromEntries(
        (apart ? ["queries", "keys", "values"] : ["qkv"]).map((x) => [x, aligned ? "vec4f" : "f32"]),
      ),
      ...(bias ? { biases: "f32" } : {}),
      ...(decomposed ? { positions: "f32" } : {}),
    },
    writes: { out: "f32", ...(probabilities ? { maps: "f32" } : {}) },
    params: [
      ...["queries", "tokens", "heads", "outStride", "factor: f32"],
      ...(apart ? ["queryStride", "queryRows", "keyStride", "valueStride"] : ["stride"]),
      ...(bias ? ["biasStride", "biasHead", "biasKind", "windowsDown", "windowsAcross"] : []),
      ...(decomposed ? ["positionStride", "height", "width"] : []),
      ...(probabilities ? ["mapStride"] : []),
    ],
    code: `
var<workgroup> q: array<vec4f, ${queries * d4}>;
var<workgroup> tile: array<vec4f, ${keys * pitch}>;
// Not vectors: where one thread writes one component, some compilers write all four.
var<workgroup> weights: array<f32, ${queries * keys}>;
var<workgroup> maxima: array<f32, ${queries * 16}>;
@compute @workgroup_size(16, 4)
fn main(
  @builtin(workgroup_id) g: vec3u,
  @builtin(local_invocation_id) l: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let first = g.x * ${queries}u;
  let head = g.y;
  let image = g.z;
  let query = first + l.y * ${rows}u;
  ${
    bias
      ? `let line = image / p.windowsAcross % p.windowsDown == p.windowsDown - 1u;
  let kind = 2u * u32(line) + u32(image % p.windowsAcross == p.windowsAcross - 1u);`
      : ""
  }
  ${load("q", 0, queries, d4, "first", " * p.factor")}
  ${each(rows, (i) => `var m${i} = -1e30; var l${i} = 0.0;`)}
  ${each(rows, (i) => each(vectors, (j) => `var o${i}_${j} = vec4f(0);`))}
  for (var key = 0u; key < p.tokens; key += ${keys}u) {
    ${load("tile", 1, keys, pitch, "key", "")}
    workgroupBarrier();
    ${scores}
    ${each(rows, (i) => `maxima[(l.y * ${rows}u + ${i}u) * 16u + l.x] = ${maxOf(perThread, (j) => `s${i}_${j}`)};`)}
    workgroupBarrier();
    ${each(
      rows,
      (i) => `var n${i} = m${i};
    for (var k = 0u; k < 16u; k++) { n${i} = max(n${i}, maxima[(l.y * ${rows}u + ${i}u) * 16u + k]); }
    let a${i} = power(m${i} - n${i});
    m${i} = n${i};`,
    )}
    ${each(rows, (i) =>
      each(
        perThread,
        (j) => `weights[(l.y * ${rows}u + ${i}u) * ${keys}u + l.x + ${16 * j}u] = power(s${i}_${j} - n${i});`,
      ),
    )}
    ${load("tile", 2, keys, pitch, "key", "")}
    workgroupBarrier();
    ${each(rows, (i) => `l${i} *= a${i}; ${each(vectors, (j) => `o${i}_${j} *= a${i};`)}`)}
    for (var k = 0u; k < ${keys / 4}u; k++) {
      ${each(
        rows,
        (i) => `let r${i} = (l.y * ${rows}u + ${i}u) * ${keys}u + 4u * k;
      let w${i} = vec4f(weights[r${i}], weights[r${i} + 1u], weights[r${i} + 2u], weights[r${i} + 3u]);
      l${i} += w${i}.x + w${i}.y + w${i}.z + w${i}.w;`,
      )}
      ${each(
        vectors,
        (j) => `if (l.x + ${16 * j}u < ${d4}u) {
        let at = 4u * k * ${pitch}u + l.x + ${16 * j}u;
        let v0 = tile[at]; let v1 = tile[at + ${pitch}u]; let v2 = tile[at + ${2 * pitch}u]; let v3 = tile[at + ${3 * pitch}u];
        ${each(rows, (i) => `o${i}_${j} += w${i}.x * v0 + w${i}.y * v1 + w${i}.z * v2 + w${i}.w * v3;`)}
      }`,
      )}
    }
    workgroupBarrier();
  }
  ${each(
    rows,
    (i) => `if (query + ${i}u < p.queries) {
    let row = (image * p.queries + query + ${i}u) * p.outStride;
    ${each(vectors, (j) =>
      each(4, (c) => {
        const column = `4u * (l.x + ${16 * j}u) + ${c}u`;
        return `if (${column} < ${d}u) { out[row + head * ${d}u + ${column}] = o${i}_${j}[${c}] / l${i}; }`;
      }),
    )}
    let end = p.heads * ${d}u;
    if (head == p.heads - 1u && l.x < p.outStride - end) { out[row + end + l.x] = 0.0; }
  }`,
  )}
  ${
    probabilities
      ? `for (var key = 0u; key < p.tokens; key += ${keys}u) {
    ${load("tile", 1, keys, pitch, "key", "")}
    workgroupBarrier();
    ${scores}
    ${each(
      rows,
      (i) => `if (query + ${i}u < p.queries) {
      let row = ((image * p.heads + head) * p.queries + query + ${i}u) * p.mapStride;
      ${each(perThread, (j) => `if (key${j} < p.mapStride) { maps[row + key${j}] = power(s${i}_${j} - m${i}) / l${i}; }`)}
    }`,
    )}
    workgroupBarrier();
  }`
      : ""
  }
}
fn power(x: f32) -> f32 { return select(exp2(x), 0.0, x < -120.0); }`,
  };
}

/**
 * Products of queries with the tables of decomposed positions, before `attention`: a row for each image, head and query, of the
 * `height` lines of keys and then of the places in a line.
 */
export const positionProducts: Shader = {
  name: "positionProducts",
  reads: { queries: "f32", down: "f32", across: "f32" },
  writes: { out: "f32" },
  params: [
    ...["rows", "cols", "outStride", "tokens", "heads", "d", "queryStride", "queryRows"],
    ...["height", "width", "tableStride"],
  ],
  code: elementwise(`
  let query = row % p.tokens;
  let head = row / p.tokens % p.heads;
  let begin = (row / (p.tokens * p.heads) * p.queryRows + query) * p.queryStride + head * p.d;
  var sum = 0.0;
  if (column < p.height) {
    let table = (query / p.width + p.height - 1u - column) * p.tableStride;
    for (var e = 0u; e < p.d; e++) { sum += queries[begin + e] * down[table + e]; }
  } else {
    let table = (query % p.width + p.width - 1u - (column - p.height)) * p.tableStride;
    for (var e = 0u; e < p.d; e++) { sum += queries[begin + e] * across[table + e]; }
  }
  out[i] = sum;`),
};

const maxOf = (count: number, value: (j: number) => string): string =>
  Array.from({ length: count }, (_, j) => value(j)).reduce((a, b) => `max(${a}, ${b})`);
