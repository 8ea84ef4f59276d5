"""Claims about spreads, and series that name more points than a plan holds."""

import dataclasses

import numpy as np
import pytest

from replicate.report.cells import compare
from replicate.report.claim_tests import NotRun, gather, run_test
from replicate.report.tables import cells_tables

REAL = {"series": "real", "p": 1.0}
SYNTHETIC = {"series": "synthetic", "p": 1.0}


def test_spreads_are_compared_within_generators(view, lay):
    steady = np.array([0.95, 0.90, 0.85] * 3)  # generators differ, their runs hardly do
    noise = np.array([1, -1, 1, 0, 1, -1, -1, 0, 0])
    results = lay.accuracy(0.9 + 0.02 * np.roll(noise, 2), "real", 1.0)
    results += lay.accuracy(steady + 0.001 * noise, "synthetic", 1.0)
    test = {"name": "spread_ratio", "a": REAL, "b": SYNTHETIC, "label": "SVM"}
    effect = run_test(gather(view(results), test), test)
    assert effect.effect > 5 and effect.p_for < 0.05 and effect.note == "SVM"
    assert effect.n == 9


def test_points_outside_the_plan_are_left_out(view, lay, config):
    series = dataclasses.replace(config.series["real"], over=(0.25, 0.5, 0.75, 1.0))
    results = [
        result
        for p, values in {0.25: [0.5, 0.6], 0.75: [0.7, 0.7], 1.0: [0.8, 0.9]}.items()
        for result in lay.accuracy(values, "real", p)
    ]
    made = view(results)
    made.config = dataclasses.replace(config, series={"real": series})
    data = gather(made, {"name": "spearman", "a": {"series": "real"}})
    assert data.points["a"] == [0.25, 0.75, 1.0]
    made.config.series["real"] = dataclasses.replace(series, over=(0.1, 0.2))
    with pytest.raises(NotRun, match="real only: not part of the plan paper"):
        gather(made, {"name": "spearman", "a": {"series": "real"}})


def test_our_spread_stands_beside_a_reported_one(view, lay, config):
    made = view(lay.accuracy([0.96, 0.98, 0.97], "real", 1.0))
    table = next(
        t for t in cells_tables(config, compare(config, {"shipped": [], "yours": [made]}))
        if t.id == "cells_fig6"
    )  # fmt: skip
    row = next(dict(zip(table.columns, row, strict=True)) for row in table.rows if row[3] != "-")
    assert row["reported"].startswith("0.9804 (SD 0.0022)")
    assert row["yours"].endswith("n = 3, SD 0.0100")
