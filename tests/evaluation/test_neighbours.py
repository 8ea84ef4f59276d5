import numpy as np
import pytest

from replicate.evaluation.features import pixel_features
from replicate.evaluation.neighbours import copy_share, nearest_neighbours

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n, m, d", [(300, 500, 8), (1, 40, 3), (1203, 2, 5), (20, 1, 4)])
def test_agrees_with_all_pairs(n, m, d):
    queries, references = RNG.normal(size=(n, d)), RNG.normal(size=(m, d))
    dense = np.sqrt(((queries[:, None] - references[None]) ** 2).sum(-1))
    found = nearest_neighbours(queries, references)
    np.testing.assert_array_equal(found.indices, dense.argmin(axis=1))
    np.testing.assert_allclose(found.distances, dense.min(axis=1), rtol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_copies_have_distance_zero(offset):
    training = (offset + RNG.normal(size=(200, 30))).astype(np.float32)
    picks = RNG.permutation(200)[:50]
    found = nearest_neighbours(training[picks], training)
    np.testing.assert_array_equal(found.indices, picks)
    assert not found.distances.any()


def test_pixel_space():
    images = RNG.integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    altered = images[[4, 20]].copy()
    altered[0, 2, 3, 1] ^= 255
    change = abs(int(altered[0, 2, 3, 1]) - int(images[4, 2, 3, 1])) / 255
    found = nearest_neighbours(pixel_features(altered), pixel_features(images))
    assert found.indices.tolist() == [4, 20]
    assert found.distances == pytest.approx([change, 0], rel=1e-6)
    with pytest.raises(ValueError, match="Expected uint8 images.*float32"):
        pixel_features(images.astype(np.float32))


def test_copy_share_by_hand():
    held_out = np.arange(101.0)  # the 1 % quantile is 1
    assert copy_share(np.array([0.0, 0.99, 1.0, 50.0]), held_out) == 0.5
    assert copy_share(np.array([0.0, 0.99, 1.0, 50.0]), held_out, quantile=0.5) == 0.75


def test_copy_share_of_fresh_draws_and_of_copies():
    training, held_out, fresh = (RNG.normal(size=(n, 4)) for n in (1000, 2000, 2000))
    noisy = training[:500] + 1e-3 * RNG.normal(size=(500, 4))
    bound = nearest_neighbours(held_out, training).distances
    shares = [copy_share(nearest_neighbours(x, training).distances, bound) for x in (fresh, noisy)]
    assert 0.002 < shares[0] < 0.03 and shares[1] == 1


@pytest.mark.parametrize(
    "near, held_out, quantile, message",
    [
        ([], [1.0], 0.01, r"Expected distances \(n,\).*shape=\(0,\)"),
        ([1.0], [[1.0]], 0.01, r"Expected held_out_distances \(n,\).*shape=\(1, 1\)"),
        ([np.nan], [1.0], 0.01, "of finite numbers"),
        ([1.0], [1.0], 0, "Expected 0 < quantile < 1. Received: quantile=0"),
    ],
)
def test_copy_share_refuses(near, held_out, quantile, message):
    with pytest.raises(ValueError, match=message):
        copy_share(np.array(near), np.array(held_out), quantile)


def test_features_must_agree():
    with pytest.raises(ValueError, match="same d"):
        nearest_neighbours(np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="Expected 1 or more rows"):
        nearest_neighbours(np.ones((0, 2)), np.ones((3, 2)))
