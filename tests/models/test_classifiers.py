"""Convolutional classifiers of the source studies."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract, check_model

from replicate.models.classifiers import STRIDED_PARAMS, build_strided_cnn
from replicate.models.summary import layer_rows


@pytest.mark.parametrize("kernel, trainable", [(3, 1_573_386), (4, 2_778_954)])
def test_contract_of_the_strided_cnn(kernel, trainable, tmp_path):
    moving = 2 * (64 + 128 + 256 + 512)
    check_model(
        ModelContract(
            build=lambda seed: build_strided_cnn(kernel, seed=seed),
            input_shape=(32, 32, 3),
            output_shape=(10,),
            params=trainable + moving,
            input_range=(-2.0, 2.0),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        tmp_path,
    )
    assert STRIDED_PARAMS[kernel] == trainable


def test_layers_of_the_strided_cnn():
    """Nine learned layers (Sec. 4.3), normalisation before the activation, slope 0.2."""
    model = build_strided_cnn(seed=0)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds == ["Conv2D", "BatchNormalization", "LeakyReLU"] * 4 + ["Flatten", "Dense"]
    assert {layer.negative_slope for layer in model.layers[2::3][:4]} == {0.2}
    sides = [layer.output.shape[1:] for layer in model.layers[:-2:3]]
    assert sides == [(16, 16, 64), (8, 8, 128), (4, 4, 256), (2, 2, 512)]
    rows = layer_rows(model)
    assert rows[0] == ["conv1", [16, 16, 64], 1792] and rows[-1] == ["logits", [10], 20490]
    assert sum(row[2] for row in rows) == model.count_params()


def test_other_kernels_are_refused():
    with pytest.raises(ValueError, match="kernel 3 or 4. Received: kernel=5"):
        build_strided_cnn(5)


def test_two_classes():
    assert build_strided_cnn(num_classes=2, seed=0)(np.zeros((1, 32, 32, 3))).shape == (1, 2)
