/** Depth maps. */

import type { ImageInput } from "../image/source.js";
import type { MapSize, Task } from "./task.js";

/** Options of `depth`. */
export interface DepthOptions {
  /** Size of the map: the photo's, or that in which the model gives it. */
  size?: MapSize;
  signal?: AbortSignal;
}

/** Depth of each pixel, line by line. */
export interface DepthMap {
  readonly width: number;
  readonly height: number;
  readonly data: Float32Array;
  /** True if it is in metres; else larger is nearer, or as else the checkpoint gives it. */
  readonly metric: boolean;
}

export interface Depth {
  /**
   * Depth of each pixel of the photo, as transformers' post_process_depth_estimation enlarges it: bicubic, so small negative
   * numbers may appear. Borders that a processor adds (DPT's do_pad) are stretched with the rest, as there.
   * @throws RangeError if the checkpoint has no depth head.
   * @example
   * using model = await load("depth-anything/Depth-Anything-V2-Small-hf");
   * const { width, height, data } = await model.depth("cat.jpg");
   */
  depth(image: ImageInput, options?: DepthOptions): Promise<DepthMap>;
  depth(images: readonly ImageInput[], options?: DepthOptions): Promise<DepthMap[]>;
}

export const depth: Task<DepthOptions, [], DepthMap> = {
  options: { size: true },
  arguments: 0,
  lacks: ({ dpt }) => (dpt?.head.kind === "depth" ? undefined : "a depth head"),
  begin: async (model, options) => (await import("./dense/depth.js")).begin(model, options),
  command: {
    help: "how far each pixel is",
    options: {},
    json: (map) => ({ width: map.width, height: map.height, metric: map.metric, ...rangeOf(map.data) }),
    lines: (map) => {
      const { min, max } = rangeOf(map.data);
      const unit = map.metric ? " m" : "; larger is nearer";
      return [`  ${map.width}×${map.height}, from ${min.toPrecision(4)} to ${max.toPrecision(4)}${unit}`];
    },
    pictures: async (map) => (await import("./dense/depth.js")).pictures(map),
  },
};

export function rangeOf(data: Float32Array): { min: number; max: number } {
  let [min, max] = [Infinity, -Infinity];
  for (const x of data) {
    if (x < min) min = x;
    if (x > max) max = x;
  }
  return { min, max };
}
