/**
 * The config of a checkpoint: its sizes and its few degrees of freedom. The tensors tell most of it (observe.ts), the JSON file of
 * its library the rest (families/). Families are data: a layout names the tensors (layouts.ts), a Config says what they do
 * not tell, and the forward pass (vit/, heads/) reads both.
 */
import type { Activation } from "../backend.js";
import type { ModelConfig } from "../forward/model.js";

/** Whose names tensors bear: a row each in layouts.ts. */
export type LayoutName =
  | "huggingface"
  | "dinov3"
  | "eomt"
  | "eomt_dinov3"
  | "clip"
  | "clipseg"
  | "owlvit"
  | "owlv2"
  | "blip"
  | "aimv2"
  | "tips"
  | "radio"
  | "timm"
  | "torchvision"
  | "openclip"
  | "openclip-timm"
  | "flax"
  | "bit"
  | "sam"
  | "vitdet";

export interface Config extends ModelConfig {
  /** Model family, by the name that the checkpoint's library gives it: "vit", "dinov2", "clip". */
  readonly family: string;
  /** Whose names the tensors bear. */
  readonly layout: LayoutName;
  /** Source of the family's name. */
  readonly recognizedBy: string;
  /** Blocks, from 0, behind which there are convolutions (ViTDet); none unless given. */
  readonly bottlenecks?: readonly number[];
  /**
   * Lengths to which vectors may be cut, of a checkpoint that was trained for it (Kusupati et al. 2022) and says so in config.json:
   * matryoshka_dimensions, as vLLM reads it.
   */
  readonly matryoshka?: readonly number[];
  /** Category of each class, of a tagger (tags.ts). */
  readonly categories?: readonly string[];
}

/** Settings that a user may state about a checkpoint that is published without a config.json, or otherwise than it says. */
export interface ConfigOverrides {
  readonly heads?: number;
  readonly eps?: number;
  readonly activation?: Exclude<Activation, "tanh">;
  readonly imageSize?: readonly [number, number];
  readonly pooling?: "token" | "mean";
  /** Heads of a text tower of which no file says so: of OpenCLIP's that are Hugging Face's. */
  readonly text?: { readonly heads?: number };
  /** 0 leaves the classifier out. */
  readonly classes?: 0;
}

/** The tensors of a checkpoint as far as a config is concerned. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[]; readonly dtype: string }>;

/** `quantization_config` of a checkpoint that `vitrail quantize` made. */
export const QUANTIZED = { quant_method: "vitrail", version: 1, bits: 7, symmetric: true, granularity: "channel" };
