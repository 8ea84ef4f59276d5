"""mnist_dbm end to end at smoke scale, and what its trials are made of."""

import numpy as np
import pytest
from study_trials import of

from replicate.mnist_dbm import (
    ARMS,
    CONTROLS,
    EXTENSIONS,
    KERNELS,
    NAME,
    STUDY,
    order_of,
    run_svms,
    training_set,
)
from replicate.runs.context import Context
from replicate.runs.flags import parse, preset_values
from replicate.runs.plan import make_plan
from replicate.runs.store import Store
from replicate.runs.study import Outcome


def planned(*arguments):
    return STUDY.declare(parse(STUDY, list(arguments)))


@pytest.fixture(scope="module")
def paper():
    return planned()


def test_paper_has_three_generators_and_ten_draws_of_each(paper):
    assert [t.replicate for t in of(paper, "generator")] == [0, 1, 2]
    assert not any(t.settings["leak"] for t in of(paper, "generator"))
    assert len(of(paper, "synthetic")) == 30
    for arm in ARMS:
        for stage, variants in (("svm", len(KERNELS)), ("cnn", 2)):
            count = len(of(paper, stage, arm=arm, n=100))
            assert count == (0 if (arm, stage) == ("mixed", "svm") else 30 * variants), arm
    assert {t.settings["arm"] for t in of(paper, "svm", n=1000)} == {"real", "generated"}
    for arm in ("real", "mixed"):  # experiment 2
        points = {t.settings["n"] for t in of(paper, "cnn", arm=arm)}
        assert points - {1000} == set(range(10, 101, 10))
    assert len({t.key for t in paper}) == len(paper)


def test_table_1_draws_from_one_set_a_generator_and_table_2_takes_fresh_ones(paper):
    sets = {t.key: t.replicate for t in of(paper, "synthetic")}
    for n, expected in ((100, lambda r: r % 3), (1000, lambda r: r)):
        for trial in of(paper, "svm", arm="generated", n=n, kernel="poly3"):
            assert sets[trial.inputs["synthetic"]] == expected(trial.replicate)


def test_larger_draws_of_a_replicate_are_of_the_same_set():
    """Up to the size of Table 2, whose fresh sets are of another arm."""
    mixed = [
        (trial.replicate, trial.settings["n"], trial.inputs["synthetic"])
        for trial in of(planned("--extensions=beyond"), "cnn", arm="mixed")
    ]
    assert max(n for _, n, _ in mixed) == 1000
    sets = {r: {key for other, n, key in mixed if other == r and n > 10} for r, *_ in mixed}
    assert all(len(keys) == 1 for keys in sets.values()), sets


@pytest.mark.parametrize(
    ("arguments", "extension"),
    [
        ("--leak", "leak"),
        ("--max_images=1000", "beyond"),
        ("--dataset=fashion_mnist", "fashion_mnist"),
        ("--dataset=cifar10", "cifar10"),
    ],
)
def test_switches_ask_for_parts_of_the_papers_plan(arguments, extension):
    values = parse(STUDY, [arguments])
    plan, trials = make_plan(STUDY, values)
    assert plan.label == "paper"
    extended = {t.key for t in planned(f"--extensions={extension}")}
    assert {t.key for t in trials} <= extended
    assert {t.key for t in trials} - {t.key for t in planned()}


def test_leaking_generators_are_generators_of_their_own():
    leak = planned("--leak")
    assert [t.replicate for t in of(leak, "generator", leak=True)] == [0, 1, 2]
    used = {key for t in of(leak, "svm", leak=True) for key in t.inputs.values()}
    assert used == {t.key for t in of(leak, "synthetic", leak=True)}


def test_one_machine_a_class_for_labelled_sets():
    trials = planned("--extensions=dbm_per_class")
    (one, *_), each = (of(trials, "dbm_samples", klass=k) for k in ("all", "each"))
    assert len(one.inputs) == 1 and len(each) == 10
    machines = {t.key: t.settings["klass"] for t in of(trials, "dbm")}
    expected = {f"dbm_{k}": str(k) for k in range(10)}
    assert {role: machines[key] for role, key in each[3].inputs.items()} == expected
    assert len(of(trials, "svm", source="dbm", n=1000)) == 10 * len(KERNELS)


def test_cifar_10_has_gaussian_machines_only():
    trials = planned("--dataset=cifar10")
    assert {t.stage for t in trials} == {"rbm", "dbm", "dbm_samples"}
    (deep,) = of(trials, "dbm")
    assert (deep.settings["visible"], deep.settings["hidden_1"]) == ("gaussian", 5000)
    assert [t.settings["units"] for t in of(trials, "rbm")] == [5000, 1000]
    assert {t.settings["n_train"] for t in trials} == {50000}


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--few=105", "multiple of 10"),
        ("--many=1010", "--per_class=100"),
        ("--n_train=60001", "at most 60000"),
        ("--n_train=1000", "1.25 times the --many=1000"),
        ("--n_train=2500 --batch_size=2600", "at least a batch of 2600"),
        ("--dataset=cifar10 --leak", "no --leak beside --dataset=cifar10"),
        ("--hidden=512", "expected 2 positive integers"),
        ("--arms=real,fuzzy", "expected any of real"),
    ],
)
def test_bad_flags_are_one_clear_line(flag, message, capsys, tmp_path):
    assert STUDY.main([f"--workdir={tmp_path / 'runs'}", *flag.split()]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------- training sets


class Prepared(Context):
    """A context with a drawn data set and one stored set of 30 images a label."""

    def __init__(self, folder):
        from replicate.data.catalogue import CATALOGUE
        from replicate.data.stand_in import draw_stand_in
        from replicate.data.synthetic import save_synthetic

        super().__init__(Store(folder), stand_in=True, threads={"intra": 2, "inter": 1})
        self._datasets["mnist"] = draw_stand_in(CATALOGUE["mnist"])
        images = np.random.default_rng(0).integers(1, 256, (300, 28, 28, 1)).astype(np.uint8)
        self.path = folder / "set.safetensors"
        self.drawn = save_synthetic(self.path, images, np.repeat(np.arange(10), 30), {})

    def input(self, trial, role):
        assert trial.inputs[role]
        return Outcome({"sigma": 1.5})

    def input_path(self, trial, role, artifact):
        assert (role, artifact) == ("synthetic", "set")
        return self.path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return Prepared(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def small():
    flags = ("--n_train=300", "--per_class=30", "--few=100", "--many=200", "--replicates=2")
    return planned(*flags, "--n_test=50", "--generators=1")


def known(images, context):
    """Of each image, whether it is real and whether it is generated, as it was stored."""
    real = {image.tobytes() for image in context.dataset("mnist").train.images[:300]}
    drawn = {image.tobytes() for image in context.drawn.images}
    return np.array([[i.tobytes() in real, i.tobytes() in drawn] for i in images])


@pytest.mark.parametrize(
    ("arm", "n", "real", "generated"),
    [
        ("real", 10, 10, 0),
        ("real", 100, 100, 0),
        ("generated", 100, 0, 100),
        ("generated", 200, 0, 200),
        ("mixed", 10, 10, 0),
        ("mixed", 40, 10, 30),
        ("mixed", 100, 10, 90),
        ("label_shuffled", 100, 0, 100),
        ("seed_repeated", 100, 100, 0),
        ("blurred", 100, 0, 0),
        ("blurred_matched", 100, 0, 0),
    ],
)
def test_training_sets(prepared, small, arm, n, real, generated):
    trial = of(small, "cnn", arm=arm, n=n)[0]
    images, labels = training_set(trial, prepared)
    assert images.dtype == np.uint8 and images.shape == (n, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, n // 10))
    np.testing.assert_array_equal(known(images, prepared).sum(axis=0), [real, generated])
    distinct = len({image.tobytes() for image in images})
    assert distinct == (10 if arm == "seed_repeated" else n)


def test_arms_and_sizes_of_a_replicate_share_their_draws(prepared, small):
    def drawn(arm, n, replicate=0):
        (trial,) = [
            t for t in of(small, "cnn", arm=arm, n=n, optimizer="adam") if t.replicate == replicate
        ]
        images, labels = training_set(trial, prepared)
        return {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)}

    assert drawn("real", 10) < drawn("real", 50) < drawn("real", 100) < drawn("real", 200)
    assert drawn("real", 10) == drawn("mixed", 10) == drawn("seed_repeated", 100)
    assert drawn("mixed", 20) < drawn("mixed", 100) < drawn("real", 10) | drawn("generated", 100)
    assert drawn("real", 100) != drawn("real", 100, 1)
    shuffled, plain = drawn("label_shuffled", 100), drawn("generated", 100)
    assert {image for image, _ in shuffled} == {image for image, _ in plain}
    assert len(shuffled & plain) < 30


def test_blurred_arms_are_the_real_images_blurred(prepared, small):
    from scipy.ndimage import gaussian_filter

    sets = {
        arm: training_set(of(small, "svm", arm=arm, n=100)[0], prepared)
        for arm in ARMS
        if arm != "mixed"
    }
    for arm, sigma in (("blurred", 1.0), ("blurred_matched", 1.5)):
        for blurred, sharp in zip(sets[arm][0][:5], sets["real"][0][:5], strict=True):
            expected = gaussian_filter(sharp[..., 0].astype(float), sigma)
            np.testing.assert_allclose(blurred[..., 0], expected, atol=0.51)
        np.testing.assert_array_equal(sets[arm][1], sets["real"][1])


def test_no_test_image_is_trained_on(prepared, small):
    held_out = {i.tobytes() for i in prepared.dataset("mnist").test.images}
    for arm in ("real", "generated", "mixed", "seed_repeated"):
        images, _ = training_set(of(small, "cnn", arm=arm, n=100)[0], prepared)
        assert not held_out & {image.tobytes() for image in images}, arm


def test_svms_are_scikit_learns(prepared, small):
    from sklearn.svm import SVC

    trials = of(small, "svm", arm="real", n=100)[: len(KERNELS)]
    outcomes = {t.settings["kernel"]: outcome.metrics for t, outcome in run_svms(trials, prepared)}
    images, labels = training_set(trials[0], prepared)
    test = prepared.dataset("mnist").test
    machines = {
        "poly3": (SVC(kernel="poly", degree=3, gamma=1 / 784), 1),
        "rbf_auto": (SVC(gamma=1 / 784), 255),
        "rbf_scale": (SVC(gamma="scale"), 255),
    }
    assert set(outcomes) == set(machines)
    for kernel, (machine, white) in machines.items():
        machine.fit(images.reshape(100, -1) / white, labels)
        right = machine.predict(test.images[:50].reshape(50, -1) / white) == test.labels[:50]
        assert outcomes[kernel]["test_accuracy"] == pytest.approx(right.mean())
        assert outcomes[kernel]["n_support"] == len(machine.support_)


def test_an_epoch_of_the_generator_is_whole_batches(small):
    (trial,) = of(small, "generator")
    order = order_of(trial, 300)
    assert len(order(0)) == 256 and len(set(order(0))) == 256 and max(order(0)) < 300
    assert (order(0) != order(1)).any() and (order(1) == order_of(trial, 300)(1)).all()


# ------------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("mnist_dbm")
    assert STUDY.main([f"--workdir={workdir}", "--preset=smoke"]) == 0
    return workdir


def test_smoke_runs_every_stage(smoke):
    records = Store(smoke).latest(NAME)
    expected = STUDY.declare(preset_values(STUDY, "smoke"))
    assert {key for key, r in records.items() if r.done} == {t.key for t in expected}
    assert {t.stage for t in expected} == set(STUDY.stages)
    for record in records.values():
        assert all(np.isfinite(value) for value in record.metrics.values()), record.trial
        assert record.data["name"] == record.trial.settings["dataset"]


def test_what_is_recorded(smoke):
    store = Store(smoke)
    records = list(store.latest(NAME).values())

    def one(stage, **settings):
        trials = {r.trial.key: r for r in records}
        return trials[of([r.trial for r in records], stage, **settings)[0].key]

    drawn = one("synthetic").metrics
    ratio = drawn["high_frequency_energy"] / drawn["high_frequency_energy_real"]
    assert drawn["high_frequency_ratio"] == pytest.approx(ratio)
    fuzzy = one("blur").metrics
    target = min(drawn["high_frequency_energy"], fuzzy["high_frequency_energy_real"])
    assert fuzzy["high_frequency_energy"] == pytest.approx(target, rel=0.02)
    pixels = one("evaluation", extractor="pixels").metrics
    assert -1 <= pixels["pixel_correlation_agreement"] <= 1
    assert 0 <= one("evaluation", extractor="classifier").metrics["label_agreement"] <= 1
    deep = one("dbm", dataset="cifar10")
    assert len(deep.curves["reconstruction_error"]) == deep.trial.settings["epochs"] == 2
    with np.load(store.artifact(one("dbm_samples", dataset="cifar10"), "preview")) as preview:
        assert preview["images"].shape == (10, 32, 32, 3)
    same = [one("cnn", arm=arm, n=10, optimizer="adam").metrics for arm in ("real", "mixed")]
    assert same[0] == same[1]  # ten real images either way


def test_sets_are_the_released_weights_own(smoke):
    """Anyone can draw a set again from the float16 weights, and its card says from which."""
    from replicate.data.synthetic import load_synthetic
    from replicate.mnist_dbm import draw

    context = Context(Store(smoke), stand_in=True)
    (trial,) = of(STUDY.declare(preset_values(STUDY, "smoke")), "synthetic")
    stored = load_synthetic(Store(smoke).artifact(context.store.latest(NAME)[trial.key], "set"))
    again = draw(trial, context, {})
    assert np.abs(again.astype(int) - stored.images).max() <= 1  # threads differ
    np.testing.assert_array_equal(stored.labels, np.repeat(np.arange(10), 10))
    assert stored.images.dtype == np.uint8 and stored.card["key"] == trial.key


def test_every_extension_and_control_is_told_in_the_modules_text():
    from replicate import mnist_dbm

    for name in (*EXTENSIONS, *CONTROLS):
        assert f"`{name}`" in mnist_dbm.__doc__, name
