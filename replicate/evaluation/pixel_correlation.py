"""Do the pixels of two sets of images vary together in the same way?"""

from __future__ import annotations

import numpy as np


def pixel_correlations(
    train: np.ndarray, held_out: np.ndarray, synthetic: np.ndarray
) -> dict[str, float]:
    """How alike the pixels' correlation matrices are to that of training images.

    Pixels that are constant in one of the three sets are left out.

    Args:
        train: `(n, pixels)`, any scale.
        held_out: `(m, pixels)`, real images that tell what a perfect generator would score.
        synthetic: `(m, pixels)`; the same number, since correlations of few images are noisy.

    Returns:
        `pixel_correlation_agreement`: the correlation of the two matrices' upper triangles, in
        [-1, 1]; `pixel_correlation_gap`: their mean absolute difference, in [0, 2]; and both of
        the held-out images, as `..._heldout`.

    Raises:
        ValueError: if the sets' pixels differ in number, or fewer than three vary in all sets.
    """
    sets = train, held_out, synthetic
    if len({pixels.shape[1:] for pixels in sets}) > 1:
        raise ValueError(
            "Expected three sets (n, pixels) of as many pixels. "
            f"Received: shapes {[pixels.shape for pixels in sets]}"
        )
    varied = np.all([np.ptp(pixels, axis=0) > 0 for pixels in sets], axis=0)
    if varied.sum() < 3:
        raise ValueError(f"Expected three pixels that vary in all sets. Received: {varied.sum()}")
    above = np.triu_indices(int(varied.sum()), 1)
    real, *others = (np.corrcoef(pixels[:, varied], rowvar=False)[above] for pixels in sets)
    metrics = {}
    for name, pairs in zip(("_heldout", ""), others, strict=True):
        agreement = np.corrcoef(real, pairs)[0, 1]
        metrics[f"pixel_correlation_agreement{name}"] = float(agreement)
        metrics[f"pixel_correlation_gap{name}"] = float(np.abs(real - pairs).mean())
    return metrics
