/** transformers' ViTDet, and ViTMatte on it: what config.json says of windows, of maps that are read, and of the decoder. */
import { type MattingConfig, observeMatting } from "../../heads/matting.js";
import type { Config } from "../config.js";
import { EPS_RANGE, isRecord, type Json, reader } from "../json.js";
import { blockAt, type Facts } from "../observe.js";
import { stagesOf } from "./dpt.js";

/** Settings of ViTMatte's backbone, by default those of VitMatteConfig. */
export function mattingBackbone(name: string, file: Json): Json {
  if (!isRecord(file.backbone_config)) return { out_features: ["stage4"] };
  const nested = file.backbone_config;
  reader(`backbone_config of ${name}`, nested).choice("model_type", "", { vitdet: true });
  return nested;
}

/** Sizes of the encoder that have been read. */
interface Encoder {
  readonly depth: number;
  readonly qkvBias: boolean;
  readonly patchSize: readonly [number, number];
}

type Read = Pick<Config, "windows" | "bottlenecks" | "pretrainedSize"> & { readonly matting: MattingConfig };

/** Reads all that a ViTDet has beside an encoder, and the decoder that makes an alpha map of one of its maps. */
export function vitdetOf(facts: Facts, vision: Json, type: "vitdet" | "vitmatte", encoder: Encoder): Read {
  const { name, named, tensors } = facts;
  const { depth, qkvBias } = encoder;
  const ofBackbone = type === "vitmatte" ? `backbone_config of ${name}` : name;
  const read = reader(ofBackbone, vision);
  const first = named.blockPrefix + blockAt(named.block!, 0);
  read.same("use_absolute_position_embeddings", tensors.has(named.prefix + named.layout.positions), true);
  read.same("use_relative_position_embeddings", tensors.has(`${first}attention.rel_pos_h`), false);
  // Outside of the map a window has the layer's bias.
  if (!qkvBias) read.same("qkv_bias", true);
  const isBlock = (i: number) => Number.isInteger(i) && i >= 0 && i < depth;
  const blocks = (key: string) => read.numbers(key, [], `numbers of its ${depth} blocks, from 0 on`, isBlock);
  const windowed = blocks("window_block_indices");
  const size = read.whole("window_size", 0);
  const whole = Array.from({ length: depth }, (_, i) => i).filter((i) => !windowed.includes(i));
  return {
    windows: size > 0 && windowed.length > 0 ? { size, whole } : undefined,
    bottlenecks: blocks("residual_block_indices"),
    pretrainedSize: read.size("pretrain_image_size", [224, 224]),
    matting: {
      blocks: stagesOf(ofBackbone, vision, depth).map((stage) => stage - 1),
      decoder: type === "vitmatte" ? decoderOf(facts, encoder) : undefined,
    },
  };
}

/** Reads ViTMatte's decoder, whose sizes the tensors tell. */
function decoderOf({ name, file, seen, tensors }: Facts, { patchSize }: Encoder): MattingConfig["decoder"] {
  const read = reader(name, file);
  const told = observeMatting((tensor) => tensors.get(tensor)?.shape);
  if (!told) {
    throw new Error(
      `load: "${name}" must have the decoder of vitmatte; it has no "decoder.convstream.convs.0.conv.weight"`,
    );
  }
  read.same("hidden_size", seen.width, 384);
  const { details, fused } = told;
  function same(key: string, channels: readonly number[], absent: readonly number[]): void {
    const stated = read.numbers(key, absent, "whole numbers", Number.isInteger);
    if (String(stated) === String(channels)) return;
    throw new Error(`load: "${key}" of "${name}" must be ${channels.join(", ")}, as the tensors tell; got ${stated}`);
  }
  same("convstream_hidden_sizes", details, [48, 96, 192]);
  same("fusion_hidden_sizes", fused, [256, 128, 64, 32]);
  // A map is enlarged twofold each time, from a pixel for each patch to one for each pixel.
  const side = 2 ** fused.length;
  if (fused.length !== details.length + 1 || patchSize.some((pixels) => pixels !== side)) {
    const found = `${details.length} and ${fused.length} for patches of ${patchSize.join("×")}`;
    throw new Error(
      `load: "convstream_hidden_sizes" and "fusion_hidden_sizes" of "${name}" must be as many as halve an image to its patches; got ${found}`,
    );
  }
  return { details, fused, eps: read.number("batch_norm_eps", 1e-5, EPS_RANGE) };
}
