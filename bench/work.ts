/** What is measured: the work, the numbers that every engine starts from, and how an engine is set up for it. */

import { PARTS, type PartName, partFlops } from "./dense.js";
import { PICTURES, type Picture } from "./files.js";
import { CLASSES, DEPTH, IMAGE, imageOf, PATCH, random, SIZES, type Size, TOKENS, tokensOf } from "./models.js";
import { promptFlops } from "./prompts.js";
import { type Network, resnetFlops } from "./resnets.js";

/** out = x Wᵀ. x: [TOKENS, inputs], weight: [outputs, inputs], out: [TOKENS, outputs]. */
export interface GemmWork {
  readonly kind: "gemm";
  readonly inputs: number;
  readonly outputs: number;
}

/** softmax(Q Kᵀ / √d) V of each head. q, k, v and out: [TOKENS, heads·d]. */
export interface AttentionWork {
  readonly kind: "attention";
  readonly heads: number;
  readonly d: number;
}

/** The logits of a ViT of checkpoints.ts. pixels: [batch, 3, image, image], out: [batch, CLASSES]. */
export interface VitWork {
  readonly kind: "vit";
  readonly size: Size;
  readonly batch: number;
}

/** The logits of a network of convolutions, or of a hybrid. pixels: [1, 3, IMAGE, IMAGE], out: [1, CLASSES]. */
export interface ResNetWork {
  readonly kind: "resnet";
  readonly network: Network;
}

/** What a part of a dense model of dense.ts gives. */
export interface DenseWork {
  readonly kind: "dense";
  readonly part: PartName;
}

/** Features of prompts by CLIP's text tower of ViT-B/32. out: [count, 512]. */
export interface PromptsWork {
  readonly kind: "prompts";
  readonly count: number;
}

/** Masks of a photo whose embedding is there, by a point: the decoder, and its masks in the size of the photo. out: the best one. */
export interface ClickWork {
  readonly kind: "click";
}

/** From a JPEG file to the probabilities of all classes, by the ViT-Ti of checkpoints.ts. out: [CLASSES]. */
export interface ClassifyWork {
  readonly kind: "classify";
}

/** From a JPEG file to pixel values: decoded, resized to IMAGE×IMAGE, normalized. out: [3, IMAGE, IMAGE]. */
export interface PixelsWork {
  readonly kind: "pixels";
}

/** From an encoded picture in memory to RGB. out: a sample of its values. */
export interface DecodeWork {
  readonly kind: "decode";
  readonly picture: Picture;
}

/** From a JPEG file to pixel values as above; a draft may be decoded at a part of its size. out: [3, IMAGE, IMAGE]. */
export interface TensorWork {
  readonly kind: "tensor";
  readonly picture: Picture;
  readonly draft: boolean;
}

/**
 * From a folder of photos to a file of their embeddings, or logits where an engine has these. out: [CLASSES], the probabilities
 * of the photo of 0.2 megapixels: of a larger one, decoders and resizers differ.
 */
export interface FolderWork {
  readonly kind: "folder";
  readonly size: "Ti" | "B/32";
  readonly picture: "photo" | "baseline";
  readonly photos: number;
}

export type Work =
  | FolderWork
  | GemmWork
  | AttentionWork
  | VitWork
  | ResNetWork
  | DenseWork
  | PromptsWork
  | ClickWork
  | ClassifyWork
  | PixelsWork
  | DecodeWork
  | TensorWork;

/** What stands for the RGB of a picture in comparisons. */
export function sampleOf(data: ArrayLike<number>, channels: 3 | 4): Float32Array {
  const step = 101;
  const pixels = Math.floor(data.length / channels / step);
  return Float32Array.from({ length: 3 * pixels }, (_, i) => data[Math.floor(i / 3) * step * channels + (i % 3)]!);
}

/** Arrays one behind the other. */
export function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export interface Setup {
  readonly precision: "f32" | "int8";
  readonly threads: number;
  /** 256-bit vectors, vitrail's option. */
  readonly wide: boolean;
}

export const PLAIN: Setup = { precision: "f32", threads: 1, wide: false };

/** Floating-point operations: a multiply and an add count two; norms, softmax, GELU and what comes before nothing. */
export function flopsOf(work: Work): number {
  switch (work.kind) {
    case "gemm":
      return 2 * TOKENS * work.inputs * work.outputs;
    case "attention":
      return 2 * 2 * TOKENS * TOKENS * work.heads * work.d;
    case "vit":
      return work.batch * vitFlops(work.size);
    case "resnet": {
      const patches = (IMAGE / PATCH) ** 2;
      const embedded = work.network === "R50x1" ? 0 : vitFlops("B") + 2 * patches * 768 * (1024 - 3 * PATCH * PATCH);
      return resnetFlops(work.network, IMAGE) + embedded;
    }
    case "dense":
      return partFlops(work.part);
    case "prompts":
      return promptFlops(work.count);
    case "click":
      return partFlops("decoder");
    case "folder":
      return work.photos * vitFlops(work.size);
    case "classify":
      return vitFlops("Ti");
    case "pixels":
    case "decode":
    case "tensor":
      // What takes about as long, so that the peak beside it is measured at all.
      return 1e8;
  }
}

function vitFlops(size: Size): number {
  const { width, patch } = SIZES[size];
  const tokens = tokensOf(size);
  const block = tokens * 12 * width * width + 2 * tokens * tokens * width;
  return 2 * (DEPTH * block + (tokens - 1) * 3 * patch * patch * width + width * CLASSES);
}

export function labelOf(work: Work): string {
  switch (work.kind) {
    case "gemm":
      return `${TOKENS}×${work.inputs}×${work.outputs}`;
    case "attention":
      return `${work.heads} heads of ${work.d}`;
    case "vit":
      return `ViT-${sizeLabel(work.size)}, batch ${work.batch}`;
    case "resnet":
      return `${work.network === "R50x1" ? "BiT ResNetV2-50x1" : `hybrid ${work.network}`}, batch 1`;
    case "dense":
      return PARTS[work.part].what;
    case "prompts":
      return `CLIP ViT-B/32 text tower, ${work.count} prompts`;
    case "click":
      return "SAM ViT-B, prepared photo and a point → its masks";
    case "folder":
      return `${work.photos} photos, each a ${PICTURES[work.picture].what} → embeddings, ViT-${work.size}`;
    case "classify":
      return "JPEG file → classes, ViT-Ti/16";
    case "pixels":
      return `JPEG file → ${IMAGE}×${IMAGE} pixel values`;
    case "decode":
      return `${PICTURES[work.picture].what} → RGB`;
    case "tensor":
      return `${PICTURES[work.picture].what} → ${IMAGE}×${IMAGE} pixel values${work.draft ? ", as a draft" : ""}`;
  }
}

/** Ti/16, or S/14 at 518 of an image that is not of 224 pixels. */
const sizeLabel = (size: Size): string => (size.includes("/") ? size.replace("@", " at ") : `${size}/${PATCH}`);

/** The linear layers of ViT-Ti, S and B, [inputs, outputs]. */
const LAYERS = [
  [192, 576],
  [192, 768],
  [384, 1536],
  [768, 768],
  [768, 2304],
  [768, 3072],
  [3072, 768],
] as const;

export const GEMMS: readonly Work[] = LAYERS.map(([inputs, outputs]) => ({ kind: "gemm", inputs, outputs }));
export const ATTENTIONS: readonly Work[] = [3, 6, 12].map((heads) => ({ kind: "attention", heads, d: 64 }));

export const gemmInputs = ({ inputs, outputs }: GemmWork) => ({
  x: random(TOKENS * inputs, 1, 1),
  weight: random(outputs * inputs, 1 / Math.sqrt(inputs), 2),
});

export const attentionInputs = ({ heads, d }: AttentionWork) => ({
  q: random(TOKENS * heads * d, 1, 1),
  k: random(TOKENS * heads * d, 1, 2),
  v: random(TOKENS * heads * d, 1, 3),
});

/** Pixel values of images for a size, or for a network at 224 pixels. */
export function vitPixels(batch: number, size?: Size) {
  const side = size ? imageOf(size) : IMAGE;
  return { dims: [batch, 3, side, side], data: random(batch * 3 * side * side, 1, 1) };
}
