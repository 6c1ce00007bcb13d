/** Checkpoints without a JSON file: torchvision's and google-research's. Also what all families share. */
import type { Interpolation } from "../../vit/positions.js";
import type { ResNetConfig } from "../../vit/resnet.js";
import type { Config, LayoutName } from "../config.js";
import type { Facts, Seen } from "../observe.js";

/** Heads of 64 columns, as in every model of table 1; a checkpoint without config does not say. */
export const headsOf = (width: number): number => Math.max(1, Math.round(width / 64));

/** Image of a square grid that the rows of the position table fit, less those of as many prefix tokens as can be. */
export function squareSize({ positions, positioned, patch }: Seen, stride = 1): [number, number] {
  const sides = positioned.map((prefix) => Math.sqrt(positions - prefix));
  const side = Math.round([...sides].reverse().find(Number.isInteger) ?? sides[0]!);
  return [side * patch[0] * stride, side * patch[1] * stride];
}

/** One class is a yes or no, several are one choice, unless any number of them may hold. */
export const probabilitiesOf = (classes: number, several = false): Config["probabilities"] =>
  several || classes === 1 ? "sigmoid" : "softmax";

/** ResNetV2 in a hybrid: Kolesnikov et al. 2020 with the activation after the norm, padded as in TensorFlow. */
export const RESNET: Omit<ResNetConfig, "units" | "channels"> = {
  groups: 32,
  preActivation: false,
  padding: "same",
  poolPadding: "same",
  poolFill: Number.NEGATIVE_INFINITY,
  statesBeforePool: false,
};

/** timm's resample_abs_pos_embed. */
export const TIMM_INTERPOLATION: Interpolation = { filter: "bicubic", antialias: true, always: false };

/** The config of a plain ViT, whatever library wrote it. */
export function plain({ seen }: Facts): Omit<Config, "layout" | "family" | "recognizedBy"> {
  const stride = seen.resnet ? 2 ** (1 + Math.max(1, seen.units.length)) : 1;
  return {
    imageSize: squareSize(seen, stride),
    inputChannels: seen.inputChannels,
    patchSize: [seen.patch[0] * stride, seen.patch[1] * stride],
    stride,
    width: seen.width,
    depth: seen.depth,
    heads: seen.heads ?? headsOf(seen.width),
    mlpWidth: seen.mlpWidth,
    prefixTokens: seen.prefixTokens,
    suffixTokens: 0,
    classToken: seen.classToken,
    eps: 1e-6,
    activation: "gelu",
    gated: seen.gated,
    qkvBias: seen.qkvBias,
    qkNorm: seen.qkNorm,
    postNorm: false,
    rotary: undefined,
    relativePositions: seen.relativePositions,
    interpolation: TIMM_INTERPOLATION,
    pooling: seen.classToken ? "token" : "mean",
    poolHeads: seen.heads ?? headsOf(seen.width),
    norm: seen.pooledNorm ? "pooled" : seen.norm ? "tokens" : "none",
    pooled: "none",
    poolsPrefix: false,
    classes: seen.classes,
    probabilities: probabilitiesOf(seen.classes),
    headless: false,
    poolerWidth: 0,
    features: 0,
    patchBoxes: undefined,
    tokenBoxes: undefined,
    queryMasks: undefined,
    textMasks: undefined,
    fixedSize: false,
    naflex: false,
    resnet: seen.resnet ? { ...RESNET, units: seen.units, channels: seen.channels } : undefined,
    text: undefined,
    dpt: undefined,
    windows: undefined,
    sam: undefined,
  };
}

export const fromTorchvision = (facts: Facts): Omit<Config, "layout"> => ({
  ...plain(facts),
  family: "vit",
  recognizedBy: "torchvision's tensor names",
  // vit_h_14, the only one whose heads are not of 64 columns.
  heads: facts.seen.width === 1280 ? 16 : headsOf(facts.seen.width),
});

/** BiT alone, of any image size: padded the same on all sides, zeros around its first pool. */
export const BIT = {
  ...RESNET,
  preActivation: true,
  padding: "symmetric",
  poolPadding: "symmetric",
  poolFill: 0,
} as const;

/** The config of a ResNet without a transformer, as far as it is the same for all. */
export const alone = {
  imageSize: [224, 224],
  patchSize: [1, 1],
  depth: 0,
  heads: 1,
  poolHeads: 1,
  mlpWidth: 0,
  eps: 1e-5,
  norm: "none",
  pooling: "mean",
  interpolation: { ...TIMM_INTERPOLATION, always: true },
} as const satisfies Partial<Config>;

export const fromBigTransfer = (facts: Facts): Omit<Config, "layout"> => ({
  ...plain(facts),
  ...alone,
  family: "bit",
  recognizedBy: "big_transfer's tensor names",
  resnet: { ...BIT, units: facts.seen.units, channels: facts.seen.channels, statesBeforePool: true },
});

/** timm runs these weights with exact GELU and resamples their positions bilinear. */
export const fromFlax = (facts: Facts): Omit<Config, "layout"> => ({
  ...plain(facts),
  family: facts.seen.resnet ? "hybrid" : "vit",
  recognizedBy: "google-research's tensor names",
  interpolation: { filter: "bilinear", antialias: false, always: false },
});

/** Layouts of transformers' own names, whose settings of images its families have. */
const OF_TRANSFORMERS: readonly LayoutName[] = ["huggingface", "dinov3", "clip", "blip", "aimv2", "tips", "radio"];

/** Keys of a library's JSON file that tell how images are prepared, or at least whose it is. */
const TELLS = ["model_type", "architecture", "pretrained_cfg", "model_cfg"];

/**
 * The settings of images: the checkpoint's JSON file; where there is none, the family of transformers, or in timm's terms, torchvision's presets,
 * CLIP's transform or the range of google-research's. The files of facebookresearch have timm's defaults.
 */
export function imageSettings(file: unknown, { family, layout, features }: Config): unknown {
  if (TELLS.some((key) => key in ((file as object | undefined) ?? {}))) return file;
  if (OF_TRANSFORMERS.includes(layout)) return { model_type: family };
  if (features > 0) return { model_cfg: {}, preprocess_cfg: {} };
  if (layout === "torchvision") return { pretrained_cfg: { interpolation: "bilinear", crop_pct: 0.875 } };
  if (layout === "bit") return { pretrained_cfg: { interpolation: "bilinear", crop_pct: 1, mean: 0.5, std: 0.5 } };
  if (layout === "flax") return { pretrained_cfg: { crop_pct: 0.9, mean: 0.5, std: 0.5 } };
  return file;
}

/** Facts of the model that its images are prepared for. */
export const imageOptions = ({ patchSize, inputChannels, categories, matting }: Config) => ({
  patchSize: patchSize[0],
  // A trimap comes beside them.
  channels: matting?.decoder ? inputChannels - 1 : inputChannels,
  tagger: categories !== undefined,
});
