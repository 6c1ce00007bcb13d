/** Segments of a photo. */

import type { ImageInput } from "../image/source.js";
import type { PromptOptions } from "./prompts.js";
import type { Segmentation } from "./segments.js";
import type { MapSize, Task } from "./task.js";

/** Kinds of segments. */
export type SegmentKind = "semantic" | "instance" | "panoptic";

/** Options of `segment`: of points and boxes for a checkpoint that takes them (SAM), the others for one that has classes or takes texts. */
export interface SegmentOptions extends PromptOptions {
  /**
   * Kind of the segments: semantic ones are of classes, instance ones of objects, panoptic ones of both. Checkpoints with masks of
   * queries have all, but for those that see a photo in windows; the others have semantic ones alone. By default panoptic
   * where there are.
   */
  kind?: SegmentKind;
  /** Texts that are looked for, where a checkpoint makes masks of what texts say (CLIPSeg): "a cat", "something to fill". */
  labels?: readonly string[];
  /**
   * Least score of instance and panoptic segments, 0.8 by default, as in transformers; of what texts say, the probability that pixels
   * of a mask have, 0.5 by default.
   */
  threshold?: number;
  /** Classes of which a panoptic segmentation has one segment each, as sky and grass; by default none are. */
  stuff?: readonly string[];
  /** Size of the masks: the photo's, or that in which the model sees it. */
  size?: MapSize;
  signal?: AbortSignal;
}

export interface Segmenting {
  /**
   * Segments of the photo: for each class that is there its pixels, as transformers' post_process_semantic_segmentation finds
   * them: the best of the scores, interpolated bilinearly to the photo's size. Of masks of queries (EoMT) also objects, and both
   * together, as post_process_instance_segmentation and post_process_panoptic_segmentation do; of pixels that several
   * objects claim, the last of them has the mask. Of texts (CLIPSeg) the pixels that are probable for each, in the order of the
   * labels, without those that are nowhere: masks that may overlap. Of SAM the masks of what points and
   * boxes are on, as post_process_masks gives them.
   * @throws RangeError if the checkpoint has no head for it, or not this kind.
   * @example
   * using model = await load("Intel/dpt-large-ade");
   * const { segments } = await model.segment("cat.jpg");
   * @example
   * using sam = await load("facebook/sam-vit-base");
   * const { segments: [best] } = await sam.segment("cat.jpg", { points: [{ x: 20, y: 15 }] });
   */
  segment(image: ImageInput, options?: SegmentOptions): Promise<Segmentation>;
  segment(images: readonly ImageInput[], options?: SegmentOptions): Promise<Segmentation[]>;
}

export const segment: Task<SegmentOptions, [], Segmentation> = {
  options: {
    ...{ kind: true, labels: true, threshold: true, stuff: true, size: true },
    ...{ points: true, boxes: true, multimask: true },
  },
  arguments: 0,
  lacks: ({ dpt, sam, queryMasks, textMasks, upernet }) =>
    queryMasks || textMasks || upernet || sam?.decoder || dpt?.head.kind === "segmentation"
      ? undefined
      : "a segmentation head",
  begin: async (model, options) => (await import("./dense/segment.js")).begin(model, options),
  command: {
    help: "classes of pixels, or masks by points and boxes",
    options: {
      labels: { option: "labels", kind: "texts", help: "texts to look for, with commas between" },
      kind: { option: "kind", kind: "text", help: "semantic, instance or panoptic, as the checkpoint has it" },
      threshold: { option: "threshold", kind: "part", help: "least score, from 0 to 1" },
      stuff: { option: "stuff", kind: "texts", help: "classes of one panoptic segment each, with commas between" },
      points: { option: "points", kind: "points", help: "pixels on an object; with 0 beside it" },
      boxes: { option: "boxes", kind: "boxes", help: "a box around each object" },
    },
    json: ({ width, height, segments }) => ({
      ...{ width, height },
      segments: segments.map(({ mask: _, ...segment }) => segment),
    }),
    lines: ({ width, height, segments }) =>
      segments.map(({ label, area }) => {
        const percent = `${((100 * area) / (width * height)).toFixed(1)} %`.padStart(7);
        return `  ${percent} ${label}`;
      }),
    pictures: async (result, photo) => (await import("./dense/segment.js")).pictures(result, photo),
  },
};
