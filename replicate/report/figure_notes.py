"""Figures that need no picture of the report's: a flow chart, pairs of grids, what was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replicate.report.artifacts import NotAvailable
from replicate.report.figure_base import Source, caption, empty_panel, load

FILLS = {"data": "#e7eef7", "network": "#e6f2ea", "step": "#f7efe1", "result": "#f3e6e4"}


# ------------------------------------------------------------------ flow charts
def flow(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """A flow chart of named boxes and arrows; nothing is measured, so there are no captions.

    `boxes` lists `{ name, text, at, kind }` with `at` in a unit square from the lower left, `kind`
    one of `"data"`, `"network"`, `"step"`, `"result"`; `arrows` lists `{ from, to, text }`.
    """
    figure.set_size_inches(9.6, 6.0)
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    drawn = {}
    for box in entry["boxes"]:
        style = "round,pad=0.5" if box["kind"] in ("data", "result") else "square,pad=0.5"
        drawn[box["name"]] = axes.text(
            *box["at"], box["text"], ha="center", va="center", fontsize=8.5, zorder=3,
            bbox=dict(boxstyle=style, fc=FILLS[box["kind"]], ec="#6b7682"),
        )  # fmt: skip
    for arrow in entry["arrows"]:
        start, end = drawn[arrow["from"]], drawn[arrow["to"]]
        axes.annotate(
            "", end.get_position(), start.get_position(), zorder=1,
            arrowprops=dict(
                arrowstyle="-|>", color="#6b7682", lw=1.1, patchA=start.get_bbox_patch(),
                patchB=end.get_bbox_patch(), shrinkA=2, shrinkB=2,
            ),
        )  # fmt: skip
        if "text" in arrow:
            x, y = np.add(start.get_position(), end.get_position()) / 2
            axes.text(
                x, y, arrow["text"], fontsize=7.5, color="#5b6570", ha="center", va="center",
                bbox=dict(fc="white", ec="none", pad=0.6), zorder=2,
            )  # fmt: skip
    return []


def absent(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """A panel that says why a figure of the report is not redrawn."""
    return empty_panel(figure, [entry["reason"]])


# ------------------------------------------------------------------ grids beside each other
def _row(source: Source, row: Mapping[str, Any], count: int):
    """`(caption, images, texts)` of a row of pictures.

    Raises:
        NotAvailable: if no side has them.
    """
    reasons = [row["withheld"]] if "withheld" in row else []
    for side, view in () if reasons else reversed(source.views()):
        try:
            record, bundle = load(view, row, source)
        except NotAvailable as reason:
            reasons.append(f"{side}: {reason}")
            continue
        pixels, texts = bundle["images"], [""] * len(bundle["images"])
        if "label" in row:
            pixels = pixels[bundle["labels"] == row["label"]]
        if "value" in row:
            texts = [f"{value:.2g}" for value in bundle[row["value"]]]
        first, last = row.get("between", (0, count))
        return caption(side, view, record), pixels[first:last], texts[first:last]
    raise NotAvailable("; ".join(dict.fromkeys(reasons)) or "not run")


def _draw_row(axes: Sequence, pixels: np.ndarray, texts: Sequence[str]) -> None:
    for cell, image, text in zip(axes, pixels, texts, strict=False):
        cell.imshow(image.squeeze(), cmap="gray_r" if image.shape[-1] == 1 else None)
        cell.set_title(text, fontsize=8, pad=2)


def beside(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Rows of pictures of different origin under each other; returns captions.

    `rows` lists `{ title, source, label, value, between, withheld }`: an artifact with `images`,
    the label to keep, an array to print above each image, a range of images, or why the row is
    not shown.
    """
    rows, count = entry["rows"], entry.get("columns", 5)
    figure.set_size_inches(1.15 * count + 1.6, 1.35 * len(rows))
    grid = figure.subplots(len(rows), count, squeeze=False)
    captions = []
    for axes, row in zip(grid, rows, strict=True):
        for cell in axes:
            cell.axis("off")
        axes[0].text(
            -0.15, 0.5, row["title"], ha="right", va="center", fontsize=9,
            transform=axes[0].transAxes,
        )  # fmt: skip
        try:
            text, pixels, values = _row(source, row, count)
        except NotAvailable as reason:
            note = axes[0].text(
                0, 0.5, str(reason), va="center", fontsize=9, color="#777777",
                transform=axes[0].transAxes,
            )  # fmt: skip
            note.set_in_layout(False)  # longer than a picture is wide
            continue
        _draw_row(axes, pixels, values)
        captions.append(text)
    return list(dict.fromkeys(captions))
