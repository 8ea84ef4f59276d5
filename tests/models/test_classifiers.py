"""Convolutional classifiers of the source studies."""

import functools

import keras
import numpy as np
import pytest
from model_contract import ModelContract, check_model

from replicate.models.classifiers import (
    STRIDED_PARAMS,
    build_deep_cnn,
    build_mnist_cnn,
    build_pooled_cnn,
    build_simple_cnn,
    build_strided_cnn,
)
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
    assert kinds == ["DownConv2D", "BatchNormalization", "LeakyReLU"] * 4 + ["Flatten", "Dense"]
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


POOLED = {  # builder, input, parameters, layers by initial, outputs of those with weights
    "pooled": (
        build_pooled_cnn,
        (64, 64, 3),
        400_042,
        "CMCMCMCMCMFDropDD",
        [(64, 64, 32), (32, 32, 64), (16, 16, 96), (8, 8, 128), (4, 4, 128), (128,), (10,)],
    ),
    "mnist": (
        build_mnist_cnn,
        (28, 28, 1),
        1_199_882,
        "CCMDropFDDropD",
        [(26, 26, 32), (24, 24, 64), (128,), (10,)],
    ),
    "simple": (
        build_simple_cnn,
        (28, 28, 1),
        34_826,
        "CMCMFDropD",
        [(26, 26, 32), (11, 11, 64), (10,)],
    ),
    "deep": (
        build_deep_cnn,
        (32, 32, 3),
        550_570,
        "CCMCCMCCMFDD",
        [*[(32, 32, 32)] * 2, *[(16, 16, 64)] * 2, *[(8, 8, 128)] * 2, (128,), (10,)],
    ),
    "deep_single": (
        functools.partial(build_deep_cnn, single=True),
        (32, 32, 3),
        122_570,
        "CMCMCMFDD",
        [(32, 32, 32), (16, 16, 64), (8, 8, 64), (64,), (10,)],
    ),
}
SHORT = {"Conv2D": "C", "MaxPooling2D": "M", "Flatten": "F", "Dropout": "Drop", "Dense": "D"}


@pytest.mark.parametrize("name", POOLED)
def test_contract_of_the_pooled_cnns(name, tmp_path):
    build, input_shape, params, _, _ = POOLED[name]
    check_model(
        ModelContract(
            build=build,
            input_shape=input_shape,
            output_shape=(10,),
            params=params,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        tmp_path,
    )


@pytest.mark.parametrize("name", POOLED)
def test_layers_of_the_pooled_cnns(name):
    build, _, _, kinds, shapes = POOLED[name]
    model = build(seed=0)
    assert "".join(SHORT[type(layer).__name__] for layer in model.layers) == kinds
    learned = [layer for layer in model.layers if layer.weights]
    assert [layer.output.shape[1:] for layer in learned] == shapes
    activations = [layer.activation.__name__ for layer in learned]
    assert activations == ["relu"] * (len(learned) - 1) + ["linear"]
    assert {layer.kernel_size for layer in learned if hasattr(layer, "kernel_size")} == {(3, 3)}


@pytest.mark.parametrize(
    ("build", "rates"),
    [
        (build_pooled_cnn, [0.5]),
        (build_mnist_cnn, [0.25, 0.5]),
        (build_simple_cnn, [0.5]),
        (build_deep_cnn, []),
    ],
)
def test_dropout_of_the_pooled_cnns(build, rates):
    layers = build(seed=0).layers
    assert [x.rate for x in layers if isinstance(x, keras.layers.Dropout)] == rates


@pytest.mark.parametrize(
    ("build", "side"),
    [(build_pooled_cnn, 32), (build_mnist_cnn, 6), (build_simple_cnn, 10), (build_deep_cnn, 8)],
)
def test_smallest_images_of_the_pooled_cnns(build, side):
    model = build((side, side, 2), num_classes=3, seed=0)
    assert model(np.zeros((1, side, side, 2))).shape == (1, 3)
    with pytest.raises(ValueError):
        build((side - 1, side - 1, 2), seed=0)
