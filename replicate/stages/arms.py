"""Classifiers on real, augmented and synthetic images, with controls matched in steps and size.

Real and synthetic images lie side by side in a `Mixture`; an arm is a set of its rows, a number of
steps an epoch and, where it needs them, other labels or images drawn anew each epoch:

    real                    real images
    augmented               as many, transformed anew each epoch
    synthetic               all synthetic images
    combined                all of them together
    real_step_matched       real images, as many steps an epoch as `synthetic`
    synthetic_step_matched  all synthetic images in turn, as many steps an epoch as `real`
    synthetic_size_matched  as many synthetic images of each class as there are real ones
    label_shuffled          as synthetic_step_matched, with permuted labels
    real_vs_synthetic       real ones and as many synthetic ones of each class, told apart
    real_vs_synthetic_alike the same, of images that `stored_alike` made
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from replicate.data.augmentation import augment
from replicate.data.augmentation import draw as draw_transforms
from replicate.data.image_files import jpeg_round_trip
from replicate.data.mixing import Labelled, Mixture
from replicate.evaluation.confusion import confusion_matrix, per_class_recall
from replicate.evaluation.learning_curves import validation_metrics
from replicate.runs.files import write_arrays
from replicate.runs.seeds import trial_stream
from replicate.runs.study import Outcome, blames_trial
from replicate.stages.arm_names import AUGMENTED_ARMS, REAL_ARMS, TOLD_APART
from replicate.training.classifiers import ClassifierJob, run_lanes, training_curves
from replicate.training.lanes import LaneTrainer
from replicate.training.passes import rows_of_epoch

SOURCES = ("real", "synthetic")
FEW = 1000  # validation images of which it is recorded which are right


def grey_levels(images: np.ndarray) -> np.ndarray:
    """Images uint8 `(n, height, width, 3)` with the luma of JPEG (ITU-R 601) in all channels."""
    grey = np.empty_like(images)
    for row, image in enumerate(images):
        grey[row] = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    return grey


def stored_alike(
    train: Labelled, held_out: Labelled, drawn: Sequence[np.ndarray], storage: str, grey: bool
) -> tuple[Labelled, Labelled, list[np.ndarray]]:
    """Real and synthetic images without the marks that only their storage leaves on either.

    Synthetic images were stored at their final size, real ones before they were resized: real ones
    are stored once more, at their final size. Where real ones are grey, both are made grey.

    Args:
        train: real training images uint8 `(n, height, width, 3)` and their labels.
        held_out: real held-out images and their labels.
        drawn: synthetic images of each class, stored before; no more of them are returned than
            `Mixture` needs beside the real ones.
        storage: how synthetic ones were stored, see `jpeg_round_trip`.
        grey: whether real images are grey.

    Returns:
        The arguments of `Mixture`, images uint8.
    """
    level = grey_levels if grey else np.asarray
    counts = sum(np.bincount(part[1], minlength=len(drawn)) for part in (train, held_out))
    real = [(level(jpeg_round_trip(images, storage=storage)), y) for images, y in (train, held_out)]
    return *real, [level(part[:count]) for part, count in zip(drawn, counts, strict=True)]


def classifier_job(trial, build: Callable, rows: np.ndarray, steps: int, **more) -> ClassifierJob:
    """A CNN on some of the resident images, so many steps an epoch, by Keras' Adam.

    Args:
        trial: settings name `batch_size` and `learning_rate`.
        build: makes the untrained network.
        rows: the training images.
        steps: steps an epoch, see `rows_of_epoch`.
        **more: as of `ClassifierJob`.
    """
    s = trial.settings
    stream = functools.partial(trial_stream, trial, "classifier/order")
    return ClassifierJob(
        build=build,
        rows=rows,
        order=None,
        optimizer={"name": "adam", "learning_rate": s["learning_rate"]},
        indices=lambda epoch: rows_of_epoch(rows, s["batch_size"], steps, epoch, stream),
        **more,
    )


def run_arms(
    trials,
    context,
    mixture: Mixture,
    held_out: tuple[np.ndarray, np.ndarray],
    build: Callable[[Any], Any],
) -> Iterator[tuple[Any, Any]]:
    """Train the classifiers of one mixture side by side, tested after each epoch.

    Args:
        trials: settings name `arm`, `epochs`, `batch_size`, `learning_rate` and, of some arms,
            `per_class`, `n_classes`, `contrast_stretch`.
        context: the worker's context.
        mixture: their training images.
        held_out: real images that no network learns from, and their labels.
        build: trial -> untrained network.

    Yields:
        Each trial with its `LaneResult`, as it ends: probes `"val"`, or, of arms that tell real
        from synthetic, `"real"` and `"synthetic"`, held-out images and as many unused synthetic
        ones.
    """
    probes = {"val": held_out}
    if len(mixture.unused):
        zeros = np.zeros(len(held_out[1]), np.int64)
        probes["real"] = held_out[0], zeros
        probes["synthetic"] = mixture.images[mixture.unused], zeros + 1
    lanes = context.threads["inter"]
    trainer = LaneTrainer(mixture.images, mixture.labels, lanes=lanes, probes=probes)
    for trial, _, result in run_lanes(
        trainer, trials, lambda trial: _job(trial, mixture, build), context
    ):
        yield trial, result


def rows_of(arm: str, mixture: Mixture) -> np.ndarray:
    """The rows of an arm's training set; augmented images beside others come after them."""
    if arm in REAL_ARMS:
        return mixture.real
    if arm in TOLD_APART:
        return np.concatenate([mixture.real, mixture.alike])
    return {
        "synthetic_size_matched": mixture.alike,
        "combined": np.arange(len(mixture.images) + len(mixture.real)),
    }.get(arm, mixture.synthetic)


def steps_of(trial, mixture: Mixture) -> int:
    """Steps an epoch: the whole batches of the arm's images, or of those that it is matched to."""
    s = trial.settings
    count = len(rows_of(s["arm"], mixture))
    if s["arm"] == "real_step_matched":
        count = s["per_class"] * s["n_classes"]
    elif s["arm"] in ("synthetic_step_matched", "label_shuffled"):
        count = len(mixture.real)
    return count // s["batch_size"]


def augmented(trial, mixture: Mixture, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """An epoch's images and labels: the real ones transformed anew, alone or after all images."""
    images, labels = mixture.images[mixture.real], mixture.labels[mixture.real]
    transforms = draw_transforms(len(images), trial_stream(trial, "augmentation", epoch))
    images = augment(images, transforms, contrast_stretch=trial.settings["contrast_stretch"])
    if trial.settings["arm"] == "augmented":
        return images, labels
    return np.concatenate([mixture.images, images]), np.concatenate([mixture.labels, labels])


def _job(trial, mixture, build):
    arm, more = trial.settings["arm"], {"probes_at": lambda epoch: ("val",)}
    if arm == "label_shuffled":
        more["labels"] = mixture.shuffled_labels(trial_stream(trial, "label_shuffle"))
    if arm in TOLD_APART:
        more = {"labels": mixture.source_labels(), "probes_at": lambda epoch: SOURCES}
    if arm in AUGMENTED_ARMS:
        more["epoch_data"] = functools.partial(augmented, trial, mixture)
    steps = steps_of(trial, mixture)
    return classifier_job(trial, lambda: build(trial), rows_of(arm, mixture), steps, **more)


@blames_trial
def arm_outcome(
    trial,
    context,
    result,
    mixture: Mixture,
    truth: np.ndarray,
    class_names: Sequence[str],
    levels: Sequence[int] = (),
) -> Outcome:
    """What is recorded of one classifier.

    Args:
        trial: see `run_arms`.
        context: the worker's context.
        result: its `LaneResult`.
        mixture: its training images.
        truth: labels of the held-out images.
        class_names: name of each class.
        levels: as of `validation_metrics`.

    Returns:
        Curves and metrics of training and validation and the confusion matrices (rows true) after
        the last and the best epoch, with the curves `val_right_e1`, `val_right_last` and
        `val_right_best_selected_on_test`, one number a validation image, if these are few; of
        arms that tell real from synthetic, training and test accuracy, and whether the network is
        `untrained`, see `at_chance`: only one that is not has `test_accuracy_trained_last`. No
        provenance.
    """
    curves = training_curves(result)
    metrics = {
        "n_train": len(rows_of(trial.settings["arm"], mixture)),
        "steps_per_epoch": steps_of(trial, mixture),
        "train_seconds": result.wall_seconds,
        "train_accuracy_e1": curves["train_accuracy"][0],
    }
    metrics |= {f"{name}_last": values[-1] for name, values in curves.items()}
    outcome = Outcome(metrics, curves, wall_seconds=result.wall_seconds)
    if trial.settings["arm"] in TOLD_APART:
        _add_sources(outcome, result)
    else:
        _add_validation(outcome, result, levels)
        _add_answers(outcome, result, truth, class_names, context.artifact_dir(trial))
    return outcome


def _add_sources(outcome, result):
    epochs = range(1, len(outcome.curves["train_loss"]) + 1)
    parts = {name: [result.probes[name, e].accuracy for e in epochs] for name in SOURCES}
    curve = [sum(pair) / len(SOURCES) for pair in zip(*parts.values(), strict=True)]
    outcome.curves["test_accuracy"] = curve
    outcome.metrics |= {f"test_accuracy_{name}_last": v[-1] for name, v in parts.items()}
    outcome.metrics["test_accuracy_last"] = curve[-1]
    counts = [len(result.probes[name, 1].predictions) for name in SOURCES]
    outcome.metrics["n_test"] = sum(counts)
    untrained = at_chance(outcome.metrics["train_accuracy_last"], outcome.metrics["n_train"])
    outcome.metrics["untrained"] = float(untrained)
    if not untrained:
        outcome.metrics["test_accuracy_trained_last"] = curve[-1]


def at_chance(accuracy: float, count: int) -> bool:
    """Whether a network of two classes does no better on its own training images than a guess.

    Such a network, whose loss stays at ln 2, failed to train: its test accuracy of one half says
    nothing of the images. The bound is three standard errors above one half, so that many images
    that are hard to tell apart do not count as a failure once anything of them is learned.

    Args:
        accuracy: training accuracy of the last epoch.
        count: training images, as many of either class.
    """
    return accuracy <= 0.5 + 3 * (0.25 / count) ** 0.5


def _add_validation(outcome, result, levels):
    curves, metrics = outcome.curves, outcome.metrics
    train = curves["train_accuracy"]
    probed = [result.probes["val", epoch + 1] for epoch in range(len(train))]
    curves["val_accuracy"] = [probe.accuracy for probe in probed]
    curves["val_loss"] = [probe.loss for probe in probed]
    tail = train[max(0, round(len(train) * 40 / 48) - 1) :]  # epochs 40 to 48, in proportion
    metrics |= {"train_accuracy_max": max(train), "train_accuracy_tail": sum(tail) / len(tail)}
    n_val, steps = len(probed[0].predictions), metrics["steps_per_epoch"]
    metrics |= validation_metrics(curves["val_accuracy"], curves["val_loss"], n_val, steps, levels)


def _add_answers(outcome, result, truth, class_names, folder):
    best = int(outcome.metrics["best_epoch_selected_on_test"])
    epochs = {"e1": 1, "last": len(outcome.curves["val_loss"]), "best_selected_on_test": best}
    given = {name: result.probes["val", epoch].predictions for name, epoch in epochs.items()}
    if len(truth) < FEW:
        for name, classes in given.items():
            outcome.curves[f"val_right_{name}"] = (classes == truth).astype(int).tolist()
    matrices = {
        name: confusion_matrix(truth, given[name], len(class_names)).astype(np.int32)
        for name in ("last", "best_selected_on_test")
    }
    outcome.artifacts["confusion"] = folder / "confusion.npz"
    write_arrays(outcome.artifacts["confusion"], matrices)
    shares = zip(class_names, per_class_recall(matrices["last"]), strict=True)
    outcome.metrics |= {f"recall_{name}_last": float(share) for name, share in shares}
