/**
 * What the compiled kernels must look like, by disassembly: the properties that speed rests on and that no result shows.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import binaryen from "binaryen";
import { writers } from "../src/backends/wasm/jobs.gen.js";
import { binaryOf } from "../src/backends/wasm/kernels.js";
import { base64 } from "../src/image/kernel.gen.js";

const [simd, relaxed, simdThreads, relaxedThreads] = (await Promise.all(
  (["simd", "relaxed", "simd-threads", "relaxed-threads"] as const).map(binaryOf),
)) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
const image = new Uint8Array(Buffer.from(base64, "base64"));

/** By binaryen, since not every engine here reads the relaxed build. */
function textOf(binary: Uint8Array): string {
  const module = binaryen.readBinary(binary);
  module.setFeatures(binaryen.Features.All);
  const text = module.emitText();
  module.dispose();
  return text;
}

/** Text of the innermost loops of a module, each with the function it is in. */
function innerLoops(binary: Uint8Array): { name: string; text: string }[] {
  const text = textOf(binary);
  const loops: { name: string; text: string }[] = [];
  for (const [, name, body] of text.matchAll(/\n \(func \$?([^\s()]+)([\s\S]*?)(?=\n \(func |\n\)\n?$)/g)) {
    for (const { index } of body!.matchAll(/\(loop/g)) {
      const loop = balanced(body!, index);
      if (!loop.slice(1).includes("(loop")) loops.push({ name: name!, text: loop });
    }
  }
  return loops;
}

function balanced(text: string, from: number): string {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    if (text[i] === "(") depth++;
    else if (text[i] === ")" && --depth === 0) return text.slice(from, i + 1);
  }
  throw new Error("inspection: unbalanced text");
}

const count = (text: string, instruction: string) =>
  [...text.matchAll(new RegExp(`\\(${instruction}(?=[\\s)])`, "g"))].length;

for (const [name, binary, products] of [
  ["relaxed", relaxed, "f32x4.relaxed_madd"],
  ["simd", simd, "f32x4.mul"],
  ["relaxed, threads", relaxedThreads, "f32x4.relaxed_madd"],
  ["simd, threads", simdThreads, "f32x4.mul"],
] as const) {
  test(`${name}: imports its memory and what threads that stall call, if there are any`, () => {
    const imports = [...textOf(binary).matchAll(/\(import "(\w+)" "(\w+)" \((\w+)/g)].map(([, ...names]) =>
      names.join(" "),
    );
    assert.deepEqual(imports, ["env memory memory", ...(name.includes("threads") ? ["env stalled func"] : [])]);
  });

  // Per k: the vectors of B, one splat for each row of A; pointers of A and B advance.
  for (const [tile, rows, vectors, splat] of [
    ["4×8", 4, 2, "v128.load32_splat"],
    ["4×8 shuffled", 4, 2, "i8x16.shuffle"],
    ["6×8", 6, 2, "v128.load32_splat"],
    ["6×16", 6, 4, "v128.load32_splat"],
  ].slice(0, name.startsWith("simd") ? 2 : 4) as [string, number, number, string][]) {
    test(`${name}: the loop of the ${tile} tile holds its products and loads, and nothing that checks or converts`, () => {
      const tiles = innerLoops(binary).filter(
        ({ text }) => count(text, splat) === rows && count(text, products) === vectors * rows,
      );
      assert.equal(tiles.length, 1, `loops of ${rows} splats and ${vectors * rows} ${products}`);
      const { text } = tiles[0]!;
      assert.equal(count(text, "v128.load"), vectors + Number(tile.includes("shuffled")));
      assert.equal(count(text, "v128.store"), 0);
      assert.equal(count(text, "call"), 0);
      assert.equal(count(text, "i32.add"), vectors === 4 ? 3 : 2);
      assert.equal(count(text, "br_if"), 1);
      assert.equal(count(text, "f32x4.add"), products === "f32x4.mul" ? vectors * rows : 0);
    });
  }

  for (const [tile, sums, instruction] of name.startsWith("simd")
    ? ([["4×8 by 16 bits", 8, "i32x4.dot_i16x8_s"]] as const)
    : ([
        ["4×8 by split dot", 8, "i16x8.relaxed_dot_i8x16_i7x16_s"],
        ["4×8 by dot", 8, "i32x4.relaxed_dot_i8x16_i7x16_add_s"],
        ["6×8 by dot", 12, "i32x4.relaxed_dot_i8x16_i7x16_add_s"],
        ["4×16 by split dot", 16, "i16x8.relaxed_dot_i8x16_i7x16_s"],
        ["6×16 by dot", 24, "i32x4.relaxed_dot_i8x16_i7x16_add_s"],
      ] as const)) {
    test(`${name}: the loop of the ${tile} tile holds ${sums} sums`, () => {
      const tiles = innerLoops(binary).filter(({ text }) => count(text, instruction) === sums);
      assert.equal(tiles.length, 1);
      for (const none of ["v128.store", "call", "v128.const"]) assert.equal(count(tiles[0]!.text, none), 0, none);
    });
  }

  test(`${name}: no vector constants but zero in inner loops, and no calls`, () => {
    for (const { name, text } of innerLoops(binary)) {
      const constants = [...text.matchAll(/\(v128\.const i32x4 ([^)]*)\)/g)].filter(([, c]) => !/^(0x0+ ?)+$/.test(c!));
      assert.deepEqual(
        constants.map(([c]) => c),
        [],
        `in ${name}`,
      );
      assert.equal(count(text, "unreachable"), 0, `a check in ${name}`);
    }
  });
}

test("no kernel traps on purpose: nothing checks bounds", () => {
  for (const binary of [relaxed, simd, relaxedThreads, simdThreads, image])
    assert.equal(count(textOf(binary), "unreachable"), 0);
});

test("all builds export the same kernels: the ops, and those that assembly/index.ts lists", () => {
  const names = (binary: Uint8Array) => [...textOf(binary).matchAll(/\(export "(\w+)"/g)].map(([, name]) => name!);
  for (const build of [relaxed, relaxedThreads, simdThreads]) assert.deepEqual(names(build), names(simd));
  const listed = readFileSync("assembly/index.ts", "utf8");
  const isOp = (name: string) => name.replace(/Scratch$/, "") in writers;
  for (const name of names(simd)) assert.ok(name === "memory" || isOp(name) || listed.includes(name), name);
  for (const op of Object.keys(writers)) assert.ok(names(simd).includes(op), op);
});
