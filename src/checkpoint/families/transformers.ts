/** Hugging Face transformers: config.json by its model_type. Defaults are those of the library's config classes. */

import type { Activation } from "../../backend.js";
import { excerpt } from "../../json.js";
import { ACTIVATIONS } from "../../numerics/activations.js";
import { gridOf } from "../../vit/places.js";
import type { Interpolation } from "../../vit/positions.js";
import type { Rotary } from "../../vit/rope.js";
import { firstPosition, type TextConfig } from "../../vit/text.js";
import type { Config, LayoutName } from "../config.js";
import { EPS_RANGE, isRecord, type Json, reader } from "../json.js";
import { blockAt, type Facts, observeText } from "../observe.js";
import { alone, BIT, headsOf, probabilitiesOf, RESNET, squareSize } from "./bare.js";
import type { DenseFile } from "./dpt.js";
import type { VideoType } from "./video.js";

interface Family {
  readonly eps: number;
  /** num_attention_heads that config.json leaves out. */
  readonly heads: number;
  readonly act?: string;
  readonly interpolation?: Interpolation;
  readonly pooled?: Config["pooled"];
  /** Meaning of pooler_output in a model of both towers. */
  readonly pooledOfBoth?: Config["pooled"];
  readonly pooling?: Config["pooling"];
  readonly norm?: Config["norm"];
  readonly rotary?: Rotary;
  /** Name of the epsilon of norms, "layer_norm_eps" unless given. */
  readonly epsKey?: string;
  readonly naflex?: true;
  /** The class has mlp_ratio in place of intermediate_size, which tensors tell better. */
  readonly mlpRatio?: true;
  /** Size of images that config.json leaves out: of any table of positions, or a side where none tells it, 224 unless given. */
  readonly imageSize?: number | readonly [number, number];
  readonly text?: TextFamily;
}

interface TextFamily {
  readonly heads: number;
  /** Those of the image tower unless given. */
  readonly eps?: number;
  readonly act?: string;
  readonly causal: boolean;
  /** eos_token_id that config.json leaves out: the token whose first place stands for the text. */
  readonly eos?: number;
  /** An eos_token_id that means the largest id of a text. */
  readonly largest?: number;
  /** The vector that stands for a text, where no eos_token_id says so. */
  readonly pooling?: TextConfig["pooling"];
  /** BERT, whose norms are of sums; in RoBERTa positions begin behind that of padding. */
  readonly bert?: { readonly padding: number | undefined };
  /** TIPS's text tower. */
  readonly tips?: true;
}

const PLAIN: Interpolation = { filter: "bicubic", antialias: false, always: false };
const ALWAYS: Interpolation = { ...PLAIN, always: true };

const DINOV2: Family = { eps: 1e-6, heads: 12, mlpRatio: true, interpolation: ALWAYS, pooled: "token" };
const BEIT: Family = { eps: 1e-12, heads: 12, interpolation: ALWAYS, pooled: "head" };
const CLIP: Family = {
  eps: 1e-5,
  heads: 12,
  act: "quick_gelu",
  pooled: "head",
  pooledOfBoth: "features",
  // Old configs say 2 and mean the largest, that of CLIP's end of text.
  text: { heads: 8, causal: true, eos: 49407, largest: 2 },
};
const OWL: Family = { ...CLIP, pooledOfBoth: "head", text: { heads: 8, causal: true, pooling: "largest" } };
const METACLIP_2: Family = { ...CLIP, text: { heads: 8, causal: true, eos: 49407 } };
const SIGLIP: Family = {
  eps: 1e-6,
  heads: 12,
  act: "gelu_pytorch_tanh",
  pooled: "head",
  pooledOfBoth: "features",
  text: { heads: 12, causal: false },
};

const AIMV2: Family = { eps: 1e-5, heads: 8, act: "silu", pooled: "head", epsKey: "rms_norm_eps" };

/** Any size is taken, and padded to whole patches. */
const SWIN: Family = {
  ...{ eps: 1e-5, heads: 1, mlpRatio: true, pooled: "head", pooling: "mean", norm: "tokens" },
  interpolation: { ...ALWAYS, pad: true },
};

/** The size is of the tables of relative positions. */
const VITDET: Family = {
  ...{ eps: 1e-6, heads: 12, mlpRatio: true, norm: "none" },
  ...{ interpolation: ALWAYS, imageSize: [224, 224] },
};

const BERT = { heads: 12, eps: 1e-12, act: "gelu", causal: false, pooling: "first" } as const;

/** Qwen2-VL's, from whose code MLCD's is. */
const MLCD_ROPE: Rotary = {
  kind: "axial",
  temperature: 10000,
  reference: undefined,
  offset: 0,
  order: "ij",
  pairs: "halves",
};

/** One row a model_type. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  vit: { eps: 1e-12, heads: 12 },
  deit: { eps: 1e-12, heads: 12 },
  vit_mae: { eps: 1e-12, heads: 12 },
  vit_msn: { eps: 1e-6, heads: 12 },
  ijepa: { eps: 1e-12, heads: 12, pooling: "mean" },
  beit: BEIT,
  "data2vec-vision": BEIT,
  dinov2: DINOV2,
  dinov2_with_registers: {
    eps: 1e-6,
    heads: 12,
    mlpRatio: true,
    interpolation: { ...ALWAYS, antialias: true },
    pooled: "token",
  },
  dinov3_vit: { eps: 1e-5, heads: 6, interpolation: ALWAYS, pooled: "token" },
  clip: CLIP,
  clip_vision_model: CLIP,
  metaclip_2: METACLIP_2,
  metaclip_2_vision_model: METACLIP_2,
  siglip: SIGLIP,
  siglip_vision_model: SIGLIP,
  siglip2: {
    ...SIGLIP,
    interpolation: { filter: "bilinear", antialias: true, always: true },
    naflex: true,
  },
  siglip2_vision_model: SIGLIP,
  owlvit: OWL,
  owlv2: OWL,
  yolos: { eps: 1e-12, heads: 12, interpolation: ALWAYS, imageSize: [512, 864] },
  chinese_clip: { ...CLIP, text: { ...BERT, bert: { padding: undefined } } },
  altclip: { ...CLIP, pooledOfBoth: "head", text: { ...BERT, heads: 16, eps: 1e-5, bert: { padding: 1 } } },
  clipseg: { ...CLIP, interpolation: ALWAYS },
  blip_vision_model: { eps: 1e-5, heads: 12, pooled: "head", norm: "twice" },
  blip_2_vision_model: { eps: 1e-6, heads: 16, pooled: "head", norm: "twice" },
  flava_image_model: { eps: 1e-12, heads: 12 },
  git_vision_model: { eps: 1e-5, heads: 12, act: "quick_gelu" },
  aimv2_vision_model: AIMV2,
  aimv2: { ...AIMV2, text: { heads: 6, causal: true, eos: 49407 } },
  internvl_vision: { eps: 1e-6, heads: 16, interpolation: ALWAYS },
  pixio: { eps: 1e-6, heads: 16, mlpRatio: true, interpolation: ALWAYS, pooled: "head", pooling: "tokens" },
  tipsv2: {
    ...{ eps: 1e-6, heads: 12, mlpRatio: true, pooled: "token", norm: "tokens" },
    interpolation: { filter: "bilinear", antialias: true, always: true },
    text: { heads: 12, eps: 1e-5, act: "relu", causal: false, pooling: "mean", tips: true },
  },
  radio: { eps: 1e-6, heads: 16, mlpRatio: true, pooling: "summary" },
  mlcd_vision_model: { eps: 1e-5, heads: 16, pooled: "head", norm: "pooled", rotary: MLCD_ROPE, imageSize: 336 },
  bit: { eps: 1e-5, heads: 1, pooled: "head", pooling: "mean" },
  // The encoder is the file's own, or of the family of its backbone_config.
  dpt: { eps: 1e-12, heads: 12, interpolation: { filter: "bilinear", antialias: false, always: true } },
  depth_anything: { ...DINOV2, heads: 6 },
  sam: { eps: 1e-6, heads: 12, mlpRatio: true, norm: "none", imageSize: 1024 },
  eomt: { eps: 1e-6, heads: 16, mlpRatio: true, imageSize: 640 },
  eomt_dinov3: { eps: 1e-6, heads: 16, imageSize: 640 },
  vitpose: { eps: 1e-12, heads: 12, mlpRatio: true, imageSize: [256, 192] },
  videomae: { eps: 1e-12, heads: 12 },
  vivit: { eps: 1e-6, heads: 12, act: "gelu_fast", imageSize: [224, 224] },
  timesformer: { eps: 1e-6, heads: 12 },
  swin: SWIN,
  swinv2: SWIN,
  hiera: { eps: 1e-6, heads: 1, mlpRatio: true, pooled: "head" },
  vitdet: VITDET,
  vitmatte: VITDET,
};

const HIDDEN_ACTS: Readonly<Record<string, Activation>> = Object.fromEntries(
  Object.entries(ACTIVATIONS).flatMap(([name, { hiddenAct }]) => hiddenAct.map((act) => [act, name as Activation])),
);

/** SwiGLU's own, beside which the MLP has none. */
const GATED = { silu: "gelu" } as const;

/**
 * Compares a file's model_type with the families, before its tensors are looked at.
 * @throws Error that names the family.
 */
export function checkFamily(name: string, file: Json): void {
  const type = reader(name, file).text("model_type");
  if (type === undefined || Object.hasOwn(FAMILIES, type) || type === TIMM_WRAPPER || type === DUAL) return;
  throw new Error(
    `load: "${name}" is of the family ${excerpt(type)}, which is not supported; supported of transformers are ${Object.keys(FAMILIES).join(", ")}`,
  );
}

/** model_type of timm's models in transformers, whose files are timm's with a few keys more. */
const TIMM_WRAPPER = "timm_wrapper";

/** model_type of a plain ViT beside a BERT. */
const DUAL = "vision-text-dual-encoder";

/** Readers of what a family has beside an encoder, imported for a checkpoint that has it. */
const importDpt = (type: string) => (type === "dpt" || type === "depth_anything" ? import("./dpt.js") : undefined);
const importPose = (type: string) => (type === "vitpose" ? import("./vitpose.js") : undefined);
const importSwin = (type: string) => (type === "swin" || type === "swinv2" ? import("./swin.js") : undefined);
const importHiera = (type: string) => (type === "hiera" ? import("./hiera.js") : undefined);
const importVideo = (type: string) =>
  type === "videomae" || type === "vivit" || type === "timesformer" ? import("./video.js") : undefined;
const importVitdet = (type: string) => (type === "vitdet" || type === "vitmatte" ? import("./vitdet.js") : undefined);
const importSam = (type: string) => (type === "sam" ? import("./sam.js") : undefined);

export async function fromTransformers(facts: Facts): Promise<Omit<Config, "layout">> {
  const { name, file, seen, named, tensors } = facts;
  const stated = reader(name, file).text("model_type");
  const type = stated ?? typeOf(facts);
  const [dpt, vitpose, sam, swin, hiera, video, vitdet] = await Promise.all([
    importDpt(type),
    importPose(type),
    importSam(type),
    importSwin(type),
    importHiera(type),
    importVideo(type),
    importVitdet(type),
  ] as const);
  const dense = dpt?.denseFile(name, type as DenseFile["type"], file);
  const family = type === DUAL ? dual(facts) : FAMILIES[dense?.backbone?.type ?? type];
  if (!family) throw new Error(`load: "${name}" is of the family ${excerpt(type)}, but its tensors are not timm's`);
  const pose = vitpose?.poseBackbone(name, file);
  const matting = type === "vitmatte" ? vitdet?.mattingBackbone(name, file) : undefined;
  const vision = dense?.backbone?.file ?? pose ?? matting ?? towerOf(facts, "vision") ?? file;
  const read = reader(name, vision);
  const ofDinov3 = type === "dinov3_vit" || type === "eomt_dinov3";
  // SwiGLU has its own; DINOv3's gated MLP takes the one that is stated.
  if (seen.gated && ofDinov3) read.choice("hidden_act", "gelu", { silu: true });
  const activation = seen.gated ? "gelu" : read.choice("hidden_act", family.act ?? "gelu", HIDDEN_ACTS);
  if (seen.gated && family.act === "silu") read.choice("hidden_act", "silu", GATED);
  read.same("num_channels", seen.inputChannels, 3);
  if (seen.poolerWidth) read.choice("pooler_act", "tanh", { tanh: "tanh" });
  // The last stage's.
  const staged = named.block?.stage !== undefined;
  if (staged !== ((swin ?? hiera) !== undefined)) {
    throw new Error(`load: "${name}" is of the family ${excerpt(type)}, but its tensors are not`);
  }
  const width = staged ? seen.width : read.count("hidden_size", seen.width);
  const problem = reader(name, file).choice("problem_type", "none", PROBLEMS);
  const isFor = (task: string) =>
    [file.architectures].flat().some((name) => typeof name === "string" && name.includes(`For${task}`));
  const labels = isRecord(file.id2label) ? Object.keys(file.id2label).length : 0;
  if (seen.suffixTokens > 0) {
    read.same("num_detection_tokens", seen.suffixTokens, stated === undefined ? seen.suffixTokens : 100);
  }
  // transformers leaves id2label out when there are two classes.
  const classes = seen.classes || isFor("ImageClassification") ? labels || seen.classes || 2 : 0;
  const boxes = seen.suffixTokens > 0 && (seen.boxClasses > 0 || isFor("ObjectDetection"));
  const depth = staged ? seen.depth : read.count("num_hidden_layers", seen.depth || 1);
  // Behind a BiT a patch is one pixel of its map.
  const perPatch = dense?.stem ? 2 ** (seen.units.length + 1) : 1;
  const patchSize = read.size("patch_size", [seen.patch[0] * perPatch, seen.patch[1] * perPatch]);
  const eps = read.number(family.epsKey ?? "layer_norm_eps", family.eps, EPS_RANGE);
  const imageSize = read.size("image_size", sizeLeftOut(facts, family, stated !== undefined, perPatch));
  const contrastive = family.text !== undefined;
  const text = family.text && textOf(facts, family, towerOf(facts, "text") ?? {});

  let pooling: Config["pooling"] = family.pooling ?? "token";
  if (seen.distilledHead) pooling = "distilled";
  else if (seen.headInputs === 2 * width) pooling = "token+mean";
  else if (seen.attentionPool && classes === 0) pooling = "attention";
  else if (seen.pooledNorm || !seen.classToken || (contrastive && classes > 0)) pooling = "mean";

  let norm: Config["norm"] = family.norm ?? (seen.norm ? "tokens" : "none");
  if (!family.norm && (seen.pooledNorm || (contrastive && seen.classToken))) norm = "pooled";
  // CLIPForImageClassification reads what no norm has seen.
  if (contrastive && seen.classToken && classes > 0) norm = "none";

  const segments = family === BEIT && (isFor("SemanticSegmentation") || tensors.has("decode_head.classifier.weight"));
  const qkvBias = read.flag("qkv_bias", seen.qkvBias);
  const { queryMasks, textMasks } = named.layout;
  return {
    family: type,
    recognizedBy: stated === undefined ? "tensor names" : "model_type in config.json",
    imageSize,
    inputChannels: seen.inputChannels,
    patchSize,
    stride: 1,
    width,
    depth,
    heads: read.count("num_attention_heads", stated === undefined ? headsOf(width) : family.heads),
    mlpWidth: family.mlpRatio ? seen.mlpWidth : read.count("intermediate_size", seen.mlpWidth || 1),
    prefixTokens: seen.prefixTokens,
    suffixTokens: seen.suffixTokens,
    classToken: seen.classToken,
    eps,
    activation,
    gated: seen.gated,
    qkvBias,
    qkNorm: seen.qkNorm,
    postNorm: false,
    rotary: ofDinov3
      ? { kind: "dinov3", temperature: rotaryOf(facts).number("rope_theta", 100, [1, 1e12]) }
      : family.rotary,
    relativePositions: seen.relativePositions,
    interpolation: family.interpolation ?? PLAIN,
    pooling,
    poolsPrefix: false,
    poolHeads: read.count("num_attention_heads", stated === undefined ? headsOf(width) : family.heads),
    norm,
    pooled: seen.poolerWidth > 0 ? "pooler" : ((text && family.pooledOfBoth) ?? family.pooled ?? "none"),
    classes,
    probabilities: problem === "regression" ? "none" : probabilitiesOf(classes, problem === "several"),
    headless: false,
    poolerWidth: seen.poolerWidth,
    features: contrastive ? seen.features || (text ? width : 0) : 0,
    patchBoxes: named.layout.patchBoxes && { objectness: type === "owlv2" },
    tokenBoxes: boxes ? { classes: labels || (stated === undefined ? seen.boxClasses - 1 : 2) } : undefined,
    queryMasks:
      queryMasks && (await import("./eomt.js")).queryMasksOf(facts, queryMasks, { depth, activations: HIDDEN_ACTS }),
    upernet: segments ? (await import("./upernet.js")).upernetOf(facts, depth) : undefined,
    textMasks: textMasks && (await import("./clipseg.js")).textMasksOf(facts, textMasks, { depth, eps }),
    fixedSize: queryMasks !== undefined,
    naflex: seen.naflex,
    resnet: undefined,
    text,
    dpt: dense && dpt?.dptOf(facts, dense, { depth, activation, patchSize }),
    windows: undefined,
    sam: undefined,
    ...(type === "bit" ? { ...alone, ...resnetOf(facts, file, "preactivation") } : {}),
    ...(dense?.stem ? hybrid(facts, dense) : {}),
    ...(pose && vitpose?.poseOf(facts, pose, { depth, imageSize, patchSize })),
    ...(hides(type, tensors) && {
      reconstruction: (await import("./mae.js")).reconstructionOf(facts, { eps, activation }),
    }),
    ...video?.videoOf(facts, type as VideoType, classes),
    ...hiera?.hieraOf(facts, imageSize),
    ...swin?.swinOf(facts, type as "swin" | "swinv2", { imageSize, patchSize }),
    ...(type === "radio" ? radio(facts) : {}),
    ...(type === "aimv2" ? { mostSimilarity: reader(name, file).number("max_logit_scale", 100, [1, 1e6]) } : {}),
    ...vitdet?.vitdetOf(facts, vision, type as "vitdet" | "vitmatte", { depth, qkvBias, patchSize }),
    ...sam?.samOf(facts, vision, {
      ...{ depth, patchSize, imageSize, qkvBias, activations: HIDDEN_ACTS },
      grid: gridOf({ patchSize, interpolation: PLAIN }, imageSize),
    }),
  };
}

/** Settings of rotary positions: at the top of DINOv3's file, in rope_parameters of EoMT's. */
function rotaryOf({ name, file }: Facts) {
  const { rope_parameters: nested } = file;
  if (!isRecord(nested)) return reader(name, file);
  const read = reader(`rope_parameters of ${name}`, nested);
  read.choice("rope_type", "default", { default: true });
  return read;
}

/** The BiT of a DPT: images have one size, unless positions are to be resampled. */
function hybrid(facts: Facts, { stem }: DenseFile): Pick<Config, "stride" | "resnet" | "interpolation"> {
  const { interpolation } = FAMILIES.dpt!;
  return { ...resnetOf(facts, stem!, "bottleneck"), interpolation: { ...interpolation!, always: false } };
}

/** The size of images that config.json leaves out: by the table of positions, else the class's. */
function sizeLeftOut(
  { name, named, seen, stated }: Facts,
  family: Family,
  isNamed: boolean,
  perPatch: number,
): readonly [number, number] {
  if (stated.imageSize) return stated.imageSize;
  const { imageSize = 224, rotary } = family;
  if (typeof imageSize !== "number") return imageSize;
  if (seen.positions > 0 && named.layout.name !== "radio") return squareSize(seen, perPatch);
  // A model that was named has its class's size; another may have any.
  if (isNamed || !(seen.relativePositions || rotary)) return [imageSize, imageSize];
  const what = "as its tensors do not tell it; config: { imageSize } states it as well";
  throw new Error(`load: "${name}" must have a config.json with its image_size, ${what}`);
}

/** Families of layouts that no other has. */
const OF_LAYOUT: Readonly<Partial<Record<LayoutName, string>>> = {
  dinov3: "dinov3_vit",
  eomt: "eomt",
  eomt_dinov3: "eomt_dinov3",
  aimv2: "aimv2_vision_model",
  tips: "tipsv2",
  sam: "sam",
};

/** Families by the modules that hold their encoders. */
const OF_PREFIX: Readonly<Record<string, string>> = {
  "deit.": "deit",
  "beit.": "beit",
  "data2vec_vision.": "data2vec-vision",
  "dinov2.": "dinov2",
  "dinov2_with_registers.": "dinov2_with_registers",
  "ijepa.": "ijepa",
  "bit.": "bit",
  "swin.": "swin",
};

/**
 * The model_type of a checkpoint whose file does not say it, by its tensors.
 * @throws Error where they are of several families whose arithmetic differs.
 */
function typeOf({ name, named: { layout, prefix, block, blockPrefix, text }, seen, tensors, stated }: Facts): string {
  const untold = (what: string) =>
    new Error(`load: "${name}" must have a config.json with its model_type, as its tensors do not tell ${what}`);
  const has = (part: string) => tensors.has(`${prefix}${part}`);
  if (text) throw untold("its text tower's heads");
  const only = OF_LAYOUT[layout.name] ?? OF_PREFIX[prefix];
  if (only !== undefined) return only;
  if (layout.name === "blip") {
    // BLIP-2's is another.
    if (stated.eps === undefined) throw untold("its epsilon, which config: { eps } states as well");
    return "blip_vision_model";
  }
  if (seen.suffixTokens > 0) throw untold("the size of its images");
  if (layout.name === "vitdet") throw untold("which of its blocks attend within windows");
  if (layout.name === "clipseg") throw untold("its heads, and which blocks its decoder reads");
  if (layout.name === "radio") throw untold("its heads, its summary and how positions are resampled");
  if (layout.name === "clip") {
    if (has("class_pos_emb")) return "mlcd_vision_model";
    if (!seen.classToken) return seen.naflex ? "siglip2" : "siglip_vision_model";
    // CLIP's own is the quick GELU, others' by the same names the exact one.
    if (stated.activation === undefined) throw untold("its activation, which config: { activation } states as well");
    return "clip_vision_model";
  }
  if (seen.resnet) return "bit";
  if (seen.suffixTokens > 0) return "yolos";
  if (has("embeddings.distillation_token")) return "deit";
  if (seen.prefixTokens > 1 && !has("embeddings.register_tokens")) return "pixio";
  if (!seen.classToken) return "ijepa";
  const first = block ? blockPrefix + blockAt(block, 0) : "";
  if (tensors.has(`${first}layer_scale1.lambda1`))
    return has("embeddings.register_tokens") ? "dinov2_with_registers" : "dinov2";
  if (tensors.has(`${first}attention.projection_layer.weight`)) return "internvl_vision";
  if (seen.relativePositions || tensors.has(`${first}lambda_1`)) return "beit";
  // In files of transformers 5.
  return blockPrefix === prefix ? "vit" : "vit_msn";
}

/** Towers of VisionTextDualEncoderModel: a plain one with a pooler, and a BERT. */
function dual(facts: Facts): Family {
  const read = (tower: "vision" | "text") => reader(`${tower}_config of ${facts.name}`, towerOf(facts, tower) ?? {});
  const bert = (padding: number | undefined): TextFamily => ({ ...BERT, bert: { padding } });
  const texts = { bert: bert(undefined), roberta: bert(1), "xlm-roberta": bert(1) };
  const { vit, deit } = FAMILIES;
  const vision = read("vision").choice("model_type", "", { vit, deit })!;
  return { ...vision, norm: "tokens", pooling: "pooler", text: read("text").choice("model_type", "", texts) };
}

/** Tells whether a plain ViT has what tells hidden patches. */
const hides = (type: string, tensors: Facts["tensors"]): boolean =>
  (type === "vit" || type === "vit_mae") && [...tensors.keys()].some((tensor) => tensor.startsWith("decoder."));

/** Meanings of problem_type, by transformers' image-classification pipeline. */
const PROBLEMS = {
  none: "one",
  single_label_classification: "one",
  multi_label_classification: "several",
  regression: "regression",
} as const;

/** Settings of a tower: old files of CLIP have them twice, and the later ones count (CLIPConfig). */
function towerOf({ file }: Facts, tower: "vision" | "text"): Json | undefined {
  const { [`${tower}_config`]: config, [`${tower}_config_dict`]: later } = file;
  if (isRecord(later) && Object.keys(later).length > 0) return later;
  return isRecord(config) ? config : undefined;
}

/** The text tower, if the checkpoint has one. */
function textOf({ name, named, tensors }: Facts, family: Family, file: Json): TextConfig | undefined {
  const seen = observeText(named, tensors);
  if (!seen) return undefined;
  const read = reader(name, file);
  const { heads, eps = family.eps, act = family.act ?? "gelu", causal, eos, largest, bert, tips } = family.text!;
  const end = eos === undefined ? undefined : read.whole("eos_token_id", eos);
  const padding = bert?.padding === undefined ? undefined : read.whole("pad_token_id", bert.padding);
  return {
    ...seen,
    length: tips ? read.count("max_position_embeddings", 64) : seen.length - firstPosition(padding),
    padding,
    embedScale: tips && read.flag("scale_sqrt_depth", true) ? Math.sqrt(seen.width) : 1,
    depth: read.count("num_hidden_layers", seen.depth),
    heads: read.count("num_attention_heads", heads),
    eps: read.number(family.epsKey ?? "layer_norm_eps", eps, EPS_RANGE),
    activation: act === "silu" ? read.choice("hidden_act", act, GATED) : read.choice("hidden_act", act, HIDDEN_ACTS),
    causal,
    postNorm: bert ? "sum" : false,
    pooling: family.text!.pooling ?? (end === undefined ? "last" : end === largest ? "largest" : end),
  };
}

/** transformers' RadioConfig: class tokens, of which some are the summary, then registers; positions of the largest image. */
function radio({ name, file, seen }: Facts): Partial<Config> {
  const read = reader(name, file);
  const classTokens = read.count("num_cls_tokens", 3);
  const registers = read.whole("num_registers", 7);
  if (classTokens + registers !== seen.prefixTokens) {
    const found = `${classTokens} and ${registers} for ${seen.prefixTokens}`;
    throw new Error(
      `load: "num_cls_tokens" and "num_registers" of "${name}" must be those of its tensors; got ${found}`,
    );
  }
  const summary = file.summary_idxs ?? [0, 1];
  if (
    !Array.isArray(summary) ||
    summary.length === 0 ||
    !summary.every((i) => Number.isInteger(i) && i >= 0 && i < classTokens)
  ) {
    const rule = `must be places of its ${classTokens} class tokens`;
    throw new Error(`load: "summary_idxs" of "${name}" ${rule}; got ${excerpt(summary)}`);
  }
  const side = read.count("max_img_size", 2048);
  const cropped = { size: [side, side] as const };
  return { summary, interpolation: { filter: "bilinear", antialias: false, always: true, cropped } };
}

/** transformers' BitConfig, which has these layers. */
function resnetOf(
  { name, seen }: Facts,
  file: Json,
  layers: "preactivation" | "bottleneck",
): Required<Pick<Config, "stride" | "resnet">> {
  const read = reader(name, file);
  read.choice("layer_type", "preactivation", { [layers]: true });
  read.same("num_channels", seen.inputChannels, 3);
  read.choice("hidden_act", "relu", { relu: true });
  const stride = 2 ** (seen.units.length + 1);
  if (read.count("output_stride", 32) < stride) {
    throw new Error(`load: "output_stride" of "${name}" must be ${stride} or more; got ${excerpt(file.output_stride)}`);
  }
  const padding = read.has("global_padding") ? read.choice("global_padding", "same", PADDINGS) : "symmetric";
  const dynamic = read.flag("embedding_dynamic_padding", false);
  if (dynamic && padding !== "same") {
    throw new Error(
      `load: "embedding_dynamic_padding" of "${name}" needs "global_padding" to be same; got ${excerpt(file.global_padding)}`,
    );
  }
  return {
    stride,
    resnet: {
      ...(layers === "preactivation" ? BIT : { ...RESNET, poolFill: 0 }),
      units: seen.units,
      channels: seen.channels,
      groups: read.count("num_groups", 32),
      padding,
      // Its own, after a border of zeros where convolutions are padded on both sides.
      poolPadding: dynamic ? "same" : padding === "same" ? "valid" : "symmetric",
    },
  };
}

const PADDINGS = { same: "same", SAME: "same", symmetric: "symmetric" } as const;
