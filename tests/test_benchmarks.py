"""What benchmarks print and write; none is run."""

import dataclasses
import importlib
import json
import statistics
from pathlib import Path

import pytest

from replicate.runs.plan import preset_trials
from replicate.runs.study import load_study

FOLDER = Path(__file__).parents[1] / "benchmarks"
MEASURED = sorted(path.stem for path in (FOLDER / "results").glob("*.json"))
CONTENDERS = ("ours", "torch")


@pytest.fixture
def paired(monkeypatch):
    """What benchmarks share, with measured rows made up and no PyTorch."""
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("paired")
    monkeypatch.setattr(module, "in_process", lambda *command: {"contender": command[2]})
    monkeypatch.setattr(module, "_has_torch", lambda python: False)
    return module


def run(paired, *flags):
    """Runs a benchmark; returns the reports that it wrote."""
    args = paired.parser_of("A benchmark.", CONTENDERS, rounds=1).parse_args(flags)
    written = []

    def compare(args):
        rows = paired.take_turns("script", CONTENDERS, args, [], lambda row: "")
        return {"rows": rows}

    paired.run(args, None, compare, lambda report: f"{len(report['rows'])} rows", written.append)
    return written


@pytest.mark.parametrize("flags", [[], ["--quick"]])
def test_pages_are_not_replaced_unasked(paired, capsys, flags):
    assert run(paired, *flags) == []
    output = capsys.readouterr().out
    assert "PyTorch not found: its rows are left out (see --torch_python)\n" in output
    assert "1 rows" in output


def test_pages_are_replaced_on_request_with_every_row(paired, monkeypatch, capsys):
    with pytest.raises(SystemExit, match="PyTorch not found"):
        run(paired, "--publish")
    monkeypatch.setattr(paired, "_has_torch", lambda python: True)
    (report,) = run(paired, "--publish")
    assert len(report["rows"]) == 2 and "PyTorch" not in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(paired, "--publish", "--quick")


@pytest.mark.parametrize("name", MEASURED)
def test_a_page_says_what_was_measured(paired, monkeypatch, name):
    saved = []
    monkeypatch.setattr(paired, "save", lambda *values: saved.append(values))
    report = json.loads((FOLDER / "results" / f"{name}.json").read_text())
    importlib.import_module(name).write(report)
    ((results, page_name, _, page),) = saved
    assert results == name and len(report["rows"]) > 1
    assert (FOLDER.parent / "docs" / f"{page_name}.md").read_text() == page


PACES = [  # study, stage, settings that tell the trial, network of training_pace, images an epoch
    ("cifar_dcgan", "generator", {"klass": "cat"}, "dcgan", 71 * 64),
    ("cifar_dcgan", "classifier", {"arm": "real"}, "strided_cnn", 45000),
    ("fruits_gan", "generator", {"dataset": "fids30"}, "perclass_gan_6", 28 // 3 * 3),
    ("fruits_gan", "generator", {"dataset": "mnist"}, "perclass_gan_128", 3360 // 64 * 64),
    ("fruits_gan", "classifier", {"dataset": "fids30", "arm": "synthetic"}, "pooled_cnn_12", 6000),
    ("fruits_gan", "classifier", {"dataset": "mnist", "arm": "synthetic"}, "pooled_cnn_128", 80000),
    ("mnist_dbm", "generator", {}, "conditional_dcgan", 60000),
    ("mnist_dbm", "cnn", {"n": 100}, "mnist_cnn", 100),
    ("cgan_ood", "generator", {"dataset": "mnist"}, "cgan", 60000),
    ("cgan_ood", "classifier", {"dataset": "mnist", "arm": "mix"}, "simple_cnn", 60000),
    ("cgan_ood", "classifier", {"dataset": "cifar10", "arm": "mix"}, "deep_cnn", 50000),
]


@pytest.mark.parametrize(("name", "stage", "told", "network", "images"), PACES)
def test_predicted_times_are_those_of_the_measured_pace(
    monkeypatch, name, stage, told, network, images
):
    """An epoch more of a trial of preset paper takes its steps, to a fifth."""
    monkeypatch.syspath_prepend(FOLDER)
    pace = importlib.import_module("training_pace")
    *_, batch_size, _ = (pace.CLASSIFIERS | pace.GENERATORS)[network]
    rows = json.loads((FOLDER / "results" / "training_pace.json").read_text())["rows"]
    every = [ms for row in rows if row["contender"] == network for ms in row["step_ms"]]
    expected = statistics.median(every) / 1e3 * images / batch_size
    study = load_study(f"replicate.{name}")
    trials = [t for t in preset_trials(study, "paper") if t.stage == stage]
    trial = next(t for t in trials if told.items() <= t.settings.items())
    longer = trial.settings | {"epochs": trial.settings["epochs"] + 1}
    seconds = study.stages[stage].seconds
    more = seconds(dataclasses.replace(trial, settings=longer)) - seconds(trial)
    assert 0.8 < more / expected < 1.25
