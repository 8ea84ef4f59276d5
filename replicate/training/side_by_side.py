"""Small classifiers trained side by side, one a slot, on shared resident arrays.

Each slot has one network, one optimizer and one graph of its own; a thread runs it, one operation
at a time, while the other slots run theirs. A network's result therefore does not depend on its
neighbours. A slot takes the next job when its own is done.
"""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from replicate.training.fused_adam import FusedAdam
from replicate.training.loop import resident_steps, run_epoch

OPTIMIZERS = {"adam": FusedAdam, "adadelta": keras.optimizers.Adadelta}
TEST_BATCH = 1000


@dataclasses.dataclass
class Result:
    """What training one classifier gave.

    Args:
        epochs: one `{"train_loss", "train_accuracy"}` of float32 `(steps,)` an epoch.
        test: loss and accuracy (fraction) on the test images, after the last epoch.
        weights: the final weights, as `keras.Model.get_weights` gives them.
        wall_seconds: wall time of this network.
    """

    epochs: list[dict[str, np.ndarray]]
    test: tuple[float, float]
    weights: list[np.ndarray]
    wall_seconds: float

    def epoch_means(self) -> dict[str, list[float]]:
        """Name -> mean of each epoch."""
        return {n: [float(e[n].mean()) for e in self.epochs] for n in self.epochs[0]}


class SideBySide:
    """Trains classifiers side by side.

    Args:
        images: float32 `(n, height, width, channels)`, the resident training images.
        labels: int64 `(n,)`.
        test_images: float32 `(m, height, width, channels)`.
        test_labels: int64 `(m,)`.
        lanes: how many networks train at a time, >= 1.

    Raises:
        ValueError: if there are no lanes.
    """

    def __init__(self, images, labels, test_images, test_labels, lanes: int = 2):
        if lanes < 1:
            raise ValueError(f"Expected lanes >= 1. Received: lanes={lanes}")
        self.images, self.labels = tf.constant(images), labels
        self.test = tf.constant(test_images), test_labels
        self.lanes = lanes

    def run(self, jobs: dict, progress: Callable = lambda *_: None) -> Iterator[tuple[Any, Result]]:
        """Train every job, yielding `(trial, Result)` as they end.

        Args:
            jobs: trial -> `ClassifierJob`; the trial's settings name `epochs` and `batch_size`.
            progress: called with the trial and the fraction done.

        Raises:
            Exception: what training raised, with the trial's key as `trial_key`.
        """
        waiting, results, stop = queue.SimpleQueue(), queue.SimpleQueue(), threading.Event()
        for item in jobs.items():
            waiting.put(item)
        threads = [
            threading.Thread(target=self._slot, args=(waiting, results, stop, progress))
            for _ in range(min(self.lanes, len(jobs)))
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in jobs:
                trial, result = results.get()
                if isinstance(result, Exception):
                    result.trial_key = trial.key
                    raise result
                yield trial, result
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _slot(self, waiting, results, stop, progress) -> None:
        slot = None
        while not stop.is_set():
            try:
                trial, job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                network = job.build()
                if slot is None or not slot.fits(network, job):
                    slot = Slot(network, job, self.images, self.labels)
                slot.load(network)
                results.put((trial, self._train(slot, trial, job, stop, progress)))
            except Exception as error:  # handed to the caller's thread
                results.put((trial, error))

    def _train(self, slot, trial, job, stop, progress) -> Result:
        start, epochs = time.monotonic(), []
        count = trial.settings["epochs"]
        for epoch in range(count):

            def tell(done, values, epoch=epoch):
                progress(trial, (epoch + done) / count)
                if stop.is_set():
                    raise InterruptedError("stopped with the group")

            rows = job.rows[job.order(epoch).permutation(len(job.rows))]
            epochs.append(run_epoch(slot.run, rows, trial.settings["batch_size"], tell))
        test = slot.evaluate(*self.test)
        return Result(epochs, test, slot.network.get_weights(), time.monotonic() - start)


class Slot:
    """One network with its optimizer and graph, used for many jobs in turn."""

    def __init__(self, network, job, images, labels):
        self.network, self.spec, self.own_labels = network, dict(job.optimizer), job.labels
        arguments = dict(job.optimizer)
        self.optimizer = OPTIMIZERS[arguments.pop("name")](**arguments)
        self.optimizer.build(network.trainable_variables)
        self.start = [variable.numpy() for variable in self.optimizer.variables]
        labels = labels if job.labels is None else job.labels
        self.run = resident_steps(self._step, images, tf.constant(labels))
        self._evaluate = tf.function(self._test_step, reduce_retracing=True)

    def fits(self, network, job) -> bool:
        """Whether a job's network can be trained by this slot's graph."""
        same = network.get_config()["layers"][1:] == self.network.get_config()["layers"][1:]
        return same and job.optimizer == self.spec and job.labels is self.own_labels

    def load(self, network) -> None:
        """Start over with a network's weights and a fresh optimizer."""
        for mine, fresh in zip(self.network.variables, network.variables, strict=True):
            mine.assign(fresh.numpy())
        for variable, value in zip(self.optimizer.variables, self.start, strict=True):
            variable.assign(value)

    def _step(self, images, labels):
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(
            zip(gradients, self.network.trainable_variables, strict=True)
        )
        hits = tf.equal(tf.argmax(logits, axis=1), labels)
        return {"train_loss": loss, "train_accuracy": tf.reduce_mean(tf.cast(hits, tf.float32))}

    def _test_step(self, images, labels):
        logits = self.network(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        return tf.reduce_sum(losses), tf.math.count_nonzero(tf.argmax(logits, axis=1) == labels)

    def evaluate(self, images, labels) -> tuple[float, float]:
        """Mean loss and accuracy on images."""
        loss = hits = 0.0
        for start in range(0, len(labels), TEST_BATCH):
            part = slice(start, start + TEST_BATCH)
            part_loss, part_hits = self._evaluate(images[part], tf.constant(labels[part]))
            loss, hits = loss + float(part_loss), hits + int(part_hits)
        return loss / len(labels), hits / len(labels)
