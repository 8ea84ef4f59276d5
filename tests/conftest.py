"""Each of pytest-xdist's workers keeps to cores of its own, so that they do not wait for another.

TensorFlow otherwise starts a thread a core in every worker and in every process of theirs.
"""

import os

import pytest

PINS = hasattr(os, "sched_setaffinity")
CORES = sorted(os.sched_getaffinity(0)) if PINS else list(range(os.cpu_count()))


def own_cores(worker: str, count: int) -> list[int]:
    """The cores of a worker, `"gw0"` being the first of `count`; at least one."""
    index = int(worker.removeprefix("gw"))
    mine = CORES[index * len(CORES) // count : (index + 1) * len(CORES) // count]
    return mine or [CORES[index % len(CORES)]]


if PINS and "PYTEST_XDIST_WORKER" in os.environ:
    names = ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
    os.sched_setaffinity(0, own_cores(os.environ[names[0]], int(os.environ[names[1]])))


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
