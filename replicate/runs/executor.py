"""Runs groups of trials as worker processes: on this machine, or on an existing Dask cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from replicate.runs.files import write_json
from replicate.runs.plan import Group, batches
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
        data_dir: folder of prepared data sets, or None.
        stand_in: whether a drawn stand-in may replace absent data.
        inception_weights: file of InceptionV3's weights, or None.
        network: file of a generator that is not trained here, or how to get it, or None.
        lanes: classifiers side by side; 0: one a core.
    """

    executor: str = "local"
    scheduler: str | None = None
    data_dir: str | None = None
    stand_in: bool = False
    inception_weights: str | None = None
    network: str | None = None
    lanes: int = 0


class Executor:
    """Runs groups in order and follows their events.

    Args:
        study: the study that the trials belong to.
        store: the user's workdir.
        settings: how workers run.
        on_event: called with each event of a worker: `progress` and `record`.
    """

    def __init__(
        self, study: Study, store: Store, settings: Settings, on_event: Callable[[dict], None]
    ):
        self.study, self.store, self.settings, self.on_event = study, store, settings, on_event
        self.failed: set[str] = set()  # keys of the trials that this run recorded as failed

    def run(self, groups: Iterable[Group]) -> None:
        """Run every group whose inputs are there; the others are left for a later run."""
        groups = list(groups)
        if self.settings.executor == "dask":
            self._run_on_dask(groups)
            return
        for batch in batches(groups):
            attempts = ATTEMPTS
            if len(batch) > 1:
                self._run_together(batch)
                attempts -= 1  # what a dead worker left of a batch is run group by group
            for group in batch:
                self._attempts(group, attempts)

    def _run_together(self, batch: list[Group]) -> None:
        parts, made = [], set()
        for group in batch:
            parts.append(self._runnable(group, made))
            made |= {trial.key for trial in parts[-1]}
        if made:
            self._run_here([part for part in parts if part])

    def _attempts(self, group: Group, attempts: int) -> None:
        for _ in range(attempts):
            trials = self._runnable(group)
            if not trials:
                return
            code = self._run_here([trials])
        for trial in self._runnable(group):
            self._record_death(trial, code)

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
        path = self.store.root / self.study.name / "jobs" / f"{parts[0][0].key[:16]}.json"
        write_json(path, job)
        return [sys.executable, "-m", "replicate.runs.worker", str(path.resolve())]

    def _run_here(self, parts: list[list[Trial]]) -> int:
        command = self.command(parts, parent=os.getpid())
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                for line in process.stdout:
                    self._follow(line, log)
                return process.wait()
            except BaseException:
                process.kill()
                process.wait()
                raise

    def _follow(self, line: str, log) -> None:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            log.write(line)
            return
        if isinstance(event, dict) and "event" in event:
            self._tell(event)

    def _tell(self, event: dict) -> None:
        if event["event"] == "record" and event["status"] == "failed":
            self.failed.add(event["key"])
        self.on_event(event)

    def _run_on_dask(self, groups: list[Group]) -> None:
        """Submit every group as soon as its inputs are finished."""
        from dask.distributed import Client, as_completed

        waiting, tries = list(groups), {}
        with Client(self.settings.scheduler, timeout="20s") as client:
            running = as_completed()
            active = {}
            while waiting or active:
                for group in list(waiting):
                    trials = self._runnable(group)
                    if not trials:
                        if not _blocked(group, waiting, active):
                            waiting.remove(group)
                        continue
                    if _blocked(group, waiting, active):
                        continue
                    waiting.remove(group)
                    future = client.submit(_remote, self.command([trials], 0), pure=False)
                    active[future.key] = group
                    running.add(future)
                if not active:
                    break
                future = next(running)
                group = active.pop(future.key)
                self._after_remote(group, future, tries, waiting)

    def _after_remote(self, group, future, tries, waiting) -> None:
        code, output = future.result()
        for line in output.splitlines():
            with open(self.log_path, "a") as log:
                self._follow(line, log)
        tries[id(group)] = tries.get(id(group), 0) + 1
        left = self._runnable(group)
        if left and tries[id(group)] < ATTEMPTS:
            waiting.insert(0, group)
        else:
            for trial in left:
                self._record_death(trial, code)


def _blocked(group: Group, waiting: list[Group], active: dict) -> bool:
    """Whether another unfinished group still produces an input of this one."""
    others = [g for g in [*waiting, *active.values()] if g is not group]
    produced = {trial.key for g in others for trial in g.trials}
    return any(key in produced for trial in group.trials for key in trial.inputs.values())


def _remote(command: list[str]) -> tuple[int, str]:
    """Run a worker command on a Dask worker; the workdir must be on a shared file system."""
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr
