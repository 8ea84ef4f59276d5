"""Boltzmann machines by brute force in float64: every state of every unit is written down.

Nothing here uses that units of a layer are independent given their neighbours.
"""

import itertools

import numpy as np


def every(units):
    """All binary vectors of a length: `(2**units, units)`."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def random_parameters(sizes, seed=0, spread=1.0):
    """Kernels and biases of a machine."""
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(0, spread, pair) for pair in itertools.pairwise(sizes)]
    return kernels, [rng.normal(0, spread, size) for size in sizes]


def put(machine, kernels, biases):
    """Give a machine these parameters."""
    for variable, value in zip(machine.kernels + machine.biases, [*kernels, *biases], strict=True):
        variable.assign(value)


def energy(states, kernels, biases):
    """Energy of one state, a vector a layer, unit by unit."""
    total = 0.0
    for level, (layer, bias) in enumerate(zip(states, biases, strict=True)):
        for i, unit in enumerate(layer):
            total -= bias[i] * unit
            if level < len(kernels):
                for j, other in enumerate(states[level + 1]):
                    total -= unit * kernels[level][i, j] * other
    return total


class Enumerated:
    """The exact distribution of a small machine of binary units.

    Attributes:
        states: `(count, all units)`, layer after layer.
        probabilities: `(count,)`.
        log_z: log of the partition function.
    """

    def __init__(self, kernels, biases):
        self.cuts = np.cumsum([len(bias) for bias in biases])[:-1]
        self.states = every(sum(len(bias) for bias in biases))
        minus = np.array([-energy(s, kernels, biases) for s in self.layers(self.states)])
        self.log_z = np.log(np.exp(minus).sum())
        self.probabilities = np.exp(minus - self.log_z)

    def layers(self, states):
        """States split into layers."""
        return [np.split(state, self.cuts) for state in states]

    def given(self, known):
        """Means of all units given the values of some, `{unit: value}`."""
        fits = np.all([self.states[:, unit] == value for unit, value in known.items()], axis=0)
        weights = self.probabilities * fits
        return weights @ self.states / weights.sum()

    def log_probability(self, visible):
        """Log probability of one visible vector."""
        fits = np.all(self.states[:, : len(visible)] == visible, axis=1)
        return np.log(self.probabilities[fits].sum())


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def mean_field(visible, kernels, biases, updates=2000):
    """Hidden means at the fixed point, odd layers first, from a pass upwards with doubling."""
    means, top = [visible], len(kernels)
    for level in range(1, top + 1):
        factor = 2.0 if level < top else 1.0
        means.append(sigmoid(factor * means[-1] @ kernels[level - 1] + biases[level]))
    for _ in range(updates):
        for level in [*range(1, top + 1, 2), *range(2, top + 1, 2)]:
            total = means[level - 1] @ kernels[level - 1] + biases[level]
            if level < top:
                total = total + means[level + 1] @ kernels[level].T
            means[level] = sigmoid(total)
    return means[1:]


def free_energy_of_means(visible, means, kernels, biases):
    """Expected minus energy plus entropy: the bound without the partition function."""
    entropy = -sum(np.sum(m * np.log(m) + (1 - m) * np.log1p(-m)) for m in means)
    return entropy - energy([visible, *means], kernels, biases)
