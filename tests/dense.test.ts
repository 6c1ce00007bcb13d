/**
 * Dense heads that are not what their config says: each tensor that one needs, left out and in another shape. And in int8: what a
 * head adds to the error of its encoder.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import type { Backend, Linear } from "../src/backend.js";
import { createWasmBackend } from "../src/backends/wasm/index.js";
import { parseConfig } from "../src/checkpoint/recognize.js";
import { planWeights } from "../src/checkpoint/weights.js";
import { forward } from "../src/forward/forward.js";
import type { HeadName } from "../src/heads/index.js";
import { type Inputs, load, type OutputName, type Tensor } from "../src/index.js";
import { openCheckpoint } from "../src/io/checkpoint.js";
import { caseOf, DENSE_INPUTS, DENSE_OUTPUTS, DENSE_ROOTS, goldenOf } from "./dense.js";
import { readTensors } from "./tensors.js";

const DETECTORS = ["hf-owlvit", "hf-owlv2", "hf-yolos"].map((name) => `tests/fixtures/checkpoints/${name}`);

/** Tensors of heads, and those among them that no result is made of. */
const HEAD =
  /^(head|neck|decoder|decode_head|fpn\d|mask_decoder|prompt_encoder|vision_encoder\.neck|mask_head|upscale_block|class_predictor|query|box_head|class_head|objectness_head|bbox_predictor|class_labels_classifier)\b/;
const UNREAD = /num_batches_tracked$|fusion_stage\.layers\.0\.residual_layer1/;

/** Encoders in stages and of videos have no head but a classifier, and a backbone has none. */
const ALONE = /swin|hiera|vitdet|videomae|vivit|timesformer/;

for (const folder of [...DENSE_ROOTS[0]!.folders.filter((name) => !ALONE.test(name)), ...DETECTORS]) {
  test(`${basename(folder)}: a tensor of the head that is missing or of another shape is one sentence`, async () => {
    const json = (file: string) => JSON.parse(readFileSync(join(folder, file), "utf8"));
    const config = json("config.json");
    const preprocessor = existsSync(join(folder, "preprocessor_config.json")) && json("preprocessor_config.json");
    const shapes: Record<string, readonly number[]> = {};
    for (const [name, { dims }] of readTensors(join(folder, "model.safetensors"))) shapes[name] = dims;
    // One of each kind: names with other numbers are alike.
    const kinds = new Map(
      Object.keys(shapes)
        .filter((name) => HEAD.test(name) && !UNREAD.test(name))
        .map((name) => [name.replace(/\d+/g, "N"), name]),
    );
    assert.ok(kinds.size > 1, `${kinds.size} tensors of a head`);
    for (const name of kinds.values()) {
      const { [name]: shape, ...others } = shapes;
      for (const tensors of [others, { ...others, [name]: [shape![0]! + 1, ...shape!.slice(1)] }]) {
        const parts = { config, preprocessor: preprocessor || undefined, weights: safetensorsOfZeros(tensors) };
        const what = `${name} ${tensors === others ? "missing" : "of another shape"}`;
        await assert.rejects(
          load(parts, { backend: "reference" }),
          (error: Error) => {
            assert.match(error.message, /^(load|weights|checkpoint): [^\n]{20,}$/, what);
            return true;
          },
          what,
        );
      }
    }
  });
}

/** Results of heads, and no stages on the way. */
const RESULTS: readonly OutputName[] = [
  "predictedDepth",
  "logits",
  "heatmaps",
  "masksQueriesLogits",
  "predMasks",
  "alphas",
];

/** A file that is refused for its header. */
function safetensorsOfZeros(shapes: Readonly<Record<string, readonly number[]>>): Uint8Array {
  const header: Record<string, object> = {};
  let at = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    const end = at + 4 * shape.reduce((product, n) => product * n, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [at, end] };
    at = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + at);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  return file;
}

/** Runs a checkpoint's first golden with the encoder's layers and the heads' in precisions of their own. */
async function runAs(folder: string, encoder: "f32" | "int8", head: "f32" | "int8"): Promise<Float32Array> {
  const golden = goldenOf(folder, caseOf(folder).goldens[0]!.file);
  const inputs: Record<string, Tensor> = {};
  let output: OutputName | undefined;
  for (const [key, tensor] of golden) {
    const name = DENSE_OUTPUTS[key];
    if (DENSE_INPUTS[key]) inputs[DENSE_INPUTS[key]!] = tensor;
    else if (name && RESULTS.includes(name)) output ??= name;
  }
  const checkpoint = await openCheckpoint(folder);
  const known = await parseConfig(checkpoint.name, checkpoint.config, checkpoint.tensors, undefined);
  const create = async (isOfHead: (index: number) => boolean) => {
    const backend: Backend = await createWasmBackend();
    const layers: Linear[] = [];
    const createLinear: Backend["createLinear"] = (outputs, inputs, precision) => {
      const own = isOfHead(layers.length) ? head : encoder;
      layers.push(backend.createLinear(outputs, inputs, precision === "f32" ? precision : own));
      return layers.at(-1)!;
    };
    const loader = planWeights(checkpoint.name, known, checkpoint.tensors).create(
      Object.assign(Object.create(backend), { createLinear }),
      "int8",
    );
    await checkpoint.read(loader, {});
    return { backend, layers, weights: await loader.finish() };
  };
  try {
    // Layers are made in the order of the plan: once to see which of them are the head's, and once as they are asked for.
    const { layers, weights } = await create(() => false);
    const [name] = [...known.heads.keys()] as HeadName[];
    const own = new Set(layersIn(weights[name!]));
    const made = await create((index) => own.has(layers[index]!));
    const { outputs } = await forward(made.backend, made.weights, known.config, inputs as Inputs, [output!]);
    return ((await outputs)[output!] as Tensor).data;
  } finally {
    await checkpoint.close();
  }
}

const layersIn = (part: unknown): Linear[] => {
  if (typeof part !== "object" || part === null || ArrayBuffer.isView(part)) return [];
  if ("outputs" in part && "inputs" in part) return [part as Linear];
  return Object.values(part).flatMap(layersIn);
};

/** Root of the mean square of differences, relative to that of the values. */
function off(got: Float32Array, want: Float32Array): number {
  let [difference, size] = [0, 0];
  for (const [i, x] of want.entries()) {
    difference += (got[i]! - x) ** 2;
    size += x ** 2;
  }
  return Math.sqrt(difference / size);
}

/** Scores of classes are compared with each other, so that what they share does not count. */
const MOST: readonly (readonly [name: string, times: number])[] = [
  ["hf-beit-segmentation", 4],
  ["hf-dpt-segmentation", 2],
];

for (const folder of DENSE_ROOTS.flatMap(({ folders }) => folders)) {
  if (!/^hf-(beit-|clipseg|depth-|dpt-|eomt|sam$|vitmatte|vitpose)/.test(basename(folder))) continue;
  const most = MOST.find(([name]) => folder.includes(name))?.[1] ?? 1.5;
  test(`${folder}: in int8 the head is off by no more than ${most} times its encoder`, async (t) => {
    const exact = await runAs(folder, "f32", "f32");
    const encoder = off(await runAs(folder, "int8", "f32"), exact);
    const head = off(await runAs(folder, "f32", "int8"), exact);
    const both = off(await runAs(folder, "int8", "int8"), exact);
    t.diagnostic(`encoder ${encoder.toExponential(1)}, head ${head.toExponential(1)}, both ${both.toExponential(1)}`);
    assert.ok(encoder > 1e-4 && both < 0.2);
    assert.ok(head <= most * encoder, `${head} of the head, ${encoder} of the encoder`);
  });
}
