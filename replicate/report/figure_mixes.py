"""Figures of mixes: blocks of reported numbers, series in panels, real above synthetic images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from replicate.report.config import StudyConfig
from replicate.report.figure_base import (
    DASHES,
    Source,
    empty,
    empty_panel,
    first_bundle,
    interval_of,
    legend,
    named,
    routes_text,
    samples_over,
)
from replicate.report.figure_classes import draw_bars
from replicate.report.views import Sample

PALETTE = ("#2f6db3", "#c2571a", "#2e8b57", "#7b5aa6", "#777777")
GAP = 2  # pixels between images


# ------------------------------------------------------------------ blocks of reported numbers
def numbers(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Each number of some blocks as a bar beside the reported one; returns captions.

    `blocks` names one block a panel; its rows are named by their labels.
    """
    config, blocks = source.config, entry["blocks"]
    figure.set_size_inches(7.2, 2.7 * len(blocks) + 0.5)
    several = np.atleast_1d(figure.subplots(len(blocks), 1))
    shown: dict[str, list[Sample]] = {}
    for axes, block in zip(several, blocks, strict=True):
        cells = {cell.label: cell for cell in config.cells if cell.block == block}
        sides = []
        for side, view in source.views():
            samples = {name: view.sample(cell.selector) for name, cell in cells.items()}
            samples = {name: sample for name, sample in samples.items() if sample.n}
            if samples:
                sides.append((side, view, samples))
                shown.setdefault(named(side, view), []).extend(samples.values())
        reported = {name: cell.reported for name, cell in cells.items()}
        draw_bars(axes, sides, list(cells), reported)
        first = next(iter(cells.values()))
        title = f"{first.where}: {config.blocks[block]}" + ("" if sides else " (not run)")
        axes.set_title(title, loc="left", fontsize=9, wrap=True)
        axes.set_ylim(0, 1.06 * axes.get_ylim()[1])
        axes.set_ylabel(entry.get("ylabel", "accuracy"))
    legend(figure, max(several, key=lambda a: len(a.get_legend_handles_labels()[1])))
    return _captions(shown)


def _captions(shown: Mapping[str, list[Sample]]) -> list[str]:
    """Runs and data routes of what a figure shows, by side."""
    captions = []
    for name, samples in shown.items():
        counts = sorted({sample.n for sample in samples})
        runs = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
        routes = frozenset().union(*(sample.routes for sample in samples))
        captions.append(f"{name}: {runs} networks a point, 95 % intervals, {routes_text(routes)}")
    return captions


# ------------------------------------------------------------------ series in panels
def _draw_series(axes, samples: Mapping[Any, Any], names, colour: str, style: str, label: str):
    x = np.array([names.index(point) for point in samples])
    intervals = [interval_of(sample) for sample in samples.values()]
    means = np.array([interval.mean for interval in intervals])
    half = np.nan_to_num([interval.half_width for interval in intervals])
    axes.errorbar(
        x, means, half if half.any() else None, fmt="o", ls=style, color=colour, ms=4, lw=1.3,
        capsize=2, label=label,
    )  # fmt: skip


def _draw_reported(axes, config: StudyConfig, block: str, x: str, names, colour: str) -> None:
    cells = [cell for cell in config.cells if cell.block == block]
    axes.plot(
        [names.index(cell.selector.settings[x]) for cell in cells],
        [cell.reported for cell in cells],
        "D", mfc="white", mec=colour, ms=6, zorder=4, label="reported",
    )  # fmt: skip


def lines(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Series over shared points, side by side as names, with 95 % intervals; returns captions.

    `panels` lists `{ ylabel, series, reported }`: names of series in the order of `labels` (empty
    to leave one out), and blocks of reported numbers, `{ series, block }`.
    """
    config, panels = source.config, entry["panels"]
    series = [config.series[name] for panel in panels for name in panel["series"] if name]
    names = list(dict.fromkeys(point for one in series for point in one.over))
    figure.set_size_inches(7.2, 2.4 * len(panels) + 1.2)
    several = np.atleast_1d(figure.subplots(len(panels), 1, sharex=True))
    shown: dict[str, list[Sample]] = {}
    for axes, panel in zip(several, panels, strict=True):
        colours = dict(zip(panel["series"], PALETTE, strict=False))
        for (name, colour), label in zip(colours.items(), entry["labels"], strict=False):
            for side, view in source.views() if name else ():
                samples = samples_over(view, config.series[name])
                if not samples:
                    continue
                who = named(side, view)
                _draw_series(axes, samples, names, colour, DASHES[side], f"{label}, {who}")
                shown.setdefault(who, []).extend(samples.values())
        for told in panel.get("reported", []):
            x = config.series[told["series"]].x
            _draw_reported(axes, config, told["block"], x, names, colours[told["series"]])
        if not axes.has_data():
            empty(axes, "not run")
        axes.set_ylabel(panel["ylabel"])
    several[-1].set_xticks(range(len(names)), names)
    several[-1].set_xlabel(entry["xlabel"])
    legend(figure, max(several, key=lambda a: len(a.get_legend_handles_labels()[1])))
    return _captions(shown)


# ------------------------------------------------------------------ real above synthetic images
def _one_a_label(bundle) -> np.ndarray:
    """The first image of each label, side by side: (height, width, channels)."""
    _, first = np.unique(bundle["labels"], return_index=True)
    paper = 255 if bundle["images"].shape[-1] > 1 else 0
    edge = ((0, GAP), (0, GAP), (0, 0))
    framed = [np.pad(image, edge, constant_values=paper) for image in bundle["images"][first]]
    return np.concatenate(framed, axis=1)


def _draw_contrast(axes, panel: Mapping[str, Any], source: Source) -> list[str]:
    """One panel; returns the captions of what was there."""
    axes.axis("off")
    axes.set_title(panel["title"], loc="left", fontsize=9, wrap=True)
    captions, rows, reasons = [], {}, []
    for role in ("real", "synthetic"):
        found, missing = first_bundle({"source": panel[role]}, source)
        if found is None:
            reasons.append(f"{role}: {'; '.join(dict.fromkeys(missing)) or 'not run'}")
        else:
            captions.append(found[0])
            rows[role] = _one_a_label(found[1])
    if rows:
        width = min(row.shape[1] for row in rows.values())
        canvas = np.concatenate([row[:, :width] for row in rows.values()])
        axes.imshow(canvas.squeeze(), cmap="gray_r" if canvas.shape[-1] == 1 else None)
        height = canvas.shape[0] / len(rows)
        for index, role in enumerate(rows):
            axes.text(-3, (index + 0.5) * height, role, ha="right", va="center", fontsize=9)
    text = "; ".join(reasons)
    if rows and reasons:
        axes.text(0, canvas.shape[0] + 3, text, va="top", fontsize=7.5, color="#777777")
    elif reasons:
        empty(axes, text)
    return captions


def contrast(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Real images above synthetic ones, one of each class; returns captions.

    `panels` lists `{ title, real, synthetic }`; both are sources of an artifact that holds `images`
    and `labels`.
    """
    if not source.views():
        return empty_panel(figure, [])
    panels = entry["panels"]
    figure.set_size_inches(7.2, 1.75 * len(panels))
    several = np.atleast_1d(figure.subplots(len(panels), 1))
    captions = []
    for axes, panel in zip(several, panels, strict=True):
        captions += _draw_contrast(axes, panel, source)
    return list(dict.fromkeys(captions))
