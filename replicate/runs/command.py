"""The command line of every study."""

from __future__ import annotations

import shlex
import signal
import sys
import time

from absl import flags

from replicate.runs import plan as planning
from replicate.runs.executor import Executor, Settings
from replicate.runs.flags import flag_values, parse
from replicate.runs.store import Store
from replicate.runs.study import Study

HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def main(study: Study, argv: list[str] | None = None) -> int:
    """Run a study; returns 0 (all done), 1 (some trials failed), 2 (bad flags), 130 (stopped)."""
    arguments = sys.argv[1:] if argv is None else argv
    if set(arguments) & set(HELP):
        print(help_text(study))
        return 0
    try:
        values = parse(study, arguments)
        plan, trials = planning.make_plan(study, values)
    except (flags.Error, FileNotFoundError, ValueError) as error:
        print(f"{study.name}: {_one_line(error)}", file=sys.stderr)
        return 2
    store = Store(values.workdir)
    if values.plan:
        print(planning.describe_plan(study, plan, trials, store))
        return 0
    if values.reuse_shipped:
        from replicate.runs.publish import reuse_shipped

        print(reuse_shipped(study, trials, store))
    return execute(study, values, plan, trials, store, arguments)


def help_text(study: Study) -> str:
    """The module's description and its flags."""
    import importlib

    description = importlib.import_module(study.module).__doc__ or ""
    values = flag_values(study)
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


def execute(study, values, plan, trials, store, arguments) -> int:
    """Run what is not done yet, with a progress bar; see `main` for the exit code."""
    store.write_plan(plan)
    done = store.done_keys(study.name)
    left = [trial for trial in trials if trial.key not in done]
    if not left:
        print(
            f"{study.name} {plan.label}: all {len(trials)} trials are done in {store.root}; "
            "nothing to train."
        )
        return 0
    print(planning.describe_plan(study, plan, trials, store))
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
    groups = planning.groups(study, left)
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
    return _finished(study, store, trials, follower)


def _stop(signum, frame):
    raise KeyboardInterrupt


def _again(study, arguments) -> str:
    return shlex.join(["python", "-m", study.module, *arguments])


def _stopped(study, store, trials, arguments) -> int:
    done = store.done_keys(study.name)
    count = sum(trial.key in done for trial in trials)
    print(
        f"\nStopped. {count} of {len(trials)} trials are done and stored in {store.root}; "
        f"unfinished generators go on from their last checkpoint.\n"
        f"Continue with: {_again(study, arguments)}"
    )
    return 130


def _finished(study, store, trials, follower) -> int:
    done = store.done_keys(study.name)
    missing = [trial for trial in trials if trial.key not in done]
    minutes = planning.duration(time.monotonic() - follower.start)
    print(f"{study.name}: {len(trials) - len(missing)} of {len(trials)} trials done ({minutes}).")
    for error in follower.errors[:5]:
        print(f"  failed: {error}", file=sys.stderr)
    if missing:
        print(
            f"  {len(missing)} trials are not done; failures are recorded with their reason, "
            "and the same command tries them again.",
            file=sys.stderr,
        )
    return 1 if missing else 0


class Follower:
    """A progress bar over predicted seconds, fed by workers' events."""

    def __init__(self, study: Study, groups: list[planning.Group], title: str):
        self.title, self.start, self.errors = title, time.monotonic(), []
        self.weights = {
            trial.key: study.stages[trial.stage].seconds(trial)
            for group in groups
            for trial in group.trials
        }
        self.names = {t.key: t.describe() for group in groups for t in group.trials}
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
        if event["event"] == "record":
            self._advance(key, 1.0)
            self.finished += 1
            if event["status"] == "failed":
                self.errors.append(f"{self.names[key]}: {event['error']}")
        else:
            self._advance(key, min(event["fraction"], 1.0))
        text = event.get("text") or self.names[key]
        self.bar.set_postfix_str(f"{self.finished}/{len(self.weights)} trials, {text}"[:90])

    def _advance(self, key: str, share: float) -> None:
        step = max(share - self.shares[key], 0.0)
        self.shares[key] += step
        left = self.bar.total - self.bar.n  # shares add up to the whole, give or take rounding
        self.bar.update(min(step * self.weights[key], left))
