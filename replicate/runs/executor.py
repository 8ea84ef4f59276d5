"""Runs groups of trials as worker processes: on this machine, or on an existing Dask cluster."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import math
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from replicate.runs.files import write_json
from replicate.runs.plan import Group, batches, divided, inputs_of, longest_chain_first
from replicate.runs.pools import CorePool, dask_pool, run_remotely
from replicate.runs.store import Record, Store
from replicate.runs.study import Study
from replicate.runs.trial import Trial

ATTEMPTS = 2  # a dead worker's unfinished trials are submitted once more


@dataclasses.dataclass
class Settings:
    """How workers run; none of it changes a result.

    Args:
        executor: `"local"` or `"dask"`.
        scheduler: address of a Dask scheduler.
        workers: processes side by side on this machine, which share its cores.
        data_dir: folder of prepared data sets, or None.
        stand_in: whether a drawn stand-in may replace absent data.
        inception_weights: file of InceptionV3's weights, or None.
        network: file of a generator that is not trained here, or how to get it, or None.
        lanes: classifiers side by side; 0: one a core.
    """

    executor: str = "local"
    scheduler: str | None = None
    workers: int = 1
    data_dir: str | None = None
    stand_in: bool = False
    inception_weights: str | None = None
    network: str | None = None
    lanes: int = 0


@dataclasses.dataclass(eq=False)
class _Entry:
    """Groups that one process takes in turn, and how often it may still be started."""

    batch: list[Group]
    attempts: int

    def keys(self) -> Iterator[str]:
        """Keys of the trials."""
        return (trial.key for group in self.batch for trial in group.trials)

    def inputs(self) -> Iterator[str]:
        """Keys of the trials that these need."""
        return (key for group in self.batch for key in inputs_of(group))


class Executor:
    """Runs groups in order and follows their events.

    Args:
        study: the study that the trials belong to.
        store: the user's workdir.
        settings: how workers run.
        on_event: called with each event of a worker, `progress`, `record` and `elsewhere` (another
            process runs the trial), one at a time.
    """

    def __init__(
        self, study: Study, store: Store, settings: Settings, on_event: Callable[[dict], None]
    ):
        self.study, self.store, self.settings, self.on_event = study, store, settings, on_event
        self.failed: set[str] = set()  # keys of the trials that this run recorded as failed
        self._telling = threading.Lock()

    def run(self, groups: Iterable[Group]) -> None:
        """Run every group whose inputs are there; the others are left for a later run.

        Several groups run side by side where there is room for it and neither waits for the other.
        """
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.settings.executor == "dask":
            with dask_pool(self.settings.scheduler) as pool:
                # A worker elsewhere cannot see whether this process lives: its parent is 0.
                self._run(
                    [[group] for group in divided(groups)],
                    lambda parts: pool.submit(run_remotely, self.command(parts, parent=0)),
                    room=math.inf,
                )
            return
        several = self.settings.workers > 1
        made = longest_chain_first(batches(divided(groups))) if several else batches(groups)
        with CorePool(self.settings.workers, self._follow_process) as pool:
            self._run(
                made,
                lambda parts: pool.submit(self.command(parts, os.getpid()), self.log_path),
                room=self.settings.workers,
            )

    def _run(self, made: list[list[Group]], submit, room: float) -> None:
        """Submit every batch when its inputs are finished, and there is room for it."""
        waiting = [_Entry(batch, ATTEMPTS) for batch in made]
        active: dict[concurrent.futures.Future, _Entry] = {}
        while waiting or active:
            maker = {key: entry for entry in (*waiting, *active.values()) for key in entry.keys()}
            for entry in list(waiting):
                if len(active) >= room or any(
                    maker.get(key, entry) is not entry for key in entry.inputs()
                ):
                    continue
                waiting.remove(entry)
                parts = self._parts(entry.batch)
                if parts:
                    active[submit(parts)] = entry
            if active:
                done, _ = concurrent.futures.wait(
                    active, return_when=concurrent.futures.FIRST_COMPLETED
                )
                for future in done:
                    waiting[:0] = self._after(active.pop(future), *future.result())

    def _after(self, entry: _Entry, code: int, output: str) -> list[_Entry]:
        """What is to be run again of a batch that has ended; `output` was not followed yet."""
        for line in output.splitlines():
            with open(self.log_path, "a") as log:
                self._follow(line, log)
        if code == 0:  # what is left waits for inputs that failed, or is run by somebody else
            return []
        if entry.attempts > 1:  # what a dead worker left of a batch is run group by group
            return [_Entry([group], entry.attempts - 1) for group in entry.batch]
        for group in entry.batch:
            for trial in self._runnable(group):
                self._record_death(trial, code)
        return []

    def _parts(self, batch: list[Group]) -> list[list[Trial]]:
        parts, made = [], set()
        for group in batch:
            parts.append(self._runnable(group, made))
            made |= {trial.key for trial in parts[-1]}
        return [part for part in parts if part]

    def _runnable(self, group: Group, before: Iterable[str] = ()) -> list[Trial]:
        """Unfinished trials of a group whose inputs are finished, or made by those `before`.

        A trial that this run has already recorded as failed is not tried again.
        """
        done = self.store.done_keys(self.study.name)
        inputs = done.union(before)
        return [
            trial
            for trial in group.trials
            if trial.key not in done
            and trial.key not in self.failed
            and inputs.issuperset(trial.inputs.values())
        ]

    def _record_death(self, trial: Trial, code: int) -> None:
        error = f"worker died {ATTEMPTS} times, last with exit code {code}; see {self.log_path}"
        run_id = f"dead-{time.time_ns()}"
        created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        self.store.write(Record(trial, run_id, "failed", error=error, created=created))
        self._tell({"event": "record", "key": trial.key, "status": "failed", "error": error})

    @property
    def log_path(self) -> Path:
        """Where workers' own output goes."""
        return self.store.root / self.study.name / "worker.log"

    def command(self, parts: list[list[Trial]], parent: int) -> list[str]:
        """Write a job file and return the command that runs its parts, one stage each, in turn."""
        job = {
            "module": self.study.module,
            "workdir": str(self.store.root.resolve()),
            "data_dir": self.settings.data_dir,
            "stand_in": self.settings.stand_in,
            "inception_weights": self.settings.inception_weights,
            "network": self.settings.network,
            "lanes": self.settings.lanes,
            "parent": parent,
            "parts": [[trial.spec for trial in trials] for trials in parts],
        }
        name = f"{parts[0][0].key[:16]}-{uuid.uuid4().hex[:8]}.json"  # another command may run it
        path = self.store.root / self.study.name / "jobs" / name
        write_json(path, job)
        return [sys.executable, "-m", "replicate.runs.worker", str(path.resolve())]

    def _follow_process(self, process: subprocess.Popen) -> None:
        with open(self.log_path, "a") as log:
            for line in process.stdout:
                self._follow(line, log)

    def _follow(self, line: str, log) -> None:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            log.write(line)
            return
        if isinstance(event, dict) and "event" in event:
            self._tell(event)

    def _tell(self, event: dict) -> None:
        with self._telling:
            if event["event"] == "record" and event["status"] == "failed":
                self.failed.add(event["key"])
            self.on_event(event)
