"""Gains, their differences, and arms of one point beside arms of many."""

import dataclasses

import pytest

from replicate.report.claim_tests import Data, NotRun, gather, run_test
from replicate.report.claims import pooled_sample
from replicate.report.views import Sample

GROUPS = ["g0", "g1", "g2", "g0"]


def data(**arms):
    """Arms of one point each, from rows of four replicates."""
    tables = {role: [[x] for x in values] for role, values in arms.items()}
    return Data(tables, dict.fromkeys(arms, [None]), GROUPS, 4, [])


ARMS = {"a": [0.8, 0.9, 0.8, 0.7], "b": [0.2, 0.3, 0.4, 0.1]}
MORE = {"c": [0.6, 0.5, 0.6, 0.5], "d": [0.5, 0.5, 0.5, 0.5]}


def test_a_gain_is_the_mean_of_paired_differences():
    effect = run_test(data(**ARMS), {"name": "gain", "above": 0.0})
    assert effect.effect == pytest.approx((0.6 + 0.6 + 0.4 + 0.6) / 4)
    assert effect.p_for < 0.05 < effect.p_against


def test_a_relative_gain_divides_replicate_by_replicate():
    test = {"name": "gain", "relative": True, "above": 7.0}
    effect = run_test(data(**ARMS), test)
    assert effect.effect == pytest.approx((3 + 2 + 1 + 6) / 4)
    assert effect.p_for > 0.5


def test_a_gain_may_be_compared_with_another():
    test = {"name": "gain", "above": 0.0}
    effect = run_test(data(**ARMS, **MORE), test)
    assert effect.effect == pytest.approx(0.55 - 0.05)
    below = run_test(data(**ARMS, **MORE), {"name": "gain", "below": 0.0})
    assert (below.p_for, below.p_against) == (effect.p_against, effect.p_for)


def test_a_gain_over_nothing_is_not_run():
    arms = {"a": [0.1] * 4, "b": [0.1, 0.0, 0.1, 0.1]}
    with pytest.raises(NotRun, match="relative to 0"):
        run_test(data(**arms), {"name": "gain", "relative": True, "above": 0.0})
    assert run_test(data(**arms), {"name": "gain", "above": 0.0}).effect == pytest.approx(0.025)


def test_one_point_is_compared_with_each_of_many():
    one, many = [[0.9], [0.8]], [[0.5, 0.7], [0.5, 0.9]]
    made = Data({"a": one, "b": many}, {"a": [1], "b": [2, 3]}, ["g", "g"], 2, [])
    assert [x for row in made.differences("a", "b") for x in row] == pytest.approx(
        [0.4, 0.2, 0.3, -0.1]
    )
    assert [x for row in made.differences("b", "a") for x in row] == pytest.approx(
        [-0.4, -0.2, -0.3, 0.1]
    )
    effect = run_test(made, {"name": "all_above"})
    assert effect.effect == pytest.approx(0.05)  # of the second point


def test_points_stay_the_units_of_a_sign_test_in_a_plan_that_is_not_finished(view, lay):
    results = [
        result
        for p in (0.25, 0.5, 0.75)
        for arm, value in (("add_real", 0.9), ("add_synthetic", 0.8))
        for result in lay.accuracy([value, value + 0.01, value - 0.01], arm, p)
    ]
    arms = {"a": {"series": "add_real"}, "b": {"series": "add_synthetic"}}
    made = view(results, missing=[results[0][0].key])
    found = gather(made, {"name": "sign_test", **arms})
    assert found.caveat == "2 of 3 planned replicates" and not found.by_point
    assert run_test(found, {"name": "sign_test"}).note == "3 of 3 positive"
    assert not gather(view(results, "whole"), {"name": "sign_test", **arms}).caveat


def test_one_arm_of_a_single_generator_is_said_beside_one_of_several():
    several = Sample({0: 0.9, 1: 0.8}, {0: "g0", 1: "g1"})
    alone = Sample({0: 0.7, 1: 0.6}, {0: "m", 1: "m"})
    arms = {"a": [[0.9], [0.8]], "b": [[0.7], [0.6]]}
    groups = ["g0 | m", "g1 | m"]
    made = Data(arms, dict.fromkeys(arms, [None]), groups, 2, [several, alone])
    assert pooled_sample([made]).one_generator
    independent = dataclasses.replace(made, samples=[several, several], groups=["g0", "g1"])
    assert not pooled_sample([independent]).one_generator
