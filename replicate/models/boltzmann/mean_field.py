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


def hidden_means(machine, visible, updates, tolerance):
    """Hidden means that maximise the variational bound: odd layers, then even ones, in turns.

    Args:
        machine: a `Machine`.
        visible: visible states `(batch, units)`.
        updates: most updates of all layers, >= 1.
        tolerance: updates end when no mean has changed by more.

    Returns:
        A list of `(batch, units)`, one a hidden layer, and the number of updates.
    """
    top = len(machine.sizes) - 1
    below = tf.matmul(visible, machine.kernels[0])  # the same in all updates

    def total_input(means, level):
        if level > 1:
            return machine.total_input([None, *means], level)
        if top == 1:
            return below
        return below + tf.matmul(means[1], machine.kernels[1], transpose_b=True)

    def update(done, _, means):
        new = list(means)
        for level in (*range(1, top + 1, 2), *range(2, top + 1, 2)):
            new[level - 1] = machine.means(total_input(new, level), level)
        moved = [tf.reduce_max(tf.abs(a - b)) for a, b in zip(means, new, strict=True)]
        return done + 1, tf.reduce_max(tf.stack(moved)), new

    start = (tf.constant(0), tf.constant(np.inf, tf.float32), _upwards(machine, below))
    done, _, means = tf.while_loop(
        lambda done, change, _: (done < updates) & (change > tolerance), update, start
    )
    return means, done


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
