/** Outputs that pictures are made of: filters and positions are those of the file, and heads read hidden states that are given. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type BackendName, type Inputs, load, type Model, type OutputName, type Tensor } from "../src/index.js";
import { assertClose, noise } from "./backend.cases.js";
import { tensorsOf } from "./tensors.js";

const ROOT = "tests/fixtures/checkpoints";

function noiseFor({ config }: Model, images = 2): Inputs {
  const { imageSize, inputChannels, naflex, patchSize } = config;
  const cols = 3 * patchSize[0] * patchSize[1];
  if (naflex) {
    const shapes = { dims: [1, 2], data: [2, 3] };
    return { pixelValues: { dims: [1, 6, cols], data: noise(6 * cols) }, spatialShapes: shapes };
  }
  const dims = [images, inputChannels, ...imageSize];
  return { pixelValues: { dims, data: noise(dims.reduce((a, b) => a * b)) } };
}

/** Checkpoint, the tensor of its filters, and that of its positions. */
const TENSORS = [
  ["hf-vit", "vit.embeddings.patch_embeddings.projection.weight", "vit.embeddings.position_embeddings"],
  ["hf-clip", "vision_model.embeddings.patch_embedding.weight", "vision_model.embeddings.position_embedding.weight"],
  ["timm-vit", "patch_embed.proj.weight", "pos_embed"],
  ["hf-dinov2-registers", "embeddings.patch_embeddings.projection.weight", undefined],
  ["hf-siglip2-naflex", "vision_model.embeddings.patch_embedding.weight", undefined],
] as const;

for (const [name, filters, positions] of TENSORS) {
  for (const backend of ["wasm", "reference"] as const satisfies BackendName[]) {
    test(`${name}: filters and positions are those of the file, on ${backend}`, async () => {
      using model = await load(`${ROOT}/${name}`, { backend });
      const outputs = ["patchFilters", ...(positions ? (["positionEmbeddings"] as const) : [])] as const;
      const got = await model.forward(noiseFor(model), { outputs });
      const file = tensorsOf(readFileSync(`${ROOT}/${name}/model.safetensors`), name);
      const { dims, data } = got.patchFilters!;
      const [count, channels, height, width] = dims as [number, number, number, number];
      const want = file.get(filters) ?? assert.fail([...file.keys()].join(" "));
      // NaFlex's layer reads the channels of a pixel together.
      const [area, last] = [height * width, want.dims.length === 2];
      const place = (i: number) => Math.floor(i / (area * channels)) * area * channels;
      const moved = data.map(
        (_, i) => want.data[place(i) + (i % area) * channels + (Math.floor(i / area) % channels)]!,
      );
      assert.equal(count, want.dims[0]);
      assertClose(data, last ? moved : want.data, 1e-6, filters);
      if (positions) assertClose(got.positionEmbeddings!.data, file.get(positions)!.data, 0, positions);
    });
  }
}

test("filters of a hybrid and of BiT are those of the stem", async () => {
  for (const name of ["timm-hybrid", "timm-bit"]) {
    using model = await load(`${ROOT}/${name}`);
    const { patchFilters } = await model.forward(noiseFor(model), { outputs: ["patchFilters"] });
    const file = tensorsOf(readFileSync(`${ROOT}/${name}/model.safetensors`), name);
    const weight = [...file].find(([key]) => /stem\.conv\.weight$/.test(key))![1];
    assert.deepEqual(patchFilters.dims, weight.dims);
    // Weights are standardized, filter by filter, with timm's epsilon.
    const size = weight.data.length / weight.dims[0]!;
    const want = weight.data.map((x, i) => {
      const own = weight.data.subarray(i - (i % size), i - (i % size) + size);
      const mean = own.reduce((a, b) => a + b) / size;
      const variance = own.reduce((a, b) => a + (b - mean) ** 2, 0) / size;
      return (x - mean) / Math.sqrt(variance + 1e-8);
    });
    assertClose(patchFilters.data, want, 1e-4, name);
  }
});

test("heads read the last hidden state as they do behind the last block", async () => {
  let compared = 0;
  for (const folder of readdirSync(ROOT)) {
    const { model_args } = JSON.parse(
      folder.includes(".") ? "{}" : readFileSync(join(ROOT, folder, "case.json"), "utf8"),
    );
    if (folder.includes(".")) continue;
    using model = await load(`${ROOT}/${folder}`, { config: { heads: model_args?.num_heads } });
    const { classes, features, depth, patchBoxes, tokenBoxes } = model.config;
    if (patchBoxes || tokenBoxes) continue;
    const output: OutputName = classes > 0 ? "logits" : features > 0 ? "imageFeatures" : "lastHiddenState";
    const given = await model.forward(noiseFor(model), { outputs: [output, "hiddenStates", "lastHiddenState"] });
    const hiddenState = depth > 0 ? given.hiddenStates.at(-1)! : pixels(given.lastHiddenState);
    const { [output]: got } = await model.forward({ hiddenState }, { outputs: [output] });
    assert.deepEqual((got as Tensor).data, (given[output] as Tensor).data, folder);
    compared++;
  }
  assert.ok(compared > 30, `${compared} checkpoints`);
});

/** [B, C, H, W] to [B, H·W, C]. */
function pixels({ dims, data }: Tensor): Tensor {
  const [images, channels, height, width] = dims as [number, number, number, number];
  const area = height * width;
  const out = new Float32Array(data.length);
  for (let b = 0; b < images; b++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < area; i++) out[(b * area + i) * channels + c] = data[(b * channels + c) * area + i]!;
  return { dims: [images, area, channels], data: out };
}

test("hidden states that no head reads are errors", async () => {
  using vit = await load(`${ROOT}/hf-vit`);
  using yolos = await load(`${ROOT}/hf-yolos`);
  const state = (...dims: number[]) => ({ dims, data: new Float32Array(dims.reduce((a, b) => a * b)) });
  const refused = (model: Model, inputs: Inputs, outputs: readonly OutputName[], message: RegExp) =>
    assert.rejects(model.forward(inputs, { outputs }), { name: "RangeError", message });
  await refused(
    vit,
    { hiddenState: state(1, 13, 35) },
    ["logits"],
    /hiddenState must be \[images, tokens, 36\], more than 1 tokens; got \[1, 13, 35\]/,
  );
  await refused(vit, { hiddenState: state(1, 1, 36) }, ["logits"], /more than 1 tokens; got \[1, 1, 36\]/);
  await refused(
    vit,
    { hiddenState: state(1, 13, 36) },
    ["attentions"],
    /of hiddenState outputs may be lastHiddenState.*; got attentions/,
  );
  await refused(
    vit,
    { ...noiseFor(vit), hiddenState: state(1, 13, 36) },
    ["logits"],
    /takes the place of pixelValues; got both/,
  );
  await refused(yolos, { hiddenState: state(1, 20, 24) }, ["logits"], /needs heads that read the last block alone/);
});
