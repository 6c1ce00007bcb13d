/** What a model costs, from its config alone. Names as in Dosovitskiy et al. 2021: N patches, T tokens, D width. */
import { type Config, gridOf } from "../model/config.js";

function sequenceOf(config: Config) {
  const [rows, columns] = gridOf(config, config.imageSize);
  const patches = rows * columns;
  const [height, width] = config.patchSize;
  return { patches, tokens: config.prefixTokens + patches, patchValues: 3 * height * width };
}

/**
 * Multiply-adds of the logits of one image. Counted are matrix products, the attention's among them; layer norms,
 * softmax, activations and sums are not. What they take is below a hundredth of it.
 */
export function multiplyAdds(config: Config): number {
  const { width: D, mlpWidth, depth, classes, pooling } = config;
  const { patches, tokens: T, patchValues } = sequenceOf(config);
  // eq. 2: qkv and proj, then Q Kᵀ and A V; eq. 3: both layers of the MLP
  const block = T * 4 * D * D + 2 * T * T * D + T * 2 * D * mlpWidth;
  // k and v of every token, one query's scores and sum, proj and MLP of one vector
  const attentionPool = pooling === "attention" ? T * 2 * D * D + 2 * T * D + D * D + 2 * D * mlpWidth : 0;
  const heads = (pooling === "distilled" ? 2 : 1) * D * classes;
  return patches * patchValues * D + depth * block + attentionPool + heads;
}

/** About how many bytes the activations of one image take in f32: those of a block, and the patches before it. */
export function activationBytes(config: Config): number {
  const { width: D, mlpWidth, imageSize } = config;
  const { patches, tokens: T, patchValues } = sequenceOf(config);
  const block = T * (5 * D + mlpWidth);
  // The rows that a matrix product reads are packed first.
  const packed = T * mlpWidth;
  return 4 * (3 * imageSize[0] * imageSize[1] + patches * (patchValues + D) + block + packed);
}
