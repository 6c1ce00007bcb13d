/** Heads: what is made of what the encoder leaves. A head is a file, and a row here. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { type Call, tensorOf } from "../vit/outputs.js";
import type { Encoded, VitConfig } from "../vit/vit.js";
import { type ClassifierConfig, type ClassifierWeights, classify } from "./classifier.js";
import { type ContrastiveConfig, type ContrastiveWeights, projected } from "./contrastive.js";
import { type PoolerConfig, runPooler } from "./pooler.js";
import { type Pooled, type PoolingWeights, pool } from "./pooling.js";
import { type ProbeConfig, type ProbeWeights, runProbe } from "./probe.js";

export interface HeadsConfig extends ClassifierConfig, PoolerConfig, ContrastiveConfig, ProbeConfig {}

export interface HeadsWeights extends PoolingWeights, ClassifierWeights, ContrastiveWeights, ProbeWeights {}

/** Calls the ops of the heads whose outputs are asked for. */
export function runHeads(
  backend: Backend,
  weights: HeadsWeights,
  config: HeadsConfig & VitConfig,
  encoded: Encoded,
  call: Call,
): void {
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
  if (!probe) classify(backend, weights, config, pooled, encoded.images, call);
  else {
    if (wants("logits")) runProbe(backend, weights.probe!, { ...config, probe }, encoded, { pooled, features }, call);
    classify(backend, weights, config, pooled, encoded.images, {
      ...call,
      wants: (name) => name === "preLogits" && wants(name),
    });
  }
}
