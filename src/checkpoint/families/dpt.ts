/**
 * transformers' DPT and Depth Anything: what config.json says of the neck and the head. The encoder is the file's own, or one of
 * another family in its backbone_config; a hybrid has both, its own behind a BiT.
 */
import type { Activation } from "../../backend.js";
import { type DptConfig, type Level, observeDpt } from "../../heads/dpt.js";
import { excerpt } from "../../json.js";
import { isRecord, type Json, type Range, reader } from "../json.js";
import type { Facts } from "../observe.js";

/** The encoder, as a file of these families has it. */
export interface DenseFile {
  readonly type: "dpt" | "depth_anything";
  /** The family and the settings of a backbone that is a model of its own. */
  readonly backbone: { readonly type: "dinov2"; readonly file: Json } | undefined;
  /** The settings of a BiT before the file's own encoder. */
  readonly stem: Json | undefined;
}

/** Settings of the file's own encoder, which a backbone takes the place of. */
const OWN = [
  ...["hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps", "image_size"],
  ...["patch_size", "num_channels", "qkv_bias", "backbone_out_indices", "neck_ignore_stages", "pooler_act"],
];

/** Defaults of DepthAnythingConfig's backbone. */
const SMALL = { image_size: 518, num_attention_heads: 6, out_indices: [9, 10, 11, 12], reshape_hidden_states: false };

export function denseFile(name: string, dense: DenseFile["type"], file: Json): DenseFile {
  const read = reader(name, file);
  const nested = isRecord(file.backbone_config) ? file.backbone_config : undefined;
  if (dense === "dpt" && read.flag("is_hybrid", false)) {
    return { type: dense, backbone: undefined, stem: nested ?? { layer_type: "bottleneck", ...DEFAULT_STEM } };
  }
  if (dense === "dpt" && !nested) return { type: dense, backbone: undefined, stem: undefined };
  const backbone = nested ?? SMALL;
  reader(`backbone_config of ${name}`, backbone).choice("model_type", nested ? "" : "dinov2", { dinov2: true });
  // Read, so that they count as understood; but the patch's, all of them are the backbone's.
  for (const key of dense === "dpt" ? OWN : []) void file[key];
  return { type: dense, backbone: { type: "dinov2", file: backbone }, stem: undefined };
}

/** Defaults of DPTConfig's BiT. */
const DEFAULT_STEM = {
  global_padding: "same",
  embedding_dynamic_padding: true,
  out_features: ["stage1", "stage2", "stage3"],
};

/** Numbers that factors and the largest depth may be. */
const FACTORS: Range = [1 / 16, 16];
const DEPTHS: Range = [Number.MIN_VALUE, 1e6];

/**
 * Reads the neck and the head, whose sizes the tensors tell.
 * @param encoder blocks of the encoder, and the activation of the file.
 * @returns undefined for an encoder alone (DPTModel).
 */
export function dptOf(
  { name, file, seen, tensors }: Facts,
  { type, backbone, stem }: DenseFile,
  { depth, activation, patchSize }: { depth: number; activation: Activation; patchSize: readonly [number, number] },
): DptConfig | undefined {
  const read = reader(name, file);
  const refuse = (key: string, rule: string, found: unknown): never => {
    throw new Error(`load: "${key}" of "${name}" must be ${rule}; got ${excerpt(found)}`);
  };
  const told = observeDpt((tensor) => tensors.get(tensor)?.shape);
  if (!told) {
    const alone = type === "dpt" && ![file.architectures].flat().some((x) => /^DPTFor/.test(String(x)));
    if (alone) return undefined;
    throw new Error(`load: "${name}" must have the neck and the head of ${type}; it has no "neck.convs.0.weight"`);
  }
  const count = told.channels.length;
  const isFactor = (x: number) => x >= FACTORS[0] && x <= FACTORS[1] && (x < 1 || Number.isInteger(x));
  const factors = read.numbers("reassemble_factors", [4, 2, 1, 0.5], `${count} numbers, whole or below 1`, isFactor);
  if (factors.length < count) refuse("reassemble_factors", `${count} numbers, as the tensors tell`, factors);

  const places = placesOf();
  if (places.length !== count) {
    const key = backbone ? "out_indices" : "backbone_out_indices";
    refuse(key, `places of ${count} levels, as the tensors tell`, file[key] ?? backbone?.file[key]);
  }
  const last = read.integer("head_in_index", -1);
  const at = last < 0 ? last + count : last;
  if (at < 0 || at >= count) refuse("head_in_index", `one of ${count} levels`, last);
  if (type === "dpt") {
    read.same("use_batch_norm_in_fusion_residual", told.batchNorm, false);
    read.same("use_bias_in_fusion_residual", told.bias);
    if (told.classes === 0) read.same("add_projection", told.projection, false);
    else read.flag("add_projection", false);
  } else {
    const patch = read.size("patch_size", [14, 14]);
    if (patch.some((side, i) => side !== patchSize[i]))
      refuse("patch_size", `${patchSize[0]}, as of its backbone`, patch);
  }
  return {
    levels: places.map((place, i): Level => ({ place, channels: told.channels[i]!, factor: factors[i]! })),
    norm: backbone ? reader(name, backbone.file).flag("apply_layernorm", true) : false,
    readout: readoutOf(),
    width: told.width,
    enlarge: type === "dpt" ? "double" : "next",
    read: at,
    featureMaps: backbone !== undefined || stem !== undefined,
    head: headOf(),
  };

  /** Places that levels are read from, in the order of the encoder, whatever the order in the file. */
  function placesOf(): Level["place"][] {
    if (backbone) {
      const settings = reader(`backbone_config of ${name}`, backbone.file);
      // Maps of [B, C, H, W], of whose channels transformers' neck would drop the first.
      settings.same("reshape_hidden_states", false, true);
      return stagesOf(`backbone_config of ${name}`, backbone.file, depth).map((i) => ({ block: i - 1 }));
    }
    const isBlock = (x: number) => Number.isInteger(x) && x >= 0 && x < depth;
    const rule = `numbers of its ${depth} blocks, from 0 on`;
    if (!stem)
      return inOrder(read.numbers("backbone_out_indices", [2, 5, 8, 11], rule, isBlock)).map((block) => ({ block }));
    // The first two are the BiT's, whose numbers the file has as well.
    const listed = read.numbers("backbone_out_indices", [2, 5, 8, 11], rule, (x) => Number.isInteger(x));
    const blocks = inOrder(listed.slice(2));
    if (!blocks.every(isBlock)) refuse("backbone_out_indices", rule, listed);
    const ignored = read.numbers("neck_ignore_stages", [0, 1], "0 and 1 in a hybrid", Number.isInteger);
    if (String(inOrder(ignored)) !== "0,1") refuse("neck_ignore_stages", "0 and 1 in a hybrid", ignored);
    const stages = stagesOf(`backbone_config of ${name}`, stem, seen.units.length);
    if (stages.length !== 3 || stages[2] !== seen.units.length) {
      refuse("backbone_config", "a BiT of which three stages are read, the last of them too", stages);
    }
    return [...stages.slice(0, 2).map((map) => ({ map })), ...blocks.map((block) => ({ block }))];
  }

  function readoutOf(): DptConfig["readout"] {
    if (type === "depth_anything") return "ignore";
    const kind = read.choice("readout_type", "project", { ignore: "ignore", add: "add", project: "project" } as const);
    if (stem && kind !== "project") refuse("readout_type", "project in a hybrid", kind);
    return kind === "project" ? { project: activation } : kind;
  }

  function headOf(): DptConfig["head"] {
    if (type === "dpt") {
      const labels = isRecord(file.id2label) ? Object.keys(file.id2label).length : told!.classes;
      if (told!.classes > 0 && labels !== told!.classes)
        refuse("id2label", `the names of ${told!.classes} classes`, labels);
      if (told!.classes > 0) return { kind: "segmentation", classes: told!.classes };
      return { kind: "depth", enlarge: "double", activation: "relu", scale: 1, metric: false, channels: told!.depth };
    }
    const metric = read.choice("depth_estimation_type", "relative", { relative: false, metric: true });
    const scale = read.number("max_depth", 1, DEPTHS);
    return {
      kind: "depth",
      enlarge: "patches",
      activation: metric ? "sigmoid" : "relu",
      scale,
      metric,
      channels: told!.depth,
    };
  }
}

/** Different numbers in their order. */
const inOrder = (numbers: readonly number[]): number[] => [...new Set(numbers)].sort((a, b) => a - b);

/** Stages of a backbone by out_indices or out_features, from 0, which is its stem: by default the last. */
export function stagesOf(name: string, file: Json, depth: number): number[] {
  const read = reader(name, file);
  const whole = (x: number) => Number.isInteger(x) && x >= -depth - 1 && x <= depth;
  const rule = `numbers of its stem and its ${depth} stages`;
  const indices = read.numbers("out_indices", [], rule, whole).map((i) => (i < 0 ? i + depth + 1 : i));
  const features = Array.isArray(file.out_features) ? file.out_features : [];
  const named = features.map((feature) => {
    const stage = feature === "stem" ? 0 : Number(/^stage(\d{1,4})$/.exec(String(feature))?.[1]);
    if (stage <= depth) return stage;
    throw new Error(
      `load: "out_features" of "${name}" must be of its stem and its ${depth} stages; got ${excerpt(features)}`,
    );
  });
  if (indices.length > 0 && named.length > 0 && String(inOrder(indices)) !== String(inOrder(named))) {
    throw new Error(
      `load: "out_features" of "${name}" must be the stages of its out_indices, ${indices.join(", ")}; got ${excerpt(features)}`,
    );
  }
  const listed = indices.length > 0 ? indices : named;
  return listed.length > 0 ? inOrder(listed) : [depth];
}
