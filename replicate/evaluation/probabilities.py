"""A classifier's probabilities on a set of images, and what they are worth."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from replicate.evaluation.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
)


def class_probabilities(network, images: np.ndarray, batch_size: int = 1000) -> np.ndarray:
    """Softmax of a network's logits, in inference mode.

    Args:
        network: function of float32 images and `training` to logits `(batch, classes)`.
        images: `(n, height, width, channels)`, n >= 1; uint8 is divided by 255, other images are
            taken as they are.
        batch_size: images at once.

    Returns:
        `(n, classes)`.
    """
    scale = np.float32(1 / 255 if images.dtype == np.uint8 else 1)
    parts = [images[i : i + batch_size] * scale for i in range(0, len(images), batch_size)]
    logits = np.concatenate([np.asarray(network(part, training=False)) for part in parts])
    return softmax(logits.astype(np.float64), axis=1)


def quality(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What probabilities are worth.

    Args:
        probabilities: `(n, classes)`.
        labels: integers `(n,)`.

    Returns:
        `accuracy`, `nll` (negative log-likelihood in nats) and `ece` (expected calibration error,
        15 bins).
    """
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
        "nll": negative_log_likelihood(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }
