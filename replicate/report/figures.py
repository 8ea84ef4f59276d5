"""Figures of a report redrawn, as its TOML file asks for them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import PIL.Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from replicate.report.figure_base import Source
from replicate.report.figure_kinds import KINDS

STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 120,
    "svg.hashsalt": "replicate",
}
NAMES = re.compile(rb'(?<=["#])p[0-9a-f]{10}(?=[")])')  # of clipping regions in an SVG


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure as files, with what its caption must say.

    Args:
        id: as in the TOML file.
        title: what it shows.
        caption: preset, number of runs and data route of everything measured in it.
        png: the file's bytes; empty where no pictures were asked for.
        svg: the file's bytes.
        measured: whether it shows anything that we measured.
    """

    id: str
    title: str
    caption: str
    png: bytes
    svg: bytes
    measured: bool


def _bytes(figure, kind: str, **metadata: str | None) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


def files_of(figure, pictures: bool = True) -> tuple[bytes, bytes]:
    """A figure as PNG and SVG; the PNG, if asked for, names the `digest` of the SVG."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out already
    svg = _bytes(figure, "svg", Date=None)
    png = _bytes(figure, "png", Software=None, Description=digest(svg)) if pictures else b""
    return png, svg


def digest(svg: bytes) -> str:
    """SHA-256 of a drawing: equal for two that were drawn from equal numbers.

    Names of clipping regions count by their order alone: they hash places of axes, which the layout
    finds up to the last bits only.
    """
    names: dict[bytes, bytes] = {}
    text = NAMES.sub(lambda found: names.setdefault(found[0], b"%d" % len(names)), svg)
    return hashlib.sha256(text).hexdigest()


def digest_in(png: bytes) -> str:
    """The `digest` of the drawing that a PNG of `files_of` shows."""
    with PIL.Image.open(io.BytesIO(png)) as picture:
        return picture.info.get("Description", "")


def draw(entry: Mapping[str, Any], source: Source, pictures: bool = True) -> Drawn:
    """Draw one figure of the TOML file from the runs that lead, else from the next that hold it.

    Args:
        entry: its `[[figures]]` table; `kind` is one of `KINDS`, `every_run` asks for all runs,
            `prefer` for the run with this label before the one that leads.
        source: the study and what was measured.
        pictures: whether to make the PNG, too, half of the work.

    Raises:
        ValueError: if the kind is unknown.
    """
    if entry["kind"] not in KINDS:
        raise ValueError(f"Expected one of {sorted(KINDS)}. Received: kind={entry['kind']!r}")
    if "prefer" in entry:
        source = _preferring(source, entry["prefer"])
    tried = []
    for rank in [None] if entry.get("every_run") else source.ranks:
        tried.append(_draw(entry, dataclasses.replace(source, rank=rank), pictures))
        if tried[-1].measured:
            return tried[-1]
    return tried[0]


def _preferring(source: Source, label: str) -> Source:
    """A source whose sides begin with the run of a label; the others as they were ranked."""
    sides = {
        side: sorted(views, key=lambda view: view.label != label)
        for side, views in source.sides.items()
    }
    return dataclasses.replace(source, sides=sides)


def _draw(entry: Mapping[str, Any], source: Source, pictures: bool) -> Drawn:
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(7.2, 5.0), layout="constrained")
        try:
            captions = KINDS[entry["kind"]](figure, entry, source)
            png, svg = files_of(figure, pictures)
        finally:
            plt.close(figure)
    caption = "; ".join(captions) if captions else "nothing measured yet"
    return Drawn(entry["id"], entry["title"], caption, png, svg, bool(captions))


def draw_all(source: Source, pictures: bool = True) -> list[Drawn]:
    """Draw every figure of a study, see `draw`."""
    return [draw(entry, source, pictures) for entry in source.config.figures]
