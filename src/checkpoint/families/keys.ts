/**
 * Keys of config.json and open_clip_config.json that the families do not read, or not of every checkpoint (keys.ts says what
 * that means). Libraries' own classes are walked by tests/keys.test.ts.
 */
import type { KeyRules } from "../../keys.js";

/** The newest version of transformers whose classes were walked. */
export const TRANSFORMERS = [5, 24] as const;

/** transformers' configs, their vision_config and text_config. */
export const TRANSFORMERS_KEYS: KeyRules = {
  harmless: {
    "said of the whole file": "model_type architectures id2label problem_type transformers_version",
    "names of things": "_name_or_path finetuning_task label2id tokenizer_class",
    "forms of the library's own calls": "return_dict output_attentions output_hidden_states torchscript",
    "element types, which the tensors tell": "dtype torch_dtype use_bfloat16",
    "pieces in which the same is computed": "chunk_size_feed_forward",
    "training only":
      "hidden_dropout_prob dropout_prob attention_probs_dropout_prob attention_dropout projection_dropout drop_path_rate pos_embed_shift " +
      "pos_embed_jitter pos_embed_rescale tf_legacy_loss auxiliary_loss class_cost bbox_cost giou_cost " +
      "bbox_loss_coefficient giou_loss_coefficient eos_coefficient no_object_weight class_weight mask_weight " +
      "dice_weight train_num_points oversample_ratio importance_sample_ratio",
    "initial values":
      "initializer_range initializer_factor layerscale_value layer_scale_init_value logit_scale_init_value temperature_init_value " +
      "layer_norm_init",
    "the loss of pretraining, and its decoder":
      "encoder_stride mask_ratio norm_pix_loss normalize_pixel_loss decoder_depth decoder_num_heads decoder_num_attention_heads decoder_hidden_size " +
      "decoder_num_hidden_layers decoder_intermediate_size",
    "heads for segmentation":
      "pool_scales use_auxiliary_head auxiliary_loss_weight auxiliary_channels auxiliary_num_convs " +
      "auxiliary_concat_input semantic_loss_ignore_index add_fpn extract_layers reduce_dim conditional_layer " +
      "decoder_attention_dropout decoder_hidden_act use_complex_transposed_convolution",
    "sizes of DPT's neck and head, and parts of them that a checkpoint may lack":
      "neck_hidden_sizes fusion_hidden_size head_hidden_size reassemble_hidden_size backbone_featmap_shape " +
      "neck_ignore_stages semantic_classifier_dropout",
    "SAM's, of the initial values and of parts that an encoder alone lacks":
      "scale num_pos_feats mask_input_channels num_point_embeddings image_embedding_size mlp_dim iou_head_depth " +
      "iou_head_hidden_dim attention_downsample_rate vision_config prompt_encoder_config mask_decoder_config",
    "sources of a backbone": "use_pretrained_backbone use_autobackbone",
    "what a backbone gives to a detector": "out_features out_indices stage_names reshape_hidden_states apply_layernorm",
    "told by tensors":
      "use_mask_token use_absolute_position_embeddings use_relative_position_bias use_shared_relative_position_bias " +
      "use_mean_pooling num_register_tokens use_swiglu_ffn use_gated_mlp mlp_ratio query_bias key_bias value_bias " +
      "proj_bias mlp_bias pooler_output_size projection_dim projection_size vision_use_head use_head vocab_size " +
      "max_position_embeddings hidden_size embedding_size hidden_sizes depths num_layers width_factor num_patches attention_bias norm_type use_qk_norm " +
      "n_cls_tokens type_vocab_size project_dim norm_mean norm_std patch_dim use_mid_position_embeddings mask_token",
    "of videos": "video_patch_dim video_temporal_patch_size",
    "of parts that a checkpoint may lack": "pooler_act qkv_bias hidden_act intermediate_size image_size",
    "texts' generation":
      "use_cache bos_token_id pad_token_id eos_token_id sep_token_id decoder_start_token_id max_length min_length " +
      "do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p " +
      "repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences " +
      "output_scores return_dict_in_generate remove_invalid_values prefix bad_words_ids forced_bos_token_id " +
      "forced_eos_token_id suppress_tokens begin_suppress_tokens exponential_decay_length_penalty",
    "what models of texts alone may be":
      "is_encoder_decoder is_decoder add_cross_attention cross_attention_hidden_size tie_encoder_decoder " +
      "tie_word_embeddings task_specific_params",
  },
  // Old versions cut heads off when they load; what is null or empty says nothing.
  fixed: {
    pruned_heads: [],
    is_native: [false],
    num_key_value_groups: [1],
    position_embedding_type: ["absolute"],
    pooling_epsilon: [1e-8],
    backbone: [],
    backbone_kwargs: [],
    use_timm_backbone: [false],
  },
};

/** timm's config.json, beside model_args and pretrained_cfg. */
export const TIMM_KEYS: KeyRules = {
  harmless: {
    "what model_args and tensors say": "num_features",
    "names of things": "label_descriptions",
    // Old files have the settings of pretrained_cfg here, which image/processors.ts reads.
    "settings of images": "input_size interpolation crop_pct crop_mode mean std pretrained_cfg",
    "of transformers' timm_wrapper":
      "transformers_version architectures dtype torch_dtype initializer_range do_pooling _name_or_path return_dict " +
      "output_hidden_states output_attentions is_encoder_decoder chunk_size_feed_forward id2label label2id",
  },
  fixed: {},
};

/** Arguments of the functions that make timm's models: VisionTransformer, Beit, Eva, ResNetV2. */
export const TIMM_ARGUMENTS: KeyRules = {
  harmless: {
    "training only": "drop_rate pos_drop_rate patch_drop_rate proj_drop_rate attn_drop_rate drop_path_rate",
    "initial values": "init_values weight_init fix_init head_init_scale zero_init_last",
    "element types and places": "device dtype",
    "told by tensors":
      "patch_size mlp_ratio qkv_bias qkv_fused qk_norm scale_attn_norm scale_mlp_norm proj_bias class_token pos_embed " +
      "no_embed_class reg_tokens num_reg_tokens pre_norm final_norm embed_norm_layer swiglu_mlp swiglu_align_to " +
      "scale_mlp scale_attn_inner attn_only_layer_scale use_abs_pos_emb use_rel_pos_bias use_shared_rel_pos_bias " +
      "use_pre_transformer_norm use_post_transformer_norm attn_pool_mlp_ratio layers channels width_factor stem_chs " +
      "bottle_ratio",
  },
  fixed: {
    embed_layer: [],
    block_fn: [],
    mlp_layer: [],
    attn_layer: ["attn"],
    conv_layer: [],
    num_kv_heads: [],
    norm_layer: [],
    act_layer: ["gelu"],
    attn_type: ["eva"],
    rope_shift_coords: [],
    rope_jitter_coords: [],
    rope_rescale_coords: [],
    rope_mrope_section: [],
    output_stride: [32],
    stem_type: ["fixed"],
    avg_down: [false],
    preact: [true],
    basic: [false],
    features_only: [false],
  },
  strays: "is no argument that timm's Vision Transformers take",
};

/** OpenCLIP: model_cfg. */
export const OPENCLIP_KEYS: KeyRules = {
  harmless: {
    "told by tensors": "embed_dim custom_text",
    "initial values": "init_logit_scale init_logit_bias nonscalar_logit_scale",
    "forms of the library's own calls": "output_dict cast_dtype",
  },
  fixed: {},
  strays: "is no part of a model that is computed here",
};

const OPENCLIP_TOWER: KeyRules["harmless"] = {
  "told by tensors": "width layers mlp_ratio ls_init_value",
  "forms of the library's own calls": "output_tokens",
};
const OPENCLIP_BLOCKS: KeyRules["fixed"] = {
  act_kwargs: [],
  block_type: ["default"],
  qk_norm: [false],
  scaled_cosine_attn: [false],
  scale_heads: [false],
  scale_attn_inner: [false],
  scale_attn: [false],
  scale_fc: [false],
};
const OPENCLIP_STRAYS = "is no setting of OpenCLIP's towers";

/** OpenCLIP: vision_cfg. */
export const OPENCLIP_VISION: KeyRules = {
  harmless: {
    ...OPENCLIP_TOWER,
    "told by tensors, too": "patch_size no_ln_pre pos_embed_type timm_proj timm_proj_bias",
    "training only": "patch_dropout timm_drop timm_drop_path timm_model_pretrained",
    "settings of what is not there": "attn_pooler_queries attn_pooler_heads head_width timm_pool timm_model_name",
    // Of the class token it is the same before and after.
    "the same for the class token": "final_ln_after_pool",
  },
  fixed: { ...OPENCLIP_BLOCKS, attentional_pool: [false], pool_type: ["tok"] },
  strays: OPENCLIP_STRAYS,
};

/** OpenCLIP: text_cfg. */
export const OPENCLIP_TEXT: KeyRules = {
  harmless: {
    ...OPENCLIP_TOWER,
    "told by tensors, too": "context_length vocab_size proj_bias",
    "names of tokenizers, which tokenizer.json is": "hf_tokenizer_name tokenizer_mode",
    "settings of what is not there": "pad_id eos_id hf_model_pretrained hf_proj_type hf_pooler_type",
    "the same for one token": "final_ln_after_pool",
    "of a tower that may lack": "heads no_causal_mask pool_type norm_kwargs",
  },
  fixed: { ...OPENCLIP_BLOCKS, embed_cls: [false], proj_type: ["linear"], hf_model_name: [] },
  strays: OPENCLIP_STRAYS,
};
