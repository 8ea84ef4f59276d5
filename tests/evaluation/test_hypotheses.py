"""Named tests of claims against SciPy, statsmodels and hand computation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from replicate.evaluation import hypotheses

A = np.array([0.985, 0.984, 0.986, 0.985, 0.983, 0.987])
B = np.array([0.981, 0.983, 0.980, 0.982, 0.979, 0.984])
POINTS = [0.1, 0.2, 0.3, 0.4, 0.5]


def rising(noise=0.001, n=10, seed=0):
    random = np.random.default_rng(seed)
    return np.array(POINTS) + random.normal(0, noise, (n, len(POINTS)))


def test_paired_difference_is_scipys_paired_t_test():
    effect = hypotheses.paired_difference(A, B)
    expected = stats.ttest_rel(A, B)
    assert effect.effect == pytest.approx((A - B).mean())
    assert effect.p_for == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (effect.low, effect.high) == pytest.approx((interval.low, interval.high))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=10))
def test_swapped_arms_swap_the_evidence(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    forward, backward = hypotheses.paired_difference(a, b), hypotheses.paired_difference(b, a)
    assert forward.effect == pytest.approx(-backward.effect)
    assert forward.p_for == pytest.approx(backward.p_against)


def test_pairs_matter():
    shuffled = hypotheses.paired_difference(A, np.roll(B, 2))
    assert shuffled.effect == pytest.approx(hypotheses.paired_difference(A, B).effect)
    assert shuffled.p_for > 3 * hypotheses.paired_difference(A, B).p_for


def test_a_margin_is_harder_to_exceed():
    assert hypotheses.paired_difference(A, B, 0.0).p_for < 0.05
    assert hypotheses.paired_difference(A, B, 0.0035).p_for > 0.05
    assert hypotheses.paired_difference(A, B, 0.0200).p_against < 0.05


def test_unequal_pairs_are_refused():
    with pytest.raises(ValueError, match="Expected pairs. Received: 2 and 1 values"):
        hypotheses.paired_difference([1, 2], [1])


def test_threshold_is_scipys_one_sample_t_test():
    expected = stats.ttest_1samp(A, 0.98)
    assert hypotheses.threshold(A, 0.98).p_for == pytest.approx(expected.pvalue)
    assert hypotheses.threshold(A, 0.99).p_against < 0.05


def test_threshold_without_spread_or_with_one_value():
    assert hypotheses.threshold([0.99, 0.99], 0.95).p_for == 0
    assert hypotheses.threshold([0.95, 0.95], 0.95).p_for == 1
    single = hypotheses.threshold([0.99], 0.95)
    assert (single.p_for, single.p_against) == (1, 1) and math.isnan(single.low)


def test_groups_weaken_the_evidence():
    values = [0.95, 0.97, 0.99, 0.951, 0.971, 0.991]
    plain = hypotheses.threshold(values, 0.945)
    grouped = hypotheses.threshold(values, 0.945, [0, 1, 2, 0, 1, 2])
    assert plain.p_for < 0.02 < 0.05 < grouped.p_for


def test_equivalence_is_statsmodels_tost():
    expected = ttost_paired(A, B, -0.006, 0.006)[0]
    effect = hypotheses.equivalence(A - B, 0.006)
    assert effect.p_for == pytest.approx(expected)
    assert hypotheses.equivalence(A - B, 0.001).p_against < 0.05
    assert hypotheses.equivalence(A, 0.005, centre=0.985).p_for < 0.05


def test_all_above_needs_every_point():
    random = np.random.default_rng(0)
    table = 0.01 + random.normal(0, 0.001, (10, 4))
    assert hypotheses.all_above(table).p_for < 0.001
    table[:, 2] -= 0.02
    effect = hypotheses.all_above(table)
    assert effect.p_for > 0.9 and effect.p_against < 0.001
    assert effect.effect == pytest.approx(table[:, 2].mean())
    assert effect.note == "lowest of 4 points; 3 above the bound"
    assert hypotheses.all_above(table, margin=0.015).p_for < 0.001


def test_monotone_knows_the_direction():
    table = rising()
    assert hypotheses.monotone(table, "rising").p_for < 0.001
    assert hypotheses.monotone(table, "falling").p_against < 0.001
    with pytest.raises(ValueError, match='Expected "rising" or "falling"'):
        hypotheses.monotone(table, "up")


def test_spearman_of_means():
    table = rising(noise=0.2)
    expected = stats.spearmanr(POINTS, table.mean(axis=0)).statistic
    assert hypotheses.spearman_trend(POINTS, table).effect == pytest.approx(expected)


def test_spearman_trend_and_its_opposite():
    up, down = rising(), -rising()
    assert hypotheses.spearman_trend(POINTS, up, 0.9).p_for < 0.01
    assert hypotheses.spearman_trend(POINTS, down, 0.9).p_against < 0.01
    flat = hypotheses.spearman_trend(POINTS, np.ones((10, 5)), 0.9)
    assert flat.effect == 0 and flat.p_against < 0.01


def test_spearman_noise_is_inconclusive():
    random = np.random.default_rng(3)
    effect = hypotheses.spearman_trend(POINTS, random.normal(size=(10, 5)), 0.5)
    assert effect.low < 0.5 < effect.high
    assert effect.p_for > 0.05


def test_bootstrap_is_seeded_and_draws_groups_whole():
    groups = [0, 1, 2] * 3 + [0]
    first = hypotheses.bootstrap_weights(10, groups, 200, seed=1)
    assert (first == hypotheses.bootstrap_weights(10, groups, 200, seed=1)).all()
    assert (first != hypotheses.bootstrap_weights(10, groups, 200, seed=2)).any()
    for members in ([0, 3, 6, 9], [1, 4, 7], [2, 5, 8]):
        assert (first[:, members] == first[:, members[:1]]).all()
    assert (first[:, :3].sum(axis=1) == 3).all()


@pytest.mark.parametrize("between", [0.0, 1.0, 3.0])
def test_no_trend_is_seldom_one_with_shared_generators(between):
    """Three generators of five networks; their own bends are as rough as the noise, or rougher."""
    random = np.random.default_rng(11)
    groups = np.arange(15) % 3
    tables = random.normal(size=(200, 15, 8)) + random.normal(0, between, (200, 3, 8))[:, groups]
    found = [hypotheses.spearman_trend(range(8), table, 0.0, groups) for table in tables]
    assert np.mean([e.low > 0 or e.high < 0 for e in found]) < 0.11  # 0.06 + 3 SE
    assert np.mean([e.p_for < 0.05 for e in found]) < 0.07


def test_a_trend_of_every_generator_counts_whatever_their_levels():
    random = np.random.default_rng(2)
    groups = np.arange(9) % 3
    curve = np.linspace(0, 1, 8) + random.normal(0, 0.3, (3, 1))[groups]
    effect = hypotheses.spearman_trend(range(8), curve + random.normal(0, 0.05, (9, 8)), 0, groups)
    assert effect.p_for < 0.01 and effect.low > 0.5


def test_a_trend_without_any_spread_has_the_smallest_p_that_a_bootstrap_tells():
    effect = hypotheses.spearman_trend(POINTS, [[1, 2, 3, 4, 5]] * 3, 0.5)
    assert effect.p_for == pytest.approx(2 / hypotheses.RESAMPLES)


def test_sign_test_by_hand():
    # 17 of 20 positive: P(X >= 17) = (1140 + 190 + 20 + 1) / 2**20
    effect = hypotheses.sign_test([1] * 17 + [-1] * 3 + [0])
    assert effect.p_for == pytest.approx(2 * 1351 / 2**20)
    assert effect.effect == pytest.approx(0.85) and effect.n == 20
    assert hypotheses.sign_test([-1] * 17 + [1] * 3).p_against == pytest.approx(2 * 1351 / 2**20)
    assert hypotheses.sign_test([0.0, 0.0]).p_for == 1


def test_signs_that_share_a_baseline_are_no_independent_ones():
    """Twenty points above one baseline of three replicates: the baseline may have been low."""
    points = np.full((3, 20), 0.1)
    assert hypotheses.sign_test(points.mean(axis=0)).p_for < 1e-5
    assert hypotheses.sign_test(points.mean(axis=0), points).p_for == pytest.approx(2 / 2**3)
    ten = np.full((10, 20), 0.1)
    assert hypotheses.sign_test(ten.mean(axis=0), ten).p_for == pytest.approx(2 / 2**10)
    assert hypotheses.sign_test(-ten.mean(axis=0), -ten).p_against == pytest.approx(2 / 2**10)
    random = np.random.default_rng(0)
    refuted = [
        hypotheses.sign_test(table.mean(axis=0), table).p_against < 0.05
        for table in random.normal(size=(300, 10, 20)) - random.normal(size=(300, 10, 1))
    ]
    assert np.mean(refuted) < 0.055  # 0.025 + 3 SE; 0.28 if the points were independent


def test_combined_needs_all():
    strong = hypotheses.threshold(A, 0.9)
    weak = hypotheses.threshold(A, 0.9999)
    assert hypotheses.combined([strong, strong])[0] < 0.001
    p_for, p_against = hypotheses.combined([strong, weak])
    assert p_for > 0.9 and p_against == pytest.approx(2 * weak.p_against)
    with pytest.raises(ValueError, match="Expected one or more tests"):
        hypotheses.combined([])


def test_below_mirrors_above():
    below, above = hypotheses.threshold(A, below=0.99), hypotheses.threshold(-A, -0.99)
    assert (below.p_for, below.p_against) == pytest.approx((above.p_for, above.p_against))
    assert below.effect == pytest.approx(A.mean()) and below.low < A.mean() < below.high
    assert below.p_for < 0.05 and hypotheses.threshold(A, below=0.98).p_against < 0.05
    with pytest.raises(ValueError, match="Expected one of above, below"):
        hypotheses.threshold(A)
    with pytest.raises(ValueError, match="Received: above=0.1, below=0.2"):
        hypotheses.threshold(A, 0.1, below=0.2)


def test_rank_association_is_scipys_spearman():
    random = np.random.default_rng(2)
    a, b = random.normal(size=10), random.normal(size=10)
    expected = stats.spearmanr(a, b)
    effect = hypotheses.rank_association(a, b, 0.6)
    assert effect.effect == pytest.approx(expected.statistic) and effect.n == 10
    # oracle of the permutation p: SciPy's own permutation test
    exact = stats.permutation_test(
        (b,), lambda y: stats.spearmanr(a, y).statistic, permutation_type="pairings",
        n_resamples=1000, random_state=0,
    )  # fmt: skip
    assert float(effect.note.split()[-1]) == pytest.approx(exact.pvalue, abs=0.05)


def test_rank_association_of_ten_units_by_hand():
    weak = hypotheses.rank_association(range(10), [4, 3, 8, 1, 9, 6, 2, 5, 7, 0], 0.6)
    # ranks 0..9: sum of squared differences 16+4+36+4+25+1+16+4+1+81 = 188, 1 - 6 * 188 / 990
    assert weak.effect == pytest.approx(1 - 1128 / 990)
    error = math.sqrt((1 + weak.effect**2 / 2) / 7)
    half = 1.959964 * error
    assert weak.low == pytest.approx(math.tanh(math.atanh(weak.effect) - half), abs=1e-6)
    assert weak.high == pytest.approx(math.tanh(math.atanh(weak.effect) + half), abs=1e-6)
    nearer = (math.atanh(weak.effect) + math.atanh(0.6)) / error
    assert weak.p_for == pytest.approx(stats.norm.sf(nearer))
    assert weak.p_for > 0.05 and weak.p_against == 1  # ten units cannot tell
    many = np.random.default_rng(0).normal(size=(2, 200))
    assert hypotheses.rank_association(*many, 0.6).p_for < 0.001
    assert hypotheses.rank_association(range(10), range(10), 0.6).p_against < 0.001
    with pytest.raises(ValueError, match="Expected four or more pairs. Received: 3"):
        hypotheses.rank_association([1, 2, 3], [1, 2, 3], 0.6)
    with pytest.raises(ValueError, match="Received: within=1.5"):
        hypotheses.rank_association(range(10), range(10), 1.5)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_rank_interval_covers_with_ten_units(rho):
    random = np.random.default_rng(11)
    population = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal
    hits, draws = 0, 250
    for _ in range(draws):
        x, noise = random.normal(size=(2, 10))
        effect = hypotheses.rank_association(x, rho * x + math.sqrt(1 - rho**2) * noise, 0.5)
        hits += effect.low <= population <= effect.high
    assert hits / draws > 0.92
