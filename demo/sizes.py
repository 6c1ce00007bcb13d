"""Prints the sizes of the menu's models (src/models.ts) in MB: 4 bytes for each parameter of the model that timm or transformers
builds of these names and configs, without weights.

    python demo/sizes.py
"""

import timm
import torch
import transformers as t

SMALL = dict(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
TINY = dict(hidden_size=192, num_attention_heads=3, intermediate_size=768, image_size=[800, 1333])
STAGES = dict(out_indices=[3, 6, 9, 12], reshape_hidden_states=False)
LARGE_VOCABULARY = dict(text_config=dict(vocab_size=256000), vision_config=dict(image_size=224))
POSE = dict(backbone_config=t.VitPoseBackboneConfig(), num_labels=17)

MODELS = {
    "ViT-Ti/16": lambda: timm.create_model("vit_tiny_patch16_224"),
    "DeiT-S/16": lambda: timm.create_model("deit_small_patch16_224"),
    "ViT-B/16": lambda: timm.create_model("vit_base_patch16_224"),
    "DINOv2 S/14": lambda: t.Dinov2Model(t.Dinov2Config(**SMALL)),
    "DINOv3 S/16": lambda: timm.create_model("vit_small_patch16_dinov3"),
    "CLIP B/32": lambda: t.CLIPModel(t.CLIPConfig()),
    "SigLIP 2 B/16": lambda: t.SiglipModel(t.SiglipConfig(**LARGE_VOCABULARY)),
    "Depth Anything V2 S": lambda: t.DepthAnythingForDepthEstimation(
        t.DepthAnythingConfig(backbone_config=t.Dinov2Config(**SMALL, **STAGES))
    ),
    "YOLOS-Ti": lambda: t.YolosForObjectDetection(
        t.YolosConfig(**TINY, use_mid_position_embeddings=False, num_labels=91)
    ),
    "OWLv2 B/16": lambda: t.Owlv2ForObjectDetection(
        t.Owlv2Config(vision_config=dict(image_size=960, patch_size=16))
    ),
    "SAM B": lambda: t.SamModel(t.SamConfig()),
    "ViTPose-B": lambda: t.VitPoseForPoseEstimation(t.VitPoseConfig(**POSE)),
}

with torch.device("meta"):
    for name, build in MODELS.items():
        print(f"{name:20} {sum(p.numel() for p in build().parameters()) * 4 / 1e6:.1f}")
