/** Classes with their scores, as `classify` and `zeroShot` give them. */
import { bar } from "./bar.js";

/** One class of a classification. */
export interface Prediction {
  readonly label: string;
  readonly index: number;
  /**
   * Softmax over all classes; the sigmoid of each where several may hold, or none; the number itself where the checkpoint
   * gives numbers (regression).
   */
  readonly probability: number;
  readonly logit: number;
  /** Kind of a tagger's tag: "rating", "general", "character" and the like. */
  readonly category?: string;
}

/** Meanings of logits. */
export type Probabilities = "softmax" | "sigmoid" | "none";

/**
 * The best classes with their softmax, the sigmoid of each, or the logit again, by logit, equal ones by index.
 * @param least tells the probability that a class must be above, where there is one.
 * @param sharpness factor of the logits before their softmax.
 */
export function predictions(
  logits: Float32Array,
  { labels, categories }: { readonly labels: readonly string[]; readonly categories?: readonly string[] | undefined },
  topK: number,
  kind: Probabilities = "softmax",
  least?: (category: string | undefined) => number,
  sharpness = 1,
): Prediction[] {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, x) => total + Math.exp(sharpness * (x - max)), 0);
  const probabilityOf = {
    softmax: (logit: number) => Math.exp(sharpness * (logit - max)) / sum,
    sigmoid: (logit: number) => 1 / (1 + Math.exp(-logit)),
    none: (logit: number) => logit,
  }[kind];
  return Array.from(logits, (logit, index) => ({
    label: labels[index]!,
    index,
    probability: probabilityOf(logit),
    logit,
    ...(categories && { category: categories[index]! }),
  }))
    .filter(({ probability, category }) => !least || probability > least(category))
    .sort((a, b) => b.logit - a.logit || a.index - b.index)
    .slice(0, topK);
}

/** Labels longer than this push their percentage to the right. */
const LABEL_COLUMNS = 44;

/** A bar, the label and the percentage of each class. */
export function predictionLines(top: readonly Prediction[]): string[] {
  const columns = Math.min(LABEL_COLUMNS, Math.max(...top.map(({ label }) => label.length)));
  // Numbers as they are.
  if (top.some(({ probability, logit }) => probability === logit)) {
    return top.map(({ label, logit }) => `  ${label.padEnd(columns)} ${logit.toPrecision(6)}`);
  }
  return top.map(({ label, probability, category }) => {
    const percent = `${(100 * probability).toFixed(1)} %`.padStart(7);
    return `  ${bar(probability, 20)} ${label.padEnd(columns)} ${percent}${category ? `  ${category}` : ""}`;
  });
}
