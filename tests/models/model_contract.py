"""What every network of the package must satisfy, as one declarative call a network.

Example:
    check_model(ModelContract(build=build_lenet, input_shape=(28, 28, 1), output_shape=(10,),
                              params=61_706))
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class ModelContract:
    """One network and what is promised of it.

    Attributes:
        build: Called as `build(seed=...)`; returns a built `keras.Model`.
        input_shape: Shape of one input, `(height, width, channels)` for images.
        output_shape: Shape of one output.
        params: The pinned number of parameters, moving statistics included.
        input_range: Smallest and largest input value.
        output_range: Bounds that every output obeys, or None for logits.
        loss: Keras loss for the training step; integer targets if its name starts with "sparse".
        batch: Images in the test batch.
    """

    build: Callable
    input_shape: tuple
    output_shape: tuple
    params: int
    input_range: tuple = (0.0, 1.0)
    output_range: tuple | None = None
    loss: object = "mse"
    batch: int = 4


def check_model(contract, tmp_path):
    """Asserts the whole contract of one network."""
    model = contract.build(seed=1)
    assert model.count_params() == contract.params
    inputs = _inputs(contract)
    outputs = _check_outputs(contract, model, inputs)
    _check_seeds(contract, model)
    _check_save_and_load(model, inputs, outputs, tmp_path)
    _check_training_step(contract, model, inputs)


def _inputs(contract):
    rng = np.random.default_rng(0)
    low, high = contract.input_range
    return rng.uniform(low, high, (contract.batch, *contract.input_shape)).astype("float32")


def _check_outputs(contract, model, inputs):
    outputs = np.asarray(model(inputs, training=False))
    assert outputs.shape == (contract.batch, *contract.output_shape)
    assert np.isfinite(outputs).all()
    assert np.ptp(outputs, axis=0).max() > 0, "the output does not depend on the input"
    if contract.output_range is not None:
        low, high = contract.output_range
        assert outputs.min() >= low and outputs.max() <= high
    single = np.asarray(model(inputs[:1], training=False))
    np.testing.assert_allclose(single, outputs[:1], rtol=1e-4, atol=1e-5)
    return outputs


def _check_seeds(contract, model):
    same, other = contract.build(seed=1), contract.build(seed=2)
    for a, b in zip(model.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    differing = [
        np.any(a != b)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True)
        if a.ndim > 1
    ]
    assert differing and all(differing), "a kernel is the same under another seed"


def _check_save_and_load(model, inputs, outputs, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(np.asarray(loaded(inputs, training=False)), outputs)


def _check_training_step(contract, model, inputs):
    rng = np.random.default_rng(1)
    if str(getattr(contract.loss, "name", contract.loss)).startswith("sparse"):
        targets = rng.integers(0, contract.output_shape[-1], contract.batch)
    else:
        targets = rng.uniform(size=(contract.batch, *contract.output_shape)).astype("float32")
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    model.compile(optimizer="adam", loss=contract.loss)
    assert np.isfinite(model.train_on_batch(inputs, targets))
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.any(np.asarray(variable) != old), f"{variable.path} did not change"


def _gradients_of(model, images):
    import tensorflow as tf

    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images)
        loss = tf.reduce_sum(outputs**2)
    return outputs, tape.gradient(loss, [images, *model.trainable_variables])


def assert_same_layer(fast, slow, images):
    """Outputs, input gradients and gradients of every variable are those of another model.

    Sums of float32 are compared by the largest number of their tensor: where terms of some hundreds
    cancel, what is left has their rounding, not its own.
    """
    slow.set_weights(fast.get_weights())
    for ours, theirs in zip(_gradients_of(fast, images), _gradients_of(slow, images), strict=True):
        for a, b in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.max(np.abs(b)))
