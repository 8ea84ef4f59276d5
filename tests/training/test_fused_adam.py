import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.training.fused_adam import FusedAdam


def test_equals_keras_adam_over_30_steps():
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


def test_refuses_amsgrad():
    with pytest.raises(ValueError, match="amsgrad"):
        FusedAdam(amsgrad=True)
