"""PyTorch's default initial weights."""

import keras
import numpy as np
import pytest
from scipy import stats

from replicate.models.init import TorchUniform, initialize, kernel_fan_in

LAYERS = [  # layer, input shape, PyTorch's fan_in: dimension 1 of its weight times kernel area
    (keras.layers.Dense(200), (150,), 150),
    (keras.layers.Conv2D(64, 3), (8, 8, 32), 32 * 9),
    (keras.layers.Conv2D(64, (5, 3), groups=4), (8, 8, 32), 8 * 15),
    (keras.layers.Conv2DTranspose(64, 3), (8, 8, 32), 64 * 9),
    (keras.layers.Conv1D(64, 7), (8, 32), 32 * 7),
]


@pytest.mark.parametrize(("layer", "shape", "fan_in"), LAYERS)
def test_kernels_and_biases_are_uniform_within_the_bound(layer, shape, fan_in):
    model = initialize(keras.Sequential([keras.Input(shape), layer]), "torch", seed=5)
    kernel, bias = (w.astype("float64") for w in model.get_weights())
    bound = 1 / np.sqrt(fan_in)
    for values in (kernel, bias):
        assert np.abs(values).max() <= bound * (1 + 1e-6)
        assert stats.kstest(values.ravel(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
    assert np.abs(kernel).max() > 0.99 * bound


def test_embedding_is_standard_normal():
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(100, 50)])
    table = initialize(model, "torch", seed=1).get_weights()[0]
    assert stats.kstest(table.ravel(), "norm").pvalue > 1e-3


def test_matches_torch_where_installed():
    torch = pytest.importorskip("torch")
    for module, layer, shape in [
        (torch.nn.ConvTranspose2d(32, 64, 3), keras.layers.Conv2DTranspose(64, 3), (8, 8, 32)),
        (torch.nn.Conv2d(32, 64, 3), keras.layers.Conv2D(64, 3), (8, 8, 32)),
        (torch.nn.Linear(150, 200), keras.layers.Dense(200), (150,)),
    ]:
        model = initialize(keras.Sequential([keras.Input(shape), layer]), seed=0)
        theirs = [p.detach().numpy() for p in (module.weight, module.bias)]
        for ours, torchs in zip(model.get_weights(), theirs, strict=True):
            assert stats.ks_2samp(ours.ravel(), torchs.ravel()).pvalue > 1e-3


def test_keras_scheme_uses_the_layers_own_initializers():
    layer = keras.layers.Dense(200, kernel_initializer="he_normal", bias_initializer="ones")
    model = initialize(keras.Sequential([keras.Input((100,)), layer]), "keras", seed=1)
    kernel, bias = model.get_weights()
    assert abs(kernel.std() - np.sqrt(2 / 100)) < 0.005
    assert (bias == 1).all()


def test_seed_decides_all_values_and_layers_of_equal_shape_differ():
    def build(seed):
        layers = keras.layers
        stack = [layers.Dense(8), layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)]
        inner = keras.Sequential([keras.Input((8,)), *stack])
        model = keras.Sequential([keras.Input((8,)), inner])
        return [keras.ops.convert_to_numpy(v) for v in initialize(model, seed=seed).variables]

    first, again, other = build(1), build(1), build(2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert np.any(first[0] != other[0])
    assert np.any(first[0] != first[2])


def test_normalisation_is_reset():
    model = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])
    model.set_weights([np.full(3, 7.0)] * 4)
    gamma, beta, mean, variance = initialize(model, seed=0).get_weights()
    assert (gamma == 1).all() and (beta == 0).all()
    assert (mean == 0).all() and (variance == 1).all()


def test_round_trip_of_the_initializer():
    made = TorchUniform(fan_in=9, seed=4)
    again = TorchUniform.from_config(made.get_config())
    np.testing.assert_array_equal(np.asarray(made((5,))), np.asarray(again((5,))))


def test_errors():
    with pytest.raises(ValueError, match=r"Received: shape=\(5,\)"):
        kernel_fan_in((5,))
    with pytest.raises(ValueError, match="Received: fan_in=0"):
        TorchUniform(fan_in=0)
    with pytest.raises(ValueError, match="Received: scheme='xavier'"):
        initialize(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), "xavier")
    model = keras.Sequential([keras.Input((3, 3)), keras.layers.SimpleRNN(2)])
    with pytest.raises(ValueError, match="of type SimpleRNN"):
        initialize(model)
