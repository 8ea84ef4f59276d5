"""Classifier trials of any study: resident data, lanes, and what is recorded of each network."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from replicate.runs.files import write_array
from replicate.runs.study import Outcome, data_provenance
from replicate.training.checkpoints import save_weights
from replicate.training.side_by_side import SideBySide


@dataclasses.dataclass
class ClassifierJob:
    """How one classifier is trained.

    Args:
        build: makes the untrained, seeded network.
        rows: int64 `(n,)`, its training images among the real ones followed by the synthetic ones.
        order: epoch -> random generator that permutes the rows of that epoch.
        optimizer: name and arguments: `{"name": "adam", "learning_rate": 0.001, "epsilon": 1e-8}`.
        labels: labels of all resident images where they are not the data's own.
        keep: whether weights and the loss of every batch become artifacts.
    """

    build: Callable[[], Any]
    rows: np.ndarray
    order: Callable[[int], np.random.Generator]
    optimizer: dict[str, Any]
    labels: np.ndarray | None = None
    keep: bool = False


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
    for (n_train, n_test, synthetic), members in by_set.items():
        images, labels = data.train.images[:n_train], data.train.labels[:n_train]
        images = images.astype(np.float32) / 255
        if synthetic:
            images, labels = _with_synthetic(images, labels, members[0], context)
        test = data.test.images[:n_test].astype(np.float32) / 255, data.test.labels[:n_test]
        trainer = SideBySide(images, labels, *test, lanes=context.threads["inter"])
        jobs = {trial: job(trial, labels, n_train) for trial in members}
        yield from _run(trainer, jobs, context, data_provenance(data))


def _with_synthetic(images, labels, trial, context):
    """The real images followed by those of the trial's stored synthetic set."""
    from replicate.data.synthetic import load_synthetic

    drawn = load_synthetic(context.input_path(trial, "synthetic", "set"))
    added = drawn.images if drawn.images.dtype == np.float32 else drawn.images / np.float32(255)
    return np.concatenate([images, added]), np.concatenate([labels, drawn.labels])


def _run(trainer, jobs, context, provenance):
    for trial, result in trainer.run(jobs, context.progress):
        test_loss, test_accuracy = result.test
        curves = {name: list(map(float, values)) for name, values in result.epoch_means().items()}
        metrics = {name: values[-1] for name, values in curves.items()}
        metrics |= {"test_accuracy": test_accuracy, "test_loss": test_loss}
        artifacts = _artifacts(trial, jobs[trial], result, context)
        yield trial, Outcome(metrics, curves, artifacts, provenance, result.wall_seconds)


def _artifacts(trial, job, result, context):
    if not job.keep:
        return {}
    folder = context.artifact_dir(trial)
    paths = {"weights": folder / "weights.safetensors", "batch_loss": folder / "batch_loss.npy"}
    network = job.build()
    network.set_weights(result.weights)
    card = {"trial": trial.describe(), "key": trial.key}
    save_weights(paths["weights"], {"classifier": network}, card)
    write_array(paths["batch_loss"], np.concatenate([e["train_loss"] for e in result.epochs]))
    return paths
