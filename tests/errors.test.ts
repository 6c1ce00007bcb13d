/** Bad input through the public API: one sentence that names the thing, the rule and what was found; nothing is left broken. */

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { OUTPUT_NAMES } from "../src/forward/wanted.js";
import { type BatchError, type LoadOptions, load, type Prediction, type Tensor } from "../src/index.js";
import { encode } from "../src/io/safetensors.js";
import { readTensors } from "./tensors.js";

const FOLDER = "tests/fixtures/checkpoints/hf-vit";
const IMAGE = "tests/fixtures/image/rgb-420.jpg";
const WEIGHTS = new Uint8Array(readFileSync(`${FOLDER}/model.safetensors`));
const CONFIG = JSON.parse(readFileSync(`${FOLDER}/config.json`, "utf8"));

const temporary = mkdtempSync(join(tmpdir(), "vitrail-errors-"));
after(() => rmSync(temporary, { recursive: true }));

/** The fixture's weights with its tensors changed. */
function changed(change: (tensors: Map<string, Tensor>) => void): Uint8Array {
  const tensors = readTensors(`${FOLDER}/model.safetensors`);
  change(tensors);
  return encode([...tensors].map(([name, { dims, data }]) => ({ name, shape: dims, data })));
}

/** The fixture's weights with the length of the header changed. */
function withHeaderLength(length: bigint): Uint8Array {
  const bytes = WEIGHTS.slice();
  new DataView(bytes.buffer).setBigUint64(0, length, true);
  return bytes;
}

/** A file that is a header and nothing else. */
function headerOnly(header: object): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

const zeros = (...dims: number[]): Tensor => ({ dims, data: new Float32Array(dims.reduce((a, b) => a * b, 1)) });

const WRONG_WEIGHTS: Record<string, [weights: () => Uint8Array, message: string]> = {
  "an empty file": [() => new Uint8Array(), 'checkpoint: "weights" must be a file of weights; it is empty'],
  "a text": [
    () => new TextEncoder().encode("weights, said the text file"),
    'checkpoint: "weights" must be a file of weights; it is text, as a server sends in place of a file',
  ],
  "a page that a server sent": [
    () => new TextEncoder().encode("\n<!DOCTYPE html><title>404</title>"),
    'checkpoint: "weights" must be a file of weights; it is an HTML page, as a server sends in place of a file',
  ],
  "a config": [
    () => new TextEncoder().encode('{\n  "architectures": []}'),
    'checkpoint: "weights" must be a file of weights; it is JSON, such as a config or a server\'s answer, and not the weights beside it',
  ],
  "a truncated file": [
    () => WEIGHTS.subarray(0, -1),
    `safetensors: header of "weights" describes a file of ${WEIGHTS.length.toLocaleString("en-US")} bytes but the file has ${(WEIGHTS.length - 1).toLocaleString("en-US")}`,
  ],
  "a header of 10 GB": [
    () => withHeaderLength(10_000_000_000n),
    `safetensors: header of "weights" says 10,000,000,000 bytes but the file has ${WEIGHTS.length.toLocaleString("en-US")}`,
  ],
  "a tensor of 10 GB": [
    () => headerOnly({ x: { dtype: "F32", shape: [50_000, 50_000], data_offsets: [0, 10_000_000_000] } }),
    'safetensors: header of "weights" describes a file of 10,000,000,082 bytes but the file has 82',
  ],
  "a header that lies about sizes": [
    () => headerOnly({ x: { dtype: "F32", shape: [2, 2], data_offsets: [0, 0] } }),
    'safetensors: header of "weights" gives "x", F32 of shape [2,2], 0 bytes; it takes 16',
  ],
  "a NaN": [
    () => changed((tensors) => tensors.get("vit.layernorm.weight")!.data.set([Number.NaN], 7)),
    'checkpoint: "vit.layernorm.weight" in "weights" must be finite; element 7 is NaN',
  ],
  "tensors that are missing, unexpected and misshapen, all at once": [
    () =>
      changed((tensors) => {
        const query = "vit.encoder.layer.0.attention.attention.query.weight";
        tensors.set(query.replace("query", "querry"), tensors.get(query)!);
        tensors.delete(query);
        tensors.delete("vit.layernorm.bias");
        tensors.set("vit.extra", zeros(1));
        tensors.set("classifier.bias", zeros(9));
        tensors.set("vit.encoder.layer.1.intermediate.dense.weight", zeros(36, 32));
      }),
    'weights: the tensors of "weights" do not fit its config; ' +
      'misshapen: "vit.encoder.layer.1.intermediate.dense.weight" should be (32, 36), got (36, 32), ' +
      '"classifier.bias" should be (7), got (9); ' +
      'missing: "vit.encoder.layer.0.attention.attention.query.weight" ' +
      '(nearest is "vit.encoder.layer.0.attention.attention.querry.weight"), "vit.layernorm.bias"; ' +
      'unexpected: "vit.encoder.layer.0.attention.attention.querry.weight", "vit.extra"',
  ],
  "the tensors of something else": [
    () => encode([{ name: "conv1.weight", shape: [1], data: new Float32Array(1) }]),
    'load: "weights" must have the tensors of a known family; closest is the layout of huggingface, ' +
      'but its "embeddings.patch_embeddings.projection.weight" or first block is missing',
  ],
  "a ViT's whose patch embedding has another name": [
    () =>
      changed((tensors) => {
        const name = "vit.embeddings.patch_embeddings.projection.weight";
        tensors.set("vit.embeddings.patches.weight", tensors.get(name)!);
        tensors.delete(name);
      }),
    'load: "weights" must have the tensors of a known family; closest is the layout of huggingface, ' +
      'but its "embeddings.patch_embeddings.projection.weight" or first block is missing; ' +
      '1 of 40 tensors do not fit it: "vit.embeddings.patches.weight"',
  ],
  "no ViT's at all": [
    () => encode(["a", "b"].map((name) => ({ name, shape: [1], data: new Float32Array(1) }))),
    'load: "weights" must hold a patch embedding named as one of "embeddings.patch_embeddings.projection.weight", ' +
      '"embeddings.patch_embeddings.weight", "embeddings.patch_embedding.weight", "embeddings.patch_embed.weight", ' +
      '"patch_embed.proj.weight", "patch_generator.embedder.weight", "embeddings.patch_projection.weight", "conv1.weight", "conv_proj.weight", "embedding/kernel", "root_block/standardized_conv2d/kernel", "patch_embed.projection.weight", "embeddings.projection.weight"; its 2 tensors are "a", "b"',
  ],
};
for (const [what, [weights, message]] of Object.entries(WRONG_WEIGHTS)) {
  test(`load refuses weights that are ${what}`, { timeout: 20_000 }, async () => {
    await assert.rejects(load({ config: CONFIG, weights: weights() }), { name: "Error", message });
  });
}

const WRONG_CONFIGS: Record<string, [entries: object, message: string]> = {
  "another family": [
    { model_type: "segformer" },
    'load: "weights" is of the family "segformer", which is not supported; supported of transformers are ' +
      "vit, deit, vit_mae, vit_msn, ijepa, beit, data2vec-vision, dinov2, dinov2_with_registers, dinov3_vit, clip, " +
      "clip_vision_model, metaclip_2, metaclip_2_vision_model, siglip, siglip_vision_model, siglip2, siglip2_vision_model, " +
      "owlvit, owlv2, yolos, chinese_clip, altclip, clipseg, blip_vision_model, blip_2_vision_model, flava_image_model, git_vision_model, " +
      "aimv2_vision_model, aimv2, internvl_vision, pixio, tipsv2, " +
      "radio, mlcd_vision_model, bit, dpt, depth_anything, sam, eomt, eomt_dinov3, vitpose, videomae, vivit, timesformer, swin, swinv2, hiera, " +
      "vitdet, vitmatte",
  ],
  "heads that do not divide the width": [
    { num_attention_heads: 5 },
    'load: width 36 of "weights" must be a multiple of its heads; got 5 heads',
  ],
  "heads as a text": [
    { num_attention_heads: "3" },
    'load: "num_attention_heads" of "weights" must be a positive integer; got "3"',
  ],
  "an unknown activation": [
    { hidden_act: "swish" },
    'load: "hidden_act" of "weights" must be one of gelu, gelu_python, gelu_new, gelu_fast, gelu_pytorch_tanh, gelu_python_tanh, gelu_accurate, quick_gelu, silu, relu; got "swish"',
  ],
  "an image smaller than a patch": [
    { patch_size: 16 },
    'load: images of "weights" must be at least a patch of 16×16 in size; got 12×16',
  ],
  "an image of a terapixel": [
    { image_size: 1_000_000 },
    'load: images of "weights" must have at most 16777216 pixels; got 1000000×1000000',
  ],
  "an image of another size than its positions": [
    { image_size: 400 },
    'weights: the tensors of "weights" do not fit its config; ' +
      'misshapen: "vit.embeddings.position_embeddings" should be (1, 10001, 36), got (1, 13, 36)',
  ],
};
for (const [what, [entries, message]] of Object.entries(WRONG_CONFIGS)) {
  test(`load refuses a config with ${what}`, { timeout: 20_000 }, async () => {
    await assert.rejects(load({ config: { ...CONFIG, ...entries }, weights: WEIGHTS }), { name: "Error", message });
  });
}

test("claims of a config allocate nothing", { timeout: 20_000 }, async () => {
  const before = process.memoryUsage().rss;
  for (const claim of [
    { hidden_size: 3 * 2 ** 28 },
    { intermediate_size: 2 ** 40 },
    { image_size: [2 ** 20, 2 ** 20] },
  ]) {
    await assert.rejects(
      load({ config: { ...CONFIG, ...claim }, weights: WEIGHTS }),
      /^Error: (weights: the tensors of|load: images of)/,
    );
  }
  const grown = process.memoryUsage().rss - before;
  assert.ok(grown < 200e6, `${grown} bytes more`);
});

test("claims of a billion layers are refused at once", { timeout: 20_000 }, async () => {
  const layers = { ...CONFIG, num_hidden_layers: 1e9 };
  const message = `load: "weights" is of depth 1000000000, but it has ${readTensors(`${FOLDER}/model.safetensors`).size} tensors`;
  await assert.rejects(load({ config: layers, weights: WEIGHTS }), { message });
});

test("options of calls are checked by name and type", async () => {
  using model = await load(FOLDER);
  const refuses = (promise: Promise<unknown>, message: string) => assert.rejects(promise, { message });
  await refuses(load(FOLDER, null as never), "load: options must be an object; got null");
  await refuses(
    load({ config: "{}", weights: WEIGHTS }),
    'load: config must be an object, config.json parsed; got "{}"',
  );
  await refuses(
    model.classify(IMAGE, { topk: 1 } as never),
    'classify: options are topK, threshold, probabilities, frameSamplingRate, signal; got "topk"',
  );
  await refuses(
    model.embed(IMAGE, { normalise: true } as never),
    'embed: options are pooling, normalize, frameSamplingRate, signal; got "normalise"',
  );
  await refuses(
    model.forward({ pixelValues: zeros(1) }, { interpolate: true } as never),
    'forward: options are outputs, blocks, interpolatePositions, signal; got "interpolate"',
  );
  for (const blocks of [[], [2], [-1], [0.5], ["0"], 1]) {
    await refuses(
      model.forward({ pixelValues: zeros(1) }, { outputs: ["attentions"], blocks: blocks as never }),
      `forward: there are 2 blocks, so blocks must be a list of numbers below that, from 0 on; got ${JSON.stringify(blocks)}`,
    );
  }
  await refuses(model.forward({} as never), "forward: inputs must be { pixelValues: { dims, data } }; got no dims");
  await refuses(model.classify(IMAGE, { signal: 5 as never }), "classify: signal must be an AbortSignal; got 5");
});

test("errors of files name them", async () => {
  const folder = join(temporary, "truncated");
  cpSync(FOLDER, folder, { recursive: true });
  const file = join(folder, "model.safetensors");
  writeFileSync(file, WEIGHTS.subarray(0, 5000));
  const sizes = `describes a file of ${WEIGHTS.length.toLocaleString("en-US")} bytes but the file has 5,000`;
  await assert.rejects(load(folder), { message: `safetensors: header of "${folder}/model.safetensors" ${sizes}` });
  await assert.rejects(load(file), { message: `safetensors: header of "${file}" ${sizes}` });
  await assert.rejects(load(`${folder}-not`), { message: `file: "${folder}-not" does not exist` });
  writeFileSync(join(folder, "config.json"), "{");
  await assert.rejects(load(folder), /^Error: checkpoint: ".*truncated\/config\.json" is not valid JSON: /);
});

const WRONG_OPTIONS: [options: object, message: string][] = [
  [{ backend: "cuda" }, 'load: backend must be auto, wasm, webgpu or reference; got "cuda"'],
  [{ precision: "int4" }, 'load: precision must be f32, f16 or int8; got "int4"'],
  [{ threads: 0 }, "load: threads must be auto or from 1 to 256; got 0"],
  [{ threads: 1e9 }, "load: threads must be auto or from 1 to 256; got 1000000000"],
  [
    { imageSize: 1e9 },
    'load: images of "tests/fixtures/checkpoints/hf-vit" must have at most 16777216 pixels; got 1000000000×1000000000',
  ],
  [{ patchSize: 129, imageSize: 1290 }, "load: patches are resampled up to 128 pixels a side; got 4×4 to 129×129"],
  [{ wide: 1 }, "load: wide must be true or false; got 1"],
  [{ config: { heads: 5 } }, `load: width 36 of "${FOLDER}" must be a multiple of its heads; got 5 heads`],
];
for (const [options, message] of WRONG_OPTIONS) {
  test(`load refuses ${JSON.stringify(options)}`, async () => {
    await assert.rejects(load(FOLDER, options as LoadOptions), { message });
  });
}

for (const options of [{ bakend: "wasm" }, { imageSizes: 384 }, { config: { hedas: 3 } }]) {
  const [name] = Object.keys("config" in options ? options.config! : options) as [string];
  test(`load refuses the unknown option ${name}, and names it`, async () => {
    await assert.rejects(load(FOLDER, options as LoadOptions), ({ message }: Error) => message.includes(name));
  });
}

for (const config of [{ activation: "swish" }, { pooling: "max" }, { eps: -1 }, { imageSize: 224 }]) {
  const [name, value] = Object.entries(config)[0]!;
  test(`load refuses the override ${name}: ${value}, and names it`, async () => {
    const options = { config } as unknown as LoadOptions;
    await assert.rejects(
      load(FOLDER, options),
      ({ message }: Error) => message.startsWith("load: ") && message.includes(name),
    );
  });
}

test("load refuses what is no source", async () => {
  const message = "checkpoint: expected a path, a URL or { config, weights }, got null";
  await assert.rejects(load(null as never), { name: "TypeError", message });
});

test("calls refuse wrong arguments", async () => {
  using model = await load(FOLDER);
  const refuses = (promise: Promise<unknown>, name: string, message: string) =>
    assert.rejects(promise, { name, message });
  await refuses(model.classify(IMAGE, { topK: 0 }), "RangeError", "classify: topK must be a positive integer; got 0");
  await refuses(
    model.embed(IMAGE, { pooling: "max" as never }),
    "RangeError",
    'embed: pooling must be one of head, token, mean, map, pooler, none, features; got "max"',
  );
  await refuses(
    model.embed(IMAGE, { pooling: "pooler" }),
    "RangeError",
    "embed: pooling pooler needs a checkpoint with a pooler; this one has none",
  );
  await refuses(
    model.forward({ pixelValues: zeros(1, 3, 16, 12) }),
    "RangeError",
    "forward: pixelValues must be [images, 3, 12, 16]; got [1, 3, 16, 12]",
  );
  await refuses(
    model.forward({ pixelValues: { dims: [1, 3, 12, 16], data: new Float32Array(5) } }),
    "RangeError",
    "forward: pixelValues of [1, 3, 12, 16] must have 576 floats; got 5",
  );
  await refuses(
    model.forward({ pixelValues: zeros(1, 3, 12, 16) }, { outputs: ["logit" as never] }),
    "RangeError",
    `forward: outputs must be among ${OUTPUT_NAMES.join(", ")}; got "logit"`,
  );
});

test("a checkpoint without a classifier embeds, and refuses to classify", async () => {
  const weights = changed((tensors) => {
    tensors.delete("classifier.weight");
    tensors.delete("classifier.bias");
  });
  const config = { ...CONFIG, architectures: ["ViTModel"] };
  using model = await load({ config, weights });
  const message = "classify: the checkpoint must have a classifier; this one has none, and can embed";
  await assert.rejects(model.classify(IMAGE), { name: "RangeError", message });
  assert.equal((await model.embed(IMAGE)).length, 36);
});

test("of several images, a bad one fails alone and by name", async () => {
  using model = await load(FOLDER);
  const text = join(temporary, "text.jpg");
  writeFileSync(text, "not a picture");
  const images = [IMAGE, text, "tests/fixtures/image/absent.png", "tests/fixtures/image", IMAGE];
  const settled = await Promise.allSettled(images.map((image) => model.classify(image, { topK: 1 })));
  assert.deepEqual(
    settled.map((result) => (result.status === "fulfilled" ? "done" : result.reason.message)),
    [
      "done",
      `decode: "${text}" is not a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file`,
      'file: "tests/fixtures/image/absent.png" does not exist',
      'file: "tests/fixtures/image" is a directory, not a file',
      "done",
    ],
  );
});

test("of a list, the results of the others are kept", async () => {
  using model = await load(FOLDER);
  const images = [IMAGE, "tests/fixtures/image/absent.png", IMAGE];
  const [alone] = await model.classify([IMAGE], { topK: 1 });
  await assert.rejects(model.classify(images, { topK: 1 }), (error: BatchError<Prediction[]>) => {
    const absent = 'file: "tests/fixtures/image/absent.png" does not exist';
    assert.equal(error.message, `classify: 1 of 3 images failed; ${absent}`);
    assert.deepEqual(
      error.errors.map(({ message }) => message),
      [absent],
    );
    assert.deepEqual(error.results, [alone, undefined, alone]);
    return true;
  });
});

test("an image of more pixels than the limit is refused", async () => {
  using model = await load(FOLDER, { pixelLimit: 1000 });
  const message =
    `decode: "${IMAGE}" says that it is 37×29, 1,073 pixels, and the limit is 1,000; ` +
    "raise the option pixelLimit to decode it";
  await assert.rejects(model.classify(IMAGE), { message });
});

test("a model that was disposed of throws, twice disposing does not", async () => {
  const model = await load(FOLDER);
  model.dispose();
  model.dispose();
  const gone = { name: "Error", message: "model: it was disposed of; load it again" };
  await assert.rejects(model.classify(IMAGE), gone);
  await assert.rejects(model.embed(IMAGE), gone);
  await assert.rejects(model.preprocess(IMAGE), gone);
  await assert.rejects(model.preprocessBytes(IMAGE), gone);
  await assert.rejects(model.forward({ pixelValues: zeros(1, 3, 12, 16) }), gone);
  assert.throws(() => model.memory, gone);
});
