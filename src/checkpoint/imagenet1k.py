"""Writes imagenet1k.ts beside this file: the class names of ImageNet-1k as timm gives them (WordNet lemmas).

pip install timm==1.0.31; python src/checkpoint/imagenet1k.py
"""

import importlib.util
import json
from pathlib import Path

info = Path(importlib.util.find_spec("timm").submodule_search_locations[0]) / "data" / "_info"
synsets = (info / "imagenet_synsets.txt").read_text().split()
lemmas = dict(line.split("\t") for line in (info / "imagenet_synset_to_lemma.txt").read_text().splitlines())
names = [lemmas[synset] for synset in synsets]
assert len(names) == 1000

lines = "\n".join(names)
assert "`" not in lines and "\\" not in lines
Path(__file__).with_suffix(".ts").write_text(
    "/** Class names of ImageNet-1k (WordNet lemmas), as timm gives them. Written by imagenet1k.py. */\n"
    f"export const IMAGENET_1K: readonly string[] = `{lines}`.split(\"\\n\");\n"
)
