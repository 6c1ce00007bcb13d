/**
 * Images for models: decoding, resizing and preprocessing with the bytes of Pillow. Needs neither model nor backend. For users;
 * the library imports the parts, since bundlers take a module for needed at first with all that it exports.
 */

export type { RgbImage } from "./decode/file.js";
export { type DecodeOptions, decode } from "./decode/index.js";
export { type Geometry, type Point, type Size, toModel, toPhoto } from "./geometry.js";
export {
  type Preprocessing,
  type Processor,
  type SeenImage,
  toPixelValues,
} from "./preprocess.js";
export { parsePreprocessing } from "./processors.js";
export { type Filter, type Raster, type ResizeOptions, resize } from "./resize.js";
export { toRgb, toSeen } from "./seen.js";
export {
  type Drawable,
  type ImageInput,
  type ImageSource,
  type OpenImageOptions,
  openImage,
  type Pixels,
} from "./source.js";
