"""docs/own_study.md: its commands and blocks run, and its example is a whole study."""

import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from replicate.report.config import load_all
from replicate.runs.context import Context
from replicate.runs.flags import parse
from replicate.runs.store import Store
from replicate.runs.study import Study, load_study
from replicate.runs.trial import Trial

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "own_study.md").read_text()
COMMANDS = re.search(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)[1].splitlines()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
EXAMPLE = (ROOT / "examples" / "digits.py").read_text()


@pytest.fixture
def study(monkeypatch) -> Study:
    monkeypatch.syspath_prepend(ROOT)
    return load_study("examples.digits")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The first commands of the page, in folders of the test."""
    folder = tmp_path_factory.mktemp("own")
    for command in COMMANDS:
        words = [sys.executable, *shlex.split(command)[1:], f"--workdir={folder / 'runs'}"]
        words += [f"--out={folder / 'out'}"] if "replicate.report" in words else []
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def rows_of(folder, name):
    with open(folder / "out" / "report" / "digits" / name, newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_s_commands_plan_run_and_report(ran):
    assert [shlex.split(command)[2:4] for command in COMMANDS] == [
        ["examples.digits", "--plan"],
        ["examples.digits"],
        ["replicate.report", "--configs=examples"],
    ]
    assert len(list((ran / "runs").rglob("records/*.json"))) == 42
    assert "42 of 42" in (ran / "out" / "REPORT.md").read_text()


def test_its_claims_have_verdicts_and_its_arms_a_table_and_figures(ran):
    verdicts = [row["verdict"] for row in rows_of(ran, "claims.csv")]
    assert len(verdicts) == 2 and {*verdicts} <= {"supported", "contradicted", "inconclusive"}
    assert [row["verdict"] for row in rows_of(ran, "controls.csv")] == ["supported"]
    points = [row["point"] for row in rows_of(ran, "extra_accuracy.csv")]
    assert points == [f"arm = {a}" for a in ("both", "real", "real_twice", "shuffled", "synthetic")]
    for figure in ("arms.svg", "images.png"):
        assert (ran / "out" / "report" / "digits" / figure).stat().st_size > 1000


def test_every_record_names_the_data_that_it_saw(ran, study):
    digits = study.loaders["digits"](None)
    hashes = {"train": digits.train.sha256, "test": digits.test.sha256}
    for path in (ran / "runs").rglob("records/*.json"):
        told = json.loads(path.read_text())["data"]
        assert (told["name"], told["route"], told["sha256"]) == ("digits", "arrays", hashes)


def test_its_generator_goes_on_where_it_was_killed_bit_for_bit(study, tmp_path):
    trial, *_ = study.declare(parse(study, ["--epochs=3"]))
    run = study.stages["generator"].run

    def finished(folder, stop_at=2.0):
        def progress(trial, fraction, text=""):
            if fraction > stop_at:
                raise KeyboardInterrupt

        context = Context(Store(folder), loaders=study.loaders)
        context.progress = progress
        ((_, outcome),) = run([trial], context)
        return outcome.curves, load_file(outcome.artifacts["weights"])

    with pytest.raises(KeyboardInterrupt):
        finished(tmp_path / "killed", stop_at=0.9)
    assert list((tmp_path / "killed").rglob("step-2.safetensors"))
    (curves, weights), (expected, others) = map(finished, (tmp_path / "killed", tmp_path / "whole"))
    assert curves == expected and len(curves["train_loss"]) == 3
    for name, array in others.items():
        np.testing.assert_array_equal(weights[name], array)


def test_every_block_runs_or_stands_in_the_example(study, tmp_path):
    names, quoted = {}, 0
    for block in BLOCKS:
        if block in EXAMPLE:
            quoted += 1
        else:
            exec(compile(block, "docs/own_study.md", "exec"), names)
    assert quoted == 6 and len(names["pets"].train) == 40
    settings = {"dataset": "digits", "seed": 0}
    context = Context(Store(tmp_path), loaders=study.loaders)
    ((_, outcome),) = names["run_forests"]([Trial("digits", "forest", 1, settings)], context)
    assert outcome.metrics["test_accuracy"] > 0.85 and outcome.data["route"] == "arrays"


def test_its_file_stands_beside_the_five(tmp_path):
    folder = shutil.copytree(ROOT / "paper_configs", tmp_path / "six")
    shutil.copy(ROOT / "examples" / "digits.toml", folder)
    assert [config.module for config in load_all(folder)][2] == "digits"
