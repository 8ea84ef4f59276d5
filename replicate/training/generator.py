"""The one training loop of all generators: epochs of `train_step`, resumable, with histories.

A generator is a `keras.Model` whose `train_step` takes one batch and returns that batch's own
losses; with several networks it also has `named_optimizers()` and `network_at_fault(values)`.
Images stay on the device; an epoch is one graph call per chunk of steps.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from replicate.runs.files import write_array, write_arrays
from replicate.runs.study import Outcome, data_provenance
from replicate.training.checkpoints import Checkpoints, save_weights
from replicate.training.loop import resident_steps, run_epoch
from replicate.training.telemetry import Strip, TrainingLog

STRIP = "strip/"  # marks the snapshots among a checkpoint's arrays


def named_optimizers(model: keras.Model) -> dict[str, keras.optimizers.Optimizer]:
    """A model's optimizers by name: its own `named_optimizers()`, or the one of `compile`."""
    named = getattr(model, "named_optimizers", lambda: {"optimizer": model.optimizer})()
    if "optimizer" in named:
        named["optimizer"].build(model.trainable_variables)
    return named


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
    strip: Strip | None = None,
    log_dir: Path | None = None,
    after_epoch: Callable[[int], None] = lambda epoch: None,
    checkpoint_every: int = 1,
    enough: Callable[[dict[str, list[float]]], bool] = lambda means: False,
) -> dict[str, np.ndarray]:
    """Train a generator from its last checkpoint, or from the start, to the last epoch.

    Args:
        model: compiled model; `train_step((images, labels))` returns a dict of scalars.
        images: float32 `(n, height, width, channels)` in the model's own value range.
        labels: int64 `(n,)`.
        epochs: epochs in all, >= 1.
        batch_size: images a step; a last smaller batch is used too.
        order: epoch -> integers: the images of that epoch in their order, as many in each epoch; a
            permutation, or draws with replacement. A function of the epoch alone.
        checkpoints: where the state is kept after an epoch.
        progress: called with the fraction done and a short text.
        strip: snapshots to take as training goes; restored with the rest.
        log_dir: folder for TensorBoard events and the strip's picture; None logs nothing.
        after_epoch: called with the number of epochs done, before they are checkpointed; it is
            called again for an epoch that a kill undid.
        checkpoint_every: epochs from one checkpoint to the next; the last epoch has one.
        enough: whether to end before the last epoch, told the mean of every value of each epoch so
            far.

    Returns:
        name -> float32 array of each step's value.

    Raises:
        FloatingPointError: if a loss is not finite, naming the epoch and the network.
    """
    named_optimizers(model)  # Builds them, so that their states can be restored.
    start, arrays = checkpoints.restore()
    histories = {k: v for k, v in arrays.items() if not k.startswith(STRIP)}
    if strip is not None:
        strip.restore({k.removeprefix(STRIP): v for k, v in arrays.items() if k.startswith(STRIP)})
    run = resident_steps(
        lambda *batch: model.train_step(batch), tf.constant(images), tf.constant(labels)
    )
    with _open_log(log_dir, -(-len(order(0)) // batch_size), histories, strip) as log:
        for epoch in range(start, epochs):
            if epoch and enough({k: epoch_means(v, epoch) for k, v in histories.items()}):
                break
            rows = order(epoch).astype(np.int64)

            def tell(done, values, epoch=epoch):
                text = " ".join(f"{k} {v[-1]:.4g}" for k, v in values.items())
                progress((epoch + done) / epochs, f"epoch {epoch + 1}/{epochs} {text}")

            values = run_epoch(run, rows, batch_size, tell)
            _check_finite(model, values, epoch)
            kept = {}
            if strip is not None:
                strip.take(epoch + 1, epochs)
                kept = {STRIP + name: array for name, array in strip.arrays().items()}
            after_epoch(epoch + 1)
            before = len(next(iter(histories.values()), ()))
            histories = {
                name: np.concatenate([histories.get(name, np.zeros(0, np.float32)), array])
                for name, array in values.items()
            }
            if (epoch + 1) % checkpoint_every == 0 or epoch + 1 == epochs:
                checkpoints.save(epoch + 1, {**histories, **kept})
            _log_epoch(log, before, values, strip)
    return histories


def _open_log(log_dir, steps, histories, strip):
    """The log with all that is known already, as a context; None where nothing is logged."""
    if log_dir is None:
        return contextlib.nullcontext()
    log = TrainingLog(log_dir, steps)
    _log_epoch(log, 0, histories, strip)
    return log


def _log_epoch(log, first, values, strip):
    if log is not None:
        log.scalars(first, values)
        if strip is not None:
            log.strip(strip.arrays())


def _check_finite(model, values, epoch):
    """Refuse losses that are not finite; the first step that has one tells whose fault it is."""
    bad = ~np.isfinite(np.stack(list(values.values()), axis=1))  # [steps, names]
    if bad.any():
        step = int(np.argmax(bad.any(axis=1)))
        name = list(values)[int(np.argmax(bad[step]))]
        row = {key: array[step] for key, array in values.items()}
        network = getattr(model, "network_at_fault", lambda row: model.name)(row)
        raise FloatingPointError(
            f"Expected finite losses. Received: {name}={row[name]} in epoch {epoch + 1}, "
            f"step {step + 1} of {len(bad)}, by the network {network!r}"
        )


def epoch_means(history: np.ndarray, epochs: int) -> list[float]:
    """Mean of each epoch of a history with equally many steps an epoch."""
    return [float(part.mean()) for part in np.split(history, epochs)]


def run_generator_trial(
    trial,
    context,
    model,
    images,
    labels,
    order: Callable[[int], np.ndarray],
    data,
    *,
    step_size: int | None = None,
    strip: Strip | None = None,
    keep_weights: Mapping[str, int] | None = None,
    log: bool = False,
    checkpoint_every: int = 1,
    enough: Callable[[dict[str, list[float]]], bool] = lambda means: False,
) -> Outcome:
    """Train a trial's generator to its end and store weights and losses.

    Args:
        trial: its settings name `epochs`, and `batch_size` if `step_size` is not given.
        context: the worker's context.
        model: compiled model with `inference_layers()`, the layers that sampling needs, and
            `named_optimizers()` if it has several.
        images: float32 `(n, height, width, channels)` in the model's value range.
        labels: int64 `(n,)`.
        order: epoch -> the images of that epoch in their order, see `train_generator`.
        data: the data set, for the record.
        step_size: images a step where that is not the setting `batch_size`.
        strip: snapshots of fixed noise to take; stored as the artifact `strip`.
        keep_weights: further artifacts: name -> number of epochs after which weights are kept.
        log: whether to log to `context.log_dir(trial)` as training goes.
        checkpoint_every: epochs from one checkpoint to the next, more where epochs take seconds.
        enough: as of `train_generator`.

    Returns:
        Epoch means of every loss, and the artifacts `weights` (float16), those of `keep_weights`,
        `strip` and `batch_loss`: each step's `train_loss` or, of a model without one, all losses by
        name.

    Raises:
        ValueError: if `keep_weights` names an epoch that is not trained.
    """
    epochs = trial.settings["epochs"]
    keep_weights = dict(keep_weights or {})
    if not all(1 <= epoch <= epochs for epoch in keep_weights.values()):
        raise ValueError(
            f"Expected weights kept at epochs 1 to {epochs}. Received: keep_weights={keep_weights}"
        )
    step = step_size or trial.settings["batch_size"]
    folder = context.artifact_dir(trial)
    artifacts = {name: folder / f"{name}.safetensors" for name in ("weights", *keep_weights)}

    def after_epoch(epoch):
        for name in (name for name, at in keep_weights.items() if at == epoch):
            save_weights(artifacts[name], model.inference_layers(), {**trial.card, "epoch": epoch})

    owners = {"model": model, **named_optimizers(model)}
    checkpoints = Checkpoints(context.checkpoint_dir(trial), trial, owners)
    histories = train_generator(
        model,
        images,
        labels,
        epochs=epochs,
        batch_size=step,
        order=order,
        checkpoints=checkpoints,
        progress=lambda done, text: context.progress(trial, done, text),
        strip=strip,
        log_dir=context.log_dir(trial) if log else None,
        after_epoch=after_epoch,
        checkpoint_every=checkpoint_every,
        enough=enough,
    )
    trained = round(len(next(iter(histories.values()))) / -(-len(order(0)) // step))
    save_weights(artifacts["weights"], model.inference_layers(), trial.card)
    artifacts["batch_loss"] = _write_losses(folder, histories)
    if strip is not None:
        artifacts["strip"] = folder / "strip.npz"
        write_arrays(artifacts["strip"], dict(sorted(strip.arrays().items())))
    curves = {name: epoch_means(history, trained) for name, history in histories.items()}
    metrics = {name: values[-1] for name, values in curves.items()}
    return Outcome(
        metrics,
        curves,
        artifacts,
        data_provenance(data),
        earlier_seconds=checkpoints.earlier_seconds,
    )


def _write_losses(folder, histories):
    if "train_loss" not in histories:
        write_arrays(folder / "batch_loss.npz", dict(sorted(histories.items())))
        return folder / "batch_loss.npz"
    write_array(folder / "batch_loss.npy", histories["train_loss"])
    return folder / "batch_loss.npy"
