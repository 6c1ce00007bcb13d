/**
 * What the compiled kernels must look like, by disassembly: the properties that speed rests on and that no result shows.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import binaryen from "binaryen";
import { relaxed, simd } from "../src/backends/wasm/kernels.gen.js";
import { image } from "../src/image/kernel.gen.js";

/** By binaryen, since not every engine here reads the relaxed build. */
function textOf(base64: string): string {
  const module = binaryen.readBinary(new Uint8Array(Buffer.from(base64, "base64")));
  module.setFeatures(binaryen.Features.All);
  const text = module.emitText();
  module.dispose();
  return text;
}

/** Text of the innermost loops of a module, each with the function it is in. */
function innerLoops(base64: string): { name: string; text: string }[] {
  const text = textOf(base64);
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

for (const [name, base64, products] of [
  ["relaxed", relaxed, "f32x4.relaxed_madd"],
  ["simd", simd, "f32x4.mul"],
] as const) {
  test(`${name}: imports nothing but its memory`, () => {
    const imports = [...textOf(base64).matchAll(/\(import "(\w+)" "(\w+)" \((\w+)/g)].map(([, ...names]) =>
      names.join(" "),
    );
    assert.deepEqual(imports, ["env memory memory"]);
  });

  test(`${name}: the GEMM tiles' loops hold 12 and 8 products, their loads, and nothing that checks or converts`, () => {
    // Per k: two vectors of B, one splat for each row of A; pointers of A and B advance.
    for (const rows of [6, 4]) {
      const tiles = innerLoops(base64).filter(
        ({ text }) => count(text, "v128.load32_splat") === rows && count(text, products) === 2 * rows,
      );
      assert.ok(tiles.length > 0, `no loop of ${rows} splats and ${2 * rows} ${products}`);
      for (const { text } of tiles) {
        assert.equal(count(text, "v128.load"), 2);
        assert.equal(count(text, "v128.store"), 0);
        assert.equal(count(text, "call"), 0);
        assert.equal(count(text, "i32.add"), 2);
        assert.equal(count(text, "br_if"), 1);
        assert.equal(count(text, "f32x4.add"), products === "f32x4.mul" ? 2 * rows : 0);
      }
    }
  });

  test(`${name}: no vector constants but zero in inner loops, and no calls`, () => {
    for (const { name, text } of innerLoops(base64)) {
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
  for (const base64 of [relaxed, simd, image]) assert.equal(count(textOf(base64), "unreachable"), 0);
});

test("both builds export the same kernels, those that assembly/index.ts lists", () => {
  const names = (base64: string) => [...textOf(base64).matchAll(/\(export "(\w+)"/g)].map(([, name]) => name!);
  assert.deepEqual(names(relaxed), names(simd));
  const listed = readFileSync("assembly/index.ts", "utf8");
  for (const name of names(simd)) assert.ok(name === "memory" || listed.includes(name), name);
});
