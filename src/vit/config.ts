/**
 * What a checkpoint is: its sizes and its few degrees of freedom. The tensors tell most of it (observe.ts), the JSON file of
 * its library the rest (families/). Families are data: a layout names the tensors (layouts.ts), a Config says what they do
 * not tell, and the forward pass (vit.ts, resnet.ts, text.ts) reads both.
 */
import type { Activation } from "../backend.js";
import type { LayoutName } from "../checkpoint/layouts.js";
import type { Rotary } from "./rope.js";

/** Sizes of a transformer encoder. Names as in Dosovitskiy et al. 2021, table 1 and section 3.1. */
export interface EncoderConfig {
  /** D */
  readonly width: number;
  /** L */
  readonly depth: number;
  /** k */
  readonly heads: number;
  /** Hidden width of the MLP. */
  readonly mlpWidth: number;
  /** Added to the variance in every norm. */
  readonly eps: number;
  /** Of the MLP; a gated one has SiLU at the gate. */
  readonly activation: Activation;
}

/** How position embeddings get to another grid, as the checkpoint's library does it. */
export interface Interpolation {
  readonly filter: "bicubic" | "bilinear";
  readonly antialias: boolean;
  /** Without being asked: every size is taken. */
  readonly always: boolean;
  /** Images are padded with zeros at the bottom and right to whole patches (timm's dynamic_img_pad). */
  readonly pad?: boolean;
}

/** The text tower of an image-text model. */
export interface TextConfig extends EncoderConfig {
  /** Token ids are below it. */
  readonly vocabulary: number;
  /** Most tokens of a text. */
  readonly length: number;
  /** Whether a token sees only those before it. */
  readonly causal: boolean;
  /** Which token stands for the text: the last, the one of the largest id, or the first of a certain id. */
  readonly pooling: "last" | "largest" | number;
}

/** As in TensorFlow, where what is odd goes behind; the same on both sides, whatever the stride; or none. */
export type Padding = "same" | "symmetric" | "valid";

/** A ResNetV2 (He et al. 2016, Kolesnikov et al. 2020): the stem of a hybrid, or BiT. */
export interface ResNetConfig {
  /** Units of each stage; none for a stem alone. */
  readonly units: readonly number[];
  /** Of the first convolution, then of what each stage puts out; units are four times narrower inside. */
  readonly channels: readonly number[];
  /** Groups of GroupNorm. */
  readonly groups: number;
  /** BiT: norm and ReLU before each convolution, and one norm after the last stage. */
  readonly preActivation: boolean;
  readonly padding: Padding;
  /** The same of the first max pool, and what lies around its map: 0 or -Infinity. */
  readonly poolPadding: Padding;
  readonly poolFill: number;
  /** hiddenStates begin with the map before the first pool (timm), or behind it. */
  readonly statesBeforePool: boolean;
}

export interface Config extends EncoderConfig {
  /** Model family, by the name that the checkpoint's library gives it: "vit", "dinov2", "clip". */
  readonly family: string;
  /** Whose names the tensors bear. */
  readonly layout: LayoutName;
  /** What told the family. */
  readonly recognisedBy: string;
  /** Height and width, pixels. */
  readonly imageSize: readonly [number, number];
  /** Height and width, pixels of the image. */
  readonly patchSize: readonly [number, number];
  /** Pixels for each of the map that patches are cut from: 1, or what the convolutional stem takes. */
  readonly stride: number;
  /** Tokens before the patches: class token, distillation token, registers. */
  readonly prefixTokens: number;
  /** Whether the first of them is a class token. */
  readonly classToken: boolean;
  /** Whether MLPs are gated (SwiGLU). */
  readonly gated: boolean;
  /** Whether queries, keys and values have biases; a key's may be missing. */
  readonly qkvBias: boolean;
  /** Whether queries and keys are normalised, head by head, before they meet (Henry et al. 2020). */
  readonly headNorm: boolean;
  /** Whether norms come after attention and MLP instead of before (ResPost). */
  readonly postNorm: boolean;
  readonly rotary: Rotary | undefined;
  /** Whether scores have BEiT's bias by the offset of key and query. */
  readonly relativePositions: boolean;
  readonly interpolation: Interpolation;
  /**
   * What the head reads. token: the class token; distilled: class and distillation token, each by its own head, and the
   * mean of both (Touvron et al. 2021, section 4); mean: the mean of the patches; token+mean: both, one after the other;
   * attention: attention pooling with a learned query (Zhai et al. 2022, section 3.4).
   */
  readonly pooling: "token" | "distilled" | "mean" | "token+mean" | "attention";
  /** Heads of the attention pooling. */
  readonly poolHeads: number;
  /** Norm of all tokens after the last block, of the pooled vector, or none. */
  readonly norm: "tokens" | "pooled" | "none";
  /** What `pooled` is: the tanh layer on the class token, that token itself, what the head reads, or nothing. */
  readonly pooled: "pooler" | "token" | "head" | "none";
  /** Outputs of the head, 0 without one. */
  readonly classes: number;
  /** Columns of `pooled` when it is a tanh layer, else 0. */
  readonly poolerWidth: number;
  /** Columns of the features that images and texts share, 0 without. */
  readonly features: number;
  /** Images are sequences of patches of any number, with their grid (NaFlex, Tschannen et al. 2025). */
  readonly flexible: boolean;
  readonly resnet: ResNetConfig | undefined;
  readonly text: TextConfig | undefined;
}

/** What a user may state about a checkpoint that is published without a config.json, or otherwise than it says. */
export interface ConfigOverrides {
  readonly heads?: number;
  readonly eps?: number;
  readonly activation?: "gelu" | "gelu_tanh" | "quick_gelu" | "relu";
  readonly imageSize?: readonly [number, number];
  readonly pooling?: "token" | "mean";
  /** 0 leaves the classifier out. */
  readonly classes?: 0;
}

/** The tensors of a checkpoint as far as a config is concerned. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[]; readonly dtype: string }>;

/** `quantization_config` of a checkpoint that `vitrail quantize` made. */
export const QUANTISED = { quant_method: "vitrail", version: 1, bits: 7, symmetric: true, granularity: "channel" };

/** Patches of an image: rows and columns, N = rows · columns. */
export function gridOf(
  { patchSize, interpolation }: Pick<Config, "patchSize" | "interpolation">,
  imageSize: readonly [number, number],
): [number, number] {
  const round = interpolation.pad ? Math.ceil : Math.floor;
  return [round(imageSize[0] / patchSize[0]), round(imageSize[1] / patchSize[1])];
}
