import numpy as np
import pytest
from scipy import stats

from replicate.evaluation.pixel_correlation import pixel_correlations


def sets(n=4000, seed=0):
    """Pixels of two independent draws of one distribution, and pixels that vary apart."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((6, 6))
    first, second = (rng.standard_normal((n, 6)) @ mixing for _ in range(2))
    return first, second, rng.standard_normal((n, 6)) * first.std(axis=0)


def test_equal_distributions_agree_and_independent_pixels_do_not():
    train, same, apart = sets()
    metrics = pixel_correlations(train, apart, same)
    assert metrics["pixel_correlation_agreement"] > 0.99
    assert metrics["pixel_correlation_gap"] < 0.03
    assert metrics["pixel_correlation_gap_heldout"] > 0.2
    turned = pixel_correlations(train, same, apart)
    assert turned["pixel_correlation_gap"] == metrics["pixel_correlation_gap_heldout"]


def test_numbers_are_those_of_scipy_pair_by_pair():
    train, drawn, held_out = (x[:50] for x in sets())
    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
    a, b = ([stats.pearsonr(x[:, i], x[:, j])[0] for i, j in pairs] for x in (train, drawn))
    metrics = pixel_correlations(train, held_out, drawn)
    assert metrics["pixel_correlation_agreement"] == pytest.approx(stats.pearsonr(a, b)[0])
    gap = np.abs(np.subtract(a, b)).mean()
    assert metrics["pixel_correlation_gap"] == pytest.approx(gap)


def test_scale_does_not_matter_and_constant_pixels_are_left_out():
    train, drawn, held_out = sets()
    metrics = pixel_correlations(train, held_out, drawn)
    padded = [np.c_[x * 7 + 3, np.zeros(len(x))] for x in (train, held_out, drawn)]
    assert pixel_correlations(*padded) == pytest.approx(metrics)
    drawn[:, 2] = 1.0
    others = [0, 1, 3, 4, 5]
    expected = pixel_correlations(train[:, others], held_out[:, others], drawn[:, others])
    assert pixel_correlations(train, held_out, drawn) == pytest.approx(expected)


def test_refuses_what_has_no_correlations():
    train, drawn, held_out = sets()
    with pytest.raises(ValueError, match="Received: 2"):
        pixel_correlations(train[:, :2], held_out[:, :2], drawn[:, :2])
    with pytest.raises(ValueError, match="as many pixels"):
        pixel_correlations(train, held_out, drawn[:, :5])
