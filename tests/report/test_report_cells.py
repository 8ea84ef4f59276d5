"""Verdicts of reported numbers, by hand."""

import pytest

from replicate.report.cells import compare, measure

# real at p = 1: reported 0.98041 by ten networks, margin 0.005


@pytest.fixture
def cell(config):
    """The reported number of Figure 6 at p = 1."""
    return next(c for c in config.cells if c.block == "fig6" and c.label == "p = 1")


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0.980, 0.981, 0.982], "reproduced"),  # h = 4.303 * 0.001 * sqrt(1/3 + 1/10) = 0.0028
        ([0.990, 0.991, 0.992], "not reproduced"),  # distance 0.0106 > 0.0028 + 0.005
        ([0.960, 0.980, 1.000], "inconclusive"),  # h = 0.0567 > 0.015
    ],
)
def test_verdict_by_hand(view, lay, cell, values, expected):
    measured = measure(cell, view(lay.accuracy(values, "real", 1.0)))
    assert measured.verdict == expected
    assert measured.interval.mean == pytest.approx(sum(values) / 3)


def test_two_replicates_decide_nothing(view, lay, cell):
    results = lay.accuracy([0.980, 0.981, 0.5], "real", 1.0)
    measured = measure(cell, view(results, missing=[results[2][0].key]))
    assert (measured.verdict, measured.reason) == ("inconclusive", "n=2, 3 needed")
    assert (measured.interval.n, measured.planned) == (2, 3)


@pytest.mark.parametrize("label, verdict", [("lite", "indicative"), ("smoke", "none")])
def test_no_verdict_below_paper(view, lay, cell, label, verdict):
    made = view(lay.accuracy([0.980, 0.981, 0.982], "real", 1.0), label=label)
    assert measure(cell, made).verdict == verdict


def test_overridden_plan_gets_no_verdict(view, lay, cell):
    made = view(lay.accuracy([0.980, 0.981, 0.982], "real", 1.0), label="paper-1a2b3c")
    assert measure(cell, made).verdict == "none"


def test_stand_in_gets_no_verdict_even_at_paper(view, lay, cell):
    made = view(lay.accuracy([0.980, 0.981, 0.982], "real", 1.0), route="stand_in")
    measured = measure(cell, made)
    assert (measured.verdict, measured.reason) == ("none", "stand-in data: no verdict")


def test_one_generator_is_said(view, lay, config):
    cell = next(c for c in config.cells if c.block == "fig7" and c.label == "p = 1")
    results = [
        (lay.classifier("synthetic", 1.0, replicate), {"test_accuracy": value})
        for replicate, value in zip((0, 3, 6), (0.960, 0.961, 0.962), strict=True)
    ]
    measured = measure(cell, view(results))
    assert measured.verdict == "reproduced"
    assert measured.reason == "one generator: interval excludes generator variance"


def test_three_generators_widen_the_prediction(view, lay, config):
    cell = next(c for c in config.cells if c.block == "fig7" and c.label == "p = 1")
    shifted = [0.952, 0.956, 0.960] * 3  # replicate r has generator r mod 3: all variance between
    noise = [0.0001, -0.0001, 0.0, 0.0, 0.0001, -0.0001, -0.0001, 0.0, 0.0001]
    values = [a + b for a, b in zip(shifted, noise, strict=True)]
    measured = measure(cell, view(lay.accuracy(values, "synthetic", 1.0)))
    # h = 4.30 * 0.004 * sqrt(1/3 + 1) = 0.0199 > 0.015; by networks alone 0.0056: reproduced
    assert measured.verdict == "inconclusive"


def test_calibration_cells_are_never_scored(view, lay, cell):
    import dataclasses

    fitted = dataclasses.replace(cell, tag="F")
    measured = measure(fitted, view(lay.accuracy([0.980, 0.981, 0.982], "real", 1.0)))
    assert measured.verdict == "calibration"


def test_sides_stay_apart(view, lay, config, cell):
    mine = view(lay.accuracy([0.5, 0.51, 0.52], "real", 1.0), label="lite")
    theirs = view(lay.accuracy([0.980, 0.981, 0.982], "real", 1.0), "results", "shipped")
    results = compare(config, {"shipped": [theirs], "yours": [mine]})
    row = next(r for r in results if r.cell == cell)
    assert row.sides["shipped"].verdict == "reproduced"
    assert row.sides["yours"].verdict == "indicative"
    assert row.sides["yours"].interval.mean == pytest.approx(0.51)


def test_no_plan_is_not_run(cell):
    assert measure(cell, None).verdict == "not run"


def test_calibration_cells_tell_what_other_choices_give(view, lay, cell):
    import dataclasses

    choices = ({"init": "keras"}, {"init": "zeros"}, {"init": "absent"})
    fitted = dataclasses.replace(cell, tag="F", alternatives=choices)
    results = lay.accuracy([0.980, 0.981], "real", 1.0)
    results += lay.accuracy([0.970, 0.972], "real", 1.0, init="keras")
    results += lay.accuracy([0.100, 0.102], "real", 1.0, init="zeros")
    made = view([*results, (lay.classifier("real", 1.0, 2), {"test_accuracy": 0.982})])
    assert measure(fitted, made).reason == (
        "used to choose an open setting; never scored; other choices give 0.1010 to 0.9710"
    )
    alone = dataclasses.replace(fitted, alternatives=choices[:1])
    assert measure(alone, made).reason.endswith("; the other choice gives 0.9710")


def test_the_spread_is_that_within_generators(view, lay, cell):
    import dataclasses

    drawn = dataclasses.replace(cell, selector=cell.selector.at(arm="synthetic"))
    values = [0.96, 0.90, 0.93, 0.97, 0.92, 0.92]  # generators 0, 1, 2, 0, 1, 2
    measured = measure(drawn, view(lay.accuracy(values, "synthetic", 1.0)))
    within = [0.01**2 / 2, 0.02**2 / 2, 0.01**2 / 2]  # sample variances of pairs
    assert measured.sd == pytest.approx((sum(within) / 3) ** 0.5)
    real = measure(cell, view(lay.accuracy([0.96, 0.98, 0.97], "real", 1.0), "other"))
    assert real.sd == pytest.approx(0.01)
    alone = measure(cell, view(lay.accuracy([0.96], "real", 1.0), "single"))
    assert alone.sd is None
