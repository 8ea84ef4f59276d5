"""What logits are worth, by hand."""

import numpy as np
import pytest

from replicate.evaluation.probabilities import quality


def test_quality_by_hand():
    """Adding a number to all logits of an image changes nothing."""
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]])
    logits = (np.log(probabilities) + [[0], [5], [-3], [80]]).astype(np.float32)
    found = quality(logits, np.array([0, 1, 1, 0]))
    assert found["accuracy"] == 0.75
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.7]).mean(), rel=1e-4)
    gaps = [0.1, 0.6, 0.2, 0.3]  # each image in a bin of its own
    assert found["ece"] == pytest.approx(np.mean(gaps), rel=1e-4)
