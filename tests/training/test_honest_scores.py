"""What makes a score one: it is taken on images that nothing was fitted to or chosen by.

Each test fails on a trainer that learns wrongly, scores training images, or reports its best
epoch.
"""

import keras
import numpy as np
import pytest

from replicate.data.catalogue import CATALOGUE
from replicate.data.stand_in import draw_stand_in
from replicate.evaluation.hypotheses import paired_difference
from replicate.training.lanes import LaneJob, LaneTrainer

REPLICATES, EACH, EPOCHS = 5, 300, 25


def build(seed):
    keras.utils.set_random_seed(seed)
    layers = [keras.Input((28, 28, 1)), keras.layers.Flatten()]
    layers += [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10)]
    return keras.Sequential(layers)


@pytest.fixture(scope="module")
def results():
    """(arm, replicate) -> result of a network on real images, on those of a perfect generator
    (other real images), and on the latter with permuted labels.
    """
    data = draw_stand_in(CATALOGUE["mnist"])
    images, labels = data.train.images[: 2 * EACH], data.train.labels[: 2 * EACH]
    rng = np.random.default_rng(0)
    shuffled = np.concatenate([labels[:EACH], rng.permutation(labels[EACH:])])
    trainer = LaneTrainer(images, labels, data.test.images, data.test.labels, lanes=1)
    real, drawn = np.arange(EACH), np.arange(EACH, 2 * EACH)
    arms = {"real": (real, None), "perfect": (drawn, None), "shuffled": (drawn, shuffled)}

    def job(arm, replicate):
        rows, given = arms[arm]
        return LaneJob(
            key=(arm, replicate),
            build=lambda: build(replicate),
            indices=lambda epoch: np.random.default_rng([replicate, epoch]).permutation(rows),
            batch_size=30,
            epochs=EPOCHS,
            labels=given,
            evaluate_each_epoch=True,
        )

    jobs = (job(arm, replicate) for arm in arms for replicate in range(REPLICATES))
    return {result.job.key: result for result in trainer.run(jobs)}


def scores(results, arm):
    return [results[arm, replicate].test_accuracy for replicate in range(REPLICATES)]


def test_a_perfect_generator_scores_as_real_images_do(results):
    effect = paired_difference(scores(results, "perfect"), scores(results, "real"))
    assert min(scores(results, "real")) > 0.6  # it learns at all, far above chance
    assert effect.low < 0.05 and effect.high > -0.05
    assert abs(effect.effect) < 0.05


def test_permuted_labels_score_at_chance_though_they_are_learned_by_heart(results):
    for replicate in range(REPLICATES):
        result = results["shuffled", replicate]
        assert result.train_accuracy[-1] > 0.5  # a score on training images would be this
        assert result.test_accuracy < 0.2
    assert abs(np.mean(scores(results, "shuffled")) - 0.1) < 0.05


def test_the_score_is_the_last_epochs_not_the_best_ones(results):
    curves = {key: result.test_accuracy_curve for key, result in results.items()}
    assert all(results[key].test_accuracy == curve[-1] for key, curve in curves.items())
    assert any(max(curve) > curve[-1] for curve in curves.values())  # the best one would differ
