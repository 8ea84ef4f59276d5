"""Blocks of reported numbers that are points of curves: a row a curve in place of a row a point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from replicate.report.cells import CellResult, Measured

NOTE = "A row a curve; every point, with its interval and verdict, stands in cells.csv."


def _verdicts(points: Sequence[Measured]) -> str:
    counts: dict[str, int] = {}
    for point in points:
        name = {"none": "no verdict"}.get(point.verdict, point.verdict)
        counts[name] = counts.get(name, 0) + 1
    told = ", ".join(f"{n} {name}" for name, n in counts.items())
    absent = {point.reason for point in points if point.verdict == "not run"}
    said = Counter(point.reason for point in points if point.reason)
    reasons = [reason for reason, n in said.items() if reason in absent or 2 * n > len(points)]
    return f"{told} ({'; '.join(reasons)})" if reasons else told


def _side(members: Sequence[CellResult], side: str) -> tuple[str, str]:
    points = [member.sides[side] for member in members]
    found = [(m.cell, p) for m, p in zip(members, points, strict=True) if p.interval]
    if not found:
        return "-", _verdicts(points)
    means = [point.interval.mean for _, point in found]
    distance = sum(abs(point.interval.mean - cell.reported) for cell, point in found) / len(found)
    counts = sorted({point.interval.n for _, point in found})
    n = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "")
    text = f"{means[0]:.4f} to {means[-1]:.4f}, {len(found)} points, {n}"
    return f"{text}; mean distance {distance:.4f}", _verdicts(points)


def line_rows(members: Sequence[CellResult], sides: Sequence[str]) -> list[tuple[str, ...]]:
    """A row for each curve among the points of a block.

    Args:
        members: the points, those of a curve in order.
        sides: the sides to show.

    Returns:
        Rows of: curve; first and last reported number; range of margins; for each side first and
        last mean with the mean distance from the reported points, and how many have which verdict.
    """
    lines: dict[str, list[CellResult]] = {}
    for member in members:
        lines.setdefault(member.cell.line, []).append(member)
    rows = []
    for line, points in lines.items():
        cells = [point.cell for point in points]
        reported = f"{cells[0].reported:.4f} to {cells[-1].reported:.4f}, {len(cells)} points"
        margins = [cell.margin for cell in cells]
        measured = [text for side in sides for text in _side(points, side)]
        rows.append((line, reported, f"{min(margins):.4f} to {max(margins):.4f}", *measured))
    return rows
