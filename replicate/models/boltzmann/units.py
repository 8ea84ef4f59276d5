"""Layers of stochastic units, each joined to the next: energies, conditionals, Gibbs sampling.

With states x_0 (visible) to x_L, the energy of a machine is

    E(x) = - sum_l x_l W_l x_{l+1} - sum_l b_l x_l,

with 1/2 |x_0 - b_0|^2 in place of - b_0 x_0 where the visible units are Gaussian (of unit variance,
on standardised pixels). Given the layers of odd number those of even number are independent, and
the other way round: both Gibbs sampling and mean-field updates alternate between the two.
"""

from __future__ import annotations

import math
from itertools import pairwise

import keras
import numpy as np
import tensorflow as tf

KINDS = ("bernoulli", "gaussian")
HALF_GREY = 0.5 / 255  # least spread of a standardised pixel


class Machine(keras.layers.Layer):
    """Weights and biases of visible units and one or more layers of binary hidden units.

    Args:
        sizes: units of each layer, visible first; at least two numbers.
        visible: `"bernoulli"` (values in [0, 1]) or `"gaussian"`.
        spread: standard deviation of the initial weights, which are normal; biases are zero.
        max_norm: largest norm of the weights that come up into a hidden unit; None for no limit.
        seed: seed of the initial weights.

    Raises:
        ValueError: if `sizes` or `visible` is not as above.
    """

    def __init__(self, sizes, visible="bernoulli", spread=0.01, max_norm=None, seed=0):
        super().__init__(name="machine", dtype="float32")
        if len(sizes) < 2 or min(sizes) < 1 or visible not in KINDS:
            raise ValueError(
                f"Expected two or more layers of one or more units and visible of {KINDS}. "
                f"Received: sizes={tuple(sizes)}, visible={visible!r}"
            )
        self.sizes, self.visible = tuple(int(size) for size in sizes), visible
        constraint = None if max_norm is None else keras.constraints.MaxNorm(max_norm, axis=0)
        seeds = np.random.SeedSequence(seed).generate_state(len(sizes) - 1)
        self.kernels = [
            self.add_weight(
                pair,
                keras.initializers.RandomNormal(0.0, spread, seed=int(word) >> 1),
                constraint=constraint,
                name=f"kernel_{level}",
            )
            for level, (pair, word) in enumerate(zip(pairwise(sizes), seeds, strict=True))
        ]
        self.biases = [
            self.add_weight((size,), "zeros", name=f"bias_{level}")
            for level, size in enumerate(sizes)
        ]
        if visible == "gaussian":
            self.pixel_mean = self.add_weight((sizes[0],), "zeros", trainable=False, name="mean")
            self.pixel_scale = self.add_weight((sizes[0],), "ones", trainable=False, name="scale")
        self.built = True

    def adapt(self, pixels) -> None:
        """Take the mean and standard deviation of every visible unit from data.

        Args:
            pixels: `(n, units)` in [0, 1]. A standard deviation counts as at least half a grey
                level, so that a constant pixel stays what it is.

        Raises:
            ValueError: if the visible units are not Gaussian.
        """
        if self.visible != "gaussian":
            raise ValueError(f"Expected visible='gaussian'. Received: visible={self.visible!r}")
        self.pixel_mean.assign(np.mean(pixels, axis=0, dtype=np.float64))
        scale = np.std(pixels, axis=0, dtype=np.float64)
        self.pixel_scale.assign(np.maximum(scale, HALF_GREY))

    def encode(self, pixels):
        """Visible states of pixels `(batch, units)` in [0, 1]."""
        pixels = tf.cast(pixels, tf.float32)
        if self.visible == "bernoulli":
            return pixels
        return (pixels - self.pixel_mean) / self.pixel_scale

    def decode(self, states):
        """Pixels in [0, 1] of visible means `(batch, units)`."""
        if self.visible == "bernoulli":
            return states
        return tf.clip_by_value(states * self.pixel_scale + self.pixel_mean, 0.0, 1.0)

    def total_input(self, states, level: int):
        """What a layer receives from its neighbours, without its bias: `(batch, units)`."""
        parts = []
        if level > 0:
            parts.append(tf.matmul(states[level - 1], self.kernels[level - 1]))
        if level < len(self.sizes) - 1:
            parts.append(tf.matmul(states[level + 1], self.kernels[level], transpose_b=True))
        return tf.add_n(parts)

    def means(self, total, level: int, heat=1.0):
        """Conditional means of a layer from its total input.

        Args:
            total: `(batch, units)`.
            level: number of the layer.
            heat: factor of energies (the Gaussian's square excepted), 1 but for annealing.
        """
        if level == 0 and self.visible == "gaussian":
            return heat * total + self.biases[0]
        return tf.sigmoid(heat * (total + self.biases[level]))

    def draw(self, means, level: int, seed):
        """States of a layer with the given means; `seed` is a stateless seed `(2,)`."""
        if level == 0 and self.visible == "gaussian":
            return means + tf.random.stateless_normal(tf.shape(means), seed)
        return tf.cast(tf.random.stateless_uniform(tf.shape(means), seed) < means, tf.float32)

    def random_states(self, count: int, seed):
        """States at infinite temperature: fair coins, or standard normal: a list of tensors."""
        fair = [tf.fill((count, size), 0.5) for size in self.sizes]
        if self.visible == "gaussian":
            fair[0] = tf.zeros_like(fair[0])
        return [self.draw(means, k, tf.random.fold_in(seed, k)) for k, means in enumerate(fair)]

    def half_step(self, states, parity: int, seed, heat=1.0):
        """States with the layers of one parity (0 or 1) drawn anew given the others."""
        states = list(states)
        for level in range(parity, len(self.sizes), 2):
            means = self.means(self.total_input(states, level), level, heat)
            states[level] = self.draw(means, level, tf.random.fold_in(seed, level))
        return states

    def gibbs(self, states, steps, seed):
        """Draw odd layers, then even ones, `steps` times.

        Args:
            states: a tensor `(batch, units)` a layer.
            steps: integer scalar.
            seed: stateless seed `(2,)`; equal seeds give equal draws.
        """

        def step(done, states):
            own = tf.random.fold_in(seed, done)
            states = self.half_step(states, 1, own)
            return done + 1, self.half_step(states, 0, own)

        steps = tf.cast(steps, tf.int32)
        start = (tf.constant(0), list(states))
        return tf.while_loop(lambda done, _: done < steps, step, start)[1]

    def energy(self, states):
        """Energy `(batch,)` of states, or of means: the energy is linear in each hidden layer."""
        energy = self.visible_energy(states[0])
        for level, kernel in enumerate(self.kernels):
            rise = tf.matmul(states[level], kernel) + self.biases[level + 1]
            energy -= tf.reduce_sum(rise * states[level + 1], axis=1)
        return energy

    def visible_energy(self, visible):
        """The part of the energy `(batch,)` that visible states `(batch, units)` have alone."""
        if self.visible == "gaussian":
            return 0.5 * tf.reduce_sum((visible - self.biases[0]) ** 2, axis=1)
        return -tf.linalg.matvec(visible, self.biases[0])

    def log_weight(self, states, heat=1.0):
        """Log of the unnormalised probability of the odd layers, even layers summed out.

        Args:
            states: as of `gibbs`; only odd layers are looked at.
            heat: see `means`.

        Returns:
            `(batch,)`.
        """
        result = 0.0
        for level, bias in enumerate(self.biases):
            if level % 2:
                result += heat * tf.linalg.matvec(states[level], bias)
                continue
            total = self.total_input(states, level)
            if level == 0 and self.visible == "gaussian":
                result += tf.reduce_sum(heat * total * (bias + 0.5 * heat * total), axis=1)
                result += 0.5 * self.sizes[0] * math.log(2 * math.pi)
            else:
                result += tf.reduce_sum(tf.nn.softplus(heat * (total + bias)), axis=1)
        return result

    def contrast(self, positive, negative):
        """What raises the probability of `positive` states over that of `negative` ones.

        Args:
            positive: states or means given data, a tensor `(batch, units)` a layer.
            negative: states of the model, `(chains, units)` each.

        Returns:
            For every kernel, then every bias, the difference of means of - dE / d parameter.
        """
        weights = 1.0 / tf.cast(tf.shape(positive[0])[0], tf.float32)
        minus = -1.0 / tf.cast(tf.shape(negative[0])[0], tf.float32)
        both = [tf.concat(pair, axis=0) for pair in zip(positive, negative, strict=True)]
        signed = [
            tf.concat([weights * p, minus * n], axis=0)
            for p, n in zip(positive, negative, strict=True)
        ]
        kernels = [  # One product of both phases: the sum over rows takes the difference.
            tf.matmul(lower, upper, transpose_a=True)
            for lower, upper in zip(both, signed[1:], strict=False)
        ]
        return kernels + [tf.reduce_sum(layer, axis=0) for layer in signed]


class Chains(keras.layers.Layer):
    """Persistent Markov chains: states of all layers, random at first.

    Args:
        machine: the `Machine` whose states they are.
        count: number of chains, >= 1.
        seed: seed of the first states.
    """

    def __init__(self, machine, count, seed):
        super().__init__(name="chains", dtype="float32")
        self.states = [
            self.add_weight(state.shape, "zeros", trainable=False, name=f"state_{level}")
            for level, state in enumerate(machine.random_states(count, tf.constant([seed, 2])))
        ]
        self.assign(machine.random_states(count, tf.constant([seed, 2])))
        self.built = True

    def assign(self, states) -> None:
        """Replace the states of all layers."""
        for variable, state in zip(self.states, states, strict=True):
            variable.assign(state)
