"""What a per-class GAN sees and how its images are stored; training is tested with the study."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from replicate.data.image_files import jpeg_round_trip
from replicate.runs.trial import Trial
from replicate.stages.perclass_gans import (
    Pace,
    PacedStrip,
    as_bytes,
    draw_images,
    half_batch,
    real_rows,
)

SETTINGS = {"dataset": "mnist", "klass": "0", "batch_size": 128, "seed": 0}
TRIAL = Trial("study", "generator", 1, SETTINGS)


def test_half_batches_of_an_epoch_are_drawn_with_replacement():
    rows = real_rows(TRIAL, 0, 3305, 4)
    assert len(rows) == 51 * 64  # as many iterations as the study plots for digit 0
    assert rows.min() >= 0 and rows.max() < 3305 and len(set(rows.tolist())) < len(rows)
    np.testing.assert_array_equal(rows, real_rows(TRIAL, 0, 3305, 4))
    assert (rows != real_rows(TRIAL, 0, 3305, 5)).any()
    assert (rows != real_rows(TRIAL, 1, 3305, 4)).any()


def test_a_class_too_small_for_its_half_batch_is_named():
    assert half_batch(SETTINGS, 64) == 64
    with pytest.raises(ValueError, match="at least 64 training images of class 0 of mnist.*: 63"):
        half_batch(SETTINGS, 63)


def network(values):
    """Draws images of one value a noise vector."""
    shape = (-1, 1, 1, 1)
    return SimpleNamespace(
        latent_dim=2,
        generate=lambda z: np.broadcast_to(values(z).reshape(shape), (len(z), 64, 64, 3)),
    )


def test_grey_levels_are_cut_and_stored_as_jpeg():
    z = np.linspace(-1.2, 1.2, 9)[:, None]
    levels = as_bytes(network(lambda z: z), z)[:, 0, 0, 0]
    expected = [int(255 * min(max(0.5 * value + 0.5, 0), 1)) for value in z.ravel()]
    np.testing.assert_array_equal(levels, expected)
    noisy = SimpleNamespace(generate=lambda z: np.random.default_rng(0).uniform(-1, 1, z.shape))
    z = np.zeros((2, 64, 64, 3))
    plain, stored = as_bytes(noisy, z), as_bytes(noisy, z, "jpeg")
    np.testing.assert_array_equal(stored, jpeg_round_trip(plain))
    assert (plain != stored).any()


def test_images_do_not_depend_on_batches():
    drawn = draw_images(network(lambda z: np.tanh(z[:, 0])), 450, np.random.default_rng(3), "png")
    z = np.random.default_rng(3).standard_normal((450, 2)).astype(np.float32)
    expected = as_bytes(network(lambda z: np.tanh(z[:, 0])), z)
    np.testing.assert_array_equal(drawn, expected)


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def train(self, strip, seconds, first=0, logged=0.001, between=0.5):
        """Epochs as the training loop has them: a log's order, then order, training, strip."""
        strip.pace(0)
        self.now += logged
        for epoch, taken in enumerate(seconds, first):
            assert strip.pace(epoch) == 10 * epoch
            self.now += taken
            strip.take(epoch + 1, 100)
            self.now += between


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def strip():
    return PacedStrip(Pace(lambda epoch: epoch * 10), lambda: np.zeros((1, 4, 4, 3), np.uint8), 50)


def test_pace_is_that_of_the_epochs_seen(clock, strip):
    """A log's order takes no time; a run that goes on knows only its own epochs."""
    clock.train(strip, [2.0, 4.0, 3.0], first=5)
    assert strip.pace.seconds(100) == pytest.approx(300)
    assert list(strip.arrays()) == []  # none of them was due


def test_a_stall_does_not_change_the_pace(clock, strip):
    """One epoch that takes ten thousand times as long as others says nothing of them."""
    clock.train(strip, [1.0, 1.0, 10_000.0, 1.0, 1.0])
    assert strip.pace.seconds(31) == pytest.approx(31)


@pytest.mark.parametrize("first", [1, 30])
def test_a_log_that_is_written_again_is_no_epoch(clock, strip, first):
    """A run that goes on writes what it knows before its first epoch, which may be its last."""
    clock.train(strip, [2.0], first=first, logged=60.0)
    assert strip.pace.seconds(31, earlier=500.0) == pytest.approx(62)


def test_a_run_that_finds_every_epoch_trained_took_what_those_before_took(clock, strip):
    clock.train(strip, [])
    assert strip.pace.seconds(31, earlier=500.0) == 500
