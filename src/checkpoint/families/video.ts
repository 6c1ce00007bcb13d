/** transformers' models of videos, VideoMAE, ViViT and TimeSformer: what config.json says of frames, positions and attention. */
import type { VideoConfig } from "../../vit/video.js";
import type { Config } from "../config.js";
import { reader } from "../json.js";
import type { Facts } from "../observe.js";

/** model_type of such a model. */
export type VideoType = "videomae" | "vivit" | "timesformer";

/** Frames of a clip, and what is of a video's model alone. */
export function videoOf(facts: Facts, type: VideoType, classes: number): Partial<Config> {
  const read = reader(facts.name, facts.file);
  const shared = { patchSize: facts.seen.patch, fixedSize: true };
  if (type === "timesformer") return { ...shared, video: ofTimesformer(facts) };
  const sinusoids = type === "videomae";
  const frames = read.count("num_frames", sinusoids ? 16 : 32);
  const video: VideoConfig = {
    frames,
    tubelet: tubeletOf(facts, type, frames),
    byPlace: false,
    sinusoids,
    divided: false,
  };
  if (!sinusoids) return { ...shared, video };
  // Without mean pooling the model ends with a norm, and the classifier reads the first patch.
  const mean = read.flag("use_mean_pooling", true);
  const norm = mean ? (classes > 0 ? "pooled" : "none") : "tokens";
  return {
    ...{ ...shared, video, norm, pooling: mean ? "mean" : "token" },
    qkvBias: read.flag("qv_bias", read.flag("qkv_bias", facts.seen.qkvBias)),
  };
}

/** Frames of a patch, which are stated with its sides by ViViT, as the convolution tells them. */
function tubeletOf({ name, file, seen }: Facts, type: VideoType, frames: number): number {
  const stated = type === "vivit" ? (file.tubelet_size ?? [2, 16, 16]) : [file.tubelet_size ?? 2, ...seen.patch];
  const told = [seen.tubelet, ...seen.patch];
  if (!Array.isArray(stated) || stated.join() !== told.join()) {
    throw new Error(
      `load: "tubelet_size" of "${name}" must be that of its tensors, ${told.join("×")}; got ${JSON.stringify(stated)}`,
    );
  }
  if (frames % seen.tubelet === 0) return seen.tubelet;
  throw new Error(`load: "num_frames" of "${name}" must be a multiple of ${seen.tubelet}, a patch's; got ${frames}`);
}

function ofTimesformer({ name, file, named }: Facts): VideoConfig {
  const read = reader(name, file);
  const divided = read.choice("attention_type", "divided_space_time", {
    divided_space_time: true,
    joint_space_time: false,
  });
  if (divided !== (named.block?.inTurn ?? false)) {
    const found = divided ? "none of its own over time" : "one of its own over time";
    throw new Error(
      `load: attention of "${name}" must be ${file.attention_type ?? "divided"}; its tensors have ${found}`,
    );
  }
  return { frames: read.count("num_frames", 8), tubelet: 1, byPlace: true, sinusoids: false, divided };
}
