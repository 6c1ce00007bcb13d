/** Heads: what is made of what the encoder leaves. A head is a file, and a row here. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { type Call, type OutputName, tensorOf } from "../vit/outputs.js";
import type { Encoded, VitConfig } from "../vit/vit.js";
import { type ClassifierConfig, type ClassifierWeights, classify } from "./classifier.js";
import { type ContrastiveConfig, type ContrastiveWeights, projected } from "./contrastive.js";
import type { Dpt, DptConfig } from "./dpt.js";
import type { Heatmaps, HeatmapsConfig } from "./heatmaps.js";
import { type PatchBoxes, type PatchBoxesConfig, runPatchBoxes } from "./patch-boxes.js";
import { type PoolerConfig, runPooler } from "./pooler.js";
import { type Pooled, type PoolingWeights, pool } from "./pooling.js";
import { type ProbeConfig, type ProbeWeights, runProbe } from "./probe.js";
import { type QueryMasks, type QueryMasksConfig, runQueryMasks } from "./query-masks.js";
import type { Sam, SamConfig } from "./sam.js";
import type { TextMasks, TextMasksConfig } from "./text-masks.js";
import { runTokenBoxes, type TokenBoxes, type TokenBoxesConfig } from "./token-boxes.js";

export interface HeadsConfig extends ClassifierConfig, PoolerConfig, ContrastiveConfig, ProbeConfig {
  readonly dpt: DptConfig | undefined;
  /** Heatmaps of keypoints (ViTPose); none unless given. */
  readonly heatmaps?: HeatmapsConfig;
  /** Boxes of patches, which are compared with queries (OWL-ViT). */
  readonly patchBoxes: PatchBoxesConfig | undefined;
  /** Boxes of detection tokens, which have classes (YOLOS). */
  readonly tokenBoxes: TokenBoxesConfig | undefined;
  /** Masks of queries, each with a class (EoMT). */
  readonly queryMasks: QueryMasksConfig | undefined;
  /** Masks of what texts say (CLIPSeg). */
  readonly textMasks: TextMasksConfig | undefined;
  /** Masks by prompts (SAM). */
  readonly sam: SamConfig | undefined;
}

export interface HeadsWeights extends PoolingWeights, ClassifierWeights, ContrastiveWeights, ProbeWeights {
  readonly dpt: Dpt | undefined;
  readonly heatmaps: Heatmaps | undefined;
  readonly patchBoxes: PatchBoxes | undefined;
  readonly tokenBoxes: TokenBoxes | undefined;
  readonly queryMasks: QueryMasks | undefined;
  readonly textMasks: TextMasks | undefined;
  readonly sam: Sam | undefined;
}

/** Calls the ops of the heads whose outputs are asked for. */
export async function runHeads(
  backend: Backend,
  weights: HeadsWeights,
  config: HeadsConfig & VitConfig,
  encoded: Encoded,
  call: Call,
): Promise<void> {
  const { wants, outputs } = call;
  let vectors: Pooled | undefined;
  let shared: Matrix | undefined;
  const pooled = () => (vectors ??= pool(backend, weights, config, encoded, call));
  const features = () => (shared ??= projected(backend, weights, config, pooled));
  if (wants("poolAttention")) pooled();
  const both = wants("pooled") && config.pooled === "features";
  if (config.features > 0 && (wants("imageFeatures") || both)) {
    outputs.imageFeatures = tensorOf(backend.read(features()), [features().rows, features().cols]);
  }
  runPooler(backend, weights, config, encoded, pooled, call);
  const { probe } = config;
  const { patchBoxes, tokenBoxes } = weights;
  // The logits of a head in a file of its own, of a dense head, and of boxes, are theirs.
  const others = probe || config.textMasks || patchBoxes || tokenBoxes || config.dpt?.head.kind === "segmentation";
  const own = others ? { ...call, wants: (name: OutputName) => name !== "logits" && wants(name) } : call;
  classify(backend, weights, config, pooled, encoded.images, own);
  if (probe && wants("logits")) {
    runProbe(backend, weights.probe!, { ...config, probe }, encoded, { pooled, features }, call);
  }
  if (weights.queryMasks) runQueryMasks(backend, weights.queryMasks, config.queryMasks!, config, encoded, call);
  if (tokenBoxes) runTokenBoxes(backend, tokenBoxes, config, encoded, call);
  if (patchBoxes) await runPatchBoxes(backend, patchBoxes, weights.norm!, encoded, call);
}
