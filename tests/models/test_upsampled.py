import keras
import numpy as np
import pytest
from model_contract import assert_same_layer

from replicate.models.upsampled import UpsampledConv2D


@pytest.mark.parametrize("shape", [(1, 1, 2), (4, 4, 5), (3, 6, 1), (16, 16, 3)])
def test_it_is_nearest_upsampling_and_a_same_convolution(shape):
    images = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    inputs = keras.Input(shape)
    layer = UpsampledConv2D(6, bias_initializer="normal", activation="tanh")
    fast = keras.Model(inputs, layer(inputs))
    larger = keras.layers.UpSampling2D(2)(inputs)
    slow = keras.Model(inputs, keras.layers.Conv2D(6, 3, padding="same", activation="tanh")(larger))
    assert fast.output_shape == slow.output_shape == (None, 2 * shape[0], 2 * shape[1], 6)
    assert [v.shape for v in fast.weights] == [v.shape for v in slow.weights]
    assert_same_layer(fast, slow, images)


def test_a_saved_model_is_the_same(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 2)), UpsampledConv2D(3)])
    model.save(tmp_path / "model.keras")
    images = np.random.default_rng(0).standard_normal((2, 4, 4, 2)).astype(np.float32)
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(images), model(images))
