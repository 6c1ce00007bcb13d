/** Objects in an image, each with a box: of the checkpoint's classes, or of what texts or another image say. */
import type { Box } from "../image/geometry.js";
import type { ImageInput } from "../image/source.js";
import type { Task } from "./task.js";

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
  begin: async (model, options) => (await import("./dense/detect.js")).begin(model, options),
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
    pictures: async (objects, photo) => (await import("./dense/detect.js")).pictures(objects, photo),
  },
};
