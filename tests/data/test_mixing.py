"""Real and synthetic images side by side."""

import numpy as np
import pytest

from replicate.data.mixing import Mixture


def images(values):
    return np.repeat(np.array(values, np.uint8), 12).reshape(-1, 2, 2, 3)


TRAIN = images([1, 2, 3]), np.array([0, 0, 1])
HELD_OUT = images([4, 5]), np.array([0, 1])
DRAWN = [images([10, 11, 12, 13]), images([20, 21, 22])]


@pytest.fixture
def mixture():
    return Mixture(TRAIN, HELD_OUT, DRAWN)


def shown(mixture, rows):
    return mixture.images[rows, 0, 0, 0].tolist(), mixture.labels[rows].tolist()


def test_parts(mixture):
    assert shown(mixture, mixture.real) == ([1, 2, 3], [0, 0, 1])
    assert shown(mixture, mixture.synthetic) == ([10, 11, 12, 13, 20, 21, 22], [0] * 4 + [1] * 3)
    assert shown(mixture, mixture.alike) == ([10, 11, 20], [0, 0, 1])
    assert shown(mixture, mixture.unused) == ([12, 21], [0, 1])


def test_other_labels(mixture):
    assert mixture.source_labels().tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1]
    shuffled = mixture.shuffled_labels(np.random.default_rng(1))
    assert shuffled[:3].tolist() == [0, 0, 1]
    assert sorted(shuffled[3:]) == [0] * 4 + [1] * 3 and shuffled[3:].tolist() != [0] * 4 + [1] * 3


def test_real_images_alone():
    mixture = Mixture(TRAIN, HELD_OUT)
    assert len(mixture.images) == 3
    assert not len(mixture.synthetic) and not len(mixture.alike) and not len(mixture.unused)


def test_too_few_synthetic_images():
    with pytest.raises(ValueError, match=r"Received: \[2, 3\], real \[3, 2\]"):
        Mixture(TRAIN, HELD_OUT, [DRAWN[0][:2], DRAWN[1]])
