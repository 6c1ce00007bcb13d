/** Images for models: decoding, resizing and preprocessing with the bytes of Pillow. Needs neither model nor backend. */
export { type DecodeOptions, decode, type RgbImage } from "./decode.js";
export { type Preprocessing, parsePreprocessing, toPixelValues, toRgb } from "./preprocess.js";
export { type Filter, type Raster, type ResizeOptions, resize } from "./resize.js";
export { type Drawable, type ImageInput, type OpenImageOptions, openImage, type Pixels } from "./source.js";
