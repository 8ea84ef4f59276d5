"""The ratio of two spreads against SciPy's correlation test, on which it rests."""

import math

import numpy as np
import pytest
from scipy import stats

from replicate.evaluation.spread import spread_ratio


def pairs(n=10, wide=2.0, shared=0.6, seed=0):
    """`n` correlated pairs, the first number `wide` times as spread as the second."""
    random = np.random.default_rng(seed)
    both = random.multivariate_normal([0.7, 0.6], [[1, shared], [shared, 1]], n)
    return wide * both[:, 0], both[:, 1]


def test_effect_is_the_ratio_of_sample_sds_and_p_that_of_the_correlation():
    a, b = pairs()
    effect = spread_ratio(a, b)
    assert effect.effect == pytest.approx(a.std(ddof=1) / b.std(ddof=1))
    expected = stats.pearsonr(a + b, a - b)
    assert expected.statistic > 0
    assert effect.p_for == pytest.approx(expected.pvalue)
    assert effect.p_against == 1.0


@pytest.mark.parametrize("end", ["low", "high"])
def test_the_interval_ends_where_the_test_just_refutes(end):
    a, b = pairs(n=12, wide=1.3)
    ratio = getattr(spread_ratio(a, b), end)
    assert stats.pearsonr(a + ratio * b, a - ratio * b).pvalue == pytest.approx(0.05)


def test_swapped_arms_swap_the_evidence():
    a, b = pairs()
    forward, backward = spread_ratio(a, b), spread_ratio(b, a)
    assert forward.effect == pytest.approx(1 / backward.effect)
    assert forward.p_for == pytest.approx(backward.p_against)


def test_shifts_between_groups_are_no_spread():
    a, b = pairs(n=12, wide=1.0)
    groups = [f"g{i % 3}" for i in range(12)]
    shift = np.array([0.0, 50.0, 100.0] * 4)
    plain, shifted = spread_ratio(a, b, groups), spread_ratio(a + shift, b, groups)
    assert shifted.effect == pytest.approx(plain.effect)
    assert shifted.p_for == pytest.approx(plain.p_for)
    assert spread_ratio(a + shift, b).effect > 10 * plain.effect


def test_equal_spreads_are_refuted_as_often_as_promised():
    random = np.random.default_rng(5)
    groups = [i % 3 for i in range(15)]
    found = [spread_ratio(*random.normal(size=(2, 15)), groups) for _ in range(500)]
    share = np.mean([min(effect.p_for, effect.p_against) < 0.05 for effect in found])
    assert 0.02 < share < 0.08  # 0.05 +- 3 SE
    assert np.mean([e.low <= 1 <= e.high for e in found]) == pytest.approx(1 - share, abs=2e-3)


@pytest.mark.parametrize(
    "a, b, groups", [([0.1, 0.2], [0.3, 0.1], None), ([1, 1, 1, 1], [1, 2, 3, 4], None)]
)
def test_without_spread_nothing_is_said(a, b, groups):
    effect = spread_ratio(a, b, groups)
    assert math.isnan(effect.effect) and (effect.p_for, effect.p_against) == (1.0, 1.0)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="Expected pairs. Received: 2 and 1 values"):
        spread_ratio([1, 2], [1])


def test_a_constant_has_no_spread_even_if_its_mean_rounds():
    for groups in (None, [0, 0, 1, 1]):
        effect = spread_ratio([0.1, 0.2, 0.4, 0.7], [0.1] * 4, groups)
        assert math.isnan(effect.effect) and (effect.p_for, effect.p_against) == (1.0, 1.0)
