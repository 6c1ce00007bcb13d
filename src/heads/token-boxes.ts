/** Boxes of detection tokens: each token is a box and its class, or none (YOLOS, Fang et al. 2021, section 3.1). */
import type { Backend, Linear } from "../backend.js";
import type { Planned, Planner } from "../planned.js";
import { type Call, tensorOf } from "../vit/call.js";
import type { Encoded } from "../vit/reader.js";
import type { Head } from "./head.js";
import { mlpProducts, planMlp, runMlp, sigmoid } from "./mlp.js";

export interface TokenBoxesConfig {
  /** Classes of detection tokens, beside that of nothing. */
  readonly classes: number;
}

export interface TokenBoxes {
  /** D → classes + 1 */
  readonly classifier: readonly Linear[];
  /** D → 4 */
  readonly boxes: readonly Linear[];
}

export interface TokenBoxesNames {
  readonly classifier: readonly string[];
  readonly boxes: readonly string[];
}

const planTokenBoxes = (
  planner: Planner,
  { classifier, boxes }: TokenBoxesNames,
  width: number,
  { classes }: TokenBoxesConfig,
): Planned<TokenBoxes> => ({
  classifier: planMlp(planner, classifier, width, classes + 1),
  boxes: planMlp(planner, boxes, width, 4),
});

/** Config of a model that may have the head. */
interface Config {
  readonly tokenBoxes: TokenBoxesConfig | undefined;
  readonly width: number;
  readonly prefixTokens: number;
  readonly suffixTokens: number;
}

/** Gives logits, [B, tokens, classes + 1], and predBoxes, [B, tokens, 4]. */
function runTokenBoxes(
  backend: Backend,
  weights: TokenBoxes,
  { prefixTokens, suffixTokens }: Config,
  { z, images, tokens }: Encoded,
  { wants, outputs }: Call,
): void {
  if (!wants("logits") && !wants("predBoxes")) return;
  // Windows of one token: a copy of those before the patches, of which the last are asked.
  const column = {
    height: tokens,
    width: 1,
    kernel: 1,
    stride: 1,
    top: 0,
    left: 0,
    outHeight: prefixTokens,
    outWidth: 1,
  };
  const x = backend.createTensor(images * prefixTokens, z.cols);
  backend.maxPool(x, z, column, Number.NEGATIVE_INFINITY);

  const rowsOf = async (layers: readonly Linear[]) => {
    const all = await backend.read(runMlp(backend, layers, x, "relu"));
    return lastRows(all, { images, rows: prefixTokens, count: suffixTokens });
  };
  if (wants("logits")) {
    outputs.logits = tensorOf(rowsOf(weights.classifier), [images, suffixTokens, weights.classifier.at(-1)!.outputs]);
  }
  if (wants("predBoxes")) {
    const boxes = rowsOf(weights.boxes).then((rows) => rows.map(sigmoid));
    outputs.predBoxes = tensorOf(boxes, [images, suffixTokens, 4]);
  }
}

/** The last `count` of each image's rows. */
function lastRows(
  data: Float32Array,
  { images, rows, count }: { readonly images: number; readonly rows: number; readonly count: number },
): Float32Array {
  const width = data.length / (images * rows);
  const result = new Float32Array(images * count * width);
  for (let image = 0; image < images; image++) {
    const end = (image + 1) * rows * width;
    result.set(data.subarray(end - count * width, end), image * count * width);
  }
  return result;
}

/** Gives logits and predBoxes. */
export const tokenBoxes: Head<Config, { readonly tokenBoxes: TokenBoxes | undefined }, TokenBoxes, TokenBoxesNames> = {
  plan: (planner, { tokenBoxes, width }, { names }) => planTokenBoxes(planner, names, width, tokenBoxes!),
  costs({ width, suffixTokens, tokenBoxes }) {
    const row = mlpProducts(width, 4) + mlpProducts(width, tokenBoxes!.classes + 1);
    return { products: suffixTokens * row, elements: 0 };
  },
  begin: ({ weights, config }) => ({
    pass: (backend, call) => ({
      run: (encoded) => runTokenBoxes(backend, weights.tokenBoxes!, config, encoded, call),
    }),
  }),
};
