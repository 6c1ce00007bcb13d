/** From an image to what a model reads of it. */
import { fitting, type Preprocessing, type SeenImage } from "./preprocess.js";
import { type ImageInput, type OpenImageOptions, openImageFor, type ReadOptions } from "./source.js";

export interface PixelOptions extends OpenImageOptions, ReadOptions {
  readonly preprocessing: Preprocessing;
}

/** RGB, [height, width, 3], of an image, resized and cropped as the preprocessing says. */
export const pixelsOf = (input: ImageInput, { preprocessing, ...options }: PixelOptions): Promise<SeenImage> =>
  openImageFor(input, { ...options, alpha: preprocessing.alpha }, (image) => fitting(image, preprocessing));
