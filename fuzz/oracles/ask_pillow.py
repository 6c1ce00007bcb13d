"""What Pillow makes of files given on standard input, each after its length (4 bytes, little-endian): a line of JSON for each."""
import hashlib
import io
import json
import logging
import struct
import sys
import warnings

import numpy as np
from PIL import Image, ImageOps

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
# Pillow refuses what has more than twice as many pixels; fuzz/target.ts has the limit.
Image.MAX_IMAGE_PIXELS = 2**16 // 2

# What is decoded here; a JPEG with pictures behind its own, an MPO, is opened as JPEG.
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]


def answer(data: bytes) -> dict:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            opened.load()
            mode = opened.mode
            try:
                image = ImageOps.exif_transpose(opened)
            except (SyntaxError, ValueError):  # of EXIF that is none, in an image that Pillow reads
                image = opened
            is_wide = image.mode.startswith("I;16") or (opened.format == "PPM" and image.mode == "I")
            if is_wide:  # Pillow saturates; the upper bits are meant
                is_short = opened.format == "TIFF" and opened.tag_v2.get(258, (0,))[0] == 12
                high = (np.array(image).astype(np.uint32) >> (4 if is_short else 8)).astype(np.uint8)
                image = Image.fromarray(high)
            rgb = image.convert("RGB")
            digest = hashlib.sha256(rgb.tobytes()).hexdigest()
            return {"result": {"width": rgb.width, "height": rgb.height, "sha256": digest, "mode": mode}}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".replace("\n", " ")[:120]}


print("ready", flush=True)
while len(head := sys.stdin.buffer.read(4)) == 4:
    print(json.dumps(answer(sys.stdin.buffer.read(struct.unpack("<I", head)[0]))), flush=True)
