"""Every command in the README runs; long ones are asked for their plan only."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from replicate.runs.study import SOURCES

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.strip().splitlines()]


def runnable(command: str, workdir: Path) -> list[str]:
    """The command in this interpreter; training and network access replaced by a dry run."""
    words = shlex.split(command)
    if words[0] == "make":
        return [*words, "--dry-run"]
    words[0] = sys.executable
    study = words[2].removeprefix("replicate.") in SOURCES or words[2].startswith("examples.")
    if study and "--help" not in words:
        words += ["--plan", f"--workdir={workdir}"]
    if words[2] == "replicate.report":
        words += [f"--out={workdir}", f"--workdir={workdir}"]
    if "fetch" in words:
        words[words.index("fetch") + 1] = "mnist"  # inside the package, as no folder is named
    return words


def test_the_readme_has_commands():
    assert "make quickstart" in COMMANDS and "make test" in COMMANDS
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, tmp_path):
    done = subprocess.run(
        runnable(command, tmp_path),
        cwd=ROOT,
        env={**os.environ, "REPLICATE_CACHE": str(tmp_path), "TFDS_DATA_DIR": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["replicate"], *([f"replicate.{name}", "--help"] for name in SOURCES)],
)
def test_the_overview_and_help_do_without_tensorflow(arguments):
    code = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "try: runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target
