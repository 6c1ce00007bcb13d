"""Writes what the sections `dense` and `prompts` of the benchmarks run on: models of the sizes that are published with random weights, as
transformers saves them, and the same as ONNX graphs for onnxruntime, as torch.onnx exports them.

    pip install torch==2.13.0 transformers==5.24.0 onnx==1.23.2
    python bench/dense.py [NAME…]

For each NAME, in build/bench/NAME: config.json, model.safetensors, GRAPH.onnx and, beside it, GRAPH.json with the floating-point
operations of its products that torch counts. They are 1.7 GB.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode
from transformers import Dinov2Config, VitPoseBackboneConfig

ROOT = Path(__file__).resolve().parent.parent / "build" / "bench"
torch.set_grad_enabled(False)


def randomize(model):
    """Weights that keep the variance of what passes through, so that softmax and activations work on values as spread as
    a trained model's."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.named_parameters():
        values = torch.randn(tensor.shape, generator=generator)
        if tensor.ndim >= 2 and "embed" not in name and "rel_pos" not in name:
            values /= tensor[0].numel() ** 0.5
        elif "norm" in name and name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values *= 0.02
        tensor.copy_(values)
    return model.eval().requires_grad_(False)


def depth_anything():
    backbone = Dinov2Config(
        hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14, out_indices=[3, 6, 9, 12],
        apply_layernorm=True, reshape_hidden_states=False,
    )
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=384, neck_hidden_sizes=[48, 96, 192, 384], fusion_hidden_size=64
    )
    return transformers.DepthAnythingForDepthEstimation(config)


def owlv2():
    vision = dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12, image_size=768, patch_size=32)
    return transformers.Owlv2ForObjectDetection(transformers.Owlv2Config(vision_config=vision))


def vitpose():
    backbone = VitPoseBackboneConfig(out_indices=[12], image_size=[256, 192])
    names = {i: f"keypoint {i}" for i in range(17)}
    return transformers.VitPoseForPoseEstimation(
        transformers.VitPoseConfig(backbone_config=backbone, id2label=names, use_simple_decoder=True)
    )


def sam():
    return transformers.SamModel(transformers.SamConfig())


def swin():
    return transformers.SwinForImageClassification(transformers.SwinConfig(num_labels=1000))


def clip():
    # Images are none of its business here.
    vision = dict(hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1, image_size=32)
    return transformers.CLIPModel(transformers.CLIPConfig(vision_config=vision))


class Graph(torch.nn.Module):
    """A part of a model with named inputs and outputs."""

    def __init__(self, model, run):
        super().__init__()
        self.model = model
        self.run = run

    def forward(self, *inputs):
        return self.run(self.model, *inputs)


def masks(model, embeddings, points, labels):
    positions = model.get_image_wide_positional_embeddings()
    sparse, dense = model.prompt_encoder(points, labels, None, None)
    low, scores = model.mask_decoder(
        image_embeddings=embeddings, image_positional_embeddings=positions, sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense, multimask_output=True,
    )
    return low, scores


def found(model, pixels, ids):
    outputs = model(pixel_values=pixels, input_ids=ids)
    return outputs.logits, outputs.pred_boxes


pixels = lambda height, width: {"pixel_values": torch.zeros(1, 3, height, width)}
MODELS = {
    "depth-anything-v2-small": (
        depth_anything,
        {"depth": (lambda model, pixels: model(pixels).predicted_depth, pixels(518, 518), ["predicted_depth"])},
    ),
    "owlv2-base-patch32": (
        owlv2,
        {"boxes": (found, pixels(768, 768) | {"input_ids": torch.ones(2, 16, dtype=torch.long)}, ["logits", "pred_boxes"])},
    ),
    "vitpose-base-simple": (
        vitpose,
        {"heatmaps": (lambda model, pixels: model(pixels).heatmaps, pixels(256, 192), ["heatmaps"])},
    ),
    "swin-tiny-patch4-window7-224": (
        swin,
        {"stages": (lambda model, pixels: model(pixels).logits, pixels(224, 224), ["logits"])},
    ),
    "clip-vit-base-patch32": (
        clip,
        {
            "prompts": (
                lambda model, ids: model.text_projection(model.text_model(input_ids=ids).pooler_output),
                {"input_ids": torch.tensor([[49406, *range(12), 49407]] * 50)}, ["text_features"],
            ),
        },
    ),
    "sam-vit-base": (
        sam,
        {
            "encoder": (
                lambda model, pixels: model.vision_encoder(pixels).last_hidden_state, pixels(1024, 1024), ["image_embeddings"],
            ),
            "decoder": (
                masks,
                {
                    "image_embeddings": torch.zeros(1, 256, 64, 64), "input_points": torch.full((1, 1, 1, 2), 512.0),
                    "input_labels": torch.ones(1, 1, 1, dtype=torch.long),
                },
                ["pred_masks", "iou_scores"],
            ),
        },
    ),
}

for name in sys.argv[1:] or MODELS:
    make, graphs = MODELS[name]
    folder = ROOT / name
    folder.mkdir(parents=True, exist_ok=True)
    model = randomize(make())
    model.save_pretrained(folder)
    # Products that are counted, and that onnxruntime knows.
    model.set_attn_implementation("eager")
    for graph, (run, inputs, outputs) in graphs.items():
        part, values = Graph(model, run), tuple(inputs.values())
        with FlopCounterMode(display=False) as counter:
            part(*values)
        (folder / f"{graph}.json").write_text(json.dumps({"flops": counter.get_total_flops()}))
        torch.onnx.export(
            part, values, folder / f"{graph}.onnx", input_names=list(inputs), output_names=outputs, opset_version=18,
            dynamo=False,
        )
        print(name, graph, f"{counter.get_total_flops() / 1e9:.1f} GFLOP")
