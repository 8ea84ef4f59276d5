"""Claims whose units are classes, series without an x and over metrics, on cifar_dcgan's file."""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest
from report_stores import only, trials_of

from replicate.report.cells import measure
from replicate.report.claim_tests import gather
from replicate.report.claims import evaluate, judge_view
from replicate.report.config_check import check
from replicate.report.tables import claims_table, effect_lines, extras_tables
from replicate.report.views import EVERY, views_of

STUDY = "cifar_dcgan"
PATH = Path(__file__).parents[2] / "paper_configs" / f"{STUDY}.toml"
MADE = {"arch": "a", "gan_loss": "nonsaturating", "learning_rate_d": 0.0002}
KLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
trial = trials_of(STUDY, source="per_class")
NOISE = np.random.default_rng(3).normal(0, 0.002, (8, 10))


def evaluation(klass, metrics, point="last", extractor="classifier", replicate=0):
    settings = {"klass": klass, "extractor": extractor, "point": point} | MADE
    inputs = {"synthetic": f"{klass}#{replicate}", "judge": "judge"}
    return trial("evaluation", replicate, inputs, **settings), metrics


def classifiers(arm, metrics, n=10, generators=1, **changed):
    """Replicates of an arm; `metrics` maps a name to its mean or to one number a replicate.

    Curves (lists) and artifacts (dictionaries) are those of every replicate.
    """
    settings = {"arm": arm, "scale": "same", "kernel": 3} | changed
    results = []
    for r in range(n):
        drawn = {
            k: v if isinstance(v, (list, dict)) else float(v if np.isscalar(v) else v[r])
            for k, v in metrics.items()
        }
        inputs = {klass: f"{klass}#{r % generators}" for klass in KLASSES}
        results.append((trial("classifier", r, inputs, **settings), drawn))
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


def of_all_replicates(study):
    """The study whose series of classes hold every replicate that a class has."""
    series = {
        name: dataclasses.replace(each, selector=dataclasses.replace(each.selector, settings=kept))
        for name, each in study.series.items()
        for kept in [{k: v for k, v in each.selector.settings.items() if k != EVERY}]
    }
    return dataclasses.replace(study, series=series)


def numbers_of(study, view, name):
    """The numbers of a claim's only test."""
    (test,) = claim(study, name).tests
    return gather(view, test)


def test_a_class_of_more_generators_in_one_arm_is_compared_by_those_of_both(fake, study):
    """Horses have a second generator at the last epoch, none of which was kept at half."""
    study = of_all_replicates(study)
    results = per_class(frechet=np.linspace(5, 9, 10))
    results += [evaluation(k, {"frechet": 20.0}, "half") for k in KLASSES]
    results += [evaluation("horse", {"frechet": 1000.0}, replicate=1)]
    fake("runs", STUDY).add(results, shipped=True)
    (view,) = views_of("yours", fake("runs", STUDY).root, study)
    assert view.sample(study.series["frechet_proxy"].at("horse")).n == 2
    data = numbers_of(study, view, "H12")
    assert [row[0] for row in data.arms["b"]] == pytest.approx(np.linspace(5, 9, 10))
    judged = evaluate(claim(study, "H12"), view)
    assert judged.reason == "10 classes, one generator each"
    assert judged.effects[0][1].note == "10 of 10 positive"
    assert len(judged.keys) == 20  # the second generator is not among its records


@pytest.mark.parametrize("generators", [1, 3])
def test_a_classifier_is_compared_with_the_generators_that_it_learned_from(fake, study, generators):
    """Of three generators of horses one, or all, made what the classifiers saw."""
    study = of_all_replicates(study)
    results = [evaluation(k, {"frechet": 7.0}) for k in KLASSES if k != "horse"]
    distances = (5.0, 50.0, 500.0)
    results += [evaluation("horse", {"frechet": d}, replicate=r) for r, d in enumerate(distances)]
    recalls = {f"recall_{k}_real_selected": np.arange(10) / 10 for k in KLASSES}
    results += classifiers("synthetic", recalls, generators=generators)
    fake("runs", STUDY).add(results, shipped=True)
    (view,) = views_of("yours", fake("runs", STUDY).root, study)
    data = numbers_of(study, view, "H9")
    horse = KLASSES.index("horse")
    assert data.arms["a"][horse] == [np.mean(distances[:generators])]
    assert data.arms["b"][horse] == [pytest.approx(0.45)]
    # of cats one generator is measured: of three, a third of the classifiers learned from it
    cat = [0, 3, 6, 9] if generators == 3 else range(10)
    assert data.arms["b"][KLASSES.index("cat")] == [pytest.approx(np.mean(cat) / 10)]


def test_a_class_whose_measured_generator_no_classifier_saw_is_left_out(fake, study):
    study = of_all_replicates(study)
    results = [evaluation(k, {"frechet": 7.0}, replicate=int(k == "cat")) for k in KLASSES]
    results += classifiers("synthetic", {f"recall_{k}_real_selected": 0.5 for k in KLASSES})
    fake("runs", STUDY).add(results, shipped=True)
    (view,) = views_of("yours", fake("runs", STUDY).root, study)
    assert evaluate(claim(study, "H9"), view).n == 9


def test_tables_and_bars_of_classes_hold_as_many_generators_of_each(seen, study):
    """What an extension trained beside shows where it is compared, not among the classes."""
    results = per_class(frechet=np.linspace(5, 9, 10), kid=np.zeros(10))
    results += [evaluation("horse", {"frechet": 1000.0, "kid": 0.0}, replicate=1)]
    view = seen(results)
    tables = {table.id: table for table in extras_tables(study, [view])}
    proxy = {row[2]: row[3] for row in tables["extra_proxy"].rows}
    assert set(proxy) == {f"klass = {k}" for k in KLASSES}
    assert all(text.endswith("n = 1") for text in proxy.values())
    ((_, _, _, distance, *_),) = tables["extra_networks"].rows
    assert distance.endswith("n = 2")
    series = study.series["frechet_proxy"]
    assert view.points(series.selector, "klass") == sorted(KLASSES)
    assert {view.sample(series.at(k)).n for k in KLASSES} == {1}
    both = seen([*results, *(evaluation(k, {"frechet": 6.0}, replicate=1) for k in KLASSES)], "2")
    assert {both.sample(series.at(k)).n for k in KLASSES} == {2}


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


REAL, SYNTHETIC = "test_accuracy_real_selected", "test_accuracy_synthetic_selected"
E1, E2 = "val_accuracy_synthetic_e1", "val_accuracy_synthetic_e2"
JOINT, OTHER = {"source": "joint"}, {"scale": "other"}


@pytest.mark.parametrize(
    "name, holding, failing",
    [  # arm, number on record, its value where the claim holds and where it does not
        ("H2", [("synthetic", {}, {E1: 0.99, E2: 0.99, SYNTHETIC: 0.999})], {E1: 0.9}),
        ("H2", [("synthetic", {}, {E1: 0.99, E2: 0.99, SYNTHETIC: 0.999})], {E2: 0.9}),
        ("H2", [("synthetic", {}, {E1: 0.99, E2: 0.99, SYNTHETIC: 0.999})], {SYNTHETIC: 0.985}),
        ("H3", [("real", {}, {REAL: 0.7, SYNTHETIC: 0.5})], {SYNTHETIC: 0.75}),
        (
            "H4",
            [("synthetic", {}, {REAL: 0.14}), ("real", {}, {SYNTHETIC: 0.5})],
            {SYNTHETIC: 0.1},
        ),
        ("H7", [("synthetic", {}, {"vehicle_share_real_selected": 0.9})], 0.6),
        ("K1", [("label_shuffled", {}, {REAL: 0.1, SYNTHETIC: 0.1})], {REAL: 0.15}),
        ("K1", [("label_shuffled", {}, {REAL: 0.1, SYNTHETIC: 0.1})], {SYNTHETIC: 0.05}),
        ("K2", [("real_vs_synthetic", {}, {"test_accuracy_selected": 0.99})], 0.8),
        ("K3", [("real_half", {}, {REAL: 0.6}), ("mixed_matched", {}, {REAL: 0.65})], 0.55),
        ("K4", [("mixed", {}, {REAL: 0.7}), ("real_twice", {}, {REAL: 0.75})], 0.65),
        ("K5", [("synthetic", {}, {E1: 0.99}), ("synthetic", JOINT, {E1: 0.8})], 0.985),
        ("K6", [("synthetic", {}, {REAL: 0.2}), ("synthetic", JOINT, {REAL: 0.3})], 0.1),
        (
            "K7",
            [
                *(("synthetic", {}, {REAL: 0.2}), ("real", {}, {SYNTHETIC: 0.5})),
                *(("real", OTHER, {SYNTHETIC: 0.4}), ("synthetic", OTHER, {REAL: 0.1})),
            ],
            0.3,
        ),
        (
            "K7",
            [
                *(("synthetic", {}, {REAL: 0.2}), ("real", {}, {SYNTHETIC: 0.5})),
                *(("synthetic", OTHER, {REAL: 0.1}), ("real", OTHER, {SYNTHETIC: 0.4})),
            ],
            0.6,
        ),
    ],
)
def test_each_claim_has_a_direction_and_a_bound(seen, study, name, holding, failing):
    """It is supported, and contradicted as soon as one number of its last arm is another."""

    def verdict(arms, label):
        results = []
        for i, (arm, changed, metrics) in enumerate(arms):
            noisy = {metric: mean + NOISE[i] / 4 for metric, mean in metrics.items()}
            results += classifiers(arm, noisy, **changed)
        return judge_view(only(study, name), seen(results, label))[name].verdict

    assert verdict(holding, "paper") == "supported"
    arm, changed, metrics = holding[-1]
    other = failing if isinstance(failing, dict) else dict.fromkeys(metrics, failing)
    assert verdict([*holding[:-1], (arm, changed, metrics | other)], "other") == "contradicted"


@pytest.mark.parametrize("generators", [1, 2])
def test_a_network_of_real_images_rests_on_no_generator(seen, study, generators):
    """Its trial has the sets that it is tested on as inputs."""
    metrics = {REAL: 0.7 + NOISE[0], SYNTHETIC: 0.5 + NOISE[1]}
    view = seen(classifiers("real", metrics, generators=generators))
    on_real, on_synthetic = (
        view.sample(study.series[name].selector) for name in ("real_on_real", "real_on_synthetic")
    )
    assert set(on_real.groups.values()) == {""} and not on_real.one_generator
    assert len(set(on_synthetic.groups.values())) == generators
    rows = {cell.label: measure(cell, view) for cell in study.cells}
    said = "one generator: interval excludes generator variance"
    assert rows["1: real, tested on real"].reason == ""
    assert rows["4: real, tested on synthetic"].reason == (said if generators == 1 else "")
    wrong = PATH.read_text().replace('arm = ["real", "real_half", "real_twice"]', 'arm = "real"')
    place = r"\[\[inputs_unused\]\] number 1"
    with pytest.raises(ValueError, match=f"Expected a list as arm in {place}. Received: 'real'"):
        check(tomllib.loads(wrong))


@pytest.mark.parametrize("generators, told", [(1, "n = 10;"), (3, "n = 10 on 3 generators;")])
@pytest.mark.parametrize("label", ["paper", "lite"])
def test_a_claim_s_number_of_runs_names_their_generators(seen, study, label, generators, told):
    """Of one, the verdict says that its variance is missing, at any preset."""
    results = classifiers("synthetic", {REAL: 0.14 + NOISE[0]}, generators=generators)
    judged = judge_view(only(study, "H1"), seen(results, label=label))["H1"]
    assert effect_lines(judged)[-1].startswith(told)
    caveat = "one generator: interval excludes generator variance"
    assert judged.reason == (caveat if generators == 1 else "")
    assert judged.settled == (label == "paper")


def test_merged_images_need_the_real_test_set(seen, study):
    real = classifiers("real", {"test_accuracy_real_selected": 0.72 + NOISE[0]})
    merged = {"test_accuracy_mixed_selected": 0.85 + NOISE[1]}
    worse = classifiers("mixed", merged | {"test_accuracy_real_selected": 0.70 + NOISE[2]})
    judged = judge_view(only(study, "H5"), seen(real + worse))["H5"]
    assert judged.verdict == "contradicted"  # by the report's own reading it would hold
    assert [effect.effect > 0 for _, effect in judged.effects] == [False, True]
    better = classifiers("mixed", merged | {"test_accuracy_real_selected": 0.74 + NOISE[2]})
    assert judge_view(only(study, "H5"), seen(real + better, "other"))["H5"].verdict == "supported"


def confusions(cat, dog, others=0.8, pair=True):
    """Matrices in which each class has 1,000 images and is recognised so often.

    Cats and dogs are taken for each other, or else for birds.
    """
    recall = [{"cat": cat, "dog": dog}.get(klass, others) for klass in KLASSES]
    counts = np.diag(np.round(1000 * np.array(recall))).astype(np.int32)
    for label in range(10):
        aside = {3: 5 if pair else 2, 5: 3 if pair else 2}.get(label, (label + 1) % 10)
        counts[label, aside] += 1000 - counts[label].sum()
    return {f"{which}_selected": counts for which in ("real", "mixed", "synthetic")}


@pytest.mark.parametrize(
    "cat, dog, lead, verdict",
    [
        (0.5, 0.6, 0.02, "supported"),
        (0.5, 0.85, 0.02, "contradicted"),  # dogs are recognised more often than the others
        (0.5, 0.6, -0.02, "contradicted"),  # another pair is confused more
    ],
)
def test_cats_and_dogs_must_be_missed_most_and_confused_most(seen, study, cat, dog, lead, verdict):
    leads = {f"cat_dog_lead_{which}_selected": lead for which in ("real", "mixed", "synthetic")}
    metrics = leads | {"confusion": confusions(cat, dog)}
    view = seen(classifiers("real", metrics, 3) + classifiers("mixed", metrics, 3))
    judged = judge_view(only(study, "H6"), view)["H6"]
    assert judged.verdict == verdict
    missed, confused = judged.effects[:3], judged.effects[3:]
    assert [e.effect for _, e in missed] == pytest.approx([0.8 - max(cat, dog)] * 3)
    assert [e.effect for _, e in confused] == [pytest.approx(lead)] * 3
    assert [e.note for _, e in missed] == [f"missed most, experiment {i}" for i in (1, 3, 4)]


def test_what_is_missed_is_read_from_the_matrices_on_record(seen, study):
    leads = {f"cat_dog_lead_{which}_selected": 0.1 for which in ("real", "mixed", "synthetic")}
    judged = evaluate(claim(study, "H6"), seen(classifiers("real", leads, 3)))
    without = "cat and dog recognised least, experiment 1: 3 of 3 done, without confusion:real_sel"
    assert judged.reason.startswith(without)
    wrong = dataclasses.replace(study.series["missed_1"].selector, metric="confusion:real:lead:3")
    view = seen(classifiers("real", {"confusion": confusions(0.5, 0.6)}, 1), "other")
    with pytest.raises(ValueError, match="artifact:matrix:.*Received: confusion:real:lead:3"):
        view.sample(wrong)
    other = "confusion:elsewhere:missed_lead:3,5"
    assert not view.sample(dataclasses.replace(wrong, metric=other)).n


OVERFITTED = {  # twenty epochs each
    "train_accuracy": [*np.linspace(0.5, 0.74, 7), *np.linspace(0.75, 0.86, 13)],
    "val_accuracy_real": [*np.linspace(0.5, 0.71, 7), *[0.711] * 13],
}


def real_at(train, val):
    """Classifiers of real images with these curves, replicates apart by noise at points."""
    metrics = {"train_accuracy": list(train), "val_accuracy_real": list(val)}
    for name, curve in (("train_accuracy", train), ("val_accuracy_real", val)):
        metrics[f"{name}_selected"] = curve[9] + NOISE[len(name) % 4]
        metrics[f"{name}_last"] = curve[19] + NOISE[4 + len(name) % 4]
    return classifiers("real", metrics)


def test_overfitting_needs_every_sign(seen, study):
    train, val = OVERFITTED["train_accuracy"], OVERFITTED["val_accuracy_real"]
    judged = judge_view(only(study, "H8"), seen(real_at(train, val)))["H8"]
    assert judged.verdict == "supported"
    assert judged.effects[0][1].effect == pytest.approx(0.74 - 0.71)
    gains = [*val[:10], *np.linspace(0.72, 0.76, 10)]  # validation goes on
    judged = judge_view(only(study, "H8"), seen(real_at(train, gains), "other"))["H8"]
    assert judged.verdict == "contradicted"
    late = [*val[:6], 0.75, *[0.72] * 13]  # training lags behind at epoch 7
    judged = judge_view(only(study, "H8"), seen(real_at(train, late), "late"))["H8"]
    assert judged.verdict == "contradicted" and judged.effects[0][1].effect < 0
    later = [*val[:6], 0.69, *[0.711] * 13]  # validation still gains after epoch 7
    judged = judge_view(only(study, "H8"), seen(real_at(train, later), "later"))["H8"]
    assert judged.verdict == "contradicted"


def test_a_run_of_fewer_than_seven_epochs_says_nothing_of_the_seventh(seen, study):
    short = {name: curve[:4] for name, curve in OVERFITTED.items()}
    judged = evaluate(claim(study, "H8"), seen(classifiers("real", short)))
    told = "real, training, epoch = 7: 10 of 10 done, without train_accuracy at epoch 7"
    assert (judged.verdict, judged.reason) == ("not run", told)


def test_a_classifier_of_two_classes_has_no_row_among_those_of_ten(seen, study):
    results = classifiers("real", {"train_accuracy_last": 0.9, "recall_cat_real_selected": 0.5})
    results += classifiers("real_vs_synthetic", {"test_accuracy_selected": 0.99})
    tables = {table.id: table for table in extras_tables(study, [seen(results)])}
    for name in ("extra_both_epochs", "extra_recall"):
        assert [row[2] for row in tables[name].rows] == ["arm = real"]
    assert tables["extra_real_vs_synthetic"].rows[0][3].startswith("0.9900")


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
