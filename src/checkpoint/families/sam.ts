/** transformers' SAM: what config.json says of its windows, its prompts and its decoder. */
import type { Activation } from "../../backend.js";
import { observeSam, type SamConfig } from "../../heads/sam-weights.js";
import { excerpt } from "../../json.js";
import type { Config } from "../config.js";
import { EPS_RANGE, isRecord, type Json, reader } from "../json.js";
import type { Facts } from "../observe.js";

/** Settings of a part of the file; empty without. */
const partOf = (file: Json, part: string): Json => {
  const { [part]: settings } = file;
  return isRecord(settings) ? settings : {};
};

/** Sizes that the tensors tell. */
type Told = NonNullable<ReturnType<typeof observeSam>>;

/** Blocks that attend within windows; none where the window is 0. */
function windowsOf(
  name: string,
  told: Told,
  vision: Json,
  { depth, qkvBias }: { readonly depth: number; readonly qkvBias: boolean },
): { readonly size: number; readonly whole: readonly number[] } | undefined {
  const read = reader(`vision_config of ${name}`, vision);
  read.same("use_abs_pos", told.positions, true);
  read.same("use_rel_pos", told.decomposed, true);
  // Outside of the map a window has the layer's bias.
  if (!qkvBias) read.same("qkv_bias", true);
  const size = read.whole("window_size", 14);
  const isBlock = (i: number) => Number.isInteger(i) && i >= 0 && i < depth;
  const whole = read.numbers(
    "global_attn_indexes",
    [2, 5, 8, 11],
    `numbers of its ${depth} blocks, from 0 on`,
    isBlock,
  );
  return size === 0 ? undefined : { size, whole };
}

/** Sizes of the encoder, and the names of activations. */
interface Encoder {
  readonly depth: number;
  readonly qkvBias: boolean;
  readonly grid: readonly [number, number];
  readonly imageSize: readonly [number, number];
  readonly patchSize: readonly [number, number];
  readonly activations: Readonly<Record<string, Activation>>;
}

/** Reads all that a SAM has beside an encoder: images of one size, windows of its blocks, the neck and the decoder. */
export function samOf(facts: Facts, vision: Json, encoder: Encoder): Pick<Config, "fixedSize" | "windows" | "sam"> {
  const { name, seen, named, tensors } = facts;
  const told = observeSam((tensor) => tensors.get(tensor)?.shape, named.prefix);
  if (!told) throw new Error(`load: "${name}" must have SAM's neck; it has no "neck.conv1.weight"`);
  const read = reader(`vision_config of ${name}`, vision);
  if (seen.mlpWidth > 0 && read.has("mlp_dim")) read.same("mlp_dim", seen.mlpWidth);
  const windows = windowsOf(name, told, vision, encoder);
  return { fixedSize: true, windows, sam: decoderOf(facts, told, vision, encoder) };
}

/** Reads the neck and the decoder, whose sizes the tensors tell. */
function decoderOf(
  { name, file }: Facts,
  told: Told,
  vision: Json,
  { grid, imageSize, patchSize, activations }: Encoder,
): SamConfig {
  const { channels, masks } = told;
  reader(`vision_config of ${name}`, vision).same("output_channels", channels, 256);
  const alone = masks === 0 && [file.architectures].flat().every((x) => !/^SamModel$/.test(String(x)));
  if (alone) return { channels, grid, decoder: undefined };
  const decoder = reader(`mask_decoder_config of ${name}`, partOf(file, "mask_decoder_config"));
  const prompt = reader(`prompt_encoder_config of ${name}`, partOf(file, "prompt_encoder_config"));
  // Points are parts of this size, and masks are laid on this grid.
  const sides = prompt.size("image_size", [1024, 1024]);
  if (sides.some((side, i) => side !== imageSize[i])) {
    throw new Error(
      `load: "image_size" of "prompt_encoder_config of ${name}" must be ${imageSize.join("×")}, as of its images; got ${excerpt(sides)}`,
    );
  }
  prompt.same("patch_size", patchSize[0], 16);
  prompt.same("num_point_embeddings", 4);
  const heads = decoder.count("num_attention_heads", 8);
  const bad = told.innerWidths.find((width) => width % heads !== 0);
  if (bad !== undefined) {
    throw new Error(
      `load: width ${bad} of the decoder of "${name}" must be a multiple of its heads; got ${heads} heads`,
    );
  }
  decoder.same("num_multimask_outputs", masks - 1, 3);
  return {
    channels,
    grid,
    decoder: {
      heads,
      masks,
      depth: decoder.count("num_hidden_layers", 2),
      eps: decoder.number("layer_norm_eps", 1e-6, EPS_RANGE),
      activation: decoder.choice("hidden_act", "relu", activations),
      promptEps: prompt.number("layer_norm_eps", 1e-6, EPS_RANGE),
      promptActivation: prompt.choice("hidden_act", "gelu", activations),
    },
  };
}
