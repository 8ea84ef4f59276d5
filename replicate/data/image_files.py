"""Single images: read from a file as RGB, resize, store as JPEG and read back."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image

from replicate.data.dataset import DataCorrupt

JPEG_QUALITY = 75  # Pillow's default, with which the studies wrote their files
STORAGES = ("jpeg", "png")


def read_rgb(path: str | os.PathLike, size: int) -> np.ndarray:
    """Read an image file as RGB and resize it to a square by Lanczos, whatever its aspect.

    Grey, palette, CMYK and multi-picture (MPO, first picture) files are converted as Pillow does
    it; orientation tags are not obeyed, as the studies' loader did not.

    Args:
        path: image file.
        size: side of the result in pixels.

    Returns:
        uint8 `(size, size, 3)`.

    Raises:
        DataCorrupt: if the file cannot be decoded; the message names it.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(resize(image.convert("RGB"), size))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataCorrupt(
            f"Expected an image file that can be decoded. Received: {path}: {error}"
        ) from error


def resize(image: Image.Image, size: int) -> Image.Image:
    """Resize to a square by Lanczos without keeping the aspect."""
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.LANCZOS)


def jpeg_round_trip(
    images: np.ndarray, quality: int = JPEG_QUALITY, storage: str = "jpeg"
) -> np.ndarray:
    """What is left of images after they were written to files and read again.

    Args:
        images: uint8 `(n, height, width, channels)`, 1 or 3 channels.
        quality: Pillow's JPEG quality, 1 to 95; chroma is halved in both directions.
        storage: `"jpeg"`, or `"png"`, which loses nothing: the images are returned as they are.

    Returns:
        uint8, the shape of `images`.

    Raises:
        ValueError: if the images, the quality or the storage are not of this form.
    """
    _check(images, quality, storage)
    if storage == "png":
        return images
    stored = np.empty_like(images)
    for row, image in enumerate(images):
        stored[row] = _stored(image, quality)
    return stored


def _stored(image: np.ndarray, quality: int) -> np.ndarray:
    grey = image.shape[-1] == 1
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if grey else image).save(buffer, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(buffer))
    return decoded[..., None] if grey else decoded


def _check(images: np.ndarray, quality: int, storage: str) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "Expected uint8 images (n, height, width, 1 or 3). Received: "
            f"{images.dtype} {images.shape}"
        )
    if not 1 <= quality <= 95:
        raise ValueError(f"Expected quality from 1 to 95. Received: quality={quality}")
    if storage not in STORAGES:
        raise ValueError(f"Expected storage jpeg or png. Received: storage={storage!r}")
