/**
 * The input that a checkpoint asks for: Hugging Face's preprocessor_config.json, by the classes of transformers' image
 * processors; timm's pretrained_cfg; OpenCLIP's preprocess_cfg.
 */
import { excerpt } from "../json.js";
import { faultOfKeys, type KeyRules, type Watched, watch } from "../keys.js";
import type { Placing } from "./place.js";
import { roundHalfEven } from "./place.js";
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
  /** The absent `do_convert_rgb`, by which transparent images are laid on white (convert_to_rgb of image_transforms.py). */
  white?: true;
  /** The absent `do_normalize` is false. */
  raw?: true;
  /** The absent `offset`, by which 1 is taken off values that are rescaled. */
  offset?: true;
  /** Torchvision's class rescales before it resizes, or both do. */
  rescaleFirst?: true | "both";
  /** How the size is found, if not as `size` says. */
  sizes?: "multiples" | "bounded" | "blurred" | "affine" | "patches" | "squares" | "longest" | "whole";
}

/** The size of VitPoseImageProcessor that its file leaves out. */
const POSE_SIZE = { height: 256, width: 192 };

/** Processors that may leave an image in its size, whatever it is. */
const WHOLE: readonly unknown[] = ["multiples"];

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
  Eomt: { size: 640, square: false, resample: 2, norm: IMAGENET, sizes: "squares" },
  Owlv2: { size: 960, square: true, resample: 2, norm: CLIP, white: true, rescaleFirst: "both", sizes: "blurred" },
  OwlViT: { size: 768, square: true, resample: 3, norm: CLIP, white: true },
  Blip: { size: 384, square: true, resample: 3, norm: CLIP, white: true },
  ChineseCLIP: { size: 224, square: false, crop: 224, resample: 3, norm: CLIP, white: true },
  GotOcr2: { size: 384, square: true, resample: 3, norm: CLIP, white: true },
  VideoMAE: { size: 224, square: false, crop: 224, resample: 2, norm: HALF },
  Vivit: { size: 256, square: false, crop: 224, resample: 2, norm: HALF, offset: true },
  Sam: { size: 1024, square: true, resample: 2, norm: IMAGENET, white: true, sizes: "longest" },
  VitMatte: { size: 512, square: true, resample: 2, norm: HALF, sizes: "whole" },
  VitPose: { size: 256, square: true, resample: 2, norm: IMAGENET, sizes: "affine" },
  Tipsv2: { size: 448, square: true, resample: 2, norm: HALF, white: true, raw: true },
};

/** Classes of image processors by model_type, as transformers' AutoImageProcessor finds them. */
const FAMILY_PROCESSORS: Readonly<Record<string, keyof typeof PROCESSORS>> = {
  vit: "ViT",
  deit: "DeiT",
  vit_mae: "ViT",
  vit_msn: "ViT",
  ijepa: "ViT",
  beit: "Beit",
  "data2vec-vision": "Beit",
  dinov2: "Bit",
  dinov2_with_registers: "Bit",
  dinov3_vit: "DINOv3ViT",
  clip: "CLIP",
  clip_vision_model: "CLIP",
  metaclip_2: "CLIP",
  metaclip_2_vision_model: "CLIP",
  siglip: "Siglip",
  siglip_vision_model: "Siglip",
  siglip2: "Siglip2",
  siglip2_vision_model: "Siglip2",
  bit: "Bit",
  owlvit: "OwlViT",
  owlv2: "Owlv2",
  yolos: "Yolos",
  chinese_clip: "ChineseCLIP",
  altclip: "CLIP",
  blip_vision_model: "Blip",
  git_vision_model: "CLIP",
  aimv2_vision_model: "CLIP",
  aimv2: "CLIP",
  clipseg: "ViT",
  mlcd_vision_model: "CLIP",
  internvl_vision: "GotOcr2",
  pixio: "Bit",
  tipsv2: "Tipsv2",
  dpt: "DPT",
  depth_anything: "DPT",
  sam: "Sam",
  eomt: "Eomt",
  eomt_dinov3: "Eomt",
  hiera: "Bit",
  videomae: "VideoMAE",
  vivit: "Vivit",
  timesformer: "VideoMAE",
  swin: "ViT",
  swinv2: "ViT",
  vitpose: "VitPose",
  vitmatte: "VitMatte",
};

/** Keys of preprocessor_config.json that are read of some checkpoints only, or never. */
export const PREPROCESSOR_KEYS: KeyRules = {
  harmless: {
    "names of things":
      "processor_class _processor_class _valid_processor_keys image_processor_type feature_extractor_type",
    "forms of the library's own calls": "return_tensors device disable_grouping image_seq_length input_data_format",
    "of steps that are left out":
      "crop_size size resample image_mean image_std rescale_factor pad_size default_to_square",
    "of crops to patches": "min_patches max_patches",
    "labels of training":
      "mask_size mask_pad_size do_reduce_labels do_convert_annotations format ignore_index num_labels",
    // A decoded image is RGB here.
    "already so": "do_convert_rgb",
  },
  fixed: {
    do_pad: [false],
    do_center_crop: [false],
    do_split_image: [false],
    crop_to_patches: [false],
    data_format: ["channels_first"],
    size_divisor: [],
    size_divisibility: [],
  },
};

/** The same of timm's pretrained_cfg. */
export const PRETRAINED_CFG_KEYS: KeyRules = {
  harmless: {
    "sources of weights": "url file state_dict hf_hub_id hf_hub_filename source architecture tag custom_load",
    "sizes of other uses":
      "test_input_size test_crop_pct min_input_size fixed_input_size pool_size test_pool_size input_size num_features",
    "names of things":
      "label_names label_descriptions first_conv classifier license description origin_url paper_name paper_ids notes " +
      "global_pool num_classes model_args pretrained_cfg",
  },
  fixed: { label_offset: [0] },
};

/** The same of OpenCLIP's preprocess_cfg. */
export const PREPROCESS_CFG_KEYS: KeyRules = {
  harmless: { "of a mode that is refused": "fill_color" },
  fixed: { mode: ["RGB"] },
};

/** PIL.Image.Resampling, by number. */
const RESAMPLE: Filter[] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

/** By number, or by name as in Pillow and torchvision: "bicubic", "PIL.Image.BICUBIC", "InterpolationMode.BICUBIC". */
function filterOf(resample: unknown): Filter | undefined {
  if (typeof resample === "number") return RESAMPLE[resample];
  if (typeof resample !== "string" || resample.length > 100) return undefined;
  const name = resample.slice(resample.lastIndexOf(".") + 1).toLowerCase();
  return RESAMPLE.find((filter) => filter === name);
}

/** A setting that is true or false; null is as if it were left out. */
function flagOf(config: Record<string, unknown>, name: string, absent = true): boolean {
  const value = config[name] ?? absent;
  if (typeof value === "boolean") return value;
  throw unsupported(name, "must be true or false", value);
}

const { fround } = Math;

const unsupported = (name: string, rule: string, found: unknown) =>
  new RangeError(`preprocessing: ${name} ${rule}; got ${excerpt(found)}`);

/**
 * Most pixels of an image before and after the crop, 4096×4096, and most patches of one: more than any model takes. Of the
 * short side alone the square counts.
 */
const MAX_PIXELS = 2 ** 24;
const MAX_PATCHES = 2 ** 16;

/** Most pixels that sides are filled to multiples of; published are 14 and 32. */
const MAX_DIVISOR = 4096;

/**
 * Reads the input that a checkpoint asks for.
 * @param preprocessor contents of preprocessor_config.json, if there is one.
 * @param model contents of config.json; timm's holds a pretrained_cfg, transformers' nothing: then the defaults of the class that
 *   its AutoImageProcessor takes for the model_type, for `imageSize`. Without either, timm's defaults for `imageSize`: short side to size / 0.875, bicubic, center crop, ImageNet mean and deviation.
 * @param imageSize [height, width] of the model, for timm; preprocessor_config.json brings its own.
 * @param options resized: whether imageSize is to hold in any case; processor: whose image processors to follow; patchSize: of
 *   the model; channels: 1 for gray images, of timm's; tagger: whether it is one of SmilingWolf's taggers, whose images are laid on
 *   a white square, with their channels in the order of OpenCV, blue first.
 * @throws RangeError for settings that are unknown or not supported.
 */
export function parsePreprocessing(
  preprocessor: unknown,
  model: unknown,
  imageSize: readonly [number, number],
  {
    resized = false,
    processor = "pillow",
    patchSize = 16,
    channels = 3,
    tagger = false,
  }: { resized?: boolean; processor?: Processor; patchSize?: number; channels?: number; tagger?: boolean } = {},
): Preprocessing {
  if (processor !== "pillow" && processor !== "torchvision") {
    throw unsupported("processor", "must be pillow or torchvision", processor);
  }
  const absent = faultOfChannels(model, channels);
  const read: Preprocessing =
    absent === undefined
      ? readPreprocessing(preprocessor, model, imageSize, { processor, patchSize, channels })
      : { ...parseTimm({}, imageSize, 3), absent };
  const own: Preprocessing = tagger ? { ...read, square: true, bgr: true, alpha: "white" } : read;
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
    case "longest":
      return [plan.longest, plan.longest];
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
  } else if (resize.mode === "longest") {
    plan = { ...resize, longest: scaled(resize.longest, Math.min(x, y)) };
  } else if (resize.mode !== "shortest") {
    plan = { ...resize, height: scaled(resize.height, y), width: scaled(resize.width, x) };
  } else if (x === y) plan = { mode: "shortest", size: scaled(resize.size, x) };
  else plan = { mode: "cover", height: scaled(resize.size, y), width: scaled(resize.size, x) };
  return { ...own, resize: plan, height, width };
}

/** The class of transformers whose defaults hold where a checkpoint has no preprocessor_config.json; undefined in other libraries. */
export function assumedProcessor(preprocessor: unknown, model: unknown): string | undefined {
  const { model_type: stated, vision_config: tower } = isRecord(model) ? model : {};
  // Of two towers of any types, that of images counts.
  const type = stated === "vision-text-dual-encoder" && isRecord(tower) ? tower.model_type : stated;
  if (preprocessor !== undefined || typeof type !== "string" || type === TIMM_WRAPPER) return undefined;
  const family = Object.hasOwn(FAMILY_PROCESSORS, type) ? FAMILY_PROCESSORS[type] : undefined;
  return family && `${family}ImageProcessor`;
}

/** timm's models in transformers, prepared as timm does by the pretrained_cfg of config.json. */
const TIMM_WRAPPER = "timm_wrapper";

/** Facts of the model that images are prepared for. */
interface Model {
  readonly processor: Processor;
  readonly patchSize: number;
  readonly channels: number;
}

function readPreprocessing(
  preprocessor: unknown,
  model: unknown,
  imageSize: readonly [number, number],
  { processor, patchSize, channels }: Model,
): Preprocessing {
  const config = isRecord(model) ? model : {};
  const wrapped = config.model_type === TIMM_WRAPPER;
  if (preprocessor !== undefined && !wrapped) {
    if (!isRecord(preprocessor)) throw unsupported("preprocessor_config.json", "must hold an object", preprocessor);
    return checked("preprocessor_config.json", watch(preprocessor), PREPROCESSOR_KEYS, (settings) =>
      parseHuggingFace(settings, processor, channels),
    );
  }
  const assumed = assumedProcessor(undefined, model);
  if (assumed !== undefined) {
    const own = parseHuggingFace({ image_processor_type: assumed }, processor, channels);
    if (own.resize.mode === "patches") return { ...own, resize: { ...own.resize, patch: patchSize } };
    // DINOv2's positions are resampled to any size, and its library prepares 224×224 for models of 518×518.
    return /^dinov2/.test(String(config.model_type)) ? own : scaledTo(own, imageSize);
  }
  if (typeof config.model_type === "string" && !wrapped) {
    const absent = `preprocessing: preprocessor_config.json must be there, as transformers has no image processor of its own for ${excerpt(config.model_type)}`;
    return { ...scaledTo(parseHuggingFace({}, processor, 3), imageSize), absent };
  }
  if (processor !== "pillow") {
    const rule =
      'must be "pillow" where no preprocessor_config.json of transformers is: timm and OpenCLIP resize PIL images';
    throw unsupported("processor", rule, processor);
  }
  if ("model_cfg" in config) {
    const settings = isRecord(config.preprocess_cfg) ? config.preprocess_cfg : {};
    return checked("preprocess_cfg", watch(settings), PREPROCESS_CFG_KEYS, (file) => parseOpenClip(file, imageSize));
  }
  // Old timm files have the settings at the top, beside "architecture".
  const { pretrained_cfg: settings = "architecture" in config ? config : {} } = config;
  if (!isRecord(settings)) throw unsupported("pretrained_cfg", "must be an object", settings);
  return checked("pretrained_cfg", watch(settings), PRETRAINED_CFG_KEYS, (file) =>
    parseTimm(file, imageSize, channels),
  );
}

/** Why no image can be prepared, which is RGB here or gray, for a model of so many channels. */
function faultOfChannels(model: unknown, channels: number): string | undefined {
  const known = isRecord(model) && "model_cfg" in model ? [3] : [1, 3];
  if (known.includes(channels)) return undefined;
  return `preprocessing: models must have ${known.join(" or ")} channels for images to be prepared; this one has ${channels}, so give forward its pixel values`;
}

/** Reads an object, none of whose keys goes unread. */
function checked(
  what: string,
  watched: Watched,
  rules: KeyRules,
  read: (file: Record<string, unknown>) => Preprocessing,
): Preprocessing {
  const result = read(watched.file);
  const fault = faultOfKeys(what, watched, rules);
  if (fault !== undefined) throw new RangeError(`preprocessing: ${fault}`);
  return result;
}

/** Reads preprocessor_config.json, by the class of transformers that it names. */
export function parseHuggingFace(config: Record<string, unknown>, processor: Processor, channels = 3): Preprocessing {
  const type = config.image_processor_type ?? config.feature_extractor_type ?? "ViTImageProcessor";
  const family = (typeof type === "string" ? type.slice(0, 100) : "").replace(
    /(FeatureExtractor|ImageProcessor)(Fast|Pil)?$/,
    "",
  );
  if (!Object.hasOwn(PROCESSORS, family)) {
    throw unsupported("image_processor_type", `must be that of ${Object.keys(PROCESSORS).join(", ")}`, type);
  }
  const defaults = PROCESSORS[family]!;
  const flag = (name: string, absent = true) => flagOf(config, name, absent);
  const torchvision = processor === "torchvision";
  const filter = filterOf(config.resample ?? defaults.resample);
  if (!filter) throw unsupported("resample", "must be a number from 0 to 5 or the name of a filter", config.resample);
  if (torchvision && (filter === "box" || filter === "hamming")) {
    throw unsupported(
      "resample",
      "must be a number from 0 to 3 for torchvision, which has no box and hamming",
      config.resample,
    );
  }
  const rescaleFirst = defaults.rescaleFirst === "both" || (torchvision && defaults.rescaleFirst === true);
  const gray = channels === 1;
  if (gray && (rescaleFirst || defaults.sizes || flag("do_convert_rgb", defaults.white === true))) {
    throw unsupported("images", `must have 3 channels for ${family}ImageProcessor as it is set`, channels);
  }
  if (rescaleFirst && !flag("do_rescale")) {
    const whose = defaults.rescaleFirst === "both" ? "" : "torchvision's ";
    throw unsupported("do_rescale", `must be true for ${whose}${family}ImageProcessor`, config.do_rescale);
  }
  if (rescaleFirst && filter === "lanczos" && defaults.sizes !== "blurred") {
    throw unsupported("resample", `must be 0, 2 or 3 for torchvision's ${family}ImageProcessor`, config.resample);
  }
  return {
    processor,
    ...placingOf(config, family, processor),
    filter,
    alpha: flag("do_convert_rgb", defaults.white === true) ? "white" : "drop",
    rescaleFirst,
    ...(gray && { gray }),
    ...(defaults.sizes === "whole" && { trimap: rescaleOf(config, processor) }),
    ...arithmetic(config, defaults, processor, channels),
  };
}

/** The size that an image is resized to, and the part of it that is kept. */
function placingOf(config: Record<string, unknown>, family: string, processor: Processor): Omit<Placing, "processor"> {
  const defaults = PROCESSORS[family]!;
  const flag = (name: string, absent = true) => flagOf(config, name, absent);
  const cropRounding = "down";
  if (defaults.sizes === "whole") return { ...wholeOf(config, defaults), cropRounding };
  if (defaults.sizes) {
    const { resize, width, height, divisor, corner, windows } = sizesOf(config, defaults.sizes, defaults, processor);
    if (defaults.sizes !== "patches" && flag("do_center_crop", false)) {
      throw unsupported("do_center_crop", `must be false for ${family}ImageProcessor`, true);
    }
    // Boxes are cut out instead; else an image must be as the model takes it.
    if (resize.mode === "affine") {
      void config.do_resize;
      const asIs = { mode: "none", exactly: true } as const;
      return { resize: flag("do_affine_transform") ? resize : asIs, width, height, cropRounding };
    }
    if (flag("do_resize")) {
      const further = {
        ...(divisor !== undefined && { divisor }),
        ...(corner && { corner }),
        ...(windows && { windows }),
      };
      return { resize, width, height, cropRounding, ...further };
    }
    if (defaults.sizes === "patches") return { resize: { mode: "none" }, width, height, cropRounding };
    if (WHOLE.includes(defaults.sizes)) {
      return { resize: { mode: "none", whole: true }, width, height, cropRounding, divisor };
    }
    throw unsupported("do_resize", `must be true for ${family}ImageProcessor`, config.do_resize);
  }

  const crops = flag("do_center_crop", defaults.crop !== undefined);
  const crop = crops ? readSize("crop_size", config.crop_size ?? defaults.crop ?? 224, true) : undefined;
  const square = flag("default_to_square", defaults.square);
  const target = readSize("size", config.size ?? defaults.size, square);
  let plan: Placing["resize"] = target;
  if (!flag("do_resize")) plan = { mode: "none", ...(!crop && { exactly: true }) };
  const result = crop ?? target;
  if (result.mode !== "exact")
    throw unsupported("size", "must be a height and a width where nothing is cropped", config.size);
  const { width, height } = result;
  return { resize: plan, width, height, cropRounding };
}

/** VitMatteImageProcessor: the image as large as it is, with a border behind it; the size is that of a typical one. */
function wholeOf(config: Record<string, unknown>, { size }: ProcessorRow): Omit<Placing, "processor" | "cropRounding"> {
  const { size_divisor: divisor = config.size_divisibility ?? 32 } = config;
  if (!isSize(divisor) || divisor > MAX_DIVISOR) {
    throw unsupported("size_divisor", `must be a whole number from 1 to ${MAX_DIVISOR}`, divisor);
  }
  // No step of the class reads it.
  void config.do_resize;
  const border = flagOf(config, "do_pad") ? { divisor, corner: true as const } : {};
  return { resize: { mode: "none", whole: true }, width: size, height: size, ...border };
}

/** Reads the sizes of the processors whose images are as large as they are resized to. */
function sizesOf(
  config: Record<string, unknown>,
  mode: Exclude<ProcessorRow["sizes"], "whole" | undefined>,
  { size, square }: ProcessorRow,
  processor: Processor,
): Pick<Placing, "resize" | "width" | "height" | "divisor" | "corner" | "windows"> {
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
    // Of the images of a batch, which one image is not.
    if (flagOf(config, "do_pad") && (config.pad_size ?? undefined) !== undefined) {
      throw unsupported("pad_size", "must be left out where images are padded to the largest", config.pad_size);
    }
    // A lone number has its bound beside it, or as nothing has in YolosImageProcessor.
    const { size: given = size, max_size: bound } = config;
    const { shortest_edge: shortest, longest_edge: longest } = isRecord(given)
      ? given
      : { shortest_edge: given, longest_edge: bound ?? 1333 };
    if (isRecord(given) && isSize(given.height) && isSize(given.width)) {
      const { height, width } = given;
      return { resize: { mode: "exact", width, height }, width, height };
    }
    if (!isSize(shortest) || !isSize(longest)) {
      throw unsupported("size", "must be a shortest_edge and a longest_edge, or a height and a width", config.size);
    }
    return { resize: { mode, shortest, longest, multiple: 16 }, width: longest, height: shortest };
  }
  if (mode === "squares") return squaresOf(config, size);
  if (mode === "longest") {
    const { size: given = { longest_edge: size } } = config;
    const longest = isRecord(given) ? given.longest_edge : undefined;
    if (!isSize(longest)) throw unsupported("size", "must be a longest_edge", given);
    const padded = readSize("pad_size", config.pad_size ?? size, true);
    if (padded.mode !== "exact" || Math.min(padded.width, padded.height) < longest) {
      throw unsupported("pad_size", `must be a height and a width of ${longest} or more`, config.pad_size);
    }
    if (!flagOf(config, "do_pad")) throw unsupported("do_pad", "must be true for SamImageProcessor", false);
    return { resize: { mode, longest }, width: padded.width, height: padded.height };
  }
  const target = readSize("size", config.size ?? (mode === "affine" ? POSE_SIZE : size), square);
  if (target.mode !== "exact") throw unsupported("size", "must be a height and a width", config.size);
  const { width, height } = target;
  if (mode === "affine") {
    // Borders of the result are pixels apart.
    if (Math.min(width, height) < 2) throw unsupported("size", "must be at least 2×2", config.size);
    return {
      resize: { mode, width, height, unit: readPositive("normalize_factor", config.normalize_factor ?? 200) },
      width,
      height,
    };
  }
  if (mode === "blurred") {
    // transformers' class on PIL images hands it on as the flag of the blur.
    if (processor === "pillow" && filterOf(config.resample) === "nearest") {
      throw unsupported(
        "resample",
        "must not be 0 for Owlv2ImageProcessor, whose blur it would leave out",
        config.resample,
      );
    }
    return { resize: { mode, width, height, pad: flagOf(config, "do_pad") }, width, height };
  }
  const multiple = count("ensure_multiple_of", 1);
  const keepsShape = flagOf(config, "keep_aspect_ratio", false);
  const divisor = count("size_divisor", 1);
  if (divisor > MAX_DIVISOR) throw unsupported("size_divisor", `must be at most ${MAX_DIVISOR}`, divisor);
  const pads = flagOf(config, "do_pad", false);
  // transformers' class on PIL images leaves out a border that has no divisor, and its other one fails at it.
  if (pads && processor === "torchvision" && (config.size_divisor ?? null) === null) {
    throw unsupported("size_divisor", "must be a number where do_pad is true", config.size_divisor);
  }
  return {
    resize: { mode, width, height, multiple, keepsShape },
    width,
    height,
    ...(pads && divisor > 1 && { divisor }),
  };
}

/**
 * Sizes of EomtImageProcessor: the whole image within a square, with a border behind it if it says so, or windows of a square
 * along its longer side.
 */
function squaresOf(
  config: Record<string, unknown>,
  side: number,
): Pick<Placing, "resize" | "width" | "height" | "corner" | "windows"> {
  const { size = { shortest_edge: side, longest_edge: side } } = config;
  const { shortest_edge: shortest, longest_edge } = isRecord(size) ? size : {};
  const longest = longest_edge ?? undefined;
  const split = flagOf(config, "do_split_image", false);
  const pad = flagOf(config, "do_pad", false);
  if (!isSize(shortest) || (split ? longest !== undefined : longest !== shortest)) {
    const rule = split ? "a shortest_edge alone, where images are split" : "an equal shortest_edge and longest_edge";
    throw unsupported("size", `must be ${rule}`, size);
  }
  const square = { width: shortest, height: shortest };
  // Windows are as large as what they would be filled up to.
  if (split) return { resize: { mode: "shortest", size: shortest }, ...square, windows: true };
  return { resize: { mode: "bounded", shortest, longest: shortest }, ...square, ...(pad && { corner: true }) };
}

/** Factor by which bytes become values, which torchvision rounds to f32. */
function rescaleOf(config: Record<string, unknown>, processor: Processor = "pillow", usual = 1 / 255): number {
  const factor = flagOf(config, "do_rescale") ? readPositive("rescale_factor", config.rescale_factor ?? usual) : 1;
  return processor === "torchvision" ? fround(factor) : factor;
}

/** From bytes to pixel values. */
function arithmetic(
  config: Record<string, unknown>,
  { norm, rescaleFirst, raw, offset }: ProcessorRow,
  processor: Processor,
  channels: number,
): Pick<Preprocessing, "rescale" | "offset" | "mean" | "std"> {
  const flag = (name: string, absent = true) => flagOf(config, name, absent);
  if (offset) return withOffset(config, norm, processor, channels);
  const factor = rescaleOf(config);
  if (!flag("do_normalize", !raw)) {
    return { rescale: rescaleOf(config, processor), mean: [0, 0, 0], std: [1, 1, 1] };
  }
  const mean = readThree("image_mean", config.image_mean ?? norm[0], channels);
  const std = readThree("image_std", config.image_std ?? norm[1], channels);
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

/** VivitImageProcessor's, which transformers has on NumPy, and of videos on torchvision, which does not rescale and normalize at once. */
function withOffset(
  config: Record<string, unknown>,
  norm: ProcessorRow["norm"],
  processor: Processor,
  channels: number,
): Pick<Preprocessing, "rescale" | "offset" | "mean" | "std"> {
  const offset = flagOf(config, "offset") ? 1 : 0;
  if (offset === 1 && !flagOf(config, "do_rescale")) {
    throw unsupported("do_rescale", "must be true for VivitImageProcessor with an offset", config.do_rescale);
  }
  const rescale = rescaleOf(config, processor, 1 / 127.5);
  if (!flagOf(config, "do_normalize")) return { rescale, offset, mean: [0, 0, 0], std: [1, 1, 1] };
  const mean = readThree("image_mean", config.image_mean ?? norm[0], channels);
  const std = readThree("image_std", config.image_std ?? norm[1], channels);
  return { rescale, offset, mean, std };
}

/** Reads OpenCLIP's preprocess_cfg, by default CLIP's own transform: short side, bicubic, center crop. */
export function parseOpenClip(config: Record<string, unknown>, imageSize: readonly [number, number]): Preprocessing {
  const { interpolation = "bicubic", resize_mode: mode = "shortest" } = config;
  if (mode !== "shortest" && mode !== "squash") {
    throw unsupported("resize_mode", 'must be "shortest" or "squash"', mode);
  }
  const size = readSize("size", config.size ?? imageSize, true);
  if (size.mode !== "exact") throw unsupported("size", "must be a number or a height and width", config.size);
  const transform = { interpolation, crop_pct: 1, crop_mode: mode === "squash" ? "squash" : "center" };
  return {
    ...parseTimm(transform, [size.height, size.width], 3),
    mean: readThree("mean", config.mean ?? CLIP[0]),
    std: readThree("std", config.std ?? CLIP[1]),
  };
}

/** timm's crop_mode: center, a crop of what covers it; squash, one of all, out of shape; border, all of it with a border. */
const CROP_MODES = ["center", "squash", "border"];

/** Reads timm's pretrained_cfg (resolve_data_config and create_transform of timm.data). */
export function parseTimm(
  config: Record<string, unknown>,
  [height, width]: readonly [number, number],
  channels: number,
): Preprocessing {
  const interpolation = config.interpolation || "bicubic";
  const mode = config.crop_mode || "center";
  if (!RESAMPLE.includes(interpolation as Filter)) {
    throw unsupported("interpolation", `must be one of ${RESAMPLE.join(", ")}`, interpolation);
  }
  const pct = readPositive("crop_pct", config.crop_pct ?? 0.875);
  if (pct > 1) throw unsupported("crop_pct", "must be at most 1", pct);
  if ((height / pct) * (width / pct) > MAX_PIXELS) {
    const rule = `must leave images of ${height}×${width} at most ${MAX_PIXELS} pixels before the crop`;
    throw unsupported("crop_pct", rule, pct);
  }
  if (!CROP_MODES.includes(mode as string)) {
    throw unsupported("crop_mode", `must be one of ${CROP_MODES.join(", ")}`, mode);
  }
  // Of three numbers for one channel the mean counts (resolve_input_data_config).
  const one = (values: unknown) =>
    channels === 1 && Array.isArray(values) && values.length === 3 ? values.reduce((a, b) => a + b, 0) / 3 : values;
  const mean = readThree("mean", one(config.mean ?? IMAGENET[0]), channels);
  const std = readThree("std", one(config.std ?? IMAGENET[1]), channels);
  const scaled = { width: Math.floor(width / pct), height: Math.floor(height / pct) };
  let plan: Placing["resize"] = { mode: "exact", ...scaled };
  if (mode === "border") plan = { mode: "contain", ...scaled };
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
    ...(mode === "border" && { fill: mean.map((x) => roundHalfEven(255 * x)) as unknown as Three }),
    ...(channels === 1 && { gray: true }),
    alpha: "drop",
    rescaleFirst: false,
    rescale: 1 / 255,
    mean,
    std,
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

/** A number for each channel; of gray images the one for all three. */
function readThree(name: string, value: unknown, channels = 3): Three {
  const one = channels === 1 && Array.isArray(value) && value.length === 1 ? value[0] : value;
  const three = typeof one === "number" ? [one, one, one] : one;
  const isOne = (values: readonly unknown[]) => values.every((x) => x === values[0]);
  if (Array.isArray(three) && three.length === 3 && three.every(Number.isFinite) && (channels === 3 || isOne(three))) {
    return three as unknown as Three;
  }
  throw unsupported(name, channels === 1 ? "must be a number" : "must be three numbers", value);
}
