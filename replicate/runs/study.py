"""What a study declares: its stages, its flags and its trials. Light to import."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import numbers
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from replicate.runs.trial import Trial

SOURCES = {  # module name -> the report that it re-runs
    "mnist_cvae": "Crossman (2024), Synthetic Data Project",
    "cifar_dcgan": "Leung, Leung, Yu (2022), Synthetic Data Generation",
    "fruits_gan": "Sterzinger, Stippel, Zogaj (2020), Unstructured Synthetic Datasets",
    "mnist_dbm": "Lee, Rothenberg, Shah (2017), Synthetic Dataset Creation (slides)",
    "cgan_ood": "Seth, Bhandari, Lakara (2023), Analyzing Effects of Fake Training Data",
}
THREADS = ("generator", "operations", "lanes", "plain")  # see `Stage`


@dataclasses.dataclass
class Outcome:
    """What a stage gives for one trial.

    Args:
        metrics: name -> number, Python's or NumPy's; accuracies are fractions in [0, 1].
        curves: name -> numbers, one an epoch.
        artifacts: name -> path of a file inside the trial's artifact folder.
        data: provenance of the data set, see `data_provenance`.
        wall_seconds: wall time of this trial where several ran side by side, else None.
        earlier_seconds: wall time of the processes that it was begun in, up to their checkpoints.

    Raises:
        TypeError: if a metric, or a value of a curve, is no number.
    """

    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, Path] = dataclasses.field(default_factory=dict)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    wall_seconds: float | None = None
    earlier_seconds: float = 0.0

    def __post_init__(self):
        self.metrics = {name: _number(name, value) for name, value in self.metrics.items()}
        self.curves = {
            name: [_number(name, value) for value in values] for name, values in self.curves.items()
        }


def _number(name: str, value: Any) -> float:
    """A number as JSON takes it: NumPy's scalars become Python's."""
    if isinstance(value, numbers.Real):
        return int(value) if isinstance(value, numbers.Integral) else float(value)
    raise TypeError(
        f"Expected a number as {name!r} of an Outcome. Received: {value!r} ({type(value).__name__})"
    )


@dataclasses.dataclass(frozen=True)
class Stage:
    """One step of a study, executed by worker processes; short groups may share one.

    Args:
        version: raised whenever the meaning of the stage changes; part of every trial's key.
        run: takes the trials of one group and a `Context`, yields `(trial, Outcome)` as they end.
        seconds: predicted wall time of a trial on two CPU cores.
        threads: `"generator"` (all cores within an operation), `"operations"` (up to four
            operations side by side, which share the cores: for small ones that do not depend on
            each other), `"lanes"` (networks side by side) or `"plain"` (no TensorFlow).
        group: trials of equal value share a worker process; default: one process a trial.
        reads: a trial and what gives its inputs' records (`input` of a `Context`) -> role of an
            input -> names of the artifacts that the trial reads of it; of other inputs it may read
            all that a shipped record names.
        loads: whether a trial loads the data set that its setting `dataset` names.

    Raises:
        ValueError: if `threads` is none of these.
    """

    version: int
    run: Callable[[list[Trial], Any], Iterable[tuple[Trial, Outcome]]]
    seconds: Callable[[Trial], float]
    threads: str = "generator"
    group: Callable[[Trial], Any] = lambda trial: trial.key
    reads: Callable[[Trial, Any], Mapping[str, Collection[str]]] = lambda trial, context: {}
    loads: Callable[[Trial], bool] = lambda trial: True

    def __post_init__(self):
        if self.threads not in THREADS:
            raise ValueError(
                f"Expected threads of a Stage among {', '.join(THREADS)}. Received: "
                f"{self.threads!r}"
            )


@dataclasses.dataclass(frozen=True)
class Study:
    """A source study.

    Args:
        name: short name, also the folder of its records.
        title: title of the report.
        citation: one line.
        datasets: names of the data sets that it uses.
        stages: name -> `Stage`, in order.
        define_flags: adds the study's flags to a `flags.FlagValues`.
        declare: parsed flags -> trials, inputs before what needs them.
        extensions: names of arms beyond the protocol, allowed values of `--extensions`.
        module: importable name of the module that holds this as `STUDY`.
        unreleased: trials whose weights would be too much to ship; their records are shipped.
        loaders: name -> function that gives a data set of the study's own, a `Dataset` of that
            name, from the value of `--data_dir` (None if it is not given).
    """

    name: str
    title: str
    citation: str
    datasets: tuple[str, ...]
    stages: dict[str, Stage]
    define_flags: Callable[[Any], None]
    declare: Callable[[Any], list[Trial]]
    extensions: tuple[str, ...] = ()
    module: str = ""
    unreleased: Callable[[Trial], bool] = lambda trial: False
    loaders: Mapping[str, Callable[[str | None], Any]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "module", self.module or f"replicate.{self.name}")

    def trial(self, stage: str, settings: dict, replicate: int = 0, **inputs: Trial) -> Trial:
        """A trial of one of this study's stages; inputs are the trials that produce them."""
        keys = {role: source.key for role, source in inputs.items()}
        version = self.stages[stage].version
        return Trial(self.name, stage, version, settings, replicate, keys)

    def main(self, argv: list[str] | None = None) -> int:
        """Run the study from the command line; returns the exit code."""
        from replicate.runs.command import main

        return main(self, argv)


def alone_if_long(seconds: Callable[[Trial], float], limit: float = 120) -> Callable[[Trial], str]:
    """A `Stage.group`: trials predicted to take longer have a process each, short ones share one.

    Args:
        seconds: predicted wall time of a trial.
        limit: in seconds.
    """
    return lambda trial: trial.key if seconds(trial) > limit else "short"


def load_study(module: str) -> Study:
    """The `STUDY` of a module.

    Raises:
        ImportError: if the module cannot be imported or holds no study.
    """
    study = getattr(importlib.import_module(module), "STUDY", None)
    if not isinstance(study, Study):
        raise ImportError(f"Expected a module with a STUDY. Received: {module}")
    return study


def unique(trials: Iterable[Trial]) -> list[Trial]:
    """The trials without repetition, in order of first appearance."""
    return list({trial.key: trial for trial in trials}.values())


def blames_trial(function: Callable) -> Callable:
    """Decorator: an error of a function of a trial, its first argument, has its key as `trial_key`.

    Trials that run side by side end in any order; of other errors a worker blames the first one
    that is not done.
    """

    @functools.wraps(function)
    def blaming(trial, *arguments, **named):
        try:
            return function(trial, *arguments, **named)
        except Exception as error:
            error.trial_key = trial.key
            raise

    return blaming


def data_provenance(dataset) -> dict[str, Any]:
    """What a record says of the data set it used."""
    return {
        "name": dataset.name,
        "route": dataset.route,
        "sha256": {"train": dataset.train.sha256, "test": dataset.test.sha256},
        "deviations": list(dataset.deviations),
    }
