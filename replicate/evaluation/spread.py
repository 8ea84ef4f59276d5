"""Which of two paired measurements varies more: the ratio of their standard deviations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from replicate.evaluation.hypotheses import Effect
from replicate.evaluation.statistics import checked_values, group_index


def spread_ratio(a: Sequence[float], b: Sequence[float], groups: Sequence | None = None) -> Effect:
    """Test that `a` has the larger standard deviation (Pitman 1939; Morgan 1939).

    The sum and the difference of two variables correlate exactly if their variances differ. The
    interval holds every ratio that the test does not refute (both assume normal values). With
    groups, the spread is that within groups, about each group's own mean.

    Args:
        a: one number a replicate.
        b: as many, in the same order of replicates; they may, but need not, correlate.
        groups: the generator of each replicate.

    Returns:
        SD of `a` over SD of `b` with its interval; p values for a ratio above and below 1.

    Raises:
        ValueError: if the rows differ in length.
    """
    x, y = checked_values(a), checked_values(b)
    if x.size != y.size:
        raise ValueError(f"Expected pairs. Received: {x.size} and {y.size} values")
    index = group_index(groups, x.size)
    index = np.zeros(x.size, dtype=int) if index is None else index
    constant = any(np.array_equal(row, row[_first(index)]) for row in (x, y))
    x, y = _centred(x, index), _centred(y, index)
    df = x.size - int(index.max()) - 2
    if df < 1 or constant:
        return Effect(math.nan, math.nan, math.nan, x.size, 1.0, 1.0, "no spread to compare")
    variance_ratio = float((x @ x) / (y @ y))
    unshared = max(1 - float((x @ y) ** 2 / ((x @ x) * (y @ y))), 1e-12)
    t = (variance_ratio - 1) * math.sqrt(df / (4 * variance_ratio * unshared))
    k = 1 + 2 * unshared * float(stats.t.ppf(0.975, df)) ** 2 / df
    width = k + math.sqrt(k**2 - 1)
    ratio = math.sqrt(variance_ratio)
    return Effect(
        ratio,
        ratio / math.sqrt(width),
        ratio * math.sqrt(width),
        x.size,
        min(1.0, 2 * float(stats.t.sf(t, df))),
        min(1.0, 2 * float(stats.t.cdf(t, df))),
    )


def _first(index: np.ndarray) -> np.ndarray:
    """For each value, where the first of its group stands."""
    return np.unique(index, return_index=True)[1][index]


def _centred(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Values less the mean of their group."""
    return values - (np.bincount(index, values) / np.bincount(index))[index]
