"""Drawn files under the names of FIDS30's photographs; no photograph is needed or copied."""

import hashlib

import numpy as np
from PIL import Image

from replicate.data.fids30.files import published_split

OTHER = ("figs", "guava")


def draw(rng, height=18, width=24):
    """A smooth random picture, so that JPEG changes it little."""
    corners = rng.integers(0, 256, (2, 2, 3), np.uint8)
    picture = Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR)
    return picture


def write_folder(root, leave_out=()):
    """A folder of class folders with a drawn JPEG for every listed file, and two other classes."""
    rng = np.random.default_rng(5)
    for name, parts in published_split().items():
        (root / name).mkdir(parents=True)
        for file in parts["train"] + parts["test"]:
            picture = draw(rng)
            if f"{name}/{file}" not in leave_out:
                picture.save(root / name / file, quality=95)
    for name in OTHER:
        (root / name).mkdir()
        for file in ("0.jpg", "1.jpg"):
            draw(rng).save(root / name / file)
    return root


def digests(root):
    """`<class>/<file>` to `[bytes, SHA-256]`, as `resized_256.json` has it."""
    return {
        f"{path.parent.name}/{path.name}": [
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        ]
        for path in sorted(root.glob("*/*.jpg"))
    }
