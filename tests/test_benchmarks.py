"""What benchmarks print and write; none is run."""

import importlib
import json
from pathlib import Path

import pytest

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
