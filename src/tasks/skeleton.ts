/** Keypoints and the lines between them, drawn on a photo. */
import type { RgbImage } from "../image/decode/file.js";
import type { Keypoint } from "./keypoints.js";
import { distinct, type Rgb } from "./palette.js";

type Edge = readonly [number, number];

/** COCO's skeleton of its 17 keypoints (Lin et al. 2014), from 0 on. */
const COCO: readonly Edge[] = [
  ...([
    [15, 13],
    [13, 11],
    [16, 14],
    [14, 12],
    [11, 12],
  ] as const),
  ...([
    [5, 11],
    [6, 12],
    [5, 6],
    [5, 7],
    [6, 8],
    [7, 9],
    [8, 10],
  ] as const),
  ...([
    [1, 2],
    [0, 1],
    [0, 2],
    [1, 3],
    [2, 4],
    [3, 5],
    [4, 6],
  ] as const),
];

/** Keypoints whose heatmaps stay below are not drawn: the library's example draws those above. */
const SEEN = 0.3;

/** Lines are as wide as this part of the photo's shorter side, points twice as much. */
const LINE = 1 / 150;

/** A copy of a photo with poses, a color for each; edges are the checkpoint's, or COCO's where it has as many keypoints. */
export function skeletonDrawn(
  { data, width, height }: RgbImage,
  poses: readonly { readonly keypoints: readonly Keypoint[] }[],
  config: { readonly keypoints: number; readonly edges: readonly Edge[] | undefined } | undefined,
): RgbImage {
  const drawn = new Uint8Array(data);
  const radius = Math.max(1, (LINE * Math.min(width, height)) / 2);
  const edges = config?.edges ?? (config?.keypoints === 17 ? COCO : []);
  for (const [i, { keypoints }] of poses.entries()) {
    const seen = (k: number) => keypoints[k] !== undefined && keypoints[k].probability > SEEN;
    for (const [a, b] of edges) if (seen(a) && seen(b)) capsule(keypoints[a]!, keypoints[b]!, radius, distinct(i));
    for (const [k, point] of keypoints.entries()) if (seen(k)) capsule(point, point, 2 * radius, distinct(i));
  }
  return { data: drawn, width, height };

  /** All pixels within a distance of the line between two points. */
  function capsule(from: { x: number; y: number }, to: { x: number; y: number }, reach: number, color: Rgb): void {
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const square = dx * dx + dy * dy;
    const inside = (x: number, most: number) => Math.min(Math.max(x, 0), most);
    const top = inside(Math.floor(Math.min(from.y, to.y) - reach), height);
    const bottom = inside(Math.ceil(Math.max(from.y, to.y) + reach), height);
    const left = inside(Math.floor(Math.min(from.x, to.x) - reach), width);
    const right = inside(Math.ceil(Math.max(from.x, to.x) + reach), width);
    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y];
        const along = square === 0 ? 0 : inside((px * dx + py * dy) / square, 1);
        if (Math.hypot(px - along * dx, py - along * dy) <= reach) drawn.set(color, 3 * (y * width + x));
      }
  }
}
