/** Class scores: a linear layer on what is pooled, and two of them where two vectors are. */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import { type Call, sideBySide, tensorOf } from "../vit/call.js";
import type { Tensor } from "../vit/outputs.js";
import type { Pooled, PoolingConfig } from "./pooling.js";

export interface ClassifierConfig extends PoolingConfig {
  /** Outputs of the head, 0 without one. */
  readonly classes: number;
  /** Meaning of logits: scores of one choice, of several that may hold at once, or numbers as they are. */
  readonly probabilities: "softmax" | "sigmoid" | "none";
  /** True if logits without a head are what it would read, as timm's models give without one: DINO's and MAE's files. */
  readonly headless: boolean;
}

export interface ClassifierWeights {
  /** One for each vector that is pooled. */
  readonly classifiers: readonly Linear[];
}

/** Scores of a vector; of class token and mean their sum; of class and distillation token both, and their mean. */
export function classify(
  backend: Backend,
  { classifiers: [first, second] }: ClassifierWeights,
  { pooling, headless }: ClassifierConfig,
  pooled: () => Pooled,
  images: number,
  { wants, outputs }: Call,
): void {
  // Without a classifier logits are another head's, or what a classifier would read.
  const scores = wants("logits") || wants("clsLogits") || wants("distillationLogits");
  const scored = scores && (headless || first !== undefined);
  if (!scored && !wants("preLogits")) return;
  const all = pooled();
  const [a, b] = all as readonly [Matrix, Matrix?];
  // Without pooling each token has its own.
  const dimsOf = ({ rows, cols }: Matrix) => (pooling === "none" ? [images, rows / images, cols] : [rows, cols]);
  const rows = (x: Matrix) => tensorOf(backend.read(x), dimsOf(x));
  if (wants("preLogits") || (scored && !first)) {
    const vectors = preLogits(pooling, all.map(rows), [a.rows, all.length * a.cols]);
    if (wants("preLogits")) outputs.preLogits = vectors;
    if (scored && !first) outputs.logits = vectors;
  }
  if (!scored || !first) return;
  const logits = backend.createTensor(a.rows, first.outputs);
  backend.linear(logits, a, first);
  if (pooling === "token+mean") backend.linear(logits, b!, second!, { accumulate: true });
  if (pooling !== "distilled") {
    outputs.logits = rows(logits);
    return;
  }
  const other = backend.createTensor(a.rows, second!.outputs);
  backend.linear(other, b!, second!);
  outputs.clsLogits = rows(logits);
  outputs.distillationLogits = rows(other);
  outputs.logits = meanOfTwo(outputs.clsLogits, outputs.distillationLogits);
}

/** The vector before the classifier; of two, their mean when distilled, else all, one after the other. */
function preLogits(
  pooling: ClassifierConfig["pooling"],
  pooled: readonly Promise<Tensor>[],
  dims: readonly [images: number, cols: number],
): Promise<Tensor> {
  const [first, second] = pooled as readonly [Promise<Tensor>, Promise<Tensor>?];
  if (!second) return first;
  if (pooling === "distilled") return meanOfTwo(first, second);
  const joined = Promise.all(pooled).then((all) =>
    sideBySide(
      all.map(({ data }) => data),
      dims[0],
    ),
  );
  return tensorOf(joined, dims);
}

async function meanOfTwo(first: Promise<Tensor>, second: Promise<Tensor>): Promise<Tensor> {
  const [{ dims, data }, other] = await Promise.all([first, second]);
  return { dims, data: data.map((x, i) => (x + other.data[i]!) / 2) };
}
