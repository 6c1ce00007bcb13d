/** Objects in an image, each with a box: of the checkpoint's classes, or of what texts or another image say. */
import type { Box } from "../image/geometry.js";
import type { ImageInput } from "../image/source.js";
import {
  byProbability,
  classifiedBoxes,
  inPhoto,
  ofImage,
  outlined,
  queriedBoxes,
  type ScoredBox,
  similarBoxes,
  suppressed,
} from "./boxes.js";
import { checkPart, checkTopK, type Task, type TaskImage, textsOf } from "./task.js";

/** An object in a photo. */
export interface Detection {
  /** The class, or the text that was looked for; "query" of a query image. */
  readonly label: string;
  /** Number of the class, or of the text in the list. */
  readonly index: number;
  readonly probability: number;
  /** Corners in pixels of the photo; a part of the box may lie outside. */
  readonly box: Box;
}

/** Options of `detect`. */
export interface DetectOptions {
  /** Texts that are looked for, where the checkpoint compares boxes with texts: "cat", "a photo of a cat". */
  labels?: readonly string[];
  /** An image of what is looked for, in place of labels: its main object is found by the checkpoint itself. */
  query?: ImageInput;
  /**
   * Boxes that score more are given. The default is transformers': 0.5 where the checkpoint has classes, 0.1 for texts; for
   * a query image 0, as scores are then relative to the best.
   */
  threshold?: number;
  /** How many at most, best first; all by default. */
  topK?: number;
  /**
   * Non-maximum suppression: of two boxes of the same label whose intersection is more than this part of their union, the
   * better one is given. Not done unless given, as in transformers, but for a query image, where it takes 0.3 by default.
   */
  iou?: number;
  signal?: AbortSignal;
}

export interface Detect {
  /**
   * Objects of an image, best first; of a list, one result each, in order.
   * @throws RangeError if the checkpoint has no boxes, or has classes of its own and labels or a query are given; TypeError if
   * it has none and neither is given.
   * @example
   * const objects = await owl.detect("cat.jpg", { labels: ["a cat", "a dog"] });
   */
  detect(image: ImageInput, options?: DetectOptions): Promise<Detection[]>;
  detect(images: readonly ImageInput[], options?: DetectOptions): Promise<Detection[][]>;
}

export const detect: Task<DetectOptions, [], Detection[]> = {
  options: { labels: true, query: true, threshold: true, topK: true, iou: true },
  images: ["query"],
  arguments: 0,
  lacks: ({ patchBoxes, tokenBoxes }) => (patchBoxes || tokenBoxes ? undefined : "boxes"),
  async begin(model, { labels, query, threshold, topK, iou }) {
    if (threshold !== undefined) checkPart("detect", "threshold", threshold);
    if (iou !== undefined) checkPart("detect", "iou", iou);
    if (topK !== undefined) checkTopK("detect", topK);

    const results = (image: TaskImage, names: readonly string[], boxes: readonly ScoredBox[]): Detection[] =>
      byProbability(boxes)
        .slice(0, topK)
        .map(({ index, probability, box }) => ({
          ...{ label: names[index]!, index, probability },
          box: inPhoto(box, image.geometry),
        }));
    const without = (boxes: readonly ScoredBox[]) => (iou === undefined ? boxes : suppressed(boxes, iou));

    if (model.config.tokenBoxes) {
      for (const [name, given] of Object.entries({ labels, query })) {
        if (given === undefined) continue;
        const own = `it has ${model.labels.length} classes of its own`;
        throw new RangeError(`detect: ${name} must be left out, as this checkpoint cannot be asked for others; ${own}`);
      }
      return async (image) => {
        const found = ofImage(await image.run(["logits", "predBoxes"]), 0);
        return results(image, model.labels, without(classifiedBoxes(found, threshold ?? 0.5)));
      };
    }

    if ((labels === undefined) === (query === undefined)) {
      const got = labels === undefined ? "neither" : "both";
      throw new TypeError(`detect: this checkpoint is told what to look for by labels or by query; got ${got}`);
    }
    if (query !== undefined) {
      const queryEmbeds = await model.embedQuery(query);
      return async (image) => {
        const found = ofImage(await image.run(["logits", "predBoxes"], { queryEmbeds }), 0);
        return results(image, ["query"], similarBoxes(found, threshold ?? 0, iou));
      };
    }
    const list = textsOf("detect", labels);
    const rows = await model.embedTexts(list);
    const data = new Float32Array(rows.length * rows[0]!.length);
    for (const [i, row] of rows.entries()) data.set(row, i * row.length);
    const queryEmbeds = { dims: [rows.length, rows[0]!.length], data };
    return async (image) => {
      const found = ofImage(await image.run(["logits", "predBoxes"], { queryEmbeds }), 0);
      return results(image, list, without(queriedBoxes(found, threshold ?? 0.1)));
    };
  },
  command: {
    help: "objects with boxes, also by texts or an image",
    options: {
      labels: { option: "labels", kind: "texts", help: "texts to look for, with commas between" },
      query: { option: "query", kind: "image", help: "an image of what to look for" },
      threshold: { option: "threshold", kind: "part", help: "least score, from 0 to 1" },
      top: { option: "topK", kind: "count", help: "how many" },
      iou: { option: "iou", kind: "part", help: "most overlap of two boxes" },
    },
    json: (objects) => ({ objects }),
    lines: (objects) =>
      objects.length === 0
        ? ["  nothing"]
        : objects.map(({ label, probability, box: { xmin, ymin, xmax, ymax } }) => {
            const corners = [xmin, ymin, xmax, ymax].map((x) => x.toFixed(1)).join(" ");
            return `  ${`${(100 * probability).toFixed(1)} %`.padStart(7)}  ${label}  at ${corners}`;
          }),
    async pictures(objects, photo) {
      const { encodePng } = await import("../image/write-png.js");
      return { boxes: await encodePng({ ...outlined(await photo(), objects), channels: 3 }) };
    },
  },
};
