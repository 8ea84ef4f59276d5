"""Whether a study's file says what the report can read: its fields, and the names that they use.

What is misspelt in a TOML file would be left out in silence, or fail where it is read, without a
word on the entry. `tests/report/test_report_config.py` holds the fields against the code that reads
them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NoReturn

from replicate.runs.flags import PRESETS

KINDS = ("verdict", "indicative", "none")

# Fields of an entry: those it must have | those it may have | those of which it has exactly one.
STUDY = "id module title authors date summary code reference data reported_cost | classes"
RULES = "alpha interval minimum_replicates verdicts"
SERIES = "label stage | settings x over count best_over needs | metric curve"
BLOCK = (
    "id where what provenance stage | settings metric curve n n_test unscored tag needs | rows file"
)
CLAIM = "id statement where reported on_reported estimand tests | primary unscored"
EXTRA = "id title what stage by | settings only order every_run"
UNUSED = "stage settings numbers"
ONE_METRIC, METRICS = f"metric {EXTRA} differs", f"metrics {EXTRA} free n_test"
LOG = {
    "gaps": "item choice tag",
    "contradictions": "what treatment",
    "deviations": "what ours effect",
    "future_work": "what state",
}
TEXTS = "id title what where statement estimand on_reported stage metric curve x kind".split()
TABLES = "study rules | base series cells claims controls extras figures log inputs_unused"
# Of a claim's test by its name; every test may have TEST_WORDS, too.
TESTS = {
    "paired_difference": "a b | margin below",
    "gain": "a b | c d relative | above below",
    "threshold": "a | | above below",
    "equivalence": "a margin | b value",
    "all_above": "a b | margin",
    "all_between": "a lower upper | margin",
    "monotone": "a direction | margin",
    "spearman": "a | above",
    "rank_association": "a b within",
    "sign_test": "a | | b above below",
    "spread_ratio": "a b",
    "ratio": "a above | b",
    "accuracy_difference": "a b | margin n_test",
    "accuracy_equivalence": "a margin | b value n_test",
    "accuracy_threshold": "a n_test above",
}
TEST_WORDS = ("label", "at", "units")
ARM = re.compile(r"[abcd]|lower|upper|b\d+")
BOUNDS = ("margin", "above", "below", "value", "within")
# Of a figure by its kind, beside FIGURE, and of the tables in it; see the functions that draw them.
FIGURE = ("id", "kind", "title", "prefer", "every_run")
FILE, LINE = "stage artifact | settings", "label colour | series | value reported"
FIGURES = {
    "sweep": "series reported | lines xlabel ylabel",
    "sweep.lines": LINE,
    "bands": "series | lines log xlabel ylabel",
    "bands.lines": "reported label",
    "lines": "panels labels xlabel",
    "lines.panels": "ylabel series | reported",
    "lines.panels.reported": "series block",
    "bars": "series | reported",
    "numbers": "blocks | ylabel",
    "trials": "panels labels | ylabel",
    "trials.panels": "title series",
    "arms": "panels",
    "arms.panels": "xlabel claims | tests",
    "curves": "source curves | facts selected ylabel",
    "curves.source": "stage | settings",
    "curves.curves": "curve label",
    "curves.facts": "epoch text",
    "training": "source arms panels | x",
    "training.source": "stage | settings",
    "training.arms": "label settings | reported reported_steps",
    "training.panels": "curve ylabel | reported n_test log",
    "history": "source panels",
    "history.source": FILE,
    "history.panels": "ylabel lines | level",
    "history.panels.lines": "name label | reported raw",
    "loss": "source | reported lines ylabel ylim scale",
    "loss.source": f"{FILE} curve",
    "loss.lines": LINE,
    "confusion": "source metric key | classes",
    "confusion.source": FILE,
    "images": "source | by rows labels classes",
    "images.source": FILE,
    "strip": "source",
    "strip.source": FILE,
    "neighbours": "source by | pairs",
    "neighbours.source": FILE,
    "rows": "source rows",
    "rows.source": FILE,
    "rows.rows": "key label",
    "contrast": "panels",
    "contrast.panels": "title real synthetic",
    "contrast.panels.real": FILE,
    "contrast.panels.synthetic": FILE,
    "beside": "rows | columns",
    "beside.rows": "title | source withheld label value between",
    "beside.rows.source": FILE,
    "summary": "source key",
    "summary.source": FILE,
    "flow": "boxes arrows",
    "flow.boxes": "name text at kind",
    "flow.arrows": "from to | text",
    "absent": "reason",
}


def _refuse(expected: str, place: str, received: Any) -> NoReturn:
    raise ValueError(f"Expected {expected} in {place}. Received: {received}")


def _like(name: Any, known: Iterable[str]) -> str:
    """A name as it is quoted, with the known one that it resembles."""
    near = difflib.get_close_matches(str(name), list(known), 1)
    return f"{name!r} ({near[0]}?)" if near else repr(name)


def _check_fields(entry: Any, fields: str, place: str, also: Collection[str] = ()) -> None:
    """Refuse a table with unknown fields or without those that it must have."""
    if not isinstance(entry, Mapping):
        _refuse("a table", place, repr(entry))
    required, optional, either = (part.split() for part in f"{fields} | |".split("|")[:3])
    known = [*required, *either, *optional, *also]
    for name in entry:
        if name not in known:
            _refuse(f"fields among {', '.join(known)}", place, _like(name, known))
    for name in required:
        if name not in entry:
            _refuse(f"a field {name!r}", place, ", ".join(entry) or "none")
    for name, value in entry.items():
        if name in TEXTS and not isinstance(value, str):
            _refuse(f"text as {name}", place, repr(value))
        if name == "settings" and not isinstance(value, Mapping):
            _refuse("a table as settings", place, repr(value))
    given = [name for name in either if name in entry]
    if either and len(given) != 1:
        _refuse(f"one of the fields {', '.join(either)}", place, " and ".join(given) or "none")


def _check_numbers(entry: Mapping[str, Any], names: Iterable[str], place: str) -> None:
    for name in names:
        value = entry.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _refuse(f"a number as {name}", place, f"{name} = {value!r}")


def _entries(raw: Mapping[str, Any], table: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    """The entries of an array of tables, each with its place; their ids must differ."""
    found, seen = raw.get(table, []), set()
    if not isinstance(found, list):
        _refuse(f"tables [[{table}]]", "the file", f"[{table}]")
    for number, entry in enumerate(found, 1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("id"), str):
            received = ", ".join(entry) if isinstance(entry, Mapping) else repr(entry)
            _refuse("an id", f"[[{table}]] number {number}", received)
        if entry["id"] in seen:
            _refuse("distinct ids", f"[[{table}]]", f"{entry['id']!r} twice")
        seen.add(entry["id"])
        yield entry, f"[[{table}]] {entry['id']}"


def _check_study(raw: Mapping[str, Any]) -> None:
    study, rules = raw["study"], raw["rules"]
    _check_fields(study, STUDY, "[study]")
    for name in {"authors", "classes"} & study.keys():
        if not isinstance(study[name], list):
            _refuse(f"a list as {name}", "[study]", repr(study[name]))
    _check_fields(rules, RULES, "[rules]")
    _check_numbers(rules, ("alpha", "interval", "minimum_replicates"), "[rules]")
    for name in ("alpha", "interval"):
        if not 0 < rules[name] < 1:
            _refuse(f"{name} between 0 and 1", "[rules]", rules[name])
    if rules["minimum_replicates"] < 1:
        _refuse("minimum_replicates >= 1", "[rules]", rules["minimum_replicates"])
    _check_fields(rules["verdicts"], f"| {' '.join(PRESETS)}", "[rules] verdicts")
    for label, kind in rules["verdicts"].items():
        if kind not in KINDS:
            _refuse(f"one of {', '.join(KINDS)}", "[rules]", f"verdicts.{label}={kind!r}")


def _check_best(entry: Mapping[str, Any], place: str) -> None:
    best = entry.get("best_over", {"": []})
    if not isinstance(best, Mapping) or [type(v) for v in best.values()] != [list]:
        _refuse("one setting with a list of values as best_over", place, repr(best))


def _check_series(series: Mapping[str, Any]) -> None:
    for name, entry in series.items():
        place = f"[series] {name}"
        _check_fields(entry, SERIES, place)
        _check_best(entry, place)
        points = entry.get("over") or entry.get("count")
        if "{x}" in entry.get("metric", "") and not (points and entry.get("x")):
            _refuse("x and over beside a metric with {x}", place, ", ".join(entry))


def check_row(row: Any, block: Mapping[str, Any], place: str) -> None:
    """A reported number; what is no field is a setting."""
    unscored = isinstance(row, Mapping) and row.get("unscored", block.get("unscored"))
    required = "reported" if unscored else "reported margin"
    _check_fields(row, required, place, also=row)
    _check_numbers(row, ("reported", "margin", "sd", "n", "n_test", "epoch"), place)
    _check_best(row, place)
    if not (unscored or row["margin"] > 0):
        _refuse("margin > 0", place, row["margin"])
    if not (row.get("metric") or block.get("metric") or block.get("curve")):
        _refuse("a metric or a curve of the block, or a metric", place, ", ".join(row))
    if "curve" in block and row.get("epoch", 0) < 1:
        _refuse("an epoch from 1 beside a curve", place, ", ".join(row))


def _check_reference(reference: Any, series: Mapping[str, Any], place: str) -> None:
    if not isinstance(reference, Mapping) or not isinstance(reference.get("series"), str):
        _refuse('an arm { series = "..." }', place, reference)
    if reference["series"] not in series:
        _refuse("a series of the file", place, _like(reference["series"], series))


def _check_test(test: Any, series: Mapping[str, Any], place: str) -> None:
    name = test.get("name") if isinstance(test, Mapping) else None
    if name not in tuple(TESTS):
        _refuse(f"a test among {', '.join(TESTS)}", place, _like(name, TESTS))
    place = f"{place} ({name})"
    several = [role for role in test if re.fullmatch(r"b\d+", role)] if name == "ratio" else []
    _check_fields(test, f"name {TESTS[name]}", place, also=(*several, *TEST_WORDS))
    for role, value in test.items():
        if ARM.fullmatch(role) or (role == "n_test" and isinstance(value, Mapping)):
            _check_reference(value, series, f"{place}, {role}")
    _check_numbers(test, BOUNDS, place)
    if name == "paired_difference" and {"margin", "below"} <= test.keys():
        _refuse("margin or below", place, "both")
    if name == "gain" and ("c" in test) != ("d" in test):
        _refuse("c and d, or neither", place, "c" if "c" in test else "d")
    if name == "ratio" and not ({"b", *several} & test.keys()):
        _refuse("b, or b0, b1, ...", place, ", ".join(test))
    if name == "monotone" and test["direction"] not in ("rising", "falling"):
        _refuse('direction "rising" or "falling"', place, repr(test["direction"]))
    if name.startswith("accuracy_") and "n_test" not in test:
        if "curve" not in series[test["a"]["series"]] or "b" not in test:
            _refuse("n_test, or arms a and b over images", place, ", ".join(test))


def _check_claims(raw: Mapping[str, Any]) -> None:
    for table in ("claims", "controls"):
        for entry, place in _entries(raw, table):
            _check_fields(entry, CLAIM, place)
            if not isinstance(entry.get("primary", False), bool):
                _refuse("true or false as primary", place, repr(entry["primary"]))
            if not isinstance(entry["tests"], list) or not entry["tests"]:
                _refuse("a list of tests", place, repr(entry["tests"]))
            for number, test in enumerate(entry["tests"], 1):
                _check_test(test, raw.get("series", {}), f"{place}, test {number}")
    both = [entry["id"] for table in ("claims", "controls") for entry in raw.get(table, [])]
    if len(set(both)) < len(both):
        twice = sorted({name for name in both if both.count(name) > 1})
        _refuse("distinct ids", "[[claims]] and [[controls]]", f"{', '.join(twice)} twice")


def _check_extras(raw: Mapping[str, Any]) -> None:
    for entry, place in _entries(raw, "extras"):
        if not {"metric", "metrics"} & entry.keys():
            _refuse("a field 'metric' or 'metrics'", place, ", ".join(entry))
        _check_fields(entry, METRICS if "metrics" in entry else ONE_METRIC, place)
        for name in {"by", "metrics"} & entry.keys():
            if not isinstance(entry[name], list) or not entry[name]:
                _refuse(f"a list as {name}", place, repr(entry[name]))
        if isinstance(entry.get("n_test"), Mapping):
            for name in entry["n_test"]:
                if name not in entry["metrics"]:
                    _refuse("n_test of the metrics", place, _like(name, entry["metrics"]))
        for name in entry.get("only", ()):
            if name not in entry["by"]:
                _refuse("only of settings that by names", place, _like(name, entry["by"]))


def _check_unused(raw: Mapping[str, Any]) -> None:
    for number, entry in enumerate(raw.get("inputs_unused", []), 1):
        place = f"[[inputs_unused]] number {number}"
        _check_fields(entry, UNUSED, place)
        lists = {"numbers": entry["numbers"], **entry["settings"]}
        for name, values in lists.items():
            if not isinstance(values, list) or not values:
                _refuse(f"a list as {name}", place, repr(values))


def _check_part(part: Any, kind: str, place: str, series: Mapping[str, Any]) -> None:
    """A table of a figure, such as `sweep.lines`, and the tables in it."""
    fields = FIGURES[kind]
    if fields == LINE and isinstance(part, Mapping) and part.get("series") in list(series):
        fields = f"{series[part['series']].get('x', '')} {LINE}"  # which point of the series
    _check_fields(part, fields, place, () if "." in kind else FIGURE)
    if kind == "beside.rows" and not {"source", "withheld"} & part.keys():
        _refuse("a source, or withheld", place, ", ".join(part))
    for name, value in part.items():
        if f"{kind}.{name}" in FIGURES:
            for each in value if isinstance(value, list) else [value]:
                _check_part(each, f"{kind}.{name}", f"{place}, {name}", series)


def _named(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """What a figure names: `("series", name)`, `("cells", id)` or `("claims", id)`."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            if name != "arms":  # whose `reported` is a line of a block
                yield from _named(part, name)
    elif isinstance(value, list):
        for part in value:
            yield from _named(part, key)
    elif key in ("series", "claims") and value:
        yield key, value
    elif key in ("block", "blocks") or (key == "reported" and isinstance(value, str)):
        yield "cells", value


def _check_figures(raw: Mapping[str, Any]) -> None:
    known = {name: [entry["id"] for entry in raw.get(name, [])] for name in ("cells", "claims")}
    known["claims"] += [entry["id"] for entry in raw.get("controls", [])]
    known["series"] = list(raw.get("series", {}))
    kinds = [kind for kind in FIGURES if "." not in kind]
    for entry, place in _entries(raw, "figures"):
        if entry.get("kind") not in kinds:
            _refuse(f"a kind among {', '.join(kinds)}", place, _like(entry.get("kind"), kinds))
        _check_part(entry, entry["kind"], place, raw.get("series", {}))
        for table, name in _named(entry):
            if name not in known[table]:
                _refuse(f"a name in [{table}] of the file", place, _like(name, known[table]))


def check(raw: Mapping[str, Any]) -> None:
    """Refuse what would be left out in silence, or fail when it is read, in the first place."""
    _check_fields(raw, TABLES, "the file")
    _check_study(raw)
    _check_series(raw.get("series", {}))
    for entry, place in _entries(raw, "cells"):
        _check_fields(entry, f"sha256 {BLOCK}" if "file" in entry else BLOCK, place)
    _check_claims(raw)
    _check_extras(raw)
    _check_unused(raw)
    _check_figures(raw)
    log = raw.get("log", {})
    _check_fields(log, f"| {' '.join(LOG)}", "[log]")
    for name, several in log.items():
        if not isinstance(several, list):
            _refuse("a list of tables", f"[log] {name}", repr(several))
        for number, entry in enumerate(several, 1):
            _check_fields(entry, LOG[name], f"[log] {name}, entry {number}")
