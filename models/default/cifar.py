"""CIFAR-10 from two archives of image files, as tensors: what train.py learns from and export.py measures on."""

import io
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
HOLDOUT = 2000  # training images kept apart to watch progress; only export.py reads the test set


def load(data, split):
    """Images [n, 32, 32, 3] uint8 and labels [n] int64 of data/split.tar.gz, in the order of the sorted file names."""
    images = {}
    with tarfile.open(Path(data) / f"{split}.tar.gz") as archive:
        for member in archive:
            if member.isfile() and member.name.lower().endswith((".jpg", ".jpeg", ".png")):
                pixels = Image.open(io.BytesIO(archive.extractfile(member).read())).convert("RGB")
                images[member.name] = np.asarray(pixels)
    names = sorted(images)
    labels = torch.tensor([CLASSES.index(name.split("/")[-2]) for name in names])
    return torch.from_numpy(np.stack([images[name] for name in names])), labels


def split_holdout(images, labels):
    """(train images, train labels), (held-out images, labels): HOLDOUT images drawn with a fixed seed."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    held, rest = order[:HOLDOUT], order[HOLDOUT:]
    return (images[rest], labels[rest]), (images[held], labels[held])


def normalise(pixels):
    """[n, h, w, 3] uint8 to a float32 [n, 3, h, w] view, channels last in memory."""
    scale = 1 / (255 * torch.tensor(STD))
    return (pixels.float() * scale - torch.tensor(MEAN) / torch.tensor(STD)).permute(0, 3, 1, 2)
