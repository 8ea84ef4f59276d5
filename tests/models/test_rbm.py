"""Restricted Boltzmann machines against enumeration, integration and scikit-learn."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from boltzmann_numpy import Enumerated, every, put, random_parameters, sigmoid
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM

from replicate.models.boltzmann import RBM, Momentum, PerEpoch

SIZES = (4, 3)


def machine_and_parameters(doubled=None, seed=0, **arguments):
    kernels, biases = random_parameters(SIZES, seed)
    rbm = RBM((2, 2, 1), 3, doubled=doubled, **arguments)
    put(rbm.machine, kernels, biases)
    return rbm, kernels, biases


def with_copies(kernels, biases, doubled):
    """The machine with two copies of the side that `doubled` stands for, enumerated."""
    if doubled == "up":
        kernels, biases = [np.concatenate(kernels * 2)], [np.tile(biases[0], 2), biases[1]]
    elif doubled == "down":
        kernels, biases = (
            [np.concatenate(kernels * 2, axis=1)],
            [biases[0], np.tile(biases[1], 2)],
        )
    return Enumerated(kernels, biases)


def test_counts_seeds_and_config():
    rbm = RBM((28, 28, 1), 512, doubled="up", spread=0.001, seed=3)
    assert sum(np.prod(v.shape) for v in rbm.trainable_variables) == 784 * 512 + 784 + 512
    kernel = rbm.machine.kernels[0].numpy()
    np.testing.assert_allclose(kernel.std(), 0.001, rtol=0.01)
    again = RBM.from_config(rbm.get_config())
    np.testing.assert_array_equal(again.machine.kernels[0].numpy(), kernel)
    assert again.doubled == "up" and again.visible_shape == (28, 28, 1)
    other = RBM((28, 28, 1), 512, spread=0.001, seed=4)
    assert np.abs(other.machine.kernels[0].numpy() - kernel).max() > 0.001


@pytest.mark.parametrize("doubled", [None, "up", "down"])
def test_conditionals_and_free_energy_are_those_of_the_enumerated_machine(doubled):
    rbm, kernels, biases = machine_and_parameters(doubled)
    exact = with_copies(kernels, biases, doubled)
    low, high = (8, 3) if doubled == "up" else (4, 6 if doubled == "down" else 3)
    images, hidden = every(4), every(3)
    features = rbm.features(images.reshape(-1, 2, 2, 1))
    for image, probability in zip(images, features, strict=True):
        known = dict(enumerate(np.tile(image, low // 4)))
        np.testing.assert_allclose(exact.given(known)[low:][:3], probability, atol=1e-5)
    for state, means in zip(hidden, rbm.down(tf.constant(hidden, tf.float32)).numpy(), strict=True):
        known = {low + k: value for k, value in enumerate(np.tile(state, high // 3))}
        np.testing.assert_allclose(exact.given(known)[:4], means, atol=1e-5)
    wanted = [exact.log_probability(np.tile(image, low // 4)) + exact.log_z for image in images]
    energies = rbm.free_energy(images.reshape(-1, 2, 2, 1), batch_size=5)
    np.testing.assert_allclose(-energies, wanted, rtol=1e-5, atol=1e-5)


def expected_contrast(image, kernels, biases, steps, up, down):
    """Mean of CD-k's contrast over all chains, and of its squares (for the standard error)."""
    hidden, visible = every(3), every(4)

    def law(states, means):  # [from, to] probabilities of every state
        return np.prod(states * means[:, None] + (1 - states) * (1 - means[:, None]), axis=2)

    p_hidden = sigmoid(up * visible @ kernels[0] + biases[1])
    p_visible = sigmoid(down * hidden @ kernels[0].T + biases[0])
    first = sigmoid(up * image @ kernels[0] + biases[1])
    at_hidden = law(hidden, first[None])[0]
    for _ in range(steps):
        at_visible = at_hidden @ law(visible, p_visible)
        at_hidden = at_visible @ law(hidden, p_hidden)
    pairs = visible[:, :, None] * p_hidden[:, None]  # [state, 4, 3]
    pieces = [(np.outer(image, first), pairs), (image, visible), (first, p_hidden)]
    means = [known - np.tensordot(at_visible, part, 1) for known, part in pieces]
    squares = [np.tensordot(at_visible, (known - part) ** 2, 1) for known, part in pieces]
    errors = [np.sqrt(square - mean**2) for mean, square in zip(means, squares, strict=True)]
    return means, errors


@pytest.mark.parametrize(("doubled", "steps"), [(None, 1), ("up", 1), ("down", 3)])
def test_a_step_moves_along_the_expected_contrast(doubled, steps):
    """One step on many copies of an image: their mean is close to the exact expectation."""
    rbm, kernels, biases = machine_and_parameters(doubled, seed=1)
    copies, rate, decay = 40_000, 0.5, 0.1
    image = np.array([1.0, 0.0, 1.0, 1.0])
    rbm.compile(9, [rate], gibbs_steps=[steps], l2=decay)
    batch = np.broadcast_to(image.reshape(2, 2, 1), (copies, 2, 2, 1)).astype(np.float32)
    report = tf.function(rbm.train_step)((tf.constant(batch), tf.zeros(copies)))
    up, down = {None: (1, 1), "up": (2, 1), "down": (1, 2)}[doubled]
    means, errors = expected_contrast(image, kernels, biases, steps, up, down)
    means[0] = means[0] - decay * kernels[0]
    variables = rbm.machine.kernels + rbm.machine.biases
    for variable, before, mean, error in zip(
        variables, [*kernels, *biases], means, errors, strict=True
    ):
        moved = (variable.numpy() - before) / rate
        assert np.all(np.abs(moved - mean) < 4.5 * error / np.sqrt(copies) + 1e-5)
    first = sigmoid(up * image @ kernels[0] + biases[1])
    np.testing.assert_allclose(report["hidden_activity"], first.mean(), rtol=1e-5)
    assert 0 < float(report["reconstruction_error"]) < 1


def test_reconstruction_and_call():
    rbm, kernels, biases = machine_and_parameters()
    images = np.random.default_rng(0).random((7, 2, 2, 1)).astype(np.float32)
    hidden = sigmoid(images.reshape(7, 4) @ kernels[0] + biases[1])
    wanted = sigmoid(hidden @ kernels[0].T + biases[0]).reshape(7, 2, 2, 1)
    np.testing.assert_allclose(rbm.reconstruct(images, batch_size=3), wanted, rtol=1e-5)
    np.testing.assert_allclose(rbm(images), wanted, rtol=1e-5)


def test_samples_have_the_exact_means():
    rbm, kernels, biases = machine_and_parameters(seed=2)
    exact = Enumerated(kernels, biases)
    drawn = rbm.sample(20_000, gibbs_steps=60, seed=5)
    assert drawn.shape == (20_000, 2, 2, 1)
    wanted = (exact.probabilities @ exact.states)[:4]
    np.testing.assert_allclose(drawn.reshape(-1, 4).mean(axis=0), wanted, atol=0.015)
    np.testing.assert_array_equal(rbm.sample(9, 3, seed=1), rbm.sample(9, 3, seed=1))
    assert np.any(rbm.sample(9, 3, seed=1) != rbm.sample(9, 3, seed=2))


def test_gaussian_conditionals_by_integration():
    """Two pixels on a grid: densities from the energy alone, moments by summation."""
    rng = np.random.default_rng(3)
    kernel, low, high = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=2)
    rbm = RBM((2,), 2, visible="gaussian")
    put(rbm.machine, [kernel], [low, high])
    axis = np.linspace(-12, 12, 241)
    grid = np.array(list(itertools.product(axis, axis)))

    def minus_energy(visible, hidden):
        return -0.5 * np.sum((visible - low) ** 2, -1) + visible @ kernel @ hidden + high @ hidden

    states = every(2)
    for hidden, means in zip(states, rbm.down(tf.constant(states, tf.float32)), strict=True):
        density = np.exp(minus_energy(grid, hidden))
        np.testing.assert_allclose(density @ grid / density.sum(), means, atol=1e-4)
    points = rng.normal(size=(5, 2))
    weights = np.exp(np.array([minus_energy(points, hidden) for hidden in states]))  # [states, 5]
    wanted = (weights.T @ states) / weights.sum(axis=0)[:, None]
    np.testing.assert_allclose(rbm.features(points), wanted, atol=1e-5)
    np.testing.assert_allclose(rbm.free_energy(points), -np.log(weights.sum(axis=0)), rtol=1e-5)


def test_gaussian_units_see_standardised_pixels_of_every_channel():
    rng = np.random.default_rng(0)
    images = rng.uniform(0.2, 0.6, (500, 2, 2, 3))
    images[..., 1] = 0.25  # a channel that never changes
    rbm = RBM((2, 2, 3), 4, visible="gaussian", spread=0.0)
    rbm.adapt(images)
    states = rbm.to_states(tf.constant(images)).numpy().reshape(images.shape)
    np.testing.assert_allclose(states[..., [0, 2]].mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(states[..., [0, 2]].std(axis=0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(states[..., 1], 0.0, atol=1e-4)
    np.testing.assert_allclose(
        rbm.reconstruct(images)[0], images.mean(axis=0), atol=1e-6
    )  # without weights every image is the mean
    drawn = rbm.machine.draw(tf.zeros((5000, 12)), 0, tf.constant([1, 2])).numpy()
    np.testing.assert_allclose(np.cov(drawn.T), np.eye(12), atol=0.1)
    with pytest.raises(ValueError, match="Expected visible='gaussian'. Received"):
        RBM((2, 2, 3), 4).adapt(images)


@pytest.fixture(scope="module")
def digits():
    return (load_digits().data[:1000] / 16.0).astype(np.float32)


def as_sklearn(rbm):
    oracle = BernoulliRBM(n_components=rbm.hidden)
    oracle.components_ = rbm.machine.kernels[0].numpy().T
    oracle.intercept_visible_, oracle.intercept_hidden_ = (b.numpy() for b in rbm.machine.biases)
    oracle.random_state_ = np.random.RandomState(0)
    oracle.n_features_in_ = oracle.components_.shape[1]
    return oracle


def test_features_and_free_energy_equal_scikit_learn(digits):
    kernels, biases = random_parameters((64, 16), spread=0.3)
    rbm = RBM((64,), 16)
    put(rbm.machine, kernels, biases)
    oracle = as_sklearn(rbm)
    np.testing.assert_allclose(rbm.features(digits), oracle.transform(digits), atol=1e-5)
    np.testing.assert_allclose(rbm.free_energy(digits), oracle._free_energy(digits), rtol=1e-4)


def test_training_is_as_good_as_scikit_learns(digits):
    """Pseudo-likelihood, by scikit-learn for both, after as many steps of equal size."""
    theirs = BernoulliRBM(24, learning_rate=0.05, batch_size=20, n_iter=8, random_state=0)
    theirs.fit(digits)
    rbm = RBM((64,), 24, noise_seed=1)
    start = as_sklearn(rbm).score_samples(digits).mean()
    rbm.compile(50, [0.05], [0.5])
    rbm.fit(digits, batch_size=20, epochs=8, verbose=0)
    scores = {}
    for name, oracle in {"ours": as_sklearn(rbm), "theirs": theirs}.items():
        oracle.random_state_ = np.random.RandomState(0)
        scores[name] = np.mean([oracle.score_samples(digits).mean() for _ in range(5)])
    assert scores["ours"] > start + 5 and scores["theirs"] > start + 5
    assert scores["ours"] > scores["theirs"] - 1.0, scores


def test_momentum_is_the_recursion_and_rates_are_of_their_epoch():
    rates, momenta = [0.5, 0.1], [0.0, 0.9, 0.5]
    weight, velocity = keras.Variable(np.array([1.0, -2.0], np.float32)), np.zeros(2)
    optimizer = Momentum(PerEpoch(rates, 2), PerEpoch(momenta, 2))
    optimizer = Momentum.from_config(optimizer.get_config())
    wanted = np.array([1.0, -2.0])
    for step in range(8):
        gradient = np.array([0.3, -0.1]) * (step + 1)
        optimizer.apply([tf.constant(gradient, tf.float32)], [weight])
        epoch = step // 2
        velocity = momenta[min(epoch, 2)] * velocity - rates[min(epoch, 1)] * gradient
        wanted = wanted + velocity
        np.testing.assert_allclose(weight.numpy(), wanted, rtol=1e-5)


def test_gibbs_steps_grow_by_epoch():
    assert [int(PerEpoch([1, 2, 3], 4)(step)) for step in (0, 3, 4, 8, 99)] == [1, 1, 2, 3, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RBM((4,), 3, doubled="both"), "Received: doubled='both'"),
        (lambda: RBM((4,), 3, visible="poisson"), "visible='poisson'"),
        (lambda: RBM((4,), 0), r"sizes=\(4, 0\)"),
        (lambda: RBM((4,), 3).compile(0, [0.1]), "steps_per_epoch=0"),
        (lambda: RBM((4,), 3).compile(1, []), r"values=\[\]"),
        (lambda: RBM((4,), 3).compile(1, [0.1], gibbs_steps=[0]), r"gibbs_steps=\[0\]"),
        (lambda: RBM((4,), 3).features(np.zeros((2, 5))), r"Received: shape=\(2, 5\)"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
