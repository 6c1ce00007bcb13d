/**
 * Whose names the tensors bear. `prefixes` may come before every encoder tensor; heads bear none. In a block, `qkv` is one
 * fused tensor of 3D rows or three of D rows.
 */
export interface Layout {
  readonly name: "huggingface" | "timm";
  readonly prefixes: readonly string[];
  readonly classToken: string;
  readonly distillationToken: string;
  readonly positions: string;
  readonly patchEmbed: string;
  readonly blocks: string;
  readonly norm1: string;
  readonly qkv: readonly string[];
  /** Layer norms of a head's query and key. */
  readonly queryNorm: string | undefined;
  readonly keyNorm: string | undefined;
  readonly proj: string;
  readonly norm2: string;
  readonly fc1: string;
  readonly fc2: string;
  readonly norm: string;
  /** Names that the head on the class token goes by. */
  readonly head: readonly string[];
  readonly distillationHead: string;
  readonly pooler: string | undefined;
  readonly pooledNorm: string | undefined;
  readonly attentionPool: string | undefined;
  /** Tensors that belong to training and take no part in a forward pass. */
  readonly ignored: RegExp;
}

/** transformers' ViT and DeiT, as save_pretrained writes them. */
const huggingFace: Layout = {
  name: "huggingface",
  prefixes: ["vit.", "deit.", ""],
  classToken: "embeddings.cls_token",
  distillationToken: "embeddings.distillation_token",
  positions: "embeddings.position_embeddings",
  patchEmbed: "embeddings.patch_embeddings.projection",
  blocks: "encoder.layer",
  norm1: "layernorm_before",
  qkv: ["attention.attention.query", "attention.attention.key", "attention.attention.value"],
  queryNorm: undefined,
  keyNorm: undefined,
  proj: "attention.output.dense",
  norm2: "layernorm_after",
  fc1: "intermediate.dense",
  fc2: "output.dense",
  norm: "layernorm",
  head: ["classifier", "cls_classifier"],
  distillationHead: "distillation_classifier",
  pooler: "pooler.dense",
  pooledNorm: undefined,
  attentionPool: undefined,
  ignored: /(^|\.)(mask_token|position_ids)$|^decoder\./,
};

/** timm's vision_transformer.py and deit.py; also the files of facebookresearch/dino, mae and deit. */
const timm: Layout = {
  name: "timm",
  prefixes: [""],
  classToken: "cls_token",
  distillationToken: "dist_token",
  positions: "pos_embed",
  patchEmbed: "patch_embed.proj",
  blocks: "blocks",
  norm1: "norm1",
  qkv: ["attn.qkv"],
  queryNorm: "attn.q_norm",
  keyNorm: "attn.k_norm",
  proj: "attn.proj",
  norm2: "norm2",
  fc1: "mlp.fc1",
  fc2: "mlp.fc2",
  norm: "norm",
  head: ["head"],
  distillationHead: "head_dist",
  pooler: undefined,
  pooledNorm: "fc_norm",
  attentionPool: "attn_pool",
  ignored: /^(mask_token|decoder_.*|decoder\..*)$/,
};

export const layouts: readonly Layout[] = [huggingFace, timm];
