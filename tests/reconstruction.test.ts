/** Hidden patches, as transformers tells them: MAE's decoder, and masked image modelling; and pictures of them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { type Inputs, load } from "../src/index.js";
import { picture } from "../src/pictures/index.js";
import { assertClose } from "./backend.cases.js";
import { caseOf, goldenOf, toleranceOf } from "./dense.js";

const ROOTS = ["tests/fixtures/dense", process.env.VITRAIL_DENSE ?? "../shared/goldens-dense"];
const NAMES = ["hf-mae-pretraining", "hf-vit-mae-pretraining", "hf-vit-mim"];
const FOLDERS = ROOTS.flatMap((root) => NAMES.map((name) => `${root}/${name}`));

/** Ours for each golden's name. */
const OUTPUTS = {
  logits: "logits",
  mask: "mask",
  ids_restore: "idsRestore",
  reconstruction: "reconstruction",
} as const;

for (const folder of FOLDERS.filter(existsSync)) {
  for (const backend of ["wasm", "reference"] as const) {
    test(`${folder} on ${backend} tells hidden patches as its library does`, async () => {
      using model = await load(folder, { backend });
      for (const entry of caseOf(folder).goldens) {
        const golden = goldenOf(folder, entry.file);
        const given: Inputs = {
          pixelValues: golden.get("pixel_values")!,
          ...(golden.has("noise") && { noise: golden.get("noise")! }),
          ...(golden.has("bool_masked_pos") && { boolMaskedPos: golden.get("bool_masked_pos")! }),
        };
        const own = Object.entries(OUTPUTS).filter(([key]) => golden.has(key));
        const outputs = [...own.map(([, name]) => name), "hiddenStates" as const];
        const got = await model.forward(given, { outputs });
        for (const [key, name] of own) {
          const want = golden.get(key)!;
          assert.deepEqual(got[name].dims, want.dims, key);
          assertClose(got[name].data, want.data, toleranceOf(want, key, entry), `${entry.file} ${key}`);
        }
        for (const [i, { dims, data }] of got.hiddenStates.entries()) {
          const want = golden.get(`hidden_states.${i}`);
          if (!want) continue;
          assert.deepEqual(dims, want.dims);
          assertClose(data, want.data, toleranceOf(want, `hidden_states.${i}`, entry), `hidden_states.${i}`);
        }
      }
    });
  }
}

const MAE = "tests/fixtures/dense/hf-mae-pretraining";
const MIM = "tests/fixtures/dense/hf-vit-mim";
const zeros = (...dims: number[]) => ({ dims, data: new Float32Array(dims.reduce((product, n) => product * n, 1)) });

test("what hides patches must fit the checkpoint, which is said in a sentence", async () => {
  using mae = await load(MAE, { backend: "wasm" });
  using mim = await load(MIM, { backend: "wasm" });
  const pixelValues = zeros(1, 3, 32, 32);
  await assert.rejects(mae.forward({ pixelValues }, { outputs: ["logits"] }), {
    message: "forward: a decoder of hidden patches needs noise: { dims: [1, 16], data }",
  });
  await assert.rejects(mae.forward({ pixelValues, noise: zeros(1, 9) }, { outputs: ["logits"] }), {
    message: "forward: noise must be [1, 16]; got [1, 9]",
  });
  await assert.rejects(mae.forward({ pixelValues, boolMaskedPos: zeros(1, 16) }, { outputs: ["mask"] }), {
    message: "forward: this checkpoint hides patches by noise; got boolMaskedPos",
  });
  const two = { dims: [1, 16], data: new Array(16).fill(2) };
  await assert.rejects(mim.forward({ pixelValues, boolMaskedPos: two }, { outputs: ["reconstruction"] }), {
    message: "forward: boolMaskedPos must be 0 or 1; got 2",
  });
  await assert.rejects(mim.forward({ pixelValues }, { outputs: ["mask"] }), {
    message: "forward: mask needs a checkpoint with a decoder of hidden patches; this one has none",
  });
});

test("a checkpoint that can tell hidden patches gives features of all patches without being asked to hide any", async () => {
  using mae = await load(MAE, { backend: "wasm" });
  const { lastHiddenState } = await mae.forward({ pixelValues: zeros(1, 3, 32, 32) }, { outputs: ["lastHiddenState"] });
  assert.deepEqual(lastHiddenState.dims, [1, 17, 16]);
});

test("a picture of hidden patches is the same for a seed, and another for another", async () => {
  for (const folder of [MAE, MIM]) {
    using model = await load(folder, { backend: "wasm" });
    const of = (seed: number) => picture(model, "reconstruction", "tests/fixtures/image/rgb-420.jpg", { seed });
    const [first, again, other] = [await of(1), await of(1), await of(2)];
    assert.deepEqual(first.dims, [3, 32, 32]);
    assert.deepEqual(first.data, again.data);
    assert.notDeepEqual(first.data, other.data);
    assert.deepEqual([...(await first.png()).subarray(1, 4)], [...Buffer.from("PNG")]);
    await assert.rejects(of(-1), { message: "picture: seed must be a whole number; got -1" });
  }
});
