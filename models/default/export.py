"""Exports what train.py left in --work, and measures it on the test set the way any user of timm would load it.

    python export.py --data DIR --work DIR    writes config.json and model.safetensors beside this file, then measures
    python export.py --data DIR               measures what lies there
    --predictions FILE                        writes the class index of each test image, for evaluate.js

The export is timm's Hub layout: float16 weights under timm's names, config.json with the labels and the preprocessing.
"""

import argparse
import json
import math
from pathlib import Path

import timm
import torch
from cifar import CLASSES, MEAN, STD, load, normalise
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from train import VIT, Teacher

HERE = Path(__file__).resolve().parent


def weights(work):
    """The student's tensors under timm's names, float32."""
    model = torch.load(Path(work) / "student.pt")["model"]
    return {name[4:]: value for name, value in model.items() if name.startswith("vit.")}


def export(work):
    """Writes model.safetensors and config.json beside this file."""
    tensors = {name: value.half().contiguous() for name, value in weights(work).items()}
    save_file(tensors, HERE / "model.safetensors", metadata={"format": "pt"})
    (HERE / "model.safetensors").chmod(0o644)
    pretrained = dict(input_size=[3, 32, 32], fixed_input_size=True, interpolation="bicubic", crop_pct=1.0)
    pretrained |= dict(crop_mode="center", mean=MEAN, std=STD, num_classes=10, pool_size=None)
    pretrained |= dict(first_conv="patch_embed.proj", classifier="head", license="apache-2.0")
    config = dict(architecture="vit_tiny_patch16_224", num_classes=10, num_features=VIT["embed_dim"], global_pool="avg")
    config |= dict(label_names=CLASSES, model_args=VIT, pretrained_cfg=pretrained)
    (HERE / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def wilson(hits, n, z=1.96):
    """The 95 % Wilson score interval of hits out of n."""
    p, z2 = hits / n, z * z / n
    half = z * math.sqrt(p * (1 - p) / n + z2 / n / 4)
    return (p + z2 / 2 - half) / (1 + z2), (p + z2 / 2 + half) / (1 + z2)


@torch.no_grad()
def measure(name, model, images, labels):
    """Prints top-1 with its interval and returns the logits [n, 10]."""
    logits = torch.cat([model(normalise(part)) for part in images.split(250)])
    hits = (logits.argmax(1) == labels).sum().item()
    low, high = wilson(hits, len(labels))
    print(f"{name}: top-1 {hits / len(labels):.2%} of {len(labels):,}, 95 % interval {low:.2%} to {high:.2%}")
    return logits


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with test.tar.gz")
    parser.add_argument("--work", help="folder with teacher.pt and student.pt")
    parser.add_argument("--predictions", help="file for the predictions, in the order of the sorted file names")
    args = parser.parse_args()
    if args.work:
        export(args.work)
    images, labels = load(args.data, "test")
    stored = timm.create_model(f"local-dir:{HERE}", pretrained=True).eval()
    print(f"{sum(p.numel() for p in stored.parameters()):,} parameters")
    half = measure("float16 storage", stored, images, labels)
    if args.predictions:
        Path(args.predictions).write_text(json.dumps(half.argmax(1).tolist()))
    for k, name in enumerate(CLASSES):
        print(f"  {name}: {(half.argmax(1) == labels)[labels == k].float().mean():.1%}")
    if args.work:
        single = VisionTransformer(**VIT).eval()
        single.load_state_dict(weights(args.work))
        full = measure("float32", single, images, labels)
        differ = (half.argmax(1) != full.argmax(1)).sum()
        print(f"float16 storage changes {differ} predictions and no logit by more than {(half - full).abs().max():.4f}")
        teacher = Teacher().eval()
        teacher.load_state_dict(torch.load(Path(args.work) / "teacher.pt")["model"])
        measure("convolutional teacher, float32", teacher.classify, images, labels)


if __name__ == "__main__":
    main()
