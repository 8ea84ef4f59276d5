"""What a stage gives and what a study declares."""

import json

import numpy as np
import pytest

from replicate.runs.study import Outcome, Stage


def test_numpy_s_numbers_are_stored_as_python_s():
    outcome = Outcome(
        {"accuracy": np.float32(0.5), "epoch": np.int64(3), "loss": 2.0},
        {"loss": np.float32([1.5, 0.5]), "epochs": [1, np.int32(2)]},
    )
    assert json.dumps(outcome.metrics) == '{"accuracy": 0.5, "epoch": 3, "loss": 2.0}'
    assert json.dumps(outcome.curves) == '{"loss": [1.5, 0.5], "epochs": [1, 2]}'


@pytest.mark.parametrize("values", [({"top": "0.5"},), ({}, {"top": [1.0, "0.5"]})])
def test_a_metric_that_is_no_number_is_named(values):
    with pytest.raises(TypeError, match=r"number as 'top' of an Outcome. Received: '0.5' \(str\)"):
        Outcome(*values)


def test_a_misspelt_thread_profile_is_refused():
    with pytest.raises(ValueError, match="among generator, .*, plain. Received: 'plane'"):
        Stage(1, print, lambda trial: 1.0, "plane")
