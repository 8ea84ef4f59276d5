"""Intervals that hold the sampling of test images, against SciPy, statsmodels and simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from replicate.evaluation import held_out, hypotheses
from replicate.evaluation.statistics import mean_interval


@pytest.mark.parametrize("right, n", [(55, 76), (9, 76), (76, 76), (0, 76), (8339, 8405)])
def test_exact_interval_is_clopper_pearson(right, n):
    expected = proportion_confint(right, n, method="beta")
    assert held_out.exact_interval(right / n, n) == pytest.approx(expected, abs=1e-9)
    assert held_out.exact_interval(round(right / n, 4), n) == pytest.approx(expected, abs=1e-9)


def test_half_width_is_that_of_the_nearer_end():
    low, high = proportion_confint(55, 76, method="beta")
    accuracy = 55 / 76
    assert held_out.exact_half_width(accuracy, 76, 0.5) == pytest.approx(accuracy - low)
    assert held_out.exact_half_width(accuracy, 76, 0.9) == pytest.approx(high - accuracy)


@pytest.mark.parametrize("accuracy, n", [(1.2, 76), (-0.1, 76), (0.5, 0)])
def test_refuses_what_is_no_share_of_images(accuracy, n):
    with pytest.raises(ValueError, match="Expected an accuracy in"):
        held_out.exact_interval(accuracy, n)


def test_widened_adds_in_quadrature():
    values = [0.70, 0.72, 0.74]
    plain = mean_interval(values)
    wide = held_out.widened(plain, 76)
    low, high = proportion_confint(round(0.72 * 76), 76, method="beta")
    assert wide.low == pytest.approx(0.72 - math.hypot(plain.half_width, 0.72 - low))
    assert wide.high == pytest.approx(0.72 + math.hypot(plain.half_width, high - 0.72))
    assert (wide.mean, wide.n) == (plain.mean, 3)
    assert held_out.widened(mean_interval([1.0, 0.99, 1.0]), 76).high == 1.0


def test_widened_interval_of_one_run_is_that_of_its_images():
    wide = held_out.widened(mean_interval([55 / 76]), 76)
    assert (wide.low, wide.high) == pytest.approx(proportion_confint(55, 76, method="beta"))


def test_equal_images_leave_the_paired_t_test_over_replicates():
    by_run = np.array([0.1, 0.3, -0.1, 0.2])
    interval = held_out.image_interval(np.tile(by_run[:, None], (1, 50)))
    expected = stats.ttest_1samp(by_run, 0)
    ends = expected.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high))
    effect = held_out.exceeds(interval, 0.0)
    assert effect.p_for == pytest.approx(expected.pvalue)
    assert effect.p_against == pytest.approx(min(1.0, 2 - expected.pvalue))


def test_equal_replicates_leave_the_paired_t_test_over_images():
    rng = np.random.default_rng(1)
    a, b = rng.random((2, 76)) < [[0.75], [0.6]]
    interval = held_out.image_interval(np.tile(a * 1.0 - b, (5, 1)))
    expected = stats.ttest_rel(a * 1.0, b * 1.0)
    ends = expected.confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high))
    assert held_out.exceeds(interval, 0.0).p_for == pytest.approx(expected.pvalue)


def test_image_interval_covers_both_kinds_of_chance():
    rng = np.random.default_rng(7)
    runs, images, truth, repeats = 5, 76, 0.03, 150
    hits = narrow = 0
    for _ in range(repeats):
        latent = truth + 0.35 * rng.standard_normal((1, images))
        latent = latent + 0.02 * rng.standard_normal((runs, 1))
        table = latent + 0.3 * rng.standard_normal((runs, images))
        interval = held_out.image_interval(table)
        hits += interval.low <= truth <= interval.high
        runs_only = mean_interval(table.mean(axis=1))
        narrow += runs_only.low <= truth <= runs_only.high
    assert hits / repeats >= 0.91
    assert narrow / repeats < 0.86  # what the spread of replicates alone would promise and not keep


def exact_error(right, n):
    low, high = proportion_confint(right, n, method="beta")
    return (high - low) / 3.919928


def test_binomial_interval_by_hand():
    a, b = [0.99, 0.992, 0.991], [0.985, 0.986, 0.984]
    interval = held_out.binomial_interval(a, b, 8405)
    runs = np.subtract(a, b).var(ddof=1) / 3
    variance = runs + exact_error(8329, 8405) ** 2 + exact_error(8279, 8405) ** 2
    half = stats.t.ppf(0.975, variance**2 / (runs**2 / 2)) * math.sqrt(variance)
    assert (interval.low, interval.high) == pytest.approx((0.006 - half, 0.006 + half), rel=1e-4)
    textbook = math.sqrt((0.991 * 0.009 + 0.985 * 0.015) / 8405 + runs)
    assert interval.standard_error == pytest.approx(textbook, rel=0.08)


def test_binomial_interval_of_equal_runs_is_normal_and_never_empty():
    interval = held_out.binomial_interval([1.0] * 3, [54 / 76] * 3, 76)
    error = math.hypot(exact_error(76, 76), exact_error(54, 76))
    assert interval.half_width == pytest.approx(1.959964 * error, rel=1e-5)
    assert held_out.binomial_interval([1.0] * 3, [1.0] * 3, 76).half_width > 0.02
    alone = held_out.binomial_interval([54 / 76] * 3, None, 76)
    assert alone.half_width == pytest.approx(1.959964 * exact_error(54, 76), rel=1e-5)
    assert alone.mean == pytest.approx(54 / 76)


def test_without_sampling_error_the_tests_are_those_of_replicates():
    values = [0.02, 0.05, -0.01, 0.03]
    interval = mean_interval(values)
    for ours, theirs in (
        (held_out.exceeds(interval, 0.01), hypotheses.threshold(values, 0.01)),
        (held_out.lies_within(interval, 0.1), hypotheses.equivalence(values, 0.1)),
        (held_out.lies_within(interval, 0.01, 0.03), hypotheses.equivalence(values, 0.01, 0.03)),
    ):
        assert (ours.p_for, ours.p_against) == pytest.approx((theirs.p_for, theirs.p_against))


def test_one_replicate_decides_nothing():
    effect = held_out.exceeds(held_out.image_interval([[1, 0, 1, 1]]), 0.0)
    assert (effect.p_for, effect.p_against) == (1.0, 1.0) and math.isnan(effect.low)
    with pytest.raises(ValueError, match="Expected margin > 0"):
        held_out.lies_within(mean_interval([0.1, 0.2]), 0.0)
