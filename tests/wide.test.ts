/** 256-bit kernels: the bits of the others where the engine can combine vectors, else the reason why it does not. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileKernels } from "../src/backends/wasm/kernels.js";
import { isWideKnown, selfTest } from "../src/backends/wasm/wide.js";
import { load } from "../src/index.js";
import { noise } from "./backend.cases.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";
const major = Number.parseInt(process.versions.node, 10);
const can = major >= 24 && process.arch === "x64";

test("wide gives the bits of the plain kernels, in every precision, on one thread and two", {
  skip: !can && `needs Node 24 on x64; this is Node ${process.versions.node} on ${process.arch}`,
}, async () => {
  for (const precision of ["f32", "f16", "int8"] as const) {
    for (const threads of [1, 2]) {
      using wide = await load(FOLDER, { backend: "wasm", wide: true, precision, threads });
      using plain = await load(FOLDER, { backend: "wasm", wide: false, precision, threads });
      assert.match(wide.backend.reason, /; 256-bit relaxed SIMD, \d×\d+/);
      assert.doesNotMatch(plain.backend.reason, /256-bit/);
      const dims = [2, 3, ...wide.config.imageSize];
      const pixelValues = { dims, data: noise(dims.reduce((a, b) => a * b, 1)) };
      const [a, b] = [await wide.forward({ pixelValues }), await plain.forward({ pixelValues })];
      assert.deepEqual(a.logits.data, b.logits.data);
    }
  }
});

test("wide is what runs where V8 is known to combine vectors right", async () => {
  using model = await load(FOLDER, { backend: "wasm", threads: 1 });
  assert.equal(isWideKnown(), can && [24, 26].includes(major));
  assert.match(model.backend.reason, isWideKnown() ? /; 256-bit relaxed SIMD/ : /; (relaxed )?SIMD, \d×\d+[^;]*$/);
});

test("where wide cannot be had, the model runs and says why", { skip: can && "this engine can" }, async () => {
  using model = await load(FOLDER, { backend: "wasm", wide: true, threads: 1 });
  const why = major < 24 ? `wide needs Node 24 or later; this is Node ${process.versions.node}` : "wide needs an x64";
  assert.ok(model.backend.reason.includes(why), model.backend.reason);
  assert.equal((await model.classify("tests/fixtures/image/rgb-420.jpg")).length, 5);
});

test("the self-test finds kernels that differ in the last bit", async (t) => {
  const simd = (await compileKernels({ shared: false, build: "simd" }))!;
  assert.equal(await selfTest(simd, simd), undefined);
  const relaxed = await compileKernels({ shared: false, build: "relaxed" }).catch(() => undefined);
  if (!relaxed) return t.skip("this engine has no relaxed SIMD");
  // With fused multiply-add and without.
  assert.match((await selfTest(relaxed, simd))!, /^wide failed its self-test: f32 .* differs from the plain kernels/);
});
