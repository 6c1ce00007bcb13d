/** Depth maps. */

import { inSlices } from "../image/slices.js";
import type { ImageInput } from "../image/source.js";
import { resizeBicubic } from "./maps.js";
import { sequential } from "./palette.js";
import { checkSize, type MapSize, type Task } from "./task.js";

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
  begin({ config }, { size = "photo", signal }) {
    checkSize("depth", size);
    const head = config.dpt?.head;
    const metric = head?.kind === "depth" && head.metric;
    return async (image) => {
      const { dims, data } = (await image.run(["predictedDepth"])).predictedDepth;
      const own = { width: dims[2]!, height: dims[1]! };
      const { photo } = image.geometry;
      if (size === "model") return { ...own, data, metric };
      const large = await inSlices(
        () => resizeBicubic(data, own, photo),
        { signal },
        () => new Error("depth: it is late"),
      );
      return { width: photo.width, height: photo.height, data: large, metric };
    };
  },
  command: {
    help: "how far each pixel is",
    options: {},
    json: (map) => ({ width: map.width, height: map.height, metric: map.metric, ...rangeOf(map.data) }),
    lines: (map) => {
      const { min, max } = rangeOf(map.data);
      const unit = map.metric ? " m" : "; larger is nearer";
      return [`  ${map.width}×${map.height}, from ${min.toPrecision(4)} to ${max.toPrecision(4)}${unit}`];
    },
    async pictures(map) {
      const { encodePng } = await import("../image/write-png.js");
      const { min, max } = rangeOf(map.data);
      const scale = max > min ? 1 / (max - min) : 0;
      const colors = Array.from({ length: 256 }, (_, i) => sequential(i / 255));
      const gray = new Uint16Array(map.data.length);
      const color = new Uint8Array(3 * map.data.length);
      for (let i = 0; i < gray.length; i++) {
        const part = (map.data[i]! - min) * scale;
        gray[i] = Math.round(65535 * part);
        const [r, g, b] = colors[Math.round(255 * part)]!;
        color[3 * i] = r;
        color[3 * i + 1] = g;
        color[3 * i + 2] = b;
      }
      return {
        depth: await encodePng({ ...map, data: gray, channels: 1 }),
        "depth-color": await encodePng({ ...map, data: color, channels: 3 }),
      };
    },
  },
};

function rangeOf(data: Float32Array): { min: number; max: number } {
  let [min, max] = [Infinity, -Infinity];
  for (const x of data) {
    if (x < min) min = x;
    if (x > max) max = x;
  }
  return { min, max };
}
