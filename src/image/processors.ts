/**
 * The input that a checkpoint asks for: Hugging Face's preprocessor_config.json, by the classes of transformers' image
 * processors; timm's pretrained_cfg; OpenCLIP's preprocess_cfg.
 */
import { excerpt } from "../json.js";
import type { Placing } from "./place.js";
import { type Preprocessing, type Processor, pixelValueTables, type Three } from "./preprocess.js";
import type { Filter } from "./resize.js";

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

interface ProcessorRow {
  size: number;
  /** A lone `size` is a square; else the short side. */
  square: boolean;
  crop?: number;
  resample: number;
  norm: [Three, Three];
  /** The absent `do_convert_rgb`: torchvision's class lays transparent images on white. */
  white?: true;
  /** Torchvision's class rescales before it resizes. */
  rescaleFirst?: true;
  /** How the size is found, if not as `size` says. */
  sizes?: "multiples" | "bounded" | "blurred" | "patches";
}

/** Class defaults of transformers 5. */
const PROCESSORS: Readonly<Record<string, ProcessorRow>> = {
  ViT: { size: 224, square: true, resample: 2, norm: HALF },
  DeiT: { size: 256, square: true, crop: 224, resample: 3, norm: HALF },
  Beit: { size: 224, square: true, resample: 3, norm: HALF },
  DINOv3ViT: { size: 224, square: true, resample: 2, norm: IMAGENET, rescaleFirst: true },
  Siglip2: { size: 256, square: true, resample: 2, norm: HALF, sizes: "patches" },
  Siglip: { size: 224, square: true, resample: 3, norm: HALF, white: true },
  CLIP: { size: 224, square: false, crop: 224, resample: 3, norm: CLIP, white: true },
  Bit: { size: 224, square: false, crop: 224, resample: 3, norm: CLIP, white: true },
  DPT: { size: 384, square: true, resample: 3, norm: HALF, sizes: "multiples" },
  Yolos: { size: 800, square: false, resample: 2, norm: IMAGENET, sizes: "bounded" },
  Owlv2: { size: 960, square: true, resample: 2, norm: CLIP, white: true, rescaleFirst: true, sizes: "blurred" },
};

/** PIL.Image.Resampling, by number. */
const RESAMPLE: Filter[] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

const filterOf = (number: unknown): Filter | undefined => (typeof number === "number" ? RESAMPLE[number] : undefined);

const { fround } = Math;

const unsupported = (name: string, rule: string, found: unknown) =>
  new RangeError(`preprocessing: ${name} ${rule}; got ${excerpt(found)}`);

/**
 * Most pixels of an image before and after the crop, 4096×4096, and most patches of one: more than any model takes. Of the
 * short side alone the square counts.
 */
const MAX_PIXELS = 2 ** 24;
const MAX_PATCHES = 2 ** 16;

/**
 * Reads the input that a checkpoint asks for.
 * @param preprocessor contents of preprocessor_config.json, if there is one.
 * @param model contents of config.json; timm's holds a pretrained_cfg, transformers' nothing: then the defaults of its
 *   ViTImageProcessor. Without either, timm's defaults for `imageSize`: short side to size / 0.875, bicubic, center crop, ImageNet mean and deviation.
 * @param imageSize [height, width] of the model, for timm; preprocessor_config.json brings its own.
 * @param options resized: whether imageSize is to hold in any case; processor: whose image processors to follow.
 * @throws RangeError for settings that are unknown or not supported.
 */
export function parsePreprocessing(
  preprocessor: unknown,
  model: unknown,
  imageSize: readonly [number, number],
  { resized = false, processor = "pillow" }: { resized?: boolean; processor?: Processor } = {},
): Preprocessing {
  if (processor !== "pillow" && processor !== "torchvision") {
    throw unsupported("processor", "must be pillow or torchvision", processor);
  }
  const own = readPreprocessing(preprocessor, model, imageSize, processor);
  const result = resized ? scaledTo(own, imageSize) : own;
  checkNumbers(result);
  return result;
}

/** Compares what a resize makes with the bounds, and tries all values that a byte can become. */
function checkNumbers(preprocessing: Preprocessing): void {
  const { resize, width, height, rescale, mean, std } = preprocessing;
  const largest = largestOf(resize) ?? [height, width];
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

/** The size that a plan is about. */
function largestOf(plan: Placing["resize"]): readonly [number, number] | undefined {
  switch (plan.mode) {
    case "none":
      return undefined;
    case "shortest":
      return [plan.size, plan.size];
    case "bounded":
      return [plan.shortest, plan.longest];
    case "patches":
      return [plan.patch * plan.patch, plan.most];
    default:
      return [plan.height, plan.width];
  }
}

/** For images of another size: what is resized before the crop grows or shrinks with it. */
function scaledTo(own: Preprocessing, [height, width]: readonly [number, number]): Preprocessing {
  const { resize } = own;
  const [y, x] = [height / own.height, width / own.width];
  const scaled = (size: number, by: number) => Math.max(1, Math.round(size * by));
  if (resize.mode === "none" || resize.mode === "patches") return { ...own, height, width };
  let plan: Preprocessing["resize"];
  if (resize.mode === "bounded") {
    plan = { ...resize, shortest: scaled(resize.shortest, y), longest: scaled(resize.longest, x) };
  } else if (resize.mode !== "shortest") {
    plan = { ...resize, height: scaled(resize.height, y), width: scaled(resize.width, x) };
  } else if (x === y) plan = { mode: "shortest", size: scaled(resize.size, x) };
  else plan = { mode: "cover", height: scaled(resize.size, y), width: scaled(resize.size, x) };
  return { ...own, resize: plan, height, width };
}

function readPreprocessing(
  preprocessor: unknown,
  model: unknown,
  imageSize: readonly [number, number],
  processor: Processor,
): Preprocessing {
  if (preprocessor !== undefined) {
    if (!isRecord(preprocessor)) throw unsupported("preprocessor_config.json", "must hold an object", preprocessor);
    return parseHuggingFace(preprocessor, processor);
  }
  const config = isRecord(model) ? model : {};
  // What transformers' ViTImageProcessor does with no more than a size.
  if ("model_type" in config) {
    return parseHuggingFace({ size: { height: imageSize[0], width: imageSize[1] } }, processor);
  }
  if (processor !== "pillow") {
    const rule =
      'must be "pillow" where no preprocessor_config.json of transformers is: timm and OpenCLIP resize PIL images';
    throw unsupported("processor", rule, processor);
  }
  if ("model_cfg" in config) return parseOpenClip(config.preprocess_cfg, imageSize);
  // Old timm files have the settings at the top, beside "architecture".
  const { pretrained_cfg: settings = "architecture" in config ? config : {} } = config;
  if (!isRecord(settings)) throw unsupported("pretrained_cfg", "must be an object", settings);
  return parseTimm(settings, imageSize);
}

function parseHuggingFace(config: Record<string, unknown>, processor: Processor): Preprocessing {
  const type = config.image_processor_type ?? config.feature_extractor_type ?? "ViTImageProcessor";
  const family = (typeof type === "string" ? type.slice(0, 100) : "").replace(
    /(FeatureExtractor|ImageProcessor)(Fast|Pil)?$/,
    "",
  );
  if (!Object.hasOwn(PROCESSORS, family)) {
    throw unsupported("image_processor_type", `must be that of ${Object.keys(PROCESSORS).join(", ")}`, type);
  }
  const defaults = PROCESSORS[family]!;
  const flag = (name: string, fallback = true) => (config[name] ?? fallback) === true;
  const torchvision = processor === "torchvision";
  const filter = filterOf(config.resample ?? defaults.resample);
  if (!filter) throw unsupported("resample", "must be a number from 0 to 5", config.resample);
  if (torchvision && (filter === "box" || filter === "hamming")) {
    throw unsupported(
      "resample",
      "must be a number from 0 to 3 for torchvision, which has no box and hamming",
      config.resample,
    );
  }
  const rescaleFirst = torchvision && defaults.rescaleFirst === true;
  if (rescaleFirst && !flag("do_rescale")) {
    throw unsupported("do_rescale", `must be true for torchvision's ${family}ImageProcessor`, config.do_rescale);
  }
  if (rescaleFirst && filter === "lanczos" && defaults.sizes !== "blurred") {
    throw unsupported("resample", `must be 0, 2 or 3 for torchvision's ${family}ImageProcessor`, config.resample);
  }
  return {
    processor,
    ...placingOf(config, family, processor),
    filter,
    alpha: torchvision && flag("do_convert_rgb", defaults.white === true) ? "white" : "drop",
    rescaleFirst,
    ...arithmetic(config, defaults, processor),
  };
}

/** The size that an image is resized to, and the part of it that is kept. */
function placingOf(config: Record<string, unknown>, family: string, processor: Processor): Omit<Placing, "processor"> {
  const defaults = PROCESSORS[family]!;
  const flag = (name: string, fallback = true) => (config[name] ?? fallback) === true;
  const cropRounding = "down";
  if (defaults.sizes) {
    const { resize, width, height } = sizesOf(config, defaults.sizes, defaults, processor);
    if (defaults.sizes !== "patches" && flag("do_center_crop", false)) {
      throw unsupported("do_center_crop", `must be false for ${family}ImageProcessor`, true);
    }
    if (flag("do_resize")) return { resize, width, height, cropRounding };
    if (defaults.sizes === "patches") return { resize: { mode: "none" }, width, height, cropRounding };
    throw unsupported("do_resize", `must be true for ${family}ImageProcessor`, config.do_resize);
  }

  const crops = flag("do_center_crop", defaults.crop !== undefined);
  const crop = crops ? readSize("crop_size", config.crop_size ?? defaults.crop ?? 224, true) : undefined;
  const target = readSize("size", config.size ?? defaults.size, defaults.square);
  let plan: Placing["resize"] = target;
  if (!flag("do_resize")) plan = { mode: "none", ...(processor === "torchvision" && !crop && { exactly: true }) };
  const result = crop ?? target;
  if (result.mode !== "exact")
    throw unsupported("size", "must be a height and a width where nothing is cropped", config.size);
  const { width, height } = result;
  // Torchvision's processors pad what is too small.
  if (
    processor === "pillow" &&
    ((plan.mode === "shortest" && plan.size < Math.max(width, height)) ||
      (plan.mode === "exact" && (plan.width < width || plan.height < height)))
  ) {
    throw unsupported("crop_size", `must not be more than the size ${excerpt(config.size)}`, config.crop_size);
  }
  return { resize: plan, width, height, cropRounding };
}

/** Reads the sizes of the processors whose images are as large as they are resized to. */
function sizesOf(
  config: Record<string, unknown>,
  mode: NonNullable<ProcessorRow["sizes"]>,
  { size, square }: ProcessorRow,
  processor: Processor,
): Pick<Placing, "resize" | "width" | "height"> {
  const count = (name: string, absent: number) => {
    const value = config[name] ?? absent;
    if (isSize(value)) return value;
    throw unsupported(name, "must be a whole number above 0", value);
  };
  if (mode === "patches") {
    const [patch, most] = [count("patch_size", 16), count("max_num_patches", 256)];
    const side = Math.floor(Math.sqrt(most)) * patch;
    return { resize: { mode, patch, most }, width: side, height: side };
  }
  if (mode === "bounded") {
    // A lone number, and nothing, have this bound in YolosImageProcessor.
    const { size: given = size } = config;
    const { shortest_edge: shortest, longest_edge: longest } = isRecord(given)
      ? given
      : { shortest_edge: given, longest_edge: 1333 };
    if (!isSize(shortest) || !isSize(longest)) {
      throw unsupported("size", "must be a shortest_edge and a longest_edge", config.size);
    }
    return { resize: { mode, shortest, longest, multiple: 16 }, width: longest, height: shortest };
  }
  const target = readSize("size", config.size ?? size, square);
  if (target.mode !== "exact") throw unsupported("size", "must be a height and a width", config.size);
  const { width, height } = target;
  if (mode === "blurred") {
    if (processor === "pillow") {
      throw unsupported(
        "processor",
        "must be torchvision for Owlv2ImageProcessor, whose other one is SciPy's",
        processor,
      );
    }
    return { resize: { mode, width, height, pad: config.do_pad !== false }, width, height };
  }
  if (config.do_pad === true) throw unsupported("do_pad", "must be false for DPTImageProcessor", true);
  const multiple = count("ensure_multiple_of", 1);
  return { resize: { mode, width, height, multiple, keepsShape: config.keep_aspect_ratio === true }, width, height };
}

/** From bytes to pixel values. */
function arithmetic(
  config: Record<string, unknown>,
  { norm, rescaleFirst }: ProcessorRow,
  processor: Processor,
): Pick<Preprocessing, "rescale" | "mean" | "std"> {
  const flag = (name: string) => (config[name] ?? true) === true;
  const factor = flag("do_rescale") ? readPositive("rescale_factor", config.rescale_factor ?? 1 / 255) : 1;
  if (!flag("do_normalize")) {
    return { rescale: processor === "torchvision" ? fround(factor) : factor, mean: [0, 0, 0], std: [1, 1, 1] };
  }
  const mean = readThree("image_mean", config.image_mean ?? norm[0]);
  const std = readThree("image_std", config.image_std ?? norm[1]);
  if (processor === "pillow") return { rescale: factor, mean, std };
  if (rescaleFirst) return { rescale: fround(factor), mean, std };
  // TorchvisionBackend._fuse_mean_std_and_rescale_factor.
  const inverse = fround(1 / factor);
  const fused = ([r, g, b]: Three): Three => [
    fround(fround(r) * inverse),
    fround(fround(g) * inverse),
    fround(fround(b) * inverse),
  ];
  return { rescale: 1, mean: fused(mean), std: fused(std) };
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
  let plan: Placing["resize"] = { mode: "exact", ...scaled };
  if (mode === "center") {
    plan = scaled.width === scaled.height ? { mode: "shortest", size: scaled.width } : { mode: "cover", ...scaled };
  }
  return {
    processor: "pillow",
    resize: plan,
    filter: interpolation as Filter,
    width,
    height,
    cropRounding: "even",
    alpha: "drop",
    rescaleFirst: false,
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
