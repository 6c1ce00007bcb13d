/** Heads: what is made of what the encoder leaves. A head is a file, and a row here. */
import type { Backend } from "../backend.js";
import type { Call, OutputName } from "../vit/outputs.js";
import type { Encoded, VitConfig } from "../vit/vit.js";
import { type ClassifierConfig, type ClassifierWeights, classify } from "./classifier.js";
import { type ContrastiveConfig, type ContrastiveWeights, projectImages } from "./contrastive.js";
import type { Dpt, DptConfig } from "./dpt.js";
import { type PoolerConfig, runPooler } from "./pooler.js";
import { type Pooled, type PoolingWeights, pool } from "./pooling.js";

export interface HeadsConfig extends ClassifierConfig, PoolerConfig, ContrastiveConfig {
  readonly dpt: DptConfig | undefined;
}

export interface HeadsWeights extends PoolingWeights, ClassifierWeights, ContrastiveWeights {
  readonly dpt: Dpt | undefined;
}

/** Calls the ops of the heads whose outputs are asked for. */
export function runHeads(
  backend: Backend,
  weights: HeadsWeights,
  config: HeadsConfig & VitConfig,
  encoded: Encoded,
  call: Call,
): void {
  const { wants } = call;
  let vectors: Pooled | undefined;
  const pooled = () => (vectors ??= pool(backend, weights, config, encoded, call));
  if (wants("poolAttention")) pooled();
  const both = wants("pooled") && config.pooled === "features";
  if (config.features > 0 && (wants("imageFeatures") || both)) {
    projectImages(backend, weights, config, pooled, call);
  }
  runPooler(backend, weights, config, encoded, pooled, call);
  // The logits of a dense head are another's.
  const dense = config.dpt?.head.kind === "segmentation";
  const own = dense ? { ...call, wants: (name: OutputName) => name !== "logits" && wants(name) } : call;
  classify(backend, weights, config, pooled, own);
}
