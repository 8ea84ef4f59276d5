"""What claims compare: every unit of each arm as a circle, with its mean and interval."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from replicate.evaluation import held_out
from replicate.evaluation.statistics import Interval, mean_interval
from replicate.report.claim_tests import Arm, NotRun, arm_of
from replicate.report.config import REFERENCE_FIELDS, StudyConfig, format_settings
from replicate.report.figure_base import COLOURS, Source, legend, named, routes_text
from replicate.report.views import Sample, View, complete_rows

ROW, LINE = 0.33, 0.14  # inches, of a row and of a line above a panel
BOUNDS = ("value", "above", "below")  # of a test, for the mean of its first arm
SEVERAL = 4  # points of an arm that have a row each; more share one
CIRCLE = "a circle is a run unless the row says otherwise"
OTHER = "#2e8b57"  # of runs that stand in no table of reported numbers


@dataclasses.dataclass
class Row:
    """An arm of a claim, or one of its few points.

    Args:
        name: the arm.
        bounds: where its test's bounds lie on the axis.
        units: what a circle is where the arm has several points in the row: a run, tested on the
            points (`"images"`), or else a point, the mean of its runs.
        samples: side -> samples, one of each point.
        n_test: side -> images that accuracies were measured on; none where they do not count.
    """

    name: str
    bounds: list[float]
    units: str = "runs"
    samples: dict[str, list[Sample]] = dataclasses.field(default_factory=dict)
    n_test: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def paired(self) -> bool:
        """Whether the points are test images, which all runs share."""
        return self.units == "images"

    def values(self, side: str) -> tuple[list[float], list[str]]:
        """A side's circles and what each rests on: the generator of a run, or a point itself."""
        samples = self.samples[side]
        if self.paired:
            _, table, groups = complete_rows(samples)
            return [sum(row) / len(row) for row in table], groups
        if len(samples) > 1:
            return [sample.mean for sample in samples], [str(i) for i in range(len(samples))]
        return list(samples[0].values.values()), [samples[0].groups[r] for r in samples[0].values]

    def interval(self, side: str) -> Interval:
        """Mean and 95 % interval, with the sampling of test images where the claim's test has it.

        Ends are NaN where one circle says nothing of the others.
        """
        values, groups = self.values(side)
        if self.paired:
            _, table, groups = complete_rows(self.samples[side])
            return held_out.image_interval(table, groups)
        if side in self.n_test and len(values) > 1:
            return held_out.binomial_interval(values, None, self.n_test[side], groups)
        return mean_interval(values, groups)

    def counted(self, side: str) -> int:
        """How many runs a side has at least."""
        return min(sample.n for sample in self.samples[side])

    @property
    def label(self) -> str:
        """The arm, and what a circle is unless it is a run."""
        several = any(len(samples) > 1 for samples in self.samples.values())
        return f"{self.name} (circles: {self.units})" if several and not self.paired else self.name


def _bounds(test: Mapping[str, Any]) -> list[float]:
    if "b" in test:
        return []  # of a difference or a ratio, which lies on another axis
    if test["name"].endswith("equivalence"):
        test = {"value": 0.0, **test}
    margin = test.get("margin", 0.0)
    return [
        test[b] + s * margin for b in BOUNDS if b in test for s in ((-1, 1) if margin else (0,))
    ]


def rows_of(
    config: StudyConfig, names: Iterable[str], tests: Sequence[str], views
) -> Iterator[tuple[str, list[Row], list[str]]]:
    """`(claim, its rows, its arms without a run in any view)`, each arm of its tests once.

    Args:
        config: the study.
        names: ids of claims.
        tests: labels of the tests that are asked for; empty for all.
        views: `(side, view)`.

    Raises:
        ValueError: if a name is no claim of the study.
    """
    claims = {claim.id: claim for claim in config.claims}
    for name in names:
        if name not in claims:
            raise ValueError(f"Expected a claim of {config.module}. Received: {name!r}")
        rows: dict[str, Row] = {}
        missing: dict[str, None] = {}
        for test in claims[name].tests:
            if tests and test.get("label") not in tests:
                continue
            for role, reference in test.items():
                if isinstance(reference, Mapping) and role != "n_test":
                    bounds = _bounds(test) if role == "a" else []
                    added = [
                        _add(rows, test, reference, bounds, side, view) for side, view in views
                    ]
                    if not any(added):
                        missing[_name(config, reference)] = None
        yield name, list(rows.values()), list(missing)


def _name(config: StudyConfig, reference: Mapping[str, Any]) -> str:
    """An arm in words, whether or not a plan holds it."""
    fixed = {name: value for name, value in reference.items() if name not in REFERENCE_FIELDS}
    label = config.series[reference["series"]].label
    return ", ".join(filter(None, (label, format_settings(fixed))))


def _add(rows: dict[str, Row], test, reference, bounds, side: str, view: View) -> bool:
    """Add what a view has of an arm; returns whether it has anything."""
    try:
        arm = arm_of(view, reference, test.get("at"))
    except NotRun:
        return False
    finished = arm.finished()
    if not finished:
        return False
    units = _units(arm, test)
    if units == "images" and not complete_rows([arm.at(point) for point in finished])[0]:
        return False
    few = len(finished) <= SEVERAL and units != "images"
    for points in [[point] for point in finished] if few else [finished]:
        name = arm.name(None if len(points) > 1 else points[0])
        row = rows.setdefault(name, Row(name, bounds, units))
        row.bounds = row.bounds or bounds
        row.samples[side] = [arm.at(point) for point in points]
        n_test = _images(view, test)
        if n_test:
            row.n_test[side] = n_test
    return True


def _units(arm: Arm, test: Mapping[str, Any]) -> str:
    """What the circles of an arm with several points are."""
    if arm.x == "image" and test["name"].startswith("accuracy_"):
        return "images"
    units = test.get("units", "replicates")
    return units if units != "replicates" else f"{arm.x or 'point'}s, means of runs"


def _images(view: View, test: Mapping[str, Any]) -> int:
    """How many images a test takes its accuracies to be measured on; 0 if it does not say."""
    n_test = test.get("n_test", 0) if test["name"].startswith("accuracy_") else 0
    if not isinstance(n_test, Mapping):
        return n_test
    try:
        samples = arm_of(view, n_test, None).samples
    except NotRun:
        return 0
    return round(min((x for sample in samples for x in sample.values.values()), default=0))


def _draw_row(axes, y: float, row: Row, views) -> None:
    """One arm; sides above each other."""
    for bound in row.bounds:
        axes.plot([bound, bound], [y - 0.42, y + 0.42], color="#888888", lw=1.2, ls=":", zorder=1)
    mine = [(side, view) for side, view in views if side in row.samples]
    for index, (side, view) in enumerate(mine):
        height = y + 0.22 * (index - (len(mine) - 1) / 2)
        values, _ = row.values(side)
        colour = COLOURS.get(side, OTHER)
        axes.plot(
            values, np.full(len(values), height), "o", ms=3.5, mfc="none", mec=colour, mew=0.8
        )
        interval = row.interval(side)
        half = interval.half_width if np.isfinite(interval.half_width) else None
        axes.errorbar(
            interval.mean, height, xerr=half, fmt="|", ms=10, mew=1.8, capsize=2.5, color=colour,
            zorder=4, label=f"{named(side, view)}: mean, 95 % interval; {CIRCLE}",
        )  # fmt: skip


def arms(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """The arms of some claims, a row each; returns captions.

    `panels` lists `{ xlabel, claims, tests }`: claims by their ids, whose arms share the axis
    `xlabel`; only those of the tests with these labels, if there are any.
    Dotted lines are the bounds that a claim sets for an arm's own mean. A circle is a run, or a
    point (a class, an epoch) of an arm that has several, which its row says; where images are the
    points it is a run over all of them. Intervals hold the sampling of test images where the test
    does. Claims without a run, and arms without one of the others, are named above the panel.
    """
    views, panels = source.views(), entry["panels"]
    found = [
        list(rows_of(source.config, panel["claims"], panel.get("tests", ()), views))
        for panel in panels
    ]
    heights = [sum(len(rows) + 0.8 for _, rows, _ in claims if rows) or 1.0 for claims in found]
    notes = [_not_run(claims) for claims in found]
    more = LINE * sum(note.count("\n") for note in notes)
    figure.set_size_inches(8.6, ROW * sum(heights) + 0.85 * len(panels) + 0.4 + more)
    figure.get_layout_engine().set(w_pad=0.2)  # labels of several lines are cut off else
    several = np.atleast_1d(figure.subplots(len(panels), 1, height_ratios=heights))
    for axes, panel, claims, note in zip(several, panels, found, notes, strict=True):
        _draw_panel(axes, panel, claims, views)
        axes.set_title(note, loc="left", fontsize=8, color="#777777")
    drawn = [row for claims in found for _, rows, _ in claims for row in rows]
    if drawn:
        legend(figure, max(several, key=lambda a: len(a.get_legend_handles_labels()[1])))
    return [text for side, view in views if (text := _caption(side, view, drawn))]


def _not_run(claims) -> str:
    """Claims of a panel that have no run, and arms of the others that have none; may be empty."""
    parts = [name for name, rows, _ in claims if not rows]
    parts += [f"{name}: {' and '.join(arms)}" for name, rows, arms in claims if rows and arms]
    return textwrap.fill(f"not run: {'; '.join(parts)}", 84) if parts else ""


def _draw_panel(axes, panel: Mapping[str, Any], claims, views) -> None:
    y, ticks = 0.0, []
    for name, rows, _ in claims:
        for index, row in enumerate(rows):
            if not index:
                axes.text(
                    0.0, y - 0.68, f" {name}", fontsize=8.5, va="center", weight="bold",
                    transform=axes.get_yaxis_transform(),
                )  # fmt: skip
            ticks.append((y, textwrap.fill(row.label, 52)))
            _draw_row(axes, y, row, views)
            y += 1
        y += 0.8 if rows else 0.0
    if not ticks:
        axes.axis("off")
        return
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=7)
    axes.set_ylim(y - 0.9, -1.1)
    axes.grid(axis="y", visible=False)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(panel["xlabel"], fontsize=9)


def _caption(side: str, view: View, drawn: list[Row]) -> str:
    mine = [row for row in drawn if side in row.samples]
    if not mine:
        return ""
    counts = sorted({row.counted(side) for row in mine})
    runs = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    samples = [sample for row in mine for sample in row.samples[side]]
    routes = frozenset().union(*(sample.routes for sample in samples))
    return f"{named(side, view)}: {runs} runs an arm, {routes_text(routes)}"
