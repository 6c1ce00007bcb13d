"""Cosines of vitrail's vectors and those of open_clip with Immich's preprocessing, by the exchange that Immich has with its server:

    npm run build && python3 bench/immich.py PHOTO...

The model is OpenCLIP's ViT-B-32 with random weights, unless --model names a folder that has open_clip_model.safetensors and
open_clip_config.json. A library of photos need not be indexed anew if the least cosine is near 1; those of different photos, which are
printed beside it, say how near that is.

The crop of torchvision, which the checkpoint names and vitrail follows, begins at round((side - size) / 2): of some odd sides a pixel
later. Such photos are counted apart.

Immich (machine-learning/immich_ml/models/transforms.py): the short side becomes the model's size and the long one is cut down to a whole
number, by Pillow's bicubic filter; the crop begins at int(side / 2 - size / 2); levels are divided by 255 and normalized in f32.
"""
import argparse
import json
import os
import subprocess
import urllib.request

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file

ROOT = os.path.join(os.path.dirname(__file__), "..")
ARCHITECTURE = "ViT-B-32"


def write_random(folder):
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE, force_quick_gelu=True)
    save_file({name: x.contiguous() for name, x in model.state_dict().items()}, f"{folder}/open_clip_model.safetensors")
    config = {**open_clip.get_model_config(ARCHITECTURE), "quick_gelu": True}
    preprocess = {
        "mean": list(open_clip.OPENAI_DATASET_MEAN),
        "std": list(open_clip.OPENAI_DATASET_STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    json.dump({"model_cfg": config, "preprocess_cfg": preprocess}, open(f"{folder}/open_clip_config.json", "w"))


def preprocessed(photo, size, mean, std):
    image = ImageOps.exif_transpose(Image.open(photo)).convert("RGB")
    width, height = image.size
    if width < height:
        image = image.resize((size, int(height / width * size)), Image.Resampling.BICUBIC)
    else:
        image = image.resize((int(width / height * size), size), Image.Resampling.BICUBIC)
    left, upper = (int(side / 2 - size / 2) for side in image.size)
    shifted = [left, upper] != [round((side - size) / 2) for side in image.size]
    image = image.crop((left, upper, left + size, upper + size))
    values = (np.asarray(image, dtype=np.float32) / 255 - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(values.transpose(2, 0, 1)[None]), shifted


def ask(url, photo):
    """As Immich does: the answer's clip is a text that holds a list."""
    entries = json.dumps({"clip": {"visual": {"modelName": "ViT-B-32__openai"}}})
    boundary = b"----formdata-undici-000000000000"
    image = open(photo, "rb").read()
    body = b"".join(
        [
            b"--" + boundary + b'\r\nContent-Disposition: form-data; name="entries"\r\n\r\n' + entries.encode() + b"\r\n",
            b"--" + boundary + b'\r\nContent-Disposition: form-data; name="image"; filename="blob"\r\n',
            b"Content-Type: application/octet-stream\r\n\r\n" + image + b"\r\n--" + boundary + b"--\r\n",
        ]
    )
    headers = {"content-type": "multipart/form-data; boundary=" + boundary.decode()}
    with urllib.request.urlopen(urllib.request.Request(url + "/predict", body, headers)) as answer:
        return np.float32(json.loads(json.loads(answer.read())["clip"]))


parser = argparse.ArgumentParser()
parser.add_argument("photos", nargs="+")
parser.add_argument("--model", default=os.path.join(ROOT, "build/bench/immich"))
arguments = parser.parse_args()
folder = arguments.model
if not os.path.exists(f"{folder}/open_clip_config.json"):
    write_random(folder)
said = json.load(open(f"{folder}/open_clip_config.json"))
model = open_clip.create_model(ARCHITECTURE, force_quick_gelu=said["model_cfg"].get("quick_gelu", False))
model.load_state_dict(load_file(f"{folder}/open_clip_model.safetensors"))
model.eval()
size = said["model_cfg"]["vision_cfg"]["image_size"]
mean, std = said["preprocess_cfg"]["mean"], said["preprocess_cfg"]["std"]

command = ["node", os.path.join(ROOT, "dist/src/cli.js"), "serve", f"ViT-B-32__openai={folder}", "--port", "0", "--json"]
server = subprocess.Popen(command, stdout=subprocess.PIPE)
try:
    url = json.loads(server.stdout.readline())["url"]
    ours, theirs, apart = [], [], []
    for photo in arguments.photos:
        with torch.inference_mode():
            pixels, shifted = preprocessed(photo, size, mean, std)
            theirs.append(model.encode_image(pixels, normalize=True)[0].numpy())
        ours.append(ask(url, photo))
        apart.append(shifted)
finally:
    server.terminate()
cosines = np.array([float(np.dot(a, b)) for a, b in zip(np.float64(ours), np.float64(theirs))])
for name, chosen in [("the same crop", ~np.array(apart)), ("a crop of a pixel beside", np.array(apart))]:
    if chosen.any():
        found = cosines[chosen]
        print(f"{name}, {len(found)} photos: cosine {found.mean():.7f} on average, {found.min():.7f} at least")
others = np.float64(theirs) @ np.float64(theirs).T
others = others[~np.eye(len(others), dtype=bool)]
if len(others):
    print(f"different photos: {others.mean():.4f} on average, {others.max():.4f} at most")
