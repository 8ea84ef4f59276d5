"""Curves of a StyleGAN2 training over kimg, as CSV files and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from replicate.runs.files import write_atomic

LOSSES = {"g_loss": "generator", "d_loss": "discriminator"}
ADAPTED = {"sign_real": "mean sign of D on real images", "augment_p": "probability of augmentation"}


def write_rows(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Write rows of numbers as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: f"{value:.8g}" for name, value in row.items()} for row in rows])
    write_atomic(path, lambda temporary: temporary.write_text(text.getvalue()))


def read_rows(path: Path) -> list[dict[str, float]]:
    """Rows that `write_rows` wrote; none if there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def draw_curves(folder: Path, target: Path) -> None:
    """Draw what `curves.csv` and the `frechet_….csv` of a run's folder hold.

    Args:
        folder: folder of the run.
        target: picture to write, .png or .svg.

    Raises:
        FileNotFoundError: if the folder holds no curves.
        ValueError: if `target` is neither kind of picture.
    """
    if target.suffix not in (".png", ".svg"):
        raise ValueError(f"Expected a .png or .svg to write. Received: {target}")
    rows = read_rows(folder / "curves.csv")
    if not rows:
        raise FileNotFoundError(f"Expected the folder of a training. Received: {folder}")
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "replicate", "font.size": 9}):
        figure = Figure((10, 3), layout="constrained", dpi=120)
        left, middle, right = figure.subplots(1, 3)
        _lines(left, rows, LOSSES, "loss")
        _lines(middle, rows, ADAPTED, "augmentation")
        for path in sorted(folder.glob("frechet_*.csv")):
            extractor = path.stem.removeprefix("frechet_")
            name = {path.stem: f"features of {extractor}"}
            _lines(right, read_rows(path), name, "Fréchet distance", marker="o")
        if not right.lines:
            right.text(0.5, 0.5, "not measured", ha="center", transform=right.transAxes)
        picture = io.BytesIO()
        metadata = {"Date": None} if target.suffix == ".svg" else {}
        figure.savefig(picture, format=target.suffix[1:], metadata=metadata)
    write_atomic(target, lambda temporary: temporary.write_bytes(picture.getvalue()))


def _lines(axes, rows, names, title, marker=None) -> None:
    kimg = [row["kimg"] for row in rows]
    for name, label in names.items():
        axes.plot(kimg, [row[name] for row in rows], label=label, marker=marker, markersize=3)
    axes.set_title(title)
    axes.set_xlabel("thousands of images (kimg)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
