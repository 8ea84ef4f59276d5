"""One call that compares synthetic with real images."""

import numpy as np
import pytest

from replicate.evaluation.frechet import frechet_distance
from replicate.evaluation.image_sets import compare_image_sets


@pytest.fixture(scope="module")
def real():
    """Training and held-out features of one Gaussian."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 8)), rng.normal(size=(100, 8))


def test_a_perfect_generator_scores_as_held_out_images_do(real):
    train, held_out = real
    perfect = np.random.default_rng(1).normal(size=(400, 8))
    metrics = compare_image_sets(train, held_out, perfect).metrics
    assert metrics["frechet"] == pytest.approx(frechet_distance(perfect, train))
    assert abs(metrics["precision"] - metrics["precision_heldout"]) < 0.1
    assert abs(metrics["recall"] - metrics["recall_heldout"]) < 0.15
    assert abs(metrics["diversity_ratio"] - 1) < 0.05
    assert metrics["copy_share"] < 0.05
    assert metrics["nearest_median"] == pytest.approx(metrics["nearest_median_heldout"], rel=0.1)


def test_as_many_images_of_a_perfect_generator_are_as_far_as_held_out_ones():
    """Over draws of all three sets, up to the error of the mean; all its images are nearer."""
    found = {name: [] for name in ("frechet", "frechet_matched", "frechet_heldout_matched")}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sets = (rng.normal(size=(n, 8)) for n in (300, 100, 400))
        metrics = compare_image_sets(*sets).metrics
        for name, values in found.items():
            values.append(metrics[name])
    differences = np.subtract(found["frechet_matched"], found["frechet_heldout_matched"])
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    assert abs(differences.mean()) < 2 * error
    assert np.mean(found["frechet"]) < 0.6 * np.mean(found["frechet_heldout_matched"])


@pytest.mark.parametrize("n", [40, 150])
def test_matched_distances_are_of_as_many_images_of_either_set(real, n):
    train, held_out = real
    few, synthetic = min(n, 100), np.random.default_rng(3).normal(size=(n, 8))
    metrics = compare_image_sets(train, held_out, synthetic).metrics
    expected = {
        "frechet_matched": synthetic[:few],
        "frechet_heldout_matched": held_out[:few],
        "frechet_heldout": held_out,
    }
    for name, images in expected.items():
        assert metrics[name] == pytest.approx(frechet_distance(images, train)), name


def test_copies_of_training_images_are_found(real):
    train, held_out = real
    copies = train[np.arange(200) % 20] + 1e-6
    result = compare_image_sets(train, held_out, copies)
    assert result.metrics["copy_share"] == 1.0
    np.testing.assert_array_equal(result.nearest, np.arange(200) % 20)


def test_few_modes_have_high_precision_and_low_recall(real):
    train, held_out = real
    narrow = np.random.default_rng(2).normal(scale=0.2, size=(400, 8))
    metrics = compare_image_sets(train, held_out, narrow).metrics
    assert metrics["precision"] > 0.95 and metrics["recall"] < 0.1
    assert metrics["diversity_ratio"] < 0.25
    assert metrics["diversity_heldout"] == pytest.approx(1, abs=0.05)
    assert metrics["frechet"] > 3 * metrics["frechet_heldout"]
