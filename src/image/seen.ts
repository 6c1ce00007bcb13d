/** Preprocessing at once, whatever the processor: for users of vitrail/image. A model imports the parts that its processor takes. */
import { cropping } from "./affine.js";
import type { Readable, RgbImage } from "./decode/file.js";
import { fitting } from "./fitting.js";
import type { Geometry } from "./geometry.js";
import { resizeBlurred } from "./owlv2.js";
import { checkBytes, type Preprocessing, type SeenImage } from "./preprocess.js";
import { resizeByScipy } from "./scipy.js";
import { atOnce } from "./slices.js";
import { resizeBytes, resizeValues } from "./torchvision.js";

const RESIZERS = { cropping, resizeByScipy, resizeBlurred, resizeBytes, resizeValues };

/**
 * The image resized and cropped: 8-bit RGB of the preprocessing's size, or of whole patches.
 * @throws RangeError if the preprocessing does not resize and the image is smaller than what it crops, or rescales first.
 */
export function toRgb(image: Readable, preprocessing: Preprocessing): RgbImage & { readonly geometry: Geometry } {
  checkBytes("toRgb", preprocessing);
  return toSeen(image, preprocessing) as RgbImage & SeenImage;
}

/** The same of every preprocessing: bytes or values. */
export const toSeen = (image: Readable, preprocessing: Preprocessing): SeenImage =>
  atOnce(fitting(image, preprocessing, RESIZERS));
