"""One question over all studies, "what does synthetic data buy?", as tables and one figure."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from replicate.evaluation.hypotheses import Effect
from replicate.report.cells import one_of, qualified
from replicate.report.claim_tests import NotRun, gather, run_test
from replicate.report.claims import pooled_sample
from replicate.report.figure_base import COLOURS
from replicate.report.figures import Drawn, files_of
from replicate.report.tables import SIDES, Table
from replicate.report.views import View

FIELDS = {"question", "study", "what", "a", "b", "matched"}
OPTIONAL = {"test", "n_test"}
TEST = "paired_difference"
TESTS = (TEST, "accuracy_difference")


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two arms of one study, and what it answers.

    Args:
        question: key of the question.
        study: module name.
        what: the arms in words.
        test: a test of the difference, as the claims of a study name theirs.
        matched: what both arms share.
    """

    question: str
    study: str
    what: str
    test: Mapping[str, Any]
    matched: str


@dataclasses.dataclass(frozen=True)
class Found:
    """A difference as one side measured it.

    Args:
        side: `"shipped"` or `"yours"`.
        label: the preset.
        effect: the effect; None if an arm was not run.
        reason: why there is none, or what its interval leaves out.
        settled: whether preset, data and number of repeats allow a verdict.
    """

    side: str
    label: str
    effect: Effect | None
    reason: str = ""
    settled: bool = False

    @property
    def run(self) -> bool:
        """Whether both arms were run."""
        return self.effect is not None


@dataclasses.dataclass(frozen=True)
class Across:
    """Everything that the page says over all studies.

    Args:
        questions: key -> question, in order.
        rows: each difference with what each side found.
    """

    questions: Mapping[str, str]
    rows: Sequence[tuple[Difference, Sequence[Found]]]


def load(path: Path) -> tuple[dict[str, str], list[Difference]]:
    """Questions and differences of a file such as `paper_configs/across/effects.toml`.

    An effect may name its `test`, `"paired_difference"` unless it says `"accuracy_difference"`,
    which holds the sampling of the test images and may name `n_test`.

    Raises:
        ValueError: if an entry lacks a field, has another one, names another test, or asks an
            unknown question.
    """
    content = tomllib.loads(path.read_text())
    questions, found = content["questions"], []
    for entry in content["effects"]:
        known = FIELDS <= set(entry) <= FIELDS | OPTIONAL and entry.get("test", TEST) in TESTS
        if not known or entry["question"] not in questions:
            raise ValueError(
                f"{path}: expected effects with {', '.join(sorted(FIELDS))}, a test among "
                f"{', '.join(TESTS)} and a question among {', '.join(questions)}. Received: {entry}"
            )
        test = {name: entry[name] for name in ("a", "b", "n_test") if name in entry}
        test["name"] = entry.get("test", TEST)
        words = {name: entry[name] for name in ("question", "study", "what", "matched")}
        found.append(Difference(test=test, **words))
    return questions, found


def measure(path: Path, pages: Iterable) -> Across:
    """Every difference of the studies on the page, as far as it was run.

    Args:
        path: see `load`; without such a file there is nothing to say.
        pages: the studies' pages, each with its `module` and the views of each side.

    Raises:
        ValueError: if an entry is malformed or names an arm that its study does not have.
    """
    questions, differences = load(path) if path.exists() else ({}, [])
    sides = {page.module: page.sides for page in pages}
    rows = []
    for difference in differences:
        if difference.study not in sides:
            continue
        views = sides[difference.study]
        found = [
            one_of([_found(difference, view) for view in views[side]])
            for side in SIDES
            if views[side]
        ]
        rows.append((difference, found))
    return Across(questions, rows)


def _found(difference: Difference, view: View) -> Found:
    try:
        data = gather(view, difference.test)
        effect = run_test(data, difference.test)
    except NotRun as reason:
        return Found(view.side, view.label, None, str(reason))
    sample = pooled_sample([data])
    settled = not qualified(sample, view.kind, view.config.rules["minimum_replicates"])[0]
    caveats = ["one generator"] * sample.one_generator + [data.caveat] * bool(data.caveat)
    return Found(view.side, view.label, effect, ", ".join(caveats), settled)


def _text(found: Found) -> str:
    if found.effect is None:
        return f"not run: {found.reason}"
    e = found.effect
    interval = f" [{e.low:+.4f}, {e.high:+.4f}]" if e.n > 1 else ""
    notes = "".join(f", {note}" for note in (e.note, found.reason) if note)
    return f"{e.effect:+.4f}{interval}, n = {e.n}{notes} ({found.label})"


def tables(across: Across, sides: Sequence[str] = SIDES) -> list[Table]:
    """A table a question: difference in accuracy with its 95 % interval, n and preset."""
    made = []
    for key, question in across.questions.items():
        rows = []
        for difference, found in across.rows:
            if difference.question == key:
                texts = {each.side: _text(each) for each in found}
                told = (texts.get(side, "not run") for side in sides)
                rows.append((difference.study, difference.what, difference.matched, *told))
        columns = ("study", "arms", "matched in", *sides)
        made.append(Table(f"across_{key}", question, columns, tuple(rows)))
    return made


def drawn(across: Across) -> Drawn | None:
    """The figure as files; None where nothing was run."""
    made = figure(across)
    if made is None:
        return None
    png, svg = files_of(made)
    title = "What synthetic data buys, study by study"
    return Drawn("across", title, "blue: shipped, orange: yours", png, svg, True)


def figure(across: Across) -> Figure | None:
    """Every difference that was run, with its interval, grouped by question; None without any."""
    lines = []  # from top to bottom: questions (no entry) and differences
    for key, question in across.questions.items():
        mine = [row for row in across.rows if row[0].question == key]
        run = [(d, f) for d, found in mine for f in found if f.effect is not None]
        lines += [(question, None, None)] * bool(run) + [(d.what, d, f) for d, f in run]
    if not lines:
        return None
    made = Figure(figsize=(9, 0.6 + 0.3 * len(lines)), layout="constrained")
    axes = made.subplots()
    for height, (_, difference, found) in enumerate(reversed(lines)):
        if difference is None:
            continue
        e, colour = found.effect, COLOURS[found.side]
        if e.n > 1:
            axes.plot([e.low, e.high], [height, height], color=colour, lw=2)
        filled = colour if e.n > 1 else "white"
        axes.plot([e.effect], [height], "o", color=colour, mfc=filled, ms=5)
    labels = [text if d is None else f"{text} · {d.study}, {f.label}" for text, d, f in lines]
    axes.set_yticks(range(len(lines)), labels[::-1], fontsize=7)
    for tick, (_, difference, _) in zip(axes.get_yticklabels(), reversed(lines), strict=True):
        tick.set_fontweight("bold" if difference is None else "normal")
    axes.axvline(0, color="#777777", lw=0.8)
    axes.set_xlabel("difference in accuracy,\nwith 95 % interval (open: one pair)")
    return made
