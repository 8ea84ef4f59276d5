"""The example of a sixth study: short, whole, and reported like the others."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "examples" / "fashion_generators.py"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The example's smoke run and its report."""
    folder = tmp_path_factory.mktemp("sixth")
    for command in (
        ["examples.fashion_generators", "--preset=smoke"],
        ["replicate.report", "--configs=examples", f"--out={folder / 'out'}"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command, f"--workdir={folder / 'runs'}"],
            cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folder


def test_it_is_under_a_hundred_lines_of_python():
    lines = [line for line in MODULE.read_text().splitlines() if line.strip()]
    assert 50 < len(lines) < 100


def test_every_trial_is_recorded_and_reported(ran):
    assert len(list((ran / "runs").rglob("records/*.json"))) == 7
    page = (ran / "out" / "REPORT.html").read_text()
    assert "Images of the conditional GAN train a better classifier" in page
    assert (
        "7 of 7" in page and (ran / "out" / "report" / "fashion_generators" / "arms.svg").exists()
    )


def test_the_protocol_names_ten_classifiers_of_three_sources():
    sys.path.insert(0, str(ROOT))
    try:
        from examples.fashion_generators import STUDY
    finally:
        sys.path.remove(str(ROOT))
    from replicate.runs.flags import parse

    trials = STUDY.declare(parse(STUDY, []))
    stages = [trial.stage for trial in trials]
    assert (stages.count("generator"), stages.count("classifier")) == (6, 30)
