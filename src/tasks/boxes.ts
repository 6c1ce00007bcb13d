/** Boxes with scores, of what a detector gives, as transformers' post-processing chooses them. */
import type { RgbImage } from "../image/decode/file.js";
import { type Box, type Geometry, toPhoto } from "../image/geometry.js";
import type { Tensor } from "../vit/outputs.js";
import { distinct } from "./palette.js";

/** A box, and the class that it is most likely of. */
export interface ScoredBox {
  readonly index: number;
  readonly probability: number;
  /** Parts of the image that the model sees. */
  readonly box: Box;
}

/** Scores and boxes of an image: logits, [boxes, classes], and (center x, center y, width, height), [boxes, 4]. */
export interface Found {
  readonly logits: Tensor;
  readonly predBoxes: Tensor;
}

/** Scores and boxes of one image of a batch. */
export function ofImage({ logits, predBoxes }: Found, image: number): Found {
  const part = ({ dims, data }: Tensor): Tensor => {
    const size = data.length / dims[0]!;
    return { dims: dims.slice(1), data: data.subarray(image * size, (image + 1) * size) };
  };
  return { logits: part(logits), predBoxes: part(predBoxes) };
}

/**
 * Boxes whose best query scores more than the threshold, each by itself, in the model's order: post_process_object_detection of
 * OwlViTImageProcessor and Owlv2ImageProcessor.
 */
export const queriedBoxes = (found: Found, threshold: number): ScoredBox[] =>
  scored(found, (logits) => {
    const index = largest(logits);
    return { index, probability: 1 / (1 + Math.exp(-logits[index]!)) };
  }).filter(({ probability }) => probability > threshold);

/** Boxes whose best class other than nothing, the last, scores more than the threshold: that of YolosImageProcessor. */
export const classifiedBoxes = (found: Found, threshold: number): ScoredBox[] =>
  scored(found, (logits) => {
    const index = largest(logits.subarray(0, -1));
    const most = logits.reduce((a, b) => Math.max(a, b));
    const sum = logits.reduce((total, x) => total + Math.exp(x - most), 0);
    return { index, probability: Math.exp(logits[index]! - most) / sum };
  }).filter(({ probability }) => probability > threshold);

/**
 * Boxes that are like a query image, with scores between 0 and 1 by the best of them: post_process_image_guided_detection of
 * OwlViTImageProcessor and Owlv2ImageProcessor.
 * @param iou of two boxes that overlap more, the better one stays; all stay unless it is given.
 */
export function similarBoxes(found: Found, threshold: number, iou: number | undefined): ScoredBox[] {
  const boxes = queriedBoxes(found, Number.NEGATIVE_INFINITY);
  const left = (iou === undefined ? boxes : suppressed(boxes, iou)).filter(
    ({ probability }) => probability >= threshold,
  );
  const most = left.reduce((best, { probability }) => Math.max(best, probability), 0) + 1e-6;
  return left
    .map((box) => ({ ...box, probability: Math.min(Math.max((box.probability - 0.1 * most) / (0.9 * most), 0), 1) }))
    .filter(({ probability }) => probability > 0);
}

/** Non-maximum suppression: of two boxes of a class that overlap more than `iou`, the better one stays. The order stays. */
export function suppressed(boxes: readonly ScoredBox[], iou: number): ScoredBox[] {
  const kept: ScoredBox[] = [];
  for (const box of byProbability(boxes)) {
    if (!kept.some((other) => other.index === box.index && overlap(other.box, box.box) > iou)) kept.push(box);
  }
  const chosen = new Set(kept);
  return boxes.filter((box) => chosen.has(box));
}

/** Best first; equal ones in the model's order. */
export const byProbability = <Scored extends { readonly probability: number }>(boxes: readonly Scored[]): Scored[] =>
  [...boxes].sort((a, b) => b.probability - a.probability);

/** The box in pixels of the photo. */
export function inPhoto({ xmin, ymin, xmax, ymax }: Box, geometry: Geometry): Box {
  const { width, height } = geometry.model;
  const [left, top] = toPhoto(geometry, [xmin * width, ymin * height]);
  const [right, bottom] = toPhoto(geometry, [xmax * width, ymax * height]);
  return { xmin: left, ymin: top, xmax: right, ymax: bottom };
}

/** Lines are as wide as this part of the photo's shorter side. */
const LINE = 1 / 200;

/** A copy of a photo with the outlines of boxes, the first above the others, in a color for each index. */
export function outlined(
  { data, width, height }: RgbImage,
  boxes: readonly { readonly index: number; readonly box: Box }[],
): RgbImage {
  const drawn = new Uint8Array(data);
  const line = Math.max(2, Math.round(LINE * Math.min(width, height)));
  const inside = (x: number, most: number) => Math.min(Math.max(Math.round(x), 0), most);
  for (const { index, box } of [...boxes].reverse()) {
    const color = distinct(index);
    const [left, right] = [inside(box.xmin, width), inside(box.xmax, width)];
    const [top, bottom] = [inside(box.ymin, height), inside(box.ymax, height)];
    for (let y = top; y < bottom; y++) {
      const whole = y < top + line || y >= bottom - line;
      for (let x = left; x < right; x++) {
        // Between the two sides there is nothing to draw.
        if (!whole && x === left + line && right - line > x) x = right - line;
        drawn.set(color, 3 * (y * width + x));
      }
    }
  }
  return { data: drawn, width, height };
}

/** Intersection over union. */
function overlap(a: Box, b: Box): number {
  const area = ({ xmin, ymin, xmax, ymax }: Box) => (xmax - xmin) * (ymax - ymin);
  const across = Math.max(Math.min(a.xmax, b.xmax) - Math.max(a.xmin, b.xmin), 0);
  const down = Math.max(Math.min(a.ymax, b.ymax) - Math.max(a.ymin, b.ymin), 0);
  return (across * down) / (area(a) + area(b) - across * down);
}

function scored({ logits, predBoxes }: Found, score: (logits: Float32Array) => Omit<ScoredBox, "box">): ScoredBox[] {
  const [boxes, classes] = logits.dims as [number, number];
  return Array.from({ length: boxes }, (_, i) => {
    const [x, y, width, height] = predBoxes.data.subarray(4 * i) as unknown as [number, number, number, number];
    const box = { xmin: x - width / 2, ymin: y - height / 2, xmax: x + width / 2, ymax: y + height / 2 };
    return { ...score(logits.data.subarray(i * classes, (i + 1) * classes)), box };
  });
}

const largest = (values: Float32Array): number =>
  values.reduce((best, value, i) => (value > values[best]! ? i : best), 0);
