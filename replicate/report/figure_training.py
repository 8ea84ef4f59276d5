"""Figures of training: learning curves by arm with the authors' own beside, losses by iteration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from replicate.evaluation.held_out import exact_interval, widened
from replicate.evaluation.learning_curves import smoothed
from replicate.evaluation.statistics import Interval
from replicate.report.config import Cell, Selector
from replicate.report.figure_base import (
    DASHES,
    REPORTED,
    Source,
    empty,
    empty_panel,
    first_bundle,
    interval_of,
    named,
    routes_text,
    selector_of,
)
from replicate.report.views import View

PALETTE = ("#2f6db3", "#d08a1d", "#b3352a", "#2e8b57", "#7b5aa6", "#777777")


# ------------------------------------------------------------------ learning curves
@dataclasses.dataclass(frozen=True)
class Curve:
    """One arm's curve: its place on the x axis, mean and 95 % interval of each point."""

    x: np.ndarray
    points: list[Interval]
    routes: frozenset[str]

    @property
    def n(self) -> str:
        """Number of replicates, as captions say it."""
        counts = sorted({point.n for point in self.points})
        return f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


def _measured(view: View, selector: Selector, by_steps: bool, n_test: int) -> Curve | None:
    """A view's curve; of accuracies on few images (`n_test`) with the sampling of ours."""
    points, routes = [], frozenset()
    count = view.fewest(selector, "n_val", n_test) if n_test else 0
    for epoch in view.points(selector, "epoch"):
        sample = view.sample(dataclasses.replace(selector, epoch=epoch))
        if not sample.n:
            break
        interval = interval_of(sample)
        points.append(widened(interval, count) if count else interval)
        routes |= sample.routes
    if not points:
        return None
    step = 1.0
    if by_steps:
        sample = view.sample(dataclasses.replace(selector, curve="", metric="steps_per_epoch"))
        if not sample.n:
            return None
        step = sample.mean
    return Curve(step * np.arange(1, len(points) + 1), points, routes)


def _draw_measured(axes, curve: Curve, colour: str, style: str) -> None:
    axes.plot(curve.x, [p.mean for p in curve.points], style, color=colour, lw=1.6, zorder=3)
    low, high = (np.array([getattr(p, end) for p in curve.points]) for end in ("low", "high"))
    known = np.isfinite(low)
    if known.any():
        axes.fill_between(
            curve.x[known], low[known], high[known], color=colour, alpha=0.18, lw=0, zorder=2
        )


def _draw_reported(axes, cells: Iterable[Cell], colour: str, step: int) -> bool:
    """Draw a reported curve; returns whether there is one."""
    cells = list(cells)
    if cells:
        x = [step * cell.selector.epoch for cell in cells]
        axes.plot(
            x, [cell.reported for cell in cells], ":", color=colour, lw=1.1, marker="o", ms=2.2,
            mfc="white", mew=0.7, zorder=4,
        )  # fmt: skip
    return bool(cells)


def _draw_sampling(axes, source: Source, panel: Mapping[str, Any], x: float) -> None:
    """How far an accuracy on so few images reaches, once, beside the last reported points."""
    cells = [c for c in source.config.cells if c.block == panel["reported"]]
    last = max(cell.selector.epoch for cell in cells)
    ends = [cell.reported for cell in cells if cell.selector.epoch == last]
    middle = sum(ends) / len(ends)
    low, high = exact_interval(middle, panel["n_test"])
    axes.errorbar(
        [x], [middle], [[middle - low], [high - middle]], color=REPORTED, lw=1, capsize=3, zorder=5
    )
    text = f" 95 %,\n {panel['n_test']} images"
    axes.annotate(text, (x, high), fontsize=7, color=REPORTED, ha="center", va="bottom")


def _key(figure, entry: Mapping[str, Any], shown: set[str], sides: Mapping[str, str]) -> None:
    """One legend: colours are the arms that are shown, line styles say whose."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, lw=2, label=arm["label"])
        for colour, arm in zip(PALETTE, entry["arms"], strict=False)
        if arm["label"] in shown
    ]
    if any("reported" in panel for panel in entry["panels"]):
        handles.append(
            Line2D([], [], color=REPORTED, ls=":", marker="o", ms=3, mfc="white", label="reported")
        )
    handles += [
        Line2D([], [], color=REPORTED, ls=style, label=f"{name}, band: 95 %")
        for name, style in sides.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)


def training(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Learning curves of several arms, a panel a quantity; returns captions.

    `arms` lists `{ label, settings, reported, reported_steps }`: which trials, the line among the
    reported cells that shows the same, and the steps that one of its epochs had. `panels` lists
    `{ curve, ylabel, reported, n_test, log }`: a block of reported cells, the number of test images
    where they are few: bands then hold the sampling of ours. `x` is `"epoch"` or `"steps"`, for
    which records hold `steps_per_epoch`.
    """
    panels, by_steps = entry["panels"], entry.get("x", "epoch") == "steps"
    figure.set_size_inches(9.6, 4.4)
    several = figure.subplots(1, len(panels), squeeze=False)[0]
    styles = DASHES if len(source.views()) > 1 else dict.fromkeys(DASHES, "-")
    said: dict[str, dict[str, str]] = {}
    routes: dict[str, frozenset[str]] = {}
    shown: set[str] = set()
    for axes, panel in zip(several, panels, strict=True):
        for colour, arm in zip(PALETTE, entry["arms"], strict=False):
            cells = source.config.cells if "reported" in arm and "reported" in panel else ()
            if _draw_reported(
                axes,
                (c for c in cells if (c.block, c.line) == (panel["reported"], arm["reported"])),
                colour,
                arm.get("reported_steps", 1) if by_steps else 1,
            ):
                shown.add(arm["label"])
            selector = selector_of(entry["source"], **arm["settings"])
            selector = dataclasses.replace(selector, curve=panel["curve"])
            for side, view in source.views():
                curve = _measured(view, selector, by_steps, panel.get("n_test", 0))
                if curve is None:
                    continue
                _draw_measured(axes, curve, colour, styles[side])
                shown.add(arm["label"])
                name = named(side, view)
                said.setdefault(name, {})[arm["label"]] = curve.n
                routes[name] = routes.get(name, frozenset()) | curve.routes
        _finish(axes, panel, by_steps)
        if {"n_test", "reported"} <= panel.keys():
            _draw_sampling(axes, source, panel, axes.get_xlim()[1])
    if not said and not any("reported" in panel for panel in panels):
        figure.clear()
        return empty_panel(figure, [])
    _key(figure, entry, shown, {name: styles[name.split()[0]] for name in said})
    return [f"{name}: {_counts(runs)}, {routes_text(routes[name])}" for name, runs in said.items()]


def _counts(runs: Mapping[str, str]) -> str:
    """`"n = 5 networks an arm"`, or the number of each arm where they differ."""
    if len(set(runs.values())) == 1:
        return f"{next(iter(runs.values()))} networks an arm"
    return ", ".join(f"{arm} {n}" for arm, n in runs.items())


def _minor(value: float, _) -> str:
    """Labels 2 and 5 of each decade of a logarithmic axis."""
    return f"{value:g}" if f"{value:.0e}"[0] in "25" else ""


def _finish(axes, panel: Mapping[str, Any], by_steps: bool) -> None:
    axes.set(xlabel="optimiser steps" if by_steps else "epoch", ylabel=panel["ylabel"])
    if by_steps:
        axes.set_xscale("log")
    else:
        axes.xaxis.get_major_locator().set_params(integer=True)
    if panel["curve"].endswith("accuracy"):  # bands of two runs may reach beyond what can be
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -0.02), min(high, 1.02))
    if panel.get("log"):
        means = np.concatenate([line.get_ydata() for line in axes.lines] or [[1.0]])
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(axes.get_ylim()[0], means[means > 0].min() / 2))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(_minor)
    if not axes.lines:
        empty(axes, "not run")


# ------------------------------------------------------------------ losses by iteration
def _draw_history(axes, values: np.ndarray, colour: str, line: Mapping[str, Any]) -> None:
    x = np.arange(1, len(values) + 1)
    if line.get("raw"):
        axes.plot(x, values, color=colour, lw=0.6, alpha=0.7, label=line["label"])
        return
    axes.plot(x, values, color=colour, lw=0.5, alpha=0.3)
    axes.plot(x, smoothed(values), color=colour, lw=1.5, label=f"{line['label']}, smoothed")


def _draw_digitised(axes, source: Source, line: Mapping[str, Any], colour: str) -> None:
    cells = [c for c in source.config.cells if c.block == line.get("reported")]
    if cells:
        x, y = [c.selector.epoch for c in cells], [c.reported for c in cells]
        label = f"{line['label']}, reported"
        axes.plot(x, y, "o", ms=4, mfc="white", color=colour, zorder=5, label=label)


def history(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Losses of one generator by iteration, raw and smoothed, with what was read off the report.

    The artifact holds one array a name. `panels` lists `{ ylabel, lines, level }`: `lines` of
    `{ name, label, reported, raw }`, where `reported` names a block of cells and `raw` asks for no
    smoothing; a horizontal line. Yours is shown before shipped.
    """
    found, reasons = first_bundle(entry, source)
    figure.set_size_inches(7.2, 5.6)
    several = figure.subplots(len(entry["panels"]), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(several, entry["panels"], strict=True):
        for colour, line in zip(PALETTE, panel["lines"], strict=False):
            if found:
                _draw_history(axes, found[1][line["name"]], colour, line)
            _draw_digitised(axes, source, line, colour)
        if "level" in panel:
            axes.axhline(panel["level"], color=REPORTED, lw=0.8, ls="--")
        axes.set_ylabel(panel["ylabel"])
        axes.margins(x=0.01)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=8, ncols=2, loc="upper right")
        else:
            empty(axes, "; ".join(reasons) or "not run")
    several[-1].set_xlabel("iteration")
    return [f"{found[0]}; thin: raw, thick: moving average (0.95) from 0"] if found else []
