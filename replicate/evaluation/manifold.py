"""Precision, recall, density and coverage: do synthetic images look real, and do they span them?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from replicate.evaluation.features import checked_features

WORKING_MEMORY = 64  # MiB for one chunk of distances


class ManifoldScores(NamedTuple):
    """Fidelity and diversity of a synthetic set.

    Args:
        precision: share of synthetic images inside the ball of some real image, in [0, 1].
        recall: share of real images inside the ball of some synthetic image, in [0, 1].
        density: real balls that hold a synthetic image, on average, over k; may exceed 1.
        coverage: share of real images whose ball holds a synthetic image, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(
    real: np.ndarray, synthetic: np.ndarray, k: int = 5, working_memory: float = WORKING_MEMORY
) -> ManifoldScores:
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020).

    The ball of an image reaches to its k-th nearest neighbour in its own set and is closed.
    Distances are Euclidean and computed in chunks, so that memory holds the features in float64
    and one chunk (measured by `benchmarks/manifold_scores.py`).

    Args:
        real: `(n, d)` features, n > k.
        synthetic: `(m, d)` features of the same extractor, m > k.
        k: which neighbour a ball reaches to.
        working_memory: MiB for one chunk of distances.

    Returns:
        The four scores.

    Raises:
        ValueError: as `checked_features`, or unless 1 <= k < n, m.
    """
    from sklearn.metrics import pairwise_distances_chunked

    real, synthetic = checked_features(real, synthetic)
    if not 1 <= k < min(len(real), len(synthetic)):
        raise ValueError(
            "Expected 1 <= k < the number of rows of each set. "
            f"Received: k={k}, rows {len(real)} and {len(synthetic)}"
        )
    real_radii = _ball_radii(real, k, working_memory)
    synthetic_radii = _ball_radii(synthetic, k, working_memory)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    precise = memberships = start = 0
    chunks = pairwise_distances_chunked(synthetic, real, working_memory=working_memory)
    for distances in chunks:  # (rows of synthetic, all of real)
        stop = start + len(distances)
        inside = distances <= real_radii
        precise += int(inside.any(axis=1).sum())
        memberships += int(inside.sum())
        covered |= inside.any(axis=0)
        recalled |= (distances <= synthetic_radii[start:stop, None]).any(axis=0)
        start = stop
    return ManifoldScores(
        precision=precise / len(synthetic),
        recall=float(recalled.mean()),
        density=memberships / (k * len(synthetic)),
        coverage=float(covered.mean()),
    )


def _ball_radii(features: np.ndarray, k: int, working_memory: float) -> np.ndarray:
    """Distance of every row to its k-th nearest other row, `(n,)`."""
    from sklearn.metrics import pairwise_distances_chunked

    def kth(distances, start):
        rows = np.arange(len(distances))
        distances[rows, start + rows] = -1.0  # a row is not its own neighbour
        distances.partition(k, axis=1)
        return distances[:, k].copy()

    return np.concatenate(
        list(pairwise_distances_chunked(features, reduce_func=kth, working_memory=working_memory))
    )


def mean_pairwise_distance(features: np.ndarray, working_memory: float = WORKING_MEMORY) -> float:
    """Mean Euclidean distance over all pairs of different rows, computed in chunks.

    Args:
        features: `(n, d)`, n >= 2.
        working_memory: MiB for one chunk of distances.

    Returns:
        The mean over n (n - 1) ordered pairs.

    Raises:
        ValueError: as `checked_features`.
    """
    from sklearn.metrics import pairwise_distances_chunked

    features, _ = checked_features(features, features)
    centred = features - features.mean(axis=0)  # small norms lose fewer digits in the difference
    chunks = pairwise_distances_chunked(centred, working_memory=working_memory)
    total = sum(float(distances.sum()) for distances in chunks)
    return total / (len(features) * (len(features) - 1))


def diversity_ratio(
    real: np.ndarray, synthetic: np.ndarray, working_memory: float = WORKING_MEMORY
) -> float:
    """How far synthetic images lie from one another, over the same for real images.

    The mean Euclidean distance over all pairs, none of them sampled. 1 means as diverse as the
    real images, 0 that all synthetic images are the same.

    Args:
        real: `(n, d)` features, n >= 2.
        synthetic: `(m, d)` features of the same extractor, m >= 2.
        working_memory: MiB for one chunk of distances.

    Returns:
        The ratio, >= 0.

    Raises:
        ValueError: as `checked_features`, or if all real rows are equal.
    """
    return diversity_ratios(real, [synthetic], working_memory)[0]


def diversity_ratios(
    real: np.ndarray, sets: Iterable[np.ndarray], working_memory: float = WORKING_MEMORY
) -> list[float]:
    """The `diversity_ratio` of several sets, over the same real images, compared once.

    Args:
        real: `(n, d)` features, n >= 2.
        sets: `(m, d)` features of the same extractor each, m >= 2.
        working_memory: MiB for one chunk of distances.

    Returns:
        The ratio of each set.

    Raises:
        ValueError: as `diversity_ratio`.
    """
    pairs = [checked_features(real, each) for each in sets]
    if not np.ptp(real, axis=0).any():
        raise ValueError("Expected real features that differ. Received: equal rows")
    between = mean_pairwise_distance(real, working_memory)
    return [mean_pairwise_distance(each, working_memory) / between for _, each in pairs]
