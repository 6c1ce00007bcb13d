/** Segments of a photo. */

import type { Box } from "../image/geometry.js";
import { inSlices, type Slices } from "../image/slices.js";
import type { ImageInput } from "../image/source.js";
import { bestClasses, type LabelMap, masksOf } from "./maps.js";
import { distinct } from "./palette.js";
import { type PromptOptions, promptsOf, segmentPrompts } from "./prompts.js";
import { checkSize, type MapSize, type Task, type TaskImage } from "./task.js";

/** Options of `segment`: of points and boxes for a checkpoint that takes them (SAM), the others for one that has classes. */
export interface SegmentOptions extends PromptOptions {
  /** Kind of the segments: what the checkpoint has, which is semantic ones here. */
  kind?: "semantic";
  /** Size of the masks: the photo's, or that in which the model gives scores. */
  size?: MapSize;
  signal?: AbortSignal;
}

/** Pixels of a photo that belong together. */
export interface Segment {
  readonly label: string;
  readonly index: number;
  /** Mean over its pixels of the softmax of its class; of a mask by prompts what the model says of its own quality. */
  readonly probability: number;
  /** 1 where it is, 0 elsewhere, line by line. */
  readonly mask: { readonly width: number; readonly height: number; readonly data: Uint8Array };
  readonly box: Box;
  /** Pixels. */
  readonly area: number;
}

/**
 * Segments of a photo, the largest first; semantic ones cover every pixel once. Masks by prompts are those of each object in turn,
 * the best first: `index` is the object's number, and a box of zeros is of a mask without pixels.
 */
export interface Segmentation {
  readonly width: number;
  readonly height: number;
  readonly segments: readonly Segment[];
}

export interface Segmenting {
  /**
   * Segments of the photo: for each class that is there its pixels, as transformers' post_process_semantic_segmentation finds
   * them: the best of the scores, interpolated bilinearly to the photo's size. Of SAM the masks of what points and boxes are on, as
   * post_process_masks gives them.
   * @throws RangeError if the checkpoint has no head for it, or none for what is asked.
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
  options: { kind: true, size: true, points: true, boxes: true, multimask: true },
  arguments: 0,
  lacks: ({ dpt, sam }) => (dpt?.head.kind === "segmentation" || sam?.decoder ? undefined : "a segmentation head"),
  begin({ config, labels }, { kind, size, signal, ...prompts }) {
    if (config.sam) {
      for (const [name, given] of Object.entries({ kind, size })) {
        if (given === undefined) continue;
        throw new RangeError(
          `segment: ${name} must be left out, as this checkpoint has no classes; got ${JSON.stringify(given)}`,
        );
      }
      const checked = promptsOf(prompts);
      return (image) => segmentPrompts(image, config, checked, { multimask: prompts.multimask, signal });
    }
    for (const [name, given] of Object.entries(prompts)) {
      if (given === undefined) continue;
      throw new RangeError(
        `segment: ${name} must be left out, as this checkpoint takes no prompts; it has ${labels.length} classes`,
      );
    }
    return segmentClasses(labels, { kind, size, signal });
  },
  command: {
    help: "classes of pixels, or masks by points and boxes",
    options: {
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
    async pictures({ width, height, segments }, photo) {
      const { encodePng } = await import("../image/write-png.js");
      const { data } = await photo();
      const drawn = new Uint8Array(data);
      // Of several masks of an object the best.
      const shown = new Map([...segments].reverse().map((segment) => [segment.index, segment]));
      for (const { index, mask } of shown.values()) {
        const color = distinct(index);
        for (const [i, inside] of mask.data.entries()) {
          if (!inside) continue;
          for (let c = 0; c < 3; c++) drawn[3 * i + c] = (drawn[3 * i + c]! + color[c]!) >> 1;
        }
      }
      return { segments: await encodePng({ width, height, data: drawn, channels: 3 }) };
    },
  },
};

/** The class of each pixel. */
function segmentClasses(
  labels: readonly string[],
  { kind = "semantic", size = "photo", signal }: SegmentOptions,
): (image: TaskImage) => Promise<Segmentation> {
  checkSize("segment", size);
  if (kind !== "semantic") {
    throw new RangeError(`segment: kind must be semantic, as the checkpoint has it; got ${JSON.stringify(kind)}`);
  }
  return async (image) => {
    const { dims, data } = (await image.run(["logits"])).logits;
    const [, classes, height, width] = dims as [number, number, number, number];
    const to = size === "model" ? { width, height } : image.geometry.photo;
    function* work(): Slices<{ map: LabelMap; masks: Uint8Array[] }> {
      const map = yield* bestClasses(data, classes, { width, height }, to);
      return { map, masks: yield* masksOf(map) };
    }
    const { map, masks } = await inSlices(work, { signal }, () => new Error("segment: it is late"));
    const segments = map.regions.map(({ index, ...region }, i) => ({
      ...{ label: labels[index]!, index },
      ...region,
      mask: { width: to.width, height: to.height, data: masks[i]! },
    }));
    return { width: to.width, height: to.height, segments };
  };
}
