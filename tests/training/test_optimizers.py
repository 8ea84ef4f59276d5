"""Optimizers by name: the fused kernels, Keras' classes and the published formulas agree."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.training.optimizers import (
    FusedAdam,
    TorchAdam,
    complete_spec,
    fused_update,
    make_optimizer,
)

SPECS = [
    {"name": "adam", "learning_rate": 0.01, "epsilon": 1e-4},
    {"name": "adam_torch", "learning_rate": 0.01, "beta_1": 0.8, "epsilon": 1e-4},
    {"name": "adadelta", "learning_rate": 1.0, "rho": 0.9},
]
START = np.array([1.0, -2.0, 0.5], np.float32)
GRADIENTS = np.random.default_rng(0).normal(0, 1e-3, (7, 3)).astype("float32")


def _by_keras(spec):
    variable = keras.Variable(START)
    optimizer = make_optimizer(spec)
    for gradient in GRADIENTS:
        optimizer.apply([tf.constant(gradient)], [variable])
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.parametrize("spec", SPECS)
def test_fused_update_equals_keras(spec):
    weights, slots = tf.Variable(START), [tf.Variable(tf.zeros(3)) for _ in range(2)]
    for step, gradient in enumerate(GRADIENTS, 1):
        handles = [slot.handle for slot in slots]
        fused_update(
            complete_spec(spec), tf.constant(float(step)), weights.handle, handles, gradient
        )
    np.testing.assert_allclose(weights.numpy(), _by_keras(spec), rtol=1e-6)


def test_fused_adam_equals_keras_adam_over_30_steps():
    rng = np.random.default_rng(0)
    start = rng.standard_normal((5, 7)).astype(np.float32)
    ours, theirs = keras.Variable(start), keras.Variable(start)
    arguments = {"learning_rate": 1e-2, "beta_1": 0.5, "epsilon": 1e-8}
    fused, plain = FusedAdam(**arguments), keras.optimizers.Adam(**arguments)
    for _ in range(30):
        gradient = tf.constant(rng.standard_normal((5, 7)).astype(np.float32))
        fused.apply_gradients([(gradient, ours)])
        plain.apply_gradients([(gradient, theirs)])
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    assert np.abs(ours.numpy() - start).max() > 0.05
    for a, b in zip(fused.variables, plain.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


def test_fused_adam_refuses_amsgrad():
    with pytest.raises(ValueError, match="amsgrad"):
        FusedAdam(amsgrad=True)


def test_torch_adam_is_the_bias_corrected_formula():
    """Kingma and Ba (2015), Algorithm 1, in float64."""
    spec = SPECS[1]
    weights, mean, square = START.astype("float64"), 0.0, 0.0
    for step, gradient in enumerate(GRADIENTS.astype("float64"), 1):
        mean = 0.8 * mean + 0.2 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        root = np.sqrt(square / (1 - 0.999**step))
        weights = weights - 0.01 * mean / (1 - 0.8**step) / (root + 1e-4)
    np.testing.assert_allclose(_by_keras(spec), weights, rtol=1e-5)
    assert np.abs(_by_keras({**spec, "name": "adam"}) - weights).max() > 1e-3


def test_torch_adam_equals_torch_where_installed():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(START))
    optimizer = torch.optim.Adam([parameter], lr=0.01, betas=(0.8, 0.999), eps=1e-4)
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(_by_keras(SPECS[1]), parameter.detach().numpy(), rtol=1e-5)


def test_torch_adam_round_trip():
    again = TorchAdam.from_config(TorchAdam(0.02, epsilon=1e-6).get_config())
    assert again.get_config()["epsilon"] == 1e-6


def test_specifications():
    assert complete_spec({"name": "adam_torch"})["epsilon"] == 1e-8
    assert complete_spec({"name": "adam"})["epsilon"] == 1e-7
    with pytest.raises(ValueError, match="Received: optimizer={'name': 'lion'}"):
        complete_spec({"name": "lion"})
    with pytest.raises(ValueError, match="momentum"):
        complete_spec({"name": "adam", "momentum": 0.9})
