/** The classes of an image, by the checkpoint's own head. */
import type { ImageInput } from "../image/source.js";
import { type Prediction, type Probabilities, predictionLines, predictions } from "./predictions.js";
import { checkTopK, type Task } from "./task.js";

/** Options of `classify`. */
export interface ClassifyOptions {
  /** How many classes, best first. */
  topK?: number;
  /**
   * Meaning of the logits: softmax, one choice; sigmoid, each by itself; none, numbers as they are. As the checkpoint says,
   * unless given: by problem_type and the number of classes, as in transformers' pipeline.
   */
  probabilities?: Probabilities;
  signal?: AbortSignal;
}

export interface Classify {
  /**
   * Classes of an image, best first; of a list, one result each, in order. Images of a list are decoded on other threads,
   * a few ahead of the model.
   * @throws Error naming the image that cannot be read, for several {@link BatchError} when all are through; RangeError if
   * the checkpoint has no classifier.
   * @example
   * const [best] = await vit.classify("cat.jpg", { topK: 5 });
   */
  classify(image: ImageInput, options?: ClassifyOptions): Promise<Prediction[]>;
  classify(images: readonly ImageInput[], options?: ClassifyOptions): Promise<Prediction[][]>;
}

export const classify: Task<ClassifyOptions, [], Prediction[]> = {
  options: { topK: true, probabilities: true },
  arguments: 0,
  lacks: ({ classes }) => (classes === 0 ? "a classifier" : undefined),
  begin({ config, labels }, { topK = 5, probabilities = config.probabilities }) {
    checkTopK("classify", topK);
    if (!["softmax", "sigmoid", "none"].includes(probabilities)) {
      const got = JSON.stringify(probabilities);
      throw new RangeError(`classify: probabilities must be softmax, sigmoid or none; got ${got}`);
    }
    return async (image) => predictions((await image.run(["logits"])).logits.data, labels, topK, probabilities);
  },
  command: {
    help: "the best classes of each image",
    options: { top: { option: "topK", kind: "count", absent: "5", help: "how many" } },
    json: (top) => ({ top: top.map(({ label, index, probability }) => ({ label, index, probability })) }),
    lines: predictionLines,
  },
};
