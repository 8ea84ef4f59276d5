import math

import numpy as np
import pytest

from replicate.evaluation.calibration import expected_calibration_error, negative_log_likelihood

SURE = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])


def test_negative_log_likelihood_by_hand():
    probabilities = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    expected = (math.log(2) + math.log(5)) / 2
    assert negative_log_likelihood(probabilities, np.array([1, 1])) == pytest.approx(expected)
    assert negative_log_likelihood(SURE, np.array([0, 0, 1, 1])) == 0


def test_a_probability_that_was_rounded_to_zero_costs_a_finite_amount():
    expected = 126 * math.log(2) / 4  # the least normal float32 is 2^-126
    assert negative_log_likelihood(SURE, np.array([1, 0, 1, 1])) == pytest.approx(expected)


def test_calibration_error_of_sure_predictions_is_the_error_rate():
    assert expected_calibration_error(SURE, np.array([0, 1, 1, 1])) == pytest.approx(0.25)
    assert expected_calibration_error(SURE, np.array([0, 0, 1, 1])) == 0


def test_calibration_error_by_hand():
    # bin (0.6, 0.667]: confidences 0.62, 0.66, one right: |0.5 - 0.64| * 2/5
    # bin (0.8, 0.867]: 0.82, 0.85, 0.86, all right: |1 - 0.84333| * 3/5
    confidence = np.array([0.62, 0.66, 0.82, 0.85, 0.86])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 1, 0, 0, 0])
    expected = 0.4 * 0.14 + 0.6 * (1 - 2.53 / 3)
    assert expected_calibration_error(probabilities, labels) == pytest.approx(expected)
    # one bin: |0.8 - 0.762|
    assert expected_calibration_error(probabilities, labels, 1) == pytest.approx(0.038)


def test_bins_hold_their_upper_end():
    # two bins: 0.5 lies in (0, 0.5], 0.75 in (0.5, 1]; apart |1 - 0.5| and |0 - 0.75|
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25]])
    error = expected_calibration_error(probabilities, np.array([0, 1]), bins=2)
    assert error == pytest.approx((0.5 + 0.75) / 2)


def test_calibrated_predictions_have_a_small_error():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 40_000)
    labels = (random.random(40_000) >= confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    assert expected_calibration_error(probabilities, labels) < 0.01
    assert expected_calibration_error(probabilities, 1 - labels) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("measure", [negative_log_likelihood, expected_calibration_error])
@pytest.mark.parametrize(
    "probabilities, labels, message",
    [
        (SURE[0], [0], r"Received: shapes \(2,\) and \(1,\)"),
        (SURE, [0, 1], r"Received: shapes \(4, 2\) and \(2,\)"),
        (SURE[:0], [], r"Received: shapes \(0, 2\)"),
        (2 * SURE, [0, 0, 1, 1], "rows that sum to 1. Received: 0.0 to 2.0"),
        (SURE * np.nan, [0, 0, 1, 1], "Received: nan"),
        (SURE, [0, 0, 1, 2], r"Expected integer labels in \[0, 2\). Received: 0 to 2"),
        (SURE, [0.0, 0, 1, 1], "dtype=float64"),
    ],
)
def test_refuses_what_are_no_probabilities_or_labels(measure, probabilities, labels, message):
    with pytest.raises(ValueError, match=message):
        measure(probabilities, np.array(labels))


def test_refuses_no_bins():
    with pytest.raises(ValueError, match="Expected bins >= 1. Received: bins=0"):
        expected_calibration_error(SURE, np.array([0, 0, 1, 1]), bins=0)
