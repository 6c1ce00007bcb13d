/**
 * Folders of tiny checkpoints with dense heads, and what transformers computes with them: every stage that is stored, in float64,
 * and results behind the library's post-processing. Those in the repository, and a wider set beside a developer's checkout, or
 * that VITRAIL_DENSE names.
 */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Inputs, type LoadOptions, load, type Model, type OutputName, type Tensor } from "../src/index.js";
import { assertClose } from "./backend.cases.js";
import { tensorsOf } from "./tensors.js";

/** Folders, and why one of them is not there. */
export const DENSE_ROOTS = ["tests/fixtures/dense", process.env.VITRAIL_DENSE ?? "../shared/goldens-dense"].map(
  (root) => ({
    root,
    skip: existsSync(root) ? false : `${root} is absent: it is not part of the package`,
    folders: existsSync(root)
      ? readdirSync(root)
          .filter((name) => existsSync(join(root, name, "case.json")))
          .map((name) => join(root, name))
      : [],
  }),
);

/** Inputs that are not of all models, by the goldens' names. */
export const DENSE_INPUTS: Readonly<Record<string, keyof Inputs>> = {
  pixel_values: "pixelValues",
  query_pixel_values: "queryPixelValues",
  conditional_pixel_values: "conditionalPixelValues",
  input_ids: "inputIds",
  attention_mask: "attentionMask",
  input_points: "inputPoints",
  input_labels: "inputLabels",
  input_boxes: "inputBoxes",
  input_masks: "inputMasks",
  dataset_index: "datasetIndex",
  flip_pairs: "flipPairs",
};

/** Ours for each golden's name; `hidden_states.3` and the like are elements of a list. */
export const DENSE_OUTPUTS: Readonly<Record<string, OutputName>> = {
  hidden_states: "hiddenStates",
  feature_maps: "featureMaps",
  fpn: "featureMaps",
  reassembled: "reassembled",
  fused: "fused",
  predicted_depth: "predictedDepth",
  heatmaps: "heatmaps",
  logits: "logits",
  last_hidden_state: "lastHiddenState",
  vision_last_hidden_state: "lastHiddenState",
  conditional_embeddings: "conditionalEmbeddings",
  decoder_layers: "decoderHiddenStates",
  masks_queries_logits: "masksQueriesLogits",
  class_queries_logits: "classQueriesLogits",
  pred_boxes: "predBoxes",
  target_pred_boxes: "targetPredBoxes",
  query_pred_boxes: "queryPredBoxes",
  objectness_logits: "objectnessLogits",
  class_embeds: "classEmbeds",
  text_embeds: "textEmbeds",
  image_embeds: "imageEmbeds",
  query_image_embeds: "queryImageEmbeds",
  vision_hidden_states: "hiddenStates",
  image_embeddings: "imageEmbeddings",
  prompt: "promptEmbeddings",
  pred_masks: "predMasks",
  iou_scores: "iouScores",
  alphas: "alphas",
};

/** The largest difference from float64, as a part of the largest magnitude, or as many times the library's own in float32. */
const TOLERANCE = 3e-5;
const TIMES = 20;

export interface DenseGolden {
  readonly file: string;
  /** The library's call, in Python. */
  readonly call?: string;
  readonly post?: { readonly call: string };
  readonly float32_error?: Readonly<Record<string, { readonly max_abs_f32_vs_f64: number }>>;
}

export interface DenseCase {
  readonly name: string;
  readonly goldens: readonly DenseGolden[];
}

export const caseOf = (folder: string): DenseCase => JSON.parse(readFileSync(join(folder, "case.json"), "utf8"));

export const goldenOf = (folder: string, file: string): Map<string, Tensor> =>
  tensorsOf(readFileSync(join(folder, file)), join(folder, file));

/** Largest difference that a stored tensor allows. */
export function toleranceOf(want: Tensor, key: string, { float32_error: errors }: DenseGolden): number {
  // Scores of padding are the lowest f32.
  const magnitude = want.data.reduce((max, x) => (x < -1e38 ? max : Math.max(max, Math.abs(x))), 0);
  return Math.max(TOLERANCE * magnitude, TIMES * (errors?.[key]?.max_abs_f32_vs_f64 ?? 0));
}

/**
 * Runs a model on the inputs of each golden of a folder, and compares every stage that is stored.
 * @param post is given what was computed, and compares results behind post-processing, which begin with "post.".
 */
export async function compareStages(
  folder: string,
  options: LoadOptions,
  {
    inputs = DENSE_INPUTS,
    outputs = DENSE_OUTPUTS,
    post,
  }: {
    readonly inputs?: Readonly<Record<string, keyof Inputs>>;
    readonly outputs?: Readonly<Record<string, OutputName>>;
    readonly post?: (
      model: Model,
      got: Readonly<Partial<Record<OutputName, Tensor | Tensor[]>>>,
      golden: ReadonlyMap<string, Tensor>,
      entry: DenseGolden,
    ) => void | Promise<void>;
  } = {},
): Promise<void> {
  using model = await load(folder, options);
  for (const entry of caseOf(folder).goldens) {
    const golden = goldenOf(folder, entry.file);
    const given: Record<string, Tensor> = {};
    const wanted = new Map<string, { name: OutputName; index: number }>();
    for (const [key, tensor] of golden) {
      const [, base = "", index] = /^(.*?)(?:\.(\d+))?$/.exec(key)!;
      if (Object.hasOwn(inputs, key)) given[inputs[key]!] = tensor;
      else if (Object.hasOwn(outputs, base)) wanted.set(key, { name: outputs[base]!, index: Number(index ?? 0) });
      else assert.match(key, /^post\./, `"${key}" of ${entry.file} is compared with nothing`);
    }
    const names = [...new Set([...wanted.values()].map(({ name }) => name))];
    const interpolatePositions = /interpolate_pos_encoding=True/.test(entry.call ?? "");
    // Arguments of the library's call that are no tensors.
    const multimaskOutput = /multimask_output=False/.test(entry.call ?? "") ? { multimaskOutput: false } : {};
    const got = (await model.forward({ ...given, ...multimaskOutput } as Inputs, {
      outputs: names,
      interpolatePositions,
    })) as Partial<Record<OutputName, Tensor | Tensor[]>>;
    for (const [key, { name, index }] of wanted) {
      const want = golden.get(key)!;
      const output = got[name]!;
      const { dims, data } = Array.isArray(output) ? output[index]! : output;
      assert.deepEqual(dims, want.dims, `${entry.file} ${key}`);
      assertClose(data, want.data, toleranceOf(want, key, entry), `${entry.file} ${key}`);
    }
    await post?.(model, got, golden, entry);
  }
}
