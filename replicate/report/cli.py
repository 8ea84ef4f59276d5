"""The command line of the report; imports nothing heavy before the arguments are understood."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from replicate.runs.files import project_root, write_atomic


def parser() -> argparse.ArgumentParser:
    """The flags of `python -m replicate.report`."""
    made = argparse.ArgumentParser(
        prog="python -m replicate.report",
        description="Write REPORT.md, REPORT.html, tables and figures from finished records.",
    )
    made.add_argument("--workdir", default="runs", help="your records (default: runs)")
    made.add_argument("--shipped", help="shipped records (default: the project's results/)")
    made.add_argument("--out", default=".", help="where the report is written (default: .)")
    made.add_argument("--study", action="append", help="one study only; may be repeated")
    made.add_argument("--figures_dir", help="also write the measured figures as PNG here")
    made.add_argument("--configs", help="folder of <study>.toml (default: paper_configs/)")
    return made


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def _write_study(page, out: Path, figures_dir: Path | None) -> None:
    from replicate.report import csv_files
    from replicate.report.latex_files import to_latex

    folder = out / "report" / page.module
    for group in page.tables.values():
        for table in group:
            _write(folder / f"{table.id}.csv", csv_files.to_csv(table.columns, table.rows))
            _write(folder / f"{table.id}.tex", to_latex(table))
    _write(
        folder / "cells.csv",
        csv_files.to_csv(csv_files.CELL_FIELDS, csv_files.cell_rows(page.cells)),
    )
    rows = csv_files.claim_rows(page.claims)
    _write(folder / "claim_tests.csv", csv_files.to_csv(csv_files.CLAIM_FIELDS, rows))
    for figure in page.figures:
        _write(folder / f"{figure.id}.png", figure.png)
        _write(folder / f"{figure.id}.svg", figure.svg)
        if figures_dir and figure.measured:
            _write(figures_dir / page.module / f"{figure.id}.png", figure.png)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; returns 0, or 2 after one clear line where an argument is wrong."""
    flags = parser().parse_args(argv)
    try:
        return _report(flags)
    except (ValueError, FileNotFoundError) as error:
        print(f"replicate.report: {error}", file=sys.stderr)
        return 2


def _report(flags: argparse.Namespace) -> int:
    from replicate.report.config import load_all
    from replicate.report.pages import build_study, render

    configs = load_all(flags.configs or project_root() / "paper_configs", flags.study)
    shipped = Path(flags.shipped) if flags.shipped else project_root() / "results"
    out = Path(flags.out)
    figures_dir = Path(flags.figures_dir) if flags.figures_dir else None
    pages = []
    for config in configs:
        page = build_study(config, Path(flags.workdir), shipped)
        _write_study(page, out, figures_dir)
        pages.append(page)
    _write(out / "REPORT.md", render(pages, "report.md.j2"))
    _write(out / "REPORT.html", render(pages, "report.html.j2"))
    print(f"wrote {out / 'REPORT.html'}, {out / 'REPORT.md'} and {out / 'report'}/")
    return 0
