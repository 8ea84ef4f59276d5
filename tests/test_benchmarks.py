"""What benchmarks print and write; none is run."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "paired.py"
CONTENDERS = ("ours", "torch")


@pytest.fixture
def paired(monkeypatch):
    """What benchmarks share, with measured rows made up and no PyTorch."""
    spec = importlib.util.spec_from_file_location("paired", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
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
