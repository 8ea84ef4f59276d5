"""A worker process: runs groups of trials, of one stage each, under one thread profile.

Started by the executor as `python -m replicate.runs.worker job.json`; TensorFlow's threads cannot
change after start, hence a process a group, or for several short groups of one profile. Each trial
gets its own record; a trial that raises is recorded as failed with its reason and the rest go on.
"""

from __future__ import annotations

import datetime
import json
import math
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import uuid
from pathlib import Path

from replicate.runs.context import Context
from replicate.runs.environment import commit, environment, take_cores, usable_cores
from replicate.runs.files import sha256_file
from replicate.runs.store import Record, Store
from replicate.runs.study import Outcome, Stage, Study, blames_trial, load_study
from replicate.runs.trial import Trial

try:
    import resource
except ImportError:  # there is none on Windows
    resource = None

MOST_BESIDE = 4  # operations of one network; its batches get too small to be divided further
OTHER_FILES = 256  # that may be open beside the locks of a group


def thread_profile(kind: str, lanes: int = 0) -> dict[str, int]:
    """Threads within an operation and beside one another, for a kind of stage.

    Of a network of small operations several are worked on at a time, where they do not depend on
    each other. Lanes need as many threads of either kind: XLA runs whole loops in the pool within
    operations, and with one thread there two lanes would take turns.
    """
    cores = usable_cores()
    if kind == "lanes":
        return {"intra": lanes or cores, "inter": lanes or cores}
    if kind == "operations":
        beside = min(cores, MOST_BESIDE)
        return {"intra": cores // beside, "inter": beside}
    return {"intra": cores, "inter": 1}


def configure_tensorflow(threads: dict[str, int]) -> None:
    """Set threads, determinism and precision; must run before TensorFlow does anything."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads["intra"])
    tf.config.threading.set_inter_op_parallelism_threads(threads["inter"])
    tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(False)  # float32 is what records say
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _artifact_entries(outcome: Outcome) -> dict[str, dict]:
    return {
        name: {"file": path.name, "sha256": sha256_file(path), "bytes": path.stat().st_size}
        for name, path in outcome.artifacts.items()
    }


def _record(trial: Trial, context: Context, run_id: str, **values) -> None:
    inputs = {}
    for role, key in trial.inputs.items():
        try:
            inputs[role] = {"key": key, "run_id": context.input(trial, role).run_id}
        except FileNotFoundError:
            inputs[role] = {"key": key, "run_id": ""}
    record = Record(
        trial=trial,
        run_id=run_id,
        inputs=inputs,
        environment=environment(context.threads),
        created=_now(),
        **values,
    )
    context.store.write(record)
    context.event("record", key=trial.key, status=record.status, error=record.error)


@blames_trial
def _record_done(trial: Trial, outcome: Outcome, wall: float, context: Context, run_id: str):
    _check_finite(outcome)
    _record(
        trial,
        context,
        run_id,
        status="done",
        metrics=outcome.metrics,
        curves=outcome.curves,
        artifacts=_artifact_entries(outcome),
        data=outcome.data,
        wall_seconds=round(wall, 3),
    )


def _check_finite(outcome: Outcome) -> None:
    """Refuse numbers that are not finite, which JSON does not have."""
    metrics = ((name, [value]) for name, value in outcome.metrics.items())
    for name, values in (*metrics, *outcome.curves.items()):
        for value in values:
            if not math.isfinite(value):
                raise FloatingPointError(
                    "Expected finite metrics and curves, as a training gives that does not "
                    f"diverge. Received: {name}={value}"
                )


def run_group(stage: Stage, trials: list[Trial], context: Context) -> int:
    """Run trials of one stage and write a record each; returns the number of failures."""
    run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    pending = {trial.key: trial for trial in trials}
    failures = 0
    while pending:
        start = time.monotonic()
        try:
            for trial, outcome in stage.run(list(pending.values()), context):
                wall = outcome.wall_seconds or time.monotonic() - start
                wall += outcome.earlier_seconds
                _record_done(trial, outcome, wall, context, run_id)
                shutil.rmtree(context.checkpoint_dir(trial), ignore_errors=True)
                del pending[trial.key]
                start = time.monotonic()
            for trial in pending.values():
                raise RuntimeError(f"Expected a result for {trial.describe()}. Received: none")
        except Exception as error:
            traceback.print_exc()
            key = getattr(error, "trial_key", next(iter(pending)))
            wall = round(time.monotonic() - start, 3)
            reason = f"{type(error).__name__}: {error}"
            _record(
                pending.pop(key), context, run_id, status="failed", error=reason, wall_seconds=wall
            )
            failures += 1
    return failures


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files to a number, if it is lower, as far as the system lets us."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _lock_all(store: Store, trials: list[Trial]):
    """Locks of the trials that nobody else is running, and those trials."""
    from filelock import FileLock, Timeout

    _allow_open_files(len(trials) + OTHER_FILES)  # a lock is an open file
    locks, free = [], []
    for trial in trials:
        lock = FileLock(store.lock_path(trial))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        locks.append(lock)
        free.append(trial)
    return locks, free


def _die_with_parent(parent: int) -> None:
    """End when the executor is gone, so that no worker outlives a killed run.

    A thread looks after it. Never a timer's signal: one that arrives while some of TensorFlow's
    convolutions run on a CPU damages the heap, so that the process dies, or worse, goes on.
    """

    def watch():
        while os.getppid() == parent:
            time.sleep(2)
        os._exit(1)

    if parent:
        threading.Thread(target=watch, daemon=True).start()


def main(argv: list[str]) -> int:
    """Run the job described in a JSON file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the executor decides when a worker ends
    job = json.loads(Path(argv[0]).read_text())
    take_cores()
    _die_with_parent(job.get("parent", 0))
    study, store = load_study(job["module"]), Store(job["workdir"])
    context = None
    for part in job["parts"]:
        wanted = [Trial.from_spec(spec) for spec in part]
        locks, trials = _lock_all(store, wanted)
        for key in {trial.key for trial in wanted}.difference(trial.key for trial in trials):
            Context.event("elsewhere", key=key)
        try:
            done = store.done_keys(study.name)
            trials = [t for t in trials if t.key not in done and done.issuperset(t.inputs.values())]
            if trials:
                context = context or _context(job, store, study)
                run_group(study.stages[trials[0].stage], trials, context)
        finally:
            for lock in locks:
                lock.release()
    Path(argv[0]).unlink(missing_ok=True)  # who has to run it once more finds it
    return 0


def _context(job: dict, store: Store, study: Study) -> Context:
    """What the job's trials get; sets TensorFlow's threads, unless no part uses it."""
    commit()  # of the code that is loaded now; a record is written much later
    kinds = {study.stages[part[0]["stage"]].threads for part in job["parts"]}
    kind = max(kinds, key=lambda each: each != "plain")
    threads = thread_profile(kind, job.get("lanes", 0))
    if kind != "plain":
        configure_tensorflow(threads)
    return Context(
        store,
        job.get("data_dir"),
        job.get("stand_in", False),
        threads,
        job.get("inception_weights"),
        job.get("network"),
        study.loaders,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
