/**
 * ViT-Ti, S and B with patches of 16 pixels, B with those of 32, and S on large images (of 1,370 and 4,097 tokens), with random
 * weights, as checkpoints in timm's layout.
 *
 * Names and shapes: timm's vision_transformer.py; sizes: Dosovitskiy et al. 2021, table 1, and Touvron et al. 2021, table 1.
 */

export type Size = "Ti" | "S" | "B" | "B/32" | "S/14@518" | "S/16@1024";

interface Shape {
  readonly architecture: string;
  readonly width: number;
  readonly heads: number;
  readonly patch: number;
  /** Side of the image, IMAGE unless given. */
  readonly image?: number;
}

export const SIZES: Record<Size, Shape> = {
  Ti: { architecture: "vit_tiny_patch16_224", width: 192, heads: 3, patch: 16 },
  S: { architecture: "vit_small_patch16_224", width: 384, heads: 6, patch: 16 },
  B: { architecture: "vit_base_patch16_224", width: 768, heads: 12, patch: 16 },
  "B/32": { architecture: "vit_base_patch32_224", width: 768, heads: 12, patch: 32 },
  "S/14@518": { architecture: "vit_small_patch14_dinov2", width: 384, heads: 6, patch: 14, image: 518 },
  "S/16@1024": { architecture: "vit_small_patch16_224", width: 384, heads: 6, patch: 16, image: 1024 },
};

/** Sizes of many tokens. */
export const LONG = ["S/14@518", "S/16@1024"] as const satisfies readonly Size[];
export const isLong = (size: Size): boolean => (LONG as readonly Size[]).includes(size);

export const DEPTH = 12;
export const PATCH = 16;
export const IMAGE = 224;
export const CLASSES = 1000;
export const imageOf = (size: Size): number => SIZES[size].image ?? IMAGE;
export const tokensOf = (size: Size): number => (imageOf(size) / SIZES[size].patch) ** 2 + 1;
export const TOKENS = (IMAGE / PATCH) ** 2 + 1;
export const EPSILON = 1e-6;

export interface Weight {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

/**
 * Uniform random numbers of mean 0 and standard deviation `deviation`, the same for the same seed.
 * Generator: mulberry32 by Tommy Ettinger, public domain.
 */
export function random(length: number, deviation: number, seed: number): Float32Array {
  const scale = (deviation * Math.sqrt(12)) / 2 ** 32;
  const data = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    data[i] = (((t ^ (t >>> 14)) >>> 0) - 2 ** 31) * scale;
  }
  return data;
}

/**
 * Tensors that are filled one after the other, each with a seed of its own. Linear weights have standard deviation 1/√inputs, which
 * keeps the variance of what passes through, so that softmax and GELU work on values as spread as a trained model's.
 * @param seed of the first.
 * @param width columns of norms.
 */
export function randomTensors(seed: number, width: number) {
  const weights = new Map<string, Weight>();
  const add = (name: string, dims: readonly number[], deviation: number, mean = 0) => {
    const data = random(
      dims.reduce((a, b) => a * b, 1),
      deviation,
      seed + weights.size,
    );
    if (mean !== 0) for (let i = 0; i < data.length; i++) data[i]! += mean;
    weights.set(name, { dims, data });
  };
  const linear = (name: string, outputs: number, inputs: number) => {
    add(`${name}.weight`, [outputs, inputs], 1 / Math.sqrt(inputs));
    add(`${name}.bias`, [outputs], 0.02);
  };
  const norm = (name: string) => {
    add(`${name}.weight`, [width], 0.1, 1);
    add(`${name}.bias`, [width], 0.1);
  };
  return { weights, add, linear, norm };
}

/** The tensors by timm's names. */
export function randomWeights(size: Size): Map<string, Weight> {
  const { width, patch } = SIZES[size];
  const { weights, add, linear, norm } = randomTensors(width, width);
  add("cls_token", [1, 1, width], 0.5);
  add("pos_embed", [1, tokensOf(size), width], 0.5);
  add("patch_embed.proj.weight", [width, 3, patch, patch], 1 / Math.sqrt(3 * patch * patch));
  add("patch_embed.proj.bias", [width], 0.02);
  for (let block = 0; block < DEPTH; block++) {
    norm(`blocks.${block}.norm1`);
    linear(`blocks.${block}.attn.qkv`, 3 * width, width);
    linear(`blocks.${block}.attn.proj`, width, width);
    norm(`blocks.${block}.norm2`);
    linear(`blocks.${block}.mlp.fc1`, 4 * width, width);
    linear(`blocks.${block}.mlp.fc2`, width, 4 * width);
  }
  norm("norm");
  linear("head", CLASSES, width);
  return weights;
}

/** timm's config.json for a size. */
export const timmConfig = (size: Size): object => ({
  architecture: SIZES[size].architecture,
  num_classes: CLASSES,
  num_features: SIZES[size].width,
  global_pool: "token",
  pretrained_cfg: { input_size: [3, imageOf(size), imageOf(size)], num_classes: CLASSES },
});

/** config.json of the same for transformers. */
export const transformersConfig = (size: Size): object => ({
  model_type: "vit",
  architectures: ["ViTForImageClassification"],
  hidden_size: SIZES[size].width,
  id2label: Object.fromEntries(Array.from({ length: CLASSES }, (_, i) => [i, `class ${i}`])),
});

/** preprocessor_config.json for both: a square, bilinear, to -1…1. */
export const preprocessorConfig = {
  image_processor_type: "ViTImageProcessor",
  do_resize: true,
  size: { height: IMAGE, width: IMAGE },
  resample: 2,
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.5, 0.5, 0.5],
  image_std: [0.5, 0.5, 0.5],
};

/** What the header of a safetensors file says of a tensor. */
interface Entry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data_offsets: readonly [number, number];
}

/** The bytes of model.safetensors. */
export function safetensors(weights: ReadonlyMap<string, Weight>): Uint8Array<ArrayBuffer> {
  let length = 0;
  const header: Record<string, Entry> = {};
  for (const [name, { dims, data }] of weights) {
    header[name] = { dtype: "F32", shape: dims, data_offsets: [length, length + data.byteLength] };
    length += data.byteLength;
  }
  const json = JSON.stringify(header);
  const text = new TextEncoder().encode(json.padEnd(Math.ceil(json.length / 8) * 8));
  const file = new Uint8Array(8 + text.length + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  let at = 8 + text.length;
  for (const { data } of weights.values()) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/** The tensors of a model.safetensors that are f32. */
export function parseSafetensors(file: Uint8Array<ArrayBuffer>): Map<string, Weight> {
  const start = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
  const { __metadata__, ...header } = JSON.parse(new TextDecoder().decode(file.subarray(8, start)));
  const weights = new Map<string, Weight>();
  for (const [
    name,
    {
      dtype,
      shape,
      data_offsets: [from, to],
    },
  ] of Object.entries<Entry>(header)) {
    if (dtype === "F32")
      weights.set(name, { dims: shape, data: new Float32Array(file.slice(start + from, start + to).buffer) });
  }
  return weights;
}
