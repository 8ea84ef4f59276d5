"""What a figure can be; here sweeps over a setting and loss curves, the rest beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from replicate.evaluation.statistics import mean_interval
from replicate.report.artifacts import NotAvailable, first_record
from replicate.report.config import StudyConfig
from replicate.report.figure_arms import arms
from replicate.report.figure_base import (
    COLOURS,
    DASHES,
    REPORTED,
    Source,
    empty,
    legend,
    load,
    named,
    routes_text,
    selector_of,
)
from replicate.report.figure_classes import bars, confusion, curves, summary
from replicate.report.figure_mixes import contrast, lines, numbers
from replicate.report.figure_notes import absent, beside, flow
from replicate.report.figure_pictures import images, neighbours, rows, strip
from replicate.report.figure_series import bands, trials
from replicate.report.figure_training import history, training
from replicate.report.views import View

LINES = {"red": "#c0392b", "green": "#2e8b57", "grey": "#888888"}
BINS = 1000


# ------------------------------------------------------------------ sweeps
def _sweep_points(view: View, series) -> list[tuple[float, list[float], list[str], int]]:
    points = []
    for x in view.points(series.selector, series.x):
        sample = view.sample(series.selector.at(**{series.x: x}))
        if sample.n:
            groups = [sample.groups[r] for r in sample.values]
            points.append((x, list(sample.values.values()), groups, sample.planned, sample.routes))
    return points


def _draw_reported(axes, config: StudyConfig, block: str, x: str) -> None:
    cells = [cell for cell in config.cells if cell.block == block]
    axes.errorbar(
        [cell.selector.settings[x] for cell in cells],
        [cell.reported for cell in cells],
        [cell.sd or 0.0 for cell in cells],
        fmt="o", mfc="white", mec=REPORTED, ecolor="#b5b5b5", ms=5, lw=0, elinewidth=1, zorder=2,
        label="reported: mean and SD",
    )  # fmt: skip


def _draw_sweep(axes, side: str, view: View, points, shift: float) -> str:
    colour = COLOURS[side]
    x = np.array([point[0] for point in points]) + shift
    intervals = [mean_interval(values, groups) for _, values, groups, *_ in points]
    means = np.array([interval.mean for interval in intervals])
    spread = [np.std(values, ddof=1) if len(values) > 1 else 0.0 for _, values, *_ in points]
    counts = [len(values) for _, values, *_ in points]
    runs = f"n = {min(counts)}" + (f" to {max(counts)}" if min(counts) < max(counts) else "")
    axes.errorbar(
        x, means, spread, fmt="o-", color=colour, ms=4, lw=1.2, elinewidth=1, capsize=2, zorder=4,
        label=f"{named(side, view)}: mean and SD, {runs}",
    )  # fmt: skip
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    known = np.isfinite(low)
    if known.any():
        axes.vlines(
            x[known], low[known], high[known], color=colour, alpha=0.25, lw=6, zorder=3,
            label="95 % interval of the mean",
        )  # fmt: skip
    routes = frozenset().union(*(point[4] for point in points))
    return f"{named(side, view)}: {runs} networks a point, {routes_text(routes)}"


def _draw_lines(axes, lines, source: Source) -> None:
    for line in lines:
        colour = LINES.get(line["colour"], line["colour"])
        value = line.get("value", line.get("reported"))
        name = line["label"] + (" (reported)" if "reported" in line else "")
        axes.axhline(value, color=colour, lw=1, ls="--", zorder=1, label=name)
        if "series" not in line:
            continue
        series = source.config.series[line["series"]]
        for side, view in source.views():
            sample = view.sample(series.selector.at(**{series.x: line[series.x]}))
            if sample.n:
                mean = sum(sample.values.values()) / sample.n
                label = f"{line['label']} ({named(side, view)}, n = {sample.n})"
                axes.axhline(mean, color=colour, lw=1.2, ls=DASHES[side], zorder=1, label=label)


def _same_numbers(a, b) -> bool:
    return [(p[0], sorted(p[1])) for p in a] == [(p[0], sorted(p[1])) for p in b]


def sweep(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Mean accuracy over one setting, with the author's points; returns captions."""
    axes = figure.subplots()
    series = source.config.series[entry["series"]]
    _draw_reported(axes, source.config, entry["reported"], series.x)
    _draw_lines(axes, entry.get("lines", []), source)
    captions, drawn = [], []
    for side, view in source.views():
        points = _sweep_points(view, series)
        if points and not any(_same_numbers(points, other) for other in drawn):
            captions.append(_draw_sweep(axes, side, view, points, 0.004 * len(drawn)))
            drawn.append(points)
    axes.set(xlabel=entry.get("xlabel", series.x), ylabel=entry.get("ylabel", ""))
    legend(figure, axes)
    return captions


# ------------------------------------------------------------------ loss curves
def _draw_batches(axes, losses: np.ndarray, colour: str, label: str) -> None:
    """Mean of each bin of batches as a line, its range as a band."""
    bins = np.array_split(np.asarray(losses, dtype=float), min(BINS, losses.size))
    ends = np.cumsum([part.size for part in bins])
    x = ends - np.array([part.size for part in bins]) / 2
    low, high = [part.min() for part in bins], [part.max() for part in bins]
    axes.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    axes.plot(x, [part.mean() for part in bins], color=colour, lw=1, label=label)


def _draw_epoch_means(axes, config: StudyConfig, block: str, per_epoch: float) -> None:
    cells = [cell for cell in config.cells if cell.block == block]
    axes.plot(
        [(cell.selector.epoch - 0.5) * per_epoch for cell in cells],
        [cell.reported for cell in cells],
        "o", mfc="white", mec=REPORTED, ms=4, label="reported: mean of each epoch", zorder=4,
    )  # fmt: skip


def _loss_of(view: View, entry: Mapping[str, Any], source: Source):
    """`(record, losses, batches an epoch)`; by epoch, with 0 batches, where the file is missing."""
    curve_name = entry["source"].get("curve", "")
    record = first_record(view, selector_of(entry["source"]))
    curve = record.curves.get(curve_name, [])
    try:
        _, losses = load(view, entry, source)
    except NotAvailable:
        if not curve:
            raise
        return record, np.asarray(curve), 0.0
    epochs = len(curve) or record.trial.settings.get("epochs", 1)
    return record, np.ravel(losses), losses.size / epochs


def _draw_loss(axes, name: str, colour: str, losses: np.ndarray, per_epoch: float) -> None:
    if per_epoch:
        size = max(1, losses.size // BINS)
        what = f"mean, range of {size} batches" if size > 1 else "every batch"
        _draw_batches(axes, losses, colour, f"{name}: {what}")
    else:
        epochs = np.arange(losses.size) + 0.5
        axes.plot(epochs, losses, color=colour, lw=1.2, label=f"{name}: mean of each epoch")


def loss(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Loss by batch of one network, with the author's epoch means; returns captions."""
    axes = figure.subplots()
    reasons, shown = [], {}
    for side, view in source.views():
        try:
            record, losses, per_epoch = _loss_of(view, entry, source)
        except NotAvailable as reason:
            reasons.append(f"{side}: {reason}")
            continue
        if not any(np.array_equal(losses, other[2]) for other in shown.values()):
            shown[side] = (view, record, losses, per_epoch)
    batches = max([per_epoch for *_, per_epoch in shown.values()], default=0.0)
    captions = []
    for side, (view, record, losses, per_epoch) in shown.items():
        if bool(per_epoch) != bool(batches):
            continue  # by epoch beside by batch: one axis cannot show both
        name = named(side, view)
        _draw_loss(axes, name, COLOURS[side], losses * entry.get("scale", 1.0), per_epoch)
        routes = routes_text(view.routes_of(record.key))
        captions.append(f"{name}: replicate {record.trial.replicate}, {routes}")
    if "reported" in entry:
        _draw_epoch_means(axes, source.config, entry["reported"], batches or 1.0)
    elif not shown:
        empty(axes, "; ".join(reasons) or "not run")
    _draw_lines(axes, entry.get("lines", []), source)
    axes.set(xlabel="batch" if batches else "epoch", ylabel=entry.get("ylabel", "loss"))
    if "ylim" in entry:
        scale = entry.get("scale", 1.0)
        ends = [float(losses[-1]) * scale * 1.1 for _, _, losses, _ in shown.values()]
        axes.set_ylim(entry["ylim"][0], max([entry["ylim"][1], *ends]))
    legend(figure, axes)
    return captions


KINDS = {
    "sweep": sweep,
    "loss": loss,
    "images": images,
    "strip": strip,
    "neighbours": neighbours,
    "confusion": confusion,
    "curves": curves,
    "bars": bars,
    "summary": summary,
    "bands": bands,
    "trials": trials,
    "rows": rows,
    "training": training,
    "history": history,
    "flow": flow,
    "absent": absent,
    "beside": beside,
    "numbers": numbers,
    "lines": lines,
    "contrast": contrast,
    "arms": arms,
}
