"""Numbers and tests at full precision, and any table, as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replicate.report.cells import CellResult
from replicate.report.claims import ClaimResult
from replicate.report.evidence import link
from replicate.report.views import View, labelled


def to_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as CSV text."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


CELL_FIELDS = (
    "block", "where", "point", "provenance", "reported", "reported_sd", "reported_n", "margin",
    "side", "run", "mean", "low", "high", "n", "planned", "verdict", "reason",
)  # fmt: skip


def cell_rows(results: Iterable[CellResult]) -> list[tuple]:
    """Full-precision rows of `CELL_FIELDS`, one a cell and side."""
    rows = []
    for result in results:
        cell = result.cell
        sd = "" if cell.sd is None else cell.sd
        head = (cell.block, cell.where, cell.label, cell.provenance, cell.reported, sd, cell.n)
        for side, m in result.sides.items():
            i = m.interval
            numbers = (i.mean, i.low, i.high, i.n) if i else ("", "", "", 0)
            tail = (*numbers, m.planned, m.verdict, m.reason)
            rows.append((*head, cell.margin, side, m.label, *tail))
    return rows


RECORD_FIELDS = ("claim", "side", "run", "arm", "replicate", "key", "value", "file")


def record_rows(
    results: Iterable[ClaimResult], views: Mapping[str, Sequence[View]], folder: Path
) -> list[tuple]:
    """Rows of `RECORD_FIELDS`, one a record of an arm of a claim; files as links from `folder`."""
    return [
        (
            result.claim.id,
            side,
            judged.label,
            each.arm,
            *record,
            link(labelled(views[side], judged.label), record[1], folder),
        )
        for result in results
        for side, judged in result.sides.items()
        for each in judged.evidence
        for record in each.records
    ]


CLAIM_FIELDS = (
    "claim", "primary", "side", "run", "test", "effect", "low", "high", "units", "n",
    "p_for", "p_against", "verdict", "reason",
)  # fmt: skip


def claim_rows(results: Iterable[ClaimResult]) -> list[tuple]:
    """Full-precision rows of `CLAIM_FIELDS`, one a claim, side and test."""
    rows = []
    for result in results:
        for side, judged in result.sides.items():
            head = (result.claim.id, result.claim.primary, side, judged.label)
            tail = (judged.n, *(judged.p or ("", "")), judged.verdict, judged.reason)
            for name, e in judged.effects:
                rows.append((*head, name, e.effect, e.low, e.high, e.n, *tail))
            if not judged.effects:
                rows.append((*head, "", "", "", "", "", *tail))
    return rows
