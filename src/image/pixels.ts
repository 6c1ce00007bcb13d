/** From an image to what a model reads of it. */

import { type Clip, clipOf, type FrameSampling, isClip, sampledFrames } from "./clip.js";
import { fitting, importResizers } from "./fitting.js";
import type { Box } from "./geometry.js";
import { draftOf } from "./place.js";
import type { Preprocessing, SeenImage } from "./preprocess.js";
import {
  type ImageInput,
  labelOf,
  type OpenImageOptions,
  openImageFor,
  type ReadOptions,
  readEncoded,
} from "./source.js";

export interface PixelOptions extends Omit<OpenImageOptions, "draft">, ReadOptions {
  readonly preprocessing: Preprocessing;
  /** True if a JPEG is decoded at a part of its size if that is enough. */
  readonly draft?: boolean | undefined;
  /** Frames of a clip that are taken, where the image is one. */
  readonly clip?: FrameSampling | undefined;
}

/** Options of an image of which boxes are to be seen. */
export const withBoxes = (options: PixelOptions, boxes: readonly Box[] | undefined): PixelOptions =>
  boxes ? { ...options, preprocessing: { ...options.preprocessing, boxes } } : options;

/** RGB, [height, width, 3], of an image, resized and cropped as the preprocessing says; of a clip [frames, height, width, 3]. */
export async function pixelsOf(input: ImageInput | Clip, { clip, ...options }: PixelOptions): Promise<SeenImage> {
  if (!clip) return pixelsOfImage(input as ImageInput, options);
  return clipOf(isClip(input) ? await framesOf(input, clip, options) : await framesOfFile(input, clip, options));
}

/** Frames that are taken, and only these, are opened, one after the other. */
async function framesOf({ frames }: Clip, clip: FrameSampling, options: PixelOptions): Promise<SeenImage[]> {
  if (!Array.isArray(frames))
    throw new TypeError(`image: frames of a clip must be a list of images; got ${typeof frames}`);
  const seen: SeenImage[] = [];
  for (const place of sampledFrames("the clip", frames.length, clip)) {
    seen.push(await pixelsOfImage(frames[place], options));
  }
  return seen;
}

/** Frames of an animation; another image is one. */
async function framesOfFile(input: ImageInput, clip: FrameSampling, options: PixelOptions): Promise<SeenImage[]> {
  const { preprocessing, draft, ...opening } = options;
  const read = await readEncoded(input, opening);
  if (!read) return framesOf({ frames: [input] }, clip, options);
  const label = read.options.label ?? labelOf(input, options);
  const [{ decodeFramesFor }, resizers] = await Promise.all([
    import("./decode/index.js"),
    importResizers(preprocessing),
  ]);
  return decodeFramesFor(
    read.bytes,
    {
      ...opening,
      ...read.options,
      label,
      alpha: preprocessing.alpha,
      draft: draft ? draftOf(preprocessing) : undefined,
    },
    (total) => sampledFrames(label, total, clip),
    (image) => fitting(image, preprocessing, resizers),
  );
}

async function pixelsOfImage(
  input: ImageInput,
  { preprocessing, draft, ...options }: PixelOptions,
): Promise<SeenImage> {
  const resizers = await importResizers(preprocessing);
  const opening = { ...options, alpha: preprocessing.alpha, draft: draft ? draftOf(preprocessing) : undefined };
  return openImageFor(input, opening, (image) => fitting(image, preprocessing, resizers));
}
