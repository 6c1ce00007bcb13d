/**
 * What a checkpoint is: its sizes and its few degrees of freedom, from config.json where there is one, else from the
 * tensors. Families are data: a layout names the tensors (layouts.ts), a Config says the rest, the forward pass (vit.ts)
 * reads both.
 */
import type { Activation } from "../backend.js";
import { type Layout, layouts } from "./layouts.js";

/** Names as in Dosovitskiy et al. 2021, table 1 and section 3.1. */
export interface Config {
  /** Model family, as in the checkpoint: "vit" or "deit". */
  readonly family: string;
  /** Whose names the tensors bear. */
  readonly layout: "huggingface" | "timm";
  /** Height and width, pixels. */
  readonly imageSize: readonly [number, number];
  /** Height and width, pixels. */
  readonly patchSize: readonly [number, number];
  /** D */
  readonly width: number;
  /** L */
  readonly depth: number;
  /** k */
  readonly heads: number;
  /** Hidden width of the MLP. */
  readonly mlpWidth: number;
  /** Tokens before the patches: class token, then DeiT's distillation token. */
  readonly prefixTokens: number;
  /** Added to the variance in every layer norm. */
  readonly eps: number;
  /** Of the MLP. */
  readonly activation: Activation;
  readonly qkvBias: boolean;
  /** Whether queries and keys are normalised, head by head, before they meet (Henry et al. 2020). */
  readonly headNorm: boolean;
  /**
   * What the head reads. token: the class token; distilled: class and distillation token, each by its own head, and the
   * mean of both (Touvron et al. 2021, section 4); mean: the mean of the patches; attention: attention pooling with a
   * learned query (Zhai et al. 2022, section 3.4).
   */
  readonly pooling: "token" | "distilled" | "mean" | "attention";
  /** Layer norm of all tokens after the last block, or of the pooled vector. */
  readonly norm: "tokens" | "pooled";
  /** Outputs of the head, 0 without one. */
  readonly classes: number;
  /** Outputs of the tanh layer on the class token that Hugging Face calls pooler, 0 without one. */
  readonly poolerWidth: number;
}

/** What a user may state about a checkpoint that is published without a config.json. */
export interface ConfigOverrides {
  readonly heads?: number;
  readonly eps?: number;
  readonly activation?: "gelu" | "gelu_tanh" | "relu";
  readonly imageSize?: readonly [number, number];
  readonly pooling?: "token" | "mean";
}

/** The tensors of a checkpoint as far as a config is concerned. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[]; readonly dtype: string }>;

/** A checkpoint's layout with the prefix that its encoder's tensors bear ("vit.", "deit." or none). */
export interface Named {
  readonly layout: Layout;
  readonly prefix: string;
}

/** Width, depth and heads by the size in the name: timm's vision_transformer.py and deit.py; the first four are table 1. */
export const SIZES: Readonly<Record<string, { width: number; depth: number; heads: number }>> = {
  tiny: { width: 192, depth: 12, heads: 3 },
  small: { width: 384, depth: 12, heads: 6 },
  base: { width: 768, depth: 12, heads: 12 },
  large: { width: 1024, depth: 24, heads: 16 },
  huge: { width: 1280, depth: 32, heads: 16 },
  giant: { width: 1408, depth: 40, heads: 16 },
  gigantic: { width: 1664, depth: 48, heads: 16 },
  wee: { width: 256, depth: 14, heads: 4 },
  little: { width: 320, depth: 14, heads: 5 },
  medium: { width: 512, depth: 12, heads: 8 },
  mediumd: { width: 512, depth: 20, heads: 8 },
  betwixt: { width: 640, depth: 12, heads: 10 },
  so150m: { width: 896, depth: 18, heads: 14 },
  so400m: { width: 1152, depth: 27, heads: 16 },
};

/** timm runs these with exact GELU; its other SigLIP models with the tanh form. */
const EXACT_GELU_SIGLIP = /^vit_(base_patch16|large_patch16_siglip_(256|384)|so400m_patch14)/;

const HIDDEN_ACTS: Readonly<Record<string, Activation>> = {
  gelu: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
  relu: "relu",
};

/** `quantization_config` of a checkpoint that `vitrail quantize` made. */
export const QUANTISED = { quant_method: "vitrail", version: 1, bits: 7, symmetric: true, granularity: "channel" };

type Json = Readonly<Record<string, unknown>>;

const isRecord = (x: unknown): x is Json => typeof x === "object" && x !== null && !Array.isArray(x);

/** Reads the config of the checkpoint `name`. Throws one sentence if it is not a plain ViT or DeiT. */
export async function parseConfig(
  name: string,
  json: unknown,
  tensors: Shapes,
  overrides: ConfigOverrides = {},
): Promise<{ config: Config; named: Named; labels: readonly string[] }> {
  if (json !== undefined && !isRecord(json)) {
    throw new TypeError(
      `load: config must be an object, config.json parsed; got ${JSON.stringify(json)?.slice(0, 60)}`,
    );
  }
  const file: Json = json ?? {};
  const quantised = isRecord(file.quantization_config) ? file.quantization_config : QUANTISED;
  if (quantised.quant_method !== QUANTISED.quant_method || quantised.version !== QUANTISED.version) {
    const found = `"${quantised.quant_method}", version ${quantised.version}`;
    throw new Error(
      `load: "${name}" must be quantised by "${QUANTISED.quant_method}", version ${QUANTISED.version}; got ${found}`,
    );
  }
  const family = familyOf(name, file);
  const named = layoutOf(name, tensors);
  const seen = inspect(named, tensors);
  const base = named.layout.name === "huggingface" ? fromHuggingFace(name, file, seen) : fromTimm(name, file, seen);
  const stated = checkOverrides(overrides);
  const config: Config = { family, layout: named.layout.name, ...base, ...stated };
  check(name, config, tensors.size);
  return { config, named, labels: await labelsOf(file, config) };
}

function familyOf(name: string, file: Json): string {
  const family = file.model_type ?? file.architecture;
  if (family === undefined) return "vit";
  const known = /^(vit|deit)(_(?!.*(clip|dinov|hybrid|resnet|relpos|_rpn|srelpos|dlittle|dpwee)).*)?$/.exec(
    String(family),
  );
  if (!known) {
    throw new Error(`load: "${name}" is of the family "${family}", which is not supported; supported are ViT and DeiT`);
  }
  return known[1]!;
}

function layoutOf(name: string, tensors: Shapes): Named {
  for (const layout of layouts) {
    for (const prefix of layout.prefixes)
      if (tensors.has(`${prefix}${layout.patchEmbed}.weight`)) return { layout, prefix };
  }
  const expected = layouts.map(({ patchEmbed }) => `"${patchEmbed}.weight"`).join(" or ");
  const found = [...tensors.keys()].slice(0, 3).map((tensor) => `"${tensor}"`);
  if (found.length === 0) throw new Error(`load: "${name}" must hold a patch embedding named ${expected}; it is empty`);
  throw new Error(
    `load: "${name}" must hold a patch embedding named ${expected}; its ${tensors.size} tensors begin with ${found.join(", ")}`,
  );
}

/** What the tensors alone tell. */
function inspect({ layout, prefix }: Named, tensors: Shapes) {
  const shape = (tensor: string) => tensors.get(tensor)?.shape;
  const has = (tensor: string | undefined) => tensor !== undefined && tensors.has(tensor);
  const [width = 0, , patchHeight = 0, patchWidth = 0] = shape(`${prefix}${layout.patchEmbed}.weight`) ?? [];
  let depth = 0;
  for (const tensor of tensors.keys()) {
    const index =
      tensor.startsWith(`${prefix}${layout.blocks}.`) && tensor.slice(prefix.length + layout.blocks.length + 1);
    if (index) depth = Math.max(depth, Number.parseInt(index, 10) + 1);
  }
  const first = `${prefix}${layout.blocks}.0.`;
  const distilled = has(`${prefix}${layout.distillationToken}`);
  const prefixTokens = Number(has(`${prefix}${layout.classToken}`)) + Number(distilled);
  const head = layout.head.find((name) => has(`${name}.weight`));
  return {
    width,
    depth,
    patchSize: [patchHeight, patchWidth] as [number, number],
    patches: (shape(`${prefix}${layout.positions}`)?.[1] ?? 0) - prefixTokens,
    mlpWidth: shape(`${first}${layout.fc1}.weight`)?.[0] ?? 0,
    qkvBias: has(`${first}${layout.qkv[0]}.bias`),
    headNorm: has(`${first}${layout.queryNorm}.weight`),
    prefixTokens,
    distilledHead: has(`${layout.distillationHead}.weight`),
    pooledNorm: has(`${layout.pooledNorm}.weight`),
    attentionPool: has(`${layout.attentionPool}.latent`),
    classes: (head && shape(`${head}.weight`)?.[0]) || 0,
    poolerWidth: shape(`${prefix}${layout.pooler}.weight`)?.[0] ?? 0,
  };
}

type Seen = ReturnType<typeof inspect>;

/** transformers' ViTConfig and DeiTConfig. */
function fromHuggingFace(name: string, file: Json, seen: Seen): Omit<Config, "family" | "layout"> {
  const read = reader(name, file);
  const act = String(file.hidden_act ?? "gelu");
  const activation = HIDDEN_ACTS[act];
  if (!activation) {
    throw new Error(
      `load: "hidden_act" of "${name}" must be one of ${Object.keys(HIDDEN_ACTS).join(", ")}; got "${act}"`,
    );
  }
  const poolerAct = String(file.pooler_act ?? "tanh");
  if (seen.poolerWidth && poolerAct !== "tanh") {
    throw new Error(`load: "pooler_act" of "${name}" must be tanh; got "${poolerAct}"`);
  }
  const width = read.count("hidden_size", seen.width);
  const classifies = String(file.architectures ?? "").includes("ForImageClassification");
  const stated = isRecord(file.id2label) ? Object.keys(file.id2label).length : 0;
  return {
    imageSize: read.size("image_size", squareSize(seen)),
    patchSize: read.size("patch_size", seen.patchSize),
    width,
    depth: read.count("num_hidden_layers", seen.depth),
    heads: read.count("num_attention_heads", headsOf(width)),
    mlpWidth: read.count("intermediate_size", seen.mlpWidth),
    prefixTokens: seen.prefixTokens,
    eps: read.number("layer_norm_eps", 1e-12),
    activation,
    qkvBias: typeof file.qkv_bias === "boolean" ? file.qkv_bias : seen.qkvBias,
    headNorm: seen.headNorm,
    pooling: seen.distilledHead ? "distilled" : "token",
    norm: "tokens",
    // transformers leaves id2label out when there are two classes.
    classes: seen.classes || classifies ? stated || seen.classes || 2 : 0,
    poolerWidth: seen.poolerWidth,
  };
}

/** timm's VisionTransformer and VisionTransformerDistilled, or a file with their names and no config. */
function fromTimm(name: string, file: Json, seen: Seen): Omit<Config, "family" | "layout"> {
  const architecture = String(file.architecture ?? "");
  const read = reader(name, (file.model_args as Json | undefined) ?? {});
  const sizes = SIZES[/^[a-z]+\d?_([a-z0-9]+)_/.exec(architecture)?.[1] ?? ""];
  const width = read.count("embed_dim", sizes?.width ?? seen.width);
  const input = (file.pretrained_cfg as Json | undefined)?.input_size;
  const imageSize =
    Array.isArray(input) && input.length === 3 ? ([input[1], input[2]] as [number, number]) : squareSize(seen);
  const pooling = String(file.global_pool ?? read.text("global_pool") ?? (seen.pooledNorm ? "avg" : "token"));
  const poolings = { token: "token", avg: "mean", map: "attention" } as const;
  if (!Object.hasOwn(poolings, pooling)) {
    throw new Error(`load: "global_pool" of "${name}" must be token, avg or map; got "${pooling}"`);
  }
  const tanh = architecture.includes("siglip") && !EXACT_GELU_SIGLIP.test(architecture);
  return {
    imageSize: read.size("img_size", imageSize),
    patchSize: read.size("patch_size", seen.patchSize),
    width,
    depth: read.count("depth", sizes?.depth ?? seen.depth),
    heads: read.count("num_heads", sizes?.heads ?? headsOf(width)),
    mlpWidth: seen.mlpWidth,
    prefixTokens: seen.prefixTokens,
    eps: 1e-6,
    activation: tanh ? "gelu_tanh" : "gelu",
    qkvBias: seen.qkvBias,
    headNorm: seen.headNorm,
    pooling: seen.distilledHead ? "distilled" : poolings[pooling as keyof typeof poolings],
    norm: seen.pooledNorm ? "pooled" : "tokens",
    classes: typeof file.num_classes === "number" ? file.num_classes : seen.classes,
    poolerWidth: 0,
  };
}

/** What each override must be. */
const OVERRIDES: Readonly<Record<keyof ConfigOverrides, readonly [rule: string, holds: (x: unknown) => boolean]>> = {
  heads: ["a positive integer", positive],
  eps: ["a number, at least 0", (x) => typeof x === "number" && x >= 0],
  activation: ["gelu, gelu_tanh or relu", (x) => ["gelu", "gelu_tanh", "relu"].includes(x as string)],
  imageSize: ["[height, width]", (x) => Array.isArray(x) && x.length === 2 && x.every(positive)],
  pooling: ["token or mean", (x) => x === "token" || x === "mean"],
};

/** Those that are given. */
function checkOverrides(overrides: ConfigOverrides): ConfigOverrides {
  const stated = Object.entries(overrides).filter(([, value]) => value !== undefined);
  for (const [name, value] of stated) {
    const entry = Object.entries(OVERRIDES).find(([known]) => known === name)?.[1];
    if (!entry) {
      throw new RangeError(`load: config takes ${Object.keys(OVERRIDES).join(", ")}; got ${JSON.stringify(name)}`);
    }
    const [rule, holds] = entry;
    if (!holds(value)) throw new RangeError(`load: config.${name} must be ${rule}; got ${JSON.stringify(value)}`);
  }
  return Object.fromEntries(stated);
}

/** Heads of 64 columns, as in every model of table 1; a checkpoint without config does not say. */
const headsOf = (width: number) => Math.max(1, Math.round(width / 64));

function squareSize({ patches, patchSize }: Seen): [number, number] {
  const side = Math.round(Math.sqrt(patches));
  return [side * patchSize[0], side * patchSize[1]];
}

function positive(x: unknown): x is number {
  return Number.isSafeInteger(x) && (x as number) > 0;
}

/** Typed access to a config's entries, each with what holds when it is absent. */
function reader(name: string, file: Json) {
  const refuse = (key: string, rule: string): never => {
    throw new Error(`load: "${key}" of "${name}" must be ${rule}; got ${JSON.stringify(file[key])}`);
  };
  const has = (key: string) => file[key] !== undefined && file[key] !== null;
  return {
    has,
    text: (key: string) => (has(key) ? String(file[key]) : undefined),
    count(key: string, absent: number): number {
      const value = has(key) ? file[key] : absent;
      return positive(value) ? value : refuse(key, "a positive integer");
    },
    number(key: string, absent: number): number {
      const value = has(key) ? file[key] : absent;
      return typeof value === "number" && value >= 0 ? value : refuse(key, "a number, at least 0");
    },
    size(key: string, absent: [number, number]): [number, number] {
      const value = has(key) ? file[key] : absent;
      const pair = Array.isArray(value) ? value : [value, value];
      return pair.length === 2 && pair.every(positive)
        ? (pair as [number, number])
        : refuse(key, "one or two positive integers");
    },
  };
}

function check(name: string, config: Config, tensors: number): void {
  // Each layer has tensors of its own; without this bound a lying config takes all memory for their names.
  if (config.depth > tensors) {
    throw new Error(`load: "${name}" is of depth ${config.depth}, but it has ${tensors} tensors`);
  }
  const { width, heads, imageSize, patchSize } = config;
  if (!Number.isSafeInteger(heads) || heads < 1 || width % heads !== 0) {
    throw new Error(`load: width ${width} of "${name}" must be a multiple of its heads; got ${heads} heads`);
  }
  for (const axis of [0, 1] as const) {
    if (imageSize[axis] < patchSize[axis]) {
      throw new Error(
        `load: images of "${name}" must be at least a patch of ${patchSize.join("×")} in size; got ${imageSize.join("×")}`,
      );
    }
  }
}

/** id2label of transformers; label_names of timm, which takes 1000 classes for ImageNet-1k; else LABEL_i, as transformers does. */
async function labelsOf(file: Json, { classes, layout }: Config): Promise<readonly string[]> {
  const id2label = isRecord(file.id2label) ? file.id2label : {};
  const listed = file.label_names ?? (file.pretrained_cfg as Json | undefined)?.label_names;
  const names: readonly unknown[] = Array.isArray(listed)
    ? listed
    : layout === "timm" && classes === 1000
      ? (await import("./imagenet1k.js")).IMAGENET_1K
      : [];
  return Array.from({ length: classes }, (_, i) => String(id2label[i] ?? names[i] ?? `LABEL_${i}`));
}

/** Patches of an image: rows and columns, N = rows · columns. */
export function gridOf({ imageSize, patchSize }: Config): [number, number] {
  return [Math.floor(imageSize[0] / patchSize[0]), Math.floor(imageSize[1] / patchSize[1])];
}
