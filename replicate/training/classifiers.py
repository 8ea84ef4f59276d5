"""Classifier trials of any study: resident data, lanes, and what is recorded of each network."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from replicate.runs.files import write_array
from replicate.runs.study import Outcome, blames_trial, data_provenance
from replicate.training.checkpoints import Checkpoints, save_weights
from replicate.training.lanes import LaneJob, LaneResult, LaneTrainer


@dataclasses.dataclass
class ClassifierJob:
    """How one classifier is trained.

    Args:
        build: makes the untrained, seeded network.
        rows: int64 `(n,)`, its training images among the real ones followed by the synthetic ones.
        order: epoch -> random generator that permutes the rows of that epoch.
        optimizer: name and arguments: see `replicate.training.optimizers`.
        labels: labels of all resident images where they are not the data's own.
        keep: whether weights and the loss of every batch become artifacts.
        probes_at: epoch from 1 -> names of the probe sets to test on, see `LaneJob`.
        epoch_data: epoch from 0 -> images and labels in place of the resident ones; `rows` are
            theirs.
        indices: epoch from 0 -> rows of that epoch in their order, where that is not a permutation
            of all of them; then `order` is not used.
    """

    build: Callable[[], Any]
    rows: np.ndarray
    order: Callable[[int], np.random.Generator]
    optimizer: dict[str, Any]
    labels: np.ndarray | None = None
    keep: bool = False
    probes_at: Callable[[int], tuple[str, ...]] = lambda epoch: ()
    epoch_data: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None
    indices: Callable[[int], np.ndarray] | None = None


def run_classifier_trials(trials, context, data, job) -> Iterator[tuple[Any, Outcome]]:
    """Train the classifiers of a group side by side and test them on real images.

    Args:
        trials: settings name `n_train`, `n_test`, `epochs` and `batch_size`; an input `synthetic`
            is a stored set.
        context: the worker's context.
        data: the real data set.
        job: `(trial, labels, n_real) -> ClassifierJob`, where `labels` are those of the resident
            images, the first `n_real` of them real.

    Yields:
        Each trial with its outcome, as it ends.
    """
    by_set = defaultdict(list)
    for trial in trials:
        settings = trial.settings
        shape = settings["n_train"], settings["n_test"], trial.inputs.get("synthetic", "")
        by_set[shape].append(trial)
    for members in by_set.values():
        yield from _run_on_one_set(members, context, data, job)


def _run_on_one_set(trials, context, data, job):
    """Trials that share their resident images, which are freed before the next set is loaded."""
    n_train, n_test = (trials[0].settings[name] for name in ("n_train", "n_test"))
    images, labels = _resident(data, n_train, trials[0], context)
    test = data.test.images[:n_test].astype(np.float32) / 255, data.test.labels[:n_test]
    trainer = LaneTrainer(images, labels, *test, lanes=context.threads["inter"])
    for trial, spec, result in run_lanes(
        trainer, trials, lambda trial: job(trial, labels, n_train), context
    ):
        yield trial, lane_outcome(trial, spec, result, context, data)


def run_lanes(trainer, trials, job, context) -> Iterator[tuple[Any, ClassifierJob, LaneResult]]:
    """Train one classifier a trial over a trainer's resident images.

    Args:
        trainer: a `LaneTrainer`.
        trials: settings name `epochs` and `batch_size`.
        job: trial -> `ClassifierJob`.
        context: the worker's context.

    Yields:
        Trial, job and result, as each ends. A job that fails, or whose training diverges, raises
        an error with the trial's key as `trial_key`.
    """
    job = blames_trial(job)
    for result in trainer.run(_lane_job(trial, job(trial), context) for trial in trials):
        trial, spec = result.job.key
        _check(trial, result)
        yield trial, spec, result


@blames_trial
def _check(trial, result):
    """Raise what a lane raised, or that its training diverged."""
    if result.error is not None:
        raise result.error
    lost = np.flatnonzero(~np.isfinite(result.train_loss))
    if len(lost):
        raise FloatingPointError(
            f"Expected finite losses. Received: train_loss={result.train_loss[lost[0]]} "
            f"in epoch {lost[0] + 1}: the training diverged"
        )


def _resident(data, n_train, trial, context):
    """The real images, then those of the trial's stored set: float32 in [0, 1], and labels."""
    from replicate.data.synthetic import load_synthetic

    real, labels = data.train.images[:n_train], data.train.labels[:n_train]
    if "synthetic" not in trial.inputs:
        return real.astype(np.float32) / 255, labels
    drawn = load_synthetic(context.input_path(trial, "synthetic", "set"))
    images = np.empty((n_train + len(drawn.images), *real.shape[1:]), np.float32)
    np.divide(real, np.float32(255), out=images[:n_train])
    scale = np.float32(255 if drawn.images.dtype == np.uint8 else 1)
    np.divide(drawn.images, scale, out=images[n_train:])
    return images, np.concatenate([labels, drawn.labels])


def _lane_job(trial, spec, context):
    settings = trial.settings

    def indices(epoch):
        context.progress(trial, epoch / settings["epochs"])
        if spec.indices is not None:
            return spec.indices(epoch)
        return spec.rows[spec.order(epoch).permutation(len(spec.rows))]

    return LaneJob(
        key=(trial, spec),
        build=spec.build,
        indices=indices,
        batch_size=settings["batch_size"],
        epochs=settings["epochs"],
        optimizer=spec.optimizer,
        labels=spec.labels,
        record_batch_loss=spec.keep,
        keep_weights=spec.keep,
        probes_at=spec.probes_at,
        epoch_data=spec.epoch_data,
        checkpoints=functools.partial(Checkpoints, context.checkpoint_dir(trial), trial),
    )


@blames_trial
def lane_outcome(trial, spec: ClassifierJob, result: LaneResult, context, data) -> Outcome:
    """What is recorded of a classifier that is tested after its last epoch.

    Returns:
        `train_loss` and `train_accuracy` of each epoch and of the last, `test_accuracy` and
        `test_loss`; the artifacts of `keep_network`, if the job keeps them.
    """
    curves = training_curves(result)
    metrics = {name: values[-1] for name, values in curves.items()}
    metrics |= {"test_accuracy": result.test_accuracy, "test_loss": result.test_loss}
    artifacts = keep_network(trial, spec, result, context) if spec.keep else {}
    return Outcome(metrics, curves, artifacts, data_provenance(data), result.wall_seconds)


def training_curves(result: LaneResult) -> dict[str, list[float]]:
    """Training loss and accuracy of each epoch, as a record keeps them."""
    curves = {"train_loss": result.train_loss, "train_accuracy": result.train_accuracy}
    return {name: [float(value) for value in values] for name, values in curves.items()}


def keep_network(trial, spec, result, context) -> dict[str, Any]:
    """Write a network's float16 weights and the loss of every batch; name -> path."""
    folder = context.artifact_dir(trial)
    paths = {"weights": folder / "weights.safetensors", "batch_loss": folder / "batch_loss.npy"}
    network = spec.build()
    network.set_weights(result.weights)
    save_weights(paths["weights"], {"classifier": network}, trial.card)
    write_array(paths["batch_loss"], result.batch_loss)
    return paths
