"""Random parts of a split, by index into its canonical order."""

from __future__ import annotations

import numpy as np


def random_subset(n_total: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw indices uniformly without replacement: the first `n` of a permutation.

    Not stratified. The whole permutation is drawn whatever `n` is, so that subsets of different
    sizes from equal generators are nested, and what is drawn next does not depend on `n`.

    Args:
        n_total: Size of the set.
        n: Number of indices, 0 to `n_total`.
        rng: Random generator.

    Returns:
        int64 array `(n,)`.

    Raises:
        ValueError: if `n` is negative or more than `n_total`.
    """
    if not 0 <= n <= n_total:
        raise ValueError(f"Expected n from 0 to n_total={n_total}. Received: n={n}")
    return rng.permutation(n_total)[:n].astype(np.int64)
