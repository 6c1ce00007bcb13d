/** Settings of a preprocessor and the picture that they are for: `parsePreprocessing`, then `toRgb` and `toPixelValues`. */
import { toPixelValues } from "../../src/image/preprocess.js";
import { parsePreprocessing } from "../../src/image/processors.js";
import { toRgb } from "../../src/image/seen.js";
import { mutateJson } from "../mutate/json.js";
import { expect, type Target } from "../target.js";
import { noise, readJson, seedOf } from "./json.js";

interface Input {
  preprocessor: unknown;
  model: unknown;
  imageSize: [number, number];
  options: { resized?: boolean; processor?: "pillow" | "torchvision" };
  /** Width and height. */
  picture: [number, number];
}

const MEAN = { image_mean: [0.485, 0.456, 0.406], image_std: [0.229, 0.224, 0.225] };
/** Results of more pixels are not computed. */
const MOST_PIXELS = 1 << 16;
const BASE: Partial<Input> = { imageSize: [8, 8], picture: [13, 9] };
const huggingFace = (preprocessor: object) => seedOf({ ...BASE, preprocessor });

const target: Target = {
  seeds: [
    huggingFace({ image_processor_type: "ViTImageProcessor", size: { height: 8, width: 8 }, resample: 2, ...MEAN }),
    huggingFace({
      feature_extractor_type: "CLIPFeatureExtractor",
      size: { shortest_edge: 9 },
      crop_size: 8,
      do_rescale: true,
    }),
    huggingFace({
      image_processor_type: "DeiTImageProcessor",
      size: 10,
      crop_size: { height: 8, width: 8 },
      rescale_factor: 0.5,
    }),
    huggingFace({ image_processor_type: "Siglip2ImageProcessor", patch_size: 4, max_num_patches: 9, do_resize: true }),
    huggingFace({
      image_processor_type: "DINOv3ViTImageProcessorFast",
      size: [8, 8],
      do_normalize: false,
      do_resize: false,
      do_center_crop: true,
      crop_size: 8,
    }),
    seedOf({ ...BASE, model: { model_type: "vit" }, options: { resized: true } }),
    seedOf({
      ...BASE,
      model: {
        architecture: "vit_tiny_patch16_224",
        pretrained_cfg: { crop_pct: 0.9, interpolation: "bicubic", mean: [0, 0, 0], std: 0.5 },
      },
    }),
    seedOf({
      ...BASE,
      model: { architecture: "a", crop_mode: "squash", crop_pct: 1, interpolation: "nearest" },
      options: { resized: true },
    }),
    seedOf({
      ...BASE,
      model: {
        model_cfg: {},
        preprocess_cfg: { interpolation: "bilinear", resize_mode: "squash", mean: 0.5, std: 0.5 },
      },
    }),
  ],
  mutators: [mutateJson],
  refusal: /^(preprocessing|resize): /,
  run(input) {
    const { preprocessor, model, imageSize, options, picture } = readJson<Input>(input) ?? {};
    if (!isSize(imageSize) || !isSize(picture)) return undefined;
    const settings = parsePreprocessing(preprocessor, model, imageSize, {
      resized: options?.resized === true,
      processor: options?.processor === "torchvision" ? "torchvision" : "pillow",
    });
    const [width, height] = picture;
    // What is computed after this takes the time of its pixels.
    if (settings.width * settings.height > MOST_PIXELS) return undefined;
    const rgb = toRgb({ data: noise(3 * width * height), width, height }, settings);
    expect(
      rgb.data.length === 3 * rgb.width * rgb.height,
      () => `${rgb.data.length} bytes of ${rgb.width}×${rgb.height}`,
    );
    const values = toPixelValues(rgb.data, { ...settings, width: rgb.width, height: rgb.height });
    expect(values.every(Number.isFinite), () => "pixel values that are not finite");
    return undefined;
  },
};
export default target;

/** Of a small picture; others are resize's. */
const isSize = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every((n) => Number.isInteger(n) && n >= 1 && n <= 256);
