"""Claims and cells about accuracies on few images: by hand, on synthetic records."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from replicate.report.cells import measure
from replicate.report.claim_tests import TESTS, Data, gather, run_test
from replicate.report.claims import evaluate
from replicate.report.config import Claim, Selector, Series
from replicate.report.digitised import read_rows

IMAGES = 76


def curve_series(name, arm, curve, x, over=()):
    selector = Selector("classifier", {"arm": arm, "p": 1.0}, curve=curve)
    return Series(name, name, selector, x, over)


@pytest.fixture
def config(config):
    """The study's own file with series over images and epochs."""
    more = {"rising": curve_series("rising", "real", "train", "epoch")}
    for arm in ("real", "synthetic"):
        right = curve_series(f"{arm}_right", arm, "right", "image", tuple(range(1, IMAGES + 1)))
        plain = Selector("classifier", {"arm": arm, "p": 1.0}, "test_accuracy")
        more |= {right.name: right, f"{arm}_plain": Series(arm, arm, plain, "")}
    return dataclasses.replace(config, series={**config.series, **more})


@pytest.fixture
def tables():
    """Which of 76 images two networks recognise, for four replicates."""
    rng = np.random.default_rng(3)
    hard = rng.random(IMAGES)
    return [(rng.random((4, IMAGES)) < share * (1.3 - 0.6 * hard)) * 1.0 for share in (0.8, 0.6)]


def results(lay, tables):
    return [
        (lay.classifier(arm, 1.0, replicate), {
            "test_accuracy": float(row.mean()), "right": row.tolist(), "train": [0.1, 0.5, 0.9],
        })
        for arm, table in zip(("real", "synthetic"), tables, strict=True)
        for replicate, row in enumerate(table)
    ]  # fmt: skip


def effect_of(view, test):
    return run_test(gather(view, test), test)


BY_IMAGE = {"a": {"series": "real_right"}, "b": {"series": "synthetic_right"}}
BY_RUN = {"a": {"series": "real_plain"}, "b": {"series": "synthetic_plain"}, "n_test": IMAGES}


def test_images_are_paired(view, lay, tables):
    made = view(results(lay, tables))
    effect = effect_of(made, {"name": "accuracy_difference", **BY_IMAGE})
    table = tables[0] - tables[1]
    variances = [table.mean(axis).var(ddof=1) / table.shape[1 - axis] for axis in (0, 1)]
    assert effect.effect == pytest.approx(table.mean())
    df = sum(variances) ** 2 / (variances[0] ** 2 / 75 + variances[1] ** 2 / 3)
    half = stats.t.ppf(0.975, df) * math.sqrt(sum(variances))
    # replicates of the synthetic arm share generators 0, 1, 2, 0: at least as wide as without
    assert effect.high - effect.low >= 2 * half * 0.999
    assert effect.note == "76 images, paired" and effect.n == 4


def test_binomial_error_joins_where_images_are_not_told_apart(view, lay, tables):
    made = view(results(lay, tables))
    plain = effect_of(made, {"name": "paired_difference", **BY_RUN})
    wide = effect_of(made, {"name": "accuracy_difference", **BY_RUN})
    assert wide.effect == pytest.approx(plain.effect)
    assert wide.high - wide.low > 0.25  # two accuracies on 76 images, each ± 0.1
    same = effect_of(made, {"name": "accuracy_equivalence", "margin": 0.5, **BY_RUN})
    assert same.p_for < 0.05 and same.note == "76 images, binomial"


def test_images_are_counted_by_the_records(view, lay, config, tables):
    """The fewest of the replicates that are compared: one of them lacks six images."""
    counted = results(lay, tables)
    for trial, metrics in counted:
        metrics["n_val"] = 70 if trial.replicate == 2 else IMAGES
    made = view(counted)
    series = Selector("classifier", {"arm": "real", "p": 1.0}, "n_val")
    more = {**config.series, "images": Series("images", "images", series, "")}
    made.config = dataclasses.replace(made.config, series=more)
    test = {"name": "accuracy_difference", **BY_RUN, "n_test": {"series": "images"}}
    effect, fixed = effect_of(made, test), effect_of(made, test | {"n_test": 70})
    assert effect.note == "70 images, binomial"
    assert (effect.effect, effect.low, effect.high) == (fixed.effect, fixed.low, fixed.high)
    assert fixed.high > effect_of(made, test | {"n_test": IMAGES}).high


def test_an_accuracy_is_above_a_bound_if_its_images_allow(view, lay, tables):
    made = view(results(lay, tables))
    mean = float(tables[0].mean())
    test = {"name": "accuracy_threshold", "a": {"series": "real_plain"}, "n_test": IMAGES}
    few = effect_of(made, test | {"above": mean - 0.06})
    many = effect_of(made, test | {"above": mean - 0.06, "n_test": 10_000})
    assert few.effect == pytest.approx(mean) and few.note == "76 images, binomial"
    assert few.p_for > many.p_for > 0.05 and few.high - few.low > many.high - many.low
    assert effect_of(made, test | {"above": mean - 0.2}).p_for < 0.05
    assert effect_of(made, test | {"above": mean + 0.2}).p_against < 0.05


def test_equivalence_of_one_arm_to_a_value(view, lay, tables):
    made = view(results(lay, tables))
    mean = float(tables[0].mean())
    test = {"name": "accuracy_equivalence", "a": {"series": "real_plain"}, "n_test": IMAGES}
    assert effect_of(made, test | {"margin": 0.2, "value": mean}).p_for < 0.05
    assert effect_of(made, test | {"margin": 0.05, "value": mean}).p_for > 0.05
    assert effect_of(made, test | {"margin": 0.05, "value": 0.1}).p_against < 0.01


def test_ratio_is_a_geometric_mean(view, lay):
    results = lay.accuracy([8.0, 9.0, 20.0], "real", 1.0)
    results += lay.accuracy([2.0, 2.0, 4.0], "synthetic", 1.0)
    made = view(results)
    test = {"name": "ratio", "a": BY_RUN["a"], "b": BY_RUN["b"], "above": 3.0}
    effect = effect_of(made, test)
    logs = np.log([4.0, 4.5, 5.0])
    assert effect.effect == pytest.approx(math.exp(logs.mean()))
    assert effect.p_for == pytest.approx(stats.ttest_1samp(logs, math.log(3)).pvalue)
    zero = view(lay.accuracy([0.0] * 3, "real", 1.0) + results[3:], "zero")
    effect = effect_of(zero, test)
    assert (effect.p_for, effect.p_against) == (1.0, 1.0) and "no ratio" in effect.note


def test_ratio_over_several_is_one_of_two_samples():
    """Five fruits over four digits: no pairs, so the spread of both joins."""
    a, b = [2.8, 3.1, 2.5, 3.6, 2.9], [1.0, 1.2, 0.9, 1.1]
    arms = {"a": [[x] for x in a]} | {f"b{i}": [[x]] * len(a) for i, x in enumerate(b)}
    groups = [str(i) for i in range(len(a))]
    data = Data(arms, dict.fromkeys(arms, [None]), groups, len(a), [], by_point=True)
    effect = run_test(data, {"name": "ratio", "above": 1.5})
    logs = [np.log(a) - np.log(1.5), np.log(b)]
    expected = stats.ttest_ind(*logs, equal_var=False)
    low, high = expected.confidence_interval()
    assert effect.effect == pytest.approx(1.5 * math.exp(logs[0].mean() - logs[1].mean()))
    found = effect.p_for, effect.low, effect.high
    assert found == pytest.approx((expected.pvalue, 1.5 * math.exp(low), 1.5 * math.exp(high)))
    assert effect.note == "5 against 4"
    other = run_test(data, {"name": "ratio", "above": 9.0})
    assert other.p_against < 0.01 and (other.low, other.high) == (effect.low, effect.high)
    with pytest.raises(ValueError, match="Expected units other than replicates"):
        run_test(dataclasses.replace(data, by_point=False), {"name": "ratio", "above": 1.5})


def test_points_beside_a_number_of_images_are_no_images(view, lay):
    """The mean over three shares of the real set, each on 76 images, not three images."""
    results = [r for p in (0.25, 0.5, 1.0) for r in lay.accuracy([0.8, 0.9, 0.85], "real", p)]
    arms = {"a": {"series": "real"}, "n_test": IMAGES}
    effect = effect_of(view(results), {"name": "accuracy_equivalence", **arms, "margin": 0.2})
    assert effect.n == 3 and effect.note == "76 images, binomial"


def test_points_of_a_curve_are_its_epochs(view, lay):
    steps = [
        (lay.classifier("real", 1.0, r, epochs=3), {"train": [0.1, 0.5, 0.9]}) for r in range(3)
    ]
    made = view(steps, "steps")
    data = gather(made, {"name": "monotone", "a": {"series": "rising"}, "direction": "rising"})
    assert data.points["a"] == [1, 2, 3] and data.arms["a"][0] == [0.1, 0.5, 0.9]
    pinned = gather(made, {"name": "threshold", "a": {"series": "rising", "epoch": 2}})
    assert pinned.arms["a"] == [[0.5]] * 3


def test_names_are_known_and_displayed():
    from replicate.report.tables import EFFECTS

    assert {"accuracy_difference", "accuracy_equivalence", "ratio"} <= set(TESTS) & set(EFFECTS)


# 55 of 76 right: exact interval [0.609, 0.820]; five replicates on the same images
@pytest.mark.parametrize(
    "values, verdict",
    [
        ([0.70, 0.71, 0.72, 0.73, 0.74], "reproduced"),
        ([0.56, 0.57, 0.58, 0.59, 0.60], "reproduced"),  # 0.144 off; h = 0.125, margin 0.051
        ([0.50, 0.51, 0.52, 0.53, 0.54], "not reproduced"),
        ([0.60, 0.66, 0.72, 0.78, 0.84], "inconclusive"),  # h = 0.31: agrees with anything
    ],
)
def test_cell_of_few_images(view, lay, config, values, verdict):
    cell = next(c for c in config.cells if c.block == "fig6" and c.label == "p = 1")
    cell = dataclasses.replace(cell, reported=55 / 76, n=1, sd=None, margin=0.0513, n_test=IMAGES)
    measured = measure(cell, view(lay.accuracy(values, "real", 1.0)))
    assert measured.verdict == verdict
    low, high = proportion_confint(round(np.mean(values) * IMAGES), IMAGES, method="beta")
    assert measured.interval.low < low and measured.interval.high > high
    alone = dataclasses.replace(cell, n_test=0)
    narrow = measure(alone, view(lay.accuracy(values, "real", 1.0), "again"))
    assert narrow.interval.half_width < measured.interval.half_width
    if verdict == "reproduced" and values[0] < 0.6:
        assert narrow.verdict == "not reproduced"  # 0.144 > 0.048 + 0.051


def test_rows_of_a_file(tmp_path, config):
    text = "label,arm,epoch,reported,margin,n_test\nfirst,real,1,0.5,0.05,76\n"
    (tmp_path / "curve.csv").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    block = {"id": "curve", "file": "curve.csv", "sha256": digest}
    assert read_rows(block, tmp_path) == [
        {"label": "first", "arm": "real", "epoch": 1, "reported": 0.5, "margin": 0.05, "n_test": 76}
    ]
    (tmp_path / "curve.csv").write_text(text.replace("0.05", "0.06"))
    with pytest.raises(ValueError, match=f"Expected .*curve.csv with SHA-256 {digest}"):
        read_rows(block, tmp_path)
    with pytest.raises(ValueError, match="Expected a file with the rows of curve"):
        read_rows(block | {"file": "none.csv"}, tmp_path)


def test_a_claim_by_images_is_judged(view, lay, tables, config):
    test = {"name": "accuracy_difference", **BY_IMAGE}
    claim = Claim("X", False, False, "", "", "", "", "", (test,))
    judged = evaluate(claim, view(results(lay, tables)))
    assert judged.n == 4 and judged.p[0] < 0.05
