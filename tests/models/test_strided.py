import keras
import numpy as np
import pytest
from model_contract import assert_same_layer

from replicate.models.strided import StridedConv2D, StridedConv2DTranspose


@pytest.mark.parametrize("size", [2, 4, 7, 14])
def test_convolution_is_padding_one_and_a_valid_convolution(size):
    images = np.random.default_rng(size).standard_normal((3, size, size, 5)).astype(np.float32)
    inputs = keras.Input((size, size, 5))
    fast = keras.Model(inputs, StridedConv2D(6, bias_initializer="normal")(inputs))
    padded = keras.layers.ZeroPadding2D(1)(inputs)
    slow = keras.Model(inputs, keras.layers.Conv2D(6, 3, strides=2)(padded))
    assert fast.output_shape == slow.output_shape
    assert_same_layer(fast, slow, images)


@pytest.mark.parametrize(("size", "out"), [(1, 2), (2, 4), (4, 7), (7, 14)])
def test_transposed_convolution_is_a_cropped_valid_one(size, out):
    images = np.random.default_rng(size).standard_normal((3, size, size, 5)).astype(np.float32)
    inputs = keras.Input((size, size, 5))
    fast = keras.Model(inputs, StridedConv2DTranspose(6, out, bias_initializer="normal")(inputs))
    full = keras.layers.Conv2DTranspose(6, 3, strides=2)(inputs)
    end = 2 * size + 1 - 1 - out
    slow = keras.Model(inputs, keras.layers.Cropping2D(((1, end), (1, end)))(full))
    assert fast.output_shape == slow.output_shape == (None, out, out, 6)
    assert_same_layer(fast, slow, images)


def test_the_side_that_is_cropped_matters():
    """A guard for the test above: Keras' own "same" crops the other side."""
    inputs = keras.Input((4, 4, 2))
    ours = keras.Model(inputs, StridedConv2DTranspose(2, 8)(inputs))
    same = keras.Model(
        inputs, keras.layers.Conv2DTranspose(2, 3, strides=2, padding="same")(inputs)
    )
    same.set_weights(ours.get_weights())
    images = np.random.default_rng(0).standard_normal((1, 4, 4, 2)).astype(np.float32)
    assert np.abs(ours(images).numpy() - same(images).numpy()).max() > 0.1
