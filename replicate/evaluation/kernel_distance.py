"""Kernel distance (KID): squared maximum mean discrepancy of two feature sets."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from replicate.evaluation.features import checked_features


class KernelDistance(NamedTuple):
    """A block estimate of the kernel distance.

    Args:
        mean: over blocks; unbiased, so it may be below 0.
        standard_error: of the mean; NaN for a single block.
        blocks: number of blocks.
    """

    mean: float
    standard_error: float
    blocks: int


def kernel_distance(
    first: np.ndarray, second: np.ndarray, block_size: int = 500, seed: int = 0
) -> KernelDistance:
    """Unbiased squared MMD with the kernel (x·y / d + 1)³ (Bińkowski et al. 2018).

    Both sets are permuted and cut into as many disjoint blocks, every row in one of them, and the
    estimate is the mean over pairs of blocks. Bińkowski et al. draw subsets that overlap; blocks
    have the same expectation, and being independent they give an honest standard error.

    Args:
        first: `(n, d)` features, n >= 2.
        second: `(m, d)` features of the same extractor, m >= 2.
        block_size: least number of rows in a block; smaller sets make one block.
        seed: of the permutations.

    Returns:
        Mean, standard error and number of blocks.

    Raises:
        ValueError: as `checked_features`, or if `block_size` < 2.
    """
    first, second = checked_features(first, second)
    if block_size < 2:
        raise ValueError(f"Expected block_size >= 2. Received: block_size={block_size}")
    blocks = max(1, min(len(first), len(second)) // block_size)
    streams = np.random.SeedSequence(seed).spawn(2)
    parts = [
        np.array_split(features[np.random.default_rng(stream).permutation(len(features))], blocks)
        for features, stream in zip((first, second), streams, strict=True)
    ]
    values = np.array([_unbiased_mmd(a, b) for a, b in zip(*parts, strict=True)])
    error = values.std(ddof=1) / math.sqrt(blocks) if blocks > 1 else math.nan
    return KernelDistance(float(values.mean()), float(error), blocks)


def _unbiased_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """The U-statistic of the squared MMD; pairs of a row with itself are left out."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x):
        values = kernel(x, x)
        return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()
