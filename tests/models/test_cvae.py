import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.cvae import BetaCVAE
from replicate.training.optimizers import FusedAdam

PARAMETERS = 3_178_001  # the author's code


@pytest.fixture(scope="module")
def network():
    return BetaCVAE(seed=1)


def batch(n=4):
    rng = np.random.default_rng(0)
    return rng.random((n, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, n)


def test_parameter_count(network):
    assert network.count_params() == PARAMETERS


def test_shapes_and_ranges(network):
    images, labels = batch()
    mean, log_variance = network.encode(images, labels)
    assert mean.shape == log_variance.shape == (4, 20)
    drawn = network.generate(np.zeros((4, 20), np.float32), labels).numpy()
    assert drawn.shape == (4, 28, 28, 1)
    assert 0 <= drawn.min() < drawn.max() <= 1
    assert network((images, labels)).shape == (4, 28, 28, 1)


def test_label_matters_to_both_halves(network):
    images, _ = batch(1)
    means = [network.encode(images, np.array([k]))[0].numpy() for k in (0, 1)]
    assert not np.allclose(*means)
    z = np.zeros((1, 20), np.float32)
    drawn = [network.generate(z, np.array([k])).numpy() for k in (0, 1)]
    assert not np.allclose(*drawn)


def test_initial_weights_are_the_seeds_and_the_framework_s():
    same, other = BetaCVAE(seed=1), BetaCVAE(seed=2)
    first = BetaCVAE(seed=1).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(first, same.get_weights(), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other.get_weights(), strict=True))
    bound = 1 / np.sqrt(540 - 8)  # heads: 512 features and 20 embedding dimensions
    kernel = same.mean_head.kernel.numpy()
    assert np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)
    keras_bias = BetaCVAE(init="keras").mean_head.bias.numpy()
    assert np.all(keras_bias == 0) and np.any(same.mean_head.bias.numpy() != 0)


def test_loss_is_summed_cross_entropy_plus_beta_kl():
    images, labels = batch(3)
    losses = {}
    for beta in (0.0, 2.0):
        model = BetaCVAE(beta=beta, seed=3, noise_seed=5)
        model.compile(FusedAdam(1e-3))
        losses[beta] = {k: float(v) for k, v in model.train_step((images, labels)).items()}
    model = BetaCVAE(seed=3)
    mean, log_variance = (t.numpy() for t in model.encode(images, labels))
    noise = tf.random.stateless_normal((3, 20), seed=[5, 0])
    drawn = model.generate(mean + np.exp(log_variance / 2) * noise, labels).numpy()
    entropy = -(images * np.log(drawn) + (1 - images) * np.log(1 - drawn)).sum() / 3
    kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum() / 3
    assert losses[2.0]["reconstruction_loss"] == pytest.approx(entropy, rel=1e-4)
    assert losses[2.0]["kl_loss"] == pytest.approx(kl, rel=1e-4)
    assert losses[2.0]["train_loss"] == pytest.approx(entropy + 2 * kl, rel=1e-4)
    assert losses[0.0]["train_loss"] == pytest.approx(entropy, rel=1e-4)


def test_training_lowers_the_loss():
    images, labels = batch(20)
    images = (images > 0.8).astype(np.float32)
    model = BetaCVAE(seed=0)
    model.compile(FusedAdam(1e-3))
    losses = [float(model.train_step((images, labels))["train_loss"]) for _ in range(8)]
    assert losses[-1] < 0.95 * losses[0]


def test_saves_and_loads(tmp_path, network):
    path = tmp_path / "cvae.keras"
    network.save(path)
    loaded = keras.saving.load_model(path)
    images, labels = batch(2)
    np.testing.assert_allclose(
        loaded((images, labels)).numpy(), network((images, labels)).numpy(), atol=1e-6
    )


@pytest.mark.parametrize("bad", [{"latent_dim": 0}, {"beta": -1.0}])
def test_refuses_bad_arguments(bad):
    with pytest.raises(ValueError, match="Received: latent_dim="):
        BetaCVAE(**bad)
