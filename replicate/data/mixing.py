"""Mixes of real and synthetic images, as indices into the two sets laid end to end."""

from __future__ import annotations

import numpy as np

from replicate.data.splits import random_subset


def mix_indices(
    n_real: int,
    n_synthetic: int,
    real_size: int,
    synthetic_size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw a mix: uniform, not stratified, without replacement, each part independently.

    As in the authors' code of Crossman (2024), which takes the first images of a fresh permutation
    of either set.

    Args:
        n_real: Number of real images.
        n_synthetic: Number of synthetic images.
        real_size: Size of the real set.
        synthetic_size: Size of the synthetic set.
        rng: Random generator. Equal generators give nested mixes.

    Returns:
        int64 array `(n_real + n_synthetic,)` of indices into `concatenate([real, synthetic])`,
        the real ones first.

    Raises:
        ValueError: if more images are asked for than a set has.
    """
    for part, n, size in (("real", n_real, real_size), ("synthetic", n_synthetic, synthetic_size)):
        if not 0 <= n <= size:
            raise ValueError(
                f"Expected n_{part} from 0 to {part}_size={size}. Received: n_{part}={n}"
            )
    real = random_subset(real_size, n_real, rng)
    synthetic = random_subset(synthetic_size, n_synthetic, rng)
    return np.concatenate([real, real_size + synthetic])
