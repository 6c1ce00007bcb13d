/** Objects in an image: what is checked and made of a model's outputs. */

import type { RgbImage } from "../../image/decode/file.js";
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
} from "../boxes.js";
import type { Detection, DetectOptions } from "../detect.js";
import type { TaskModel } from "../task.js";
import { checkPart, checkTopK, type TaskImage, textsOf } from "../task.js";

/** Checks the options, and gives what finds the objects of an image. */
export async function begin(
  model: TaskModel,
  { labels, query, threshold, topK, iou }: DetectOptions,
): Promise<(image: TaskImage) => Promise<Detection[]>> {
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
}

/** The photo with its boxes. */
export async function pictures(
  objects: readonly Detection[],
  photo: () => Promise<RgbImage>,
): Promise<Readonly<Record<string, Uint8Array>>> {
  const { encodePng } = await import("../../image/write-png.js");
  return { boxes: await encodePng({ ...outlined(await photo(), objects), channels: 3 }) };
}
