"""Reported numbers beside measured ones, with a verdict each."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replicate.evaluation import held_out, statistics
from replicate.report.config import Cell, StudyConfig
from replicate.report.views import Sample, View

COUNT = "n_val"  # metric of a record that says how many held-out images it was tested on


@dataclasses.dataclass(frozen=True)
class Measured:
    """One side of a row: what a view says of a number.

    Args:
        label: the plan's label; empty where the side has no plan at all.
        verdict: `"reproduced"`, `"not reproduced"`, `"inconclusive"`, `"calibration"`,
            `"indicative"`, `"none"` or `"not run"`.
        reason: what qualifies the verdict, or why there is none.
        interval: mean and 95 % interval; None if not run.
        planned: number of planned trials.
        sd: sample SD of the runs, within generators where there are several; None for one run.
        settled: whether preset, data and number of repeats allow a verdict.
    """

    label: str
    verdict: str
    reason: str = ""
    interval: statistics.Interval | None = None
    planned: int = 0
    sd: float | None = None
    settled: bool = False

    @property
    def run(self) -> bool:
        """Whether there is anything measured."""
        return self.verdict != "not run"


@dataclasses.dataclass(frozen=True)
class CellResult:
    """A reported number with what each side measured: side -> `Measured`."""

    cell: Cell
    sides: Mapping[str, Measured]


def qualified(sample: Sample, kind: str, minimum: int) -> tuple[str, str]:
    """Whether a sample may be judged.

    Returns:
        `(verdict, reason)`; the verdict is empty where the sample may be judged by its numbers.
    """
    if sample.problem:
        return "not run", sample.problem
    if sample.stand_in:
        return "none", "stand-in data: no verdict"
    if sample.mixed:
        return "none", f"different images of {sample.mixed} behind one number: no verdict"
    caveat = "one generator: interval excludes generator variance" if sample.one_generator else ""
    if kind != "verdict":
        return ("indicative" if kind == "indicative" else "none"), caveat
    if sample.n < minimum:
        return "inconclusive", f"n={sample.n}, {minimum} needed"
    return "", caveat


def _groups(sample: Sample) -> list[str]:
    return [sample.groups[replicate] for replicate in sample.values]


def spread(sample: Sample) -> float | None:
    """Sample SD of a sample's runs, within generators where there are several; None for one run."""
    values, groups = list(sample.values.values()), _groups(sample)
    if len(values) < 2:
        return None
    if statistics.group_index(groups, len(values)) is None:
        return float(np.std(values, ddof=1))
    return math.sqrt(statistics.variance_components(values, groups)[1])


def _calibration(cell: Cell, view: View) -> str:
    """Why a fitted cell has no verdict, and what the other choices would have given."""
    others = [view.sample(cell.selector.at(**settings)) for settings in cell.alternatives]
    means = [sample.mean for sample in others if sample.n]
    reason = "used to choose an open setting; never scored"
    if len(means) == 1:
        reason += f"; the other choice gives {means[0]:.4f}"
    elif means:
        reason += f"; other choices give {min(means):.4f} to {max(means):.4f}"
    return reason


def measure(cell: Cell, view: View | None) -> Measured:
    """What a view says of a reported number."""
    if view is None:
        return Measured("", "not run", "no run here")
    sample = view.sample(cell.selector)
    minimum = view.config.rules["minimum_replicates"]
    verdict, reason = qualified(sample, view.kind, minimum)
    if verdict == "not run":
        return Measured(view.label, verdict, reason, planned=sample.planned)
    values, groups = list(sample.values.values()), _groups(sample)
    interval = statistics.mean_interval(values, groups, view.config.rules["interval"])
    sampling = 0.0
    if cell.n_test:
        sampling = held_out.exact_half_width(cell.reported, cell.n_test, interval.mean)
        interval = held_out.widened(interval, view.fewest(cell.selector, COUNT, cell.n_test))
    settled = not verdict or (bool(cell.unscored) and verdict == "inconclusive")  # few will do
    if cell.unscored:
        verdict, reason = "none", cell.unscored
    if not verdict and cell.tag == "F":
        verdict, reason = "calibration", _calibration(cell, view)
    if not verdict:
        verdict = statistics.cell_verdict(
            values, cell.reported, cell.margin, cell.n, groups, minimum, sampling
        )
    return Measured(view.label, verdict, reason, interval, sample.planned, spread(sample), settled)


def one_of(found: Sequence[Any]) -> Any:
    """What one view says, of several in their order: each says if it has `run` and is `settled`.

    Returns:
        The word of the first that may give a verdict, else of the first that has run what is asked
        for, else of the first.
    """
    run = [each for each in found if each.run]
    return next((each for each in run if each.settled), (run or found)[0])


def first_run(found: Sequence[Any]) -> Any:
    """What the views of a side say of a number or claim: the word of one of them, see `one_of`.

    Args:
        found: `Measured` or `Judged`, one a view, in the order of the views.

    Returns:
        The word chosen; where it is not that of the first view, its reason names the view.
    """
    chosen = one_of(found)
    if chosen is found[0] or not chosen.run:
        return chosen
    told = f"at {chosen.label}" if found[0].run else f"run at {chosen.label} only"
    return dataclasses.replace(chosen, reason="; ".join(filter(None, (told, chosen.reason))))


def compare(config: StudyConfig, sides: Mapping[str, Sequence[View]]) -> list[CellResult]:
    """Every reported number of a study beside what each side measured, see `first_run`."""

    def found(cell: Cell, views: Sequence[View]) -> Measured:
        return first_run([measure(cell, view) for view in views or [None]])

    return [
        CellResult(cell, {side: found(cell, views) for side, views in sides.items()})
        for cell in config.cells
    ]
