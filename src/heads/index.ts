/** Heads: what is made of what the encoder leaves. A head is a file, and a row here. */
import type { Backend } from "../backend.js";
import type { Call, OutputName } from "../vit/outputs.js";
import type { Encoded, VitConfig } from "../vit/vit.js";
import { type ClassifierConfig, type ClassifierWeights, classify } from "./classifier.js";
import { type ContrastiveConfig, type ContrastiveWeights, projectImages } from "./contrastive.js";
import type { Dpt, DptConfig } from "./dpt.js";
import { type PatchBoxes, type PatchBoxesConfig, runPatchBoxes } from "./patch-boxes.js";
import { type PoolerConfig, runPooler } from "./pooler.js";
import { type Pooled, type PoolingWeights, pool } from "./pooling.js";
import { runTokenBoxes, type TokenBoxes, type TokenBoxesConfig } from "./token-boxes.js";

export interface HeadsConfig extends ClassifierConfig, PoolerConfig, ContrastiveConfig {
  /** Maps of the whole image (DPT). */
  readonly dpt: DptConfig | undefined;
  /** Boxes of patches, which are compared with queries (OWL-ViT). */
  readonly patchBoxes: PatchBoxesConfig | undefined;
  /** Boxes of detection tokens, which have classes (YOLOS). */
  readonly tokenBoxes: TokenBoxesConfig | undefined;
}

export interface HeadsWeights extends PoolingWeights, ClassifierWeights, ContrastiveWeights {
  readonly dpt: Dpt | undefined;
  readonly patchBoxes: PatchBoxes | undefined;
  readonly tokenBoxes: TokenBoxes | undefined;
}

/** Calls the ops of the heads whose outputs are asked for. */
export async function runHeads(
  backend: Backend,
  weights: HeadsWeights,
  config: HeadsConfig & VitConfig,
  encoded: Encoded,
  call: Call,
): Promise<void> {
  const { wants } = call;
  let vectors: Pooled | undefined;
  const pooled = () => (vectors ??= pool(backend, weights, config, encoded, call));
  if (wants("poolAttention")) pooled();
  const both = wants("pooled") && config.pooled === "features";
  if (config.features > 0 && (wants("imageFeatures") || both)) {
    projectImages(backend, weights, config, pooled, call);
  }
  runPooler(backend, weights, config, encoded, pooled, call);
  const { patchBoxes, tokenBoxes } = weights;
  // Logits of a detector are those of its boxes, and of a dense head those of pixels.
  const ofParts = patchBoxes || tokenBoxes || config.dpt?.head.kind === "segmentation";
  const ofImage = (name: OutputName) => (name === "preLogits" || !ofParts) && wants(name);
  classify(backend, weights, config, pooled, { ...call, wants: ofImage });
  if (tokenBoxes) runTokenBoxes(backend, tokenBoxes, config, encoded, call);
  if (patchBoxes) await runPatchBoxes(backend, patchBoxes, weights.norm!, encoded, call);
}
