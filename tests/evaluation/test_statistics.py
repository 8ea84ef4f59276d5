"""Intervals and verdict rules against SciPy, statsmodels, hand computation and simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM

from replicate.evaluation import statistics

VALUES = [0.981, 0.979, 0.984, 0.980, 0.982]
numbers = st.lists(st.floats(-10, 10), min_size=3, max_size=12)


def test_mean_interval_is_scipys_t_interval():
    interval = statistics.mean_interval(VALUES)
    expected = stats.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.mean == pytest.approx(0.9812)
    assert interval.n == 5


def test_single_value_has_no_interval():
    interval = statistics.mean_interval([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low) and math.isnan(interval.high)


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0]]])
def test_refuses_what_is_no_row_of_numbers(values):
    with pytest.raises(ValueError, match="Expected one or more finite numbers"):
        statistics.mean_interval(values)


def test_prediction_half_width_by_hand():
    # 1, 2, 3: s = 1, t(0.975, 2) = 4.302653; one reported run: sqrt(1/3 + 1) = 1.154701
    assert statistics.prediction_half_width([1, 2, 3], 1) == pytest.approx(4.968275, abs=1e-5)
    assert statistics.prediction_half_width([1, 2, 3], 6) == pytest.approx(
        4.302653 * math.sqrt(1 / 3 + 1 / 6), abs=1e-5
    )


@pytest.mark.parametrize(
    "values, reported, margin, expected",
    [
        ([0.98, 0.981, 0.982], 0.981, 0.005, "reproduced"),
        ([0.98, 0.981, 0.982], 0.9925, 0.005, "not reproduced"),  # h = 0.00497: edge at 0.99097
        ([0.98, 0.981, 0.982], 0.9909, 0.005, "reproduced"),
        ([0.90, 0.95, 1.00], 0.95, 0.005, "inconclusive"),  # h = 0.248, far above 3 margins
        ([0.90, 0.95, 1.00], 0.60, 0.005, "not reproduced"),  # too far even for so wide an h
        ([0.98, 0.981], 0.9805, 0.005, "inconclusive"),  # two replicates decide nothing
    ],
)
def test_cell_verdict(values, reported, margin, expected):
    assert statistics.cell_verdict(values, reported, margin, n_reported=1) == expected


def test_more_reported_runs_make_the_cell_stricter():
    values = [0.98, 0.981, 0.982]
    assert statistics.cell_verdict(values, 0.9895, 0.005, n_reported=1) == "reproduced"
    assert statistics.cell_verdict(values, 0.9895, 0.005, n_reported=10) == "not reproduced"


def test_cell_verdict_needs_a_margin():
    with pytest.raises(ValueError, match="Expected margin > 0. Received: margin=0"):
        statistics.cell_verdict(VALUES, 0.98, 0)


@settings(max_examples=50, deadline=None)
@given(numbers, st.floats(-5, 5), st.floats(0.1, 5))
def test_cell_verdict_follows_shift_and_scale(values, shift, margin):
    reported = float(np.mean(values)) + 0.3
    half = statistics.prediction_half_width(values, 1)
    assume(abs(0.3 - half - margin) > 1e-6 and abs(half - 3 * margin) > 1e-6)
    verdict = statistics.cell_verdict(values, reported, margin)
    scaled = [4 * (v + shift) for v in values]
    assert statistics.cell_verdict(scaled, 4 * (reported + shift), 4 * margin) == verdict


def test_groups_that_say_nothing_change_nothing():
    plain = statistics.mean_interval(VALUES)
    assert statistics.mean_interval(VALUES, ["g"] * 5) == plain
    assert statistics.mean_interval(VALUES, list("abcde")) == plain


def test_groups_must_match_the_values():
    with pytest.raises(ValueError, match="Expected 5 groups, one a value. Received: 2"):
        statistics.mean_interval(VALUES, ["a", "b"])


def test_variance_components_by_hand():
    # groups (1, 3), (5, 7): means 2 and 6, within 2, between mean square 16: (16 - 2) / 2 = 7
    assert statistics.variance_components([1, 3, 5, 7], list("aabb")) == pytest.approx((7, 2))


def test_variance_components_agree_with_statsmodels():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 5)
    values = random.normal(0, 2, 40)[groups] + random.normal(0, 1, 200)
    fit = MixedLM(values, np.ones((200, 1)), groups).fit(reml=True)
    between, within = statistics.variance_components(values, groups)
    assert between == pytest.approx(fit.cov_re[0, 0], rel=1e-3)  # balanced: moments = REML
    assert within == pytest.approx(fit.scale, rel=1e-3)


def test_shared_generators_widen_the_interval():
    values = [1.0, 2.0, 3.0, 1.1, 2.1, 3.1]
    grouped = statistics.mean_interval(values, [0, 1, 2, 0, 1, 2])
    assert grouped.half_width > 1.5 * statistics.mean_interval(values).half_width
    assert grouped.mean == pytest.approx(2.05)


@pytest.mark.parametrize("between", [0.0, 0.5, 1.0, 2.0])
def test_coverage_with_three_generators(between):
    random = np.random.default_rng(7)
    groups = np.arange(10) % 3
    hits, predicted, plain, draws = 0, 0, 0, 1500
    for _ in range(draws):
        values = random.normal(0, between, 3)[groups] + random.normal(size=10)
        interval = statistics.mean_interval(values, groups)
        hits += interval.low <= 0 <= interval.high
        naive = statistics.mean_interval(values)
        plain += naive.low <= 0 <= naive.high
        report = random.normal(0, between) + random.normal(size=10).mean()
        half = statistics.prediction_half_width(values, 10, groups)
        predicted += abs(report - interval.mean) <= half
    assert 0.92 < hits / draws <= 0.985
    assert 0.89 < predicted / draws <= 0.985
    if between >= 1:
        assert plain / draws < 0.85  # what ignoring the generator would cover


def test_holm_by_hand_and_in_order():
    # sorted 0.01, 0.02, 0.04 -> 0.03, 0.04, 0.04
    assert statistics.holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert statistics.holm([]) == []


@pytest.mark.parametrize(
    "p_for, p_against, expected",
    [(0.01, 1.0, "supported"), (1.0, 0.01, "contradicted"), (0.05, 0.5, "inconclusive")],
)
def test_claim_verdict(p_for, p_against, expected):
    assert statistics.claim_verdict(p_for, p_against, 0.05) == expected
