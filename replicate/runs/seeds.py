"""Seeds and named random streams.

Every random decision of a study is drawn from a named stream (`init`, `order`, `subset`, `dropout`,
`noise`, ...) of a replicate. Arms and points share the replicate's streams, so that their
differences are paired. Data order is a function of (stream, epoch), noise of (stream, step): a
resumed run needs no generator state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np


def _words(text: str) -> list[int]:
    digest = hashlib.sha256(text.encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]


def stream(seed: int, study: str, replicate: int, name: str, *position: int) -> np.random.Generator:
    """The generator of a named stream, optionally at a position such as an epoch.

    Args:
        seed: base seed of the run (`--seed`), >= 0.
        study: module name of the study.
        replicate: replicate index, >= 0.
        name: name of the stream, e.g. `"order"`.
        *position: further integers, e.g. the epoch.

    Returns:
        A `numpy.random.Generator`; equal arguments give equal generators.
    """
    entropy = [seed, *_words(study), replicate, *_words(name), *position]
    return np.random.default_rng(np.random.SeedSequence(entropy))


def stream_seed(seed: int, study: str, replicate: int, name: str, *position: int) -> int:
    """A 31-bit integer from a stream, for libraries that take an integer seed."""
    return int(stream(seed, study, replicate, name, *position).integers(2**31 - 1))


def trial_stream(trial, name: str, *position: int) -> np.random.Generator:
    """The named stream of a trial: its study, its replicate and its setting `seed`."""
    return stream(trial.settings["seed"], trial.study, trial.replicate, name, *position)


def epoch_order(trial, n: int, name: str, *position: int) -> Callable[[int], np.ndarray]:
    """Epoch -> permutation of n images, from a trial's named stream at that epoch."""
    return lambda epoch: trial_stream(trial, name, *position, epoch).permutation(n)


def trial_seed(trial, name: str, *position: int) -> int:
    """A 31-bit integer from a trial's named stream."""
    return stream_seed(trial.settings["seed"], trial.study, trial.replicate, name, *position)
