"""The comparisons of the paper's figures 5 and 4 (Dosovitskiy et al., arXiv:2010.11929) in miniature, on CIFAR-10.

    python compare.py --data DIR --work DIR [--minutes 2.5] [--jobs 2]
    python compare.py --photos --data DIR --work DIR [--minutes 0.75] [--jobs 2]

A plain Vision Transformer, a hybrid (small convolutional stem, then the transformer) and a ResNet of about equal
multiply-adds learn from the same pictures for the same processor time: schedules of a quarter, half and all of
--minutes, each its own run whose rate falls to zero. No teacher, no initialisation beyond the libraries' own. A run is
one thread; --jobs of them go side by side. The clock is the processor time of the training steps alone, so a run that
waits or is stopped loses nothing; the seed fixes weights, order and augmentation, the machine how many steps fit.

With --photos every run takes all of --minutes, and learns from 1,000, 3,000, 10,000 or all of the training pictures,
each three times: a seed also draws the pictures.

DIR of --work keeps a checkpoint a run: the same command again goes on from there. The results are compare.json and
compare.svg, or photos.json and photos.svg, beside this file, written after every run. Every run reads the test set
once, after its last step.
"""

import argparse
import json
import math
import multiprocessing
import os
import time
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from cifar import load, normalise, split_holdout
from export import wilson
from timm.layers import set_fused_attn
from timm.models.vision_transformer import VisionTransformer
from timm.models.vision_transformer_hybrid import HybridEmbed
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from train import PAD, Muon, accuracy, augment, schedule

HERE = Path(__file__).resolve().parent
BATCH, SEED = 128, 1
PHOTOS, SEEDS = (1000, 3000, 10000, None), (1, 2, 3)  # of --photos; None is all
WARMUP, DECAY = 0.05, 0.8  # shares of a run: the rate rises, the rate falls to zero
SHARES = (1 / 4, 1 / 2, 1)  # of --minutes
LOOKS = 4  # times a run is measured on the held-out images, and saved
WIDTH = dict(img_size=32, embed_dim=64, num_heads=4, mlp_ratio=2.0, num_classes=10)
WIDTH |= dict(class_token=False, global_pool="avg")
RATE = 0.03  # of Muon, AdamW's is a tenth; 0.02 and 0.05 differ by less than a point for each family


# Models


def convolution(inputs, outputs, stride):
    """3 x 3 convolution and batch normalisation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """The basic block of He et al. (arXiv:1512.03385), a 1 x 1 convolution on the shortcut where the shape changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first, self.second = convolution(inputs, outputs, stride), convolution(outputs, outputs, 1)
        same = inputs == outputs and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x):
        return F.relu(self.short(x) + self.second(F.relu(self.first(x))))


def plain():
    """Patches of 4 x 4 pixels, 64 tokens, four blocks."""
    return VisionTransformer(patch_size=4, depth=4, **WIDTH)


def hybrid():
    """Three convolutions in place of one block; their 8 x 8 feature map is the 64 tokens, as in the paper."""
    stem = nn.Sequential(
        *(convolution(3, 16, 2), nn.ReLU(), convolution(16, 32, 1), nn.ReLU(), convolution(32, 48, 2), nn.ReLU())
    )
    return VisionTransformer(patch_size=1, depth=3, embed_layer=partial(HybridEmbed, backbone=stem), **WIDTH)


def resnet(widths=(28, 56, 112)):
    """Three basic blocks on 16 x 16, 8 x 8 and 4 x 4, after a convolution of stride 2."""
    first, second, third = widths
    blocks = Residual(first, first, 1), Residual(first, second, 2), Residual(second, third, 2)
    body = nn.Sequential(convolution(3, widths[0], 2), nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    body.add_module("head", nn.Linear(widths[-1], 10))
    return body


FAMILIES = {"ViT": plain, "hybrid": hybrid, "ResNet": resnet}


def multiply_adds(family):
    """Multiply-adds of one image, forward: matrix products and convolutions, attention's included."""
    set_fused_attn(False)  # the counter sees the two products of attention only where they are written out
    model = FAMILIES[family]().eval()
    set_fused_attn(True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 32, 32))
    return counter.get_total_flops() // 2


# Training


def optimisers(model, rate):
    """Muon for every matrix and kernel between the input layer and the head, AdamW for the rest."""
    named = dict(model.named_parameters())
    inner = [n for n, p in named.items() if p.ndim in (2, 4) and p.shape[1] != 3 and not n.startswith("head")]
    others = [p for n, p in named.items() if n not in inner]
    return [Muon([named[n] for n in inner], rate, 0.95, 0.02), torch.optim.AdamW(others, rate / 10, weight_decay=0)]


def fit(family, budget, work, photos=None, seed=SEED):
    """Trains one network for `budget` processor seconds, from its checkpoint in `work` on, and returns its result.

    It learns from so many `photos`, which the seed draws; from all unless given.
    """
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    (padded, labels), held, test = torch.load(Path(work) / "data.pt", mmap=True)
    if photos:
        drawn = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:photos]
        padded, labels = padded[drawn], labels[drawn]
    model = FAMILIES[family]()
    tools = optimisers(model, RATE)
    rates = [tool.param_groups[0]["lr"] for tool in tools]
    part = f"-{photos or 'all'}-{seed}" if photos or seed != SEED else ""
    checkpoint = Path(work) / f"{family}-{budget:g}{part}.pt"
    state = dict(step=0, spent=0.0, history=[])
    if checkpoint.exists():
        state, weights, moments = torch.load(checkpoint)
        model.load_state_dict(weights)
        for tool, moment in zip(tools, moments):
            tool.load_state_dict(moment)
    steps = len(labels) // BATCH
    while "hits" not in state:
        looks = len(state["history"]) + 1
        model.train()
        while state["spent"] < budget * looks / LOOKS:
            began = time.process_time()
            epoch, step = divmod(state["step"], steps)
            order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed + epoch))
            index = order[step * BATCH : (step + 1) * BATCH]
            x = augment(padded, index, epoch, torch.Generator().manual_seed(seed + 1000 + state["step"]), 32)
            F.cross_entropy(model(x), labels[index], label_smoothing=0.1).backward()
            factor = max(0.0, schedule((state["spent"] + 1e-3) / budget, WARMUP, DECAY))
            for tool, base in zip(tools, rates):
                tool.param_groups[0]["lr"] = base * factor
                tool.step()
                tool.zero_grad(set_to_none=True)
            state["step"] += 1
            state["spent"] += time.process_time() - began
        model.eval()
        state["history"].append((round(state["spent"], 1), state["step"] * BATCH, accuracy(model, *held)))
        print(f"{checkpoint.stem}: {state['history'][-1]}", flush=True)
        if looks == LOOKS:
            state["hits"] = round(accuracy(model, *test) * len(test[1]))
        new = checkpoint.with_suffix(".new")
        torch.save((state, model.state_dict(), [tool.state_dict() for tool in tools]), new)
        os.replace(new, checkpoint)
    low, high = wilson(state["hits"], len(test[1]))
    return dict(
        family=family,
        budget=budget,
        photos=len(labels),
        seed=seed,
        processor_seconds=round(state["spent"], 1),
        images=state["step"] * BATCH,
        multiply_adds=3 * multiply_adds(family) * state["step"] * BATCH,
        held_out=state["history"][-1][2],
        test=state["hits"] / len(test[1]),
        interval=[round(low, 4), round(high, 4)],
        history=state["history"],
    )


def prepare(data, work):
    """Keeps in `work` what fit reads: (mirrored training images, labels), the held-out pair and the test pair."""
    if not (Path(work) / "data.pt").exists():
        (images, labels), held = split_holdout(*load(data, "train"))
        padded = F.pad(images.permute(0, 3, 1, 2).float(), (PAD,) * 4, mode="reflect").byte()
        parts = ((padded.permute(0, 2, 3, 1).contiguous(), labels), held, load(data, "test"))
        torch.save(parts, Path(work) / "data.pt")


# Results

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #333 }
  .title { font-weight: 600 } .axis { stroke: #777 } .grid { stroke: #ddd }
  .ViT { color: #2a6fd0 } .hybrid { color: #b8501a } .ResNet { color: #1a7f5a }
  polyline, .bar { stroke: currentColor; fill: none; stroke-width: 2 } .bar { stroke-width: 1.2 }
  .mark, .name { fill: currentColor }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .axis { stroke: #999 } .grid { stroke: #3a3a3a }
    .ViT { color: #7db2ff } .hybrid { color: #f0975c } .ResNet { color: #55c89a }
  }
"""
MARKS = {"ViT": "M-5-5H5V5H-5Z", "hybrid": "M0-6L6 5H-6Z", "ResNet": "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0Z"}
PLOT, HEIGHT, TOP = 300, 260, 40  # a panel's width and height, and the room above it, in pixels


def powers(start, stop):
    """Powers of two between two numbers."""
    return [2.0**n for n in range(math.ceil(math.log2(start)), math.floor(math.log2(stop)) + 1)]


def panel(left, title, runs, value, low, high, ticks=powers):
    """SVG of one plot: accuracy from `low` to `high` against `value` of a run on a logarithmic axis."""
    values = sorted(value(run) for run in runs)
    start, stop = math.log(values[0] / 1.15), math.log(values[-1] * 1.15)

    def x(v):
        return left + PLOT * (math.log(v) - start) / (stop - start)

    def y(share):
        return TOP + HEIGHT * (high - share) / (high - low)

    lines = [f'<text class="title" x="{left}" y="{TOP - 18}">{title}</text>']
    for percent in range(round(low * 100), round(high * 100) + 1, 5):
        at = y(percent / 100)
        lines.append(f'<line class="grid" x1="{left}" x2="{left + PLOT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        lines.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{percent} %</text>')
    bottom = TOP + HEIGHT
    lines.append(f'<line class="axis" x1="{left}" x2="{left + PLOT}" y1="{bottom}" y2="{bottom}"/>')
    for tick in ticks(math.exp(start), math.exp(stop)):
        lines.append(f'<line class="axis" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{bottom}" y2="{bottom + 5}"/>')
        lines.append(f'<text x="{x(tick):.1f}" y="{bottom + 20}" text-anchor="middle">{tick:,g}</text>')
    for family in FAMILIES:
        points = sorted((value(run), run["test"], *run["interval"]) for run in runs if run["family"] == family)
        lines.append(f'<g class="{family}">')
        lines.append('<polyline points="' + " ".join(f"{x(v):.1f},{y(p):.1f}" for v, p, *_ in points) + '"/>')
        for v, p, below, above in points:
            lines.append(f'<line class="bar" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{y(below):.1f}" y2="{y(above):.1f}"/>')
            lines.append(f'<path class="mark" d="{MARKS[family]}" transform="translate({x(v):.1f} {y(p):.1f})"/>')
        for v, p, *_ in points[-1:]:
            lines.append(f'<text class="name" x="{x(v) + 10:.1f}" y="{y(p) + 4:.1f}">{family}</text>')
        lines.append("</g>")
    return lines


def ends(runs):
    """The share of an axis' ends: fives of a percent around all intervals."""
    low = math.floor(min(run["interval"][0] for run in runs) * 20) / 20
    return low, math.ceil(max(run["interval"][1] for run in runs) * 20) / 20


def figure(title, width, *panels):
    """SVG text of panels."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 335" width="{width}" height="335" role="img">'
    lines = [line for panel in panels for line in panel]
    return "\n".join([head, f"<title>{title}</title>", f"<style>{STYLE}</style>", *lines, "</svg>", ""])


def plot(runs):
    """SVG text: test accuracy with its interval against processor time and against multiply-adds."""
    low, high = ends(runs)
    left = panel(60, "Test top-1 by processor minutes", runs, lambda run: run["processor_seconds"] / 60, low, high)
    work = "Test top-1 by training multiply-adds, 10¹²"
    right = panel(480, work, runs, lambda run: run["multiply_adds"] / 1e12, low, high)
    return figure("Accuracy against compute of a plain ViT, a hybrid and a ResNet on CIFAR-10", 850, left, right)


def of_seeds(runs):
    """Runs that differ by the seed alone as one: the mean of their test accuracies, between the least and the largest."""
    groups = {}
    for run in runs:
        groups.setdefault((run["family"], run["photos"]), []).append(run["test"])
    return [
        dict(family=family, photos=photos, test=sum(tests) / len(tests), interval=[min(tests), max(tests)])
        for (family, photos), tests in groups.items()
    ]


def plot_photos(runs):
    """SVG text: test accuracy, the mean of seeds between the least and the largest, against training pictures."""
    runs = of_seeds(runs)
    counts = sorted({run["photos"] for run in runs})
    panels = panel(60, "Test top-1 by training pictures", runs, lambda run: run["photos"], *ends(runs), lambda *_: counts)
    return figure("Accuracy against training pictures of a plain ViT, a hybrid and a ResNet on CIFAR-10", 440, panels)


def report(minutes, runs, by_photos):
    """Writes compare.json and compare.svg, or photos.json and photos.svg, beside this file."""
    families = {}
    for family, build in FAMILIES.items():
        parameters = sum(p.numel() for p in build().parameters())
        families[family] = dict(parameters=parameters, multiply_adds=multiply_adds(family))
    order = list(FAMILIES)
    runs = sorted(runs, key=lambda run: (order.index(run["family"]), run["budget"], run["photos"], run["seed"]))
    result = dict(minutes=minutes, batch=BATCH, rate=RATE, families=families, runs=runs)
    file = HERE / ("photos" if by_photos else "compare")
    file.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    file.with_suffix(".svg").write_text(plot_photos(runs) if by_photos else plot(runs))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with train.tar.gz and test.tar.gz")
    parser.add_argument("--work", default="work", help="folder of checkpoints and decoded images")
    parser.add_argument("--photos", action="store_true", help="compare numbers of training pictures, not of minutes")
    parser.add_argument("--minutes", type=float, help="processor minutes of the longest schedule: 2.5, or 0.75")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, a thread each")
    args = parser.parse_args()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    prepare(args.data, args.work)
    minutes = args.minutes or (0.75 if args.photos else 2.5)
    plan = [(family, 60 * minutes * share, args.work) for share in SHARES for family in FAMILIES]
    if args.photos:
        draws = [(photos, seed) for seed in SEEDS for photos in PHOTOS]
        plan = [(family, 60 * minutes, args.work, *draw) for draw in draws for family in FAMILIES]
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        runs = []
        for pending in [pool.apply_async(fit, item) for item in plan]:
            runs.append(pending.get())
            report(minutes, runs, args.photos)


if __name__ == "__main__":
    main()
