// Writes the register tiles of the matrix products, assembly/tiles.gen.ts: functions that differ only in how many rows and
// panels they hold in registers and in how they multiply. Written by a program because AssemblyScript keeps sums in
// registers only as locals of their own: the ten tiles would be 900 lines that repeat each other.
//
// tile(c, stride, rows, a, k, b, panel, add): C = A Bᵀ + bias, or C += A Bᵀ + bias with `add`, for `rows` rows of C, `stride`
// bytes apart, and the 8 columns of the panel at b, or the 16 of it and the next one, `panel` bytes further. Those of f32 are
// told where the biases are, since they multiply parts of panels too. The layouts of A and B are those of gemm.ts (f32) and
// int8.ts. Rows of a last, partial block repeat its last row: it is stored again, all loads of C before all stores.
import { writeFileSync } from "node:fs";

/** Products that an f32 tile sums up before it adds them to C; see gemm.ts. */
const KC = 128;

/** In the order of their numbers, which the host knows (src/backends/wasm/tile.ts). */
const FLOAT = [
  { rows: 6, panels: 1 },
  { rows: 4, panels: 1 },
  { rows: 4, panels: 1, shuffle: true },
  { rows: 6, panels: 2 },
];
const INTEGER = [
  { rows: 4, panels: 1, product: "dot16" },
  { rows: 4, panels: 1, product: "split" },
  { rows: 4, panels: 1, product: "dot" },
  { rows: 6, panels: 1, product: "dot" },
  { rows: 4, panels: 2, product: "split" },
  { rows: 6, panels: 2, product: "dot" },
];

const nameOf = ({ rows, panels, shuffle, product = "f32" }) => `${product}_${rows}x${8 * panels}${shuffle ? "s" : ""}`;

const range = (n) => Array.from({ length: n }, (_, i) => i);

/** Addresses of a vector in each panel, 16 bytes apart; `base` names the first panel's pointer, `${base}q` the second's. */
const vectors = ({ panels }, base) =>
  range(panels).flatMap((p) => [`${base}${p ? "q" : ""}`, `${base}${p ? "q" : ""}, 16`]);

const ARGUMENTS = [
  "c: usize",
  "stride: usize",
  "rows: usize",
  "a: usize",
  "k: usize",
  "b: usize",
  "panel: usize",
  "add: bool",
];
const FLOAT_ARGUMENTS = [...ARGUMENTS, "biases: usize"];

const signature = (tile) => `export function ${nameOf(tile)}(
  ${(tile.product ? ARGUMENTS : FLOAT_ARGUMENTS).join(", ")},
): void {
  const bottom = c + (rows - 1) * stride;
  let x = a;
  for (; c <= bottom; c += ${tile.rows} * stride) {
    const r0 = c;
${range(tile.rows)
  .slice(1)
  .map((i) => `    const r${i} = min(r${i - 1} + stride, bottom);`)
  .join("\n")}`;

/** Row by row, so that the two stores of a panel are neighbors: V8's re-vectorisation starts from them. */
const store = (tile, indent) =>
  range(tile.rows)
    .flatMap((i) => range(2 * tile.panels).map((j) => `${indent}v128.store(r${i}, c${i}${j}, ${16 * j});`))
    .join("\n");

function floatTile(tile) {
  const { rows, panels, shuffle } = tile;
  const columns = range(2 * panels);
  const second = (code) => (panels === 2 ? code : "");
  const lines = range(rows).map((i) => {
    const splat = shuffle ? `v128.shuffle<i32>(x4, x4, ${[i, i, i, i]})` : `v128.load32_splat(x, ${4 * i})`;
    return [
      `        const a${i} = ${splat};`,
      ...columns.map((j) => `        c${i}${j} = madd(a${i}, b${j}, c${i}${j});`),
    ].join("\n");
  });
  return `${signature(tile)}
    let p = b + 32;
${second("    let pq = p + panel;\n")}    const end = p + (k << 5);
    let bias = biases;
${second("    let biasq = biases == NO_BIASES ? NO_BIASES : biases + panel;\n")}    let sum = add;
    do {
${vectors(tile, "bias")
  .map((at, j) => `      const z${j} = v128.load(${at});`)
  .join("\n")}
${range(rows)
  .flatMap((i) => columns.map((j) => `      let c${i}${j} = z${j};`))
  .join("\n")}
      const next = min(p + ${32 * KC}, end);
      do {
${vectors(tile, "p")
  .map((at, j) => `        const b${j} = v128.load(${at});`)
  .join("\n")}
${shuffle ? "        const x4 = v128.load(x);\n" : ""}${lines.join("\n")}
        x += ${4 * rows};
        p += 32;
${second("        pq += 32;\n")}      } while (p < next);
      if (sum) {
${range(rows)
  .flatMap((i) => columns.map((j) => `        c${i}${j} = f32x4.add(c${i}${j}, v128.load(r${i}, ${16 * j}));`))
  .join("\n")}
      }
${store(tile, "      ")}
      bias = NO_BIASES;
${second("      biasq = NO_BIASES;\n")}      sum = true;
    } while (p < end);
  }
}
`;
}

/** One step of each product: bytes of k that it takes of a panel, how B is loaded, and what is added to the sum s. */
const PRODUCTS = {
  dot16: {
    step: 16,
    load: (p, j) => `v128.load8x8_s(${p}, ${8 * j})`,
    add: (s, x, y) => `i32x4.add(${s}, i32x4.dot_i16x8_s(${x}, ${y}))`,
  },
  split: {
    step: 32,
    load: (p, j) => `v128.load(${p}, ${16 * j})`,
    add: (s, x, y) => `i32x4.add(${s}, i32x4.dot_i16x8_s(i16x8.relaxed_dot_i8x16_i7x16_s(${x}, ${y}), ones))`,
  },
  dot: {
    step: 32,
    load: (p, j) => `v128.load(${p}, ${16 * j})`,
    add: (s, x, y) => `i32x4.relaxed_dot_i8x16_i7x16_add_s(${x}, ${y}, ${s})`,
  },
};

function integerTile(tile) {
  const { rows, panels, product } = tile;
  const { step, load, add } = PRODUCTS[product];
  const columns = range(2 * panels);
  const second = (code) => (panels === 2 ? code : "");
  const sums = range(rows).map((i) =>
    [
      `      const a${i} = v128.load32_splat(x, ${4 * i});`,
      ...columns.map((j) => `      c${i}${j} = ${add(`c${i}${j}`, `a${i}`, `b${j}`)};`),
    ].join("\n"),
  );
  const results = range(rows).map((i) =>
    [
      `    const t${i} = v128.load32_splat(head, ${4 * i});`,
      ...columns.map(
        (j) =>
          `    c${i}${j} = f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(c${i}${j}), f32x4.mul(t${i}, s${j})), z${j});`,
      ),
    ].join("\n"),
  );
  return `${signature(tile)}
    let p = b + 64;
${second("    let pq = p + panel;\n")}    const end = p + (((k + 3) >> 2) << 5);
    const head = x;
${product === "split" ? "    const ones = v128.load16_splat(ONES);\n" : ""}${range(rows)
  .flatMap((i) => columns.map((j) => `    let c${i}${j} = v128.load32_splat(head, ${4 * (rows + i)});`))
  .join("\n")}
    x += ${8 * rows};
    do {
${columns.map((j) => `      const b${j} = ${load(j < 2 ? "p" : "pq", j % 2)};`).join("\n")}
${sums.join("\n")}
      x += ${4 * rows};
      p += ${step};
${second(`      pq += ${step};\n`)}    } while (p < end);
${range(panels)
  .flatMap((q) =>
    [0, 1].map(
      (j) =>
        `    const z${2 * q + j} = v128.load(b${q ? " + panel" : ""}, ${16 * j});\n    const s${2 * q + j} = v128.load(b${q ? " + panel" : ""}, ${32 + 16 * j});`,
    ),
  )
  .join("\n")}
${results.join("\n")}
    if (add) {
${range(rows)
  .flatMap((i) => columns.map((j) => `      c${i}${j} = f32x4.add(c${i}${j}, v128.load(r${i}, ${16 * j}));`))
  .join("\n")}
    }
${store(tile, "    ")}
  }
}
`;
}

const named = (args) => args.map((arg) => arg.split(":")[0]).join(", ");
const call = (tile, args) => `${nameOf(tile)}(${named(args)})`;

/** A function that calls the tile of a number; the last one if there is no such tile in this build. */
const choice = (name, tiles, args) => `
/** The tile of a number. */
export function ${name}(
  tile: u32, ${args.join(", ")},
): void {
  switch (tile) {
${tiles.map(([i, tile], at) => `    ${at < tiles.length - 1 ? `case ${i}` : "default"}: ${call(tile, args)}; break;`).join("\n")}
  }
}
`;
const table = (name, of) => `
export const ${name}: usize = memory.data<u8>([${of}]);
`;

export function writeTiles(file) {
  writeFileSync(
    file,
    `// Written by assembly/tiles.js.
import { madd } from "./math";

/** Eight zeros: the biases of all but the first products. */
export const NO_BIASES: usize = memory.data<f32>([0, 0, 0, 0, 0, 0, 0, 0]);
const ONES: usize = memory.data<u16>([1]);
${FLOAT.map(floatTile).join("\n")}
${INTEGER.map(integerTile).join("\n")}
${choice("relaxedFloatTile", [...FLOAT.entries()], FLOAT_ARGUMENTS)}
${choice("simdFloatTile", [...FLOAT.entries()].slice(1, 3), FLOAT_ARGUMENTS)}
/** The tile of a number. Without fused multiply-add those of six rows spill registers, so that build has none of them. */
export function floatTile(
  tile: u32, ${FLOAT_ARGUMENTS.join(", ")},
): void {
  if (ASC_FEATURE_RELAXED_SIMD) relaxedFloatTile(tile, ${named(FLOAT_ARGUMENTS)});
  else simdFloatTile(tile, ${named(FLOAT_ARGUMENTS)});
}
${choice("relaxedIntegerTile", [...INTEGER.entries()].slice(1), ARGUMENTS)}
/** The tile of a number. */
export function integerTile(
  tile: u32, ${ARGUMENTS.join(", ")},
): void {
  if (ASC_FEATURE_RELAXED_SIMD) relaxedIntegerTile(tile, ${named(ARGUMENTS)});
  else ${call(INTEGER[0], ARGUMENTS)};
}
${table(
  "FLOAT_ROWS",
  FLOAT.map(({ rows }) => rows),
)}
${table(
  "FLOAT_PANELS",
  FLOAT.map(({ panels }) => panels),
)}
${table(
  "INTEGER_ROWS",
  INTEGER.map(({ rows }) => rows),
)}
${table(
  "INTEGER_PANELS",
  INTEGER.map(({ panels }) => panels),
)}
`,
  );
}
