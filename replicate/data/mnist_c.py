"""MNIST-C's shot noise (Mu and Gilmer, 2019): drawn by its formula, or as it was published.

The published set is one draw at one severity. The formula, a Poisson count of c photons at full
brightness, with c = 60, 25, 12, 5, 3 for severities 1 to 5, is that of the authors' code, where 5
is the default; here it is drawn from a seeded stream.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from replicate.data import places
from replicate.data.catalogue import CATALOGUE
from replicate.data.dataset import DataCorrupt, Split, canonical_split

PHOTONS = (60, 25, 12, 5, 3)  # at full brightness, by severity
SEVERITIES = tuple(range(1, len(PHOTONS) + 1))
PUBLISHED = "mnist_corrupted/shot_noise"  # in TensorFlow Datasets


def shot_noise(images: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Images as so few photons would show them.

    Args:
        images: uint8 `(n, height, width, channels)`.
        severity: 1 (60 photons at full brightness) to 5 (3 photons).
        rng: random generator.

    Returns:
        uint8, of the same shape: the count over c, cut at 1, rounded to 256 levels.

    Raises:
        ValueError: if the images are not uint8 or the severity is not one of the five.
    """
    if images.dtype != np.uint8 or severity not in SEVERITIES:
        raise ValueError(
            f"Expected uint8 images and a severity of {SEVERITIES}. "
            f"Received: {images.dtype}, severity={severity}"
        )
    photons = PHOTONS[severity - 1]
    counts = rng.poisson(images / 255.0 * photons)
    return np.rint(np.minimum(counts / photons, 1.0) * 255.0).astype(np.uint8)


def published_folder(data_dir: str | os.PathLike | None = None) -> Path | None:
    """The newest prepared folder of the published set, or None if there is none.

    Args:
        data_dir: folder of prepared TFDS data; by default as for `replicate.data.load`.
    """
    root = places.data_dir_or_default(data_dir) / PUBLISHED
    versions = {
        tuple(map(int, info.parent.name.split("."))): info.parent
        for info in root.glob(f"*/{places.INFO_FILE}")
        if info.parent.name.replace(".", "").isdigit()
    }
    return versions[max(versions)] if versions else None


def published_shot_noise(data_dir: str | os.PathLike | None = None) -> Split | None:
    """The published corrupted test images, as TensorFlow Datasets prepared them.

    Args:
        data_dir: folder of prepared TFDS data; by default as for `replicate.data.load`.

    Returns:
        The test split in canonical order, or None where it was not prepared.

    Raises:
        DataCorrupt: if the folder cannot be read, or does not hold images and labels as MNIST's.
    """
    folder = published_folder(data_dir)
    if folder is None:
        return None
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(str(folder))
        config = tfds.ReadConfig(try_autocache=False)
        batches = builder.as_dataset(split="test", batch_size=1000, read_config=config)
        parts = [(b["image"], b["label"]) for b in batches.as_numpy_iterator()]
        images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    except Exception as error:  # noqa: BLE001 - TensorFlow and TFDS raise many kinds
        reason = " ".join(str(error).split())[:200]
        raise DataCorrupt(
            f"{PUBLISHED}: {folder} cannot be read: {type(error).__name__}: {reason}"
        ) from error
    entry = CATALOGUE["mnist"]
    if images.dtype != np.uint8 or images.shape != (entry.counts["test"], *entry.image_shape):
        raise DataCorrupt(
            f"{PUBLISHED}: expected {entry.counts['test']} uint8 images of shape "
            f"{entry.image_shape} in {folder}. Received: {images.dtype}, shape {images.shape}"
        )
    return canonical_split(images, labels)
