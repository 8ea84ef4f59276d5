"""A study without a network, to test how trials are run."""

import os
import sys
import time
from pathlib import Path

from absl import flags

from replicate.runs.environment import CORES
from replicate.runs.flags import define_choices, define_positive, define_shared
from replicate.runs.study import Outcome, Stage, Study, unique


def define_flags(values):
    define_shared(values, replicates=3, generators=1)
    define_positive(values, "scale", 2.0, "what numbers are multiplied by")
    define_choices(values, "extensions", ("cubes",), (), "further arms")
    define_choices(values, "dataset", ("mnist", "fids30"), (), "data sets that it names, unread")
    define_choices(values, "powers", ("2", "3"), ("2",), "powers, 3 with extension cubes only")
    flags.DEFINE_list("bad", [], "replicates that misbehave, as number:how", flag_values=values)


def declare(values):
    named = [{"dataset": name} for name in values.dataset] or [{}]
    return unique(trial for settings in named for trial in declare_one(values, settings))


def declare_one(values, settings):
    bad = dict(entry.split(":") for entry in values.bad)
    for replicate in range(values.replicates):
        how = bad.get(str(replicate), "well")
        source = STUDY.trial("source", {"scale": values.scale, "how": how, **settings}, replicate)
        yield source
        powers = {2} & set(map(int, values.powers)) | (
            {3} if "cubes" in values.extensions else set()
        )
        for power in sorted(powers):
            yield STUDY.trial("square", {"power": power, **settings}, replicate, source=source)


def run_source(trials, context):
    for trial in trials:
        how = trial.settings["how"]
        if how == "raises":
            raise RuntimeError("no such number")
        if how == "dies":
            os._exit(9)
        if how == "dies-once":
            marker = Path(context.store.root) / "died"
            if not marker.exists():
                marker.touch()
                os._exit(9)
        if how == "meets":
            meet(Path(context.store.root))
        if how == "sleeps":
            context.progress(trial, 0.5, "half way")
            time.sleep(60)
        value = trial.settings["scale"] * (trial.replicate + 1)
        path = context.artifact_dir(trial) / "value.txt"
        path.write_text(str(value))
        yield trial, Outcome({"value": value}, artifacts={"value": path}, earlier_seconds=100.0)


def meet(folder):
    """Waits for another process that runs on other cores."""
    (folder / f"met-{os.environ[CORES]}").touch()
    end = time.monotonic() + 30
    while len(list(folder.glob("met-*"))) < 2:
        if time.monotonic() > end:
            raise RuntimeError("nobody came")
        time.sleep(0.02)


def source_seconds(trial):
    return 1000.0 if trial.settings["how"] == "meets" else 1.0


def run_square(trials, context):
    for trial in trials:
        value = float(context.input_path(trial, "source", "value").read_text())
        yield trial, Outcome({"value": value ** trial.settings["power"]})


STUDY = Study(
    name="toy",
    title="Squares",
    citation="Nobody (2026)",
    datasets=(),
    stages={
        "source": Stage(1, run_source, source_seconds, "plain"),
        "square": Stage(1, run_square, lambda trial: 1.0, "plain", lambda trial: "all"),
    },
    define_flags=define_flags,
    declare=declare,
    extensions=("cubes",),
    module="toy_study",
)

if __name__ == "__main__":
    sys.exit(STUDY.main())
