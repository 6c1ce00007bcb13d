/** transformers' ViTMAEForPreTraining and ViTForMaskedImageModeling: what config.json says of how they tell hidden patches. */
import type { ReconstructionConfig } from "../../heads/reconstruction.js";
import type { Config } from "../config.js";
import { reader } from "../json.js";
import { depthOf, type Facts, hasBlock } from "../observe.js";

/** The head of a checkpoint that has tensors of one. */
export function reconstructionOf(
  { name, file, named: { layout }, tensors }: Facts,
  { eps, activation }: Pick<Config, "eps" | "activation">,
): ReconstructionConfig {
  const { pixels, decoder, block } = layout.reconstruction!;
  if (tensors.has(`${pixels}.weight`)) return {};
  const width = tensors.get(`${decoder.embed}.weight`)?.shape[0];
  if (width === undefined) {
    const parts = `"${decoder.embed}.weight" or "${pixels}.weight"`;
    throw new Error(`load: the decoder of "${name}" must have ${parts}, as it has other tensors; it has neither`);
  }
  const read = reader(name, file);
  const mlpWidth = read.count("decoder_intermediate_size", 2048);
  const maskRatio = read.number("mask_ratio", 0.75, [0, 1]);
  const heads = read.count("decoder_num_attention_heads", 16);
  if (width % heads !== 0) {
    throw new Error(
      `load: width ${width} of the decoder of "${name}" must be a multiple of its heads; got ${heads} heads`,
    );
  }
  const normalized = read.flag("norm_pix_loss", false);
  const depth = read.count("decoder_num_hidden_layers", 8);
  const own = block.find((names) => hasBlock(layout, "", names, (tensor) => tensors.has(tensor)));
  const told = own ? depthOf("", own, tensors) : 0;
  if (told !== depth) {
    throw new Error(`load: the decoder of "${name}" must have ${depth} blocks, as its config says; got ${told}`);
  }
  return { decoder: { ...{ width, depth, heads, mlpWidth, eps, activation }, maskRatio, normalized } };
}
