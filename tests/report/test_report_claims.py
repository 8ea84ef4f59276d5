"""Claims on synthetic stores whose answers are known."""

import dataclasses

import numpy as np
import pytest
from report_stores import only

from replicate.report.claim_tests import TESTS
from replicate.report.claims import evaluate, judge_view

POINTS = [0.25, 0.5, 0.75, 1.0]
NOISE = np.random.default_rng(0).normal(0, 0.001, (8, 10))


def by_id(config, name):
    return next(claim for claim in config.claims if claim.id == name)


def point(lay, arm, p, mean, row, n=10):
    return lay.accuracy(mean + NOISE[row][:n], arm, p)


def sweep(lay, arm, means, n=10):
    return [
        result
        for row, (p, mean) in enumerate(zip(POINTS, means, strict=True))
        for result in point(lay, arm, p, mean, row, n)
    ]


def test_synthetic_below_real_is_supported(view, lay, config):
    missing = lay.classifier("synthetic", 1.0, 10)
    results = point(lay, "real", 1.0, 0.98, 0) + point(lay, "synthetic", 1.0, 0.96, 1)
    results += [(lay.classifier("real", 1.0, 10), {"test_accuracy": 0.5})]  # without a partner
    made = view([*results, (missing, {})], missing=[missing.key])
    judged = judge_view(only(config, "C1"), made)["C1"]
    assert judged.verdict == "supported" and judged.n == 10
    ((name, effect),) = judged.effects
    assert name == "paired_difference"
    expected = 0.02 + NOISE[0].mean() - NOISE[1].mean()
    assert effect.effect == pytest.approx(expected)
    real, synthetic = judged.evidence
    assert (real.arm, synthetic.arm) == ("real only, p = 1", "synthetic only, p = 1")
    assert real.mean - synthetic.mean == pytest.approx(effect.effect)
    assert [key for _, key, _ in synthetic.records] == [
        lay.classifier("synthetic", 1.0, r).key for r in range(10)
    ]
    assert len(judged.keys) == 20


def test_synthetic_above_real_contradicts(view, lay, config):
    made = view(point(lay, "real", 1.0, 0.94, 0) + point(lay, "synthetic", 1.0, 0.96, 1))
    judged = judge_view(only(config, "C1", "C2"), made)
    assert judged["C1"].verdict == "contradicted"
    assert judged["C2"].verdict == "supported"


def test_a_perfect_generator_is_as_good_as_real(view, lay, config):
    # held-out real images in the place of synthetic ones: no claim that they are worse may stand,
    # and equivalence must be found
    made = view(point(lay, "real", 1.0, 0.98, 0) + point(lay, "synthetic", 1.0, 0.98, 1))
    assert judge_view(only(config, "C1"), made)["C1"].verdict == "inconclusive"
    claim = dataclasses.replace(
        by_id(config, "C1"),
        tests=(
            {"name": "equivalence", "margin": 0.003,
             "a": {"series": "real", "p": 1.0}, "b": {"series": "synthetic", "p": 1.0}},
        ),
    )  # fmt: skip
    assert evaluate(claim, made).p[0] < 0.01


@pytest.mark.parametrize("mean, verdict", [(0.1, "supported"), (0.5, "contradicted")])
def test_permuted_labels_must_fall_to_chance(view, lay, config, mean, verdict):
    made = view(point(lay, "label_shuffled", 1.0, mean, 0))
    assert judge_view(only(config, "K1"), made)["K1"].verdict == verdict


@pytest.mark.parametrize(
    "means, verdict",
    [
        ([0.94, 0.95, 0.96, 0.97], "supported"),
        ([0.97, 0.96, 0.95, 0.94], "contradicted"),
        ([0.95, 0.95, 0.95, 0.95], "inconclusive"),
    ],
)
def test_trend(view, lay, config, means, verdict):
    judged = judge_view(only(config, "C3"), view(sweep(lay, "real", means)))["C3"]
    assert judged.verdict == verdict


@pytest.mark.parametrize(
    "means, verdict",
    [([0.965, 0.97, 0.975], "supported"), ([0.965, 0.94, 0.975], "contradicted")],
)
def test_mixtures_between_the_lines(view, lay, config, means, verdict):
    results = point(lay, "real", 1.0, 0.98, 4) + point(lay, "synthetic", 1.0, 0.96, 5)
    for row, (p, mean) in enumerate(zip(POINTS, means, strict=False)):
        results += point(lay, "mix", p, mean, row)
    assert judge_view(only(config, "C6"), view(results))["C6"].verdict == verdict


def test_gain_needs_all_its_tests(view, lay, config):
    base = point(lay, "real", 1.0, 0.980, 5)
    gains = sweep(lay, "add_synthetic", [0.981, 0.983, 0.985, 0.987])
    judged = judge_view(only(config, "C7"), view(base + gains))["C7"]
    # four points of four: the sign test alone cannot be below 2 / 16
    assert judged.verdict == "inconclusive"
    effects = dict(judged.effects)
    assert effects["paired_difference"].p_for < 0.001
    assert effects["sign_test"].p_for == pytest.approx(0.125)
    assert judged.p[0] == pytest.approx(0.125)


def test_steps_explain_the_gain(view, lay, config):
    equal = point(lay, "add_real", 1.0, 0.985, 0) + point(lay, "step_matched", 1.0, 0.985, 1)
    assert judge_view(only(config, "C10"), view(equal))["C10"].verdict == "supported"
    apart = point(lay, "add_real", 1.0, 0.985, 0) + point(lay, "step_matched", 1.0, 0.975, 1)
    assert judge_view(only(config, "C10"), view(apart, "other"))["C10"].verdict == "contradicted"


def test_sharpness_over_beta(view, lay, config):
    energies = {0.25: 0.05, 1.0: 0.04, 4.0: 0.02}
    results = [
        (lay.synthetic(r, beta=beta), {
            "high_frequency_energy": energy + 0.0001 * r, "label_agreement": 0.98 + 0.001 * r,
        })
        for r in range(3)
        for beta, energy in energies.items()
    ]  # fmt: skip
    judged = judge_view(only(config, "C11", "C12"), view(results))
    assert judged["C12"].verdict == "supported" and judged["C12"].n == 3
    assert judged["C11"].verdict == "supported"
    assert judged["C11"].effects[0][1].effect == pytest.approx(0.981)


def test_holm_weakens_primary_claims_only(view, lay, config):
    made = view(point(lay, "real", 1.0, 0.98, 0) + point(lay, "synthetic", 1.0, 0.9795, 1))
    raw = evaluate(by_id(config, "C1"), made).p[0]
    assert judge_view(config, made)["C1"].p[0] == pytest.approx(min(1, 5 * raw))
    alone = judge_view(only(config, "C1", "C2"), made)
    assert alone["C1"].p[0] == pytest.approx(raw)
    assert alone["C2"].p == evaluate(by_id(config, "C2"), made).p


def test_presets_decide_what_may_be_said(view, lay, config):
    config = only(config, "C1")
    results = point(lay, "real", 1.0, 0.98, 0) + point(lay, "synthetic", 1.0, 0.96, 1)
    assert judge_view(config, view(results, "a", label="lite"))["C1"].verdict == "indicative"
    assert judge_view(config, view(results, "b", label="smoke"))["C1"].verdict == "none"
    stand_in = judge_view(config, view(results, "c", route="stand_in"))["C1"]
    assert (stand_in.verdict, stand_in.reason) == ("none", "stand-in data: no verdict")
    few = point(lay, "real", 1.0, 0.98, 0, 2) + point(lay, "synthetic", 1.0, 0.96, 1, 2)
    judged = judge_view(config, view(few, "d"))["C1"]
    assert (judged.verdict, judged.reason) == ("inconclusive", "n=2, 3 needed")


def test_missing_arms_are_named(view, lay, config):
    config, made = only(config, "C1"), view(point(lay, "real", 1.0, 0.98, 0))
    judged = judge_view(config, made)["C1"]
    assert judged.verdict == "not run"
    assert judged.reason == "synthetic only, p = 1: not part of the plan paper"
    assert judge_view(config, None)["C1"].verdict == "not run"


def test_unknown_test_is_refused(view, lay, config):
    claim = dataclasses.replace(by_id(config, "C1"), tests=({"name": "guess"},))
    with pytest.raises(ValueError, match=r"Received: C1 \['guess'\]"):
        evaluate(claim, view(point(lay, "real", 1.0, 0.98, 0)))
    assert "guess" not in TESTS
