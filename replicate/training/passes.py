"""Orders of training images where an epoch is not one pass over all of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def rows_of_epoch(
    rows: np.ndarray,
    batch_size: int,
    steps: int,
    epoch: int,
    stream: Callable[[int], np.random.Generator],
) -> np.ndarray:
    """The rows of an epoch of so many steps: a part of a pass over all rows, or several passes.

    Each pass is a permutation; what is left after its last whole batch is dropped. Passes go on
    from epoch to epoch, so that a part of a pass does not meet the same rows each time.

    Args:
        rows: integers `(n,)`, the training images.
        batch_size: images a step.
        steps: steps an epoch.
        epoch: from 0.
        stream: number of a pass, from 0 -> its random generator.

    Returns:
        Integers `(steps * batch_size,)`.

    Raises:
        ValueError: if there are fewer rows than a batch.
    """
    a_pass = len(rows) // batch_size  # steps
    if not a_pass or steps < 1:
        raise ValueError(
            f"Expected at least one batch of {batch_size} images and one step. Received: "
            f"{len(rows)} images, steps={steps}"
        )
    first, last = epoch * steps, (epoch + 1) * steps
    passes = range(first // a_pass, -(-last // a_pass))
    whole = a_pass * batch_size
    order = np.concatenate([stream(number).permutation(len(rows))[:whole] for number in passes])
    start = (first - passes[0] * a_pass) * batch_size
    return rows[order[start : start + steps * batch_size]]
