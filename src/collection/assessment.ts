/** How well examples are classified by heads that have not seen them. */

/** A share with its 95 % interval (Wilson 1927). */
export interface Share {
  readonly right: number;
  readonly count: number;
  readonly share: number;
  readonly interval: readonly [number, number];
}

/** An example that looks like one of another class. */
export interface Suspect {
  /** Its place among the examples. */
  readonly index: number;
  readonly label: string;
  /** The class that fits best. */
  readonly predicted: string;
  /** By how much that class's score is above its own. */
  readonly margin: number;
}

export interface Assessment {
  readonly classes: readonly string[];
  readonly accuracy: Share;
  /** Examples of each class, a row each, by the class that was predicted. */
  readonly confusion: readonly (readonly number[])[];
  /** Examples that were taken for another class, the most certain first: those that are mislabelled are among them. */
  readonly suspects: readonly Suspect[];
}

/**
 * Compares scores with the truth.
 * @param scores [examples, classes]; the largest is the prediction, of equal ones the first.
 */
export function assess(classes: readonly string[], truth: Int32Array, scores: Float64Array): Assessment {
  const confusion = classes.map(() => classes.map(() => 0));
  const suspects: Suspect[] = [];
  let right = 0;
  for (const [index, own] of truth.entries()) {
    const row = scores.subarray(index * classes.length, (index + 1) * classes.length);
    const predicted = row.reduce((best, score, k) => (score > row[best]! ? k : best), 0);
    confusion[own]![predicted]!++;
    if (predicted === own) right++;
    else {
      const margin = row[predicted]! - row[own]!;
      suspects.push({ index, label: classes[own]!, predicted: classes[predicted]!, margin });
    }
  }
  suspects.sort((a, b) => b.margin - a.margin || a.index - b.index);
  return { classes, accuracy: wilson(right, truth.length), confusion, suspects };
}

/** The share of `right` among `count`, with its 95 % interval. */
export function wilson(right: number, count: number): Share {
  const z = 1.959964;
  const share = right / count;
  const middle = share + (z * z) / (2 * count);
  const half = z * Math.sqrt((share * (1 - share)) / count + (z / (2 * count)) ** 2);
  const whole = 1 + (z * z) / count;
  const interval = [Math.max(0, (middle - half) / whole), Math.min(1, (middle + half) / whole)] as const;
  return { right, count, share, interval };
}
