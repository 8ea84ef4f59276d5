"""No trial of mnist_dbm and mnist_cvae, extensions included, stands in no table of its study."""

import functools

import pytest
from report_stores import shown

from replicate import mnist_cvae, mnist_dbm
from replicate.report.config import load
from replicate.report.views import matches
from replicate.runs.files import project_root
from replicate.runs.flags import preset_values

STUDIES = {module.NAME: module for module in (mnist_cvae, mnist_dbm)}
STAGES = [(name, stage) for name, module in STUDIES.items() for stage in module.STUDY.stages]


@functools.cache
def planned(name):
    """All trials at preset paper, extensions included."""
    study = STUDIES[name].STUDY
    return study.declare(
        preset_values(study, "paper", f"--extensions={','.join(study.extensions)}")
    )


@functools.cache
def file_of(name):
    return load(project_root() / "paper_configs" / f"{name}.toml")


@functools.cache
def found(name):
    """Keys of trials that a table shows, of reported numbers or of ours alone."""
    config = file_of(name)
    tables = [
        trials
        for entry in config.extras
        for trials in shown(planned(name), entry, config.base).values()
    ]
    cells = {repr(cell.selector): cell.selector for cell in config.cells}.values()
    tables += [[t for t in planned(name) if matches(t, cell, config.base)] for cell in cells]
    return {trial.key for trials in tables for trial in trials}


@pytest.mark.parametrize("name, stage", STAGES)
def test_every_trial_is_in_a_table(name, stage):
    trials = [trial for trial in planned(name) if trial.stage == stage]
    assert trials and not [t.describe() for t in trials if t.key not in found(name)]


@pytest.mark.parametrize("name", STUDIES)
def test_a_row_of_a_table_is_one_arm(name):
    for entry in file_of(name).extras:
        points = shown(planned(name), entry, file_of(name).base)
        assert points, entry["id"]
        for point, trials in points.items():
            arms = {repr(sorted(trial.settings.items())) for trial in trials}
            assert len(arms) == 1, (entry["id"], point)


@pytest.mark.parametrize("name", STUDIES)
def test_what_an_extension_alone_runs_says_so(name):
    """Of a series that preset paper without extensions lacks, or lacks at a point of its claim."""
    study, config = STUDIES[name].STUDY, file_of(name)
    plain = study.declare(preset_values(study, "paper"))
    claimed = {
        (each["series"], tuple(test.get("at", ())))
        for claim in config.claims
        for test in claim.tests
        for each in test.values()
        if isinstance(each, dict)
    }
    for series, at in claimed:
        chosen = config.series[series]
        selectors = [chosen.at(point) for point in at] or [chosen.selector]
        base = {k: v for k, v in config.base.items() if k != chosen.x}
        missing = [s for s in selectors if not any(matches(t, s, base) for t in plain)]
        assert bool(missing) == bool(chosen.selector.needs), series
        given = chosen.selector.needs.removeprefix("--extensions=")
        assert not given or given in study.extensions
