/** Nearest neighbors: a feature is of the class that most of the k examples with the largest cosine have. */
import { type Identity, identityOf } from "../identity.js";
import { dot, toUnit } from "../numerics/vectors.js";
import { examplesOf, type Features } from "./examples.js";
import { type Head, type HeadOptions, headOf } from "./head.js";

export interface NearestOptions extends HeadOptions {
  /** How many examples vote; 5 unless given. */
  k?: number;
}

/**
 * A head of nearest neighbors, as scikit-learn's KNeighborsClassifier with metric "cosine" and the same weight for each. The
 * probability of a class is its share of the k; equal ones go by the order of the classes, examples as near as each other by theirs.
 * @param features [N, D], as `embed` gives them.
 * @param labels the class of each row.
 * @throws TypeError or RangeError: one sentence, as fewShot.
 */
export async function nearestNeighbors(
  features: Features,
  labels: readonly (string | number)[],
  { k = 5, model }: NearestOptions = {},
): Promise<Head> {
  const { features: rows, classes, truth, width, count } = examplesOf("nearestNeighbors", features, labels);
  if (!Number.isSafeInteger(k) || k < 1 || k > count) {
    throw new RangeError(`nearestNeighbors: k must be from 1 to ${count}, the number of examples; got ${k}`);
  }
  return nearestHead({ rows, truth, k, classes, width, identity: model && (await identityOf(model)) });
}

export interface NearestParts {
  /** [examples, width]. */
  readonly rows: Float32Array;
  /** Class of each. */
  readonly truth: Int32Array;
  readonly k: number;
  readonly classes: readonly string[];
  readonly width: number;
  readonly identity: Identity | undefined;
}

export function nearestHead({ rows, truth, k, ...facts }: NearestParts): Head {
  const { width, classes } = facts;
  const units = Array.from(truth, (_, i) => toUnit(rows.subarray(i * width, (i + 1) * width)));
  return headOf({
    ...facts,
    kind: "probability",
    sharpness: 1,
    scores(feature) {
      const unit = toUnit(feature);
      const near = units.map((row, i) => ({ i, cosine: dot(unit, row) }));
      near.sort((a, b) => b.cosine - a.cosine || a.i - b.i);
      const votes = new Float32Array(classes.length);
      for (const { i } of near.slice(0, k)) votes[truth[i]!]! += 1 / k;
      return votes;
    },
    tensors: [
      { name: "features", shape: [truth.length, width], data: rows },
      { name: "classes", shape: [truth.length], data: Float32Array.from(truth) },
    ],
    metadata: { k: String(k) },
  });
}
