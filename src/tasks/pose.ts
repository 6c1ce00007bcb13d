/** Poses: where the keypoints of people, or of what else a checkpoint was trained on, are in a photo. */
import type { Box } from "../image/geometry.js";
import type { ImageInput } from "../image/source.js";
import type { Keypoint } from "./keypoints.js";
import type { Task } from "./task.js";

/** The keypoints in a box. */
export interface Pose {
  /** As it was given, or the whole photo. */
  readonly box: Box;
  /** Mean of those of its keypoints. */
  readonly probability: number;
  readonly keypoints: readonly Keypoint[];
}

/** Options of `pose`. */
export interface PoseOptions {
  /**
   * People, one in each box, in pixels of the photo: up to 1000, the `box` of what `detect` finds. Of a list of images a list for
   * each. The whole photo if left out.
   */
  boxes?: readonly Box[] | readonly (readonly Box[])[];
  /** Data set whose experts are taken, by its number, where the checkpoint has experts (ViTPose+); by default 0, which is COCO. */
  dataset?: number;
  signal?: AbortSignal;
}

export interface Posing {
  /**
   * Poses of a photo, one for each box, in their order, as transformers' post_process_pose_estimation finds them.
   * @throws RangeError if the checkpoint has no heatmaps, for a box that is not on the photo or has no area, and for no or more than
   * 1000 boxes.
   * @example
   * using model = await load("usyd-community/vitpose-base-simple");
   * const [animal] = await model.pose("cat.jpg", { boxes: [{ xmin: 10, ymin: 5, xmax: 110, ymax: 220 }] });
   * console.log(animal.keypoints[0]);
   */
  pose(image: ImageInput, options?: PoseOptions): Promise<Pose[]>;
  pose(images: readonly ImageInput[], options?: PoseOptions): Promise<Pose[][]>;
}

export const pose: Task<PoseOptions, [], Pose[]> = {
  options: { boxes: true, dataset: true },
  arguments: 0,
  lacks: ({ heatmaps }) => (heatmaps ? undefined : "heatmaps of keypoints"),
  boxes({ boxes }, images) {
    if (boxes === undefined || images === 0) return () => undefined;
    const given = Array.isArray(boxes) ? boxes : undefined;
    const lists = given?.every((list) => Array.isArray(list)) && (images !== undefined || given.length > 0);
    if (images === undefined && given && !lists) return () => given as readonly Box[];
    if (images !== undefined && lists && given?.length === images) return (place) => given![place] as readonly Box[];
    const rule =
      images === undefined ? "a list of boxes for one image" : `a list for each of ${images} images, of boxes each`;
    const got = given ? `${lists ? "lists" : "boxes"}, ${given.length} of them` : typeof boxes;
    throw new TypeError(`pose: boxes must be ${rule}; got ${got}`);
  },
  begin: async (model, options) => (await import("./dense/pose.js")).begin(model, options),
  command: {
    help: "keypoints of people, by their boxes",
    options: {
      boxes: { option: "boxes", kind: "boxes", help: "people: left, top, right, bottom; another" },
      dataset: { option: "dataset", kind: "index", help: "whose experts, of ViTPose+" },
    },
    json: (poses) => ({ poses }),
    lines: (poses) =>
      poses.flatMap(({ box, keypoints }) => [
        `  in ${[box.xmin, box.ymin, box.xmax, box.ymax].map((x) => x.toFixed(1)).join(" ")}`,
        ...keypoints.map(({ name, x, y, probability }) => {
          return `  ${probability.toFixed(3).padStart(7)}  ${name}  at ${x.toFixed(1)} ${y.toFixed(1)}`;
        }),
      ]),
    pictures: async (poses, photo, model) => (await import("./dense/pose.js")).pictures(poses, photo, model),
  },
};
