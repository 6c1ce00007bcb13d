/**
 * Layouts: whose names the tensors bear. One row a publisher; what a row leaves out, that publisher does not have. Which of
 * the parts a checkpoint has is read from its tensors (weights.ts), so that a family rarely needs a row of its own.
 *
 * Names are without ".weight" and ".bias"; one that ends in "_" is followed by them at once ("attn.in_proj_"). "#" stands
 * for the number of a block. A list means several tensors that are stacked in this order, or the first that exists where
 * the comment says "or".
 */
import type { Activation } from "../backend.js";
import type { AttentionPoolNames } from "../heads/attention-pool.js";
import type { ClassifierNames } from "../heads/classifier-weights.js";
import type { SimilarityNames } from "../heads/contrastive.js";
import type { PatchBoxesNames } from "../heads/patch-boxes.js";
import type { QueryMasksNames } from "../heads/query-masks.js";
import type { ReconstructionNames } from "../heads/reconstruction.js";
import type { TextMasksNames } from "../heads/text-masks.js";
import type { TokenBoxesNames } from "../heads/token-boxes.js";
import type { LayoutName } from "./config.js";

/** A list that is not empty. */
export type Some<T> = readonly [T, ...T[]];

/** One attention of a block, eq. 2, relative to the block. */
export interface AttentionNames {
  readonly norm: string;
  /** One fused tensor of 3D rows; or query, key and value. */
  readonly qkv: readonly Some<string>[];
  /** Biases of query and value, with their whole names, beside tensors without. */
  readonly biases?: readonly [string, string];
  readonly queryNorm?: string;
  readonly keyNorm?: string;
  /** Epsilon of these norms, if it is not that of the rest. */
  readonly qkEps?: number;
  /** Before the projection: sub-LN (Wang et al. 2022). */
  readonly subNorm?: string;
  readonly proj: string;
  /** A second layer behind it (TimeSformer's over time). */
  readonly dense?: string;
  /** LayerScale (Touvron et al. 2021b), with its whole name, as every vector here; or. */
  readonly scales?: readonly string[];
  readonly relativePositions?: string;
  /** Layers that make such a table of distances (SwinV2), the second without a bias. */
  readonly continuous?: readonly [string, string];
  /** Logarithm of the factor of each head's cosines, with its whole name, where scores are these (SwinV2). */
  readonly cosine?: string;
  /** Tables of decomposed relative positions, down and across, with their whole names. */
  readonly decomposed?: readonly [string, string];
}

/** One MLP of a block, eq. 3, relative to the block. */
export interface MlpNames {
  readonly norm: string;
  /** The first layer, or gate and value; or. */
  readonly fc1: readonly Some<string>[];
  /** Beside a first layer without, with its whole name. */
  readonly bias?: string;
  readonly subNorm?: string;
  /** Or. */
  readonly fc2: Some<string>;
  /** Layers beside the second one, by data sets, with "#" for the number of one. */
  readonly experts?: string;
  readonly scales?: readonly string[];
}

export interface BlockNames {
  /** Prefix of a block's tensors, with "#". */
  readonly at: string;
  /** Prefix of a stage's tensors before those of its blocks, with "@", and the names of what makes its map, or the next stage's. */
  readonly stage?: { readonly at: string; readonly merging?: MergingNames; readonly widen?: string };
  readonly attentions: Some<AttentionNames>;
  /** Attentions are one after the other, not side by side. */
  readonly inTurn?: true;
  readonly mlps: Some<MlpNames>;
  /** Norm of z behind some blocks. */
  readonly closing?: string;
  /** Prefix of convolutions and their norms behind them, of some blocks; "#" stands for their numbers, from 1 to 3. */
  readonly bottleneck?: { readonly convolution: string; readonly norm: string };
  /** Attention and MLP read the same z (Dehghani et al. 2023), and the rows of this tensor are fc1, then qkv. */
  readonly inProj?: string;
}

/** Patch merging, relative to the stage before it, or to the one that it makes the map of; that, where the first has none. */
export interface MergingNames {
  readonly norm: string;
  readonly reduction: string;
}

/**
 * A ResNetV2, as the stem of a hybrid or alone (BiT). "@" and "#" stand for the numbers of stage and unit, "##" for one of
 * two digits.
 */
export interface ResNetNames {
  /** Names of the first convolution, of its norm and before units; or. */
  readonly at: Some<{
    readonly stem: string;
    readonly stemNorm: string;
    readonly unit: string;
    /** The patch embedding behind it, where it has another name than without a stem. */
    readonly patchEmbed?: string;
  }>;
  /** Names of a unit's three convolutions, and of their norms. */
  readonly convolutions: readonly [string, string, string];
  readonly norms: readonly [string, string, string];
  readonly shortcut: string;
  readonly shortcutNorm: string;
  /** After the last stage of a pre-activation network. */
  readonly last: string;
  /** Number of the first stage and unit. */
  readonly first: 0 | 1;
}

export interface Layout extends ClassifierNames {
  readonly name: LayoutName;
  /** May come before every encoder tensor; heads bear none. */
  readonly prefixes: readonly string[];
  readonly patchEmbed?: string;
  /** The patch embedding is a linear layer of a patch's pixels in the order of Conv2d's rows, (channel, y, x). */
  readonly flatPatches?: true;
  readonly patchNorm?: string;
  readonly resnet?: ResNetNames;
  /** Class token, distillation token, registers: those that exist come before the patches in this order. */
  readonly tokens: readonly string[];
  /** Tokens that the library has behind the patches, where there are any; here they come last of those before them. */
  readonly suffix?: string;
  readonly positions: string;
  /** Positions of frames, [1, T, D], beside those of places. */
  readonly times?: string;
  /** Mean and deviation of pixel values, with whole names, where the model normalizes them itself. */
  readonly conditioner?: { readonly mean: string; readonly std: string };
  /** Tables of positions that are added behind all blocks but the last, [L-1, 1, tokens, D]. */
  readonly betweenPositions?: string;
  /** Learned frequencies of rotary positions. */
  readonly frequencies?: string;
  /** BEiT's table, where all blocks share one; or. */
  readonly relativePositions?: readonly string[];
  /** Or. */
  readonly preNorm?: readonly string[];
  /** Angles by which the prefix tokens turn, where they do. */
  readonly prefixAngles?: string;
  /** Or. */
  readonly blocks: readonly BlockNames[];
  readonly norm: string;
  /** Norm of the pooled vector. */
  readonly pooledNorm?: string;
  /** The same with its whole name, where the classifier has it. */
  readonly headNorm?: string;
  readonly attentionPool?: AttentionPoolNames;
  readonly pooler?: string;
  readonly patchBoxes?: PatchBoxesNames;
  readonly tokenBoxes?: TokenBoxesNames;
  readonly queryMasks?: QueryMasksNames;
  readonly textMasks?: TextMasksNames & { readonly block: BlockNames };
  /** Its blocks; or. */
  readonly reconstruction?: ReconstructionNames & { readonly block: Some<BlockNames> };
  /** Projection of the pooled vector into the space that images and texts share; or. */
  readonly projection?: readonly string[];
  /** Flax: matrices are called kernel and are [inputs, outputs], convolutions [height, width, channels, outputs]. */
  readonly kernels?: true;
  /** Names of a norm's scale and shift, if not "weight" and "bias". */
  readonly normParts?: readonly [string, string];
  /** Tensors that belong to training and take no part in a forward pass. */
  readonly ignored: RegExp;
  /** One of them that tells something by being there. */
  readonly evidence?: string;
  /** Or. */
  readonly text?: readonly TextNames[];
}

/** The text tower of a layout. */
export type TextNames = SimilarityNames & TextTowerNames;

interface TextTowerNames {
  readonly prefix: string;
  readonly embedding: string;
  /** None where they are sinusoids. */
  readonly positions?: string;
  /** BERT's rows of kinds of tokens, of which the first is added to all. */
  readonly types?: string;
  /** Norm before the first block. */
  readonly preNorm?: string;
  readonly block: BlockNames;
  /** Norm after the last block, with its whole name; BERT's blocks end with theirs. */
  readonly norm?: string;
  /** Layers between the vector that stands for the text and its projection, those that exist, with their activations. */
  readonly readout?: readonly { readonly layer: string; readonly activation?: Activation }[];
  /** Or. */
  readonly projection: readonly string[];
}

/** A block of transformers' BERT, RoBERTa and XLM-RoBERTa, whose norms are of sums (Vaswani et al. 2017). */
const bertBlock: BlockNames = {
  at: "encoder.layer.#.",
  attentions: [
    {
      norm: "attention.output.LayerNorm",
      qkv: [["attention.self.query", "attention.self.key", "attention.self.value"]],
      proj: "attention.output.dense",
    },
  ],
  mlps: [{ norm: "output.LayerNorm", fc1: [["intermediate.dense"]], fc2: ["output.dense"] }],
};

/** BERT and its kind, as the text tower of a model. */
const bert = {
  embedding: "embeddings.word_embeddings.weight",
  positions: "embeddings.position_embeddings.weight",
  types: "embeddings.token_type_embeddings.weight",
  preNorm: "embeddings.LayerNorm",
  block: bertBlock,
};

/** As CLIP and SigLIP have them, whoever wrote the file. */
const SIMILARITY: SimilarityNames = { logitScale: "logit_scale", logitBias: "logit_bias" };

/** A block of either tower in transformers' CLIP and SigLIP. */
const clipBlock: BlockNames = {
  at: "encoder.layers.#.",
  attentions: [
    {
      norm: "layer_norm1",
      qkv: [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]],
      proj: "self_attn.out_proj",
    },
  ],
  mlps: [{ norm: "layer_norm2", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"] }],
};

/** Attention of DINOv3, and of DINOv2 in memory. */
const DINO_ATTENTIONS: BlockNames["attentions"] = [
  {
    norm: "norm1",
    qkv: [["attention.q_proj", "attention.k_proj", "attention.v_proj"]],
    proj: "attention.o_proj",
    scales: ["layer_scale1.lambda1"],
  },
];

/** A block of transformers' DINOv2, TIPSv2 and RADIO in memory, from version 5 on: files of save_pretrained have older names. */
const inMemoryBlock: BlockNames = {
  at: "encoder.layer.#.",
  attentions: DINO_ATTENTIONS,
  mlps: [
    {
      norm: "norm2",
      fc1: [["mlp.fc1"], ["mlp.gate_proj", "mlp.up_proj"]],
      fc2: ["mlp.fc2", "mlp.down_proj"],
      scales: ["layer_scale2.lambda1"],
    },
  ],
};

/** Layers of a head's multilayer perceptron. */
const layers = (at: string): readonly string[] => [0, 1, 2].map((i) => at + i);

/** A block of transformers' Swin and SwinV2, by the names of files. */
const swinBlock: BlockNames = {
  at: "blocks.#.",
  stage: {
    at: "encoder.layers.@.",
    merging: { norm: "downsample.norm", reduction: "downsample.reduction" },
  },
  attentions: [
    {
      norm: "layernorm_before",
      qkv: [["attention.self.query", "attention.self.key", "attention.self.value"]],
      proj: "attention.output.dense",
      relativePositions: "attention.self.relative_position_bias_table",
      continuous: ["attention.self.continuous_position_bias_mlp.0", "attention.self.continuous_position_bias_mlp.2"],
      cosine: "attention.self.logit_scale",
    },
  ],
  mlps: [{ norm: "layernorm_after", fc1: [["intermediate.dense"]], fc2: ["output.dense"] }],
};

/** Swin's in memory. */
const swinInMemory: BlockNames = {
  ...swinBlock,
  attentions: [
    {
      norm: "layernorm_before",
      qkv: [["attention.q_proj", "attention.k_proj", "attention.v_proj"]],
      proj: "attention.o_proj",
      relativePositions: "attention.relative_position_bias.relative_position_bias_table",
    },
  ],
  mlps: [{ norm: "layernorm_after", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"] }],
};

/** A block of transformers' Hiera. */
const hieraBlock: BlockNames = {
  at: "layers.#.",
  stage: { at: "encoder.stages.@.", widen: "proj" },
  attentions: [{ norm: "layernorm_before", qkv: [["attn.qkv"]], proj: "attn.proj" }],
  mlps: [{ norm: "layernorm_after", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"] }],
};

/** A block of TimeSformer's divided attention. */
const timesformerBlock: BlockNames = {
  at: "encoder.layer.#.",
  attentions: [
    {
      norm: "temporal_layernorm",
      qkv: [["temporal_attention.attention.qkv"]],
      proj: "temporal_attention.output.dense",
      dense: "temporal_dense",
    },
    { norm: "layernorm_before", qkv: [["attention.attention.qkv"]], proj: "attention.output.dense" },
  ],
  inTurn: true,
  mlps: [{ norm: "layernorm_after", fc1: [["intermediate.dense"]], fc2: ["output.dense"] }],
};

/** A block of MAE's decoder, by its published name, and by the one that save_pretrained of transformers 5.24 writes. */
const maeBlock = (at: string): BlockNames => ({
  at,
  attentions: [
    {
      norm: "layernorm_before",
      qkv: [["attention.attention.query", "attention.attention.key", "attention.attention.value"]],
      proj: "attention.output.dense",
    },
  ],
  mlps: [{ norm: "layernorm_after", fc1: [["intermediate.dense"]], fc2: ["output.dense"] }],
});

/** transformers' ViT, DeiT, MAE, MSN, I-JEPA, BEiT, data2vec, DINOv2, BiT, DPT, Depth Anything, YOLOS, ViTPose: what save_pretrained writes, and what is in memory. */
const transformers: Layout = {
  name: "huggingface",
  prefixes: [
    "vit.",
    "vision_model.",
    "deit.",
    "beit.",
    "data2vec_vision.",
    "dinov2.",
    "dinov2_with_registers.",
    "ijepa.",
    "bit.",
    "dpt.",
    "swin.",
    "swinv2.",
    "hiera.",
    "videomae.",
    "vivit.",
    "timesformer.",
    "backbone.",
    "",
  ],
  patchEmbed: "embeddings.patch_embeddings.projection",
  patchNorm: "embeddings.norm",
  resnet: {
    at: [
      { stem: "embedder.convolution", stemNorm: "embedder.norm", unit: "encoder.stages.@.layers.#." },
      // DPT's hybrid
      {
        stem: "embeddings.backbone.bit.embedder.convolution",
        stemNorm: "embeddings.backbone.bit.embedder.norm",
        unit: "embeddings.backbone.bit.encoder.stages.@.layers.#.",
        patchEmbed: "embeddings.projection",
      },
    ],
    convolutions: ["conv1", "conv2", "conv3"],
    norms: ["norm1", "norm2", "norm3"],
    shortcut: "downsample.conv",
    shortcutNorm: "downsample.norm",
    last: "norm",
    first: 0,
  },
  tokens: ["embeddings.cls_token", "embeddings.distillation_token", "embeddings.register_tokens"],
  suffix: "embeddings.detection_tokens",
  positions: "embeddings.position_embeddings",
  times: "embeddings.time_embeddings",
  betweenPositions: "encoder.mid_position_embeddings",
  relativePositions: [
    "encoder.relative_position_bias.relative_position_bias_table",
    "shared_position_bias.relative_position_bias_table",
  ],
  blocks: [
    timesformerBlock,
    {
      at: "encoder.layer.#.",
      attentions: [
        {
          norm: "layernorm_before",
          qkv: [
            ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
            // TimeSformer, over all tokens at once.
            ["attention.attention.qkv"],
          ],
          biases: ["attention.attention.q_bias", "attention.attention.v_bias"],
          proj: "attention.output.dense",
          scales: ["lambda_1"],
          relativePositions: "attention.attention.relative_position_bias.relative_position_bias_table",
        },
      ],
      mlps: [
        {
          norm: "layernorm_after",
          fc1: [["intermediate.dense"], ["mlp.fc1"]],
          fc2: ["output.dense", "mlp.fc2"],
          experts: "mlp.experts.#",
          scales: ["lambda_2"],
        },
      ],
    },
    {
      at: "encoder.layer.#.",
      attentions: [
        {
          norm: "norm1",
          qkv: [["attention.attention.query", "attention.attention.key", "attention.attention.value"]],
          proj: "attention.output.dense",
          scales: ["layer_scale1.lambda1"],
        },
      ],
      mlps: [
        {
          norm: "norm2",
          fc1: [["mlp.fc1"], ["mlp.weights_in"], ["intermediate.dense"]],
          fc2: ["mlp.fc2", "mlp.weights_out", "output.dense"],
          scales: ["layer_scale2.lambda1"],
        },
      ],
    },
    {
      at: "encoder.layer.#.",
      attentions: [
        {
          norm: "layernorm_before",
          qkv: [["attention.q_proj", "attention.k_proj", "attention.v_proj"]],
          queryNorm: "attention.q_norm",
          keyNorm: "attention.k_norm",
          qkEps: 1e-6,
          proj: "attention.projection_layer",
          scales: ["lambda_1"],
        },
      ],
      mlps: [{ norm: "layernorm_after", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"], scales: ["lambda_2"] }],
    },
    // ViT and its kind in memory, then DINOv2.
    {
      at: "layers.#.",
      attentions: [
        {
          norm: "layernorm_before",
          qkv: [["attention.q_proj", "attention.k_proj", "attention.v_proj"]],
          proj: "attention.o_proj",
          scales: ["lambda_1"],
          relativePositions: "relative_position_bias.relative_position_bias_table",
        },
      ],
      mlps: [{ norm: "layernorm_after", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"], scales: ["lambda_2"] }],
    },
    inMemoryBlock,
    swinBlock,
    swinInMemory,
    hieraBlock,
  ],
  norm: "layernorm",
  pooledNorm: "pooler.layernorm",
  headNorm: "fc_norm",
  head: ["classifier", "cls_classifier", "classifier.1"],
  distillationHead: "distillation_classifier",
  pooler: "pooler.dense",
  tokenBoxes: { classifier: layers("class_labels_classifier.layers."), boxes: layers("bbox_predictor.layers.") },
  reconstruction: {
    maskToken: "embeddings.mask_token",
    pixels: "decoder.0",
    decoder: {
      maskToken: "decoder.mask_token",
      pixels: "decoder.decoder_pred",
      embed: "decoder.decoder_embed",
      positions: "decoder.decoder_pos_embed",
      norm: "decoder.decoder_norm",
    },
    block: [
      maeBlock("decoder.decoder_layers.#."),
      maeBlock("decoder.decoder_encoder.layer.#."),
      // In memory.
      {
        at: "decoder.decoder_layers.#.",
        attentions: [
          {
            norm: "layernorm_before",
            qkv: [["attention.q_proj", "attention.k_proj", "attention.v_proj"]],
            proj: "attention.o_proj",
          },
        ],
        mlps: [{ norm: "layernorm_after", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"] }],
      },
    ],
  },
  ignored:
    /(^|\.)(mask_token|position_ids|relative_position_index|relative_coords_table)$|^(decoder|encoder_to_decoder)\./,
  // VisionTextDualEncoderModel
  projection: ["visual_projection"],
  text: [
    {
      ...bert,
      prefix: "text_model.",
      readout: [{ layer: "text_model.pooler.dense", activation: "tanh" }],
      projection: ["text_projection"],
      ...SIMILARITY,
    },
    // TIPSv2 in memory.
    {
      prefix: "text_model.",
      embedding: "embeddings.token_embedding.weight",
      block: clipBlock,
      norm: "text_model.final_layer_norm",
      projection: [],
      temperature: "temperature",
    },
  ],
};

const dinov3Block: BlockNames = {
  at: "layer.#.",
  attentions: DINO_ATTENTIONS,
  mlps: [
    {
      norm: "norm2",
      fc1: [["mlp.gate_proj", "mlp.up_proj"], ["mlp.up_proj"]],
      fc2: ["mlp.down_proj"],
      scales: ["layer_scale2.lambda1"],
    },
  ],
};

/** transformers' DINOv3. */
const dinov3: Layout = {
  name: "dinov3",
  prefixes: [""],
  patchEmbed: "embeddings.patch_embeddings",
  tokens: ["embeddings.cls_token", "embeddings.register_tokens"],
  positions: "embeddings.position_embeddings",
  // The second in memory.
  blocks: [dinov3Block, { ...dinov3Block, at: "model.layer.#." }],
  norm: "norm",
  head: ["classifier"],
  ignored: /^embeddings\.mask_token$/,
};

/** transformers' EoMT, on a DINOv2 or a DINOv3, whose blocks and embeddings have names of their own. */
const eomt = (name: "eomt" | "eomt_dinov3"): Layout => ({
  ...dinov3,
  name,
  patchEmbed: name === "eomt" ? "embeddings.patch_embeddings.projection" : "embeddings.patch_embeddings",
  positions: "embeddings.position_embeddings.weight",
  blocks: [
    name === "eomt"
      ? {
          ...inMemoryBlock,
          at: "layers.#.",
          attentions: [{ ...inMemoryBlock.attentions[0], proj: "attention.out_proj" }],
        }
      : { ...dinov3Block, at: "layers.#." },
  ],
  norm: "layernorm",
  head: [],
  queryMasks: {
    queries: "query.weight",
    classifier: "class_predictor",
    masks: ["mask_head.fc1", "mask_head.fc2", "mask_head.fc3"],
    upscale: "upscale_block.block.#.",
    hidden: "attn_mask_probs",
  },
  ignored: /^(criterion\.empty_weight|embeddings\.(mask_token|position_ids))$/,
});

/** A block of AltCLIP's image tower. */
const altClipBlock: BlockNames = { ...clipBlock, at: "encoder.layer.#." };

const altClipText: TextNames = {
  ...bert,
  prefix: "text_model.roberta.",
  norm: "text_model.pre_LN",
  readout: [{ layer: "text_model.transformation" }],
  projection: ["text_projection"],
  ...SIMILARITY,
};

/** transformers' CLIP, MetaCLIP 2, SigLIP and SigLIP 2, Chinese-CLIP and AltCLIP, OWL-ViT, GIT and MLCD. */
const clip: Layout = {
  name: "clip",
  prefixes: ["vision_model.", ""],
  patchEmbed: "embeddings.patch_embedding",
  tokens: ["embeddings.class_embedding"],
  positions: "embeddings.position_embedding.weight",
  preNorm: ["pre_layrnorm", "pre_layernorm"],
  prefixAngles: "class_pos_emb",
  blocks: [clipBlock, altClipBlock],
  norm: "post_layernorm",
  attentionPool: {
    latent: "head.probe",
    qkv: ["head.attention.in_proj_"],
    proj: "head.attention.out_proj",
    mlp: { norm: "head.layernorm", fc1: "head.mlp.fc1", fc2: "head.mlp.fc2" },
  },
  head: ["classifier"],
  projection: ["visual_projection"],
  ignored: /(^|\.)position_ids$/,
  text: [
    {
      prefix: "text_model.",
      embedding: "embeddings.token_embedding.weight",
      positions: "embeddings.position_embedding.weight",
      block: clipBlock,
      norm: "text_model.final_layer_norm",
      projection: ["text_projection", "text_model.head"],
      ...SIMILARITY,
    },
    // Chinese-CLIP
    { ...bert, prefix: "text_model.", projection: ["text_projection"], ...SIMILARITY },
    altClipText,
    // In memory.
    { ...altClipText, block: { ...bertBlock, at: "encoder.layers.#." } },
  ],
};

/** A CLIP within another model, and what of its names heads beside it leave. */
function clipWithin(prefix: string): Omit<Layout, "name"> {
  const [text] = clip.text!;
  const at = (part: string) => `${prefix}${part}`;
  return {
    ...clip,
    prefixes: [at("vision_model.")],
    head: [],
    projection: [at("visual_projection")],
    text: [
      {
        ...text!,
        prefix: at("text_model."),
        norm: at("text_model.final_layer_norm"),
        projection: [at("text_projection")],
        logitScale: at("logit_scale"),
        logitBias: at("logit_bias"),
      },
    ],
  };
}

/** transformers' CLIPSegForImageSegmentation. */
const clipseg: Layout = {
  ...clipWithin("clip."),
  name: "clipseg",
  textMasks: {
    factor: "decoder.film_mul",
    term: "decoder.film_add",
    reduces: "decoder.reduces.#",
    transposed: "decoder.transposed_convolution",
    block: { ...clipBlock, at: "decoder.layers.#." },
  },
};

/** transformers' OwlViTForObjectDetection and Owlv2ForObjectDetection. */
const owl = (name: "owlvit" | "owlv2"): Layout => {
  return {
    ...clipWithin(`${name}.`),
    name,
    patchBoxes: {
      norm: "layer_norm",
      boxes: layers("box_head.dense"),
      embedding: "class_head.dense0",
      shift: "class_head.logit_shift",
      scale: "class_head.logit_scale",
      objectness: layers("objectness_head.dense"),
    },
  };
};

/** transformers' BLIP and BLIP-2, their image towers alone. */
const blip: Layout = {
  name: "blip",
  prefixes: ["vision_model.", ""],
  patchEmbed: "embeddings.patch_embedding",
  tokens: ["embeddings.class_embedding"],
  positions: "embeddings.position_embedding",
  blocks: [
    {
      at: "encoder.layers.#.",
      attentions: [{ norm: "layer_norm1", qkv: [["self_attn.qkv"]], proj: "self_attn.projection" }],
      mlps: [{ norm: "layer_norm2", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"] }],
    },
  ],
  norm: "post_layernorm",
  head: [],
  ignored: /^$/,
};

/** A block of either tower in AIMv2. */
const aimv2Block: BlockNames = {
  at: "encoder.layers.#.",
  attentions: [
    {
      norm: "rms_norm1",
      qkv: [["attention.q_proj", "attention.k_proj", "attention.v_proj"]],
      proj: "attention.out_proj",
    },
  ],
  mlps: [{ norm: "rms_norm2", fc1: [["ffn.gate_proj", "ffn.up_proj"]], fc2: ["ffn.down_proj"] }],
};

/** transformers' AIMv2. */
const aimv2: Layout = {
  name: "aimv2",
  prefixes: ["vision_model.", ""],
  patchEmbed: "embeddings.patch_embed",
  patchNorm: "embeddings.rms_norm",
  tokens: [],
  positions: "embeddings.position_embedding.weight",
  blocks: [aimv2Block],
  norm: "rms_norm",
  attentionPool: {
    latent: "head.cls_token",
    qkv: { key: "head.k_proj", value: "head.v_proj" },
    proj: "head.output_proj",
  },
  head: [],
  projection: ["visual_projection"],
  ignored: /^$/,
  text: [
    {
      prefix: "text_model.",
      embedding: "embeddings.token_embedding.weight",
      positions: "embeddings.position_embedding.weight",
      block: aimv2Block,
      norm: "text_model.rms_norm",
      projection: ["text_projection"],
      ...SIMILARITY,
    },
  ],
};

/** timm's attentions: vision_transformer.py, beit.py, eva.py. */
const timmAttention: AttentionNames = {
  norm: "norm1",
  qkv: [["attn.qkv"], ["attn.q_proj", "attn.k_proj", "attn.v_proj"]],
  biases: ["attn.q_bias", "attn.v_bias"],
  queryNorm: "attn.q_norm",
  keyNorm: "attn.k_norm",
  subNorm: "attn.norm",
  proj: "attn.proj",
  scales: ["ls1.gamma", "gamma_1"],
  relativePositions: "attn.relative_position_bias_table",
};

const timmMlp: MlpNames = {
  norm: "norm2",
  fc1: [["mlp.fc1"], ["mlp.fc1_g", "mlp.fc1_x"]],
  subNorm: "mlp.norm",
  fc2: ["mlp.fc2"],
  scales: ["ls2.gamma", "gamma_2"],
};

/** The j-th of the branches that add to the same z (Touvron et al. 2022). */
const timmParallelAttention = (j: number): AttentionNames => ({
  ...timmAttention,
  norm: `attns.${j}.norm`,
  qkv: [[`attns.${j}.attn.qkv`]],
  proj: `attns.${j}.attn.proj`,
  scales: [`attns.${j}.ls.gamma`],
});
const timmParallelMlp = (j: number): MlpNames => ({
  norm: `ffns.${j}.norm`,
  fc1: [[`ffns.${j}.mlp.fc1`]],
  fc2: [`ffns.${j}.mlp.fc2`],
  scales: [`ffns.${j}.ls.gamma`],
});

/** Makes timm's names of the stem of a ResNetV2 in a hybrid. */
const timmStem = (at: string) => ({
  stem: `${at}conv`,
  stemNorm: `${at}norm`,
  unit: "patch_embed.backbone.stages.@.blocks.#.",
});

/** A block of timm's Swin and SwinV2: swin_transformer.py, swin_transformer_v2.py. */
const timmSwin: BlockNames = {
  at: "blocks.#.",
  stage: { at: "layers.@.", merging: { norm: "downsample.norm", reduction: "downsample.reduction" } },
  attentions: [{ ...timmAttention, continuous: ["attn.cpb_mlp.0", "attn.cpb_mlp.2"], cosine: "attn.logit_scale" }],
  mlps: [timmMlp],
};

/** timm's swinv2_cr. */
const timmSwinCr: BlockNames = {
  ...timmSwin,
  stage: { at: "stages.@.", merging: { norm: "downsample.norm", reduction: "downsample.reduction" } },
  attentions: [
    { ...timmAttention, continuous: ["attn.meta_mlp.fc1", "attn.meta_mlp.fc2"], cosine: "attn.logit_scale" },
  ],
  closing: "norm3",
};

/** timm: vision_transformer.py, deit.py, beit.py, eva.py, resnetv2.py; also the files of facebookresearch's dino, mae and deit. */
const timm: Layout = {
  name: "timm",
  prefixes: [""],
  patchEmbed: "patch_embed.proj",
  patchNorm: "patch_embed.norm",
  resnet: {
    at: [
      timmStem("patch_embed.backbone.stem."),
      timmStem("patch_embed.backbone."),
      { stem: "stem.conv", stemNorm: "stem.norm", unit: "stages.@.blocks.#." },
    ],
    convolutions: ["conv1", "conv2", "conv3"],
    norms: ["norm1", "norm2", "norm3"],
    shortcut: "downsample.conv",
    shortcutNorm: "downsample.norm",
    last: "norm",
    first: 0,
  },
  tokens: ["cls_token", "dist_token", "reg_token"],
  positions: "pos_embed",
  frequencies: "rope.freqs",
  preNorm: ["norm_pre"],
  blocks: [
    { at: "blocks.#.", attentions: [timmAttention], mlps: [timmMlp] },
    {
      at: "blocks.#.",
      attentions: [timmParallelAttention(0), timmParallelAttention(1)],
      mlps: [timmParallelMlp(0), timmParallelMlp(1)],
    },
    {
      at: "blocks.#.",
      inProj: "in_proj",
      attentions: [
        {
          norm: "in_norm",
          qkv: [],
          queryNorm: "q_norm",
          keyNorm: "k_norm",
          proj: "attn_out_proj",
          scales: ["ls.gamma"],
        },
      ],
      mlps: [{ norm: "in_norm", fc1: [], bias: "mlp_bias", fc2: ["mlp_out_proj"], scales: ["ls.gamma"] }],
    },
    timmSwin,
    timmSwinCr,
  ],
  norm: "norm",
  pooledNorm: "fc_norm",
  attentionPool: {
    latent: "attn_pool.latent",
    qkv: ["attn_pool.q", "attn_pool.kv"],
    proj: "attn_pool.proj",
    mlp: { norm: "attn_pool.norm", fc1: "attn_pool.mlp.fc1", fc2: "attn_pool.mlp.fc2" },
  },
  head: ["head", "head.fc"],
  distillationHead: "head_dist",
  ignored: /(^|\.)(mask_token|decoder_.*|relative_position_index|relative_coords_table|attn_mask)$|^decoder\./,
};

/** torchvision's vit_*; some old files say mlp.linear_1. */
const torchvision: Layout = {
  name: "torchvision",
  prefixes: [""],
  patchEmbed: "conv_proj",
  tokens: ["class_token"],
  positions: "encoder.pos_embedding",
  blocks: [
    {
      at: "encoder.layers.encoder_layer_#.",
      attentions: [{ norm: "ln_1", qkv: [["self_attention.in_proj_"]], proj: "self_attention.out_proj" }],
      mlps: [{ norm: "ln_2", fc1: [["mlp.0"], ["mlp.linear_1"]], fc2: ["mlp.3", "mlp.linear_2"] }],
    },
  ],
  norm: "encoder.ln",
  head: ["heads.head"],
  ignored: /^$/,
};

const openClipBlock: BlockNames = {
  at: "transformer.resblocks.#.",
  attentions: [{ norm: "ln_1", qkv: [["attn.in_proj_"]], proj: "attn.out_proj", scales: ["ls_1.gamma"] }],
  mlps: [{ norm: "ln_2", fc1: [["mlp.c_fc"]], fc2: ["mlp.c_proj"], scales: ["ls_2.gamma"] }],
};

const openClipText: TextNames = {
  prefix: "",
  embedding: "token_embedding.weight",
  positions: "positional_embedding",
  block: openClipBlock,
  norm: "ln_final",
  projection: ["text_projection"],
  ...SIMILARITY,
};

/** The same in its CustomTextCLIP. */
const openClipCustomText: TextNames = {
  ...openClipText,
  prefix: "text.",
  norm: "text.ln_final",
  projection: ["text.text_projection"],
};

/** A tower of transformers in OpenCLIP's CustomTextCLIP: hf_proj_type is linear, or mlp. */
const openClipBert: TextNames = {
  ...bert,
  prefix: "text.transformer.",
  readout: [
    { layer: "text.transformer.pooler.dense", activation: "tanh" },
    { layer: "text.proj.0", activation: "gelu" },
  ],
  projection: ["text.proj", "text.proj.2"],
  ...SIMILARITY,
};

/** OpenAI's CLIP and OpenCLIP. */
const openClip: Layout = {
  name: "openclip",
  prefixes: ["visual."],
  patchEmbed: "conv1",
  tokens: ["class_embedding"],
  positions: "positional_embedding",
  preNorm: ["ln_pre"],
  blocks: [openClipBlock],
  norm: "ln_post",
  head: [],
  projection: ["visual.proj"],
  ignored: /^(input_resolution|context_length|vocab_size)$|attn_mask$|\.position_ids$/,
  // Of OpenAI's archives, whose GELU is the quick one.
  evidence: "context_length",
  text: [openClipText, openClipCustomText, openClipBert],
};

/** OpenCLIP's CustomTextCLIP with a timm model for images. */
const openClipTimm: Layout = {
  ...timm,
  name: "openclip-timm",
  prefixes: ["visual.trunk."],
  projection: ["visual.head.proj"],
  ignored: /attn_mask$|\.position_ids$/,
  text: [openClipCustomText, openClipBert],
};

/** TIPS and TIPSv2, in Google DeepMind's names, as transformers writes them too. */
const tips: Layout = {
  name: "tips",
  prefixes: ["vision_encoder."],
  patchEmbed: "patch_embed.proj",
  tokens: ["cls_token", "register_tokens"],
  positions: "pos_embed",
  blocks: [
    {
      at: "blocks.#.",
      attentions: [timmAttention],
      mlps: [{ ...timmMlp, fc1: [["mlp.c_fc"], ["mlp.w12"]], fc2: ["mlp.c_proj", "mlp.w3"] }],
    },
  ],
  norm: "norm",
  head: [],
  ignored: /(^|\.)mask_token$/,
  text: [
    {
      prefix: "text_encoder.",
      embedding: "token_embedding.weight",
      block: openClipBlock,
      norm: "text_encoder.ln_final",
      projection: [],
      temperature: "temperature",
    },
  ],
};

/** RADIO, in NVIDIA's names, as transformers writes them too. */
const radio: Layout = {
  name: "radio",
  prefixes: ["radio_model.model."],
  patchEmbed: "patch_generator.embedder",
  flatPatches: true,
  conditioner: { mean: "radio_model.input_conditioner.norm_mean", std: "radio_model.input_conditioner.norm_std" },
  tokens: ["patch_generator.cls_token.token"],
  positions: "patch_generator.pos_embed",
  blocks: [
    {
      at: "blocks.#.",
      attentions: [
        {
          norm: "norm1",
          qkv: [["attn.qkv"], ["attn.q_proj", "attn.k_proj", "attn.v_proj"]],
          proj: "attn.proj",
          scales: ["layer_scale1.lambda1", "ls1.gamma"],
        },
      ],
      mlps: [
        {
          norm: "norm2",
          fc1: [["mlp.fc1"], ["mlp.gate_proj", "mlp.up_proj"]],
          fc2: ["mlp.fc2", "mlp.down_proj"],
          scales: ["layer_scale2.lambda1", "ls2.gamma"],
        },
      ],
    },
  ],
  norm: "norm",
  head: [],
  // The indices are in config.json, too; the embedding of videos is of several frames.
  ignored: /^radio_model\.(summary_idxs$|adaptors\.|model\.patch_generator\.video_embedder\.)/,
};

/** The same in transformers' memory. */
const radioInMemory: Layout = {
  ...radio,
  prefixes: [""],
  patchEmbed: "embeddings.patch_projection",
  conditioner: { mean: "input_conditioner.norm_mean", std: "input_conditioner.norm_std" },
  tokens: ["embeddings.cls_register_token"],
  positions: "embeddings.position_embedding",
  blocks: [inMemoryBlock],
  norm: "layernorm",
  ignored: /^(summary_idxs$|embeddings\.video_patch_projection\.)/,
};

/** google-research/vision_transformer and, with other names for the parts of a block, big_vision. */
const flax: Layout = {
  name: "flax",
  prefixes: ["params/", ""],
  kernels: true,
  normParts: ["scale", "bias"],
  patchEmbed: "embedding",
  resnet: {
    at: [{ stem: "conv_root", stemNorm: "gn_root", unit: "block@/unit#/" }],
    convolutions: ["conv1", "conv2", "conv3"],
    norms: ["gn1", "gn2", "gn3"],
    shortcut: "conv_proj",
    shortcutNorm: "gn_proj",
    last: "norm",
    first: 1,
  },
  tokens: ["cls"],
  positions: "Transformer/posembed_input/pos_embedding",
  blocks: [
    flaxBlock({
      attention: "MultiHeadDotProductAttention_1",
      mlp: "MlpBlock_3",
      norm1: "LayerNorm_0",
      norm2: "LayerNorm_2",
    }),
    flaxBlock({
      attention: "MultiHeadDotProductAttention_0",
      mlp: "MlpBlock_0",
      norm1: "LayerNorm_0",
      norm2: "LayerNorm_1",
    }),
  ],
  norm: "Transformer/encoder_norm",
  head: ["head"],
  ignored: /(^|\/)pre_logits\//,
};

function flaxBlock({
  attention,
  mlp,
  norm1,
  norm2,
}: Record<"attention" | "mlp" | "norm1" | "norm2", string>): BlockNames {
  return {
    at: "Transformer/encoderblock_#/",
    attentions: [
      {
        norm: norm1,
        qkv: [[`${attention}/query`, `${attention}/key`, `${attention}/value`]],
        proj: `${attention}/out`,
      },
    ],
    mlps: [{ norm: norm2, fc1: [[`${mlp}/Dense_0`]], fc2: [`${mlp}/Dense_1`] }],
  };
}

/** The tensors of a linear layer or a norm. */
export const weightOf = ({ kernels }: Layout, name: string): string =>
  name.endsWith("_") ? `${name}weight` : `${name}${kernels ? "/kernel" : ".weight"}`;

export const biasOf = ({ kernels }: Layout, name: string): string =>
  name.endsWith("_") ? `${name}bias` : `${name}${kernels ? "/bias" : ".bias"}`;

export const scaleOf = ({ kernels, normParts = ["weight", "bias"] }: Layout, name: string): string =>
  `${name}${kernels ? "/" : "."}${normParts[0]}`;

export const shiftOf = ({ kernels, normParts = ["weight", "bias"] }: Layout, name: string): string =>
  `${name}${kernels ? "/" : "."}${normParts[1]}`;

/** google-research/big_transfer: BiT's own release. */
const bit: Layout = {
  name: "bit",
  prefixes: ["resnet/"],
  kernels: true,
  normParts: ["gamma", "beta"],
  resnet: {
    at: [{ stem: "root_block/standardized_conv2d", stemNorm: "", unit: "block@/unit##/" }],
    convolutions: ["a/standardized_conv2d", "b/standardized_conv2d", "c/standardized_conv2d"],
    norms: ["a/group_norm", "b/group_norm", "c/group_norm"],
    shortcut: "a/proj/standardized_conv2d",
    shortcutNorm: "",
    last: "group_norm",
    first: 1,
  },
  tokens: [],
  positions: "",
  blocks: [],
  norm: "",
  head: ["resnet/head/conv2d"],
  ignored: /^$/,
};

/** transformers' SAM, whose heads are in heads/sam.ts. */
const sam: Layout = {
  name: "sam",
  prefixes: ["vision_encoder.", "sam.vision_encoder.", ""],
  patchEmbed: "patch_embed.projection",
  tokens: [],
  positions: "pos_embed",
  blocks: [
    {
      at: "layers.#.",
      attentions: [
        {
          norm: "layer_norm1",
          qkv: [["attn.qkv"]],
          proj: "attn.proj",
          decomposed: ["attn.rel_pos_h", "attn.rel_pos_w"],
        },
      ],
      mlps: [{ norm: "layer_norm2", fc1: [["mlp.lin1"]], fc2: ["mlp.lin2"] }],
    },
  ],
  norm: "",
  head: [],
  // The same as shared_image_embedding's, in published files.
  ignored: /^prompt_encoder\.shared_embedding\./,
};

/** transformers' ViTDet, whose heads are in heads/matting.ts. */
const vitdet: Layout = {
  name: "vitdet",
  prefixes: ["backbone.", "vitdet.", ""],
  patchEmbed: "embeddings.projection",
  tokens: [],
  positions: "embeddings.position_embeddings",
  blocks: [
    {
      at: "encoder.layer.#.",
      attentions: [
        {
          norm: "norm1",
          qkv: [["attention.qkv"]],
          proj: "attention.proj",
          decomposed: ["attention.rel_pos_h", "attention.rel_pos_w"],
        },
      ],
      mlps: [{ norm: "norm2", fc1: [["mlp.fc1"]], fc2: ["mlp.fc2"] }],
      bottleneck: { convolution: "residual.conv#", norm: "residual.norm#" },
    },
  ],
  norm: "",
  head: [],
  ignored: /^$/,
};

export const layouts: readonly Layout[] = [
  transformers,
  dinov3,
  eomt("eomt"),
  eomt("eomt_dinov3"),
  clip,
  clipseg,
  owl("owlvit"),
  owl("owlv2"),
  blip,
  aimv2,
  tips,
  radio,
  radioInMemory,
  openClipTimm,
  openClip,
  timm,
  torchvision,
  flax,
  bit,
  sam,
  vitdet,
];
