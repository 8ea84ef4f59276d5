"""Do predicted probabilities mean what they say?"""

from __future__ import annotations

import numpy as np

LEAST_PROBABILITY = float(np.finfo(np.float32).tiny)  # what a float32 softmax rounds to 0


def _checked(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or labels.size == 0:
        raise ValueError(
            "Expected probabilities (n, classes) and labels (n,). "
            f"Received: shapes {probabilities.shape} and {labels.shape}"
        )
    if not (probabilities >= 0).all() or not np.allclose(probabilities.sum(1), 1, atol=1e-3):
        raise ValueError(
            "Expected probabilities >= 0 with rows that sum to 1. "
            f"Received: {probabilities.min()} to {probabilities.max()}, sums "
            f"{probabilities.sum(1).min()} to {probabilities.sum(1).max()}"
        )
    classes = probabilities.shape[1]
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"Expected integer labels in [0, {classes}). "
            f"Received: {labels.min()} to {labels.max()}, dtype={labels.dtype}"
        )
    return probabilities, labels


def negative_log_likelihood(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of -ln of the probability given to the true class, in nats.

    Args:
        probabilities: `(n, classes)`, rows that sum to 1; a probability of the true class below
            1.2e-38, the least normal float32, counts as that, which costs 87.3 nats.
        labels: integers `(n,)`.

    Returns:
        The mean, >= 0 up to rounding.

    Raises:
        ValueError: if shapes, probabilities or labels are not as above.
    """
    probabilities, labels = _checked(probabilities, labels)
    given = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean())


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = 15
) -> float:
    """Mean gap between confidence and accuracy over bins of confidence (Guo et al. 2017, Eq. 3).

    Confidence is the highest probability of a row. Bins have equal width and hold their upper end.

    Args:
        probabilities: `(n, classes)`, rows that sum to 1.
        labels: integers `(n,)`.
        bins: number of bins over (0, 1], >= 1.

    Returns:
        |accuracy - confidence| of each bin, weighted by its share of the rows; in [0, 1].

    Raises:
        ValueError: if shapes, probabilities, labels or bins are not as above.
    """
    probabilities, labels = _checked(probabilities, labels)
    if bins < 1:
        raise ValueError(f"Expected bins >= 1. Received: bins={bins}")
    confidence = np.minimum(probabilities.max(axis=1), 1.0)
    correct = probabilities.argmax(axis=1) == labels
    index = np.searchsorted(np.linspace(0, 1, bins + 1)[1:], confidence, side="left")
    gaps = np.bincount(index, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))
