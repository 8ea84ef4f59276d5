"""`make replicate-all` with a stand-in for Python that says which module was asked for."""

import re
import shutil
import subprocess
import sys

import pytest

from replicate.runs.files import project_root
from replicate.runs.study import SOURCES

PYTHON = """#!/bin/sh
echo "asked for $2"
case "$2" in *{fails}) exit {code};; esac
"""


@pytest.fixture
def replicate_all(tmp_path):
    """Function that runs it where a module exits with a code: what it printed, and its code."""
    if shutil.which("make") is None:
        pytest.skip("needs make")

    def run(fails, code):
        python = tmp_path / "bin" / "python"
        python.parent.mkdir(exist_ok=True)
        python.write_text(PYTHON.format(fails=fails, code=code))
        python.chmod(0o755)
        (tmp_path / ".installed").touch()
        command = ["make", "--no-print-directory", "replicate-all", f"VENV={tmp_path}"]
        done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True)
        asked = [line.split(".")[1] for line in done.stdout.splitlines() if "asked for" in line]
        return asked, done.stdout, done.returncode

    return run


def test_every_study_runs_and_then_the_report(replicate_all):
    asked, _, code = replicate_all("none", 1)
    assert asked == [*SOURCES, "report"] and code == 0


def test_a_study_that_fails_does_not_keep_the_others_from_running(replicate_all):
    asked, text, code = replicate_all("cifar_dcgan", 1)
    assert asked == [*SOURCES, "report"] and code != 0
    assert "not complete: cifar_dcgan; the same command goes on" in text


def test_ctrl_c_ends_it(replicate_all):
    asked, _, code = replicate_all("cifar_dcgan", 130)
    assert asked == list(SOURCES)[:2] and code != 0


@pytest.mark.parametrize(("minor", "refused"), [(10, True), (11, False), (13, False), (14, True)])
def test_a_python_without_wheels_is_refused_before_anything_is_installed(
    minor, refused, monkeypatch
):
    check = re.search(r"-c '(import sys; .*)'", (project_root() / "Makefile").read_text())[1]
    monkeypatch.setattr(sys, "version_info", (3, minor, 1))
    with pytest.raises(SystemExit) as stopped:
        exec(check)
    assert ("3.11 to 3.13" in str(stopped.value.code)) is refused
