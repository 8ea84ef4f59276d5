"""Feature sets: one row an image, as the measures of this package take them."""

from __future__ import annotations

import numpy as np


def checked_features(
    first: np.ndarray, second: np.ndarray, least_rows: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Two feature sets as float64, after a check that they can be compared.

    Args:
        first: `(n, d)`, finite numbers.
        second: `(m, d)`, finite numbers.
        least_rows: how many rows each must have.

    Returns:
        Both sets, float64.

    Raises:
        ValueError: if a set is not two-dimensional, has too few rows or a value that is not
            finite, or if the dimensions differ.
    """
    sets = [np.asarray(features, dtype=np.float64) for features in (first, second)]
    shapes = " and ".join(str(features.shape) for features in sets)
    if any(features.ndim != 2 for features in sets):
        raise ValueError(f"Expected feature sets (n, d). Received: shapes {shapes}")
    if sets[0].shape[1] != sets[1].shape[1] or sets[0].shape[1] == 0:
        raise ValueError(f"Expected feature sets of the same d >= 1. Received: shapes {shapes}")
    if min(map(len, sets)) < least_rows:
        raise ValueError(f"Expected {least_rows} or more rows in each. Received: shapes {shapes}")
    for name, features in zip(("first", "second"), sets, strict=True):
        bad = features.size - int(np.isfinite(features).sum())
        if bad:
            raise ValueError(f"Expected finite features. Received: {bad} others in the {name} set")
    return sets[0], sets[1]


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Pixels as features: uint8 `(n, height, width, channels)` to float32 `(n, d)` in [0, 1]."""
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            "Expected uint8 images (n, height, width, channels). "
            f"Received: shape={images.shape}, dtype={images.dtype}"
        )
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
