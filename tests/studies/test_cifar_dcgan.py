"""cifar_dcgan end to end at smoke scale, and what its trials are made of."""

import json

import numpy as np
import pytest
from study_trials import of

from replicate.cifar_dcgan import (
    ARMS,
    CLASSES,
    FEWEST,
    NAME,
    STUDY,
    classifier_outcome,
    draw,
    labels_of,
    load_sets,
    points_of,
    probes_of,
    real_images,
    real_of_class,
    run_evaluation,
    split_sizes,
    standardisation,
    told_apart,
    training_rows,
)
from replicate.data.synthetic import load_synthetic
from replicate.evaluation.images import high_frequencies
from replicate.runs.context import Context
from replicate.runs.flags import parse
from replicate.runs.store import Store
from replicate.training.lanes import LaneResult, Probed


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


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--arms=real", "--arms"),
        ("--extensions=kernel4", "--extensions=kernel4"),
        ("--extensions=joint,high_pass", "--extensions=high_pass"),
    ],
)
def test_classifiers_asked_for_beside_some_classes_are_refused(argument, named):
    with pytest.raises(ValueError, match=f"classifiers of {named} learn.*--classes=horse,cat"):
        planned("--classes=horse,cat", argument)


def test_some_classes_go_with_what_needs_no_others():
    """A preset's own extensions are left out with its arms; a joint generator draws every class."""
    assert not of(planned("--preset=smoke", "--classes=cat"), "classifier", scale="other")
    trials = planned("--classes=cat", "--extensions=joint,wgan_gp")
    assert {t.settings["klass"] for t in of(trials, "generator")} == {"cat", "all", "horse"}
    assert {t.settings["source"] for t in of(trials, "classifier")} == {"joint"}
    assert {key for t in trials for key in t.inputs.values()} <= {t.key for t in trials}


def test_too_few_images_for_an_evaluation_are_refused_before_anything_is_trained():
    """Precision and recall need more held-out images than their balls reach neighbours."""
    assert sum(split_sizes(FEWEST)[1:]) == 6 and sum(split_sizes(FEWEST - 1)[1:]) == 4
    assert planned(f"--n_per_class={FEWEST}")
    with pytest.raises(ValueError, match="of at least 18: .* six held-out .* Received: 17"):
        planned(f"--n_per_class={FEWEST - 1}")


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


HALVES = ("real", "synthetic")  # of every merged set
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


# ------------------------------------------------------------------- what is read of a classifier


def predicted(labels, count, rng):
    """Predictions that are right for so many images."""
    return np.where(rng.permutation(len(labels)) < count, labels, (labels + 1) % 10)


def test_each_point_reads_its_own_epoch_and_set(tmp_path):
    """Every set and epoch has another accuracy; the selected epoch is neither first nor last."""
    arguments = ["--arms=mixed", "--replicates=1", "--classifier_epochs=6"]
    (trial,) = of(planned(*arguments), "classifier")
    assert points_of(trial) == {"selected": 3, "last": 6}
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(10), 20)
    truths = {f"{split}/{which}": labels for split in ("val", "test") for which in HALVES}
    read = [(name, epoch) for epoch in range(1, 7) for name in truths]
    predictions = {at: predicted(labels, 20 + 7 * i, rng) for i, at in enumerate(read)}
    right = {at: float(np.mean(found == labels)) for at, found in predictions.items()}
    assert len(set(right.values())) == len(right)
    probes = {at: Probed(0.0, right[at], p, None) for at, p in predictions.items()}
    epochs = np.arange(1, 7)
    result = LaneResult(None, train_loss=1 / epochs, train_accuracy=epochs / 10, probes=probes)
    context = Context(Store(tmp_path))
    outcome = classifier_outcome(trial, result, truths, context, stand_in())
    metrics = outcome.metrics
    for point, epoch in points_of(trial).items():
        assert metrics[f"train_accuracy_{point}"] == epoch / 10
        for split in ("val", "test"):
            halves = [right[f"{split}/{which}", epoch] for which in HALVES]
            for which, value in zip((*HALVES, "mixed"), (*halves, np.mean(halves)), strict=True):
                assert metrics[f"{split}_accuracy_{which}_{point}"] == pytest.approx(value)
        predicted_real = predictions["test/real", epoch]
        vehicles = np.isin(predicted_real, [0, 1, 8, 9]).mean()
        assert metrics[f"vehicle_share_real_{point}"] == pytest.approx(vehicles)
        recall = np.mean(predicted_real[labels == 7] == 7)
        assert metrics[f"recall_horse_real_{point}"] == pytest.approx(recall)
    for epoch in (1, 2):
        assert metrics[f"val_accuracy_real_e{epoch}"] == right["val/real", epoch]


def test_probes_are_read_where_a_number_rests_on_them():
    names = [f"{split}/{which}" for split in ("val", "test", "source") for which in HALVES]
    found = {epoch: probes_of(one("real"), names, epoch) for epoch in (1, 10, 20)}
    assert found == {1: names[:2], 10: names[:4], 20: names[:4]}
    found = {epoch: probes_of(one("real_vs_synthetic"), names, epoch) for epoch in (1, 10, 20)}
    assert found == {1: [], 10: names[4:], 20: names[4:]}


def test_real_is_0_and_synthetic_is_1_to_a_classifier_that_tells_them_apart():
    predictions = {
        ("source/real", 2): np.array([0, 0, 0, 1]),  # three of four right
        ("source/synthetic", 2): np.array([0, 1]),  # one of two: sets count alike
        ("source/real", 5): np.array([1, 1, 1, 1]),
        ("source/synthetic", 5): np.array([1, 0]),
    }
    found = told_apart(predictions, {"selected": 2, "last": 5})
    assert found == {"test_accuracy_selected": 0.625, "test_accuracy_last": 0.25}


def test_real_images_of_a_class_are_its_own():
    data = stand_in()
    settings = {"klass": "deer", "n_per_class": 90}
    train, held_out = real_of_class(data, settings)
    deer = data.train.images[data.train.labels == 4]
    np.testing.assert_array_equal(train, deer[:90])
    expected = np.concatenate([deer[-10:], data.test.images[data.test.labels == 4][:20]])
    np.testing.assert_array_equal(held_out, expected)


# ------------------------------------------------------------------- end to end

SMOKE = ["--preset=smoke"]


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


def test_what_is_kept_and_logged_of_a_generator(smoke):
    store = Store(smoke)
    generators = [r for r in store.latest(NAME).values() if r.trial.stage == "generator"]
    record = next(r for r in generators if r.trial.settings["source"] == "per_class")
    epochs = record.trial.settings["epochs"]
    with np.load(store.artifact(record, "strip")) as strip:
        assert strip["epochs"].tolist() == list(range(1, epochs + 1))
        assert strip["images"].shape == (epochs, 10, 32, 32, 3)
    with np.load(store.artifact(record, "batch_loss")) as losses:
        assert {"d_loss", "g_loss", "d_real", "d_fake"} <= set(losses)
    summary = json.loads(store.artifact(record, "summary").read_text())
    rows = {name: sum(row[2] for row in summary[name]) for name in summary}
    assert rows == {"generator": 3_577_667, "discriminator": 2_758_593}
    logs = smoke / NAME / "logs" / record.key
    assert (logs / "strip.png").stat().st_size > 0
    assert list(logs.glob("events.out.tfevents.*"))


def test_what_is_recorded_of_a_classifier(smoke):
    records = Store(smoke).latest(NAME)
    (record,) = [
        r
        for r in records.values()
        if r.trial.stage == "classifier"
        and r.trial.settings["arm"] == "mixed"
        and r.trial.settings["source"] == "per_class"
    ]
    metrics = record.metrics
    both = [metrics[f"test_accuracy_{which}_last"] for which in ("real", "synthetic")]
    assert metrics["test_accuracy_mixed_last"] == pytest.approx(np.mean(both))
    recalls = [metrics[f"recall_{klass}_real_last"] for klass in CLASSES]
    assert np.mean(recalls) == pytest.approx(both[0])
    assert record.trial.settings["selected"] == 1 and record.trial.settings["epochs"] == 2
    for which in (*HALVES, "mixed"):
        curve = record.curves[f"val_accuracy_{which}"]
        assert len(curve) == 2 and metrics[f"val_accuracy_{which}_e1"] == curve[0]
        assert metrics[f"val_accuracy_{which}_selected"] == curve[0]
        assert metrics[f"val_accuracy_{which}_last"] == curve[1]
    curve = record.curves["train_accuracy"]
    assert [metrics[f"train_accuracy_{point}"] for point in ("selected", "last")] == curve
    with np.load(Store(smoke).artifact(record, "confusion")) as matrices:
        assert matrices["real_last"].sum() == 10 * split_sizes(32)[2]
        assert matrices["mixed_last"].trace() / matrices["mixed_last"].sum() == pytest.approx(
            metrics["test_accuracy_mixed_last"]
        )


def stored(smoke, **settings):
    """The stored set of a planned trial, and the trial."""
    (trial,) = of(planned(*SMOKE), "synthetic", **settings)
    record = Store(smoke).latest(NAME)[trial.key]
    return trial, load_synthetic(Store(smoke).artifact(record, "set"))


@pytest.mark.parametrize("source", ["per_class", "joint"])
@pytest.mark.parametrize("point", ["last", "half"])
def test_synthetic_sets_are_the_released_weights_own(smoke, source, point):
    """Anyone can draw a set again from the float16 weights, and its card says from which."""
    trial, found = stored(smoke, klass="cat", source=source, point=point)
    context = Context(Store(smoke), stand_in=True)
    np.testing.assert_array_equal(draw(trial, context, {}), found.images)
    assert found.images.dtype == np.uint8 and found.card["key"] == trial.key


@pytest.mark.parametrize("source", ["per_class", "joint"])
def test_half_of_the_epochs_makes_other_images(smoke, source):
    sets = [stored(smoke, klass="cat", source=source, point=p)[1].images for p in ("last", "half")]
    assert sets[0].shape == sets[1].shape
    assert np.mean(sets[0] != sets[1]) > 0.5


def test_classifiers_learn_from_the_sets_of_the_last_epoch(smoke):
    by_key = {t.key: t for t in planned(*SMOKE)}
    for trial in of(by_key.values(), "classifier"):
        for klass, key in trial.inputs.items():
            drawn = by_key[key].settings
            assert (drawn["klass"], drawn["point"]) == (klass, "last")
            assert drawn["source"] == trial.settings["source"]


@pytest.mark.parametrize("scale", ["same", "other", "high_pass"])
def test_what_a_classifier_sees_of_an_image(smoke, scale):
    context = Context(Store(smoke), stand_in=True)
    trial = of(planned(*SMOKE), "classifier", scale=scale, arm="synthetic", source="per_class")[0]
    data = context.dataset("cifar10")
    sets, (factor, offset) = load_sets(trial, context, data)
    drawn = stored(smoke, klass="cat", source="per_class", point="last")[1].images
    real = real_images(data, 32)["train"][0]
    train, val, _ = split_sizes(32)
    cats = sets["train", "synthetic"][1] == 3
    seen = sets["train", "synthetic"][0][cats] * factor + offset
    in_val = sets["val", "synthetic"][0][sets["val", "synthetic"][1] == 3] * factor + offset
    of_real = sets["train", "real"][0] * factor + offset
    if scale == "high_pass":
        drawn, real = high_frequencies(drawn), high_frequencies(real)
    if scale == "other":
        expected = drawn / np.float32(127.5) - 1
    else:
        expected = drawn * factor + offset
    np.testing.assert_allclose(seen, expected[:train], atol=2e-5)
    np.testing.assert_allclose(in_val, expected[train : train + val], atol=2e-5)
    np.testing.assert_allclose(of_real, real * factor + offset, atol=2e-5)
    np.testing.assert_allclose(of_real.mean(axis=(0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(of_real.std(axis=(0, 1, 2)), 1, atol=1e-3)


def test_inception_evaluation(smoke, tmp_path, monkeypatch):
    """With random weights, at the least size of images that the network takes."""
    import hashlib

    import keras

    from replicate.evaluation import extractors

    monkeypatch.setattr(extractors, "INCEPTION_SIZE", 75)
    weights = tmp_path / "random_notop.h5"
    keras.utils.set_random_seed(1)
    keras.applications.InceptionV3(False, None, input_shape=(75, 75, 3)).save(weights)
    digest = hashlib.md5(weights.read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "INCEPTION_MD5", digest)
    features, seen = extractors.Extractor.features, []

    def spy(extractor, images):
        seen.append((extractor.name, images))
        return features(extractor, images)

    monkeypatch.setattr(extractors.Extractor, "features", spy)
    trials = planned("--preset=smoke", "--extensions=inception")
    (trial,) = of(trials, "evaluation", extractor="inception_imagenet", klass="cat")
    context = Context(Store(smoke), stand_in=True, inception_weights=str(weights))
    ((done, outcome),) = run_evaluation([trial], context)
    assert done is trial and all(np.isfinite(value) for value in outcome.metrics.values())
    assert outcome.metrics["frechet"] > 0
    assert {name for name, _ in seen} == {"inception_imagenet"}
    drawn = stored(smoke, klass="cat", source="per_class", point="last")[1].images
    expected = *real_of_class(context.dataset("cifar10"), trial.settings), drawn
    for (_, found), images in zip(seen, expected, strict=True):
        np.testing.assert_array_equal(found, images)
