"""A judge's record: its numbers, and weights from which its features can be had again."""

import json

import keras
import numpy as np
import pytest

from replicate.data import from_arrays
from replicate.runs.context import Context
from replicate.runs.store import Store
from replicate.runs.trial import Trial
from replicate.stages.judges import judge_outcome
from replicate.training.checkpoints import load_weights
from replicate.training.classifiers import ClassifierJob
from replicate.training.lanes import LaneResult


def build(seed=0):
    """A small classifier of 4x4 grey images."""
    keras.utils.set_random_seed(seed)
    dense = keras.layers.Dense(3, name="scores")
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), dense])


@pytest.mark.parametrize("keep", [True, False])
def test_a_judge_s_record_gives_its_network_back(tmp_path, keep):
    images = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4, 1)
    labels = np.arange(6) % 3
    data = from_arrays("shapes", (images, labels), (images, labels), ("a", "b", "c"))
    trained = [np.full_like(part, 0.25) for part in build().get_weights()]
    result = LaneResult(
        job=None, train_loss=np.array([1.0, 0.5]), train_accuracy=np.array([0.4, 0.8]),
        batch_loss=np.array([1.5, 0.5], np.float32), test_loss=0.6, test_accuracy=0.7,
        weights=trained, wall_seconds=3.0,
    )  # fmt: skip
    trial = Trial("a_study", "judge", 1, {"dataset": "shapes", "epochs": 2}, 0, {})
    spec = ClassifierJob(build, np.arange(6), None, {"name": "adam"}, keep=keep)
    context = Context(Store(tmp_path))
    shown = images[:3], labels[:3]
    outcome = judge_outcome(trial, spec, result, context, data, *shown, picture="originals")

    assert outcome.metrics == {
        "train_loss": 0.5, "train_accuracy": 0.8, "test_accuracy": 0.7, "test_loss": 0.6,
    }  # fmt: skip
    assert outcome.curves == {"train_loss": [1.0, 0.5], "train_accuracy": [0.4, 0.8]}
    assert (outcome.data["name"], outcome.wall_seconds) == ("shapes", 3.0)
    kept = {"weights", "batch_loss"} if keep else set()
    assert set(outcome.artifacts) == {"summary", "originals"} | kept
    with np.load(outcome.artifacts["originals"]) as found:
        np.testing.assert_array_equal(found["images"], images[:3])
        np.testing.assert_array_equal(found["labels"], labels[:3])
    (rows,) = json.loads(outcome.artifacts["summary"].read_text()).values()
    assert "51" in {str(value) for row in rows for value in row}  # 16 x 3 weights and 3 biases
    if keep:
        again = build(seed=1)
        load_weights(outcome.artifacts["weights"], {"classifier": again})
        for found, given in zip(again.get_weights(), trained, strict=True):
            np.testing.assert_array_equal(found, given)
