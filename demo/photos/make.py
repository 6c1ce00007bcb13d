"""The sample photos of the page: CC0 pictures of Debian's plasma-workspace-data as small JPEGs.

    apt-get download plasma-workspace-data && dpkg-deb -x plasma-workspace-data*.deb unpacked
    python make.py unpacked/usr/share/plasma/avatars/photos
"""

import sys
from pathlib import Path

from PIL import Image

for name, source in {"lorikeet": "Parrot", "car": "Car", "sunflower": "Sunflower"}.items():
    image = Image.open(Path(sys.argv[1], f"{source}.png")).convert("RGB")
    image.save(Path(__file__).with_name(f"{name}.jpg"), quality=80, optimize=True, progressive=True)
    # The button under the window is 64 CSS pixels wide.
    image.resize((128, 128), Image.Resampling.LANCZOS).save(
        Path(__file__).with_name(f"{name}-small.jpg"), quality=70, optimize=True
    )
