"""Probabilities of a network on images, against the softmax written out."""

import numpy as np
import pytest

from replicate.evaluation.probabilities import class_probabilities, quality

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 2, 2, 1), np.uint8)
KERNEL = np.random.default_rng(1).standard_normal((4, 3))


def network(images, training):
    assert training is False and images.dtype == np.float32 and len(images) <= 3
    return images.reshape(len(images), 4) @ KERNEL


@pytest.mark.parametrize("images", [IMAGES, (IMAGES / 255).astype(np.float32)])
def test_probabilities_are_the_softmax_of_scaled_images(images):
    exponentials = np.exp((IMAGES / 255).reshape(7, 4) @ KERNEL)
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    received = class_probabilities(network, images, batch_size=3)
    np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_quality_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    found = quality(probabilities, np.array([0, 1, 1, 0]))
    assert found["accuracy"] == 0.75
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean())
    gaps = [0.1, 0.6, 0.2, 0.3]  # each image in a bin of its own
    assert found["ece"] == pytest.approx(np.mean(gaps))
