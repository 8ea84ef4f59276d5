"""Each of pytest-xdist's workers keeps to cores of its own, so that they do not wait for another.

TensorFlow otherwise starts a thread a core in every worker and in every process of theirs.
"""

import os

import pytest

from replicate.runs.environment import core_numbers
from replicate.runs.pools import shares

PINS = hasattr(os, "sched_setaffinity")
CORES = core_numbers()

if PINS and "PYTEST_XDIST_WORKER" in os.environ:
    index = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    mine = shares(CORES, int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))[index]
    os.sched_setaffinity(0, mine or [CORES[index % len(CORES)]])


@pytest.fixture
def every_core():
    """Lets a test use all cores; skips it where there is one only."""
    if len(CORES) < 2:
        pytest.skip("needs two cores")
    if PINS:
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, CORES)
    yield
    if PINS:
        os.sched_setaffinity(0, mine)
