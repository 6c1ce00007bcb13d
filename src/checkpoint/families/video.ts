/** transformers' VideoMAE and ViViT: what config.json says of frames, and of what the classifier reads. */
import type { Config } from "../config.js";
import { reader } from "../json.js";
import type { Facts } from "../observe.js";

/** Frames of a call, those that a patch is of, and the norm of the pooled vector. */
export function videoOf({ name, file, seen, tensors }: Facts): Partial<Config> {
  const read = reader(name, file);
  const ofVivit = seen.classToken;
  const frames = read.count("num_frames", ofVivit ? 32 : 16);
  const [tubelet, ...patch] = Array.isArray(file.tubelet_size)
    ? read.numbers("tubelet_size", [], "three positive integers", Number.isSafeInteger)
    : [read.count("tubelet_size", 2), ...seen.patch];
  if (tubelet !== seen.tubelet || patch.join() !== seen.patch.join() || frames % tubelet !== 0) {
    const told = `${seen.tubelet} frames of ${seen.patch.join("×")}`;
    throw new Error(
      `load: "tubelet_size" of "${name}" must be ${told}, as its tensors tell, of whole ${frames} frames; got ${file.tubelet_size}`,
    );
  }
  const pooled = tensors.has("fc_norm.weight");
  return {
    video: { frames, tubelet, sinusoids: !ofVivit },
    patchSize: seen.patch,
    fixedSize: true,
    ...(!ofVivit && {
      norm: pooled ? "pooled" : seen.norm ? "tokens" : "none",
      pooling: read.flag("use_mean_pooling", true) ? "mean" : "token",
    }),
  };
}
