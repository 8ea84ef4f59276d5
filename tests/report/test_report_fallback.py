"""What the leading run of a side lacks is read from its next, under that one's name."""

import dataclasses

import numpy as np
import pytest
from report_stores import only

from replicate.report import across, claim_entries, csv_files, figures
from replicate.report.cells import first_run, measure
from replicate.report.figure_base import Source
from replicate.report.pages import build_study, counts_table
from replicate.report.tables import extras_tables
from replicate.runs.files import project_root

POINTS = (0.1, 0.4, 0.7, 1.0)


def begun(fake, lay, config, repeats):
    """A study that lite has run for C1 and C3, and paper for C1 only, so many times each arm."""
    store = fake()
    for label, epochs, n, points in (("paper", 20, repeats, (1.0,)), ("lite", 2, 2, POINTS)):
        real = [lay.accuracy([0.9 + p / 50] * n, "real", p, epochs=epochs) for p in points]
        synthetic = lay.accuracy([0.6] * n, "synthetic", 1.0, epochs=epochs)
        store.add([*sum(real, []), *synthetic], label=label)
    asked = dataclasses.replace(only(config, "C1", "C3", "C7"), figures=())
    return build_study(asked, store.root, store.root / "none", pictures=False)


@pytest.fixture
def page(fake, lay, config, tmp_path):
    """A study with C1 run at paper, which leads, and C1 and C3 at lite; smoke has all of it."""
    store = fake()
    arms = [result for arm in ("real", "synthetic") for result in lay.accuracy([0.9] * 3, arm, 1.0)]
    store.add(arms, label="paper")
    made = [
        (
            lay.generator(epochs=2),
            {"train_loss": [183.0, 90.0], "batch_loss": np.linspace(183, 90, 8)},
        )
    ]
    for label, epochs in (("lite", 2), ("smoke", 1)):
        again = [
            result
            for p in POINTS
            for result in lay.accuracy(np.array([0.7, 0.71]) + p / 10, "real", p, epochs=epochs)
        ]
        again += lay.accuracy([0.6, 0.61], "synthetic", 1.0, epochs=epochs)
        again += lay.accuracy([0.5], "real", 1.0, epochs=epochs, init="keras")
        store.add(made * (label == "lite") + again, label=label)
    chosen = dataclasses.replace(
        only(config, "C1", "C3"),
        figures=tuple(figure for figure in config.figures if figure["id"] in ("fig2", "fig6")),
    )
    return build_study(chosen, store.root, tmp_path / "none", pictures=False)


def test_a_number_names_the_run_that_has_it(page):
    found = {r.cell.label: r.sides["yours"] for r in page.cells if r.cell.block == "fig6"}
    assert (found["p = 1"].label, found["p = 1"].reason) == ("paper", "")
    other = found["p = 0.4"]
    assert (other.label, other.verdict) == ("lite", "indicative")
    assert other.reason.startswith("run at lite only") and other.interval.n == 2
    neither = found["p = 0.2"]
    assert (neither.label, neither.verdict) == ("paper", "not run")


def test_a_claim_names_the_run_that_has_it(page, tmp_path):
    c1, c3 = (result.sides["yours"] for result in page.claims)
    assert c1.label == "paper" and "lite" not in c1.reason
    assert (c3.label, c3.verdict) == ("lite", "indicative")
    assert c3.reason.startswith("run at lite only")
    records = csv_files.record_rows(page.claims, page.sides, tmp_path)
    assert {row[2] for row in records if row[0] == "C3"} == {"lite"}
    assert all((tmp_path / row[-1]).resolve().is_file() for row in records)
    _, entry = claim_entries.claim_entries(page.config, page.claims, page.sides, tmp_path)
    assert entry.sides[0].run == "lite" and entry.sides[0].n == len(c3.keys) > 0


def test_a_run_that_has_only_begun_judges_what_it_has_repeated_enough(fake, lay, config):
    page = begun(fake, lay, config, repeats=3)
    assert [view.label for view in page.sides["yours"]] == ["lite", "paper"]
    c1, c3, c7 = (result.sides["yours"] for result in page.claims)
    assert (c1.label, c1.verdict, c1.n) == ("paper", "supported", 3) and "only" not in c1.reason
    assert (c3.label, c3.verdict) == ("lite", "indicative")
    assert (c7.label, c7.verdict) == ("lite", "not run")
    numbers = {r.cell.label: r.sides["yours"].label for r in page.cells if r.cell.block == "fig6"}
    assert (numbers["p = 1"], numbers["p = 0.4"]) == ("paper", "lite")
    told = {r.cell.label: r.sides["yours"].reason for r in page.cells if r.cell.block == "fig6"}
    assert told["p = 1"] == "at paper" and c1.reason.startswith("at paper")
    (row,) = counts_table([page], "claims").rows
    assert row[1] == "yours (lite, paper)" and row[2] == "1"


def test_a_run_with_too_few_repeats_leaves_the_word_to_the_one_that_leads(fake, lay, config):
    page = begun(fake, lay, config, repeats=2)
    assert {result.sides["yours"].label for result in page.claims} == {"lite"}
    assert {r.sides["yours"].label for r in page.cells if r.cell.block == "fig6"} == {"lite"}


def test_only_verdicts_of_the_leading_run_are_scored(page):
    (row,) = counts_table([page], "claims").rows
    assert row[:2] == ("mnist_cvae", "yours (paper, lite)") and row[-1] == "1"
    assert not {"smoke"} & {view.label for view in page.sides["yours"]}


def test_a_figure_is_of_one_run(page):
    captions = {figure.id: figure.caption for figure in page.figures}
    assert "paper" in captions["fig6"] and "lite" not in captions["fig6"]
    assert "lite" in captions["fig2"] and "paper" not in captions["fig2"]


def test_a_figure_may_prefer_a_run(page, monkeypatch):
    monkeypatch.setattr(figures, "files_of", lambda *_: (b"", b""))
    entry = next(figure for figure in page.config.figures if figure["id"] == "fig6")
    source = Source(page.config, page.sides, page.sides["yours"][0].store.root)
    for label, shown in (("lite", "lite"), ("paper", "paper"), ("other", "paper")):
        drawn = figures.draw({**entry, "prefer": label}, source, pictures=False)
        assert f"({shown})" in drawn.caption


def test_a_preferred_run_is_asked_for_on_either_side(page, monkeypatch):
    """Shipped paper may come second where yours is the only one."""
    monkeypatch.setattr(figures, "files_of", lambda *_: (b"", b""))
    entry = next(figure for figure in page.config.figures if figure["id"] == "fig6")
    paper, lite = page.sides["yours"]
    sides = {"shipped": [lite, paper], "yours": [paper]}
    source = Source(page.config, sides, paper.store.root)
    drawn = figures.draw({**entry, "prefer": "paper"}, source, pictures=False)
    assert "shipped (paper)" in drawn.caption and "lite" not in drawn.caption


def test_an_arm_is_read_from_the_run_that_gives_verdicts(page):
    """Whatever run leads; where none gives them, from the one that leads."""
    paper, lite = page.sides["yours"]
    entry = {
        "id": "any", "title": "any", "what": "any", "stage": "classifier", "settings": {},
        "metrics": ["test_accuracy"], "by": ["arm", "p"],
    }  # fmt: skip
    config = dataclasses.replace(page.config, extras=(entry,))
    (table,) = extras_tables(config, [lite], [paper])
    runs = {row[2]: row[1] for row in table.rows}
    assert {runs.pop("arm = real, p = 1"), runs.pop("arm = synthetic, p = 1")} == {"paper"}
    assert set(runs.values()) == {"lite"} and len(table.rows) == len(runs) + 2
    (every,) = extras_tables(
        dataclasses.replace(config, extras=({**entry, "every_run": True},)), [lite], [paper]
    )
    assert len(every.rows) == len(table.rows) + 2


def test_a_number_that_is_never_scored_needs_no_repeats(fake, lay, config):
    """One run at paper stands before two at lite."""
    page = begun(fake, lay, config, repeats=1)
    cell = next(r.cell for r in page.cells if (r.cell.block, r.cell.label) == ("fig6", "p = 1"))
    views = page.sides["yours"]
    assert first_run([measure(cell, view) for view in views]).label == "lite"
    unscored = dataclasses.replace(cell, unscored="not comparable")
    told = first_run([measure(unscored, view) for view in views])
    assert (told.label, told.verdict) == ("paper", "none")
    assert told.reason == "at paper; not comparable"


def test_an_arm_beyond_the_report_is_found_in_the_next_run(page):
    lead, *others = page.sides["yours"]
    found = {table.id: table for table in extras_tables(page.config, [lead], others)}
    (row,) = found["extra_init"].rows
    assert row[1] == "lite" and row[3].startswith("0.5000, n = 1")


def test_a_difference_over_all_studies_names_its_run(page):
    path = project_root() / "paper_configs" / "across" / "effects.toml"
    found = {d.what: each for d, (each,) in across.measure(path, [page]).rows}
    assert {each.label for each in found.values() if each.effect} >= {"paper"}


def test_a_difference_is_told_by_the_run_that_may_judge(fake, lay, config):
    path = project_root() / "paper_configs" / "across" / "effects.toml"
    for repeats, label in ((3, "paper"), (2, "lite")):
        rows = across.measure(path, [begun(fake, lay, config, repeats)]).rows
        (found,) = next(found for d, found in rows if d.what == "all 60,000 digits")
        assert (found.label, found.run, found.settled) == (label, True, label == "paper")
