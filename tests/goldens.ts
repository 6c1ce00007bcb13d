/**
 * Every output of tiny checkpoints against the library that published their layout (transformers, timm, OpenCLIP,
 * torchvision): every call that a folder has goldens of. On pages as well: checkpoints.ts finds the folders on disk.
 */
import assert from "node:assert/strict";
import {
  type CheckpointParts,
  type Config,
  type Inputs,
  type LoadOptions,
  load,
  type OutputName,
  type Outputs,
  type Tensor,
} from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { tensorsOf } from "./tensors.js";

/** Ours for each golden's name; `hidden_states.3` and the like are elements of a list. */
export const NAMES: Record<string, OutputName> = {
  logits: "logits",
  cls_logits: "clsLogits",
  distillation_logits: "distillationLogits",
  last_hidden_state: "lastHiddenState",
  forward_features: "lastHiddenState",
  pooler_output: "pooled",
  forward_head_pre_logits: "preLogits",
  summary: "preLogits",
  patch_embedding: "patchEmbedding",
  hidden_states: "hiddenStates",
  intermediates: "hiddenStates",
  attentions: "attentions",
  pool_attention: "poolAttention",
  image_features: "imageFeatures",
  image_embeds: "imageEmbeds",
  text_features: "textFeatures",
  text_embeds: "textEmbeds",
  logits_per_image: "logitsPerImage",
  logits_per_text: "logitsPerText",
  pred_boxes: "predBoxes",
  target_pred_boxes: "targetPredBoxes",
  objectness_logits: "objectnessLogits",
  class_embeds: "classEmbeds",
  query_pred_boxes: "queryPredBoxes",
  query_image_embeds: "queryImageEmbeds",
  "vision_model.last_hidden_state": "lastHiddenState",
  "vision_model.pooler_output": "pooled",
  "vision_model.hidden_states": "hiddenStates",
  "vision_model.attentions": "attentions",
  "text_model.last_hidden_state": "textLastHiddenState",
  "text_model.pooler_output": "textPooled",
  "text_model.hidden_states": "textHiddenStates",
  "text_model.attentions": "textAttentions",
};

export const INPUTS: Record<string, keyof Inputs> = {
  pixel_values: "pixelValues",
  pixel_attention_mask: "pixelAttentionMask",
  spatial_shapes: "spatialShapes",
  input_ids: "inputIds",
  attention_mask: "attentionMask",
  query_pixel_values: "queryPixelValues",
};

/** The largest difference, as a part of the largest magnitude (attentions: absolute). PyTorch in f32 is within 2e-6. */
export const TOLERANCE = 2e-5;

interface Case {
  readonly layout: string;
  readonly model_class?: string;
  readonly model_args?: { readonly num_heads?: number };
  readonly load_options?: { readonly img_size?: number | [number, number]; readonly patch_size?: number };
  readonly goldens: readonly { readonly file: string }[];
}

/** A golden's name and the place in its list. */
function parse(key: string): { base: string; index: number } | undefined {
  const [, base, index] = /^(.*?)(?:\.(\d+))?$/.exec(key)!;
  return base! in NAMES ? { base: base!, index: Number(index ?? 0) } : undefined;
}

/**
 * Compares what a folder has goldens of.
 * @param read gives bytes of its files.
 */
export async function compareAll(
  source: string | CheckpointParts,
  read: (file: string) => Uint8Array | Promise<Uint8Array>,
  options: LoadOptions,
): Promise<void> {
  const it = JSON.parse(new TextDecoder().decode(await read("case.json"))) as Case;
  const { img_size: imageSize, patch_size: patchSize } = it.load_options ?? {};
  const heads = it.model_args?.num_heads;
  using model = await load(source, { ...options, imageSize, patchSize, config: { ...options.config, heads } });
  for (const { file } of it.goldens) {
    const golden = tensorsOf(await read(file), file);
    const inputs: Record<string, Tensor> = {};
    for (const [key, tensor] of golden) if (key in INPUTS) inputs[INPUTS[key]!] = tensor;
    // The last part of a text that is shorter than its row, and patches that fill up a sequence, mean nothing.
    const mask = golden.get("pixel_attention_mask");
    const wanted = [...golden.keys()].flatMap((key) => nameOf(key, it) ?? []);
    // Queries and keys are what attentions are made of, so that goldens of these are goldens of those.
    if (wanted.includes("attentions")) wanted.push("queries", "keys");
    const got = await model.forward(inputs, { outputs: [...new Set(wanted)], interpolatePositions: true });
    if (got.attentions) compareScores(got, model.config, mask, file);
    for (const [key, want] of golden) {
      if (key in INPUTS) continue;
      const { base, index } = parse(key) ?? assert.fail(`"${key}" of ${file} is compared with nothing`);
      const ours = nameOf(key, it)!;
      const output = got[ours] as Tensor | Tensor[];
      // timm's intermediates leave out what the first block reads.
      const skipped = base === "intermediates" && model.config.depth > 0 ? 1 : 0;
      const { dims, data } = Array.isArray(output) ? output[index + skipped]! : output;
      assert.deepEqual(dims, want.dims, `${file} ${key}`);
      // Scores of padding are the lowest f32.
      const largest = (max: number, x: number) => (x < -1e38 ? max : Math.max(max, Math.abs(x)));
      const magnitude = /attentions?$/.test(base) ? 1 : want.data.reduce(largest, 0);
      const masked = mask && base.startsWith("vision_model") && dims.length > 2;
      const [a, b] = masked ? [kept(data, dims, mask), kept(want.data, dims, mask)] : [data, want.data];
      assertClose(a, b, TOLERANCE * magnitude, `${file} ${key}`);
    }
  }
}

/** CLIPVisionModelWithProjection does not normalize what it calls image_embeds. */
function nameOf(key: string, { model_class }: Case): OutputName | undefined {
  const parsed = parse(key);
  if (parsed?.base === "image_embeds" && model_class?.endsWith("VisionModelWithProjection")) return "imageFeatures";
  return parsed && NAMES[parsed.base];
}

/** The rows of [B, …, n, cols] at the places that a mask [B, n] keeps. */
function kept(data: Float32Array, dims: readonly number[], mask: Tensor): Float32Array {
  const cols = dims.at(-1)!;
  const n = dims.at(-2)!;
  const rows = data.length / cols;
  const perImage = rows / dims[0]!;
  const all = Array.from({ length: rows }, (_, row) => row).filter(
    (row) => mask.data[Math.floor(row / perImage) * n + (row % n)] !== 0,
  );
  return Float32Array.from(all.flatMap((row) => [...data.subarray(row * cols, (row + 1) * cols)]));
}

/** Asserts that softmax(q·kᵀ) is each block's attentions, or, where scores have a bias, that it is not. */
function compareScores(
  { attentions, queries, keys }: Partial<Outputs>,
  { relativePositions }: Config,
  mask: Tensor | undefined,
  what: string,
): void {
  assert.equal(queries!.length, attentions!.length, what);
  for (const [block, { dims, data }] of attentions!.entries()) {
    const [images, heads, tokens] = dims as [number, number, number];
    const [q, k] = [queries![block]!, keys![block]!];
    const d = q.dims[3]!;
    assert.deepEqual([q.dims, k.dims], [[images, heads, tokens, d], q.dims], what);
    let most = 0;
    for (let image = 0; image < images; image++) {
      const kept = mask?.data.slice(image * tokens, (image + 1) * tokens).filter((x) => x !== 0).length ?? tokens;
      for (let row = image * heads * tokens; row < (image + 1) * heads * tokens; row++) {
        if (row % tokens >= kept) continue;
        const first = row - (row % tokens);
        const exps = Array.from({ length: kept }, (_, key) => {
          let score = 0;
          for (let i = 0; i < d; i++) score += q.data[row * d + i]! * k.data[(first + key) * d + i]!;
          return Math.exp(score);
        });
        const sum = exps.reduce((a, b) => a + b);
        for (const [key, x] of exps.entries()) most = Math.max(most, Math.abs(x / sum - data[row * tokens + key]!));
      }
    }
    if (relativePositions) assert.ok(most > 1e-3, `${what} attentions.${block} have a bias`);
    else assert.ok(most < TOLERANCE, `${what} softmax(q·kᵀ) of block ${block} is ${most} from attentions`);
  }
}
