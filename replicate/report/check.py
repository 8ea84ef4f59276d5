"""Whether README and the committed figures still say what the shipped records say."""

from __future__ import annotations

import re
from pathlib import Path

from replicate.report.figures import Drawn, digest, digest_in
from replicate.report.pages import study_page

BLOCK = re.compile(r"(<!-- from the records -->\n).*?(<!-- end -->)", flags=re.DOTALL)
# What looks like a measured share outside of that block; "95 %" intervals are a convention.
LOOKS_MEASURED = re.compile(r"(?<![\w.])(?:[01]\.\d{3,}|(?!95 %)\d+(?:\.\d+)? ?%)")


def with_block(readme: str, block: str) -> str:
    """README with its block of numbers replaced.

    Raises:
        ValueError: if README has not exactly one block.
    """
    if len(BLOCK.findall(readme)) != 1:
        raise ValueError(
            "Expected one block between '<!-- from the records -->' and '<!-- end -->' in README. "
            f"Received: {len(BLOCK.findall(readme))}"
        )
    return BLOCK.sub(lambda found: f"{found[1]}\n{block.strip()}\n\n{found[2]}", readme)


def check_readme(readme: str, block: str) -> list[str]:
    """What README says that the records do not: a stale block, or numbers outside of it."""
    wrong = []
    if with_block(readme, block) != readme:
        wrong.append("README: its block of numbers is not what the records give; run make publish")
    code = re.compile(r"```.*?```|`[^`\n]*`", flags=re.DOTALL)
    prose = code.sub("", BLOCK.sub("", readme))
    wrong += [f"README: {found[0]!r} is not from the records" for found in
              LOOKS_MEASURED.finditer(prose)]  # fmt: skip
    return wrong


def committed(page) -> list[Drawn]:
    """The figures of a study that `figures/` holds: measured ones, and charts of what is done."""
    charts = {entry["id"] for entry in page.config.figures if entry["kind"] == "flow"}
    return [figure for figure in page.figures if figure.measured or figure.id in charts]


def study_pages(pages) -> dict[str, str]:
    """`<module>/README.md` in `figures/` -> what the records give."""
    return {f"{page.module}/README.md": study_page(page, committed(page)) for page in pages}


def check_pages(pages, folder: Path) -> list[str]:
    """Pages of studies in `figures/` that are missing, or not what the records give."""
    wrong = []
    for name, text in study_pages(pages).items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            wrong.append(f"{path}: not what the records give; run make publish")
    return wrong


def check_figures(pages, folder: Path) -> list[str]:
    """Committed figures that are missing, left over, or not what the records give.

    Args:
        pages: the studies' pages, built from shipped records alone.
        folder: `figures/`, with a folder a study.
    """
    wrong = []
    for page in pages:
        drawn = {f"{figure.id}.png": figure.svg for figure in committed(page)}
        kept = {path.name: path for path in (folder / page.module).glob("*.png")}
        wrong += [f"{page.module}/{name}: not in {folder}" for name in sorted(drawn.keys() - kept)]
        wrong += [f"{path}: no record behind it" for name, path in sorted(kept.items())
                  if name not in drawn]  # fmt: skip
        for name in sorted(drawn.keys() & kept):
            if digest(drawn[name]) != digest_in(kept[name].read_bytes()):
                wrong.append(f"{kept[name]}: not what the records give; run make publish")
    return wrong
