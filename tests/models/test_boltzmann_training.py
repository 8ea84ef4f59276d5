"""The package's own training loop on Boltzmann machines: exact resume, weights for the next."""

import numpy as np
import pytest

from replicate.models.boltzmann import DBM, RBM
from replicate.runs.trial import Trial
from replicate.training.checkpoints import Checkpoints, load_weights, save_weights
from replicate.training.generator import named_optimizers, train_generator

IMAGES = (np.random.default_rng(0).random((10, 2, 3, 1)) < 0.4).astype(np.float32)
EPOCHS, BATCH = 5, 4  # three steps an epoch, the last of two images
END = {"dbm": 4}  # epochs after which it is enough


class Killed(Exception):
    pass


def make(kind):
    if kind == "rbm":
        model = RBM((2, 3, 1), 5, doubled="up", seed=1, noise_seed=2)
        model.compile(3, [0.3, 0.1], [0.5, 0.9], gibbs_steps=[1, 1, 2, 3], l2=1e-2)
        return model
    model = DBM((2, 3, 1), (5, 3), chains=4, seed=1, noise_seed=2, max_norm=0.5)
    model.compile(
        3,
        [0.3, 0.1],
        [0.5, 0.9],
        sparsity_targets=(0.2, 0.1),
        sparsity_costs=(0.1, 0.1),
    )
    return model


def train(kind, folder, epochs=EPOCHS, kill_at=None):
    """Train to the end, or until an epoch begins to report."""
    model = make(kind)

    def progress(fraction, text):
        if kill_at is not None and text.startswith(f"epoch {kill_at}/"):
            raise Killed

    histories = train_generator(
        model,
        IMAGES,
        np.zeros(len(IMAGES), np.int64),
        epochs=epochs,
        batch_size=BATCH,
        order=lambda epoch: np.random.default_rng([7, epoch]).permutation(len(IMAGES)),
        checkpoints=Checkpoints(
            folder,
            Trial("study", kind, 0, {"epochs": EPOCHS}),
            {"model": model, **named_optimizers(model)},
        ),
        progress=progress,
        enough=lambda means: len(means["reconstruction_error"]) == END.get(kind),
    )
    return model, histories


@pytest.mark.parametrize("kind", ["rbm", "dbm"])
def test_killed_trainings_end_bit_identical(kind, tmp_path):
    """One of them ends after an epoch before the last."""
    trained = END.get(kind, EPOCHS)
    whole, wanted = train(kind, tmp_path / "whole")
    for kill_at in (2, 4):
        with pytest.raises(Killed):
            train(kind, tmp_path / "killed", kill_at=kill_at)
    resumed, histories = train(kind, tmp_path / "killed")
    assert list(histories) == list(wanted)
    for name, history in wanted.items():
        np.testing.assert_array_equal(histories[name], history)
        assert history.shape == (3 * trained,)
    for a, b in zip(
        whole.variables + whole.optimizer.variables,
        resumed.variables + resumed.optimizer.variables,
        strict=True,
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert np.ptp(wanted["reconstruction_error"]) > 0
    again, _ = train(kind, tmp_path / "killed")  # whose last checkpoint is that of the end
    np.testing.assert_array_equal(again.variables[0].numpy(), whole.variables[0].numpy())


def test_released_weights_draw_the_same_images(tmp_path):
    trained, _ = train("dbm", tmp_path, epochs=2)
    save_weights(tmp_path / "weights.safetensors", trained.inference_layers(), {"of": "dbm"})
    other = DBM((2, 3, 1), (5, 3), chains=4)
    load_weights(tmp_path / "weights.safetensors", other.inference_layers())
    for start in ("random", "chains"):
        images = other.sample(8, 5, start=start)
        np.testing.assert_allclose(images, trained.sample(8, 5, start=start), atol=1e-3)
    for a, b in zip(trained.chains.states, other.chains.states, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())  # bits survive float16
