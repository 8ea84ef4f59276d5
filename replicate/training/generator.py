"""The one training loop of all generators: epochs of `train_step`, resumable, with histories.

A generator is a `keras.Model` whose `train_step` takes one batch and returns that batch's own
losses. Images stay on the device; an epoch is one graph call per chunk of steps.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from replicate.runs.files import write_array
from replicate.runs.study import Outcome, data_provenance
from replicate.training.checkpoints import Checkpoints, save_weights
from replicate.training.loop import resident_steps, run_epoch


def train_generator(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    order: Callable[[int], np.ndarray],
    checkpoints: Checkpoints,
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> dict[str, np.ndarray]:
    """Train a generator from its last checkpoint, or from the start, to the last epoch.

    Args:
        model: compiled model; `train_step((images, labels))` returns a dict of scalars.
        images: float32 `(n, height, width, channels)` in the model's own value range.
        labels: int64 `(n,)`.
        epochs: epochs in all, >= 1.
        batch_size: images a step; a last smaller batch is used too.
        order: epoch -> permutation of the n images; a function of the epoch alone.
        checkpoints: where the state is kept after each epoch.
        progress: called with the fraction done and a short text.

    Returns:
        name -> float32 array of each step's value.

    Raises:
        FloatingPointError: if a loss is not finite, naming the epoch.
    """
    model.optimizer.build(model.trainable_variables)
    start, histories = checkpoints.restore()
    run = resident_steps(
        lambda *batch: model.train_step(batch), tf.constant(images), tf.constant(labels)
    )
    for epoch in range(start, epochs):
        rows = order(epoch).astype(np.int64)

        def tell(done, values, epoch=epoch):
            text = " ".join(f"{k} {v[-1]:.4g}" for k, v in values.items())
            progress((epoch + done) / epochs, f"epoch {epoch + 1}/{epochs} {text}")

        values = run_epoch(run, rows, batch_size, tell)
        for name, array in values.items():
            if not np.isfinite(array).all():
                raise FloatingPointError(
                    f"Expected finite losses. Received: {name} not finite in epoch {epoch + 1}"
                )
            before = histories.get(name, np.zeros(0, np.float32))
            histories[name] = np.concatenate([before, array])
        checkpoints.save(epoch + 1, histories)
    return histories


def epoch_means(history: np.ndarray, epochs: int) -> list[float]:
    """Mean of each epoch of a history with equally many steps an epoch."""
    return [float(part.mean()) for part in np.split(history, epochs)]


def run_generator_trial(trial, context, model, images, labels, orders, data) -> Outcome:
    """Train a trial's generator to its end and store weights and losses.

    Args:
        trial: its settings name `epochs` and `batch_size`.
        context: the worker's context.
        model: compiled model with `inference_layers()`, the layers that sampling needs.
        images: float32 `(n, height, width, channels)` in the model's value range.
        labels: int64 `(n,)`.
        orders: epoch -> random generator of that epoch's order.
        data: the data set, for the record.

    Returns:
        Epoch means of every loss, and the artifacts `weights` (float16) and `batch_loss`
        (each step's `train_loss`).
    """
    epochs = trial.settings["epochs"]
    owners = {"model": model, "optimizer": model.optimizer}
    checkpoints = Checkpoints(context.checkpoint_dir(trial), trial, owners)
    histories = train_generator(
        model,
        images,
        labels,
        epochs=epochs,
        batch_size=trial.settings["batch_size"],
        order=lambda epoch: orders(epoch).permutation(len(images)),
        checkpoints=checkpoints,
        progress=lambda done, text: context.progress(trial, done, text),
    )
    folder = context.artifact_dir(trial)
    artifacts = {"weights": folder / "weights.safetensors"}
    card = {"trial": trial.describe(), "key": trial.key}
    save_weights(artifacts["weights"], model.inference_layers(), card)
    artifacts["batch_loss"] = folder / "batch_loss.npy"
    write_array(artifacts["batch_loss"], histories["train_loss"])
    curves = {name: epoch_means(history, epochs) for name, history in histories.items()}
    metrics = {name: values[-1] for name, values in curves.items()}
    return Outcome(metrics, curves, artifacts, data_provenance(data))
