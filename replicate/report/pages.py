"""REPORT.md and REPORT.html from what the studies' views hold."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import jinja2

from replicate.report import across, tables
from replicate.report.cells import CellResult, compare
from replicate.report.claim_entries import (
    ClaimEntry,
    claim_entries,
    counted,
    figure_name,
    with_links,
)
from replicate.report.claims import ClaimResult, judge, judge_view
from replicate.report.config import StudyConfig
from replicate.report.figure_base import Source
from replicate.report.figures import Drawn, draw_all
from replicate.report.history import margins_commit
from replicate.report.views import View, views_of
from replicate.runs.flags import PRESETS, preset_values
from replicate.runs.plan import duration, preset_trials, protocol_keys
from replicate.runs.publish import PUBLISHED
from replicate.runs.study import SOURCES, load_study

CELL_ORDER = ("reproduced", "not reproduced", "inconclusive", "calibration", "not run")
CLAIM_ORDER = ("supported", "contradicted", "inconclusive", "not run")
SECTIONS = {
    "studies": "Studies",
    "across": "What does synthetic data buy?",
    "claims": "Claims",
    "controls": "Controls",
    "numbers": "Reported numbers",
    "arms": "Further arms and runs",
    "choices": "Gaps, contradictions and choices",
    "figures": "Samples and figures",
    "log": "Deviations, failures, what was not run, future work",
}
SAYS = {"verdict": "verdicts", "indicative": "indicative only", "none": "no verdicts"}


@dataclasses.dataclass(frozen=True)
class StudyPage:
    """Everything that the page shows of a study."""

    config: StudyConfig
    views: list[View]
    sides: Mapping[str, list[View]]
    cells: list[CellResult]
    claims: list[ClaimResult]
    figures: list[Drawn]
    margins: str
    tables: dict[str, list[tables.Table]]

    @property
    def module(self) -> str:
        """The study's module name."""
        return self.config.module


def ranked(config: StudyConfig, views: list[View], side: str) -> list[View]:
    """The views of a side in the order in which they are asked for a number or a claim.

    The first with numbers for half of the claims leads, else the one with the most: a run at
    preset paper that has only begun does not take the place of a whole one at lite. What it has
    not run is looked for in the others, unless their kind gives no verdicts at all; what another
    may judge and the leading one may not is told by that other, see `cells.first_run`.
    """
    mine = [view for view in views if view.side == side and view.records]
    if not mine:
        return []
    leading = max(mine, key=lambda view: min(_tested(config, view), 0.5))
    rest = (view for view in mine if view is not leading and view.done and view.kind != "none")
    return [leading, *rest]


def _tested(config: StudyConfig, view: View) -> float:
    judged = judge_view(config, view)
    claims = [judged[claim.id] for claim in config.claims if not claim.control]
    return sum(each.verdict != "not run" for each in claims) / max(len(claims), 1)


def _other_tables(config: StudyConfig, views: list[View], shown: list[View]) -> list[tables.Table]:
    """Runs that are not the one printed for their side: numbers under their label, no verdict."""
    found = []
    for view in views:
        if view in shown or not view.done:
            continue
        rows = []
        for result in compare(config, {"it": [view]}):
            measured = result.sides["it"]
            if measured.interval:
                cell = result.cell
                text = tables.interval_text(measured.interval, measured.planned, cell.reported)
                rows.append((f"{cell.where}, {cell.label}", tables.number(cell.reported), text))
        title = f"Also run: {view.side}, {view.label}"
        name = re.sub(r"[^A-Za-z0-9_-]", "_", f"other_{view.side}_{view.label}")
        columns = ("point", "reported", view.label)
        found.append(tables.Table(name, title, columns, tuple(rows), True))
    return found


def build_study(
    config: StudyConfig, workdir: Path, shipped: Path, pictures: bool = True
) -> StudyPage:
    """Evaluate a study on the user's and the shipped records and draw its figures."""
    views = views_of("shipped", shipped, config) + views_of("yours", workdir, config)
    sides = {side: ranked(config, views, side) for side in tables.SIDES}
    shown = [found[0] for found in sides.values() if found]
    others = [view for found in sides.values() for view in found[1:]]
    cells, claims = compare(config, sides), judge(config, sides)
    figures = draw_all(Source(config, sides, shipped), pictures)
    gaps, contradictions, deviations, future_work = tables.log_tables(config)
    failures = tables.failures_table(views)
    not_run = tables.not_run_table(config, cells, claims)
    groups = {
        "claims": [tables.claims_table(claims, False), tables.claims_table(claims, True)],
        "cells": tables.cells_tables(config, cells),
        "arms": tables.extras_tables(config, shown, others) + _other_tables(config, views, shown),
        "choices": [gaps, contradictions],
        "log": [deviations, *[failures] * bool(failures.rows), not_run, future_work],
    }
    margins = margins_commit(config.path)
    return StudyPage(config, views, sides, cells, claims, figures, margins, groups)


def _replicates(view: View) -> str:
    done: dict[str, set[int]] = {}
    for record in view.done:
        done.setdefault(record.trial.stage, set()).add(record.trial.replicate)
    return ", ".join(f"{stage} {len(found)}" for stage, found in sorted(done.items())) or "-"


def _progress(view: View) -> str:
    """How many trials are done, of a preset of this package its extensions apart."""
    planned, done = {trial.key for trial in view.plan.trials}, {r.key for r in view.done}
    beyond = planned & _extensions(view.config.module, view.label)
    told = f"{len(done - beyond)} of {len(planned - beyond)}"
    if beyond:
        told += f", extensions {len(done & beyond)} of {len(beyond)}"
    return told + (f", {len(view.failed)} failed" if view.failed else "")


def _extensions(module: str, label: str) -> set[str]:
    """Keys of a preset's trials beyond the protocol; none of a plan that is no preset."""
    if module not in SOURCES or label not in PRESETS:
        return set()
    study = load_study(f"replicate.{module}")
    return {trial.key for trial in preset_trials(study, label)} - protocol_keys(study, label)


def _data(view: View) -> list[str]:
    """The data sets behind a view's finished trials, each with its route."""
    data = (record.data for record in view.done)
    return sorted({f"{each['name']} ({each['route']})" for each in data if each.get("route")})


def runs_table(pages: list[StudyPage]) -> tables.Table:
    """Every plan of every study: how far it is and what it rests on."""
    rows = []
    for page in pages:
        for view in page.views:
            routes = ", ".join(_data(view)) or "-"
            told = (SAYS[view.kind], _replicates(view), _progress(view))
            time = duration(view.elapsed_seconds)
            rows.append((page.module, view.side, view.label, *told, time, routes))
        if not page.views:
            rows.append((page.module, "-", "nothing run yet", "-", "-", "0", "-", "-"))
    columns = ("study", "side", "preset", "gives", "replicates", "trials done", "time", "data")
    return tables.Table("runs", "Runs", columns, tuple(rows))


def costs_table() -> tables.Table:
    """Predicted time of every study's protocol at the presets that are shipped."""
    rows, total = [], dict.fromkeys(PUBLISHED, 0.0)
    for name in SOURCES:
        study = load_study(f"replicate.{name}")
        cells = []
        for preset in PUBLISHED:
            trials = study.declare(preset_values(study, preset))
            seconds = sum(study.stages[trial.stage].seconds(trial) for trial in trials)
            total[preset] += seconds
            cells.append(duration(seconds))
        rows.append((name, *cells))
    rows.append(("all", *map(duration, total.values())))
    return tables.Table("costs", "Predicted time on two cores", ("study", *PUBLISHED), tuple(rows))


def _labels(page: StudyPage, side: str) -> list[str]:
    """The runs of a side that the page reads numbers and claims from, the leading one first."""
    read = {result.sides[side].label for result in [*page.cells, *page.claims]}
    return [view.label for view in page.sides[side] if view.label in read]


def counts_table(pages: list[StudyPage], kind: str) -> tables.Table:
    """Counts of verdicts on `"numbers"` or `"claims"`, a row a study and side that has a run."""
    order = CELL_ORDER if kind == "numbers" else CLAIM_ORDER
    rows = []
    for page in pages:
        claims = [result for result in page.claims if not result.claim.control]
        for side in tables.shown_sides([*page.cells, *page.claims]):
            found = tables.side_counts(page.cells if kind == "numbers" else claims, side, order)
            unscored = sum(n for name, n in found.items() if name not in order)
            labels = ", ".join(_labels(page, side))
            name = f"{side} ({labels})" if labels else "no run yet"
            rows.append((page.module, name, *(str(found[v]) for v in order), str(unscored)))
    title = "Reported numbers" if kind == "numbers" else "Claims"
    columns = ("study", "side", *order, "no verdict")
    return tables.Table(f"counts_{kind}", f"{title}: verdicts", columns, tuple(rows))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z]+", "-", text.split("(")[0].strip().lower())


def _cell_md(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=jinja2.select_autoescape(["html.j2"], default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "slug": _slug,
        "md": _cell_md,
        "figure_name": figure_name,
        "counted": counted,
        "base64": lambda data: base64.b64encode(data).decode(),
    }
    return environment


def _front(pages: list[StudyPage]) -> list[tables.Table]:
    return [counts_table(pages, kind) for kind in ("numbers", "claims")] + [runs_table(pages)]


def _totals(pages: list[StudyPage]) -> dict[str, str]:
    """How many studies, claims, controls and reported numbers the page has, in words."""
    controls = [result.claim.control for page in pages for result in page.claims]
    found = {"study": len(pages), "claim": controls.count(False), "control": controls.count(True)}
    found["reported number"] = sum(len(page.cells) for page in pages)
    return {noun: counted(n, noun) for noun, n in found.items()}


def _linked(page: StudyPage, entries: list[ClaimEntry]) -> list[tables.Table]:
    """Claims and controls as Markdown tables."""
    return [
        with_links(table, [e for e in entries if e.claim.control == control], page.module)
        for table, control in zip(page.tables["claims"], (False, True), strict=True)
    ]


def render(
    pages: list[StudyPage],
    template: str,
    over_all: across.Across,
    forest: Drawn | None,
    folder: Path,
) -> str:
    """Fill a template.

    Args:
        pages: the studies.
        template: `"report.md.j2"` or `"report.html.j2"`.
        over_all: differences over all studies.
        forest: their figure.
        folder: where the page will lie, for links to records.
    """
    claims = {p.module: claim_entries(p.config, p.claims, p.sides, folder) for p in pages}
    stand_ins = [f"{p.module}, {v.side}, {v.label}" for p in pages for v in p.views if v.stand_in]
    return (
        _environment()
        .get_template(template)
        .render(
            pages=pages,
            claims=claims,
            linked={page.module: _linked(page, claims[page.module]) for page in pages},
            totals=_totals(pages),
            sections=SECTIONS,
            front=_front(pages),
            stand_ins=stand_ins,
            across=across.tables(over_all),
            forest=forest,
        )
    )


def study_page(page: StudyPage, shown: list[Drawn]) -> str:
    """A study's own page beside its committed figures, as Markdown.

    Args:
        page: the study, of shipped records alone.
        shown: its committed figures.
    """
    return _environment().get_template("study.md.j2").render(page=page, shown=shown)


def readme_block(pages: list[StudyPage], over_all: across.Across) -> str:
    """The part of README that holds numbers, as Markdown."""
    shown = [
        dataclasses.replace(table, rows=tuple(r for r in table.rows if "not run" not in r[3]))
        for table in across.tables(over_all, sides=("shipped",))
    ]
    template = _environment().get_template("readme.md.j2")
    return template.render(front=_front(pages), across=shown, costs=costs_table())
