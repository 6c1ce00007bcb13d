"""What Pillow makes of files given on standard input, each after its length (4 bytes, little-endian): a line of JSON for each."""
import hashlib
import io
import json
import struct
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
# Pillow refuses what has more than twice as many pixels; fuzz/target.ts has the limit.
Image.MAX_IMAGE_PIXELS = 2**16 // 2

# What is decoded here; a JPEG with pictures behind its own is an MPO.
FORMATS = ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP"]


def answer(data: bytes) -> dict:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            opened.load()
            mode = opened.mode
            try:
                image = ImageOps.exif_transpose(opened)
            except (SyntaxError, ValueError):  # of EXIF that is none, in an image that Pillow reads
                image = opened
            if image.mode == "I;16":  # Pillow saturates; the upper byte is meant
                high = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
                image = Image.fromarray(high)
            rgb = image.convert("RGB")
            digest = hashlib.sha256(rgb.tobytes()).hexdigest()
            return {"result": {"width": rgb.width, "height": rgb.height, "sha256": digest, "mode": mode}}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".replace("\n", " ")[:120]}


print("ready", flush=True)
while len(head := sys.stdin.buffer.read(4)) == 4:
    print(json.dumps(answer(sys.stdin.buffer.read(struct.unpack("<I", head)[0]))), flush=True)
