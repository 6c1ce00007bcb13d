/** Classes of an image that are named by texts, of models of images and texts. */
import type { ImageInput } from "../image/source.js";
import { dot, toUnit } from "../numerics/vectors.js";
import { type Prediction, predictionLines, predictions } from "./predictions.js";
import { checkTopK, type Task, textsOf } from "./task.js";

/** Options of `zeroShot`. */
export interface ZeroShotOptions {
  /**
   * The text that is made of a label, {} being the label; of several the mean of their embeddings is taken, as in CLIP
   * (Radford et al. 2021, section 3.1.4). "This is a photo of {}." by default, as in transformers.
   */
  template?: string | readonly string[];
  /** How many labels, best first; all by default. */
  topK?: number;
  signal?: AbortSignal;
}

export interface ZeroShot {
  /**
   * Classes named by texts, best first, with the softmax of their scores, or with the sigmoid of each (SigLIP). What is made of
   * the texts is kept, so that the same labels cost nothing the next time: in memory, and with load's option textCache on disk.
   * @param labels what stands for {} in the template.
   * @throws RangeError if the checkpoint has no text tower.
   * @example
   * const [best] = await clip.zeroShot("cat.jpg", ["cat", "dog"], { template: "a photo of a {}." });
   */
  zeroShot(image: ImageInput, labels: readonly string[], options?: ZeroShotOptions): Promise<Prediction[]>;
  zeroShot(
    images: readonly ImageInput[],
    labels: readonly string[],
    options?: ZeroShotOptions,
  ): Promise<Prediction[][]>;
}

export const zeroShot: Task<ZeroShotOptions, [labels: readonly string[]], Prediction[]> = {
  options: { template: true, topK: true },
  arguments: 1,
  lacks: ({ text }) => (text ? undefined : "a text tower"),
  async begin({ similarity, directionsOf }, { template = "This is a photo of {}.", topK }, labels) {
    const list = textsOf("zeroShot", labels);
    const templates = textsOf("zeroShot", typeof template === "string" ? [template] : template);
    const without = templates.find((text) => !text.includes("{}"));
    if (without !== undefined) {
      throw new RangeError(`zeroShot: a template must have {} for the label; got ${JSON.stringify(without)}`);
    }
    const most = topK ?? list.length;
    checkTopK("zeroShot", most);
    // By a function: a label may have "$&" in it.
    const directions = await directionsOf(
      list.map((label) => templates.map((text) => text.replaceAll("{}", () => label))),
    );
    const { scale, bias, independent } = similarity!;
    return async (image) => {
      const data = toUnit((await image.run(["imageFeatures"])).imageFeatures.data);
      const logits = Float32Array.from(directions, (direction) => scale * dot(data, direction) + bias);
      return predictions(logits, { labels: list }, most, independent ? "sigmoid" : "softmax");
    };
  },
  command: {
    name: "zero-shot",
    help: "which of some texts fit each image best",
    options: {
      labels: { option: 0, kind: "texts", help: "texts, with commas between, or @FILE" },
      template: {
        option: "template",
        kind: "text",
        absent: '"This is a photo of {}."',
        help: "or @FILE with several",
      },
      top: { option: "topK", kind: "count", help: "how many" },
    },
    json: (top) => ({ top: top.map(({ label, index, probability }) => ({ label, index, probability })) }),
    lines: predictionLines,
  },
};
