/** Outputs of a call of the model. */

/** Row-major values. */
export interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/**
 * Outputs of `forward`. Lists begin with the entry of the first block, `attentions` with the
 * first block's, after softmax. Of EoMT the last hidden state is lastHiddenState, and of a ResNet hiddenStates are feature maps,
 * [B, C, H, W]; of ViTDet too, of SAM [B, rows, columns, D]; lastHiddenState are the tokens that their heads read.
 * Of an encoder in stages hiddenStates are of the embedding and of each stage, as its library has them: of transformers' Swin behind the
 * map that the next stage reads, of Hiera in its own order, of timm maps [B, C, H, W]; those behind `blocks` are [B, tokens, D], line by
 * line. Swin's attentions are [B·windows, heads, tokens, tokens], those of an image one after the other.
 *
 * Detectors give boxes as (center x, center y, width, height), parts of the image that the model sees, and logits of each:
 * [B, boxes, classes + 1], the last of nothing (YOLOS), or [B, boxes, queries] (OWL-ViT), whose imageEmbeds are of patches,
 * [B, rows, columns, D], and whose textEmbeds are [B, queries, D].
 */
export interface Outputs {
  /**
   * Scores of classes: [B, classes], or of semantic segmentation [B, classes, H, W]; logits of masks that texts or images tell
   * (CLIPSeg), [B, H, W], and of conditionalEmbeddings [B·prompts, H, W].
   */
  logits: Tensor;
  clsLogits: Tensor;
  distillationLogits: Tensor;
  lastHiddenState: Tensor;
  pooled: Tensor;
  preLogits: Tensor;
  patchEmbedding: Tensor;
  /** Filters of the first layer, [D, C, Ph, Pw]: of patches, or of a convolutional stem, [channels, 3, height, width]. */
  patchFilters: Tensor;
  /** E_pos of eq. 1 on the images' grid, of NaFlex models the first image's, [tokens, D]; zeros for tokens without. */
  positionEmbeddings: Tensor;
  hiddenStates: Tensor[];
  attentions: Tensor[];
  /**
   * Queries and keys as scores are made of them, behind norms and rotation, [B, heads, N, d]; queries have the factor 1/√d. So
   * `attentions` are softmax(q·kᵀ), from which a picture takes the rows that it needs: all of a 37×37 grid are 1.08 GB at 12 × 12 heads,
   * queries and keys 50 MB. Where scores have a bias besides (BEiT's relative positions, EoMT's masks), it is in `attentions` alone.
   */
  queries: Tensor[];
  keys: Tensor[];
  /** Map of the attention pooling, after softmax: [B, heads, 1, tokens]. */
  poolAttention: Tensor;
  /** Depth of a dense head, [B, H, W]: metres, or larger where it is nearer. */
  predictedDepth: Tensor;
  /** Where each keypoint is, [B, keypoints, H, W]. */
  heatmaps: Tensor;
  /** Tokens or maps that a dense head reads of its backbone: [B, tokens, D], of a BiT [B, C, H, W]. */
  featureMaps: Tensor[];
  /** The same as maps of the sizes that are fused, from the finest to the coarsest, [B, C, H, W]. */
  reassembled: Tensor[];
  /** Fused maps, from the coarsest to the finest, [B, C, H, W]. */
  fused: Tensor[];
  /** Masks of queries, [B, queries, H, W], positive where a query's object is, and scores of its class, the last of nothing. */
  masksQueriesLogits: Tensor;
  /** [B, queries, classes + 1] */
  classQueriesLogits: Tensor;
  /** Features that masks are told by, [prompts, D]. */
  conditionalEmbeddings: Tensor;
  /** Tokens behind each block of the decoder that makes masks of them, [B·prompts, tokens, channels]. */
  decoderHiddenStates: Tensor[];
  imageFeatures: Tensor;
  imageEmbeds: Tensor;
  textLastHiddenState: Tensor;
  textPooled: Tensor;
  textHiddenStates: Tensor[];
  textAttentions: Tensor[];
  textFeatures: Tensor;
  textEmbeds: Tensor;
  logitsPerImage: Tensor;
  logitsPerText: Tensor;
  /** [B, boxes, 4] */
  predBoxes: Tensor;
  /** OWLv2's, [B, boxes]: how much a patch is an object of any kind. */
  objectnessLogits: Tensor;
  /** Embeddings of patches, [B, patches, D]: of length 1 where there are queries to compare them with, as in transformers. */
  classEmbeds: Tensor;
  /** logits = (cosine + shift) · scale, [B, patches, 1]. */
  logitShift: Tensor;
  logitScale: Tensor;
  /** predBoxes of a call with images as queries, by the name that transformers gives them there. */
  targetPredBoxes: Tensor;
  /** The embedding of the box that stands for each query image, [B, D]; the boxes and patches of all. */
  queryEmbeds: Tensor;
  queryPredBoxes: Tensor;
  queryImageEmbeds: Tensor;
  /** SAM's embeddings of images, [B, C, rows, columns], from which prompts make masks. */
  imageEmbeddings: Tensor;
  /** Embeddings of prompts: of points and boxes, [B, objects, n, C], and of masks or of none, [B, C, rows, columns]. */
  promptEmbeddings: Tensor[];
  /** Scores of masks, above 0 inside: [B, objects, masks, 4·rows, 4·columns]. */
  predMasks: Tensor;
  /** Intersection over union of each with the true mask, as the model guesses it, [B, objects, masks]. */
  iouScores: Tensor;
  /** The image as the model imagines it, [B, C, H, W], of models with a layer on each token; of MAE logits are patches. */
  reconstruction: Tensor;
  /** MAE's, [B, patches]: 1 where a patch is hidden, and each patch's place in the order of the noise. */
  mask: Tensor;
  idsRestore: Tensor;
  /** Part of each pixel that is of the object, from 0 to 1, [B, 1, H, W]. */
  alphas: Tensor;
}

export type OutputName = keyof Outputs;
