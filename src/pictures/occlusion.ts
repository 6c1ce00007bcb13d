/**
 * Occlusion (Zeiler & Fergus 2014, section 4.2): how the score of a class falls when a square of the photo is covered. It takes no
 * gradients, and no knowledge of the model: one run of it for each place.
 */
import type { Scores, SeenInputs } from "./see.js";
import type { Grid } from "./tokens.js";

export interface OcclusionOptions {
  /** Side of the square, patches: 2 unless given. */
  readonly size?: number;
  /** Patches from one place to the next: 1, or as many as leave 196 places at most. */
  readonly stride?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Places at most, unless asked for. */
const PLACES = 196;
/** Images of a call, so that it can be ended and tells how far it is. */
const BATCH = 8;

/**
 * The fall of a score at each place, p(photo) - p(covered): the square has a patch at its center and pixel values of 0, which is the
 * mean color. With a stride, patches between have the nearest place's.
 * @param name number of the score, the best one's unless given.
 * @returns fall: [rows · columns]; the score of the whole photo, and whose it is.
 */
export async function occlusionMap(
  scores: Scores,
  { pixelValues: { dims, data }, spatialShapes }: SeenInputs,
  [rows, columns]: Grid,
  [height, width]: readonly [number, number],
  name: number | undefined,
  { size = 2, stride = Math.ceil(Math.sqrt((rows * columns) / PLACES)), onProgress, signal }: OcclusionOptions = {},
): Promise<{ readonly fall: Float32Array; readonly score: number; readonly name: number }> {
  const channels = spatialShapes ? dims[2]! / (height * width) : dims[1]!;
  const [imageHeight, imageWidth] = spatialShapes
    ? [rows * height, columns * width]
    : (dims.slice(2) as [number, number]);
  /** Sets pixels to 0: of planes, or of patches with their pixels in the order (y, x, channel). */
  const cover = (image: Float32Array, c: number, y: number, left: number, right: number) => {
    if (!spatialShapes)
      return image.fill(0, (c * imageHeight + y) * imageWidth + left, (c * imageHeight + y) * imageWidth + right);
    for (let x = left; x < right; x++) {
      const patch = Math.floor(y / height) * columns + Math.floor(x / width);
      image[((patch * height + (y % height)) * width + (x % width)) * channels + c] = 0;
    }
  };
  const inputsOf = (images: number, data: Float32Array) => ({
    pixelValues: { dims: [images, ...dims.slice(1)], data },
    ...(spatialShapes && {
      spatialShapes: { dims: [images, 2], data: Array.from({ length: images }, () => [rows, columns]).flat() },
    }),
  });
  const [whole] = await scores.of(inputsOf(1, data));
  const chosen = name ?? whole!.indexOf(whole!.reduce((a, b) => Math.max(a, b)));
  const centers = (count: number) => {
    const places = Array.from({ length: Math.ceil(count / stride) }, (_, i) => i * stride);
    const shift = Math.floor((count - 1 - places.at(-1)!) / 2);
    return places.map((place) => place + shift);
  };
  const [down, across] = [centers(rows), centers(columns)];
  const places = down.flatMap((row) => across.map((column) => [row, column] as const));
  const falls: number[] = [];
  for (let first = 0; first < places.length; first += BATCH) {
    signal?.throwIfAborted();
    const some = places.slice(first, first + BATCH);
    const covered = new Float32Array(some.length * data.length);
    for (const [i, [row, column]] of some.entries()) {
      const own = covered.subarray(i * data.length, (i + 1) * data.length);
      own.set(data);
      const span = (place: number, side: number, end: number) =>
        [place + 0.5 - size / 2, place + 0.5 + size / 2].map((x) => Math.min(Math.max(Math.round(x * side), 0), end));
      const [top, bottom] = span(row, height, imageHeight) as [number, number];
      const [left, right] = span(column, width, imageWidth) as [number, number];
      for (let c = 0; c < channels; c++) for (let y = top; y < bottom; y++) cover(own, c, y, left, right);
    }
    const made = await scores.of(inputsOf(some.length, covered));
    for (const row of made) falls.push(whole![chosen]! - row[chosen]!);
    onProgress?.(falls.length, places.length);
  }
  const nearest = (place: number, all: readonly number[]) =>
    all.reduce((best, x, i) => (Math.abs(x - place) < Math.abs(all[best]! - place) ? i : best), 0);
  const fall = Float32Array.from({ length: rows * columns }, (_, patch) => {
    const [i, j] = [nearest(Math.floor(patch / columns), down), nearest(patch % columns, across)];
    return falls[i * across.length + j]!;
  });
  return { fall, score: whole![chosen]!, name: chosen };
}
