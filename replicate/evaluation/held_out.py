"""What a held-out set of few images adds to the error of an accuracy.

Replicates differ in weights and data order but are tested on the same images; how the accuracy
would differ on other images of the kind does not show in their spread. On 76 images it is the
larger part: one image is 1.3 points, one standard error 5.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from replicate.evaluation.hypotheses import Effect
from replicate.evaluation.statistics import Interval, mean_interval


def exact_interval(accuracy: float, n_test: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval of an accuracy on `n_test` images (Clopper and Pearson 1934).

    Args:
        accuracy: share of right answers in [0, 1], taken to the nearest number of images.
        n_test: number of images, >= 1.
        confidence: coverage, in (0, 1).

    Returns:
        `(low, high)`.

    Raises:
        ValueError: if the accuracy is no share or there is no image.
    """
    if not (0 <= accuracy <= 1 and n_test >= 1):
        raise ValueError(
            "Expected an accuracy in [0, 1] on one or more images. "
            f"Received: accuracy={accuracy}, n_test={n_test}"
        )
    right = stats.binomtest(round(accuracy * n_test), n_test)
    low, high = right.proportion_ci(confidence)
    return float(low), float(high)


def exact_half_width(accuracy: float, n_test: int, other: float) -> float:
    """Distance from an accuracy to the end of its exact interval on the side of another number."""
    low, high = exact_interval(accuracy, n_test)
    return accuracy - low if other < accuracy else high - accuracy


def widened(interval: Interval, n_test: int) -> Interval:
    """A mean accuracy's interval with the sampling of its test images added in quadrature.

    Args:
        interval: over replicates; a single one has no spread of its own, only that of the images.
        n_test: images that every replicate was tested on.

    Returns:
        The wider interval, within [0, 1]; `standard_error` and `df` stay those over replicates.
    """
    low, high = exact_interval(interval.mean, n_test)
    half = 0.0 if math.isnan(interval.low) else interval.half_width
    return dataclasses.replace(
        interval,
        low=max(0.0, interval.mean - math.hypot(half, interval.mean - low)),
        high=min(1.0, interval.mean + math.hypot(half, high - interval.mean)),
    )


def image_interval(
    differences: Sequence[Sequence[float]], groups: Sequence | None = None
) -> Interval:
    """Mean over replicates and images, both random, with its 95 % t interval.

    The variance is that of the replicates' means over their number plus that of the images' means
    over theirs. What is left of an image in a replicate is in both, so the interval is rather too
    wide than too narrow. Degrees of freedom are Satterthwaite's.

    Args:
        differences: table (replicates, images): 1, 0 or -1 where two networks are compared on the
            same images.
        groups: the generator of each replicate.

    Returns:
        The interval; its ends are NaN for a single replicate or image.
    """
    table = np.asarray(differences, dtype=float)
    runs = mean_interval(table.mean(axis=1), groups)
    images = mean_interval(table.mean(axis=0))
    parts = runs.standard_error**2, images.standard_error**2
    variance = sum(parts)
    spread = sum(part**2 / i.df for part, i in zip(parts, (runs, images), strict=True))
    df = math.inf if spread == 0 else variance**2 / spread
    half = math.sqrt(variance) * float(stats.t.ppf(0.975, df))
    return Interval(runs.mean, runs.mean - half, runs.mean + half, runs.n, math.sqrt(variance), df)


def binomial_interval(
    a: Sequence[float],
    b: Sequence[float] | None,
    n_test: int,
    groups: Sequence | None = None,
) -> Interval:
    """Mean accuracy, or mean paired difference, with the sampling of test images.

    The standard error of each accuracy is a 3.92th of its exact interval's width. Of a difference
    they count as if each network had images of its own: tested on the same images two networks
    differ by less, so the interval is rather too wide than too narrow.

    Args:
        a: one accuracy a replicate.
        b: as many, in the same order of replicates, to subtract; None for the accuracy itself.
        n_test: images that each was tested on.
        groups: the generator of each replicate.
    """
    rows = [np.asarray(row, dtype=float) for row in (a, b) if row is not None]
    runs = mean_interval(rows[0] - (rows[1] if len(rows) > 1 else 0.0), groups)
    ends = [exact_interval(float(row.mean()), n_test) for row in rows]
    sampling = sum(((high - low) / (2 * stats.norm.ppf(0.975))) ** 2 for low, high in ends)
    variance = runs.standard_error**2 + float(sampling)
    df = runs.df * (variance / runs.standard_error**2) ** 2 if runs.standard_error else math.inf
    half = math.sqrt(variance) * float(stats.t.ppf(0.975, df))
    return Interval(runs.mean, runs.mean - half, runs.mean + half, runs.n, math.sqrt(variance), df)


def exceeds(interval: Interval, bound: float) -> Effect:
    """Test that an interval's mean lies above a bound; p values are two-sided."""
    above, below = _tails(interval, bound)
    return _effect(interval, min(1.0, 2 * above), min(1.0, 2 * below))


def lies_within(interval: Interval, margin: float, centre: float = 0.0) -> Effect:
    """Two one-sided tests that an interval's mean lies within `centre` ± `margin`.

    Args:
        interval: mean, standard error and degrees of freedom.
        margin: half-width of the zone of equivalence, > 0.
        centre: its middle.

    Returns:
        `p_for` is the larger of the two one-sided p values, `p_against` the two-sided p value of
        lying outside on the nearer side.
    """
    if not margin > 0:
        raise ValueError(f"Expected margin > 0. Received: margin={margin}")
    above_low, below_low = _tails(interval, centre - margin)
    above_high, below_high = _tails(interval, centre + margin)
    return _effect(interval, max(above_low, below_high), min(1.0, 2 * min(below_low, above_high)))


def _tails(interval: Interval, bound: float) -> tuple[float, float]:
    """One-sided p values of a mean above and of a mean below a bound."""
    if math.isnan(interval.standard_error):
        return 1.0, 1.0
    if interval.standard_error == 0:
        return float(interval.mean <= bound), float(interval.mean >= bound)
    t = (interval.mean - bound) / interval.standard_error
    return float(stats.t.sf(t, interval.df)), float(stats.t.cdf(t, interval.df))


def _effect(interval: Interval, p_for: float, p_against: float) -> Effect:
    return Effect(interval.mean, interval.low, interval.high, interval.n, p_for, p_against)
