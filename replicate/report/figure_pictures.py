"""Figures made of images: grids, strips over training, nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from replicate.report.artifacts import NotAvailable, first_record
from replicate.report.figure_base import (
    Source,
    empty_panel,
    first_bundle,
    named,
    read_artifact,
    routes_text,
    selector_of,
)

WIDTH = 7.2  # inches


def _grid(bundle, columns: int = 10, rows: int = 4) -> tuple[list[np.ndarray], list[list[int]]]:
    """Rows of images and their labels (-1: none); of several labels each has columns of its own.

    A label that has fewer images than others leaves white tiles.
    """
    plain = isinstance(bundle, np.ndarray)
    pixels = bundle if plain else bundle["images"]
    labels = np.full(len(pixels), -1) if plain or "labels" not in bundle else bundle["labels"]
    names, order = np.unique(labels), np.arange(len(pixels))
    if 1 < len(names) <= columns < len(pixels):
        columns -= columns % len(names)
        found = [np.flatnonzero(labels == name) for name in names]
        order = np.full((max(map(len, found)), len(names)), -1)  # a turn a row
        for column, those in enumerate(found):
            order[: len(those), column] = those
    white = np.full_like(pixels[:1], 255 if pixels.shape[-1] > 1 else 0)
    pixels, labels = np.concatenate([pixels, white]), np.append(labels, -1)  # -1 is the last
    order = order.ravel()[: columns * rows]
    parts = [order[start : start + columns] for start in range(0, len(order), columns)]
    return [pixels[part] for part in parts], [labels[part].tolist() for part in parts]


def _draw_canvas(figure, rows: Sequence[np.ndarray], above: float, below: float = 0.0):
    """One picture of rows of images, for many axes are slow.

    Args:
        figure: to draw on; its height is set.
        rows: arrays (images, height, width, channels), as many images in each or fewer.
        above: room above each image, as a share of its height.
        below: room below each row.

    Returns:
        `(axes, tops, step)`: the axes in pixels, the top of each row, pixels from image to image.
    """
    height, width, depth = rows[0].shape[1:]
    step, gap = round(1.1 * width), round(above * height)
    high = height + gap + round(below * height)
    shape = (len(rows) * high, max(map(len, rows)) * step, depth)
    canvas = np.full(shape, 255 if depth > 1 else 0, dtype=rows[0].dtype)
    tops = [index * high + gap for index in range(len(rows))]
    for top, row in zip(tops, rows, strict=True):
        for column, image in enumerate(row):
            canvas[top : top + height, column * step : column * step + width] = image
    axes = figure.subplots()
    axes.imshow(canvas.squeeze(), cmap="gray_r" if depth == 1 else None)
    axes.axis("off")
    figure.set_size_inches(WIDTH, WIDTH * canvas.shape[0] / canvas.shape[1] + 0.1)
    return axes, tops, step


def _draw_grid(figure, rows: Sequence[np.ndarray], labels, names: Sequence[str]) -> None:
    """Rows of images, each below its label."""
    labelled = any(label >= 0 for row in labels for label in row)
    axes, tops, step = _draw_canvas(figure, rows, 0.4 if labelled else 0.1)
    size = 7.5 if names else 9
    for top, row in zip(tops, labels, strict=True):
        for column, label in enumerate(row):
            if label >= 0:
                x = column * step + rows[0].shape[2] / 2
                text = names[label] if names else str(label)
                axes.text(x, top - 1, text, ha="center", va="bottom", fontsize=size)


def _bundles(view, entry: Mapping[str, Any], source: Source, by: str):
    """The artifact of each value of a setting.

    Returns:
        `(bundles, routes, reasons)`: value -> artifact, the data routes behind them, and value ->
        why there is none.
    """
    bundles, routes, reasons = {}, set(), {}
    for value in view.points(selector_of(entry["source"]), by):
        try:
            record = first_record(view, selector_of(entry["source"], **{by: value}))
            bundles[value] = read_artifact(view, record, entry["source"]["artifact"], source)
        except NotAvailable as reason:
            reasons[value] = reason
            continue
        routes |= view.routes_of(record.key)
    return bundles, routes, reasons


def _stacked(entry: Mapping[str, Any], source: Source):
    """As `first_bundle`, of the artifacts of every value of the setting `by` in one."""
    reasons = []
    for side, view in reversed(source.views()):
        bundles, routes, missing = _bundles(view, entry, source, entry["by"])
        reasons += [f"{side}: {value} {reason}" for value, reason in missing.items()]
        if bundles:
            names = ("images", "labels")
            stacked = {n: np.concatenate([b[n] for b in bundles.values()]) for n in names}
            text = f"{named(side, view)}: {routes_text(routes)}"
            if missing:
                text += f"; not shown: {', '.join(map(str, missing))}"
            return (text, stacked), reasons
    return None, reasons


def images(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """A grid of images with their labels, of the first side that has them; returns captions.

    With `by`, a setting such as the class, the images of all its values are shown together. `rows`
    is how many of ten images there are at most, 4 unless told; `labels = false` hides labels.
    """
    found, reasons = _stacked(entry, source) if "by" in entry else first_bundle(entry, source)
    if found is None:
        return empty_panel(figure, reasons[:2])
    tiles, labels = _grid(found[1], rows=entry.get("rows", 4))
    if not entry.get("labels", True):
        labels = [[-1] * len(row) for row in labels]
    names = entry.get("classes", source.config.study.get("classes", ()))
    _draw_grid(figure, tiles, labels, names)
    return [found[0]]


def strip(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Samples of the same noise as training goes on, a row an epoch; returns captions.

    The artifact holds `images` (snapshots, samples, height, width, channels) and `epochs`.
    """
    found, reasons = first_bundle(entry, source)
    if found is None:
        return empty_panel(figure, reasons)
    rows, epochs = found[1]["images"], found[1]["epochs"].tolist()
    axes, tops, _ = _draw_canvas(figure, list(rows), 0.1)
    height = rows.shape[2]
    for top, epoch in zip(tops, epochs, strict=True):
        axes.text(-2, top + height / 2, f"epoch {epoch}", ha="right", va="center", fontsize=9)
    return [found[0]]


def rows(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """Arrays of one artifact as rows of ten images, such as sharp and blurred; returns captions.

    `rows` lists `{ key, label }`: an array (images, height, width, channels) of the artifact, and
    its name on the page.
    """
    found, reasons = first_bundle(entry, source)
    if found is None:
        return empty_panel(figure, reasons)
    missing = [row["key"] for row in entry["rows"] if row["key"] not in found[1]]
    if missing:
        return empty_panel(figure, [f"the artifact has no {', '.join(missing)}"])
    several = [found[1][row["key"]][:10] for row in entry["rows"]]
    axes, tops, _ = _draw_canvas(figure, several, 0.1)
    for top, row in zip(tops, entry["rows"], strict=True):
        middle = top + several[0].shape[1] / 2
        axes.text(-2, middle, row["label"], ha="right", va="center", fontsize=8.5)
    return [found[0]]


def _closest(view, entry: Mapping[str, Any], source: Source, by: str):
    """For each value of a setting, the closest pairs: `(pairs, routes, reasons)`."""
    pairs = []
    bundles, routes, missing = _bundles(view, entry, source, by)
    for value, bundle in bundles.items():
        for best in np.argsort(bundle["distance"], kind="stable")[: entry.get("pairs", 1)]:
            pair = [bundle[name][best] for name in ("synthetic", "real", "distance")]
            pairs.append((str(value), *pair))
    return pairs, routes, [f"{value}: {reason}" for value, reason in missing.items()]


def _draw_pairs(figure, pairs, columns: int = 10) -> None:
    """Pairs one below the other, so many in a row and the next ones below."""
    parts = [pairs[i : i + columns] for i in range(0, len(pairs), columns)]
    rows = [np.stack([pair[i] for pair in part]) for part in parts for i in (1, 2)]
    axes, tops, step = _draw_canvas(figure, rows, 0.35, 0.05)
    height, width = rows[0].shape[1:3]
    for part, above, below in zip(parts, tops[::2], tops[1::2], strict=True):
        for column, (name, _, _, far) in enumerate(part):
            x = column * step + width / 2
            axes.text(x, above - 1, name, ha="center", va="bottom", fontsize=7.5)
            axes.text(x, below - 1, f"{float(far):.3g}", ha="center", va="bottom", fontsize=8)
        for top, text in zip((above, below), ("synthetic", "nearest\nreal"), strict=True):
            axes.text(-2, top + height / 2, text, ha="right", va="center", fontsize=8.5)


def neighbours(figure, entry: Mapping[str, Any], source: Source) -> list[str]:
    """For each value of the setting `by`, the closest of the stored pairs; returns captions.

    Synthetic images stand above their nearest training images, the distance between them. The
    artifact holds `synthetic` and `real` (pairs, height, width, channels) and `distance`. `pairs`
    says how many of each value are shown, 1 unless told.
    """
    reasons = []
    for side, view in reversed(source.views()):
        pairs, routes, missing = _closest(view, entry, source, entry["by"])
        if pairs:
            _draw_pairs(figure, pairs)
            count = entry.get("pairs")
            closest = f"{count} closest stored pairs" if count else "closest stored pair"
            told = f"{closest} of each, {routes_text(routes)}"
            if missing:
                told += f"; not shown: {', '.join(reason.split(':')[0] for reason in missing)}"
            return [f"{named(side, view)}: {told}"]
        reasons += [f"{side}: {reason}" for reason in missing[:1] or ["not in the plan"]]
    return empty_panel(figure, reasons)
