"""Convolutions between 4 x 4 and 2 x 2 maps without their padding."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.small_maps import DownConv2D, down, filter_gradient, up

RNG = np.random.default_rng(0)


def draw(*shape):
    return tf.constant(RNG.normal(size=shape), tf.float32)


@pytest.fixture(params=[3, 4])
def case(request):
    """Map, kernel and output of TensorFlow's own convolution as reference."""
    return draw(3, 4, 4, 5), draw(request.param, request.param, 5, 6), draw(3, 2, 2, 6)


def reference(x, kernel):
    return tf.nn.conv2d(x, kernel, 2, "SAME")


def test_all_three_directions_equal_tensorflows(case):
    x, kernel, y = case
    np.testing.assert_allclose(down(x, kernel), reference(x, kernel), rtol=1e-5, atol=1e-5)
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        total = tf.reduce_sum(reference(x, kernel) * y)
    of_map, of_kernel = tape.gradient(total, [x, kernel])
    np.testing.assert_allclose(up(y, kernel), of_map, rtol=1e-5, atol=1e-5)
    found = filter_gradient(x, y, kernel.shape[0])
    np.testing.assert_allclose(found, of_kernel, rtol=1e-5, atol=1e-5)
    transposed = tf.nn.conv2d_transpose(y, kernel, (3, 4, 4, 5), 2, "SAME")
    np.testing.assert_allclose(up(y, kernel), transposed, rtol=1e-5, atol=1e-5)


def second_order(convolve, x, kernel):
    """Gradients of a gradient penalty, as a critic's has them."""
    with tf.GradientTape() as outer:
        outer.watch([x, kernel])
        with tf.GradientTape() as inner:
            inner.watch(x)
            total = tf.reduce_sum(tf.tanh(convolve(x, kernel)))
        penalty = tf.reduce_sum(inner.gradient(total, x) ** 2)
    return outer.gradient(penalty, [x, kernel])


def test_gradients_of_gradients_equal_tensorflows(case):
    x, kernel, _ = case
    ours, theirs = second_order(down, x, kernel), second_order(reference, x, kernel)
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(b).max() > 1
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("side, padding", [(4, "same"), (8, "same"), (4, "valid")])
def test_the_layer_equals_conv2d(side, padding):
    x = draw(2, side, side, 3)
    ours = DownConv2D(4, 4, 2, padding, activation="relu", bias_initializer="ones")
    theirs = keras.layers.Conv2D(4, 4, 2, padding, activation="relu")
    ours.build(x.shape)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
