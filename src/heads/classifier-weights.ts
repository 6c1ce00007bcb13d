/** Weights of classifiers: names and plan. */
import type { LinearPlan, Planner } from "../planned.js";
import { source } from "../plans.js";
import type { ClassifierConfig } from "./classifier.js";

export interface ClassifierNames {
  /** Or. */
  readonly head: readonly string[];
  readonly distillationHead?: string;
}

/** Classifiers: one, two when distilled, or one in two halves for class token and mean. */
export function planClassifier(
  planner: Planner,
  names: ClassifierNames,
  { classes, width, pooling }: ClassifierConfig,
): LinearPlan[] {
  const { has, weightOf, biasOf } = planner;
  if (classes === 0) return [];
  const name = names.head.find((head) => has(weightOf(head))) ?? names.head[0]!;
  if (pooling === "distilled") {
    return [name, names.distillationHead!].map((head) => planner.linear([head], classes, width));
  }
  if (pooling !== "token+mean") return [planner.linear([name], classes, width)];
  const biased = has(biasOf(name)) || !has(weightOf(name));
  return [0, 1].map((half) => {
    const arrange = (weight: Float32Array) => columnsOf(weight, classes, half * width, width);
    return {
      place: "linear",
      ...{ outputs: classes, inputs: width },
      weight: [source(weightOf(name), [classes, 2 * width], classes, { arrange })],
      bias: half === 0 && biased ? [source(biasOf(name), [classes], classes)] : [],
    };
  });
}

/** Columns of a matrix from `first` on. */
function columnsOf(matrix: Float32Array, rows: number, first: number, count: number): Float32Array {
  const cols = matrix.length / rows;
  const result = new Float32Array(rows * count);
  for (let row = 0; row < rows; row++) {
    result.set(matrix.subarray(row * cols + first, row * cols + first + count), row * count);
  }
  return result;
}
