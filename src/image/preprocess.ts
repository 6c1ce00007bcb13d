/**
 * From a decoded image to a model's input, as the checkpoint asks: Hugging Face's preprocessor_config.json or timm's
 * pretrained_cfg. Geometry and arithmetic are those of transformers' PIL image processors and of torchvision under timm.
 */
import { excerpt } from "../json.js";
import type { Readable, RgbImage } from "./decode.js";
import type { Geometry } from "./geometry.js";
import { kernelWith } from "./kernel.js";
import { type Filter, type Part, resizing } from "./resize.js";
import { atOnce, type Slices } from "./slices.js";
import { uprightSize } from "./upright.js";

type Three = readonly [number, number, number];

export interface Preprocessing {
  /**
   * "shortest": the short side becomes `size`, the long one truncates; "cover": the smallest size of the same shape that
   * covers width × height, rounded; "exact": width × height; "patches": whole patches of the image's shape, as many as can
   * be up to `most`; "none": the image must have the right size.
   */
  resize:
    | { mode: "shortest"; size: number }
    | { mode: "cover" | "exact"; width: number; height: number }
    | { mode: "patches"; patch: number; most: number }
    | { mode: "none" };
  filter: Filter;
  /** Size of the result, which is cropped from the center of the resized image; of patches that of a square of them. */
  width: number;
  height: number;
  /** Half a pixel goes to the even offset in torchvision and timm, down in transformers; it shows by one pixel. */
  cropRounding: "even" | "down";
  /** pixel value = (byte · rescale - mean) / std, by channel. */
  rescale: number;
  mean: Three;
  std: Three;
}

const IMAGENET: [Three, Three] = [
  [0.485, 0.456, 0.406],
  [0.229, 0.224, 0.225],
];
const CLIP: [Three, Three] = [
  [0.48145466, 0.4578275, 0.40821073],
  [0.26862954, 0.26130258, 0.27577711],
];
const HALF: [Three, Three] = [
  [0.5, 0.5, 0.5],
  [0.5, 0.5, 0.5],
];

/** Class defaults of transformers 5; a lone `size` is a square or, where not `square`, the short side. */
const PROCESSORS: Record<
  string,
  { size: number; square: boolean; crop?: number; resample: number; norm: [Three, Three] }
> = {
  ViT: { size: 224, square: true, resample: 2, norm: HALF },
  DeiT: { size: 256, square: true, crop: 224, resample: 3, norm: HALF },
  Beit: { size: 224, square: true, resample: 3, norm: HALF },
  DINOv3ViT: { size: 224, square: true, resample: 2, norm: IMAGENET },
  Siglip2: { size: 256, square: true, resample: 2, norm: HALF },
  Siglip: { size: 224, square: true, resample: 3, norm: HALF },
  CLIP: { size: 224, square: false, crop: 224, resample: 3, norm: CLIP },
  Bit: { size: 224, square: false, crop: 224, resample: 3, norm: CLIP },
};

/** PIL.Image.Resampling, by number. */
const RESAMPLE: Filter[] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

const filterOf = (number: unknown): Filter | undefined => (typeof number === "number" ? RESAMPLE[number] : undefined);

const unsupported = (name: string, rule: string, found: unknown) =>
  new RangeError(`preprocessing: ${name} ${rule}; got ${excerpt(found)}`);

/**
 * Most pixels of an image before and after the crop, 4096×4096, and most patches of one: more than any model takes. Of the
 * short side alone the square counts.
 */
const MAX_PIXELS = 2 ** 24;
const MAX_PATCHES = 2 ** 16;

/**
 * What a checkpoint says about its input.
 * @param preprocessor contents of preprocessor_config.json, if there is one.
 * @param model contents of config.json; timm's holds a pretrained_cfg, transformers' nothing: then the defaults of its
 *   ViTImageProcessor. Without either, timm's defaults for `imageSize`: short side to size / 0.875, bicubic, center crop, ImageNet mean and deviation.
 * @param imageSize [height, width] of the model, for timm; preprocessor_config.json brings its own.
 * @param resized whether imageSize is to hold in any case.
 * @throws RangeError for settings that are unknown or not supported.
 */
export function parsePreprocessing(
  preprocessor: unknown,
  model: unknown,
  imageSize: readonly [number, number],
  resized = false,
): Preprocessing {
  const own = readPreprocessing(preprocessor, model, imageSize);
  const result = resized ? scaledTo(own, imageSize) : own;
  checkNumbers(result);
  return result;
}

/** Compares what a resize makes with the bounds, and tries all values that a byte can become. */
function checkNumbers(preprocessing: Preprocessing): void {
  const { resize, width, height, rescale, mean, std } = preprocessing;
  const largest: readonly [number, number] =
    resize.mode === "shortest"
      ? [resize.size, resize.size]
      : resize.mode === "patches"
        ? [resize.patch * resize.patch, resize.most]
        : resize.mode === "none"
          ? [height, width]
          : [resize.height, resize.width];
  const most = `must have at most ${MAX_PIXELS} pixels`;
  if (height * width > MAX_PIXELS) throw unsupported("images", most, [height, width]);
  if (largest[0] * largest[1] > MAX_PIXELS) {
    throw unsupported(resize.mode === "patches" ? "patches" : "images before the crop", most, resize);
  }
  if (resize.mode === "patches" && resize.most > MAX_PATCHES) {
    throw unsupported("max_num_patches", `must be at most ${MAX_PATCHES}`, resize.most);
  }
  if (!pixelValueTables(preprocessing).every(Number.isFinite)) {
    throw unsupported("rescale, mean and std", "must give finite pixel values", { rescale, mean, std });
  }
}

/** For images of another size: what is resized before the crop grows or shrinks with it. */
function scaledTo(own: Preprocessing, [height, width]: readonly [number, number]): Preprocessing {
  const { resize } = own;
  const [y, x] = [height / own.height, width / own.width];
  const scaled = (size: number, by: number) => Math.max(1, Math.round(size * by));
  if (resize.mode === "none" || resize.mode === "patches") return { ...own, height, width };
  const plan: Preprocessing["resize"] =
    resize.mode === "shortest" && x === y
      ? { mode: "shortest", size: scaled(resize.size, x) }
      : resize.mode === "shortest"
        ? { mode: "cover", height: scaled(resize.size, y), width: scaled(resize.size, x) }
        : { ...resize, height: scaled(resize.height, y), width: scaled(resize.width, x) };
  return { ...own, resize: plan, height, width };
}

function readPreprocessing(preprocessor: unknown, model: unknown, imageSize: readonly [number, number]): Preprocessing {
  if (preprocessor !== undefined) {
    if (!isRecord(preprocessor)) throw unsupported("preprocessor_config.json", "must hold an object", preprocessor);
    return parseHuggingFace(preprocessor);
  }
  const config = isRecord(model) ? model : {};
  // What transformers' ViTImageProcessor does with no more than a size.
  if ("model_type" in config) return parseHuggingFace({ size: { height: imageSize[0], width: imageSize[1] } });
  if ("model_cfg" in config) return parseOpenClip(config.preprocess_cfg, imageSize);
  // Old timm files have the settings at the top, beside "architecture".
  const { pretrained_cfg: settings = "architecture" in config ? config : {} } = config;
  if (!isRecord(settings)) throw unsupported("pretrained_cfg", "must be an object", settings);
  return parseTimm(settings, imageSize);
}

function parseHuggingFace(config: Record<string, unknown>): Preprocessing {
  const type = config.image_processor_type ?? config.feature_extractor_type ?? "ViTImageProcessor";
  const family = (typeof type === "string" ? type.slice(0, 100) : "").replace(
    /(FeatureExtractor|ImageProcessor)(Fast|Pil)?$/,
    "",
  );
  if (!Object.hasOwn(PROCESSORS, family)) {
    throw unsupported("image_processor_type", `must be that of ${Object.keys(PROCESSORS).join(", ")}`, type);
  }
  const defaults = PROCESSORS[family];
  if (family === "Siglip2") return parsePatches(config);
  const flag = (name: string, fallback = true) => (config[name] ?? fallback) === true;

  const crops = flag("do_center_crop", defaults.crop !== undefined);
  const crop = crops ? readSize("crop_size", config.crop_size ?? defaults.crop ?? 224, true) : undefined;
  const target = readSize("size", config.size ?? defaults.size, defaults.square);
  let plan: Preprocessing["resize"] = target;
  if (!flag("do_resize")) plan = { mode: "none" };
  const result = crop ?? target;
  if (result.mode !== "exact")
    throw unsupported("size", "must be a height and a width where nothing is cropped", config.size);
  const { width, height } = result;
  if (
    (plan.mode === "shortest" && plan.size < Math.max(width, height)) ||
    (plan.mode === "exact" && (plan.width < width || plan.height < height))
  ) {
    throw unsupported("crop_size", `must not be more than the size ${excerpt(config.size)}`, config.crop_size);
  }

  const filter = filterOf(config.resample ?? defaults.resample);
  if (!filter) throw unsupported("resample", "must be a number from 0 to 5", config.resample);
  const normalizes = flag("do_normalize");
  return {
    resize: plan,
    filter,
    width,
    height,
    cropRounding: "down",
    rescale: flag("do_rescale") ? readPositive("rescale_factor", config.rescale_factor ?? 1 / 255) : 1,
    mean: normalizes ? readThree("image_mean", config.image_mean ?? defaults.norm[0]) : [0, 0, 0],
    std: normalizes ? readThree("image_std", config.image_std ?? defaults.norm[1]) : [1, 1, 1],
  };
}

/** OpenCLIP's preprocess_cfg, by default CLIP's own transform: short side, bicubic, center crop. */
function parseOpenClip(settings: unknown, [height, width]: readonly [number, number]): Preprocessing {
  const config = isRecord(settings) ? settings : {};
  const { interpolation = "bicubic", resize_mode: mode = "shortest" } = config;
  if (mode !== "shortest" && mode !== "squash") {
    throw unsupported("resize_mode", 'must be "shortest" or "squash"', mode);
  }
  return {
    ...parseTimm({ interpolation, crop_pct: 1, crop_mode: mode === "squash" ? "squash" : "center" }, [height, width]),
    mean: readThree("mean", config.mean ?? CLIP[0]),
    std: readThree("std", config.std ?? CLIP[1]),
  };
}

/** Of sequences of patches: transformers' Siglip2ImageProcessor. */
function parsePatches(config: Record<string, unknown>): Preprocessing {
  const count = (name: string, absent: number) => {
    const value = config[name] ?? absent;
    return isSize(value) ? value : readPositive(name, undefined);
  };
  const [patch, most] = [count("patch_size", 16), count("max_num_patches", 256)];
  const side = Math.floor(Math.sqrt(most)) * patch;
  return {
    resize: config.do_resize === false ? { mode: "none" } : { mode: "patches", patch, most },
    filter: filterOf(config.resample ?? 2) ?? (readPositive("resample", undefined) as never),
    width: side,
    height: side,
    cropRounding: "down",
    rescale: config.do_rescale === false ? 1 : readPositive("rescale_factor", config.rescale_factor ?? 1 / 255),
    mean: config.do_normalize === false ? [0, 0, 0] : readThree("image_mean", config.image_mean ?? HALF[0]),
    std: config.do_normalize === false ? [1, 1, 1] : readThree("image_std", config.image_std ?? HALF[1]),
  };
}

function parseTimm(config: Record<string, unknown>, [height, width]: readonly [number, number]): Preprocessing {
  const { interpolation = "bicubic", crop_mode: mode = "center" } = config;
  if (!RESAMPLE.includes(interpolation as Filter)) {
    throw unsupported("interpolation", `must be one of ${RESAMPLE.join(", ")}`, interpolation);
  }
  const pct = readPositive("crop_pct", config.crop_pct ?? 0.875);
  if (pct > 1) throw unsupported("crop_pct", "must be at most 1", pct);
  if ((height / pct) * (width / pct) > MAX_PIXELS) {
    const rule = `must leave images of ${height}×${width} at most ${MAX_PIXELS} pixels before the crop`;
    throw unsupported("crop_pct", rule, pct);
  }
  if (mode !== "center" && mode !== "squash") throw unsupported("crop_mode", `must be "center" or "squash"`, mode);
  const scaled = { width: Math.floor(width / pct), height: Math.floor(height / pct) };
  let plan: Preprocessing["resize"] = { mode: "exact", ...scaled };
  if (mode === "center") {
    plan = scaled.width === scaled.height ? { mode: "shortest", size: scaled.width } : { mode: "cover", ...scaled };
  }
  return {
    resize: plan,
    filter: interpolation as Filter,
    width,
    height,
    cropRounding: "even",
    rescale: 1 / 255,
    mean: readThree("mean", config.mean ?? IMAGENET[0]),
    std: readThree("std", config.std ?? IMAGENET[1]),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSize = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1;

/** A number, [height, width], { height, width } or { shortest_edge }. */
function readSize(
  name: string,
  size: unknown,
  square: boolean,
): { mode: "exact"; width: number; height: number } | { mode: "shortest"; size: number } {
  if (isSize(size)) return square ? { mode: "exact", width: size, height: size } : { mode: "shortest", size };
  const fields = Array.isArray(size) ? { height: size[0], width: size[1] } : size;
  if (isRecord(fields)) {
    const { height, width, shortest_edge: shortest, longest_edge: longest } = fields;
    if (isSize(height) && isSize(width)) return { mode: "exact", width, height };
    if (isSize(shortest) && longest === undefined) return { mode: "shortest", size: shortest };
  }
  throw unsupported(name, "must be a number, a height and width, or a shortest_edge", size);
}

function readPositive(name: string, value: unknown): number {
  if (typeof value === "number" && value > 0 && Number.isFinite(value)) return value;
  throw unsupported(name, "must be a number above 0", value);
}

function readThree(name: string, value: unknown): Three {
  const three = typeof value === "number" ? [value, value, value] : value;
  if (Array.isArray(three) && three.length === 3 && three.every(Number.isFinite)) return three as unknown as Three;
  throw unsupported(name, "must be three numbers", value);
}

/** 8-bit RGB that a model sees, and how the photo lies in it. */
export interface SeenImage extends RgbImage {
  readonly geometry: Geometry;
}

/**
 * The image resized and cropped: 8-bit RGB of the preprocessing's size, or of whole patches.
 * @throws RangeError if the preprocessing does not resize and the image is smaller than what it crops.
 */
export function toRgb(image: Readable, preprocessing: Preprocessing): SeenImage {
  return atOnce(fitting(image, preprocessing));
}

/** The same in slices. */
export function* fitting(image: Readable, preprocessing: Preprocessing): Slices<SeenImage> {
  const { filter } = preprocessing;
  const stored = { orientation: 1, channels: 3, ...image } as const;
  const [uprightWidth, uprightHeight] = uprightSize(stored);
  const photo = { width: uprightWidth, height: uprightHeight };
  const { resized, window } = placeOf(photo, preprocessing);
  const { width, height } = window;
  const { data } = yield* resizing(stored, { ...resized, filter, window });
  return { data, width, height, geometry: geometryOf(photo, { resized, window }) };
}

/** The geometry of a photo that is resized and of which a window is kept. */
export const geometryOf = (
  { width, height }: Omit<RgbImage, "data">,
  { resized, window }: ReturnType<typeof placeOf>,
): Geometry => ({
  photo: { width, height },
  resized: { width: resized.width, height: resized.height },
  // Not -0, which is another value for some comparisons.
  offset: [0 - window.left, 0 - window.top],
  model: { width: window.width, height: window.height },
});

/** What an upright image is resized to, and which part of it is kept. */
export function placeOf(
  image: Omit<RgbImage, "data">,
  preprocessing: Preprocessing,
): { resized: Omit<RgbImage, "data">; window: Part } {
  const { cropRounding } = preprocessing;
  const resized = resizedSize(image, preprocessing.resize);
  const { width, height } = preprocessing.resize.mode === "patches" ? resized : preprocessing;
  if (resized.width < width || resized.height < height) {
    const found = `${resized.width}×${resized.height}`;
    throw new RangeError(
      `preprocessing: an image that is not resized must be at least ${width}×${height}; got ${found}`,
    );
  }
  const offset = (space: number) => (cropRounding === "down" ? Math.floor(space / 2) : roundHalfEven(space / 2));
  const window = { left: offset(resized.width - width), top: offset(resized.height - height), width, height };
  return { resized, window };
}

function resizedSize(
  { width, height }: Omit<RgbImage, "data">,
  plan: Preprocessing["resize"],
): { width: number; height: number } {
  switch (plan.mode) {
    case "none":
      return { width, height };
    case "exact":
      return { width: plan.width, height: plan.height };
    case "patches":
      return patchesSize(width, height, plan);
    case "cover": {
      const ratio = Math.min(height / plan.height, width / plan.width);
      return { width: roundHalfEven(width / ratio), height: roundHalfEven(height / ratio) };
    }
    case "shortest": {
      const long = Math.trunc((plan.size * Math.max(width, height)) / Math.min(width, height));
      return width <= height ? { width: plan.size, height: long } : { width: long, height: plan.size };
    }
  }
}

/** The largest size of whole patches and about the image's shape, by the bisection of transformers' Siglip2ImageProcessor. */
function patchesSize(width: number, height: number, { patch, most }: { patch: number; most: number }) {
  const scaled = (side: number, scale: number) => Math.max(patch, Math.ceil((side * scale) / patch) * patch);
  let [low, high] = [1e-6, 100];
  while (high - low >= 1e-5) {
    const scale = (low + high) / 2;
    if ((scaled(height, scale) / patch) * (scaled(width, scale) / patch) <= most) low = scale;
    else high = scale;
  }
  return { width: scaled(width, low), height: scaled(height, low) };
}

/** Python's round. */
function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}

/**
 * Pixel values of 8-bit RGB: f32 [3, height, width], each step rounded to f32 as in PyTorch and NumPy.
 * @param bytes height · width · 3, as from `toRgb`.
 * @param out where to write them; a new array by default.
 */
export function toPixelValues(
  bytes: Uint8Array | Uint8ClampedArray,
  { width, height, rescale, mean, std }: Pick<Preprocessing, "width" | "height" | "rescale" | "mean" | "std">,
  out: Float32Array = new Float32Array(3 * width * height),
): Float32Array {
  const area = width * height;
  if (bytes.length !== 3 * area || out.length !== 3 * area) {
    const found = `${bytes.length} bytes and ${out.length} values`;
    throw new RangeError(`preprocessing: ${width}×${height} RGB has ${3 * area} bytes and values; got ${found}`);
  }
  const tables = pixelValueTables({ rescale, mean, std });
  const source = tables.byteLength;
  const result = source + 4 * Math.ceil((3 * area) / 4);
  const kernel = kernelWith(result + out.byteLength);
  kernel.bytes.set(new Uint8Array(tables.buffer));
  kernel.bytes.set(bytes, source);
  kernel.pixel_values(result, source, 0, area);
  out.set(new Float32Array(kernel.bytes.buffer, result, 3 * area));
  return out;
}

/** The pixel value of each byte of each channel, [3, 256]. */
export function pixelValueTables({
  rescale,
  mean,
  std,
}: Pick<Preprocessing, "rescale" | "mean" | "std">): Float32Array {
  const { fround } = Math;
  const tables = new Float32Array(3 * 256);
  for (let c = 0; c < 3; c++) {
    for (let v = 0; v < 256; v++) {
      tables[256 * c + v] = fround(fround(v * rescale) - fround(mean[c])) / fround(std[c]);
    }
  }
  return tables;
}

/** Patches of pixel values [3, H, W], row by row, each in the order (y, x, channel), and their grid. */
export function patchesOf(values: Float32Array, { width, height }: { width: number; height: number }, patch: number) {
  const grid = [height / patch, width / patch] as const;
  const data = new Float32Array(values.length);
  let i = 0;
  for (let row = 0; row < grid[0]; row++)
    for (let column = 0; column < grid[1]; column++)
      for (let y = row * patch; y < (row + 1) * patch; y++)
        for (let x = column * patch; x < (column + 1) * patch; x++)
          for (let c = 0; c < 3; c++) data[i++] = values[(c * height + y) * width + x]!;
  return {
    pixelValues: { dims: [1, grid[0] * grid[1], 3 * patch * patch], data },
    spatialShapes: { dims: [1, 2], data: grid },
  };
}
