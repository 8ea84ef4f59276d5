"""Mixes in a ratio and long tails, by index."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicate.data.ratios import (
    class_counts,
    counted_rows,
    long_tail_counts,
    parse_ratio,
    real_share,
    repeated,
    stratified_rows,
)

LABELS = np.array([1, 0, 1, 2, 0, 2, 1, 0, 2, 2, 2, 2])  # 3, 3, 6


@pytest.mark.parametrize(
    ("ratio", "total", "real"),
    [
        ("1:0", 60_000, 60_000),
        ("0:1", 60_000, 0),
        ("1:1", 60_000, 30_000),
        ("2:1", 60_000, 40_000),
        ("1:2", 60_000, 20_000),
        ("5:1", 60_000, 50_000),
        ("6:1", 60_000, 51_429),
        ("10:1", 60_000, 54_545),
        ("2:1", 50_000, 33_333),
        ("1:1", 3, 2),
    ],
)
def test_images_of_the_report_s_ratios(ratio, total, real):
    assert real_share(total, ratio) == real


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(0, 20), st.integers(1, 20))
def test_shares_are_the_nearest_integers(total, a, b):
    exact = Fraction(total * a, a + b)
    assert abs(real_share(total, f"{a}:{b}") - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("ratio", ["0:0", "1", "1:2:3", "-1:2", "a:b", "1.5:1", ""])
def test_other_ratios_are_refused(ratio):
    with pytest.raises(ValueError, match="Expected a ratio"):
        parse_ratio(ratio)


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
def test_class_counts_are_proportional(labels, data):
    """The sum is exact, and no class is off its exact share by one image or more."""
    labels = np.array(labels)
    count = data.draw(st.integers(0, len(labels)))
    counts, sizes = class_counts(labels, count, 5), np.bincount(labels, minlength=5)
    assert counts.sum() == count
    assert np.all(np.abs(counts - count * sizes / len(labels)) < 1)
    assert np.all(counts <= sizes)


def test_remainders_decide():
    np.testing.assert_array_equal(class_counts(LABELS, 5, 3), [1, 1, 3])  # 1.25, 1.25, 2.5
    np.testing.assert_array_equal(class_counts(LABELS, 2, 3), [1, 0, 1])  # 0.5, 0.5, 1


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(0, 2**32 - 1))
def test_rows_are_stratified_and_without_repeats(count, seed):
    rows = stratified_rows(LABELS, count, 3, np.random.default_rng(seed))
    assert len(set(rows.tolist())) == count == len(rows)
    np.testing.assert_array_equal(
        np.bincount(LABELS[rows], minlength=3), class_counts(LABELS, count, 3)
    )


def test_larger_samples_hold_the_smaller():
    small, large = (
        set(stratified_rows(LABELS, count, 3, np.random.default_rng(4)).tolist())
        for count in (4, 8)
    )
    assert len(small) == 4 and small < large


def test_every_image_is_taken_equally_often():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([stratified_rows(LABELS, 4, 3, rng) for _ in range(3000)])
    share = np.bincount(drawn, minlength=12) / 3000
    np.testing.assert_allclose(share, 1 / 3, atol=0.035)  # four standard deviations


def test_too_many_images_are_refused():
    with pytest.raises(ValueError, match="from 0 to 12. Received: count=13"):
        stratified_rows(LABELS, 13, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 4 images of class 1. Received: 3"):
        counted_rows(LABELS, [1, 4, 1], np.random.default_rng(0))


def test_long_tails_fall_by_equal_factors():
    counts = long_tail_counts(5000, 10, 100)
    assert (counts[0], counts[-1]) == (5000, 50)
    np.testing.assert_allclose(counts[1:] / counts[:-1], 100 ** (-1 / 9), rtol=0.01)
    np.testing.assert_array_equal(long_tail_counts(20, 10, 100)[-1], 1)
    np.testing.assert_array_equal(long_tail_counts(7, 3, 1), [7, 7, 7])
    with pytest.raises(ValueError, match="factor=0.5"):
        long_tail_counts(7, 3, 0.5)


def test_repeats_are_even():
    np.testing.assert_array_equal(repeated(np.array([4, 7, 9]), 5), [4, 7, 9, 4, 7])
    assert len(repeated(np.array([4, 7]), 0)) == 0
    with pytest.raises(ValueError, match="rows to repeat"):
        repeated(np.array([], int), 3)
