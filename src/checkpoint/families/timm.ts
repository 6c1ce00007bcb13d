/**
 * timm: config.json names an architecture; model_args override what the function of that name sets. What of it the tensors
 * do not tell is a rule on the name here; tests/timm.test.ts holds the rules against all of timm's architectures.
 */
import { excerpt } from "../../json.js";
import type { Rotary } from "../../vit/rope.js";
import type { Config } from "../config.js";
import { isRecord, type Json, type Range, reader } from "../json.js";
import type { Facts } from "../observe.js";
import { alone, BIT, headsOf, plain, probabilitiesOf, squareSize, TIMM_INTERPOLATION } from "./bare.js";

/** The first row whose pattern fits an architecture's name. Patterns take time in proportion to the name at most. */
type Rules<T> = readonly (readonly [pattern: RegExp, value: T])[];

const ruleOf = <T>(rules: Rules<T>, architecture: string): T | undefined =>
  rules.find(([pattern]) => pattern.test(architecture))?.[1];

const EPS: Rules<number> = [
  [/^vit_.*clip|^beit3|dinov3|lingbot|^vit_pe_|^aimv2/, 1e-5],
  [/^/, 1e-6],
];

/** SigLIP's GELU is the tanh form, but timm runs these with the exact one. */
const ACTIVATIONS: Rules<Config["activation"]> = [
  [/quickgelu/, "quick_gelu"],
  [
    /^vit_(base_patch16|large_patch16_siglip_(gap_)?(256|384)|so400m_patch14)_siglip|^vit_large_patch16_siglip_(gap_)?(256|384)/,
    "gelu",
  ],
  [/siglip/, "gelu_tanh"],
  [/^/, "gelu"],
];

/** Columns of a head, or how many heads there are, where heads are not of 64. */
const HEADS: Rules<(width: number) => number> = [
  [/^aimv2|_7b_/, (width) => width / 128],
  [/^test_vit/, (width) => width / 32],
  [/huge_plus/, (width) => width / 64],
  [/^vit_base_patch16_gap_224|huge|^(?!.*(dinov2|tipsv2|radio|lingbot)).*giant|gigantic|enormous|so400m/, () => 16],
];

const EVA_ROPE: Rotary = {
  kind: "axial",
  temperature: 10000,
  reference: [16, 16],
  offset: 0,
  order: "ij",
};
const PE_ROPE: Rotary = { ...EVA_ROPE, order: "xy", offset: 1, reference: [32, 32] };

const ROTARY: Rules<Rotary> = [
  [/dinov3|lingbot/, { kind: "dinov3", temperature: 100 }],
  [/^eva02_(?!enormous)/, EVA_ROPE],
  [/^vit_pe_.*gigantic/, { ...PE_ROPE, offset: 0 }],
  [/^vit_pe_core_base/, { ...PE_ROPE, reference: [14, 14] }],
  [/^vit_pe_core/, { ...PE_ROPE, reference: [24, 24] }],
  [/^vit_pe_/, PE_ROPE],
  [/_rope_mixed_/, { kind: "mixed" }],
  [/_rope_(ape_)?\d/, { ...EVA_ROPE, order: "xy", temperature: 100, reference: undefined }],
  [/_rope_/, EVA_ROPE],
];

/** Architectures whose tensors have known names and mean something else. */
const UNSUPPORTED = /^(vit_d(little|wee|pwee)_|.*(relpos|_srelpos|_mci_|resnet\d+d|sapiens2))/;
const SUPPORTED = /^(vit|deit3?|beit(v2|3)?|eva(02)?|flexivit|aimv2|resnetv2|test_vit|swin(v2)?_)/;

/** Ranges of the frequencies' base: published are 100 and 10,000. Of what is added to a place: 0 and 1. */
const TEMPERATURES: Range = [1, 1e12];
const OFFSETS: Range = [0, 1e6];

const POOLINGS = {
  token: "token",
  avg: "mean",
  max: "max",
  avgmax: "mean+max",
  map: "attention",
  "": "none",
} as const;

/** Pooling that the function of an architecture sets, where it is stated apart from the norm that would tell it. */
const ARCHITECTURE_POOLINGS: Rules<keyof typeof POOLINGS> = [
  [/gap|dinov3|^aimv2|^beit|^eva(?!.*clip)|_rpn_|^vit_pe_(lang|spatial)|^test_vit[24]/, "avg"],
  [/siglip|_map_|^vit_pe_core|^test_vit3/, "map"],
  [/^/, "token"],
];

/** Names of timm's layers (timm.layers.create_act). */
const ACT_LAYERS: Readonly<Record<string, Config["activation"]>> = {
  gelu: "gelu",
  gelu_tanh: "gelu_tanh",
  quick_gelu: "quick_gelu",
  quickgelu: "quick_gelu",
  relu: "relu",
};

/** Norms by their names (timm.layers.create_norm), each with the epsilon of its class. */
const NORM_LAYERS: Readonly<Record<string, { readonly eps: number; readonly shift: boolean }>> = {
  layernorm: { eps: 1e-6, shift: true },
  layernormfp32: { eps: 1e-6, shift: true },
  rmsnorm: { eps: 1e-6, shift: false },
  rmsnormfp32: { eps: 1e-6, shift: false },
};

/** Reads what of timm's there is: an encoder of one grid, or one in stages. */
export async function readTimm(facts: Facts): Promise<Omit<Config, "layout">> {
  if (!facts.named.block?.stage) return fromTimm(facts);
  return (await import("./swin.js")).fromTimmSwin(facts, architectureOf(facts));
}

/** The architecture; "" where no file says it. */
function architectureOf({ name, file }: Facts): string {
  const architecture = reader(name, file).text("architecture") ?? "";
  if (architecture && (!SUPPORTED.test(architecture) || UNSUPPORTED.test(architecture))) {
    throw new Error(
      `load: "${name}" is of the family ${excerpt(architecture)}, which is not supported; supported of timm are ViT, DeiT, DeiT III, BEiT, EVA, AIMv2, Swin, SwinV2 and BiT's ResNetV2`,
    );
  }
  return architecture;
}

export function fromTimm(facts: Facts): Omit<Config, "layout"> {
  const { name, file, seen } = facts;
  const readFile = reader(name, file);
  const architecture = architectureOf(facts);
  if (!architecture) checkPlain(facts);
  const args = isRecord(file.model_args) ? file.model_args : {};
  const read = reader(name, args);
  const base = plain(facts);
  const width = read.count("embed_dim", seen.width);
  const heads = read.count("num_heads", ruleOf(HEADS, architecture)?.(width) ?? headsOf(width));
  const rotary = rotaryOf(architecture, read, args);

  // What model_args says is what counts; the file's own is a copy that timm's hub makes of the model.
  const copied = readFile.text("global_pool");
  const pooling = poolingOf(facts, architecture, read, copied);
  read.same("in_chans", seen.inputChannels);
  const classes = readFile.whole("num_classes", read.whole("num_classes", seen.classes));
  const convolutions = seen.depth === 0 && seen.resnet;
  const config: Omit<Config, "layout"> = {
    ...base,
    family: architecture || "vit",
    recognizedBy: architecture ? "architecture in config.json" : "timm's tensor names",
    imageSize: read.size(
      "img_size",
      inputSize(file) ?? (convolutions ? alone.imageSize : squareSize(seen, base.stride)),
    ),
    width,
    depth: convolutions ? 0 : read.count("depth", seen.depth),
    heads,
    eps: read.has("norm_layer") ? read.choice("norm_layer", "", NORM_LAYERS).eps : ruleOf(EPS, architecture)!,
    activation: read.has("act_layer") ? read.choice("act_layer", "", ACT_LAYERS) : ruleOf(ACTIVATIONS, architecture)!,
    postNorm: read.flag("use_post_norm", /_rpn_|enormous/.test(architecture)) && "branch",
    rotary,
    interpolation: {
      ...TIMM_INTERPOLATION,
      always: read.flag("dynamic_img_size", /dinov3|lingbot|intern300m|^test_vit/.test(architecture)),
      pad: read.flag("dynamic_img_pad", false),
    },
    pooling: seen.distilledHead ? "distilled" : POOLINGS[pooling],
    // Eva's attention is over all tokens, its mean is not.
    poolsPrefix: read.flag("pool_include_prefix", pooling === "map" && /^test_vit3|^vit_pe_|^eva/.test(architecture)),
    poolHeads: read.count("attn_pool_num_heads", /^vit_pe_/.test(architecture) ? 8 : heads),
    classes,
    probabilities: probabilitiesOf(classes, readFile.text("problem_type") === "multi_label_classification"),
    headless: true,
    // timm fits a spline of scipy's to relative positions, on a geometric grid, once at load.
    fixedSize: seen.relativePositions,
  };
  if (!convolutions) return config;
  const resnet = { ...BIT, units: seen.units, channels: seen.channels, statesBeforePool: true };
  return { ...config, ...alone, imageSize: config.imageSize, resnet };
}

/**
 * Compares tensors without a config.json with what they tell alone: a ViT, DeiT or BEiT.
 * @throws Error for those of EVA-02 and of models without a table of positions, which turn by an angle that no tensor tells.
 */
function checkPlain({ name, seen, named, tensors }: Facts): void {
  const turns = [...tensors.keys()].some((tensor) => /\.(attn\.q_proj|mlp\.fc1_g)\.weight$/.test(tensor));
  const placed = seen.positions > 0 || seen.relativePositions || tensors.has(named.prefix + named.layout.frequencies!);
  if (seen.depth === 0 || (placed && !turns)) return;
  const what = "as its tensors do not tell its positions";
  throw new Error(`load: "${name}" must have a config.json with its architecture, ${what}`);
}

/** Pooling of what the head reads: as model_args say, else as the architecture or its tensors do. */
function poolingOf(
  { name, seen }: Facts,
  architecture: string,
  read: ReturnType<typeof reader>,
  copied: string | undefined,
): keyof typeof POOLINGS {
  // Stated, a norm after the pooling tells nothing about the pooling.
  const apart = [read.flag("fc_norm", false), read.flag("use_fc_norm", false)].includes(true) || read.has("fc_norm");
  const byTensors = seen.attentionPool
    ? "map"
    : apart && architecture !== ""
      ? ruleOf(ARCHITECTURE_POOLINGS, architecture)!
      : seen.pooledNorm || !seen.classToken || /dinov3/.test(architecture)
        ? "avg"
        : "token";
  const pooling = read.text("global_pool") ?? (copied || byTensors);
  if (pooling === "token" && !seen.classToken && seen.depth > 0) {
    throw new Error(`load: "global_pool" of "${name}" must be another than token, as it has no class token; got token`);
  }
  if (Object.hasOwn(POOLINGS, pooling)) return pooling as keyof typeof POOLINGS;
  throw new Error(
    `load: "global_pool" of "${name}" must be token, avg, max, avgmax, map or ""; got ${excerpt(pooling)}`,
  );
}

function rotaryOf(architecture: string, read: ReturnType<typeof reader>, args: Json): Rotary | undefined {
  const named = ruleOf(ROTARY, architecture);
  const turns = read.flag("use_rot_pos_emb", named !== undefined);
  const rule = turns ? (named ?? { ...EVA_ROPE, reference: undefined }) : undefined;
  if (rule) {
    read.same("rope_type", { axial: "cat", dinov3: "dinov3", mixed: "mixed" }[rule.kind]);
    read.same("rope_rotate_half", rule.kind === "dinov3");
  }
  if (rule?.kind === "dinov3")
    return { ...rule, temperature: read.number("rope_temperature", rule.temperature, TEMPERATURES) };
  if (rule?.kind !== "axial") return rule;
  return {
    ...rule,
    temperature: read.number("rope_temperature", rule.temperature, TEMPERATURES),
    offset: read.number("rope_grid_offset", rule.offset, OFFSETS),
    order: read.choice("rope_grid_indexing", rule.order, { ij: "ij", xy: "xy" } as const),
    reference: Array.isArray(args.ref_feat_shape) ? read.size("ref_feat_shape", [1, 1]) : rule.reference,
  };
}

function inputSize(file: Json): [number, number] | undefined {
  const input = (file.pretrained_cfg as Json | undefined)?.input_size;
  return Array.isArray(input) && input.length === 3 ? [input[1] as number, input[2] as number] : undefined;
}
