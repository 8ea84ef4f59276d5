"""The Fréchet distance between Gaussians fitted to two feature sets (Heusel et al. 2017)."""

from __future__ import annotations

import numpy as np

from replicate.evaluation.features import checked_features


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Squared Fréchet distance of two feature sets: |m1 - m2|² + Tr(S1 + S2 - 2 (S1 S2)^½).

    With centred sets A and B, each divided by √(n - 1), the covariances are AᵀA and BᵀB, and the
    trace of the root is the sum of the singular values of A Bᵀ. That needs no root of a product
    that is not symmetric, and holds for fewer rows than dimensions. A and B enter by their
    triangular factors, so that the product is d x d at most. The estimate is biased upwards for
    few rows: compare only sets of equal sizes. All sums are float64.

    Args:
        first: `(n, d)` features, n >= 2.
        second: `(m, d)` features of the same extractor, m >= 2.

    Returns:
        The distance, >= 0; the same for either order of arguments and of rows, up to rounding.

    Raises:
        ValueError: as `checked_features`.
    """
    first, second = checked_features(first, second)
    shift = first.mean(axis=0) - second.mean(axis=0)
    a, b = _covariance_factor(first), _covariance_factor(second)
    root_trace = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return max(0.0, float(shift @ shift + (a**2).sum() + (b**2).sum() - 2 * root_trace))


def _covariance_factor(features: np.ndarray) -> np.ndarray:
    """R `(min(n, d), d)` such that RᵀR is the sample covariance."""
    centred = features - features.mean(axis=0)
    return np.linalg.qr(centred, mode="r") / np.sqrt(len(features) - 1)
