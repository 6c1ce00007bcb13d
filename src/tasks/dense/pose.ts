/** Poses: what is checked and made of a model's outputs. */
import type { Config } from "../../checkpoint/config.js";
import type { RgbImage } from "../../image/decode/file.js";
import type { Box } from "../../image/geometry.js";
import { inSlices } from "../../image/slices.js";
import { peaksOf } from "../keypoints.js";
import type { Pose, PoseOptions } from "../pose.js";
import { skeletonDrawn } from "../skeleton.js";
import type { TaskImage, TaskModel } from "../task.js";

/** Checks the options, and gives what finds the poses in an image. */
export function begin(
  { config, labels }: TaskModel,
  { dataset, signal }: PoseOptions,
): (image: TaskImage) => Promise<Pose[]> {
  const { experts = 0 } = config;
  if (dataset !== undefined && !(Number.isInteger(dataset) && dataset >= 0 && dataset < experts)) {
    const rule =
      experts > 0 ? `a whole number from 0 to ${experts - 1}` : "left out, as this checkpoint has no experts";
    throw new RangeError(`pose: dataset must be ${rule}; got ${JSON.stringify(dataset)}`);
  }
  const more = experts > 0 ? { datasetIndex: { dims: [1], data: [dataset ?? 0] } } : {};
  return async (image) => {
    const { heatmaps } = await image.run(["heatmaps"], more);
    const boxes = image.crops?.map(({ box }) => box) ?? [wholeOf(image.geometry.photo)];
    const work = () => peaksOf(heatmaps, boxes, image.geometry.model);
    const found = await inSlices(work, { signal }, () => new Error("pose: it is late"));
    return found.map((peaks, i) => ({
      box: boxes[i]!,
      probability: peaks.reduce((sum, { score }) => sum + score, 0) / peaks.length,
      keypoints: peaks.map(({ x, y, score }, k) => ({ name: labels[k]!, x, y, probability: score })),
    }));
  };
}

/** The photo with its skeletons. */
export async function pictures(
  poses: readonly Pose[],
  photo: () => Promise<RgbImage>,
  { config }: { readonly config: Config },
): Promise<Readonly<Record<string, Uint8Array>>> {
  const { encodePng } = await import("../../image/write-png.js");
  return { pose: await encodePng({ ...skeletonDrawn(await photo(), poses, config.heatmaps), channels: 3 }) };
}

const wholeOf = ({ width, height }: { width: number; height: number }): Box => ({
  ...{ xmin: 0, ymin: 0, xmax: width, ymax: height },
});
