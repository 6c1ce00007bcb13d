/** Masks of what a person points at: points and boxes as SAM takes them, and its masks in the size of the photo. */
import type { Config } from "../checkpoint/config.js";
import type { Box, Geometry, Size } from "../image/geometry.js";
import { inSlices, type Slices } from "../image/slices.js";
import { type AboveZero, maskAbove, resizeBilinear } from "./maps.js";
import { OBJECT, type Segment, type Segmentation } from "./segments.js";
import type { TaskImage } from "./task.js";

/** A point of a photo, in its pixels, as transformers' SamProcessor takes them: (0, 0) is the first pixel, its center is meant. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** 1 on the object, which it is unless given; 0 beside it. */
  readonly label?: 0 | 1;
}

/** Options that say where an object is. */
export interface PromptOptions {
  /** Points of one object, or lists of points, one for each object. */
  points?: readonly Point[] | readonly (readonly Point[])[];
  /** A box around each object, in pixels of the photo. Beside points of each object there is one for each. */
  boxes?: readonly Box[];
  /** All masks of an ambiguous prompt, three in what is published: of the whole, a part, a part of that; or one. Default: true. */
  multimask?: boolean;
}

/** Prompts of one object. */
interface Prompt {
  readonly points: readonly Point[];
  readonly box: Box | undefined;
}

/** Most objects of a call, and bytes that their masks take. */
const MAX_OBJECTS = 1000;
const MAX_BYTES = 2 ** 31;

const SIDES = ["xmin", "ymin", "xmax", "ymax"] as const;

const isList = (x: unknown): x is readonly unknown[] => Array.isArray(x);

/**
 * Checks prompts, as far as no photo is needed.
 * @throws RangeError or TypeError that says which of them is wrong.
 */
export function promptsOf({ points, boxes, multimask }: PromptOptions): readonly Prompt[] {
  if (multimask !== undefined && typeof multimask !== "boolean") {
    throw new TypeError(`segment: multimask must be true or false; got ${shown(multimask)}`);
  }
  if (points === undefined && boxes === undefined) {
    throw new TypeError("segment: this checkpoint is told what to look for by points or by boxes; got neither");
  }
  for (const [name, list] of Object.entries({ points, boxes })) {
    if (list === undefined) continue;
    if (!isList(list)) throw new TypeError(`segment: ${name} must be a list; got ${shown(list)}`);
    if (list.length === 0) throw new RangeError(`segment: ${name} must be one at least; got none`);
    if (list.length > MAX_OBJECTS) {
      throw new RangeError(`segment: ${name} must be at most ${MAX_OBJECTS} at once; got ${list.length}`);
    }
  }
  for (const box of boxes ?? []) checkBox(box);
  const objects = points && (isList(points[0]) ? points : [points]);
  if (objects && boxes && objects.length !== boxes.length) {
    throw new RangeError(
      `segment: points must be lists, as many as there are boxes, or of one object with one box; got ${objects.length} and ${boxes.length} boxes`,
    );
  }
  for (const list of objects ?? []) {
    if (!isList(list)) throw new TypeError(`segment: points must be all points or all lists of points; got both`);
    if (list.length === 0 || list.length > MAX_OBJECTS) {
      throw new RangeError(`segment: an object must have 1 to ${MAX_OBJECTS} points; got ${list.length}`);
    }
    for (const point of list) checkPoint(point);
  }
  return Array.from({ length: (objects ?? boxes!).length }, (_, i) => ({
    points: (objects?.[i] ?? []) as readonly Point[],
    box: boxes?.[i],
  }));
}

function checkPoint(point: unknown): void {
  const { x, y, label = 1 } = Object(point) as Record<string, unknown>;
  if (Number.isFinite(x) && Number.isFinite(y) && (label === 0 || label === 1)) return;
  throw new TypeError(
    `segment: a point must be { x, y, label }, two numbers and 1 or 0; got ${shown(point, ["x", "y", "label"])}`,
  );
}

function checkBox(box: unknown): void {
  const sides = Object(box) as Record<string, unknown>;
  const [xmin, ymin, xmax, ymax] = SIDES.map((side) => sides[side] as number) as [number, number, number, number];
  if ([xmin, ymin, xmax, ymax].every(Number.isFinite) && xmin < xmax && ymin < ymax) return;
  throw new TypeError(
    `segment: a box must be { xmin, ymin, xmax, ymax }, numbers of which the first two are less; got ${shown(box, SIDES)}`,
  );
}

/** A value as messages show it, of an object the parts that are asked for: JSON has no NaN. */
function shown(value: unknown, keys: readonly string[] = []): string {
  const parts = typeof value === "object" && value !== null && !Array.isArray(value) ? keys : [];
  const text = parts.map((key) => `${key}: ${String((value as Record<string, unknown>)[key])}`).join(", ");
  return (parts.length > 0 ? `{ ${text} }` : String(JSON.stringify(value))).slice(0, 100);
}

/** Refuses points that are not on the photo, boxes that have no part of it, and masks that take too much memory. */
function checkOnPhoto(prompts: readonly Prompt[], { width, height }: Size, masks: number): void {
  const size = `${width}×${height} pixels`;
  for (const { points, box } of prompts) {
    const off = points.find(({ x, y }) => x < 0 || y < 0 || x > width || y > height);
    if (off) throw new RangeError(`segment: a point must be on the photo of ${size}; got ${off.x}, ${off.y}`);
    if (box && (box.xmax <= 0 || box.ymax <= 0 || box.xmin >= width || box.ymin >= height)) {
      const got = SIDES.map((side) => box[side]).join(", ");
      throw new RangeError(`segment: a box must have a part of the photo of ${size} in it; got ${got}`);
    }
  }
  const bytes = prompts.length * masks * width * height;
  if (bytes > MAX_BYTES) {
    throw new RangeError(
      `segment: ${prompts.length * masks} masks of ${size} take ${bytes} bytes, and at most ${MAX_BYTES} may be at once`,
    );
  }
}

/** Masks of each object in turn, the best first. */
export async function segmentPrompts(
  image: TaskImage,
  { sam }: Config,
  prompts: readonly Prompt[],
  { multimask = true, signal }: { readonly multimask?: boolean; readonly signal?: AbortSignal },
): Promise<Segmentation> {
  const { geometry } = image;
  const { photo } = geometry;
  checkOnPhoto(prompts, photo, multimask ? sam!.decoder!.masks - 1 : 1);
  const { imageEmbeddings } = await image.run(["imageEmbeddings"]);
  const segments: Segment[] = [];
  for (const [index, prompt] of prompts.entries()) {
    const inputs = { imageEmbeddings, multimaskOutput: multimask, ...inputsOf(prompt, geometry) };
    const { predMasks, iouScores } = await image.run(["predMasks", "iouScores"], inputs);
    const [, , count, height, width] = predMasks.dims as [number, number, number, number, number];
    const best = Array.from({ length: count }, (_, i) => i).sort((a, b) => iouScores.data[b]! - iouScores.data[a]!);
    for (const mask of best) {
      const scores = predMasks.data.subarray(mask * height * width, (mask + 1) * height * width);
      const found = await inSlices(
        () => onPhoto(scores, { width, height }, geometry),
        { signal },
        () => new Error("segment: it is late"),
      );
      const { data, box, area } = found;
      const probability = iouScores.data[mask]!;
      segments.push({ label: OBJECT, index, probability, mask: { ...photo, data }, box, area });
    }
  }
  return { width: photo.width, height: photo.height, segments };
}

/** Prompts in pixels of the model's image, scaled as transformers' SamProcessor does it. */
function inputsOf({ points, box }: Prompt, { photo, resized }: Geometry) {
  const [across, down] = [resized.width / photo.width, resized.height / photo.height];
  return {
    ...(points.length > 0 && {
      inputPoints: {
        dims: [1, 1, points.length, 2],
        data: Float32Array.from(points.flatMap(({ x, y }) => [x * across, y * down])),
      },
      inputLabels: { dims: [1, 1, points.length], data: points.map(({ label = 1 }) => label) },
    }),
    ...(box && {
      inputBoxes: {
        dims: [1, 1, 4],
        data: Float32Array.of(box.xmin * across, box.ymin * down, box.xmax * across, box.ymax * down),
      },
    }),
  };
}

/**
 * Scores as a mask of the photo: post_process_masks of transformers' SamImageProcessor, which resizes them to the model's image,
 * cuts off the border, and resizes what is left to the photo.
 */
export function* onPhoto(scores: Float32Array, from: Size, { photo, resized, model }: Geometry): Slices<AboveZero> {
  const inside = { width: Math.round(resized.width), height: Math.round(resized.height) };
  const map = yield* resizeBilinear(scores, from, model, inside);
  return yield* maskAbove(map, inside, photo);
}
