"""Inference in a deep Boltzmann machine: hidden units taken as independent given an image."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def upwards(machine, visible):
    """Hidden means by one pass upwards; doubled weights stand in for what comes from above.

    Args:
        machine: a `Machine`.
        visible: visible states `(batch, units)`.

    Returns:
        A list of `(batch, units)`, one a hidden layer.
    """
    return _upwards(machine, tf.matmul(visible, machine.kernels[0]))


def _upwards(machine, below):
    """The same from the input that the lowest hidden layer has from the visible units."""
    means, top = [], len(machine.sizes) - 1
    for level in range(1, top + 1):
        total = tf.matmul(means[-1], machine.kernels[level - 1]) if means else below
        means.append(machine.means(total * (2.0 if level < top else 1.0), level))
    return means


def hidden_means(machine, visible, updates, tolerance, lots=1):
    """Hidden means that maximise the variational bound: odd layers, then even ones, in turns.

    Args:
        machine: a `Machine`.
        visible: visible states `(batch, units)`.
        updates: most updates of all layers, >= 1.
        tolerance: updates end when no mean has changed by more.
        lots: parts of the batch that may be worked on side by side, one a thread: faster than to
            share small products among threads. The means are the same up to rounding.

    Returns:
        A list of `(batch, units)`, one a hidden layer, and the number of updates.
    """
    top = len(machine.sizes) - 1
    # What the lowest hidden layer has from below is the same in all updates, as are its weights.
    downwards = tf.transpose(machine.kernels[1]) if top > 1 else None
    below = [tf.matmul(part, machine.kernels[0]) for part in _split(visible, lots)]

    def total_input(lot, means, level):
        if level > 1:
            return machine.total_input([None, *means], level)
        return below[lot] if top == 1 else below[lot] + tf.matmul(means[1], downwards)

    def update(done, _, parts):
        new = [list(means) for means in parts]
        for lot, means in enumerate(new):
            for level in (*range(1, top + 1, 2), *range(2, top + 1, 2)):
                means[level - 1] = machine.means(total_input(lot, means, level), level)
        moved = [
            tf.reduce_max(tf.abs(a - b))
            for before, after in zip(parts, new, strict=True)
            for a, b in zip(before, after, strict=True)
        ]
        return done + 1, tf.reduce_max(tf.stack(moved)), new

    means = [_upwards(machine, part) for part in below]
    start = (tf.constant(0), tf.constant(np.inf, tf.float32), means)
    done, _, parts = tf.while_loop(
        lambda done, change, _: (done < updates) & (change > tolerance), update, start
    )
    return [tf.concat(layer, 0) for layer in zip(*parts, strict=True)], done


def _split(states, lots):
    """States in so many parts of nearly equal size."""
    if lots == 1:
        return [states]
    count = tf.shape(states)[0]
    return tf.split(states, [count * (k + 1) // lots - count * k // lots for k in range(lots)])


def entropy(means):
    """Entropy `(batch,)`, in nats, of independent binary units.

    Args:
        means: a list of `(batch, units)` in [0, 1].
    """
    parts = [
        tf.reduce_sum(tf.math.xlogy(mean, mean) + tf.math.xlog1py(1.0 - mean, -mean), axis=1)
        for mean in means
    ]
    return -tf.add_n(parts)
