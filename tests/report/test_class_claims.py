"""Claims whose units are classes, series without an x and over metrics, on cifar_dcgan's file."""

import numpy as np
import pytest
from report_stores import only, trials_of

from replicate.report.claims import evaluate, judge_view
from replicate.report.tables import claims_table, extras_tables

STUDY = "cifar_dcgan"
MADE = {"arch": "a", "gan_loss": "nonsaturating", "learning_rate_d": 0.0002}
KLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
trial = trials_of(STUDY, source="per_class")
NOISE = np.random.default_rng(3).normal(0, 0.002, (8, 10))


def evaluation(klass, metrics, point="last", extractor="classifier"):
    settings = {"klass": klass, "extractor": extractor, "point": point} | MADE
    return trial("evaluation", 0, {"synthetic": f"set of {klass}"}, **settings), metrics


def classifiers(arm, metrics, n=10):
    """Replicates of an arm; `metrics` maps a name to its mean or to one number a replicate."""
    settings = {"arm": arm, "scale": "same", "kernel": 3}
    results = []
    for r in range(n):
        drawn = {k: float(v if np.isscalar(v) else v[r]) for k, v in metrics.items()}
        made = trial("classifier", r, {"airplane": "set of airplane"}, **settings)
        results.append((made, drawn))
    return results


def claim(study, name):
    return next(claim for claim in study.claims if claim.id == name)


def per_class(**metrics):
    return [
        evaluation(klass, {name: values[i] for name, values in metrics.items()})
        for i, klass in enumerate(KLASSES)
    ]


def test_ten_classes_of_ten_decide_with_one_generator_each(seen, study):
    ratio = np.linspace(0.6, 0.9, 10)
    view = seen(per_class(diversity_ratio=ratio, recall=ratio - 0.3, recall_heldout=ratio))
    judged = evaluate(claim(study, "H10"), view)
    assert (judged.n, judged.reason) == (10, "10 classes, one generator each")
    less_diverse, less_covered = (effect for _, effect in judged.effects)
    assert less_diverse.effect == less_covered.effect == 1
    assert judged.p[0] == pytest.approx(2 / 2**10)
    assert "less diverse, 10 of 10 positive" in less_diverse.note
    assert judge_view(only(study, "H10"), view)["H10"].verdict == "supported"


def test_unfinished_classes_are_left_out_and_counted(seen, study):
    results = per_class(frechet=np.linspace(5, 9, 10))
    half = [evaluation(k, {"frechet": 20.0}, "half") for k in KLASSES]
    missing = {trial.key for trial, _ in [results[0], half[1], half[2]]}
    judged = evaluate(claim(study, "H12"), seen(results + half, missing=missing))
    assert judged.n == 7
    assert judged.reason == "7 of 10 classes, one generator each"
    assert judged.effects[0][1].note == "7 of 7 positive"


@pytest.mark.parametrize(
    "recalls, verdict",
    [
        ([0.4, 0.3, 0.8, 0.1, 0.9, 0.6, 0.2, 0.5, 0.7, 0.0], "inconclusive"),
        (np.linspace(0.1, 0.9, 10), "contradicted"),  # a strong association
    ],
)
def test_rank_association_across_stages(seen, study, recalls, verdict):
    recognised = {f"recall_{k}_real_selected": r for k, r in zip(KLASSES, recalls, strict=True)}
    view = seen(per_class(frechet=np.arange(10.0)) + classifiers("synthetic", recognised))
    judged = judge_view(only(study, "H9"), view)["H9"]
    assert judged.verdict == verdict
    assert judged.reason == "10 classes, one generator each"
    ((name, effect),) = judged.effects
    assert name == "rank_association" and effect.n == 10
    distances, recognition = judged.evidence[:10], judged.evidence[10]
    assert [each.mean for each in distances] == list(range(10))
    assert recognition.arm.endswith(", mean over 10 values of klass")
    assert len(recognition.records) == 10 and len(judged.keys) == 20
    assert recognition.mean == pytest.approx(np.mean(recalls))


def test_classes_pair_by_name_not_by_position(seen, study):
    some = [evaluation(k, {"frechet": float(i)}) for i, k in enumerate(KLASSES) if k != "airplane"]
    recognised = {f"recall_{k}_real_selected": i / 10 for i, k in enumerate(KLASSES)}
    view = seen(some + classifiers("synthetic", recognised))
    judged = evaluate(claim(study, "H9"), view)
    assert judged.n == 9 and judged.effects[0][1].effect == pytest.approx(1)


def test_one_class_alone_never_stands_for_the_others(seen, study):
    recognised = {f"recall_{k}_real_selected": 0.1 for k in KLASSES}
    horse = [evaluation("horse", {"frechet": 5.0})]
    judged = evaluate(claim(study, "H9"), seen(horse + classifiers("synthetic", recognised)))
    assert judged.verdict == "not run"
    assert judged.reason == "1 of 10 classes, one generator each: a rank association needs four"


@pytest.mark.parametrize("mean, verdict", [(0.14, "supported"), (0.4, "contradicted")])
def test_a_bound_from_below(seen, study, mean, verdict):
    view = seen(classifiers("synthetic", {"test_accuracy_real_selected": mean + NOISE[0]}))
    judged = judge_view(only(study, "H1"), view)["H1"]
    assert judged.verdict == verdict
    assert judged.reason == "one generator: interval excludes generator variance"


def test_merged_images_need_the_real_test_set(seen, study):
    real = classifiers("real", {"test_accuracy_real_selected": 0.72 + NOISE[0]})
    merged = {"test_accuracy_mixed_selected": 0.85 + NOISE[1]}
    worse = classifiers("mixed", merged | {"test_accuracy_real_selected": 0.70 + NOISE[2]})
    judged = judge_view(only(study, "H5"), seen(real + worse))["H5"]
    assert judged.verdict == "contradicted"  # by the report's own reading it would hold
    assert [effect.effect > 0 for _, effect in judged.effects] == [False, True]
    better = classifiers("mixed", merged | {"test_accuracy_real_selected": 0.74 + NOISE[2]})
    assert judge_view(only(study, "H5"), seen(real + better, "other"))["H5"].verdict == "supported"


def test_overfitting_needs_all_three_signs(seen, study):
    metrics = {
        "train_accuracy_selected": 0.78 + NOISE[0], "train_accuracy_last": 0.86 + NOISE[1],
        "val_accuracy_real_selected": 0.71 + NOISE[2], "val_accuracy_real_last": 0.71 + NOISE[3],
    }  # fmt: skip
    view = seen(classifiers("real", metrics))
    assert judge_view(only(study, "H8"), view)["H8"].verdict == "supported"
    metrics["val_accuracy_real_last"] = 0.76 + NOISE[3]
    view = seen(classifiers("real", metrics), "other")
    assert judge_view(only(study, "H8"), view)["H8"].verdict == "contradicted"


def test_one_generator_decides_nothing_about_learning_rates(seen, study):
    def horse(rate, accuracy):
        settings = {"klass": "horse"} | MADE | {"learning_rate_d": rate}
        return trial("generator", **settings), {"d_accuracy": accuracy, "g_loss": accuracy}

    judged = judge_view(only(study, "H11"), seen([horse(0.0002, 0.8), horse(0.001, 0.99)]))["H11"]
    assert (judged.verdict, judged.reason) == ("inconclusive", "n=1, 3 needed")
    assert judged.effects[0][1].effect == pytest.approx(0.19)


def test_a_metric_that_records_lack_is_named(seen, study):
    view = seen(classifiers("synthetic", {"test_accuracy_real_last": 0.2}))
    judged = evaluate(claim(study, "H1"), view)
    assert judged.reason == (
        "synthetic, tested on real: 10 of 10 done, without test_accuracy_real_selected"
    )


def test_table_1_is_shown_without_a_verdict(seen, study):
    from replicate.report.cells import measure

    view = seen([evaluation("cat", {"frechet": 50.0}, extractor="inception_imagenet")])
    cell = next(c for c in study.cells if c.label == "klass = cat")
    measured = measure(cell, view)
    assert measured.interval.mean == 50.0
    assert (measured.verdict, measured.reason) == ("none", cell.unscored)


def test_metrics_have_a_column_each_and_sides_without_a_run_none(seen, study):
    view = seen(classifiers("real", {"test_accuracy_real_last": 0.72, "train_accuracy_last": 0.9}))
    table = next(t for t in extras_tables(study, [view]) if t.id == "extra_both_epochs")
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["point"] == "arm = real"
    assert row["test accuracy real last"].startswith("0.7200")
    assert row["test accuracy real selected"] == "-"
    from replicate.report.claims import judge

    study = only(study, "H1")
    shown = claims_table(judge(study, {"shipped": [], "yours": [view]}), False)
    assert shown.columns == ("", "claim", "reported", "tested", "yours", "verdict")
    nothing = claims_table(judge(study, {"shipped": [], "yours": []}), False)
    assert nothing.columns[-2:] == ("shipped", "verdict")
