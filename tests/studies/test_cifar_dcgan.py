"""cifar_dcgan end to end at smoke scale, and what its trials are made of."""

import numpy as np
import pytest
from study_trials import of

from replicate.cifar_dcgan import (
    ARMS,
    CLASSES,
    NAME,
    STUDY,
    labels_of,
    real_images,
    split_sizes,
    standardisation,
    training_rows,
)
from replicate.runs.flags import parse
from replicate.runs.store import Store


def planned(*arguments):
    return STUDY.declare(parse(STUDY, list(arguments)))


def test_paper_has_ten_generators_and_ten_classifiers_an_arm():
    trials = planned()
    assert [t.settings["klass"] for t in of(trials, "generator")] == list(CLASSES)
    assert {t.settings["epochs"] for t in of(trials, "generator")} == {100}
    assert {arm: len(of(trials, "classifier", arm=arm)) for arm in ARMS} == dict.fromkeys(ARMS, 10)
    assert {t.settings["selected"] for t in of(trials, "classifier")} == {10}
    assert len(of(trials, "evaluation", point="last")) == 10
    assert len({t.key for t in trials}) == len(trials)


def test_some_classes_only():
    """Each class is whole by itself; what needs all ten is left out."""
    trials = planned("--classes=horse,cat")
    assert {t.settings.get("klass") for t in trials} == {"horse", "cat", None}
    assert not of(trials, "classifier") and len(of(trials, "synthetic")) == 4
    whole = {t.key for t in planned()}
    assert {t.key for t in trials} <= whole


def test_one_joint_generator_takes_the_place_of_ten():
    trials = planned("--extensions=joint")
    (generator,) = of(trials, "generator", source="joint")
    drawn = of(trials, "synthetic", source="joint", point="last")
    assert {t.settings["klass"] for t in drawn} == set(CLASSES)
    assert {t.inputs["generator"] for t in drawn} == {generator.key}
    used = of(trials, "classifier", source="joint", arm="synthetic")[0].inputs
    assert set(used.values()) == {t.key for t in drawn}


def test_the_rejected_rates_are_compared_with_the_chosen_one():
    rates = {
        t.settings["learning_rate_d"]: t.replicate
        for t in of(planned("--extensions=learning_rate"), "generator", klass="horse")
    }
    assert rates == {0.0002: 2, 0.0005: 2, 0.001: 2}  # three repeats each


N = 200  # ten classes of twenty
LABELS = np.tile(np.repeat(np.arange(10), 20), 2)


def one(arm):
    (trial,) = of(planned(f"--arms={arm}", "--replicates=1"), "classifier")
    return trial


@pytest.mark.parametrize(
    ("arm", "real", "synthetic", "repeats"),
    [
        ("real", 200, 0, 1),
        ("synthetic", 0, 200, 1),
        ("mixed", 200, 200, 1),
        ("real_half", 100, 0, 1),
        ("mixed_matched", 100, 100, 1),
        ("real_twice", 200, 0, 2),
        ("label_shuffled", 0, 200, 1),
        ("real_vs_synthetic", 200, 200, 1),
    ],
)
def test_training_sets(arm, real, synthetic, repeats):
    counts = np.bincount(training_rows(one(arm), LABELS, N), minlength=2 * N)
    assert (counts[:N] > 0).sum() == real and (counts[N:] > 0).sum() == synthetic
    assert set(counts[counts > 0].tolist()) == {repeats}
    for label in range(10):  # every class has its share
        assert counts[LABELS == label].sum() == (real + synthetic) * repeats / 10


def test_halves_are_the_same_rows_of_either_set():
    half = training_rows(one("real_half"), LABELS, N)
    matched = training_rows(one("mixed_matched"), LABELS, N)
    np.testing.assert_array_equal(matched, np.concatenate([half, N + half]))


def test_labels_of_the_controls():
    assert labels_of(one("mixed"), LABELS, N) is None
    np.testing.assert_array_equal(
        labels_of(one("real_vs_synthetic"), LABELS, N), np.repeat([0, 1], N)
    )
    shuffled = labels_of(one("label_shuffled"), LABELS, N)
    np.testing.assert_array_equal(np.bincount(shuffled[N:]), np.full(10, 20))
    assert np.mean(shuffled[N:] == LABELS[N:]) < 0.3


def stand_in():
    from replicate.data.catalogue import CATALOGUE
    from replicate.data.stand_in import draw_stand_in

    return draw_stand_in(CATALOGUE["cifar10"])


def test_splits_of_the_report():
    assert split_sizes(4500) == (4500, 500, 1000)
    data = stand_in()
    real = real_images(data, 90)
    assert {name: len(images) for name, (images, _) in real.items()} == {
        "train": 900,
        "val": 100,
        "test": 200,
    }
    seen = [{image.tobytes() for image in real[name][0]} for name in ("train", "val", "test")]
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    with pytest.raises(ValueError, match="class 0. Received: 200"):
        real_images(data, 190)


def test_standardised_images_have_mean_0_and_sd_1_a_channel():
    images = stand_in().train.images
    scale, offset = standardisation(images)
    standard = images * scale + offset
    np.testing.assert_allclose(standard.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(standard.std(axis=(0, 1, 2)), 1, atol=1e-3)


# The joint generator's networks and labels are tested with the models.
SMOKE = ["--preset=smoke", "--extensions=other_scale"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("cifar")
    assert STUDY.main([f"--workdir={workdir}", *SMOKE]) == 0
    return workdir


def test_smoke_runs_every_stage(smoke):
    records = Store(smoke).latest(NAME)
    assert {key for key, r in records.items() if r.done} == {t.key for t in planned(*SMOKE)}
    for record in records.values():
        assert all(np.isfinite(value) for value in record.metrics.values()), record.trial
        assert record.data["name"] == "cifar10"


def test_what_is_recorded_of_a_classifier(smoke):
    records = Store(smoke).latest(NAME)
    (record,) = [
        r
        for r in records.values()
        if r.trial.stage == "classifier"
        and r.trial.settings["arm"] == "mixed"
        and r.trial.settings["kernel"] == 3
        and r.trial.settings["source"] == "per_class"
    ]
    metrics = record.metrics
    both = [metrics[f"test_accuracy_{which}_last"] for which in ("real", "synthetic")]
    assert metrics["test_accuracy_mixed_last"] == pytest.approx(np.mean(both))
    recalls = [metrics[f"recall_{klass}_real_last"] for klass in CLASSES]
    assert np.mean(recalls) == pytest.approx(both[0])
    assert record.curves["val_accuracy_mixed"][0] == metrics["val_accuracy_mixed_e1"]
    with np.load(Store(smoke).artifact(record, "confusion")) as matrices:
        assert matrices["real_last"].sum() == 10 * split_sizes(32)[2]
        assert matrices["mixed_last"].trace() / matrices["mixed_last"].sum() == pytest.approx(
            metrics["test_accuracy_mixed_last"]
        )


def test_synthetic_sets_are_the_released_weights_own(smoke):
    """Anyone can draw a set again from the float16 weights, and its card says from which."""
    from replicate.cifar_dcgan import draw
    from replicate.data.synthetic import load_synthetic
    from replicate.runs.context import Context

    context = Context(Store(smoke), stand_in=True)
    trial = of(planned(*SMOKE), "synthetic", klass="cat")[0]
    stored = load_synthetic(Store(smoke).artifact(context.store.latest(NAME)[trial.key], "set"))
    np.testing.assert_array_equal(draw(trial, context, {}), stored.images)
    assert stored.images.dtype == np.uint8 and stored.card["key"] == trial.key
