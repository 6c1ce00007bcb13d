/** Segments of a photo. */

import type { Geometry, Size } from "../image/geometry.js";
import { inSlices, type Slices } from "../image/slices.js";
import type { ImageInput } from "../image/source.js";
import { bestClasses, bestOfLines, masksOf, type Region } from "./maps.js";
import { distinct } from "./palette.js";
import { type PromptOptions, promptsOf, segmentPrompts } from "./prompts.js";
import {
  classLines,
  instanceSegments,
  type MaskSizes,
  panopticSegments,
  regionsOf,
  textSegments,
} from "./query-masks.js";
import { OBJECT, type Segment, type Segmentation } from "./segments.js";
import { checkPart, checkSize, type MapSize, type Task, type TaskModel, textsOf } from "./task.js";

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

const KINDS: readonly SegmentKind[] = ["semantic", "instance", "panoptic"];

/** Checks what is asked for with what a checkpoint has. */
function settingsOf(
  { config, labels, windows }: Pick<TaskModel, "config" | "labels" | "windows">,
  { kind, labels: texts, threshold, stuff }: Pick<SegmentOptions, "kind" | "labels" | "threshold" | "stuff">,
) {
  if (config.textMasks) {
    for (const [name, given] of Object.entries({ kind, stuff })) {
      if (given === undefined) continue;
      throw new RangeError(`segment: ${name} must be left out, as this checkpoint makes masks of what labels say`);
    }
    if (threshold !== undefined) checkPart("segment", "threshold", threshold);
    return { kind: undefined, labels: textsOf("segment", texts, "labels"), threshold: threshold ?? 0.5, stuff: [] };
  }
  if (texts !== undefined) {
    throw new RangeError(
      `segment: labels must be left out, as this checkpoint cannot be asked for others; it has ${labels.length} classes of its own`,
    );
  }
  const kinds = config.queryMasks && !windows ? KINDS : KINDS.slice(0, 1);
  const chosen = kind ?? kinds.at(-1)!;
  if (!kinds.includes(chosen)) {
    throw new RangeError(
      `segment: kind must be ${kinds.join(", ").replace(/, (?=\w+$)/, " or ")}, as the checkpoint has it; got ${JSON.stringify(kind)}`,
    );
  }
  if (threshold !== undefined) {
    checkPart("segment", "threshold", threshold);
    if (chosen === "semantic") {
      throw new RangeError("segment: threshold must be left out, as semantic segments have every pixel; got one");
    }
  }
  if (stuff !== undefined && chosen !== "panoptic") {
    throw new RangeError(`segment: stuff must be left out where segments are not panoptic; got ${chosen} ones`);
  }
  const classes = (stuff === undefined ? [] : textsOf("segment", stuff)).map((name) => {
    const index = labels.indexOf(name);
    if (index >= 0) return index;
    throw new RangeError(`segment: stuff must be labels of the checkpoint; got ${JSON.stringify(name).slice(0, 60)}`);
  });
  return { kind: chosen, labels, threshold: threshold ?? 0.8, stuff: classes };
}

/** Sizes that masks of queries pass: a border behind the photo is left out. */
function sizesOf({ model, resized, photo, windows }: Geometry, size: MapSize): MaskSizes {
  const across = Math.round(resized.width);
  const down = Math.round(resized.height);
  const part = windows
    ? { width: across, height: down }
    : { width: Math.min(across, model.width), height: Math.min(down, model.height) };
  return { model, part, to: size === "model" ? part : photo };
}

/** Refuses options that a checkpoint has no use for. */
function refuseAll(options: object, why: (found: string) => string): void {
  for (const [name, given] of Object.entries(options)) {
    if (given !== undefined) throw new RangeError(`segment: ${name} must be left out, ${why(JSON.stringify(given))}`);
  }
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
  async begin(model, { points, boxes, multimask, ...given }) {
    const prompts = { points, boxes, multimask };
    if (model.config.sam) {
      const { signal, ...others } = given;
      refuseAll(others, (found) => `as this checkpoint has no classes; got ${found}`);
      const checked = promptsOf(prompts);
      return (image) => segmentPrompts(image, model.config, checked, { multimask, signal });
    }
    refuseAll(prompts, () => `as this checkpoint takes no prompts; it has ${model.labels.length} classes`);
    const { size = "photo", signal, ...options } = given;
    checkSize("segment", size);
    const settings = settingsOf(model, options);
    const { labels } = settings;
    /** The segments of a map, with their masks. */
    const result = (
      { width, height }: Size,
      regions: readonly Region[],
      masks: readonly Uint8Array[],
    ): Segmentation => ({
      ...{ width, height },
      segments: regions.map(({ index, ...region }, i) => ({
        ...{ label: labels[index]!, index },
        ...region,
        mask: { width, height, data: masks[i]! },
      })),
    });
    const slowly = <T>(work: () => Slices<T>) => inSlices(work, { signal }, () => new Error("segment: it is late"));

    if (model.config.textMasks) {
      const rows = await model.featuresOf(labels);
      const data = new Float32Array(rows.length * rows[0]!.length);
      for (const [i, row] of rows.entries()) data.set(row, i * row.length);
      const conditionalEmbeddings = { dims: [rows.length, rows[0]!.length], data };
      return async (image) => {
        const { logits } = await image.run(["logits"], { conditionalEmbeddings });
        const [, height, width] = logits.dims as [number, number, number];
        const to = size === "model" ? { width, height } : image.geometry.photo;
        const { regions, masks } = await slowly(() => textSegments(logits, to, settings.threshold));
        return result(to, regions, masks);
      };
    }
    if (!model.config.queryMasks) {
      return async (image) => {
        const { dims, data } = (await image.run(["logits"])).logits;
        const [, classes, height, width] = dims as [number, number, number, number];
        const to = size === "model" ? { width, height } : image.geometry.photo;
        const { regions, masks } = await slowly(function* () {
          const map = yield* bestClasses(data, classes, { width, height }, to);
          return { regions: map.regions, masks: yield* masksOf(map) };
        });
        return result(to, regions, masks);
      };
    }
    return async (image) => {
      const { masksQueriesLogits: masks, classQueriesLogits: classes } = await image.run([
        ...(["masksQueriesLogits", "classQueriesLogits"] as const),
      ]);
      const sizes = sizesOf(image.geometry, size);
      const { regions, masks: made } = await slowly(function* (): Slices<{
        regions: readonly Region[];
        masks: Uint8Array[];
      }> {
        const scores = { masks, classes };
        if (settings.kind === "semantic") {
          const map = yield* bestOfLines(classLines(scores, sizes, image.geometry.windows), sizes.to);
          return { regions: map.regions, masks: yield* masksOf(map) };
        }
        const found =
          settings.kind === "panoptic"
            ? yield* panopticSegments(scores, sizes, { ...settings, mask: 0.5, overlap: 0.8 })
            : yield* instanceSegments(scores, sizes, settings.threshold);
        return yield* regionsOf(found, sizes.to);
      });
      return result(sizes.to, regions, made);
    };
  },
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
    async pictures({ width, height, segments }, photo) {
      const { encodePng } = await import("../image/write-png.js");
      const { data } = await photo();
      const drawn = new Uint8Array(data);
      // Of several masks of a prompt's object the best.
      const isShown = ({ label, index }: Segment, i: number) =>
        label !== OBJECT || segments.findIndex((other) => other.index === index) === i;
      const instances = new Set(segments.map(({ index }) => index)).size < segments.length;
      for (const [i, { index, mask }] of segments.filter(isShown).entries()) {
        const color = distinct(instances ? i : index);
        for (const [i, inside] of mask.data.entries()) {
          if (!inside) continue;
          for (let c = 0; c < 3; c++) drawn[3 * i + c] = (drawn[3 * i + c]! + color[c]!) >> 1;
        }
      }
      return { segments: await encodePng({ width, height, data: drawn, channels: 3 }) };
    },
  },
};
