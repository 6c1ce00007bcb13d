/** The classes of an image, by the checkpoint's own head. */
import type { Clip } from "../image/clip.js";
import type { ImageInput } from "../image/source.js";
import { type Prediction, type Probabilities, predictionLines, predictions } from "./predictions.js";
import { checkTopK, type Task } from "./task.js";

/** Options of `classify`. */
export interface ClassifyOptions {
  /** How many classes, best first: 5, or of a tagger those above its thresholds. */
  topK?: number;
  /**
   * The probability that a class must be above. Of a tagger, of whose ratings all are given, it takes the place of its own
   * thresholds: 0.75 for characters, 0.35 for the rest.
   */
  threshold?: number;
  /**
   * Meaning of the logits: softmax, one choice; sigmoid, each by itself; none, numbers as they are. As the checkpoint says,
   * unless given: by problem_type and the number of classes, as in transformers' pipeline.
   */
  probabilities?: Probabilities;
  /** Frames of a clip from one to the next that a model of videos takes, from the first on; they are spread over all of it unless given. */
  frameSamplingRate?: number;
  signal?: AbortSignal;
}

export interface Classify {
  /**
   * Classes of an image, or of a clip where the model is of videos, best first, of a tagger with their categories; of a list, one result each, in order. Images of a list are decoded on other threads,
   * a few ahead of the model.
   * @throws Error naming the image that cannot be read, for several {@link BatchError} when all are through; RangeError if
   * the checkpoint has no classifier.
   * @example
   * const [best] = await vit.classify("cat.jpg", { topK: 5 });
   */
  classify(image: ImageInput | Clip, options?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly (ImageInput | Clip)[], options?: ClassifyOptions): Promise<Prediction[][]>;
}

export const classify: Task<ClassifyOptions, [], Prediction[]> = {
  options: { topK: true, threshold: true, probabilities: true, frameSamplingRate: true },
  arguments: 0,
  lacks({ classes, pooling }) {
    if (classes === 0) return "a classifier";
    return pooling === "none" ? "a classifier of one vector an image, not of every token" : undefined;
  },
  begin({ config, labels }, { topK, threshold, probabilities = config.probabilities }) {
    const { categories, probe: { sharpness = 1 } = {} } = config;
    const most = topK ?? (categories ? labels.length : 5);
    checkTopK("classify", most);
    if (threshold !== undefined && !(threshold >= 0 && threshold <= 1)) {
      throw new RangeError(`classify: threshold must be a number from 0 to 1; got ${JSON.stringify(threshold)}`);
    }
    if (threshold !== undefined && probabilities === "none") {
      throw new RangeError("classify: threshold needs probabilities; this checkpoint gives numbers");
    }
    if (!["softmax", "sigmoid", "none"].includes(probabilities)) {
      const got = JSON.stringify(probabilities);
      throw new RangeError(`classify: probabilities must be softmax, sigmoid or none; got ${got}`);
    }
    const own = categories && topK === undefined ? leastOfTag : undefined;
    const least = threshold === undefined ? own : (category?: string) => (category === "rating" ? -1 : threshold);
    return async (image) => {
      const { data } = (await image.run(["logits"])).logits;
      return predictions(data, { labels, categories }, most, probabilities, least, sharpness);
    };
  },
  command: {
    help: "the best classes of each image",
    options: {
      top: { option: "topK", kind: "count", absent: "5", help: "how many" },
      every: {
        option: "frameSamplingRate",
        kind: "count",
        help: "of a video: frames from one to the next that is taken",
      },
    },
    json: (top) => ({
      top: top.map(({ label, index, probability, category }) => ({ label, index, probability, category })),
    }),
    lines: predictionLines,
  },
};

/** Thresholds of SmilingWolf's own code (wdv3-timm), in which a tag must be above. */
function leastOfTag(category: string | undefined): number {
  if (category === "rating") return -1;
  return category === "character" ? 0.75 : 0.35;
}
