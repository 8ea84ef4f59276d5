"""Nearest training neighbours of samples: has a generator memorised its training images?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from replicate.evaluation.features import checked_features


class Neighbours(NamedTuple):
    """The nearest reference of every query.

    Args:
        distances: float64 `(n,)`, Euclidean.
        indices: int64 `(n,)`, rows of the references.
    """

    distances: np.ndarray
    indices: np.ndarray


def nearest_neighbours(queries: np.ndarray, references: np.ndarray) -> Neighbours:
    """Find the nearest reference of every query by exhaustive search, in bounded memory.

    Features may be those of an extractor or `replicate.evaluation.features.pixel_features`. The
    search expands |x - y|², which is inexact for near copies; the distance to what it finds is
    computed again from the difference, so that a copy has distance 0.

    Args:
        queries: `(n, d)` features, such as those of synthetic images.
        references: `(m, d)` features, such as those of training images.

    Returns:
        Distances and indices.

    Raises:
        ValueError: as `checked_features`.
    """
    from sklearn.metrics import pairwise_distances_argmin

    queries, references = checked_features(queries, references, least_rows=1)
    indices = pairwise_distances_argmin(queries, references)
    distances = np.empty(len(queries))
    for start in range(0, len(queries), 1000):
        part = slice(start, start + 1000)
        distances[part] = np.linalg.norm(queries[part] - references[indices[part]], axis=1)
    return Neighbours(distances, indices.astype(np.int64))


def copy_share(
    distances: np.ndarray, held_out_distances: np.ndarray, quantile: float = 0.01
) -> float:
    """Share of synthetic images that lie suspiciously near to a training image.

    Nearer than all but 1 % of held-out real images lie, that is: a generator that draws from the
    true distribution has about 0.01, and more where fewer than some hundred images tell where 1 %
    lies: about 1 / (m + 1), 0.13 of seven.

    Args:
        distances: `(n,)`, from each synthetic image to its nearest training image.
        held_out_distances: `(m,)`, from each held-out real image to its nearest training image.
        quantile: which quantile of the held-out distances is the bound, in (0, 1).

    Returns:
        The share of `distances` strictly below the bound, in [0, 1].

    Raises:
        ValueError: if a set of distances is empty, not one-dimensional or not finite, or the
            quantile is out of range.
    """
    for name, values in (("distances", distances), ("held_out_distances", held_out_distances)):
        if np.ndim(values) != 1 or np.size(values) == 0 or not np.isfinite(values).all():
            raise ValueError(
                f"Expected {name} (n,) of finite numbers. Received: shape={np.shape(values)}"
            )
    if not 0 < quantile < 1:
        raise ValueError(f"Expected 0 < quantile < 1. Received: quantile={quantile}")
    return float((np.asarray(distances) < np.quantile(held_out_distances, quantile)).mean())
