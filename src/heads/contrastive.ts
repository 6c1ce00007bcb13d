/**
 * Images in the space that they share with texts (Radford et al. 2021, section 2.3): the projection of what is pooled, and the
 * scores of images and texts.
 */
import type { Backend, Linear, Tensor as Matrix } from "../backend.js";
import { dot, toUnit } from "../numerics/vectors.js";
import type { LinearPlan, Planner } from "../planned.js";
import { source, transpose, values } from "../plans.js";
import type { OutputName, Tensor } from "../vit/outputs.js";
import type { HeadCall } from "./head.js";
import type { Pooled } from "./pooling.js";

export interface ContrastiveConfig {
  /** Columns of the features that images and texts share, 0 without. */
  readonly features: number;
  /** Largest scale of cosines, which is 1 at least then (AIMv2). */
  readonly mostSimilarity?: number;
}

export interface ContrastiveWeights {
  /** Layer into the space that images share with texts. */
  readonly projection: Linear | undefined;
  /** exp(logit_scale) of CLIP, and logit_bias of SigLIP. */
  readonly similarity: Similarity | undefined;
}

/** Scores are scale · cosine + bias; independent ones are a sigmoid's each, the others a softmax's (Zhai et al. 2023). */
export interface Similarity {
  readonly scale: number;
  readonly bias: number;
  readonly independent: boolean;
}

/** CLIP's and SigLIP's, which are of logarithms; or TIPS's temperature, which divides. */
export type SimilarityNames =
  | { readonly logitScale: string; readonly logitBias: string }
  | { readonly temperature: string };

/** Projection of a tower's pooled vector: a layer, or without bias and [inputs, outputs] where it is a tensor of that name. */
export function planProjection(
  planner: Planner,
  names: readonly string[],
  inputs: number,
  outputs: number,
): LinearPlan | undefined {
  const { has, shapeOf, weightOf } = planner;
  const raw = names.find(has);
  if (raw !== undefined) {
    const weight = [source(raw, [inputs, outputs], outputs, { arrange: transpose(inputs) })];
    return { place: "linear", outputs, inputs, weight, bias: [] };
  }
  const name = names.find((x) => has(weightOf(x)));
  return name === undefined ? undefined : planner.linear([name], shapeOf(weightOf(name))![0]!, inputs);
}

/** The logarithm of the scale, and the bias, if there is one. */
export function planSimilarity({ has }: Planner, names: SimilarityNames) {
  if ("temperature" in names) {
    const scale = values(names.temperature, [], (temperature) => temperature.map((t) => -Math.log(t)));
    return { scale, bias: undefined };
  }
  const { logitScale, logitBias } = names;
  return { scale: values(logitScale, []), bias: has(logitBias) ? values(logitBias, []) : undefined };
}

/** @throws Error where the score of equal vectors is no f32. */
export function similarityOf(
  name: string,
  logScale: number,
  bias: number | undefined,
  most: number | undefined,
): Similarity {
  const exact = Math.exp(logScale);
  const scale = most === undefined ? exact : Math.min(Math.max(exact, 1), most);
  if (!Number.isFinite(Math.fround(scale + Math.abs(bias ?? 0)))) {
    const found = `logit_scale ${logScale}, logit_bias ${bias ?? 0}`;
    throw new Error(`weights: exp(logit_scale) and logit_bias of "${name}" must make finite scores; got ${found}`);
  }
  return { scale, bias: bias ?? 0, independent: bias !== undefined };
}

/** The layer into the shared space on what is pooled, [B, features]; what is pooled itself where there is none. */
export function projected(
  backend: Backend,
  { projection }: ContrastiveWeights,
  config: ContrastiveConfig,
  pooled: () => Pooled,
): Matrix {
  const [y] = pooled();
  if (!projection) return y!;
  const out = backend.createTensor(y!.rows, config.features);
  backend.linear(out, y!, projection);
  return out;
}

/** Rows scaled to length 1. */
function toUnits({ dims, data }: Tensor): Tensor {
  const width = dims.at(-1)!;
  const out = new Float32Array(data.length);
  for (let at = 0; at < data.length; at += width) out.set(toUnit(data.subarray(at, at + width)), at);
  return { dims, data: out };
}

/** scale · a bᵀ + bias */
function similarities(a: Tensor, b: Tensor, scale: number, bias: number): Tensor {
  const rowsOf = ({ data, dims: [rows = 0, width = 0] }: Tensor) =>
    Array.from({ length: rows }, (_, i) => data.subarray(i * width, (i + 1) * width));
  const columns = rowsOf(b);
  const scores = rowsOf(a).flatMap((row) => columns.map((column) => scale * dot(row, column) + bias));
  return { dims: [a.dims[0]!, b.dims[0]!], data: Float32Array.from(scores) };
}

/**
 * Its part in a call: imageEmbeds, textEmbeds, logitsPerImage and logitsPerText of the features of both towers. Where boxes are of
 * patches (OWL-ViT), imageEmbeds are the patches' own.
 */
export function beginContrastive(
  { similarity }: ContrastiveWeights,
  { patchBoxes }: { readonly patchBoxes: object | undefined },
  wanted: readonly OutputName[],
): HeadCall {
  const compares = wanted.includes("logitsPerImage") || wanted.includes("logitsPerText");
  const needs: OutputName[] = compares ? ["imageFeatures", "textFeatures"] : [];
  if (wanted.includes("imageEmbeds") && !patchBoxes) needs.push("imageFeatures");
  return {
    needs,
    finish({ imageFeatures, textFeatures }) {
      const images = imageFeatures && toUnits(imageFeatures);
      const texts = textFeatures && toUnits(textFeatures);
      const embeds = { ...(images && !patchBoxes && { imageEmbeds: images }), ...(texts && { textEmbeds: texts }) };
      if (!compares) return embeds;
      const { scale, bias } = similarity!;
      return {
        ...embeds,
        logitsPerImage: similarities(images!, texts!, scale, bias),
        logitsPerText: similarities(texts!, images!, scale, bias),
      };
    },
  };
}
