/** From an image to what a model reads of it. */

import { fitting, importResizers } from "./fitting.js";
import type { Box } from "./geometry.js";
import { draftOf } from "./place.js";
import type { Preprocessing, SeenImage } from "./preprocess.js";
import { type ImageInput, type OpenImageOptions, openImageFor, type ReadOptions } from "./source.js";

export interface PixelOptions extends Omit<OpenImageOptions, "draft">, ReadOptions {
  readonly preprocessing: Preprocessing;
  /** True if a JPEG is decoded at a part of its size if that is enough. */
  readonly draft?: boolean | undefined;
}

/** Options of an image of which boxes are to be seen. */
export const withBoxes = (options: PixelOptions, boxes: readonly Box[] | undefined): PixelOptions =>
  boxes ? { ...options, preprocessing: { ...options.preprocessing, boxes } } : options;

/** RGB, [height, width, 3], of an image, resized and cropped as the preprocessing says. */
export async function pixelsOf(
  input: ImageInput,
  { preprocessing, draft, ...options }: PixelOptions,
): Promise<SeenImage> {
  const resizers = await importResizers(preprocessing);
  const opening = { ...options, alpha: preprocessing.alpha, draft: draft ? draftOf(preprocessing) : undefined };
  return openImageFor(input, opening, (image) => fitting(image, preprocessing, resizers));
}
