"""Claims as the page shows them: what each side found, its figures, its numbers, its records."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from replicate.report.claims import ClaimResult, Judged
from replicate.report.config import Claim, StudyConfig
from replicate.report.evidence import Evidence, link
from replicate.report.tables import Table, effect_lines, number, shown_sides, verdict_name
from replicate.report.views import View, labelled

LISTED = 60  # records of a claim that are listed one by one; more stand in the CSV file alone
NAMED = re.compile(r"(Figure|Table)s? (\d+(?:(?:, | and | to )\d+)*)")


@dataclasses.dataclass(frozen=True)
class ArmEntry:
    """The records of an arm: `(first 8 digits of the key, value, link)` each."""

    arm: str
    mean: str
    records: tuple[tuple[str, str, str], ...]

    @property
    def file(self) -> str:
        """Link to the file of many records that holds them all; empty if each has its own."""
        files = {target for _, _, target in self.records}
        shared = len(files) == 1 and next(iter(files)).endswith(".jsonl")
        return files.pop() if shared else ""


@dataclasses.dataclass(frozen=True)
class SideEntry:
    """What a side says of a claim.

    Args:
        side: `"shipped"` or `"yours"`.
        run: the plan's label; empty where the side has no plan.
        verdict: as shown.
        reason: what qualifies it.
        lines: effects, number of units and p value.
        n: number of records behind it.
        arms: those records, arm by arm.
    """

    side: str
    run: str
    verdict: str
    reason: str
    lines: tuple[str, ...]
    n: int
    arms: tuple[ArmEntry, ...]

    @property
    def listed(self) -> bool:
        """Whether the page lists the records one by one."""
        return self.n <= LISTED


@dataclasses.dataclass(frozen=True)
class ClaimEntry:
    """A claim on the page.

    Args:
        claim: the claim.
        anchor: its stable name on the page.
        figures: ids of the figures that show what it is about.
        numbers: `(name, id of the table)` of the reported tables that it names.
        sides: what each side that has a plan says.
    """

    claim: Claim
    anchor: str
    figures: tuple[str, ...]
    numbers: tuple[tuple[str, str], ...]
    sides: tuple[SideEntry, ...]


def claim_entries(
    config: StudyConfig,
    results: Iterable[ClaimResult],
    views: Mapping[str, Sequence[View]],
    folder: Path,
) -> list[ClaimEntry]:
    """Every claim and control of a study.

    Args:
        config: the study.
        results: its claims, judged.
        views: the views of each side.
        folder: where the page lies, for links to records.
    """
    results = list(results)
    shown = shown_sides(results)
    return [
        ClaimEntry(
            result.claim,
            anchor(config.module, result.claim),
            figures_of(config, result.claim),
            _numbers_of(config, result.claim),
            tuple(_side(side, result.sides[side], views[side], folder) for side in shown),
        )
        for result in results
    ]


def _side(side: str, judged: Judged, views: Sequence[View], folder: Path) -> SideEntry:
    arms = tuple(
        _arm(evidence, labelled(views, judged.label), folder) for evidence in judged.evidence
    )
    lines, n = tuple(effect_lines(judged)), len(judged.keys)
    return SideEntry(side, judged.label, verdict_name(judged), judged.reason, lines, n, arms)


def _arm(evidence: Evidence, view: View, folder: Path) -> ArmEntry:
    size = evidence.mean
    records = tuple(
        (key[:8], number(value, size), link(view, key, folder))
        for _, key, value in evidence.records
    )
    return ArmEntry(evidence.arm, number(size), records)


def anchor(module: str, claim: Claim) -> str:
    """`mnist_cvae-C1`: where a claim stands on the page; `S13, substitute` ends in a hyphen's."""
    return f"{module}-{re.sub(r'[^A-Za-z0-9]+', '-', claim.id)}"


def named(text: str) -> set[tuple[str, int]]:
    """What `"Sections 4 and 5; Figures 4 to 6; Table 2"` names: four figures and tables."""
    found = set()
    for kind, numbers in NAMED.findall(text):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", numbers):
            found |= {(kind, n) for n in range(int(first), int(last or first) + 1)}
    return found


def series_in(value: Any) -> Iterable[str]:
    """Names of the series that a figure's entry shows, without its lines for reference."""
    if isinstance(value, Mapping):
        own = value.get("series", [])
        yield from [own] if isinstance(own, str) else own
        value = [part for name, part in value.items() if name not in ("series", "lines")]
    if isinstance(value, list):
        for part in value:
            yield from series_in(part)


def _draws(entry: Mapping[str, Any], config: StudyConfig, series: Iterable[str]) -> bool:
    """Whether a figure shows one of the series, or the metric of one from the same trials.

    The study's base settings are implied on either side, as wherever trials are selected.
    """
    if set(series) & set(series_in(entry)):
        return True
    source = entry.get("source", {})
    shown = {**config.base, **source.get("settings", {})}.items()
    selectors = [config.series[name].selector for name in series]
    return any(
        selector.metric == entry.get("metric")
        and selector.stage == source.get("stage")
        and shown <= {**config.base, **selector.settings}.items()
        for selector in selectors
    )


def figures_of(config: StudyConfig, claim: Claim) -> tuple[str, ...]:
    """The figures that the claim names or that show what its tests compare, in page order."""
    numbers = {n for kind, n in named(claim.where) if kind == "Figure"}
    series = {
        part["series"] for test in claim.tests for part in test.values() if isinstance(part, dict)
    }
    found = []
    for entry in config.figures:
        own = re.fullmatch(r"fig(\d+)[a-z]?", entry["id"])
        shown = {name for panel in entry.get("panels", []) for name in panel.get("claims", [])}
        if (own and int(own[1]) in numbers) or claim.id in shown or _draws(entry, config, series):
            found.append(entry["id"])
    return tuple(found)


def _numbers_of(config: StudyConfig, claim: Claim) -> tuple[tuple[str, str], ...]:
    """The reported tables that a claim names, as far as they are a block of numbers."""
    blocks: dict[tuple[str, int], str] = {}
    for cell in config.cells:
        for name in named(cell.where):
            blocks.setdefault(name, f"cells_{cell.block}")
    return tuple(
        (f"Table {n}", blocks[kind, n])
        for kind, n in sorted(named(claim.where) & blocks.keys())
        if kind == "Table"
    )


def figure_name(figure_id: str) -> str:
    """`"Figure 3"` for `fig3`, `"Figure 14a"` for `fig14a`; figures of ours keep their id."""
    found = re.fullmatch(r"fig(\d+[a-z]?)", figure_id)
    return f"Figure {found[1]}" if found else figure_id.replace("_", " ")


def counted(n: int, noun: str) -> str:
    """`"1 record"`, `"2 records"`, `"5 studies"`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n} {noun if n == 1 else plural}"


def with_links(table: Table, entries: Iterable[ClaimEntry], module: str) -> Table:
    """A table of claims for Markdown: anchors, and where figures and records are.

    Args:
        table: the claims, or the controls.
        entries: theirs, in the same order.
        module: the study, whose files lie in `report/<module>/`.
    """
    rows = []
    for row, entry in zip(table.rows, entries, strict=True):
        see = [f"[{figure_name(f)}](report/{module}/{f}.png)" for f in entry.figures]
        records = f"report/{module}/claim_records.csv"
        see += [f"[{s.side}: {counted(s.n, 'record')}]({records})" for s in entry.sides if s.n]
        head = f'<a id="{entry.anchor}"></a>{row[0]}'
        rows.append((head, *row[1:], "\n".join(see) or "-"))
    return dataclasses.replace(table, columns=(*table.columns, "see"), rows=tuple(rows))
