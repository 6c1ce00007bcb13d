"""Trains the small Vision Transformer that ships with vitrail: CIFAR-10, from scratch, on two CPU cores.

    torchrun --nproc-per-node 2 train.py teacher --data DIR --work DIR
    torchrun --nproc-per-node 2 train.py student --data DIR --work DIR
    python export.py --data DIR --work DIR

DIR of --data holds train.tar.gz and test.tar.gz, one folder of 32 x 32 images a class; DIR of --work keeps a
checkpoint an epoch (--resume goes on from there) and log.txt. A process is one thread, on its share of every batch: on
a busy machine two loose processes lose less than two threads that wait for each other after every operation.

The student is timm's plain VisionTransformer. What lets few epochs do:
- a small convolutional teacher, whose logits (DeiT, arXiv:2012.12877) and 8 x 8 feature map (Locality Guidance,
  arXiv:2207.10026) the student imitates; it follows airbench (arXiv:2404.00498);
- attention that starts as a 3 x 3 convolution, each head looking at one neighbour, read from sinusoidal positions
  (Cordonnier et al., arXiv:1911.03584; Structured Initialization, arXiv:2404.01139), and a patch embedding that starts
  as PCA whitening;
- Muon (Jordan et al., 2024, kellerjordan.github.io/posts/muon) for every matrix of the blocks;
- cheap epochs first: 24 x 24 windows and attention maps shared by the batch, then whole images, then own attention.
"""

import argparse
import math
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.nn.functional as F
from cifar import load, normalise, split_holdout
from timm.models.vision_transformer import VisionTransformer
from torch import nn

PAD, SHIFT = 4, 2  # pixels mirrored around an image; how far a window may leave the image
MICRO = 64  # images that a process handles at a time: their activations stay in the cache
WARMUP = 0.3  # epochs
TAP = 4  # the teacher's feature map is imitated after this many blocks
POSITION = 16  # channels that start as positions and nothing else
VIT = dict(img_size=32, patch_size=4, embed_dim=128, depth=6, num_heads=8, mlp_ratio=2.0, num_classes=10)
VIT |= dict(class_token=False, global_pool="avg", qk_norm=True)
GRID = VIT["img_size"] // VIT["patch_size"]


def augment(padded, index, epoch, generator, side):
    """Random window of side x side pixels, at most SHIFT outside; the flip alternates with the epoch."""
    offset = torch.randint(PAD - SHIFT, PAD + 32 - side + SHIFT + 1, (2, len(index), 1), generator=generator)
    rows, columns = offset[0] + torch.arange(side), offset[1] + torch.arange(side)
    flip = ((index * 2654435761 >> 16) + epoch) % 2 == 1
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    return normalise(padded[index[:, None, None], rows[:, :, None], columns[:, None, :]])


# Models


class Teacher(nn.Module):
    """airbench's network, narrower: a frozen whitening convolution, then three blocks of two 3 x 3 convolutions."""

    def __init__(self, widths=(32, 128, 160)):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 3, padding=1, bias=False)
        channels = (24, *widths)
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for before, after in zip(channels, widths):
            for inputs in (before, after):
                self.convs.append(nn.Conv2d(inputs, after, 3, padding=1, bias=False))
                nn.init.dirac_(self.convs[-1].weight[:inputs])
                self.norms.append(nn.BatchNorm2d(after, momentum=0.3))
        self.head = nn.Linear(widths[-1], 10)

    def forward(self, x):
        """Logits [n, 10] and the normalised 8 x 8 feature map [n, c, 8, 8] of the second block."""
        x = F.gelu(self.whiten(x))
        for layer, (conv, norm) in enumerate(zip(self.convs, self.norms)):
            x = conv(x)
            if layer % 2 == 0:
                x = F.max_pool2d(x, 2)
            x = norm(x)
            if layer == 3:
                features = x
            x = F.gelu(x)
        return self.head(x.amax((2, 3))), features

    def classify(self, x):
        return self(x)[0]

    def start(self, pixels):
        """The first convolution: the 12 strongest whitened directions of 3 x 3 patches, each with both signs."""
        rows = whitening(F.unfold(normalise(pixels), 3).transpose(1, 2).reshape(-1, 27), 5e-4)[:12].reshape(12, 3, 3, 3)
        self.whiten.weight.data.copy_(torch.cat((rows, -rows)))
        self.whiten.weight.requires_grad_(False)


def whitening(patches, epsilon):
    """Rows [d, d] that map centred patches to uncorrelated ones of unit variance, the strongest direction first."""
    patches = patches - patches.mean(0)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    return (vectors / (values + epsilon).sqrt()).T.flip(0).contiguous()


class Student(nn.Module):
    """timm's VisionTransformer, and the linear map through which a block imitates the teacher's feature map."""

    def __init__(self, channels):
        super().__init__()
        self.vit = VisionTransformer(**VIT)
        self.guide = nn.Linear(VIT["embed_dim"], channels)
        self.register_buffer("content", (torch.arange(VIT["embed_dim"]) < VIT["embed_dim"] - POSITION).float())

    def forward(self, x, shared, corner=(0, 0)):
        """Logits and the imitated features [n, tokens, c] of images [n, 3, s, s], s at most 32.

        A smaller image takes the positions of the window at `corner`. With `shared`, all images of the batch use one
        attention map a head, made from the positions alone: that saves a third of the time while the rest learns. The
        position channels stay free of content meanwhile, so that each image's own attention continues from there.
        """
        vit, (top, left), side = self.vit, corner, x.shape[-1] // VIT["patch_size"]
        position = vit.pos_embed.unflatten(1, (GRID, GRID))[:, top : top + side, left : left + side].flatten(1, 2)
        mask = self.content if shared else 1
        x = vit.patch_embed.proj(x).flatten(2).transpose(1, 2) * mask + position
        for layer, block in enumerate(vit.blocks):
            seen = block.norm1(x)
            x = x + (self.shared_attention(block.attn, seen) if shared else block.attn(seen)) * mask
            x = x + block.mlp(block.norm2(x)) * mask
            if layer + 1 == TAP:
                features = self.guide(x)
        return vit.forward_head(x), features

    def shared_attention(self, attention, x):
        """Attention of the batch's mean position channels, applied to the values of every image."""
        images, tokens, width = x.shape
        heads, size = attention.num_heads, attention.head_dim
        weight, bias = attention.qkv.weight, attention.qkv.bias
        mean = x.mean(0) * (1 - self.content)
        q, k = F.linear(mean, weight[: 2 * width], bias[: 2 * width]).view(tokens, 2, heads, size).permute(1, 2, 0, 3)
        maps = (attention.q_norm(q) @ attention.k_norm(k).mT * attention.scale).softmax(-1)
        values = F.linear(x, weight[2 * width :], bias[2 * width :]).view(images, tokens, heads, size)
        mixed = maps @ values.permute(2, 1, 0, 3).reshape(heads, tokens, images * size)
        mixed = mixed.view(heads, tokens, images, size).permute(2, 1, 0, 3)
        return attention.proj(mixed.reshape(images, tokens, width))

    def classify(self, x):
        return self.vit(x)

    def start(self, pixels):
        """Whitening as the patch embedding, positions in channels of their own, a head for each of 8 neighbours."""
        width, heads = VIT["embed_dim"], VIT["num_heads"]
        vit, content, size = self.vit, width - POSITION, width // heads
        rows = whitening(F.unfold(normalise(pixels), 4, stride=4).transpose(1, 2).reshape(-1, 48), 1e-2)
        mixed = F.normalize(torch.randn(content - 48, 48), dim=1) @ rows
        vit.patch_embed.proj.weight.data.zero_()[:content] = torch.cat((rows, mixed)).reshape(content, 3, 4, 4)
        nn.init.zeros_(vit.patch_embed.proj.bias)

        frequencies = math.pi / 8 * torch.arange(1, 5)
        angles = torch.arange(GRID)[:, None] * frequencies
        wave = 1.4 * torch.stack((angles.cos(), angles.sin()), -1).flatten(1)  # [GRID, 8]
        vertical, horizontal = wave[:, None].expand(GRID, GRID, 8), wave[None].expand(GRID, GRID, 8)
        vit.pos_embed.data.zero_()[0, :, content:] = torch.cat((vertical, horizontal), -1).flatten(0, 1)

        neighbours = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
        for layer, block in enumerate(vit.blocks):
            reach = 2 if layer in (2, 4) else 1
            weight = block.attn.qkv.weight.data.view(3, heads, size, width)
            nn.init.zeros_(weight[:2])
            for head, shift in enumerate(neighbours[:heads]):
                turns = [step * reach * frequencies for step in shift]
                weight[0, head, :, content:] += 2 * torch.block_diag(*(rotation(t) for t in torch.cat(turns)))
                weight[1, head, :, content:] += 2 * torch.eye(POSITION)
            nn.init.constant_(block.attn.q_norm.weight, 1.75)  # the neighbour gets about 80 % of a head's attention
            nn.init.constant_(block.attn.k_norm.weight, 1.75)
            nn.init.orthogonal_(block.attn.qkv.weight.data[2 * width :])
            nn.init.orthogonal_(block.mlp.fc1.weight)
            nn.init.zeros_(block.attn.proj.weight)
            nn.init.zeros_(block.mlp.fc2.weight)
        nn.init.zeros_(vit.head.weight)


def rotation(t):
    """[2, 2] turn by t: moves the pair (cos a, sin a) to the angle a + t."""
    return torch.stack((t.cos(), -t.sin(), t.sin(), t.cos())).view(2, 2)


# Optimisation


class Muon(torch.optim.Optimizer):
    """Momentum, every update made orthogonal by five Newton-Schulz steps; qkv counts as three matrices."""

    def __init__(self, parameters, lr, momentum, decay=0.0):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, decay=decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                moment = self.state[p].setdefault("moment", torch.zeros_like(p))
                moment.lerp_(p.grad, 1 - group["momentum"])
                g = p.grad.lerp(moment, group["momentum"])
                g = g.reshape(3, -1, g.shape[1]) if g.ndim == 2 and g.shape[0] == 3 * g.shape[1] else g.flatten(1)[None]
                tall = g.shape[1] > g.shape[2]
                x = g.mT if tall else g
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = (x.mT if tall else x).reshape(p.shape)
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(x, alpha=-group["lr"] * max(1, g.shape[1] / g.shape[2]) ** 0.5)


def schedule(progress, warmup, decay):
    """Factor of the learning rate: linear warm-up, flat, linear to zero over the last `decay` of the run."""
    return min(1.0, progress / warmup, (1 - progress) / decay)


@torch.no_grad()
def accuracy(model, images, labels):
    """Share of the images [n, 32, 32, 3] uint8 whose label the model, a map to logits, gives."""
    hits = 0
    for part, truth in zip(images.split(250), labels.split(250)):
        hits += (model(normalise(part)).argmax(1) == truth).sum().item()
    return hits / len(images)


def fit(args, model, loss_of, groups):
    """The loop that both models share: gradients averaged over the processes, a log line and a checkpoint an epoch."""
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    (images, labels), held = split_holdout(*load(args.data, "train"))
    padded = F.pad(images.permute(0, 3, 1, 2).float(), (PAD,) * 4, mode="reflect").byte()
    padded = padded.permute(0, 2, 3, 1).contiguous()
    model.start(images[:5000])
    optimisers = groups(model)
    checkpoint, first = Path(args.work) / f"{args.step}.pt", 0
    if args.resume and checkpoint.exists():
        saved = torch.load(checkpoint)
        model.load_state_dict(saved["model"])
        for optimiser, state in zip(optimisers, saved["optimisers"]):
            optimiser.load_state_dict(state)
        first = saved["epoch"]
    rates = [[group["lr"] for group in optimiser.param_groups] for optimiser in groups(model)]
    trained = [p for p in model.parameters() if p.requires_grad]
    steps = len(labels) // args.batch
    for epoch in range(first, args.epochs):
        began, cpu, total = time.time(), time.process_time(), 0.0
        generator = torch.Generator().manual_seed(args.seed + epoch)
        order = torch.randperm(len(labels), generator=generator)
        generator.manual_seed(args.seed + 1000 * (epoch + 1) + rank)
        model.train()
        for step in range(steps):
            factor = schedule((epoch + (step + 1) / steps) / args.epochs, WARMUP / args.epochs, args.decay)
            for optimiser, base in zip(optimisers, rates):
                for group, rate in zip(optimiser.param_groups, base):
                    group["lr"] = rate * factor
            index = order[step * args.batch : (step + 1) * args.batch][rank::world]
            for part in index.split(MICRO):
                x = augment(padded, part, epoch, generator, 24 if epoch < args.crop_until else 32)
                loss = loss_of(x, labels[part], epoch, generator) * len(part) / len(index)
                loss.backward()
                total += loss.item() / steps
            if world > 1:
                flat = torch.cat([p.grad.flatten() for p in trained])
                dist.all_reduce(flat)
                for p, g in zip(trained, flat.div_(world).split([p.numel() for p in trained])):
                    p.grad.copy_(g.view_as(p))
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
        for buffer in model.buffers():  # each process has its own statistics of batch normalisation
            if world > 1 and buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= world
        if rank == 0:
            model.eval()
            score = accuracy(model.classify, *held)
            line = f"{args.step} epoch {epoch + 1}/{args.epochs} loss {total:.4f} held-out {score:.4f}"
            line += f" wall {time.time() - began:.0f} s, processor {world * (time.process_time() - cpu):.0f} s"
            print(line, flush=True)
            with open(Path(args.work) / "log.txt", "a") as log:
                log.write(f"{time.strftime('%H:%M:%S')} {line}\n")
            state = dict(epoch=epoch + 1, model=model.state_dict(), optimisers=[o.state_dict() for o in optimisers])
            torch.save(state, checkpoint.with_suffix(".new"))
            os.replace(checkpoint.with_suffix(".new"), checkpoint)


def train_teacher(args):
    model = Teacher()

    def loss_of(x, y, epoch, generator):
        return F.cross_entropy(model(x)[0], y, label_smoothing=0.1)

    def groups(model):
        others = [*model.norms.parameters(), *model.head.parameters()]
        others = torch.optim.AdamW(others, args.lr / 20, weight_decay=1e-3)
        return [Muon(model.convs.parameters(), args.lr, 0.6), others]

    fit(args, model, loss_of, groups)


def train_student(args):
    teacher = Teacher()
    teacher.load_state_dict(torch.load(Path(args.work) / "teacher.pt")["model"])
    teacher.eval().requires_grad_(False)
    model = Student(teacher.convs[3].out_channels)

    def loss_of(x, y, epoch, generator):
        with torch.no_grad():
            target, features = teacher(x)
        corner = torch.randint(0, GRID - x.shape[-1] // VIT["patch_size"] + 1, (2,), generator=generator).tolist()
        logits, tokens = model(x, epoch < args.share_until, corner)
        hard = F.cross_entropy(logits, y, label_smoothing=0.1)
        soft = F.kl_div(F.log_softmax(logits / 2, 1), F.softmax(target / 2, 1), reduction="batchmean") * 4
        imitation = F.mse_loss(tokens, features.flatten(2).transpose(1, 2))
        trust = 0.8 if epoch < args.crop_until else 0.5  # a window may miss what the label names
        return (1 - trust) * hard + trust * soft + (1 - epoch / args.epochs) * imitation

    def groups(model):
        matrices = [p for p in model.vit.blocks.parameters() if p.ndim == 2]
        others = [p for p in model.parameters() if all(p is not m for m in matrices)]
        return [Muon(matrices, args.lr, 0.95, 0.02), torch.optim.AdamW(others, args.lr / 10, weight_decay=0)]

    fit(args, model, loss_of, groups)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    teacher, student = steps.add_parser("teacher"), steps.add_parser("student")
    teacher.set_defaults(run=train_teacher, epochs=6, batch=512, lr=0.12, decay=0.8, crop_until=0)
    student.set_defaults(run=train_student, epochs=14, batch=256, lr=0.035, decay=0.6, crop_until=5, share_until=12)
    for step in (teacher, student):
        step.add_argument("--data", required=True, help="folder with train.tar.gz and test.tar.gz")
        step.add_argument("--work", default="work", help="folder of checkpoints and log.txt")
        step.add_argument("--resume", action="store_true", help="go on after the last finished epoch")
        step.add_argument("--seed", type=int, default=1)
        step.add_argument("--epochs", type=int)
        step.add_argument("--batch", type=int)
        step.add_argument("--lr", type=float, help="of Muon; the other parameters follow in proportion")
        step.add_argument("--decay", type=float, help="share of the run in which the rate falls to zero")
    student.add_argument("--crop-until", type=int, help="epochs on 24 x 24 windows")
    student.add_argument("--share-until", type=int, help="epochs with shared attention maps")
    args = parser.parse_args()
    Path(args.work).mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    args.run(args)


if __name__ == "__main__":
    main()
