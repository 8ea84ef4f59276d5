"""Figures of classifiers and classes: confusion matrices, learning curves, bars, layer tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replicate.evaluation.statistics import Interval
from replicate.report.artifacts import NotAvailable
from replicate.report.config import Selector
from replicate.report.figure_base import (
    COLOURS,
    REPORTED,
    Source,
    empty,
    empty_panel,
    first_bundle,
    interval_of,
    legend,
    named,
    read_artifact,
    routes_text,
    samples_over,
    selector_of,
)
from replicate.report.views import View


# ------------------------------------------------------------------ confusion matrices
def _row_shares(counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, dtype=float)
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def _mean_confusion(view: View, entry: Mapping[str, Any], source: Source):
    """`(shares, n, planned, routes)`, the mean over the replicates whose artifact is there.

    Raises:
        NotAvailable: if none is there, or they differ in more than the replicate.
    """
    selector = selector_of(entry["source"])
    trials = view.trials(selector)
    problem = view.sample(dataclasses.replace(selector, metric=entry["metric"])).problem
    if problem:
        raise NotAvailable(problem)
    shares, routes, reason = [], set(), ""
    for trial in trials:
        record = view.records.get(trial.key)
        if record is None or not record.done:
            continue
        try:
            bundle = read_artifact(view, record, entry["source"]["artifact"], source)
        except NotAvailable as missing:
            reason = str(missing)
            continue
        shares.append(_row_shares(bundle[entry["key"]]))
        routes |= view.routes_of(trial.key)
    if not shares:
        raise NotAvailable(reason)
    return np.mean(shares, axis=0), len(shares), len(trials), routes


def _draw_confusion(figure, shares: np.ndarray, names: Sequence[str]) -> None:
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(shares))
    axes.set_xticks(ticks, names, rotation=45, ha="right")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.grid(False)
    for row, column in np.ndindex(shares.shape):
        share = shares[row, column]
        text = f"{100 * share:.0f}" if share >= 0.005 else "·"
        colour = "white" if share > 0.55 else ("#1d2329" if share >= 0.005 else "#9aa4ad")
        axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=colour)
    bar = figure.colorbar(shown, ax=axes, shrink=0.85, format=lambda x, _: f"{100 * x:.0f} %")
    bar.set_label("share of the true class")
    figure.set_size_inches(7.2, 6.2)


def confusion(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Confusion matrix as row shares in percent, mean over replicates; returns captions.

    `key` names the matrix within the artifact, `metric` the accuracy that says which replicates are
    done. Yours is shown before shipped.
    """
    reasons = []
    for side, view in reversed(source.views()):
        try:
            shares, n, planned, routes = _mean_confusion(view, entry, source)
        except NotAvailable as reason:
            reasons.append(f"{side}: {reason}")
            continue
        names = entry.get("classes") or source.config.study.get("classes")
        names = names or list(map(str, range(len(shares))))
        _draw_confusion(figure, shares, names)
        runs = f"n = {n}" if n == planned else f"n = {n} of {planned}"
        text = f"{named(side, view)}: mean of {runs} networks, percent of each true class"
        return [f"{text}, {routes_text(routes)}"]
    return empty_panel(figure, reasons)


# ------------------------------------------------------------------ learning curves
def _curve(view: View, selector: Selector) -> tuple[list[Interval], frozenset[str], str]:
    """Mean and interval of every epoch, data routes, and why there is none."""
    points, routes = [], frozenset()
    while True:
        sample = view.sample(dataclasses.replace(selector, epoch=len(points) + 1))
        if not sample.n:
            return points, routes, sample.problem
        points.append(interval_of(sample))
        routes |= sample.routes


def _draw_curve(axes, points: list[Interval], colour: str, style: str, label: str) -> None:
    epochs = np.arange(1, len(points) + 1)
    axes.plot(
        epochs, [p.mean for p in points], style, color=colour, lw=1.5, marker="o", ms=3, label=label
    )
    if points[0].n > 1:
        low, high = [p.low for p in points], [p.high for p in points]
        axes.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)


STYLES = ("--", "-", ":")


def curves(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Curves over epochs: mean and 95 % band over replicates; returns captions.

    `curves` lists `{ curve, label }`; `selected` is the share of the epochs after which the model
    is taken; `facts` lists what the report says, `{ epoch, text }`.
    """
    axes = figure.subplots()
    captions, reasons, lengths = [], [], {}
    for side, view in source.views():
        for style, line in zip(STYLES, entry["curves"], strict=False):
            selector = dataclasses.replace(selector_of(entry["source"]), curve=line["curve"])
            points, routes, problem = _curve(view, selector)
            if not points:
                reasons.append(f"{side}: {problem}")
                continue
            label = f"{line['label']}, {named(side, view)}, n = {points[0].n}"
            _draw_curve(axes, points, COLOURS[side], style, label)
            if side not in lengths:
                captions.append(f"{named(side, view)}: n = {points[0].n}, {routes_text(routes)}")
            lengths[side] = len(points)
    if not lengths:
        figure.delaxes(axes)
        return empty_panel(figure, reasons)
    for side, length in lengths.items():
        if "selected" in entry:
            epoch = max(1, int(length * entry["selected"]))
            axes.axvline(epoch, color=COLOURS[side], lw=1, label=f"model taken, {side}: {epoch}")
    for fact in entry.get("facts", []):
        axes.axvline(fact["epoch"], color=REPORTED, lw=1, ls=":", label=f"report: {fact['text']}")
    axes.set(xlabel="epoch", ylabel=entry.get("ylabel", "accuracy"))
    axes.xaxis.get_major_locator().set_params(integer=True)
    legend(figure, axes)
    return captions


# ------------------------------------------------------------------ bars
def draw_bars(axes, sides, names: list[Any], reported: Mapping[Any, float]) -> None:
    """A bar a name and side, with intervals, and reported numbers as diamonds.

    Args:
        axes: to draw on.
        sides: `(side, view, name -> sample)`.
        names: every name, from left to right.
        reported: name -> reported number.
    """
    width = 0.8 / max(1, len(sides))
    for index, (side, view, samples) in enumerate(sides):
        places = [names.index(p) + (index - (len(sides) - 1) / 2) * width for p in samples]
        several = [interval_of(sample) for sample in samples.values()]
        half = [0.0 if i.n < 2 else i.half_width for i in several]
        axes.bar(
            places, [i.mean for i in several], width, yerr=half if any(half) else None, capsize=2,
            color=COLOURS[side], ecolor="#555555", label=named(side, view),
        )  # fmt: skip
        for place, interval in zip(places, several, strict=True):
            if not interval.mean:  # no bar is no missing number
                axes.annotate(
                    "0", (place, 0), (0, 2), textcoords="offset points", ha="center", fontsize=8
                )
    if reported:
        axes.plot(
            [names.index(name) for name in reported], list(reported.values()),
            "D", mfc="white", mec=REPORTED, ms=6, label="reported", zorder=4,
        )  # fmt: skip
    labels = [str(name).replace("_", " ") for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=30, ha="right")
    axes.grid(axis="x", visible=False)
    axes.set_axisbelow(True)
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)


def _panels(entry: Mapping[str, Any], source: Source):
    """`(title, series, sides, cells)` of each panel; numbers of another scale get their own."""
    cells = [cell for cell in source.config.cells if cell.block == entry.get("reported")]
    scored = [cell for cell in cells if not cell.unscored]
    for index, name in enumerate(entry["series"]):
        series = source.config.series[name]
        sides = [(side, view, samples_over(view, series)) for side, view in source.views()]
        shown = [side for side in sides if side[2]]
        yield series.label, series, shown, scored if index == 0 else []
    apart = [cell for cell in cells if cell.unscored]
    if apart:
        series = source.config.series[entry["series"][0]]
        yield f"reported; {apart[0].unscored}", series, [], apart


def bars(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """A bar a class, a panel a series; returns captions.

    Reported numbers (`reported`, a block of cells) stand beside the first series; where they cannot
    be compared with it they get a panel of their own, never the same axis.
    """
    panels = list(_panels(entry, source))
    if not any(sides for _, _, sides, _ in panels):
        panels = [panel for panel in panels if panel[3]]
    if not panels:
        return empty_panel(figure, [])
    figure.set_size_inches(7.2, 1.9 * len(panels) + 1.0)
    several = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    names = _names(panels)
    captions: dict[str, frozenset] = {}
    for axes, (title, series, sides, cells) in zip(several, panels, strict=True):
        reported = {cell.selector.settings[series.x]: cell.reported for cell in cells}
        draw_bars(axes, sides, names, reported)
        axes.set_title(title + _runs(sides), loc="left", fontsize=9)
        if not sides and not cells:
            empty(axes, "not run")
            axes.set_yticks([])
        for side, view, samples in sides:
            routes = frozenset().union(*(sample.routes for sample in samples.values()))
            captions[named(side, view)] = captions.get(named(side, view), frozenset()) | routes
    drawn = [axes for axes, (_, _, sides, _) in zip(several, panels, strict=True) if sides]
    if drawn:
        legend(figure, max(drawn, key=lambda axes: len(axes.get_legend_handles_labels()[1])))
    return [f"{name}: {routes_text(routes)}" for name, routes in captions.items()]


def _names(panels) -> list[Any]:
    """The classes of all panels, in order."""
    listed = [point for _, series, _, _ in panels for point in series.over]
    found = [point for _, _, sides, _ in panels for *_, samples in sides for point in samples]
    reported = [c.selector.settings[series.x] for _, series, _, cells in panels for c in cells]
    return list(dict.fromkeys([*listed, *reported, *found]))


def _runs(sides) -> str:
    counts = sorted({sample.n for *_, samples in sides for sample in samples.values()})
    if not counts:
        return ""
    return f", n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")


# ------------------------------------------------------------------ layer tables
def summary(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """A network's layers, output shapes and parameters; returns captions.

    The artifact is JSON: network -> rows `[layer, output shape, parameters]`; `key` names one.
    """
    found, reasons = first_bundle(entry, source)
    if found is None:
        return empty_panel(figure, reasons)
    rows = found[1].get(entry["key"], [])
    if not rows:
        return empty_panel(figure, [f"the summary has no {entry['key']}"])
    axes = figure.subplots()
    axes.axis("off")
    text = [[str(name), _shape(shape), f"{count:,}"] for name, shape, count in rows]
    total = sum(count for *_, count in rows)
    table = axes.table(
        [*text, ["total", "", f"{total:,}"]], colLabels=["layer", "output shape", "parameters"],
        cellLoc="left", colLoc="left", colWidths=[0.46, 0.3, 0.24], bbox=[0, 0, 1, 1],
    )  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#d9dee3")
        cell.visible_edges = "B"
        if row in (0, len(rows) + 1):
            cell.set_text_props(weight="bold")
        if column == 2:
            cell.set_text_props(ha="right")
    figure.set_size_inches(7.2, 0.26 * (len(rows) + 2) + 0.1)
    return [found[0]]


def _shape(shape: Any) -> str:
    if isinstance(shape, (list, tuple)):
        return " x ".join("batch" if size is None else str(size) for size in shape)
    return str(shape)
