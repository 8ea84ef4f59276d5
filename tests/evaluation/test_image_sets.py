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
    metrics = compare_image_sets(perfect, train, held_out).metrics
    assert metrics["frechet"] == pytest.approx(frechet_distance(perfect, train))
    assert abs(metrics["precision"] - metrics["precision_heldout"]) < 0.1
    assert abs(metrics["recall"] - metrics["recall_heldout"]) < 0.15
    assert abs(metrics["diversity_ratio"] - 1) < 0.05
    assert metrics["copy_share"] < 0.05
    assert metrics["nearest_median"] == pytest.approx(metrics["nearest_median_heldout"], rel=0.1)


def test_copies_of_training_images_are_found(real):
    train, held_out = real
    copies = train[np.arange(200) % 20] + 1e-6
    result = compare_image_sets(copies, train, held_out)
    assert result.metrics["copy_share"] == 1.0
    np.testing.assert_array_equal(result.nearest, np.arange(200) % 20)


def test_few_modes_have_high_precision_and_low_recall(real):
    train, held_out = real
    narrow = np.random.default_rng(2).normal(scale=0.2, size=(400, 8))
    metrics = compare_image_sets(narrow, train, held_out).metrics
    assert metrics["precision"] > 0.95 and metrics["recall"] < 0.1
    assert metrics["diversity_ratio"] < 0.25
    assert metrics["frechet"] > 3 * metrics["frechet_heldout"]
