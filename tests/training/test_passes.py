"""Epochs that are a part of a pass over the images, or several."""

import numpy as np
import pytest

from replicate.training.passes import rows_of_epoch

ROWS = np.arange(100, 111)  # two batches of five and one row too many


def stream(number):
    return np.random.default_rng([4, number])


def passes(count):
    """Whole passes written out: shuffled, then cut to two batches."""
    return np.concatenate([ROWS[stream(n).permutation(11)[:10]] for n in range(count)])


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_epochs_in_a_row_are_passes_in_a_row(steps):
    epochs = [rows_of_epoch(ROWS, 5, steps, epoch, stream) for epoch in range(4)]
    assert {len(epoch) for epoch in epochs} == {5 * steps}
    np.testing.assert_array_equal(np.concatenate(epochs), passes(2 * steps)[: 4 * 5 * steps])


@pytest.mark.parametrize(("count", "steps"), [(4, 1), (0, 1), (10, 0)])
def test_less_than_a_batch_or_a_step(count, steps):
    with pytest.raises(ValueError, match=f"Received: {count} images, steps={steps}"):
        rows_of_epoch(np.arange(count), 5, steps, 0, stream)
