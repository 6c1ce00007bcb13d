/** Inputs and outputs of a forward pass. */
import type { Sampling } from "../backend.js";

/** Row-major values. */
export interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/** Pixel values of an image that a backend may draw by itself; where it does not, `data` gives them. */
export interface DrawnValues extends Tensor {
  readonly image: CanvasImageSource;
  readonly sampling: Sampling;
}

/** Row-major integers, such as token ids and masks. */
export interface Integers {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

/** Inputs of `forward`. */
export interface Inputs {
  /** [B, 3, H, W], normalized; of NaFlex models [B, patches, P·P·3], a patch in the order (y, x, channel). */
  readonly pixelValues?: Tensor;
  /** Mask of NaFlex models: [B, patches], 1 where there is a patch, all of them before the others. */
  readonly pixelAttentionMask?: Integers;
  /** Grids of NaFlex models: [B, 2], rows and columns of patches. */
  readonly spatialShapes?: Integers;
  /** [texts, tokens] */
  readonly inputIds?: Integers;
  /** [texts, tokens], 1 for tokens that are text. */
  readonly attentionMask?: Integers;
  /** Images of what is looked for, one for each image, of detectors that compare boxes with queries: as `pixelValues`. */
  readonly queryPixelValues?: Tensor;
  /** Data set whose experts each image goes through, [B], or [1] of all; the first unless given (ViTPose+: 0 is COCO). */
  readonly datasetIndex?: Integers;
  /** Keypoints that are each other's mirror images, [pairs, 2]: heatmaps of mirrored images are turned back. */
  readonly flipPairs?: Integers;
  /** Embeddings of what is looked for in all images, [queries, D]: texts' or those that `queryEmbeds` gave. */
  readonly queryEmbeds?: Tensor;
  /** Points of SAM, [B, objects, points, 2]: x and y in pixels of the model's image. */
  readonly inputPoints?: Tensor;
  /** Labels of points, [B, objects, points]: 1 on the object, as all are unless given, 0 beside it, -1 for no point, -10 for padding. */
  readonly inputLabels?: Integers;
  /** Boxes of SAM, [B, objects, 4]: left, top, right and bottom in pixels of the model's image. */
  readonly inputBoxes?: Tensor;
  /** Masks of SAM as prompts, [B or 1, 1, 4·rows, 4·columns], as predMasks has one. */
  readonly inputMasks?: Tensor;
  /** Embeddings of images, [B, C, rows, columns], as the output of this name, in the place of pixelValues. */
  readonly imageEmbeddings?: Tensor;
  /** False: one mask of each object, in the place of those of an ambiguous prompt. */
  readonly multimaskOutput?: boolean;
  /**
   * Tokens [B, n, D], as an entry of the output hiddenStates, in the place of pixelValues: the last norm and the heads read them as
   * if the last block had left them. Of a ResNet, which has no tokens, pixels of its lastHiddenState.
   */
  readonly hiddenState?: Tensor;
  /** Images of what masks are made of, one for each image, of models that are told so (CLIPSeg): as `pixelValues`. */
  readonly conditionalPixelValues?: Tensor;
  /** Features of what masks are made of in all images, as `textFeatures` and `imageFeatures` are, [prompts, D]. */
  readonly conditionalEmbeddings?: Tensor;
}

/**
 * Outputs of `forward`. Lists begin with the entry of the first block, `attentions` with the
 * first block's, after softmax. Of EoMT the last hidden state is lastHiddenState, and of a ResNet hiddenStates are feature maps,
 * [B, C, H, W]; of SAM [B, rows, columns, D], and lastHiddenState are the tokens that its neck reads.
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
}

export type OutputName = keyof Outputs;

/** Outputs whose ops have all been called, and whose values are on their way. */
export type Pending = {
  [Name in OutputName]?: Outputs[Name] extends Tensor[] ? Promise<Tensor>[] : Promise<Tensor>;
};

/** A call: outputs that are asked for, and those that it gives. */
export interface Call {
  /** Tells whether an output is asked for; nothing else is read back. */
  readonly wants: (name: OutputName) => boolean;
  /** Filled while ops are called. */
  readonly outputs: Pending;
  /** Blocks, from 0, that lists have entries of; all, and the first one's input, unless given. */
  readonly blocks?: readonly number[];
  readonly signal?: AbortSignal;
}

/** Values that are being read. Nobody waits for them if an op that follows fails, which is the error then. */
export function tensorOf(values: Promise<Float32Array>, dims: readonly number[]): Promise<Tensor> {
  const tensor = values.then((data) => ({ dims, data }));
  tensor.catch(() => {});
  return tensor;
}

/** Matrices of as many rows as one: row by row, one behind the other. */
export function sideBySide(matrices: readonly Float32Array[], rows: number): Float32Array {
  const [first] = matrices;
  if (matrices.length === 1) return first!;
  const data = new Float32Array(matrices.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (let row = 0; row < rows; row++)
    for (const values of matrices) {
      const width = values.length / rows;
      data.set(values.subarray(row * width, (row + 1) * width), at);
      at += width;
    }
  return data;
}

/** Waits for the values. */
export async function arrived(pending: Pending): Promise<Partial<Outputs>> {
  const entries = Object.entries(pending).map(async ([name, value]) => [
    name,
    await (Array.isArray(value) ? Promise.all(value) : value),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}

type Needed = "image" | "text" | "query" | "prompt";

const NAMES: Readonly<Record<OutputName, Needed | "both">> = {
  logits: "image",
  clsLogits: "image",
  distillationLogits: "image",
  lastHiddenState: "image",
  pooled: "image",
  preLogits: "image",
  patchEmbedding: "image",
  patchFilters: "image",
  positionEmbeddings: "image",
  hiddenStates: "image",
  attentions: "image",
  queries: "image",
  keys: "image",
  poolAttention: "image",
  predictedDepth: "image",
  heatmaps: "image",
  featureMaps: "image",
  reassembled: "image",
  fused: "image",
  masksQueriesLogits: "image",
  classQueriesLogits: "image",
  conditionalEmbeddings: "image",
  decoderHiddenStates: "image",
  imageFeatures: "image",
  imageEmbeds: "image",
  textLastHiddenState: "text",
  textPooled: "text",
  textHiddenStates: "text",
  textAttentions: "text",
  textFeatures: "text",
  textEmbeds: "text",
  logitsPerImage: "both",
  logitsPerText: "both",
  predBoxes: "image",
  objectnessLogits: "image",
  classEmbeds: "image",
  logitShift: "image",
  logitScale: "image",
  targetPredBoxes: "image",
  queryEmbeds: "query",
  queryPredBoxes: "query",
  queryImageEmbeds: "query",
  imageEmbeddings: "image",
  promptEmbeddings: "prompt",
  predMasks: "prompt",
  iouScores: "prompt",
};

export const OUTPUT_NAMES = Object.keys(NAMES) as readonly OutputName[];

/** Tells whether an output needs this tower, the images of queries, or prompts for an image's embedding. */
export const needs = (name: OutputName, tower: Needed): boolean =>
  NAMES[name] === tower || (NAMES[name] === "both" && (tower === "image" || tower === "text"));
