"""What a classifier's outputs on a set of images are worth."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from replicate.evaluation.calibration import (
    expected_calibration_error,
    negative_log_likelihood,
)


def quality(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, likelihood and calibration of a softmax of logits.

    Args:
        logits: `(n, classes)`.
        labels: integers `(n,)`.

    Returns:
        `accuracy`, `nll` (negative log-likelihood in nats) and `ece` (expected calibration error,
        15 bins).
    """
    probabilities = softmax(np.asarray(logits, np.float64), axis=1)
    return {
        "accuracy": float(np.mean(probabilities.argmax(axis=1) == labels)),
        "nll": negative_log_likelihood(probabilities, labels),
        "ece": expected_calibration_error(probabilities, labels),
    }
