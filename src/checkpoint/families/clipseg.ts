/** transformers' CLIPSeg: what config.json says of its decoder. */
import { stridesOf, type TextMasksConfig } from "../../heads/text-masks.js";
import { reader } from "../json.js";
import { type Layout, weightOf } from "../layouts.js";
import { blockAt, type Facts } from "../observe.js";

/** Largest stride of a transposed convolution: as large as a patch, of which published have 16. */
const MAX_STRIDE = 64;

/** CLIPSeg's decoder, whose widths the tensors tell; its norms have the image tower's epsilon, and its activation is fixed. */
export function textMasksOf(
  { name, file, named: { layout }, tensors }: Facts,
  names: NonNullable<Layout["textMasks"]>,
  { depth, eps }: { readonly depth: number; readonly eps: number },
): TextMasksConfig {
  const shapeOf = (layer: string) => tensors.get(weightOf(layout, layer))?.shape;
  const width = shapeOf(names.factor)?.[0] ?? 0;
  const mlpWidth = shapeOf(blockAt(names.block, 0) + names.block.mlps[0].fc2[0])?.[1] ?? 0;
  const strides = stridesOf(names, shapeOf);
  const read = reader(name, file);
  const isBlock = (x: number) => Number.isInteger(x) && x >= 0 && x < depth;
  const levels = read.numbers("extract_layers", [3, 6, 9], `numbers of its ${depth} blocks, from 0 on`, isBlock);
  read.same("reduce_dim", width, 64);
  read.same("decoder_intermediate_size", mlpWidth, 2048);
  read.same("use_complex_transposed_convolution", strides.length > 1, false);
  const conditional = read.whole("conditional_layer", 0);
  const heads = read.count("decoder_num_attention_heads", 4);
  if (levels.length < 1 || conditional >= levels.length) {
    const rule = `one of ${levels.length} levels of extract_layers`;
    throw new Error(`load: "conditional_layer" of "${name}" must be ${rule}; got ${conditional}`);
  }
  if (width % heads !== 0 || strides.some((stride) => stride < 1 || stride > MAX_STRIDE)) {
    const found = `${width} channels, ${heads} heads and strides of ${strides.join(", ")}`;
    throw new Error(
      `load: the decoder of "${name}" must have channels that its heads divide, and strides of 1 to ${MAX_STRIDE}; got ${found}`,
    );
  }
  const decoder = { width, depth: levels.length, heads, mlpWidth, eps, activation: "relu" } as const;
  return { levels, decoder, conditional, strides };
}
