/** Segments of a photo: what is checked and made of a model's outputs. */

import type { RgbImage } from "../../image/decode/file.js";
import type { Geometry, Size } from "../../image/geometry.js";
import { inSlices, type Slices } from "../../image/slices.js";
import { bestClasses, bestOfLines, masksOf, type Region } from "../maps.js";
import { distinct } from "../palette.js";
import { promptsOf, segmentPrompts } from "../prompts.js";
import {
  classLines,
  instanceSegments,
  type MaskSizes,
  panopticSegments,
  regionsOf,
  textSegments,
} from "../query-masks.js";
import type { SegmentKind, SegmentOptions } from "../segment.js";
import { OBJECT, type Segment, type Segmentation } from "../segments.js";
import type { TaskImage } from "../task.js";
import { checkPart, checkSize, type MapSize, type TaskModel, textsOf } from "../task.js";

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

/** Checks the options, and gives what segments an image. */
export async function begin(
  model: TaskModel,
  { points, boxes, multimask, ...given }: SegmentOptions,
): Promise<(image: TaskImage) => Promise<Segmentation>> {
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
  const result = ({ width, height }: Size, regions: readonly Region[], masks: readonly Uint8Array[]): Segmentation => ({
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
}

/** The photo with its segments in colors. */
export async function pictures(
  { width, height, segments }: Segmentation,
  photo: () => Promise<RgbImage>,
): Promise<Readonly<Record<string, Uint8Array>>> {
  const { encodePng } = await import("../../image/write-png.js");
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
}
