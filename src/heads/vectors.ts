/** Heads on pooled vectors: features that images share with texts, the pooler and the classifier. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Encoded } from "../vit/reader.js";
import type { VitConfig } from "../vit/vit.js";
import { type ClassifierConfig, type ClassifierWeights, classify } from "./classifier.js";
import { type ContrastiveConfig, type ContrastiveWeights, projected } from "./contrastive.js";
import type { Vectors } from "./head.js";
import { type PoolerConfig, runPooler } from "./pooler.js";
import { type Pooled, type PoolingWeights, pool } from "./pooling.js";

export interface VectorsConfig extends ClassifierConfig, PoolerConfig, ContrastiveConfig {}

export interface VectorsWeights extends PoolingWeights, ClassifierWeights, ContrastiveWeights {}

/** Calls the ops of those whose outputs are asked for, and gives the vectors that they read. */
export function runVectors(
  backend: Backend,
  weights: VectorsWeights,
  config: VectorsConfig & VitConfig,
  encoded: Encoded,
  call: Call,
): Vectors {
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
  classify(backend, weights, config, pooled, encoded.images, call);
  return { pooled, features };
}
