"""Lanes that are stopped go on from their checkpoints to the same end, bit for bit."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from replicate.models.init import initialize
from replicate.models.lenet import build_lenet
from replicate.runs.context import Context
from replicate.runs.store import Store
from replicate.runs.study import Outcome, Stage
from replicate.runs.trial import Trial
from replicate.runs.worker import run_group
from replicate.training import classifiers
from replicate.training.checkpoints import Checkpoints
from replicate.training.classifiers import ClassifierJob, lane_outcome, run_lanes
from replicate.training.lanes import LaneJob, LaneTrainer

layers = keras.layers
EPOCHS = 4
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (200, 16, 16, 1), dtype=np.uint8)
LABELS = RNG.integers(0, 10, 200)
PROBES = {"a": (IMAGES[100:180], LABELS[100:180]), "b/1": (IMAGES[:30], LABELS[:30])}
ADAM = {"name": "adam_torch", "learning_rate": 0.01}
ADADELTA = {"name": "adadelta", "learning_rate": 1.0}


class Doubled(layers.Layer):
    """A layer of a class that lanes do not know."""

    def call(self, inputs):
        """Returns twice the inputs."""
        return 2.0 * inputs


def network(*more):
    """A network with a running mean and random masks."""
    stack = [layers.Flatten(), layers.Dense(12), layers.BatchNormalization()]
    stack += [layers.Dropout(0.5), *more, layers.Dense(10)]
    return initialize(keras.Sequential([keras.Input((16, 16, 1)), *stack]), "keras", 1)


BUILDS = {
    "fast": lambda: build_lenet((16, 16, 1), seed=1),
    "graph": network,
    "keras": lambda: network(Doubled()),
}


def trial(**settings):
    return Trial("study", "classifier", 1, {"epochs": EPOCHS, "batch_size": 20, **settings})


def order(epoch):
    return np.random.default_rng(epoch).permutation(200)[:110]


def job_of(route, folder=None, stop_at=None, asked=None, **changes):
    """A job of 6 batches an epoch, with checkpoints if there is a folder.

    It fails as epoch `stop_at` begins, and lists the epochs that it trains in `asked`.
    """

    def indices(epoch):
        if epoch == stop_at:
            raise RuntimeError("stopped")
        if asked is not None:
            asked.append(epoch)
        return order(epoch)

    job = LaneJob(
        key=route,
        build=BUILDS[route],
        indices=indices,
        batch_size=20,
        epochs=EPOCHS,
        optimizer=ADAM,
        dropout_seed=3,
        record_batch_loss=True,
        evaluate_each_epoch=True,
        probes_at=lambda epoch: ("b/1", "a") if epoch % 2 else (),
        checkpoints=folder and functools.partial(Checkpoints, folder, trial()),
    )
    return dataclasses.replace(job, **changes)


def run(job, **options):
    test = IMAGES[:100], LABELS[:100]
    options = {"probes": PROBES, "checkpoint_seconds": 0, **options}
    (result,) = LaneTrainer(IMAGES, LABELS, *test, lanes=1, **options).run([job])
    return result


def plain(value):
    """A value with arrays as their type, shape and bytes, for comparisons of every bit."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return [(k, plain(v)) for k, v in value.items()]
    return plain(vars(value)) if dataclasses.is_dataclass(value) else (type(value), value)


def assert_same(result, expected):
    assert result.error is None and expected.error is None
    for name in (field.name for field in dataclasses.fields(result)):
        if name not in ("job", "wall_seconds"):
            assert plain(getattr(result, name)) == plain(getattr(expected, name)), name


@pytest.mark.parametrize(
    ("route", "changes"),
    [
        ("fast", {}),
        ("graph", {}),
        ("graph", {"optimizer": ADADELTA, "dropout_seed": None}),
        ("graph", {"epoch_data": lambda epoch: (IMAGES[::-1] + np.uint8(epoch), LABELS)}),
        ("keras", {}),
        ("keras", {"optimizer": ADADELTA, "record_batch_loss": False, "keep_weights": False}),
    ],
)
def test_a_lane_stopped_twice_ends_as_one_that_was_not(route, changes, tmp_path):
    whole, asked = run(job_of(route, **changes)), []
    assert whole.route == route and len(whole.train_loss) == EPOCHS
    assert list(whole.probes) == [("b/1", 1), ("a", 1), ("b/1", 3), ("a", 3)]
    for epoch in (1, 3):
        assert "stopped" in str(run(job_of(route, tmp_path, epoch, **changes)).error)
    assert_same(run(job_of(route, tmp_path, asked=asked, **changes)), whole)
    assert asked == [3]
    assert_same(run(job_of(route, tmp_path, asked=asked, **changes)), whole)  # no record was made
    assert asked == [3]


@pytest.mark.parametrize(
    ("route", "count"),
    # weights, two slots of each, the step; of "graph" flat ones, mean, variance and masks' state
    [("fast", 3 * 10 + 1), ("graph", 3 + 1 + 3), ("keras", 6 + 3 + 2 * 6 + 2)],
)
def test_a_checkpoint_holds_all_that_changes(route, count, tmp_path):
    run(job_of(route, tmp_path, stop_at=2))
    first, second = (load_file(tmp_path / f"step-{step}.safetensors") for step in (1, 2))
    names = [name for name in first if name.startswith("variable/")]
    assert len(names) == count
    same = [name for name in names if np.array_equal(first[name], second[name])]
    assert len(same) == (route == "keras")  # the optimizer's learning rate
    assert len(second["array/batch_loss"]) == 12


def test_most_lanes_end_before_a_checkpoint_is_due(tmp_path):
    job = job_of("graph", tmp_path / "none")
    (result,) = LaneTrainer(IMAGES, LABELS, probes=PROBES).run([job])
    assert result.error is None
    assert not (tmp_path / "none").exists()


def test_another_specification_or_route_is_refused(tmp_path):
    run(job_of("fast", tmp_path, stop_at=2))
    other = functools.partial(Checkpoints, tmp_path, trial(epochs=5))
    error = run(job_of("fast", checkpoints=other)).error
    assert "settings.epochs: expected 5, received 4" in str(error)
    assert "variable/fast/" in str(run(job_of("fast", tmp_path), fast=False).error)


def test_the_time_of_earlier_processes_is_added(tmp_path):
    def begun_before(owners):
        checkpoints = Checkpoints(tmp_path, trial(), owners)
        checkpoints.earlier_seconds = 1000.0
        return checkpoints

    assert run(job_of("graph", stop_at=2, checkpoints=begun_before)).error is not None
    assert 1000 < run(job_of("graph", tmp_path)).wall_seconds < 2000


def outcomes(context, **values):
    """Those of one trial, of a network that is kept."""
    spec = ClassifierJob(network, np.arange(200), np.random.default_rng, keep=True, **values)
    trainer = LaneTrainer(IMAGES, LABELS, lanes=1)
    for each, _, result in run_lanes(trainer, [trial()], lambda trial: spec, context):
        yield lane_outcome(each, spec, result, context, data=None)


def test_a_training_that_diverges_is_an_error_of_its_trial(tmp_path):
    context = Context(Store(tmp_path))
    lost = r"train_loss=.* in epoch \d: the training diverged"
    with pytest.raises(FloatingPointError, match=lost) as caught:
        list(outcomes(context, optimizer={"name": "adam", "learning_rate": 1e30}))
    assert caught.value.trial_key == trial().key


def test_what_cannot_be_written_is_an_error_of_its_trial(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError("no room")

    monkeypatch.setattr(classifiers, "keep_network", refuse)
    with pytest.raises(OSError, match="no room") as caught:
        list(outcomes(Context(Store(tmp_path)), optimizer=ADAM))
    assert caught.value.trial_key == trial().key


def test_trials_of_a_study_go_on_without_code_of_its_own(tmp_path):
    """A failed trial leaves its checkpoints, a record removes them."""
    context, asked, stops = Context(Store(tmp_path)), [], [2, None]

    def job(trial):
        indices = job_of("graph", stop_at=stops.pop(0), asked=asked).indices
        return ClassifierJob(network, np.arange(200), None, ADAM, indices=indices)

    def train(trials, context):
        trainer = LaneTrainer(IMAGES, LABELS, lanes=1, checkpoint_seconds=0)
        for trial, _, result in run_lanes(trainer, trials, job, context):
            yield trial, Outcome({"loss": result.train_loss[-1]}, wall_seconds=result.wall_seconds)

    stage = Stage(1, train, lambda trial: 1.0, "lanes")
    assert run_group(stage, [trial()], context) == 1
    assert context.checkpoint_dir(trial()).is_dir()
    assert run_group(stage, [trial()], context) == 0
    assert asked == [0, 1, 2, 3]
    assert not context.checkpoint_dir(trial()).exists()
