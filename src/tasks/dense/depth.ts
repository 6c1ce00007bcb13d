/** Depth maps: what is made of a model's outputs. */
import { inSlices } from "../../image/slices.js";
import { type DepthMap, type DepthOptions, rangeOf } from "../depth.js";
import { resizeBicubic } from "../maps.js";
import { sequential } from "../palette.js";
import type { TaskImage, TaskModel } from "../task.js";
import { checkSize } from "../task.js";

/** Checks the options, and gives what finds the depth of an image. */
export function begin(
  { config }: TaskModel,
  { size = "photo", signal }: DepthOptions,
): (image: TaskImage) => Promise<DepthMap> {
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
}

/** The map in 16 bits of gray, and in colors. */
export async function pictures(map: DepthMap): Promise<Readonly<Record<string, Uint8Array>>> {
  const { encodePng } = await import("../../image/write-png.js");
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
}
