"""Accuracy of one classifier on real, synthetic and merged images."""

import numpy as np
import pytest

from replicate.evaluation.transfer import Transfer

LABELS = {
    "val/real": np.array([0, 1]),
    "val/synthetic": np.array([0, 1]),
    "test/real": np.array([0, 0, 1, 1]),
    "test/synthetic": np.array([0, 1]),
}
PREDICTIONS = {
    ("val/real", 1): np.array([0, 0]),
    ("val/synthetic", 1): np.array([1, 0]),
    ("val/real", 2): np.array([0, 1]),
    ("val/synthetic", 2): np.array([0, 0]),
    ("test/real", 2): np.array([0, 0, 0, 1]),
    ("test/synthetic", 2): np.array([1, 0]),
}


def test_the_merged_set_weighs_every_image_equally():
    transfer = Transfer(PREDICTIONS, LABELS, 2)
    np.testing.assert_array_equal(transfer.confusion("test", "real", 2), [[2, 0], [1, 1]])
    np.testing.assert_array_equal(transfer.confusion("test", "mixed", 2), [[2, 1], [2, 1]])
    found = [transfer.accuracy("test", which, 2) for which in ("real", "synthetic", "mixed")]
    assert found == [0.75, 0.0, 0.5]


def test_curves_have_a_point_for_each_epoch():
    curves = Transfer(PREDICTIONS, LABELS, 2).curves("val", 2)
    assert curves == {
        "val_accuracy_real": [0.5, 1.0],
        "val_accuracy_synthetic": [0.0, 0.5],
        "val_accuracy_mixed": [0.25, 0.75],
    }


def test_an_epoch_that_was_not_tested_is_an_error():
    with pytest.raises(KeyError):
        Transfer(PREDICTIONS, LABELS, 2).accuracy("test", "real", 1)
