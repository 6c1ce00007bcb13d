/**
 * Weights of SAM's neck and decoder (Kirillov et al. 2023): types, names and plan. Its layers stay in f32 in every precision: they
 * are a hundredth of the encoder's work, and the neck reads a residual stream that no norm has seen.
 */
import type { Activation, Linear, Tensor as Matrix, Norm } from "../backend.js";
import type { Arrange, LinearPlan, Planned, Planner, TensorPlan, ValuesPlan } from "../planned.js";
import { convolutionRows, source, transposedRows, values } from "../plans.js";
import { planMlp } from "./mlp.js";
import { cellPositions } from "./prompts.js";

export interface SamConfig {
  /** Channels of the image's embedding. */
  readonly channels: number;
  /** Rows and columns of the image's embedding: the patches. */
  readonly grid: readonly [number, number];
  /** None in an encoder alone (SamVisionModel). */
  readonly decoder:
    | {
        readonly heads: number;
        readonly depth: number;
        readonly eps: number;
        readonly activation: Activation;
        /** Masks that are made: one that stands for all, then those of an ambiguous prompt. */
        readonly masks: number;
        /** The same of the layers that embed a mask as a prompt. */
        readonly promptEps: number;
        readonly promptActivation: Activation;
      }
    | undefined;
}

/** Attention of some tokens to others, with an inner width of its own. */
export interface CrossAttention {
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly out: Linear;
}

/** A block of the decoder (Kirillov et al. 2023, appendix A, figure 14). */
export interface TwoWayBlock {
  readonly self: CrossAttention;
  readonly norm1: Norm;
  readonly toImage: CrossAttention;
  readonly norm2: Norm;
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly norm3: Norm;
  readonly toTokens: CrossAttention;
  readonly norm4: Norm;
}

/** Embeddings of prompts. */
export interface PromptWeights {
  /** Frequencies of positions, [2, C/2]. */
  readonly frequencies: Float32Array;
  /** Positions of the cells of the image's embedding, [N, C]. */
  readonly cells: Matrix;
  /** Kinds of points, beside the object and on it, and of a box's corners: vectors that are added to positions, [C] each. */
  readonly kinds: readonly Float32Array[];
  /** In the place of a point, where there is none, [C]. */
  readonly none: Float32Array;
  /** In the place of a mask, [N, C], the same for all cells. */
  readonly noMask: Matrix;
  readonly mask: {
    readonly conv1: Linear;
    readonly norm1: Norm;
    readonly conv2: Linear;
    readonly norm2: Norm;
    readonly conv3: Linear;
  };
}

export interface MaskDecoder {
  readonly prompt: PromptWeights;
  /** The token of quality, [1, C], and those of masks, [masks, C]. */
  readonly qualityToken: Float32Array;
  readonly maskTokens: Float32Array;
  readonly blocks: readonly TwoWayBlock[];
  readonly toImage: CrossAttention;
  readonly norm: Norm;
  readonly upscale1: Linear;
  readonly upscaleNorm: Norm;
  readonly upscale2: Linear;
  /** Layers that make of a mask's token the weights of its mask. */
  readonly hypernetworks: readonly (readonly Linear[])[];
  readonly quality: readonly Linear[];
}

export interface Sam {
  readonly neck: { readonly conv1: Linear; readonly norm1: Norm; readonly conv2: Linear; readonly norm2: Norm };
  readonly decoder: MaskDecoder | undefined;
}

const DECODER = "mask_decoder.";
const PROMPTS = "prompt_encoder.";
const FREQUENCIES = "shared_image_embedding.positional_embedding";
const transformerAt = (i: number) => `${DECODER}transformer.layers.${i}.`;
const masksAt = (i: number) => `${DECODER}output_hypernetworks_mlps.${i}.`;

/** Norms whose class has PyTorch's own epsilon, and those with 1e-6 whatever the file says. */
const EPS_OF_TORCH = 1e-5;
const EPS_OF_MAPS = 1e-6;

/**
 * Sizes that the tensors of SAM's neck and decoder tell; undefined without them.
 * @param prefix of the encoder's tensors.
 */
export function observeSam(shapeOf: (tensor: string) => readonly number[] | undefined, prefix: string) {
  const has = (tensor: string) => shapeOf(tensor) !== undefined;
  const neck = shapeOf(`${prefix}neck.conv1.weight`);
  if (!neck) return undefined;
  let depth = 0;
  while (has(`${transformerAt(depth)}self_attn.q_proj.weight`)) depth++;
  const width = (at: string) => shapeOf(`${at}q_proj.weight`)?.[0] ?? 1;
  return {
    channels: neck[0] ?? 0,
    depth,
    /** Position embeddings, and decomposed ones of the first block. */
    positions: has(`${prefix}pos_embed`),
    decomposed: has(`${prefix}layers.0.attn.rel_pos_h`),
    masks: shapeOf(`${DECODER}mask_tokens.weight`)?.[0] ?? 0,
    /** Widths inside the decoder's attentions: of tokens among themselves, and of tokens and the image. */
    innerWidths: [width(`${transformerAt(0)}self_attn.`), width(`${transformerAt(0)}cross_attn_token_to_image.`)],
  };
}

/** @param prefix of the encoder's tensors. @param tokens width of the encoder's tokens. */
export function planSam(planner: Planner, config: SamConfig, prefix: string, tokens: number): Planned<Sam> {
  const { has, shapeOf, weightOf, biasOf } = planner;
  const { channels, grid, decoder } = config;
  const cells = grid[0] * grid[1];
  const at = `${prefix}neck.`;
  const norm = (name: string, cols: number, eps: number) => planner.norm(name, cols, eps);
  return {
    neck: {
      conv1: convolution(`${at}conv1`, channels, tokens, 1, false),
      norm1: norm(`${at}layer_norm1`, channels, EPS_OF_MAPS),
      conv2: convolution(`${at}conv2`, channels, channels, 3, false),
      norm2: norm(`${at}layer_norm2`, channels, EPS_OF_MAPS),
    },
    decoder: decoder && planDecoder(decoder),
  };

  function exact(plan: LinearPlan): LinearPlan {
    return { ...plan, exact: true };
  }

  function linear(name: string, outputs: number, inputs: number): LinearPlan {
    return exact(planner.linear([name], outputs, inputs, { biased: true }));
  }

  function convolution(name: string, outputs: number, inputs: number, kernel: number, biased = true): LinearPlan {
    const arrange = kernel === 1 ? undefined : convolutionRows({ outputs, channels: inputs, kernel });
    return exact({
      place: "linear",
      ...{ outputs, inputs: kernel * kernel * inputs },
      weight: [source(weightOf(name), [outputs, inputs, kernel, kernel], outputs, { arrange })],
      bias: biased ? [source(biasOf(name), [outputs], outputs)] : [],
    });
  }

  /** A transposed convolution of 2 × 2 pixels that do not overlap. */
  function doubling(name: string, outputs: number, inputs: number): LinearPlan {
    const arrange = transposedRows({ outputs, channels: inputs, kernel: 2, stride: 2 });
    return exact({
      place: "linear",
      ...{ outputs: 4 * outputs, inputs },
      weight: [source(weightOf(name), [inputs, outputs, 2, 2], 4 * outputs, { arrange })],
      bias: [0, 1, 2, 3].map((i) => source(biasOf(name), [outputs], outputs, { to: i * outputs })),
    });
  }

  /** Rows of numbers that a tensor of other rows makes. */
  function made(tensor: string, shape: readonly number[], rows: number, arrange: Arrange): TensorPlan {
    return { place: "tensor", ...{ rows, cols: channels, sources: [source(tensor, shape, rows, { arrange })] } };
  }

  function attention(name: string): Planned<CrossAttention> {
    const inner = shapeOf(weightOf(`${name}.q_proj`))?.[0] ?? channels;
    const into = (part: string) => linear(`${name}.${part}_proj`, inner, channels);
    return { q: into("q"), k: into("k"), v: into("v"), out: linear(`${name}.out_proj`, channels, inner) };
  }

  function block(i: number, eps: number): Planned<TwoWayBlock> {
    const at = transformerAt(i);
    const hidden = shapeOf(weightOf(`${at}mlp.lin1`))?.[0] ?? channels;
    return {
      self: attention(`${at}self_attn`),
      norm1: norm(`${at}layer_norm1`, channels, eps),
      toImage: attention(`${at}cross_attn_token_to_image`),
      norm2: norm(`${at}layer_norm2`, channels, eps),
      fc1: linear(`${at}mlp.lin1`, hidden, channels),
      fc2: linear(`${at}mlp.lin2`, channels, hidden),
      norm3: norm(`${at}layer_norm3`, channels, eps),
      toTokens: attention(`${at}cross_attn_image_to_token`),
      norm4: norm(`${at}layer_norm4`, channels, eps),
    };
  }

  /** The layers of transformers' SamFeedForward. */
  function perceptron(at: string, outputs: number): LinearPlan[] {
    const between: string[] = [];
    while (has(weightOf(`${at}layers.${between.length}`))) between.push(`${at}layers.${between.length}`);
    const hidden = shapeOf(weightOf(`${at}proj_in`))?.[0] ?? channels;
    const first = linear(`${at}proj_in`, hidden, channels);
    return [first, ...planMlp(planner, [...between, `${at}proj_out`], hidden, outputs).map(exact)];
  }

  function planPrompts({ promptEps }: NonNullable<SamConfig["decoder"]>): Planned<PromptWeights> {
    const vector = (name: string): ValuesPlan => values(`${PROMPTS}${name}.weight`, [1, channels]);
    const repeated = (row: Float32Array) =>
      Float32Array.from({ length: cells * channels }, (_, i) => row[i % channels]!);
    const embed = `${PROMPTS}mask_embed.`;
    const outputsOf = (name: string) => shapeOf(weightOf(embed + name))?.[0] ?? 1;
    const [narrow, wide] = [outputsOf("conv1"), outputsOf("conv2")];
    const shape = [2, channels / 2];
    return {
      frequencies: values(FREQUENCIES, shape),
      cells: made(FREQUENCIES, shape, cells, (frequencies) => cellPositions(frequencies, grid)),
      kinds: [0, 1, 2, 3].map((i) => vector(`point_embed.${i}`)),
      none: vector("not_a_point_embed"),
      noMask: made(`${PROMPTS}no_mask_embed.weight`, [1, channels], cells, repeated),
      mask: {
        conv1: convolution(`${embed}conv1`, narrow, 1, 2),
        norm1: norm(`${embed}layer_norm1`, narrow, promptEps),
        conv2: convolution(`${embed}conv2`, wide, narrow, 2),
        norm2: norm(`${embed}layer_norm2`, wide, promptEps),
        conv3: convolution(`${embed}conv3`, channels, wide, 1),
      },
    };
  }

  function planDecoder(decoder: NonNullable<SamConfig["decoder"]>): Planned<MaskDecoder> {
    const { depth, masks, eps } = decoder;
    // A quarter and an eighth of the channels, unless the tensors say otherwise.
    const outputsOf = (name: string) => shapeOf(weightOf(DECODER + name))?.[1] ?? 1;
    const [half, quarter] = [outputsOf("upscale_conv1"), outputsOf("upscale_conv2")];
    return {
      prompt: planPrompts(decoder),
      qualityToken: values(`${DECODER}iou_token.weight`, [1, channels]),
      maskTokens: values(`${DECODER}mask_tokens.weight`, [masks, channels]),
      blocks: Array.from({ length: depth }, (_, i) => block(i, eps)),
      toImage: attention(`${DECODER}transformer.final_attn_token_to_image`),
      norm: norm(`${DECODER}transformer.layer_norm_final_attn`, channels, EPS_OF_TORCH),
      upscale1: doubling(`${DECODER}upscale_conv1`, half, channels),
      upscaleNorm: norm(`${DECODER}upscale_layer_norm`, half, EPS_OF_MAPS),
      upscale2: doubling(`${DECODER}upscale_conv2`, quarter, half),
      hypernetworks: Array.from({ length: masks }, (_, i) => perceptron(masksAt(i), quarter)),
      quality: perceptron(`${DECODER}iou_prediction_head.`, masks),
    };
  }
}
