"""mnist_cvae end to end at smoke scale, and what its trials are made of."""

import subprocess
import sys

import numpy as np
import pytest
from study_trials import of

from replicate import mnist_cvae
from replicate.mnist_cvae import ARMS, NAME, STUDY, training_rows
from replicate.runs.flags import parse
from replicate.runs.store import Store


def planned(*arguments):
    return STUDY.declare(parse(STUDY, list(arguments)))


def test_the_paper_preset_trains_the_author_s_992_networks():
    trials = planned()
    ours = [t for t in trials if t.stage in ("single", "classifier")]
    controls = [t for t in ours if t.settings["arm"] in ("step_matched", "label_shuffled")]
    assert len(ours) - len(controls) == 992
    per_arm = {arm: len(of(trials, "classifier", arm=arm)) for arm in ARMS}
    assert per_arm == {
        "real": 200,
        "synthetic": 200,
        "mix": 190,
        "add_synthetic": 200,
        "add_real": 200,
        "step_matched": 10,
        "label_shuffled": 10,
    }
    assert len({t.key for t in trials}) == len(trials)


def test_replicates_are_spread_over_generators():
    trials = planned("--arms=synthetic", "--points=1.0")
    sets = {t.key: t.replicate for t in of(trials, "synthetic")}
    used = {t.replicate: sets[t.inputs["synthetic"]] for t in of(trials, "classifier")}
    assert used == {replicate: replicate % 3 for replicate in range(10)}


def test_generators_of_which_no_classifier_would_learn_are_refused():
    """At p = 1 a mixture is the real set, whose network stands among those of real images."""
    with pytest.raises(ValueError, match="Expected --points with a share below 1 .*--arms=mix$"):
        planned("--arms=mix", "--points=1.0")
    with pytest.raises(ValueError, match="Received: --points=1, --arms=real,mix$"):
        planned("--arms=real,mix", "--points=1")
    for kept in (["--arms=mix", "--points=0.5,1.0"], ["--arms=synthetic,mix", "--points=1.0"]):
        assert of(planned(*kept), "classifier")


ROWS_REAL, ROWS_SYNTHETIC = 1000, 1200


@pytest.mark.parametrize(
    ("arm", "real", "again", "synthetic"),
    [
        ("real", 250, 0, 0),
        ("synthetic", 0, 0, 250),
        ("mix", 250, 0, 750),
        ("add_synthetic", 1000, 0, 250),
        ("add_real", 1000, 250, 0),
        ("step_matched", 1000, 0, 0),
    ],
)
def test_training_sets(arm, real, again, synthetic):
    (trial,) = of(planned(f"--arms={arm}", "--points=0.25", "--replicates=1"), "classifier")
    rows = training_rows(trial, np.zeros(ROWS_REAL), ROWS_SYNTHETIC)
    counts = np.bincount(rows, minlength=ROWS_REAL + ROWS_SYNTHETIC)
    assert counts[:ROWS_REAL].sum() == real + again
    assert (counts[:ROWS_REAL] == 2).sum() == again
    assert counts[ROWS_REAL:].sum() == synthetic
    assert counts[ROWS_REAL:].max(initial=0) <= 1


def test_arms_of_a_replicate_share_their_subsets():
    trials = planned("--points=0.25", "--replicates=2")
    rows = {
        (t.settings["arm"], t.replicate): training_rows(t, np.zeros(ROWS_REAL), ROWS_SYNTHETIC)
        for t in of(trials, "classifier", p=0.25)
    }
    assert set(rows["real", 0]) <= set(rows["mix", 0])
    assert not np.array_equal(rows["real", 0], rows["real", 1])


# Further betas and shares of the digits only change an argument.
SMOKE = ["--preset=smoke", "--extensions=per_digit,init_keras"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("smoke")
    assert STUDY.main([f"--workdir={workdir}", *SMOKE]) == 0
    return workdir


def test_smoke_runs_every_stage(smoke):
    records = Store(smoke).latest(NAME)
    expected = {t.key for t in STUDY.declare(parse(STUDY, SMOKE))}
    assert {key for key, record in records.items() if record.done} == expected
    for record in records.values():
        assert record.wall_seconds > 0
        assert record.environment["versions"]["keras"]
        if record.trial.stage in ("single", "classifier"):
            assert 0 <= record.metrics["test_accuracy"] <= 1
            assert len(record.curves["train_loss"]) == record.trial.settings["epochs"]
        if record.trial.stage != "synthetic":
            assert record.data["route"] in ("package", "tfds_folder")


def test_synthetic_sets_are_the_released_weights_own(smoke):
    """Anyone can draw a set again from the float16 weights."""
    from replicate.data.synthetic import load_synthetic
    from replicate.runs.context import Context

    store = Store(smoke)
    records = store.latest(NAME).values()
    (record,) = [
        r
        for r in records
        if r.trial.stage == "synthetic" and r.trial.settings["scope"] == "per_digit"
    ]
    stored = load_synthetic(store.artifact(record, "set"))
    images, labels = mnist_cvae.draw(record.trial, Context(store))
    np.testing.assert_array_equal(labels, stored.labels)
    np.testing.assert_allclose(images, stored.images, atol=1e-5)
    assert np.bincount(labels).tolist() == [100] * 10


def test_a_second_run_trains_nothing(smoke, capsys):
    before = sorted(smoke.rglob("records/*"))
    assert STUDY.main([f"--workdir={smoke}", *SMOKE]) == 0
    assert "nothing to train" in capsys.readouterr().out
    assert sorted(smoke.rglob("records/*")) == before


def test_the_report_reads_a_smoke_run_and_gives_no_verdict(smoke, tmp_path):
    command = [sys.executable, "-m", "replicate.report", "--study=mnist_cvae"]
    command += [f"--workdir={smoke}", f"--out={tmp_path}"]
    subprocess.run(command, check=True, capture_output=True)
    text = (tmp_path / "REPORT.md").read_text()
    assert "smoke" in text
    assert (tmp_path / "REPORT.html").stat().st_size > 10_000


def test_two_studies_can_be_imported_together():
    code = (
        "import importlib.util, replicate.mnist_cvae as a, sys\n"
        "spec = importlib.util.spec_from_file_location('twin', a.__file__)\n"
        "twin = importlib.util.module_from_spec(spec); spec.loader.exec_module(twin)\n"
        "from replicate.runs.flags import parse\n"
        "x, y = parse(a.STUDY, ['--epochs=7']), parse(twin.STUDY, [])\n"
        "assert (x.epochs, y.epochs) == (7, 50)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_held_out_images_reach_no_generator_and_no_training_set(monkeypatch):
    from replicate.data import load
    from replicate.runs.context import Context
    from replicate.training import generator

    data = load("mnist")

    def digests(images):
        return {image.tobytes() for image in np.rint(images * 255).astype(np.uint8)}

    seen = {}

    def keep(trial, context, model, images, *rest):
        seen[trial.settings["scope"]] = digests(images)

    monkeypatch.setattr(generator, "run_generator_trial", keep)
    trials = of(planned("--replicates=1", "--extensions=fraction"), "generator")
    list(mnist_cvae.run_generators(trials[:2], Context(Store("nowhere"))))
    held_out = {image.tobytes() for image in data.test.images}
    assert len(held_out) == 10_000
    assert set(seen) == {"all", "fraction"}
    for scope, images in seen.items():
        assert images and not images & held_out, scope
    assert seen["fraction"] < seen["all"]
    rows = training_rows(of(planned("--arms=add_real"), "classifier")[-1], data.train.labels, 60000)
    assert rows.max() < 60_000  # real training images only, tested on others
