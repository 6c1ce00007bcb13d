/** Classes with their scores, as `classify` and `zeroShot` give them. */
import { bar } from "./bar.js";

/** One class of a classification. */
export interface Prediction {
  readonly label: string;
  readonly index: number;
  /** Softmax over all classes; of SigLIP's zero-shot classes the sigmoid of each. */
  readonly probability: number;
  readonly logit: number;
}

/** The best classes with their softmax, or the sigmoid of each, by logit, equal ones by index. */
export function predictions(
  logits: Float32Array,
  labels: readonly string[],
  topK: number,
  kind: "softmax" | "sigmoid" = "softmax",
): Prediction[] {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, x) => total + Math.exp(x - max), 0);
  const probabilityOf = (logit: number) =>
    kind === "softmax" ? Math.exp(logit - max) / sum : 1 / (1 + Math.exp(-logit));
  return Array.from(logits, (logit, index) => ({
    label: labels[index]!,
    index,
    probability: probabilityOf(logit),
    logit,
  }))
    .sort((a, b) => b.logit - a.logit || a.index - b.index)
    .slice(0, topK);
}

/** Labels longer than this push their percentage to the right. */
const LABEL_COLUMNS = 44;

/** A bar, the label and the percentage of each class. */
export function predictionLines(top: readonly Prediction[]): string[] {
  const columns = Math.min(LABEL_COLUMNS, Math.max(...top.map(({ label }) => label.length)));
  return top.map(({ label, probability }) => {
    const percent = `${(100 * probability).toFixed(1)} %`.padStart(7);
    return `  ${bar(probability, 20)} ${label.padEnd(columns)} ${percent}`;
  });
}
