"""Where worker processes run: side by side on this machine's cores, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor

from replicate.runs.environment import CORES, core_numbers


def shares(cores: list[int], workers: int) -> list[list[int]]:
    """Cores of each worker: neighbours together, as even as it goes."""
    bounds = [index * len(cores) // workers for index in range(workers + 1)]
    return [cores[first:last] for first, last in zip(bounds, bounds[1:], strict=False)]


class CorePool:
    """Processes side by side, each on its share of the cores that this process may use.

    Leaving the context by an exception kills them; their trials go on from their checkpoints.

    Args:
        workers: how many, at most one a core; a single one takes all cores.
        follow: called with each running process, in a thread of its own; returns when it has ended.
    """

    def __init__(self, workers: int, follow: Callable[[subprocess.Popen], None]):
        self.follow = follow
        self.free: queue.SimpleQueue = queue.SimpleQueue()
        for share in shares(core_numbers(), workers):
            self.free.put(share)
        self.processes: set[subprocess.Popen] = set()
        self.stopped = False
        self.threads = ThreadPoolExecutor(workers)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stopped = kind is not None
        if self.stopped:
            for process in list(self.processes):
                process.kill()
        self.threads.shutdown(cancel_futures=True)

    def submit(self, command: list[str], log) -> Future:
        """Run a command when a share of the cores is free; gives its exit code and no output.

        Args:
            command: the program and its arguments.
            log: path of the file that its standard error is added to.
        """
        return self.threads.submit(self._run, command, log)

    def _run(self, command, log):
        share = self.free.get()
        environment = {**os.environ, CORES: ",".join(map(str, share))}
        try:
            with open(log, "a") as errors:
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
                )
            self.processes.add(process)
            if self.stopped:
                process.kill()
            self.follow(process)
            return process.wait(), ""
        finally:
            self.processes.discard(process)
            self.free.put(share)


@contextlib.contextmanager
def dask_pool(scheduler: str | None) -> Iterator[Executor]:
    """An existing cluster as an executor; the workdir must be on a shared file system."""
    from dask.distributed import Client

    with Client(scheduler, timeout="20s") as client:
        yield client.get_executor(pure=False)


def run_remotely(command: list[str]) -> tuple[int, str]:
    """Run a worker's command on a Dask worker: exit code and output."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr
