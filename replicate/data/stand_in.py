"""A small drawn data set that takes the place of an absent one where only the code is tested."""

from __future__ import annotations

import zlib

import numpy as np

from replicate.data.catalogue import Entry
from replicate.data.dataset import Dataset, Split, canonical_split

COUNTS = {"train": 2000, "test": 500}
_GRID = 5  # cells a side of a class's pattern
_SHIFT = 2  # largest shift, pixels
_NOISE = 40  # largest noise, grey levels


def draw_stand_in(entry: Entry) -> Dataset:
    """Draw the stand-in of a data set: one random pattern a class, shifted, dimmed and noisy.

    The same entry gives the same images everywhere. A small network learns them well above
    chance; they say nothing about the data set that they stand for.

    Args:
        entry: Gives the image shape and the classes.

    Returns:
        A `Dataset` with route `"stand_in"`, of 2,000 and 500 images or as many as the data set
        has, if that is less; classes balanced.
    """
    rng = np.random.default_rng([zlib.crc32(entry.name.encode()), 1])
    height, width, channels = entry.image_shape
    classes = len(entry.class_names)
    grids = rng.integers(0, 256, (classes, _GRID, _GRID, channels))
    rows = np.arange(height) * _GRID // height
    columns = np.arange(width) * _GRID // width
    patterns = grids[:, rows][:, :, columns]  # [classes, height, width, channels]
    counts = {split: min(count, entry.counts[split]) for split, count in COUNTS.items()}
    splits = {split: _draw(patterns, count, rng) for split, count in counts.items()}
    deviation = (
        f"{entry.name}: {counts['train']} + {counts['test']} drawn images stand in for "
        f"{entry.title}; no result on them says anything about it"
    )
    return Dataset(
        entry.name,
        **splits,
        class_names=entry.class_names,
        route="stand_in",
        deviations=(deviation,),
        source="drawn",
    )


def _draw(patterns: np.ndarray, count: int, rng: np.random.Generator) -> Split:
    labels = np.arange(count) % len(patterns)
    shifts = rng.integers(-_SHIFT, _SHIFT + 1, (count, 2))
    percent = rng.integers(40, 101, count)
    noise = rng.integers(-_NOISE, _NOISE + 1, (count, *patterns.shape[1:]))
    images = np.stack(
        [
            np.roll(patterns[label], shift, axis=(0, 1)) * level // 100
            for label, shift, level in zip(labels, shifts, percent, strict=True)
        ]
    )
    return canonical_split(np.clip(images + noise, 0, 255).astype(np.uint8), labels)
