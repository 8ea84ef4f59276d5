"""Figures of named series: means over a setting with bands, and every single run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from replicate.report.cells import spread
from replicate.report.config import Series, StudyConfig
from replicate.report.figure_base import (
    DASHES,
    REPORTED,
    Source,
    empty_panel,
    interval_of,
    legend,
    named,
    routes_text,
    samples_over,
)
from replicate.report.views import Sample, View, complete_rows

PALETTE = ("#2f6db3", "#c2571a", "#2e8b57", "#7b5aa6", "#777777")
MARKERS = ("o", "s", "^", "D", "v")


# ------------------------------------------------------------------ means over a setting
def _draw_band(axes, samples: Mapping[Any, Sample], colour: str, style: str, label: str) -> None:
    x = np.array(list(samples), dtype=float)
    intervals = [interval_of(sample) for sample in samples.values()]
    axes.plot(
        x, [i.mean for i in intervals], style, color=colour, lw=1.4, marker="o", ms=4, label=label
    )
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    known = np.isfinite(low)
    axes.fill_between(x[known], low[known], high[known], color=colour, alpha=0.18, lw=0)


def _runs(samples: Mapping[Any, Sample]) -> str:
    counts = sorted({sample.n for sample in samples.values()})
    return f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


def bands(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Means over a setting with their 95 % bands, a colour a series; returns captions.

    `series` names what is drawn; `lines` lists what the report says, `{ reported, label }`; `log`
    asks for a logarithmic axis.
    """
    axes = figure.subplots()
    captions, drawn, x = [], [], ""
    for side, view in source.views():
        routes: frozenset[str] = frozenset()
        for colour, name in zip(PALETTE, entry["series"], strict=False):
            series = source.config.series[name]
            samples = samples_over(view, series)
            if not samples:
                continue
            x = series.x
            label = f"{series.label}, {named(side, view)}, {_runs(samples)}"
            _draw_band(axes, samples, colour, DASHES[side], label)
            drawn.append(name)
            routes = routes.union(*(sample.routes for sample in samples.values()))
        if drawn:
            captions.append(f"{named(side, view)}: {routes_text(routes)}")
    if not drawn:
        figure.delaxes(axes)
        return empty_panel(figure, [])
    for style, line in zip(("--", ":"), entry.get("lines", []), strict=False):
        text = f"report: {line['label']}"
        axes.axhline(line["reported"], color=REPORTED, lw=1, ls=style, label=text)
    if entry.get("log"):
        axes.set_xscale("log")
    axes.set(xlabel=entry.get("xlabel", x), ylabel=entry.get("ylabel", "accuracy"))
    legend(figure, axes)
    return captions


# ------------------------------------------------------------------ every run
def _reported_cells(config: StudyConfig, series: Series):
    """The reported numbers of a series that is a single point."""
    mine = series.selector
    return [
        cell
        for cell in config.cells
        if cell.selector.stage == mine.stage
        and cell.selector.metric == mine.metric
        and dict(cell.selector.settings) == dict(mine.settings)
    ]


def _by_generator(replicates: list[int], groups: list[str]) -> tuple[list[int], list[int]]:
    """Order of the runs, those of one generator side by side, and where each generator begins."""
    first = list(dict.fromkeys(groups))
    order = sorted(range(len(replicates)), key=lambda i: (first.index(groups[i]), replicates[i]))
    starts = [i for i, row in enumerate(order) if not i or groups[row] != groups[order[i - 1]]]
    return order, starts


def _draw_runs(axes, config: StudyConfig, labels, several, samples: list[Sample]) -> None:
    replicates, table, groups = complete_rows(samples)
    order, starts = _by_generator(replicates, groups)
    runs = np.arange(len(order)) + 1
    for index, column in enumerate(zip(*table, strict=True)):
        colour, marker = PALETTE[index], MARKERS[index]
        axes.plot(
            runs, np.array(column)[order], "-", marker=marker, ms=4, lw=0.8, color=colour,
            label=labels[index],
        )  # fmt: skip
        right, sample = len(order) + 1.5 + index, samples[index]
        axes.errorbar(
            right, sample.mean, spread(sample) or 0.0, fmt=marker, ms=6, capsize=3, color=colour,
            zorder=4,
        )  # fmt: skip
        for cell in _reported_cells(config, several[index]):
            axes.errorbar(
                right + 0.4, cell.reported, cell.sd or 0.0, fmt=marker, ms=6, capsize=3,
                color=REPORTED, mfc="white", zorder=4, label="reported: mean and SD",
            )  # fmt: skip
    for start in starts[1:]:
        axes.axvline(start + 0.5, color="#bbbbbb", lw=0.8, ls=":")
    axes.axvline(len(order) + 0.75, color="#bbbbbb", lw=0.8)
    axes.set_xlim(0.2, len(order) + 1.5 + len(several))
    apart = runs[:-2].tolist()  # from the name beside the last run
    ticks = [1] + [run for run in apart if run % 5 == 0]
    axes.set_xticks([*ticks, len(order) + 1 + len(several) / 2], [*map(str, ticks), "mean, SD"])


def _panels(view: View, config: StudyConfig, entry: Mapping[str, Any]):
    """`(title, series, samples)` of the panels that have a run in every series."""
    for panel in entry["panels"]:
        several = [config.series[name] for name in panel["series"]]
        samples = [view.sample(series.selector) for series in several]
        if complete_rows(samples)[0]:
            yield panel["title"], several, samples


def trials(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Every run of two or more arms beside each other, with mean and SD; returns captions.

    `panels` lists `{ title, series }`, series of single points; `labels` names the arms. Runs that
    share a generator stand side by side, generators apart by dotted lines; SDs are those within
    generators. Yours is shown before shipped.
    """
    reasons = []
    for side, view in reversed(source.views()):
        panels = list(_panels(view, source.config, entry))
        if not panels:
            reasons.append(f"{side}: no run is complete")
            continue
        figure.set_size_inches(7.2, 2.9 * len(panels) + 0.6)
        several = np.atleast_1d(figure.subplots(len(panels), 1))
        routes: frozenset[str] = frozenset()
        for axes, (title, series, samples) in zip(several, panels, strict=True):
            _draw_runs(axes, source.config, entry["labels"], series, samples)
            axes.set_title(title, loc="left", fontsize=9)
            axes.set(xlabel="run", ylabel=entry.get("ylabel", "accuracy"))
            routes = routes.union(*(sample.routes for sample in samples))
        legend(figure, several[0])
        return [f"{named(side, view)}: a generator between dotted lines, {routes_text(routes)}"]
    return empty_panel(figure, reasons)
