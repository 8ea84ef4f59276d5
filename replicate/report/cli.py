"""The command line of the report; imports nothing heavy before the arguments are understood."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from replicate.runs.files import nearest_existing, project_root, write_atomic

WORKDIR = "runs"  # may be missing: nothing has been run yet


def parser() -> argparse.ArgumentParser:
    """The flags of `python -m replicate.report`."""
    made = argparse.ArgumentParser(
        prog="python -m replicate.report",
        description="Write REPORT.md, REPORT.html, tables and figures from finished records.",
    )
    made.add_argument("--workdir", default=WORKDIR, help="your records (default: runs)")
    made.add_argument("--shipped", help="shipped records (default: the project's results/)")
    made.add_argument("--out", default=".", help="where the report is written (default: .)")
    made.add_argument("--study", action="append", help="one study only; may be repeated")
    kept = "the project's figures/ with their pages, and README.md's numbers, by shipped records"
    made.add_argument("--publish", action="store_true", help=f"write {kept}; no report")
    made.add_argument("--check", action="store_true", help=f"compare {kept}; no report")
    made.add_argument("--project", help="folder of figures/ and README.md (default: the project)")
    made.add_argument("--configs", help="folder of <study>.toml (default: paper_configs/)")
    return made


def _write(path: Path, content: str | bytes) -> None:
    data = content.encode() if isinstance(content, str) else content
    write_atomic(path, lambda temporary: temporary.write_bytes(data))


def _write_tables(tables, folder: Path) -> None:
    from replicate.report import csv_files
    from replicate.report.latex_files import to_latex

    for table in tables:
        _write(folder / f"{table.id}.csv", csv_files.to_csv(table.columns, table.rows))
        _write(folder / f"{table.id}.tex", to_latex(table))


def _write_study(page, out: Path) -> None:
    from replicate.report import csv_files

    folder = out / "report" / page.module
    for group in page.tables.values():
        _write_tables(group, folder)
    _write(
        folder / "cells.csv",
        csv_files.to_csv(csv_files.CELL_FIELDS, csv_files.cell_rows(page.cells)),
    )
    rows = csv_files.claim_rows(page.claims)
    _write(folder / "claim_tests.csv", csv_files.to_csv(csv_files.CLAIM_FIELDS, rows))
    records = csv_files.record_rows(page.claims, page.sides, out)
    _write(folder / "claim_records.csv", csv_files.to_csv(csv_files.RECORD_FIELDS, records))
    for figure in page.figures:
        _write(folder / f"{figure.id}.png", figure.png)
        _write(folder / f"{figure.id}.svg", figure.svg)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report; returns 0, or 2 after one clear line that says why not."""
    flags = parser().parse_args(argv)
    try:
        return _report(flags)
    except (ValueError, OSError) as error:
        print(f"replicate.report: {error}", file=sys.stderr)
        return 2


def _check_folders(flags: argparse.Namespace) -> None:
    """Refuse a folder that was given and is not there: a misspelt one would look empty."""
    for name in ("workdir", "shipped", "configs", "project"):
        given = getattr(flags, name)
        if given is not None and (name, given) != ("workdir", WORKDIR) and not os.path.isdir(given):
            raise FileNotFoundError(f"Expected --{name} to be a folder. Received: {given!r}")


def _check_writable(out: Path) -> None:
    """Refuse a folder for the report that cannot be made or written, before it is worked out."""
    existing = nearest_existing(out)
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise OSError(f"Expected --out to be a folder that can be written. Received: {str(out)!r}")


def _report(flags: argparse.Namespace) -> int:
    from replicate.report import across
    from replicate.report.config import load_all
    from replicate.report.pages import build_study, render

    _check_folders(flags)
    folder = Path(flags.configs) if flags.configs else project_root() / "paper_configs"
    shipped = Path(flags.shipped) if flags.shipped else project_root() / "results"
    out, committed = Path(flags.out), flags.publish or flags.check
    if committed and flags.study:
        raise ValueError(
            "Expected --publish and --check of all studies, whose numbers README holds. "
            f"Received: --study={','.join(flags.study)}"
        )
    if not committed:
        _check_writable(out)
    workdir = Path(os.devnull) if committed else Path(flags.workdir)
    configs = load_all(folder, flags.study)
    pages = [build_study(config, workdir, shipped, not flags.check) for config in configs]
    over_all = across.measure(folder / "across" / "effects.toml", pages)
    if committed:
        return _keep(flags, pages, over_all)
    for page in pages:
        _write_study(page, out)
    _write_tables(across.tables(over_all), out / "report" / "across")
    forest = across.drawn(over_all)
    if forest:
        _write(out / "report" / "across" / "across.png", forest.png)
        _write(out / "report" / "across" / "across.svg", forest.svg)
    for name in ("REPORT.md", "REPORT.html"):
        _write(out / name, render(pages, f"{name.lower()}.j2", over_all, forest, out))
    print(f"wrote {out / 'REPORT.html'}, {out / 'REPORT.md'} and {out / 'report'}/")
    return 0


def _keep(flags: argparse.Namespace, pages, over_all) -> int:
    """Write figures/ and README's numbers, or compare them with what the records give."""
    from replicate.report import check
    from replicate.report.pages import readme_block

    project = Path(flags.project) if flags.project else project_root()
    readme, figures = project / "README.md", project / "figures"
    block = readme_block(pages, over_all)
    if flags.check:
        wrong = check.check_readme(readme.read_text(), block)
        wrong += check.check_figures(pages, figures) + check.check_pages(pages, figures)
        print("\n".join(wrong) or "README.md and figures/ are what the shipped records give")
        return int(bool(wrong))
    for page in pages:
        for figure in check.committed(page):
            _write(figures / page.module / f"{figure.id}.png", figure.png)
    for name, text in check.study_pages(pages).items():
        _write(figures / name, text)
    _write(readme, check.with_block(readme.read_text(), block))
    print(f"wrote {figures}/ and the numbers in {readme}")
    return 0
