"""Images of one class: recognised, and near to training images."""

import keras
import numpy as np
import pytest

from replicate.evaluation.class_sets import closeness, pixel_distances, recognition

RNG = np.random.default_rng(3)
TRAIN = RNG.integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
HELD_OUT = RNG.integers(0, 256, (3, 4, 4, 3)).astype(np.uint8)


def test_distances_are_root_mean_squares_to_the_nearest():
    near = np.clip(TRAIN[3].astype(int) + 10, 0, 255).astype(np.uint8)
    images = np.stack([TRAIN[1], near])
    each = (images[:, None] / 255 - TRAIN[None] / 255) ** 2
    expected = np.sqrt(each.mean(axis=(2, 3, 4))).min(axis=1)
    np.testing.assert_allclose(pixel_distances(images, TRAIN), expected, rtol=1e-5, atol=1e-12)
    assert expected[0] == 0 and 0 < expected[1] <= 10 / 255 + 1e-9


def test_closeness_counts_copies():
    images = np.concatenate([TRAIN[:1], HELD_OUT])
    found = closeness(TRAIN, HELD_OUT, images, copy=0.05)
    ideal = pixel_distances(HELD_OUT, TRAIN)
    assert found["pixel_nearest_min"] == 0 and found["pixel_copy_share"] == 0.25
    assert found["pixel_nearest_median_heldout"] == np.median(ideal)
    assert found["pixel_nearest_median"] == np.median([0, *ideal])


@pytest.fixture
def network():
    """Logits 0 and the brightness of the first pixel, twice."""
    network = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(2))
    network.layers[-1].set_weights([np.array([[0.0, 2.0]]), np.array([0.0, -1.0])])
    return network


def test_recognition(network):
    images = np.array([255, 0, 204, 51, 153], np.uint8).reshape(-1, 1, 1, 1)
    found = recognition(network, images, label=1, shown=4)
    logit = images.ravel() / 127.5 - 1
    np.testing.assert_allclose(found.probability, 1 / (1 + np.exp(-logit)), rtol=1e-5)
    assert found.share == pytest.approx(3 / 5)
    assert found.extremes.tolist() == [0, 2, 3, 1]
    assert recognition(network, images, label=0).share == pytest.approx(2 / 5)
