"""Tables of the report: built once, written as CSV, Markdown and HTML."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from replicate.evaluation.held_out import widened
from replicate.evaluation.hypotheses import Effect
from replicate.evaluation.statistics import Interval, mean_interval
from replicate.report.cells import CellResult, Measured
from replicate.report.claims import ClaimResult, Judged
from replicate.report.config import Cell, Selector, StudyConfig, format_settings
from replicate.report.curve_tables import NOTE, line_rows
from replicate.report.views import View, first_line

SIDES = ("shipped", "yours")


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under a title.

    Args:
        id: name of its CSV file and HTML anchor.
        title: heading.
        columns: names of the columns; a column called `"verdict"` is marked in HTML.
        rows: one tuple of text a row, as long as `columns`.
        folded: whether HTML shows it folded.
        note: a sentence under the heading.
    """

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False
    note: str = ""


def number(value: float, like: float | None = None) -> str:
    """A number with the digits that suit its size; `like` sets the size for a whole row."""
    size = abs(value if like is None else like)
    if math.isnan(value):
        return "-"
    return f"{value:.4f}" if size < 2 else f"{value:.2f}"


def interval_text(interval: Interval | None, planned: int, like: float | None = None) -> str:
    """`0.9804 [0.9790, 0.9818], n = 10`; the interval is left out for a single value."""
    if interval is None:
        return "-"
    text = number(interval.mean, like)
    if not math.isnan(interval.low):
        text += f" [{number(interval.low, like)}, {number(interval.high, like)}]"
    runs = f"n = {interval.n}" if interval.n == planned else f"n = {interval.n} of {planned}"
    return f"{text}, {runs}"


def verdict_name(side: Measured | Judged) -> str:
    """A verdict as it is shown."""
    return {"none": "no verdict"}.get(side.verdict, side.verdict)


def _verdict(side: Measured | Judged) -> str:
    shown = verdict_name(side)
    return f"{shown} ({side.reason})" if side.reason else shown


def _measured(side: Measured, cell: Cell) -> tuple[str, str]:
    text = interval_text(side.interval, side.planned, cell.reported)
    if cell.sd is not None and side.sd is not None:
        text += f", SD {number(side.sd, cell.reported)}"
    return text, _verdict(side)


def shown_sides(results: Iterable[CellResult | ClaimResult]) -> tuple[str, ...]:
    """The sides that have a plan; the first one where none has."""
    results = list(results)
    planned = [side for side in SIDES if any(result.sides[side].label for result in results)]
    return tuple(planned or SIDES[:1])


def _sided(sides: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for side in sides for name in (side, "verdict"))


def cells_tables(config: StudyConfig, results: Iterable[CellResult]) -> list[Table]:
    """One table a reported figure or table."""
    blocks: dict[str, list[CellResult]] = {}
    results = list(results)
    shown = shown_sides(results)
    for result in results:
        blocks.setdefault(result.cell.block, []).append(result)
    tables = []
    for block, members in blocks.items():
        rows = []
        for result in members:
            cell = result.cell
            spread = f" (SD {number(cell.sd, cell.reported)})" if cell.sd is not None else ""
            reported = f"{number(cell.reported)}{spread}, n = {cell.n}"
            margin = number(cell.margin, cell.reported)
            sides = [text for side in shown for text in _measured(result.sides[side], cell)]
            rows.append((cell.label, reported, margin, *sides))
        first = members[0].cell
        columns = ("point", "reported", "margin", *_sided(shown))
        title = f"{first.where}: {config.blocks[block]}"
        note = f"Provenance of the reported numbers: {first.provenance.replace('_', ' ')}."
        if first.line:
            rows, note = line_rows(members, shown), f"{note} {NOTE}"
        tables.append(Table(f"cells_{block}", title, columns, tuple(rows), len(rows) > 5, note))
    return tables


EFFECTS = {
    "paired_difference": ("mean difference", "+.4f"),
    "gain": ("mean gain", "+.3f"),
    "threshold": ("mean", ".4f"),
    "equivalence": ("mean", ".4f"),
    "spearman": ("rank correlation", ".3f"),
    "all_above": ("lowest difference", "+.4f"),
    "all_between": ("lowest distance", "+.4f"),
    "spread_ratio": ("ratio of SDs", ".2f"),
    "rank_association": ("rank correlation", ".3f"),
    "sign_test": ("share positive", ".2f"),
    "monotone": ("smallest step", "+.4f"),
    "ratio": ("mean ratio", ".3g"),
    "accuracy_difference": ("mean difference", "+.4f"),
    "accuracy_equivalence": ("mean", ".4f"),
    "accuracy_threshold": ("mean", ".4f"),
}


def _effect(name: str, effect: Effect) -> str:
    title, form = EFFECTS.get(name, (name, ".4f"))
    text = f"{title} {effect.effect:{form}}"
    if not math.isnan(effect.low):
        text += f" [{effect.low:{form}}, {effect.high:{form}}]"
    return text + (f", {effect.note}" if effect.note else "")


def p_text(p_for: float, p_against: float) -> str:
    """The smaller of two adjusted p values, `"p = 0.012"` or `"p against = 0.012"`."""
    name, p = ("p", p_for) if p_for <= p_against else ("p against", p_against)
    return f"{name} < 0.0001" if p < 1e-4 else f"{name} = {p:.2g}"


def effect_lines(side: Judged) -> list[str]:
    """What the tests of a claim gave: a line each, then the number of units and the p value."""
    lines = [_effect(name, effect) for name, effect in side.effects]
    shared = f" on {side.generators} generators" if side.generators else ""
    return lines + ([f"n = {side.n}{shared}; {p_text(*side.p)}"] if side.p else [])


def claims_table(results: Iterable[ClaimResult], control: bool) -> Table:
    """The claims of a study, or its controls."""
    rows, results = [], list(results)
    shown = shown_sides(results)
    for result in results:
        claim = result.claim
        if claim.control != control:
            continue
        judged = [result.sides[side] for side in shown]
        sides = [t for j in judged for t in ("\n".join(effect_lines(j)) or "-", _verdict(j))]
        name = f"{claim.id}\nprimary" if claim.primary else claim.id
        on_reported = f"{claim.reported}\n({claim.on_reported})"
        statement = f"{claim.statement}\n({claim.where})"
        rows.append((name, statement, on_reported, claim.estimand, *sides))
    columns = ("", "claim", "reported", "tested", *_sided(shown))
    if control:
        return Table("controls", "Controls", columns, tuple(rows))
    return Table("claims", "Claims", columns, tuple(rows))


def _groups(view: View, selector: Selector, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of an extra: settings `by`, of the values in `only`, sorted, first by `order`."""
    points, order = {}, entry.get("order", [])
    for trial in view.trials(selector):
        point = {name: trial.settings[name] for name in entry["by"] if name in trial.settings}
        if all(point.get(name) in kept for name, kept in entry.get("only", {}).items()):
            points[repr(sorted(point.items()))] = point

    def place(value: Any) -> tuple:
        return (order.index(value) if value in order else -1, str(type(value)), value)

    return sorted(points.values(), key=lambda point: tuple(map(place, point.values())))


def extras_tables(
    config: StudyConfig, views: Iterable[View], others: Iterable[View] = ()
) -> list[Table]:
    """Numbers without a reported counterpart, a row a point.

    A point is read from the first of `views` and `others` that has run it at a preset which gives
    verdicts, else from the first that has run it, as numbers and claims are. With `metric`, the
    same points under the base settings stand beside; with `metrics`, a column each. With
    `every_run`, all runs give rows. Where `n_test` is given they are accuracies on so many images;
    it is a number, or the metric by which each record says it, or metric -> either for some.
    """
    views, others = list(views), list(others)
    return [
        _metrics_table(entry, views, others)
        if "metrics" in entry
        else _arm_table(entry, views, others)
        for entry in config.extras
    ]


def _extra(entry: Mapping[str, Any], columns: tuple[str, ...], rows: list) -> Table:
    rows = rows or [("-", "-", "-", "not run", *["-"] * (len(columns) - 4))]
    title = f"{entry['title']}: {entry['what']}"
    return Table(f"extra_{entry['id']}", title, columns, tuple(rows), len(rows) > 5)


def _measured_rows(
    entry: Mapping[str, Any], rows: list, views: list[View], others: list[View]
) -> list:
    """One row of each point of a side, see `extras_tables`; of points not run that of `views`."""
    kinds = {(view.side, view.label): view.kind for view in views + others}
    spare = {(view.side, view.label) for view in others}
    asked = slice(3, None if "metrics" in entry else 4)  # base settings alone are no measurement
    run = [row for row in rows if any(", n = " in text for text in row[asked])]
    if entry.get("every_run"):
        return run or rows
    chosen = {}
    for row in sorted(run, key=lambda row: kinds[row[:2]] != "verdict"):  # keeps their order
        chosen.setdefault((row[0], row[2]), row)

    def kept(row):
        best = chosen.get((row[0], row[2]))
        return best is row or (best is None and row[:2] not in spare)

    return [row for row in rows if kept(row)]


def _arm_table(entry: Mapping[str, Any], views: list[View], others: list[View]) -> Table:
    differs = tuple(entry.get("differs", ()))
    arm = Selector(entry["stage"], entry.get("settings", {}), entry["metric"], differs=differs)
    rows = []
    for view in views + others:
        for point in _groups(view, arm, entry):
            base = {k: v for k, v in point.items() if k not in {*differs, *arm.settings}}
            plain = Selector(entry["stage"], base, entry["metric"])
            texts = [_sample_text(view, selector) for selector in (arm.at(**point), plain)]
            rows.append((view.side, view.label, format_settings(point), *texts))
    rows = _measured_rows(entry, rows, views, others)
    return _extra(entry, ("side", "run", "point", "this arm", "base settings"), rows)


def _metrics_table(entry: Mapping[str, Any], views: list[View], others: list[View]) -> Table:
    metrics, free = entry["metrics"], tuple(entry.get("free", ()))
    plain = Selector(entry["stage"], entry.get("settings", {}), free=free)
    rows = []
    for view in views + others:
        for point in _groups(view, plain, entry):
            arms = [dataclasses.replace(plain.at(**point), metric=metric) for metric in metrics]
            texts = [
                _sample_text(view, arm, _images(view, arm, entry)) if view.sample(arm).n else "-"
                for arm in arms
            ]
            if set(texts) == {"-"}:
                texts[0] = view.sample(arms[0]).problem
            rows.append((view.side, view.label, format_settings(point), *texts))
    rows = _measured_rows(entry, rows, views, others)
    names = tuple(metric.replace("_", " ") for metric in metrics)
    return _extra(entry, ("side", "run", "point", *names), rows)


def _images(view: View, selector: Selector, entry: Mapping[str, Any]) -> int:
    """How many test images a metric rests on, see `extras_tables`; the fewest that records say."""
    n_test = entry.get("n_test", 0)
    if isinstance(n_test, Mapping):
        n_test = n_test.get(selector.metric, 0)
    return view.fewest(selector, n_test, 0) if isinstance(n_test, str) else n_test


def _sample_text(view: View, selector: Selector, n_test: int = 0) -> str:
    """Mean and interval; of accuracies on `n_test` images with the sampling of the images."""
    sample = view.sample(selector)
    if sample.problem:
        return sample.problem
    groups = [sample.groups[replicate] for replicate in sample.values]
    interval = mean_interval(list(sample.values.values()), groups)
    return interval_text(widened(interval, n_test) if n_test else interval, sample.planned)


def failures_table(views: Iterable[View]) -> Table:
    """Every failed trial with its reason."""
    rows = tuple(
        (view.side, view.label, record.trial.describe(), first_line(record.error))
        for view in views
        for record in view.failed
    )
    return Table("failures", "Failed trials", ("side", "run", "trial", "reason"), rows)


def not_run_table(
    config: StudyConfig, cells: Iterable[CellResult], claims: Iterable[ClaimResult]
) -> Table:
    """What has no number, with the reason, counted by figure."""
    cells, claims = list(cells), list(claims)
    shown = shown_sides([*cells, *claims])
    counts: dict[tuple[str, str, str], int] = {}
    for result in cells:
        for side in shown:
            measured = result.sides[side]
            if measured.verdict == "not run":
                name = f"{result.cell.where}: {config.blocks[result.cell.block]}"
                key = (name, side, measured.reason)
                counts[key] = counts.get(key, 0) + 1
    rows = [(name, side, f"{n} numbers", reason) for (name, side, reason), n in counts.items()]
    for result in claims:
        for side in shown:
            judged = result.sides[side]
            if judged.verdict == "not run":
                kind = "control" if result.claim.control else "claim"
                rows.append((f"{kind} {result.claim.id}", side, "-", judged.reason))
    return Table("not_run", "Not run", ("what", "side", "how many", "why"), tuple(rows), True)


def log_tables(config: StudyConfig) -> list[Table]:
    """Gaps, contradictions, deviations and future work, as the TOML file lists them."""
    layouts = {
        "gaps": ("What the report leaves open", {"item": "open", "choice": "choice", "tag": "tag"}),
        "contradictions": ("Contradictions", {"what": "in the report", "treatment": "treatment"}),
        "deviations": ("Deviations", {"what": "what", "ours": "here", "effect": "effect"}),
        "future_work": ("Future work that the report names", {"what": "what", "state": "state"}),
    }
    tables = []
    for name, (title, fields) in layouts.items():
        rows = tuple(tuple(str(row[f]) for f in fields) for row in config.log.get(name, []))
        note = "Tags: S stated, C author's code, I inferred, F fitted." if name == "gaps" else ""
        tables.append(Table(name, title, tuple(fields.values()), rows, False, note))
    return tables


def counts(verdicts: Iterable[str], order: Sequence[str]) -> dict[str, int]:
    """How often each verdict occurs; those in `order` first, even at zero."""
    found = {name: 0 for name in order}
    for verdict in verdicts:
        found[verdict] = found.get(verdict, 0) + 1
    return found


def side_counts(results: Iterable[Any], side: str, order: Sequence[str]) -> Mapping[str, int]:
    """Counts of the verdicts that one side gives."""
    return counts((result.sides[side].verdict for result in results), order)
