"""Figures of a report redrawn, as its TOML file asks for them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
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


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure as files, with what its caption must say.

    Args:
        id: as in the TOML file.
        title: what it shows.
        caption: preset, number of runs and data route of everything measured in it.
        png: the file's bytes.
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


def files_of(figure) -> tuple[bytes, bytes]:
    """A figure as PNG and SVG; the PNG names the SVG's SHA-256, by which `content_of` knows it."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out already
    svg = _bytes(figure, "svg", Date=None)
    digest = hashlib.sha256(svg).hexdigest()
    return _bytes(figure, "png", Software=None, Description=digest), svg


def content_of(png: bytes) -> str:
    """What a PNG of `files_of` shows: equal for two that were drawn from equal numbers."""
    with PIL.Image.open(io.BytesIO(png)) as picture:
        return picture.info.get("Description", "")


def draw(entry: Mapping[str, Any], source: Source) -> Drawn:
    """Draw one figure of the TOML file.

    Args:
        entry: its `[[figures]]` table; `kind` is one of `KINDS`, `every_run` asks for other runs.
        source: the study and what was measured.

    Raises:
        ValueError: if the kind is unknown.
    """
    if entry["kind"] not in KINDS:
        raise ValueError(f"Expected one of {sorted(KINDS)}. Received: kind={entry['kind']!r}")
    if not entry.get("every_run"):
        source = dataclasses.replace(source, others=())
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(7.2, 5.0), layout="constrained")
        try:
            captions = KINDS[entry["kind"]](figure, entry, source)
            png, svg = files_of(figure)
        finally:
            plt.close(figure)
    caption = "; ".join(captions) if captions else "nothing measured yet"
    return Drawn(entry["id"], entry["title"], caption, png, svg, bool(captions))


def draw_all(source: Source) -> list[Drawn]:
    """Draw every figure of a study."""
    return [draw(entry, source) for entry in source.config.figures]
