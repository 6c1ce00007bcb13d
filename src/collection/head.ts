/** Heads on features: what they say of one, and their file: safetensors, with the classes and the model's identity beside. */
import type { Identity } from "../identity.js";
import { encode } from "../io/safetensors.js";
import type { Model } from "../model.js";
import { writeWhole } from "../platform/files.js";
import { type Prediction, predictions } from "../tasks/predictions.js";
import { checkTopK } from "../tasks/task.js";

export interface HeadOptions {
  /** The model that made the features: the head's file says so, and a head of another is refused when it is loaded. */
  model?: Model;
}

/** A classifier of features. */
export interface Head {
  /** Names of its classes, sorted. */
  readonly classes: readonly string[];
  /** Length of the features that it takes. */
  readonly width: number;
  /** The model whose features it takes, if it was told. */
  readonly identity: Identity | undefined;
  /**
   * The classes of a feature, best first; `logit` is the score.
   * @throws RangeError for a feature of another length.
   */
  classify(feature: Float32Array, options?: { topK?: number }): Prediction[];
  /** The head as a safetensors file; a linear one the option `head` of `load` takes as well. */
  encode(): Uint8Array;
  /**
   * Writes that file, whole or not at all.
   * @throws Error: one sentence with the path.
   */
  save(path: string): Promise<void>;
}

export interface HeadParts extends Pick<Head, "classes" | "width" | "identity"> {
  /** Meaning of scores: the probabilities themselves, or numbers whose softmax they are, times the sharpness. */
  readonly kind: "probability" | "softmax";
  readonly sharpness: number;
  scores(feature: Float32Array): Float32Array;
  readonly tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly data: Float32Array;
  }[];
  readonly metadata: Readonly<Record<string, string>>;
}

export function headOf({ classes, width, identity, kind, sharpness, scores, tensors, metadata }: HeadParts): Head {
  const file = () =>
    encode(tensors, {
      ...metadata,
      classes: JSON.stringify(classes),
      sharpness: String(sharpness),
      ...(identity && { identity: JSON.stringify(identity) }),
    });
  return {
    ...{ classes, width, identity },
    classify(feature, { topK = 5 } = {}) {
      checkTopK("classify", topK);
      if (!(feature instanceof Float32Array) || feature.length !== width) {
        const got = feature instanceof Float32Array ? feature.length : typeof feature;
        throw new RangeError(
          `classify: the feature must be a Float32Array of ${width}, as the head's examples; got ${got}`,
        );
      }
      const labels = { labels: classes };
      return predictions(scores(feature), labels, topK, kind === "softmax" ? kind : "none", undefined, sharpness);
    },
    encode: file,
    save: (path) => writeWhole(path, file()),
  };
}

export interface LinearParts extends Pick<Head, "classes" | "width" | "identity"> {
  /** [classes, width]. */
  readonly weight: Float32Array;
  readonly bias: Float32Array;
  readonly sharpness: number;
}

/** A linear head: scores W·x + b, summed in f64. */
export function linearHead({ weight, bias, ...facts }: LinearParts): Head {
  const { classes, width } = facts;
  return headOf({
    ...facts,
    kind: "softmax",
    scores: (feature) =>
      bias.map((shift, k) => {
        let sum = shift;
        for (let j = 0; j < width; j++) sum += weight[k * width + j]! * feature[j]!;
        return sum;
      }),
    tensors: [
      { name: "weight", shape: [classes.length, width], data: weight },
      { name: "bias", shape: [classes.length], data: bias },
    ],
    metadata: {},
  });
}
