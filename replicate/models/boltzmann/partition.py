"""The partition function of a Boltzmann machine by annealed importance sampling.

Salakhutdinov and Murray (2008), with the even layers summed out, from the machine whose units are
fair coins (Gaussian units: around their biases) to the machine itself.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf


def annealed(machine, runs: int, betas: int, seed: int) -> tuple[float, float]:
    """Estimate log Z of a machine.

    Args:
        machine: a `Machine`.
        runs: independent runs, >= 2.
        betas: steps of equal size between the two machines, >= 1.
        seed: seed of the draws.

    Returns:
        The log of the mean weight, and its standard error (of the log, by the delta method). The
        estimate of Z is unbiased; that of log Z is too low on average while the error is large.

    Raises:
        ValueError: if `runs` or `betas` is too small.
    """
    if runs < 2 or betas < 1:
        raise ValueError(f"Expected runs >= 2 and betas >= 1. Received: runs={runs}, betas={betas}")

    seeds = tf.constant([seed, 3])
    states = machine.random_states(runs, tf.random.fold_in(seeds, 0))
    log_weights = np.zeros(runs)
    for index in range(betas):
        before, heat = index / betas, (index + 1) / betas
        gain = machine.log_weight(states, heat) - machine.log_weight(states, before)
        log_weights += gain.numpy()
        own = tf.random.fold_in(seeds, index + 1)
        states = machine.half_step(states, 0, own, heat)
        states = machine.half_step(states, 1, own, heat)
    top = log_weights.max()
    weights = np.exp(log_weights - top)
    error = weights.std(ddof=1) / math.sqrt(runs) / weights.mean()
    binary = sum(machine.sizes) - (machine.sizes[0] if machine.visible == "gaussian" else 0)
    gaussian = 0.5 * (sum(machine.sizes) - binary) * math.log(2 * math.pi)
    estimate = binary * math.log(2) + gaussian + top + math.log(weights.mean())
    return float(estimate), float(error)
