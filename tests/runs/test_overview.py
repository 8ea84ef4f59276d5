"""`python -m replicate` and the commands that are shown."""

import sys
from pathlib import Path

import pytest

from replicate.__main__ import main, next_command
from replicate.runs.files import python_command
from replicate.runs.study import load_study


def test_a_shown_command_has_the_interpreter_of_a_folder_below(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    shown = str(python.relative_to(tmp_path))
    assert python_command("replicate.report", "--workdir=my runs") == (
        f"{shown} -m replicate.report '--workdir=my runs'"
    )
    monkeypatch.setattr(sys, "executable", str(Path(tmp_path.root, "usr", "bin", "python3")))
    assert python_command("replicate") == "python -m replicate"


@pytest.mark.parametrize(("workdir", "flag"), [("runs", ""), ("mine", " --workdir=mine")])
def test_the_next_command_keeps_the_workdir(workdir, flag):
    study = load_study("replicate.mnist_cvae")
    planned = {"quick": {"a"}, "lite": {"b"}}
    assert next_command(study, planned, {"a"}, workdir).endswith(
        f"-m replicate.mnist_cvae --preset=lite{flag}"
    )
    assert next_command(study, planned, {"a", "b"}, workdir) is None


def test_a_wrong_project_folder_is_one_clear_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("REPLICATE_HOME", str(tmp_path))
    assert main([]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error and error.count("\n") == 1


def test_a_file_is_no_workdir(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file")]) == 2
    assert "which is no folder" in capsys.readouterr().err
