/** Swin and SwinV2, of transformers and of timm, against these libraries: logits, features, stages, and attention within windows. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { test } from "node:test";
import { load } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { DENSE_ROOTS, goldenOf } from "./dense.js";
import { compareSwin } from "./swin.js";

const isSwin = (folder: string) => /^(hf|timm)-swin/.test(basename(folder));

for (const { root, skip, folders } of DENSE_ROOTS) {
  if (skip) test(`Swin of ${root}`, { skip }, () => undefined);
  for (const folder of folders.filter(isSwin)) {
    for (const backend of ["wasm", "reference"] as const) {
      test(`${folder} on ${backend} is what its library computes`, () => compareSwin(folder, backend));
    }
  }
}

const FOLDERS = ["hf-swin", "hf-swinv2", "timm-swin", "timm-swinv2"].map((name) => `tests/fixtures/dense/${name}`);

test("a batch of a Swin Transformer is what its images are alone, on several threads as well", async () => {
  for (const folder of FOLDERS) {
    const pixelValues = goldenOf(folder, "golden.safetensors").get("pixel_values")!;
    using model = await load(folder, { backend: "wasm" });
    using threads = await load(folder, { backend: "wasm", threads: 2 });
    const both = await model.forward({ pixelValues });
    assert.deepEqual((await threads.forward({ pixelValues })).logits.data, both.logits.data);
    const [, ...dims] = pixelValues.dims;
    const size = pixelValues.data.length / 2;
    for (const i of [0, 1]) {
      const data = pixelValues.data.slice(i * size, (i + 1) * size);
      const { logits } = await model.forward({ pixelValues: { dims: [1, ...dims], data } });
      const classes = logits.data.length;
      assert.deepEqual(logits.data, both.logits.data.slice(i * classes, (i + 1) * classes));
    }
  }
});

test("a Swin Transformer in f16 and int8 is near the one in f32", async () => {
  for (const folder of FOLDERS) {
    const golden = goldenOf(folder, "golden.safetensors");
    const [pixelValues, want] = [golden.get("pixel_values")!, golden.get("logits")!];
    const most = want.data.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
    for (const [precision, tolerance] of [
      ["f16", 2e-3],
      ["int8", 0.2],
    ] as const) {
      using model = await load(folder, { backend: "wasm", precision });
      assertClose(
        (await model.forward({ pixelValues })).logits.data,
        want.data,
        tolerance * most,
        `${folder} ${precision}`,
      );
    }
  }
});

test("a call of a Swin Transformer ends between blocks when its signal says so", async () => {
  using model = await load(FOLDERS[0]!, { backend: "wasm" });
  const pixelValues = goldenOf(FOLDERS[0]!, "golden.safetensors").get("pixel_values")!;
  const controller = new AbortController();
  const call = model.forward({ pixelValues }, { signal: controller.signal });
  controller.abort();
  await assert.rejects(call, { name: "AbortError" });
});

test("hidden states of a Swin Transformer are behind the blocks that are asked for", async () => {
  using model = await load(FOLDERS[0]!, { backend: "wasm" });
  const golden = goldenOf(FOLDERS[0]!, "golden.safetensors");
  const asked = { outputs: ["hiddenStates", "attentions"], blocks: [1, 4] } as const;
  const { hiddenStates, attentions } = await model.forward({ pixelValues: golden.get("pixel_values")! }, asked);
  assert.deepEqual(
    hiddenStates.map(({ dims }) => dims),
    [
      [2, 144, 8],
      [2, 9, 32],
    ],
  );
  const last = golden.get("hidden_states.3")!;
  assertClose(hiddenStates[1]!.data, last.data, 1e-4, "the last block's");
  assert.deepEqual(attentions[0]!.dims, golden.get("stage_attentions.0")!.dims);
});

test("what a Swin Transformer cannot do is said in a sentence", async () => {
  using model = await load(FOLDERS[0]!, { backend: "wasm" });
  const zeros = (...dims: number[]) => ({ dims, data: new Float32Array(dims.reduce((product, n) => product * n, 1)) });
  await assert.rejects(model.forward({ pixelValues: zeros(1, 3, 24, 80) }), {
    message: "forward: images must be so large that each stage has a window of 3×3 tokens; got a stage of 2×5",
  });
  await assert.rejects(model.forward({ pixelValues: zeros(1, 3, 48, 48) }, { outputs: ["queries"] }), {
    message: "forward: queries need blocks that attend to all tokens; those of this checkpoint have windows",
  });
});

test("sizes of windows and stages are bounded, and must be those of the tensors", async () => {
  for (const [folder, changes, message] of [
    ["hf-swinv2", { window_size: 65 }, /^load: "window_size" of "[^"]+" must be at most 64; got 65$/],
    [
      "hf-swin",
      { depths: [2, 2, 2] },
      /^load: "depths" of "[^"]+" must be 2, 1, 2, as its tensors tell; got \[2,2,2\]$/,
    ],
    ["hf-swin", { window_size: 4 }, /^weights: .*relative_position_bias_table" should be \(49, 1\), got \(25, 1\)/],
    ["hf-swin", { model_type: "vit" }, /^load: "[^"]+" is of the family "vit", but its tensors are not$/],
    [
      "timm-swin",
      { architecture: undefined },
      /^load: "[^"]+" must have a config.json with its architecture, as its tensors do not/,
    ],
  ] as const) {
    const root = `tests/fixtures/dense/${folder}`;
    const config = { ...JSON.parse(readFileSync(`${root}/config.json`, "utf8")), ...changes };
    const weights = readFileSync(`${root}/model.safetensors`);
    await assert.rejects(load({ config, weights }, { backend: "wasm" }), { message }, JSON.stringify(changes));
  }
});
