"""What all kinds of figures share: their source, colours, and how a missing artifact is shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from replicate.evaluation.statistics import Interval, mean_interval
from replicate.report.artifacts import NotAvailable, first_record, locate
from replicate.report.config import Selector, Series, StudyConfig
from replicate.report.views import Sample, View
from replicate.runs.store import Record

COLOURS = {"shipped": "#2f6db3", "yours": "#c2571a"}
DASHES = {"shipped": "-", "yours": "-."}
REPORTED = "#333333"


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a figure's numbers come from.

    Args:
        config: the study.
        sides: side -> its runs, the one that leads first.
        shipped: the folder of shipped results.
        rank: which of a side's runs is drawn; None for all of them.
    """

    config: StudyConfig
    sides: Mapping[str, Sequence[View]]
    shipped: Path
    rank: int | None = 0

    @property
    def ranks(self) -> range:
        """Every rank that some side has, at least one."""
        return range(max([1, *map(len, self.sides.values())]))

    def views(self) -> list[tuple[str, View]]:
        """The runs that hold anything, those that lead last."""
        ranks = reversed(self.ranks) if self.rank is None else [self.rank]
        found = [
            (side, views[r]) for r in ranks for side, views in self.sides.items() if r < len(views)
        ]
        return [(side, view) for side, view in found if view.done]


def named(side: str, view: View) -> str:
    """A side with its preset, e.g. `shipped (paper)`."""
    return f"{side} ({view.label})"


def routes_text(routes: Iterable[str]) -> str:
    """Data routes as captions say them."""
    return "data: " + ", ".join(sorted(routes)) if routes else "data route not recorded"


def selector_of(source: Mapping[str, Any], **settings: Any) -> Selector:
    """The trials that a figure's `source` table means."""
    return Selector(source["stage"], {**source.get("settings", {}), **settings})


def samples_over(view: View, series: Series) -> dict[Any, Sample]:
    """Point -> sample, of the points of a series that have a number."""
    points = series.over or view.points(series.selector, series.x)
    samples = {point: view.sample(series.at(point)) for point in points}
    return {point: sample for point, sample in samples.items() if sample.n}


def interval_of(sample: Sample) -> Interval:
    """Mean and 95 % interval of a sample that has a number."""
    return mean_interval(list(sample.values.values()), [sample.groups[r] for r in sample.values])


def read_artifact(view: View, record: Record, name: str, source: Source) -> Any:
    """A record's artifact: JSON as its value, `.npy` and `.npz` as NumPy reads them.

    Raises:
        NotAvailable: if there is no copy with the recorded SHA-256.
    """
    path = locate(view, record, name, source.shipped)
    if path.suffix == ".json":
        return json.loads(path.read_text())
    return np.load(path, allow_pickle=False)


def load(view: View, entry: Mapping[str, Any], source: Source) -> tuple[Record, Any]:
    """The first record that a figure means, and its artifact.

    Raises:
        NotAvailable: if either is not there.
    """
    record = first_record(view, selector_of(entry["source"]))
    return record, read_artifact(view, record, entry["source"]["artifact"], source)


def caption(side: str, view: View, record: Record) -> str:
    """Preset, replicate and data route of a picture that one record gave."""
    routes = routes_text(view.routes_of(record.key))
    return f"{named(side, view)}: replicate {record.trial.replicate}, {routes}"


def empty(axes, reason: str) -> None:
    """Say on the axes that there is nothing to show, and why."""
    axes.text(
        0.5, 0.5, f"not available\n{reason}", ha="center", va="center", transform=axes.transAxes,
        color="#777777", wrap=True,
    )  # fmt: skip


def empty_panel(figure, reasons: Iterable[str]) -> list[str]:
    """A small panel that says why there is nothing to show; no captions."""
    axes = figure.subplots()
    axes.axis("off")
    figure.set_size_inches(7.2, 1.6)
    empty(axes, "; ".join(dict.fromkeys(reasons)) or "not run")
    return []


def first_bundle(entry: Mapping[str, Any], source: Source):
    """The artifact of the first side that has it, yours before shipped.

    Returns:
        `(found, reasons)`; `found` is `(caption, artifact)`, or None with a reason for each side.
    """
    reasons = []
    for side, view in reversed(source.views()):
        try:
            record, bundle = load(view, entry, source)
        except NotAvailable as reason:
            reasons.append(f"{side}: {reason}")
            continue
        return (caption(side, view, record), bundle), reasons
    return None, reasons


def legend(figure, axes) -> None:
    """One legend below the axes, a label once."""
    labelled = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if labelled:
        figure.legend(
            labelled.values(), labelled.keys(), loc="outside lower center", ncols=2, fontsize=8
        )
