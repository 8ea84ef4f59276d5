"""Intervals and verdicts, on SciPy and statsmodels.

Values are one number a replicate. Where several replicates share a generator (or another input),
`groups` names it for every replicate, and intervals hold the variance between groups by a
method-of-moments random-effects model with Satterthwaite degrees of freedom (Satterthwaite 1946;
Searle, Casella and McCulloch 1992, section 3.6 for unequal group sizes).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean with its interval.

    Args:
        mean: the mean of the values.
        low: lower end; NaN if fewer than two values.
        high: upper end; NaN if fewer than two values.
        n: number of values.
        standard_error: of the mean.
        df: degrees of freedom of the t distribution.
    """

    mean: float
    low: float
    high: float
    n: int
    standard_error: float
    df: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


def checked_values(values: Sequence[float]) -> np.ndarray:
    """The values as floats; refuses none at all and numbers that are not finite."""
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"Expected one or more finite numbers in one row. Received: {values!r}")
    return array


def group_index(groups: Sequence | None, n: int) -> np.ndarray | None:
    """Index of each value's group; None where groups say nothing (one, or one each)."""
    if groups is None:
        return None
    if len(groups) != n:
        raise ValueError(f"Expected {n} groups, one a value. Received: {len(groups)}")
    order = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    if not 1 < len(order) < n:
        return None
    return np.array([order[group] for group in groups])


def variance_components(values: Sequence[float], groups: Sequence) -> tuple[float, float]:
    """Variance between and within groups, by the method of moments (one-way random effects).

    Args:
        values: n numbers.
        groups: n group names; more than one group, and fewer than n.

    Returns:
        `(between, within)`; `between` is not truncated and may be negative.
    """
    array = checked_values(values)
    index = group_index(groups, array.size)
    if index is None:
        raise ValueError(f"Expected 2 to {array.size - 1} groups. Received: {groups!r}")
    above, within, n0 = _mean_squares(array, index)
    return (above - within) / n0, within


def _mean_squares(array: np.ndarray, index: np.ndarray) -> tuple[float, float, float]:
    counts = np.bincount(index)
    means = np.bincount(index, array) / counts
    within = ((array - means[index]) ** 2).sum() / (array.size - counts.size)
    between = (counts * (means - array.mean()) ** 2).sum() / (counts.size - 1)
    n0 = (array.size - (counts**2).sum() / array.size) / (counts.size - 1)
    return float(between), float(within), float(n0)


def _standard_error(
    values: np.ndarray, groups: Sequence | None, future_n: float = math.inf
) -> tuple[float, float]:
    """Standard error and df of the mean, or of its distance to a mean of `future_n` new values.

    The new values share one new group, as a report's replicates share one generator.
    """
    n = values.size
    if n < 2:
        return math.nan, math.nan
    index = group_index(groups, n)
    own, new = 1 / n, (0.0 if math.isinf(future_n) else 1 / future_n)
    if index is not None:
        between, within, n0 = _mean_squares(values, index)
        if between > within:
            counts = np.bincount(index)
            share = ((counts**2).sum() / n**2 + (0.0 if math.isinf(future_n) else 1.0)) / n0
            parts = share * between, (own + new - share) * within
            dfs = counts.size - 1, n - counts.size
            variance = sum(parts)
            df = variance**2 / sum(part**2 / d for part, d in zip(parts, dfs, strict=True))
            return math.sqrt(variance), float(df)
    return math.sqrt(values.var(ddof=1) * (own + new)), float(n - 1)


def mean_interval(
    values: Sequence[float], groups: Sequence | None = None, confidence: float = 0.95
) -> Interval:
    """Mean with its t interval, or its random-effects interval where values share groups.

    Args:
        values: one number a replicate.
        groups: the generator (or other shared input) of each replicate.
        confidence: coverage of the interval, in (0, 1).

    Returns:
        The interval; its ends are NaN for a single value.
    """
    array = checked_values(values)
    error, df = _standard_error(array, groups)
    half = float(error * stats.t.ppf(0.5 + confidence / 2, df))
    mean = float(array.mean())
    return Interval(mean, mean - half, mean + half, array.size, error, df)


def prediction_half_width(
    values: Sequence[float],
    n_reported: int,
    groups: Sequence | None = None,
    confidence: float = 0.95,
) -> float:
    """Half-width of the interval in which a report's mean of `n_reported` runs should fall.

    Without groups: `t(0.975, n - 1) * s * sqrt(1/n + 1/n_reported)`. With groups the report's runs
    are taken to share one generator of their own.

    Args:
        values: one number a replicate.
        n_reported: how many runs the reported mean rests on, >= 1.
        groups: the generator of each replicate.
        confidence: coverage, in (0, 1).

    Returns:
        The half-width; NaN for a single value.
    """
    if n_reported < 1:
        raise ValueError(f"Expected n_reported >= 1. Received: n_reported={n_reported}")
    error, df = _standard_error(checked_values(values), groups, n_reported)
    return float(error * stats.t.ppf(0.5 + confidence / 2, df))


def cell_verdict(
    values: Sequence[float],
    reported: float,
    margin: float,
    n_reported: int = 1,
    groups: Sequence | None = None,
    minimum: int = 3,
    sampling: float = 0.0,
) -> str:
    """Verdict on a reported number.

    With h the prediction half-width: a distance beyond h + margin refutes, however wide h is; a
    distance within it confirms only if h is at most three margins, since a wide interval agrees
    with almost anything. Where the report's own run has a further error, such as that of few test
    images, its half-width joins h in quadrature.

    Args:
        values: one measured number a replicate.
        reported: the number in the report.
        margin: largest distance that counts as equal, > 0, in the unit of the number.
        n_reported: how many runs the reported number rests on.
        groups: the generator of each replicate.
        minimum: with fewer replicates the verdict is always inconclusive.
        sampling: half-width of that further error, >= 0.

    Returns:
        `"reproduced"`, `"not reproduced"` or `"inconclusive"`.
    """
    if not margin > 0:
        raise ValueError(f"Expected margin > 0. Received: margin={margin}")
    array = checked_values(values)
    if array.size < max(minimum, 2):
        return "inconclusive"
    half = math.hypot(prediction_half_width(array, n_reported, groups), sampling)
    if abs(reported - array.mean()) > half + margin:
        return "not reproduced"
    return "inconclusive" if half > 3 * margin else "reproduced"


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values (Holm 1979), in the order given."""
    from statsmodels.stats.multitest import multipletests

    if not len(p_values):
        return []
    return [float(p) for p in multipletests(p_values, method="holm")[1]]


def claim_verdict(p_for: float, p_against: float, alpha: float) -> str:
    """`"supported"`, `"contradicted"` or `"inconclusive"` from adjusted p values."""
    if p_for < alpha:
        return "supported"
    return "contradicted" if p_against < alpha else "inconclusive"
