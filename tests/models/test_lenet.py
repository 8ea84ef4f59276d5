"""The sigmoid LeNet of Crossman (2024)."""

import keras
import numpy as np
import pytest
from model_contract import ModelContract, check_model

from replicate.models.lenet import LENET_PARAMS, build_lenet


@pytest.mark.parametrize("init", ["torch", "keras"])
def test_contract(init, tmp_path):
    check_model(
        ModelContract(
            build=lambda seed: build_lenet(init=init, seed=seed),
            input_shape=(28, 28, 1),
            output_shape=(10,),
            params=61_706,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        tmp_path,
    )


def test_layers_are_those_of_the_authors_code():
    shapes = [tuple(w.shape) for w in build_lenet(seed=0).weights]
    assert shapes == [
        (5, 5, 1, 6),
        (6,),
        (5, 5, 6, 16),
        (16,),
        (400, 120),
        (120,),
        (120, 84),
        (84,),
        (84, 10),
        (10,),
    ]
    assert LENET_PARAMS == 61_706


def test_forward_pass_by_hand():
    """The network equals sums written out in NumPy."""
    model = build_lenet(seed=3)
    image = np.random.default_rng(0).uniform(size=(28, 28, 1))
    k1, b1, k2, b2, *dense = (w.astype("float64") for w in model.get_weights())
    x = _pool(_sigmoid(_conv(np.pad(image, ((2, 2), (2, 2), (0, 0))), k1) + b1))
    x = _pool(_sigmoid(_conv(x, k2) + b2)).reshape(-1)
    x = _sigmoid(x @ dense[0] + dense[1])
    x = _sigmoid(x @ dense[2] + dense[3])
    expected = x @ dense[4] + dense[5]
    got = np.asarray(model(image[None].astype("float32")))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_other_image_sizes():
    assert build_lenet(input_shape=(32, 32, 3), num_classes=7, seed=0).output_shape == (None, 7)
    with pytest.raises(ValueError, match="Received: input_shape"):
        build_lenet(input_shape=(8, 8, 1))
    with pytest.raises(ValueError, match="Received: scheme='he'"):
        build_lenet(init="he")


def _sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def _conv(x, kernel):
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
    return np.einsum("hwcij,ijco->hwo", windows, kernel)


def _pool(x):
    height, width, channels = x.shape
    return x.reshape(height // 2, 2, width // 2, 2, channels).mean(axis=(1, 3))
