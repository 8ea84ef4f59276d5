"""Named tests of claims: each gives an effect, its interval, and evidence for and against.

Every test gives two p values, one for the claim and one against it; both are two-sided (twice the
one-sided tail), so that at level 0.05 they agree with the 95 % interval shown beside them. A test
of equivalence, whose two sides must both hold, is not doubled. `groups` is as in
`replicate.evaluation.statistics`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from replicate.evaluation.statistics import checked_values, group_index, mean_interval

RESAMPLES = 4000


@dataclasses.dataclass(frozen=True)
class Effect:
    """An effect, its interval, and the evidence for and against the claim.

    Args:
        effect: the estimand's estimate.
        low: lower end of its interval.
        high: upper end of its interval.
        n: number of units, replicates unless the test says otherwise.
        p_for: two-sided p value of the evidence for the claim.
        p_against: two-sided p value of the evidence against the claim.
        note: what a reader needs to know beside the numbers.
    """

    effect: float
    low: float
    high: float
    n: int
    p_for: float
    p_against: float
    note: str = ""


def _tails(estimate: float, bound: float, error: float, df: float) -> tuple[float, float]:
    """One-sided p values of `estimate > bound` and of `estimate < bound`."""
    if math.isnan(error):
        return 1.0, 1.0
    if error == 0:
        return float(estimate <= bound), float(estimate >= bound)
    t = (estimate - bound) / error
    return float(stats.t.sf(t, df)), float(stats.t.cdf(t, df))


def threshold(
    values: Sequence[float],
    above: float | None = None,
    groups: Sequence | None = None,
    *,
    below: float | None = None,
) -> Effect:
    """Test that the mean lies above a bound, or that it lies below one.

    Args:
        values: one number a replicate; for paired data, the differences.
        above: the bound to exceed; give this or `below`.
        groups: the generator of each replicate.
        below: the bound to stay under.

    Returns:
        The mean with its interval and p values.

    Raises:
        ValueError: if both bounds are given, or none.
    """
    if (above is None) == (below is None):
        raise ValueError(f"Expected one of above, below. Received: above={above}, below={below}")
    interval = mean_interval(values, groups)
    bound = below if above is None else above
    tails = _tails(interval.mean, bound, interval.standard_error, interval.df)
    p_for, p_against = map(_double, tails if below is None else reversed(tails))
    return Effect(interval.mean, interval.low, interval.high, interval.n, p_for, p_against)


def _double(p: float) -> float:
    return min(1.0, 2 * p)


def paired_difference(
    a: Sequence[float], b: Sequence[float], margin: float = 0.0, groups: Sequence | None = None
) -> Effect:
    """Test that the mean of `a - b` exceeds a margin, replicate by replicate.

    Args:
        a: one number a replicate.
        b: as many, in the same order of replicates.
        margin: the difference to exceed.
        groups: the generator of each replicate.

    Returns:
        The mean difference with its interval and p values.
    """
    if len(a) != len(b):
        raise ValueError(f"Expected pairs. Received: {len(a)} and {len(b)} values")
    return threshold(checked_values(a) - checked_values(b), margin, groups)


def equivalence(
    values: Sequence[float], margin: float, centre: float = 0.0, groups: Sequence | None = None
) -> Effect:
    """Two one-sided tests that the mean lies within `centre` ± `margin` (Schuirmann 1987).

    Args:
        values: one number a replicate; for paired data, the differences.
        margin: half-width of the zone of equivalence, > 0.
        centre: its middle.
        groups: the generator of each replicate.

    Returns:
        The mean with its interval; `p_for` is the larger of the two one-sided p values,
        `p_against` the two-sided p value of lying outside on the nearer side.
    """
    if not margin > 0:
        raise ValueError(f"Expected margin > 0. Received: margin={margin}")
    interval = mean_interval(values, groups)
    error, df = interval.standard_error, interval.df
    above_low, below_low = _tails(interval.mean, centre - margin, error, df)
    above_high, below_high = _tails(interval.mean, centre + margin, error, df)
    return Effect(
        interval.mean,
        interval.low,
        interval.high,
        interval.n,
        max(above_low, below_high),
        _double(min(below_low, above_high)),
    )


def _table(values: Sequence[Sequence[float]]) -> np.ndarray:
    table = np.asarray(values, dtype=float)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all():
        raise ValueError(
            "Expected a table (replicates, points) of finite numbers. "
            f"Received: shape={table.shape}"
        )
    return table


def all_above(
    differences: Sequence[Sequence[float]], margin: float = 0.0, groups: Sequence | None = None
) -> Effect:
    """Test that the mean difference exceeds `-margin` at every point (intersection-union test).

    Args:
        differences: table (replicates, points).
        margin: by how much a point may fall short, >= 0.
        groups: the generator of each replicate.

    Returns:
        Effect and interval of the lowest point; `p_for` is the largest over points, `p_against`
        the smallest times the number of points (Bonferroni).
    """
    table = _table(differences)
    points = [threshold(column, -margin, groups) for column in table.T]
    worst = min(points, key=lambda point: point.effect)
    short = sum(point.effect <= -margin for point in points)
    return Effect(
        worst.effect,
        worst.low,
        worst.high,
        table.shape[0],
        max(point.p_for for point in points),
        min(1.0, len(points) * min(point.p_against for point in points)),
        f"lowest of {len(points)} points; {len(points) - short} above the bound",
    )


def monotone(
    values: Sequence[Sequence[float]],
    direction: str,
    margin: float = 0.0,
    groups: Sequence | None = None,
) -> Effect:
    """Test that values rise (or fall) at every step from one point to the next.

    Args:
        values: table (replicates, points), points in order.
        direction: `"rising"` or `"falling"`.
        margin: by how much a step may fail, >= 0.
        groups: the generator of each replicate.

    Returns:
        As `all_above`, of the steps; a positive effect agrees with the direction.
    """
    if direction not in ("rising", "falling"):
        raise ValueError(f'Expected "rising" or "falling". Received: direction={direction!r}')
    steps = np.diff(_table(values), axis=1)
    return all_above(steps if direction == "rising" else -steps, margin, groups)


def bootstrap_weights(
    n: int, groups: Sequence | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """How often each replicate is drawn in each bootstrap sample.

    Args:
        n: number of replicates.
        groups: the generator of each replicate; groups are drawn whole.
        resamples: number of bootstrap samples.
        seed: of the draws.

    Returns:
        Integer array (resamples, n).
    """
    random = np.random.default_rng(seed)
    index = group_index(groups, n)
    index = np.arange(n) if index is None else index
    units = int(index.max()) + 1
    return random.multinomial(units, np.full(units, 1 / units), size=resamples)[:, index]


def spearman_trend(
    x: Sequence[float],
    values: Sequence[Sequence[float]],
    above: float = 0.0,
    groups: Sequence | None = None,
    seed: int = 0,
) -> Effect:
    """Test for a trend: rank correlation of `x` with the mean over replicates, of a least size.

    For the claim: the observed correlation exceeds `above` and differs from 0 beyond chance.
    Against it: it lies below `above` beyond chance.

    A bootstrap over replicates gives the spread of Fisher's z of the correlation. Noise pulls rank
    correlations towards zero, in the data and once more in each resample; the second pull is seen
    and its factor c undoes the first. The interval is `c z ± t(n - 1) c² s`, with s the bootstrap
    SD of z; simulated with ten replicates of twenty points, its lower end exceeds a true 0, 0.5 or
    0.9 in at most 3 %. Where generators are shared and their resampling, whole, gives the larger
    spread, each generator's own curve gives one z in place of that, and the interval is that of
    their mean, t(generators - 1); simulated with three generators, of no trend, it misses 0 in at
    most 6 %. No p value is below what the bootstrap can tell, one in its number of samples.

    Args:
        x: the points, at least three.
        values: table (replicates, points).
        above: the least correlation that counts as a trend, in [0, 1).
        groups: the generator of each replicate.
        seed: of the bootstrap.

    Returns:
        The correlation as observed, with its interval and p values.
    """
    table = _table(values)
    if len(x) != table.shape[1] or len(x) < 3:
        raise ValueError(f"Expected three or more points. Received: {len(x)} for {table.shape}")
    points, n = np.asarray(x, dtype=float), table.shape[0]
    effect = float(_rank_correlations(points, table.mean(axis=0)[None])[0])
    if n < 2:
        return Effect(effect, math.nan, math.nan, n, 1.0, 1.0)
    z = float(_fisher_z(effect))
    factor, spread = _bootstrap_spread(points, table, z, None, seed)
    centre, error, df = factor * z, factor**2 * spread, n - 1
    index = group_index(groups, n)
    if index is not None:
        k = int(index.max()) + 1
        _, between = _bootstrap_spread(points, table, z, groups, seed)
        if between * math.sqrt(k / (k - 1)) > spread:
            curves = np.array([table[index == g].mean(axis=0) for g in range(k)])
            each = _fisher_z(_rank_correlations(points, curves))
            centre, error, df = float(each.mean()), float(each.std(ddof=1)) / math.sqrt(k), k - 1
    error = error if error > 1e-9 else 0.0
    half = float(stats.t.ppf(0.975, df)) * error
    low, high = min(effect, math.tanh(centre - half)), max(effect, math.tanh(centre + half))
    upper, _ = _tails(centre, 0.0, error, df)
    _, lower = _tails(centre, math.atanh(above), error, df)
    p_for, p_against = (_double(max(p, 1 / RESAMPLES)) for p in (upper, lower))
    return Effect(effect, low, high, n, p_for if effect > above else 1.0, p_against)


def _bootstrap_spread(
    points: np.ndarray, table: np.ndarray, z: float, groups: Sequence | None, seed: int
) -> tuple[float, float]:
    """What undoes the noise's pull on Fisher's z of a trend, and the bootstrap SD of z."""
    weights = bootstrap_weights(len(table), groups, seed=seed)
    means = weights @ table / weights.sum(axis=1, keepdims=True)
    draws = _fisher_z(_rank_correlations(points, means))
    factor = min(max(2 - float(draws.mean()) / z, 1.0), 2.0) if z else 1.0
    return factor, float(draws.std(ddof=1))


def rank_association(
    a: Sequence[float], b: Sequence[float], within: float, seed: int = 0
) -> Effect:
    """Test that the rank correlation of two rows of numbers is weak: within ± a bound.

    The interval is that of Bonett and Wright (2000, Psychometrika 65): Fisher's z of Spearman's
    correlation with the variance (1 + r²/2) / (n - 3). Two one-sided tests ask whether it lies
    inside the bound. Ten units can only tell so if they show almost no association.

    Args:
        a: one number a unit, such as a class.
        b: as many, in the same order.
        within: the largest correlation, either way, that counts as weak, in (0, 1).
        seed: of the permutations.

    Returns:
        Spearman's correlation; `p_for` is the larger of the two one-sided p values, `p_against` the
        two-sided p value of lying outside on the nearer side. The note gives the p value of no
        association at all, from 9,999 permutations.

    Raises:
        ValueError: if the rows differ in length or have fewer than four numbers.
    """
    x, y = checked_values(a), checked_values(b)
    if x.size != y.size or x.size < 4:
        raise ValueError(f"Expected four or more pairs. Received: {x.size} and {y.size} values")
    if not 0 < within < 1:
        raise ValueError(f"Expected 0 < within < 1. Received: within={within}")
    effect = float(_rank_correlations(x, y[None])[0])
    error = math.sqrt((1 + effect**2 / 2) / (x.size - 3))
    z, bound = float(_fisher_z(effect)), math.atanh(within)
    half = float(stats.norm.ppf(0.975)) * error
    above_low, below_low = _tails(z, -bound, error, math.inf)
    above_high, below_high = _tails(z, bound, error, math.inf)
    shuffled = np.random.default_rng(seed).permuted(np.tile(y, (9999, 1)), axis=1)
    extreme = np.abs(_rank_correlations(x, shuffled)) >= abs(effect) - 1e-12
    return Effect(
        effect,
        min(effect, math.tanh(z - half)),
        max(effect, math.tanh(z + half)),
        x.size,
        float(max(above_low, below_high)),
        _double(float(min(below_low, above_high))),
        f"permutation p of no association {(1 + extreme.sum()) / 10_000:.2g}",
    )


def _fisher_z(correlation):
    """Fisher's z, with perfect correlations drawn in to a finite value."""
    return np.arctanh(np.clip(correlation, -0.9995, 0.9995))


def _rank_correlations(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Spearman correlation of `x` with every row; 0 for a constant row."""
    a = stats.rankdata(x) - (x.size + 1) / 2
    b = stats.rankdata(rows, axis=1) - (x.size + 1) / 2
    scale = np.sqrt((a**2).sum() * (b**2).sum(axis=1))
    return np.divide(b @ a, scale, out=np.zeros(len(rows)), where=scale > 0)


def sign_test(
    differences: Sequence[float], replicates: Sequence[Sequence[float]] | None = None
) -> Effect:
    """Exact sign test that more than half of the differences are positive; zeros are left out.

    Differences that are means over replicates depend on one another where a replicate's share
    something, such as what all of them are compared with. No p value is then below that of a test
    which turns the signs of whole replicates round.

    Args:
        differences: one number a unit.
        replicates: table (replicates, units) of which `differences` are the means.

    Returns:
        Share of positive differences with its Clopper-Pearson interval, which takes units as
        independent; `n` counts the units that are not zero.
    """
    array = checked_values(differences)
    array = array[array != 0]
    if array.size == 0:
        return Effect(0.5, 0.0, 1.0, 0, 1.0, 1.0, "all differences are zero")
    positive = int((array > 0).sum())
    low, high = map(float, stats.binomtest(positive, array.size).proportion_ci(0.95))
    p_for = stats.binomtest(positive, array.size, alternative="greater").pvalue
    p_against = stats.binomtest(positive, array.size, alternative="less").pvalue
    if replicates is not None:
        turned_for, turned_against = _turned_signs(_table(replicates))
        p_for, p_against = max(p_for, turned_for), max(p_against, turned_against)
    note = f"{positive} of {array.size} positive"
    return Effect(
        positive / array.size, low, high, array.size, _double(p_for), _double(p_against), note
    )


def _turned_signs(table: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """One-sided p values of as many (as few) positive differences when replicates turn their signs.

    Counted over all replicates. Every way to turn them up to twelve replicates, else `RESAMPLES`
    random ones and none.
    """
    n = len(table)
    if n <= 12:
        signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    else:
        signs = np.random.default_rng(seed).choice([-1, 1], size=(RESAMPLES, n))
        signs[0] = 1
    each = np.sign(table).sum(axis=1)
    balance, observed = signs @ each, each.sum()
    return float((balance >= observed).mean()), float((balance <= observed).mean())


def combined(results: Sequence[Effect]) -> tuple[float, float]:
    """p values of a claim that needs all of its tests.

    Args:
        results: the tests.

    Returns:
        `(p_for, p_against)`: the largest p for (intersection-union), and the smallest p against
        times the number of tests (Bonferroni).
    """
    if not results:
        raise ValueError("Expected one or more tests. Received: none")
    p_against = min(1.0, len(results) * min(result.p_against for result in results))
    return max(result.p_for for result in results), p_against
