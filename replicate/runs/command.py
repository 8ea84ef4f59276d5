"""The command line of every study."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections import defaultdict

from absl import flags

from replicate.runs import plan as planning
from replicate.runs.executor import Executor, Settings
from replicate.runs.files import python_command
from replicate.runs.flags import flag_values, parse, presets_of
from replicate.runs.preflight import in_vain, needs_of, runnable
from replicate.runs.publish import Reuse, choose_shipped, take_shipped
from replicate.runs.store import Store
from replicate.runs.study import Study

HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def main(study: Study, argv: list[str] | None = None) -> int:
    """Run a study.

    Returns:
        0 if all is done, but for what needs one of several data sets that is absent; 1 if trials
        failed or are left; 2 if flags are bad or nothing can run; 130 if it was stopped.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if set(arguments) & set(HELP):
            _show(help_text(study))
            return 0
        values = parse(study, arguments)
        plan, trials = planning.make_plan(study, values)
        if not trials:
            raise ValueError(f"Expected flags that ask for trials. Received: {_given(arguments)}")
        store = Store(values.workdir)
        _check_records(store, study)
        reuse = choose_shipped(study, trials, store) if values.reuse_shipped else Reuse()
        done = store.done_keys(study.name) - reuse.dropped_keys | reuse.taken_keys
        left = [trial for trial in trials if trial.key not in done]
        needs = needs_of(study, left, values)
    except (flags.Error, OSError, ValueError) as error:
        return _refused(study, error)
    able = runnable(left, done, needs)
    described = planning.describe_plan(
        study, plan, trials, store, done, able, taken=reuse.taken_keys, needs=needs
    )
    if values.plan:
        _show(described)
        return 0
    try:
        if values.reuse_shipped:
            print(f"{study.name}: {take_shipped(reuse, store)}")
            done = store.done_keys(study.name)  # some may be left to another process
            left = [trial for trial in trials if trial.key not in done]
            able = runnable(left, done, needs)
        if able or not left:
            store.write_plan(plan)
    except OSError as error:
        return _refused(study, error)
    if not left:
        print(
            f"{study.name} {plan.label}: all {len(trials)} trials are done in {store.root}; "
            "nothing to train."
        )
        return 0
    print(described)
    for need in needs:
        count = len(left) - len(runnable(left, done, [need]))
        if count:
            print(f"{study.name}: {count} trials are left out: {need.describe()}", file=sys.stderr)
    if not able:
        return 2 if in_vain(trials, needs) else 0
    return execute(study, values, plan, trials, able, store, arguments)


def _check_records(store: Store, study: Study) -> None:
    """Read every record of a workdir once, before any of them counts as done.

    Raises:
        ValueError: if a file is no record of this version or not of the specification that it is
            named by; says which file, and what to do.
    """
    try:
        store.records(study.name)
    except ValueError as error:
        raise ValueError(f"{error}. Remove this file or give another --workdir") from error


def _refused(study: Study, error: Exception) -> int:
    """Say in one line why nothing runs; returns the exit code."""
    print(f"{study.name}: {_one_line(error)}", file=sys.stderr)
    return 2


def _show(text: str) -> None:
    """Print; a reader who has seen enough, such as `| head`, ends it without a word."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit


def _given(arguments: list[str]) -> str:
    return shlex.join(arguments) or "no flags"


def help_text(study: Study) -> str:
    """The module's description and its flags."""
    import importlib

    values = flag_values(study)
    values["preset"].help = f"<{'|'.join(presets_of(study))}>: a set of settings"
    description = importlib.import_module(study.module).__doc__ or ""
    names = sorted(name for name in values if name not in ("flagfile", "undefok"))
    rows = []
    for name in names:
        flag = values[name]
        default = "" if flag.default in (None, "") else f" (default: {flag.default_as_str})"
        rows.append(f"  --{name}: {flag.help}{default}")
    rows.append("  --flagfile: read flags from a file; later flags win")
    return f"{description}\nFlags:\n" + "\n".join(rows)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def execute(study, values, plan, trials, able, store, arguments) -> int:
    """Run the trials that can run, with a progress bar; see `main` for the exit code."""
    settings = Settings(
        executor=values.executor,
        scheduler=values.scheduler,
        workers=values.workers,
        data_dir=values.data_dir,
        stand_in=values.preset == "smoke",
        inception_weights=getattr(values, "inception_weights", None),
        network=getattr(values, "network", None),
        lanes=values.lanes,
    )
    groups = planning.groups(study, able)
    follower = Follower(study, groups, f"{study.name} {plan.label}")
    before = signal.signal(signal.SIGTERM, _stop)  # what schedulers send before they kill
    try:
        with follower:
            Executor(study, store, settings, follower).run(groups)
    except KeyboardInterrupt:
        return _stopped(study, store, trials, arguments)
    except OSError as error:
        print(f"{study.name}: {_one_line(error)}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, before)
    return _finished(study, store, trials, able, follower)


def _stop(signum, frame):
    raise KeyboardInterrupt


def _stopped(study, store, trials, arguments) -> int:
    done = store.done_keys(study.name)
    count = sum(trial.key in done for trial in trials)
    print(
        f"\nStopped. {count} of {len(trials)} trials are done and stored in {store.root}; "
        f"unfinished training goes on from its last checkpoint.\n"
        f"Continue with: {python_command(study.module, *arguments)}"
    )
    return 130


def _finished(study, store, trials, able, follower) -> int:
    done = store.done_keys(study.name)
    missing = [trial.key for trial in able if trial.key not in done]
    count = sum(trial.key in done for trial in trials)
    minutes = planning.duration(time.monotonic() - follower.start)
    print(f"{study.name}: {count} of {len(trials)} trials done ({minutes}).")
    for error, names in list(follower.errors.items())[:5]:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"  failed: {names[0]}{more}: {error}", file=sys.stderr)
    failed = follower.failed.intersection(missing)
    elsewhere = follower.elsewhere.intersection(missing) - failed
    for keys, text in (
        (failed, "failed, which is recorded with the reason; the same command tries them again"),
        (elsewhere, "are run by another process"),
        (set(missing) - failed - elsewhere, "wait for trials that are not done"),
    ):
        if keys:
            print(f"  {len(keys)} trials {text}.", file=sys.stderr)
    if count + len(missing) < len(trials):
        print(f"  {len(trials) - count - len(missing)} trials were left out.", file=sys.stderr)
    return 1 if missing else 0


class Follower:
    """A progress bar over predicted seconds, fed by workers' events."""

    def __init__(self, study: Study, groups: list[planning.Group], title: str):
        self.title, self.start = title, time.monotonic()
        self.errors: dict[str, list[str]] = defaultdict(list)  # reason -> names of trials
        self.failed: set[str] = set()
        self.elsewhere: set[str] = set()
        self.weights = {
            trial.key: study.stages[trial.stage].seconds(trial)
            for group in groups
            for trial in group.trials
        }
        self.trials = {trial.key: trial for group in groups for trial in group.trials}
        self.shares = dict.fromkeys(self.weights, 0.0)
        self.finished = 0

    def __enter__(self):
        from tqdm import tqdm

        shape = "{desc} |{bar:20}| {percentage:3.0f}% [{elapsed}<{remaining}] {postfix}"
        total = sum(self.weights.values())
        self.bar = tqdm(
            total=total, desc=self.title, bar_format=shape, mininterval=0.5, smoothing=0.05
        )
        return self

    def __exit__(self, *exception):
        self.bar.close()

    def __call__(self, event: dict) -> None:
        """Take one event of a worker."""
        key = event.get("key")
        if key not in self.weights:
            return
        if event["event"] == "elsewhere":
            self.elsewhere.add(key)
            return
        if event["event"] == "record":
            self._advance(key, 1.0)
            self.finished += 1
            if event["status"] == "failed":
                self.failed.add(key)
                self.errors[event["error"]].append(self.trials[key].describe())
        else:
            self._advance(key, min(event["fraction"], 1.0))
        text = f"{self.trials[key].title} {event.get('text', '')}".rstrip()
        self.bar.set_postfix_str(f"{self.finished}/{len(self.weights)} trials, {text}"[:120])

    def _advance(self, key: str, share: float) -> None:
        step = max(share - self.shares[key], 0.0)
        self.shares[key] += step
        left = self.bar.total - self.bar.n  # shares add up to the whole, give or take rounding
        self.bar.update(min(step * self.weights[key], left))
