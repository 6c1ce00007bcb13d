/** The output that transformers calls pooler_output: BERT's tanh layer on the class token, that token, or what a head reads. */
import type { Backend, Tensor as Matrix } from "../backend.js";
import type { LinearPlan, Planner } from "../planned.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Encoded } from "../vit/reader.js";
import { type Pooled, type PoolingWeights, poolerOf, tokenOf } from "./pooling.js";

export interface PoolerConfig {
  /**
   * Meaning of `pooled`: the tanh layer on the class token, that token itself, what the head reads, the features that images
   * and texts share, or nothing.
   */
  readonly pooled: "pooler" | "token" | "head" | "features" | "none";
  /** Columns of `pooled` when it is a tanh layer, else 0. */
  readonly poolerWidth: number;
}

export const planPooler = (
  planner: Planner,
  name: string,
  { poolerWidth, width }: PoolerConfig & { readonly width: number },
): LinearPlan => planner.linear([name], poolerWidth, width);

/** Gives `pooled`: of a ResNet [B, C, 1, 1], else [B, D]. */
export function runPooler(
  backend: Backend,
  weights: Pick<PoolingWeights, "pooler">,
  config: PoolerConfig & { readonly depth: number },
  encoded: Encoded,
  pooled: () => Pooled,
  { wants, outputs }: Call,
): void {
  if (!wants("pooled") || config.pooled === "none") return;
  if (config.pooled === "features") {
    outputs.pooled = outputs.imageFeatures;
    return;
  }
  const y = vectorOf();
  outputs.pooled = tensorOf(backend.read(y), [y.rows, y.cols, ...(config.depth === 0 ? [1, 1] : [])]);

  function vectorOf(): Matrix {
    if (config.pooled === "head") return pooled()[0]!;
    return config.pooled === "token" ? tokenOf(backend, encoded, 0) : poolerOf(backend, weights, encoded);
  }
}
