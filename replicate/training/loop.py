"""Epochs over resident arrays: many steps a graph call, each step's values returned."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

CHUNK = 200  # steps a graph call: long enough to hide its cost, short enough to report progress


def resident_steps(step: Callable, images, labels) -> Callable:
    """A graph that trains on `(steps, batch)` rows of resident arrays.

    Args:
        step: `(images, labels) -> {name: scalar}`; updates variables.
        images: tensor `(n, height, width, channels)`.
        labels: tensor `(n,)`.

    Returns:
        `rows -> {name: float32 (steps,)}`.
    """

    names: list[str] = []

    @tf.function(reduce_retracing=True)
    def steps(rows):
        values = tf.TensorArray(tf.float32, tf.shape(rows)[0])
        for index in tf.range(tf.shape(rows)[0]):
            result = step(tf.gather(images, rows[index]), tf.gather(labels, rows[index]))
            names[:] = result
            values = values.write(index, tf.stack(list(result.values())))
        return values.stack()

    def run(rows):
        values = steps(rows).numpy()  # [steps, names]
        return {name: values[:, column] for column, name in enumerate(names)}

    return run


def run_epoch(
    run: Callable, rows: np.ndarray, batch_size: int, tell: Callable[[float, dict], None]
) -> dict[str, np.ndarray]:
    """One epoch in chunks; a last smaller batch is used too.

    Args:
        run: see `resident_steps`.
        rows: int64 `(n,)`, in the epoch's order.
        batch_size: rows a step.
        tell: called after each chunk with the fraction done and the chunk's values.

    Returns:
        name -> value of each step.
    """
    chunks = list(_chunks(rows, batch_size))
    parts = []
    for index, chunk in enumerate(chunks):
        values = run(tf.constant(chunk))
        parts.append(values)
        tell((index + 1) / len(chunks), values)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(rows: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    whole = len(rows) // batch_size * batch_size
    steps = rows[:whole].reshape(-1, batch_size)
    for start in range(0, len(steps), CHUNK):
        yield steps[start : start + CHUNK]
    if whole < len(rows):
        yield rows[None, whole:]
