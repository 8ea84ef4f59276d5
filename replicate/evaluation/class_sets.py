"""What can be said of synthetic images of one class: are they recognised, are they copies?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from replicate.evaluation.features import pixel_features
from replicate.evaluation.neighbours import nearest_neighbours


class Recognition(NamedTuple):
    """What a classifier makes of images that are meant to show one class.

    Args:
        share: share of images to which it gives that class, in [0, 1].
        probability: its probability of the class for each image, `(n,)`.
        extremes: rows of the surest images, surest first, then of the least sure.
    """

    share: float
    probability: np.ndarray
    extremes: np.ndarray


def recognition(network: Any, images: np.ndarray, label: int, shown: int = 10) -> Recognition:
    """Ask a classifier about images of one class.

    Args:
        network: Keras model from pixels in [0, 1] to logits.
        images: uint8 `(n, height, width, channels)`.
        label: the class.
        shown: length of `extremes`, one half for either end; at most n.

    Returns:
        Share recognised, probabilities and extremes.
    """
    network.compile(jit_compile=False)
    parts = np.array_split(images, -(-len(images) // 500))
    logits = np.concatenate([network.predict(p / np.float32(255), verbose=0) for p in parts])
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability = shares[:, label] / shares.sum(axis=1)
    order = np.argsort(-probability, kind="stable")
    extremes = np.concatenate([order[: shown // 2], order[len(order) - shown // 2 :]])
    return Recognition(float(np.mean(logits.argmax(axis=1) == label)), probability, extremes)


def pixel_distances(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """From each image to the nearest reference: root mean square difference of pixels in [0, 1].

    Args:
        images: uint8 `(n, height, width, channels)`.
        references: uint8 `(m, height, width, channels)`, such as training images.

    Returns:
        float64 `(n,)`.
    """
    found = nearest_neighbours(pixel_features(images), pixel_features(references))
    return found.distances / images[0].size ** 0.5


def closeness(
    train: np.ndarray, held_out: np.ndarray, synthetic: np.ndarray, copy: float
) -> dict[str, float]:
    """How near images come to training images in pixels, beside held-out real ones.

    Args:
        train: uint8 `(m, height, width, channels)`.
        held_out: uint8 `(h, height, width, channels)`.
        synthetic: uint8 `(n, height, width, channels)`.
        copy: distance below which an image counts as a copy.

    Returns:
        `pixel_nearest_min`, `pixel_nearest_median`, `pixel_nearest_median_heldout` and
        `pixel_copy_share`.
    """
    near, ideal = pixel_distances(synthetic, train), pixel_distances(held_out, train)
    return {
        "pixel_nearest_min": float(near.min()),
        "pixel_nearest_median": float(np.median(near)),
        "pixel_nearest_median_heldout": float(np.median(ideal)),
        "pixel_copy_share": float(np.mean(near < copy)),
    }
