"""The examples of docs/ run as they stand, and its lists are whole."""

import re
from pathlib import Path

import numpy as np

from replicate.report.claim_tests import TESTS
from replicate.report.config import load
from replicate.report.figure_kinds import KINDS

ROOT = Path(__file__).parents[1]
STUDY_FILE = (ROOT / "docs" / "study_file.md").read_text()
TEXT = (ROOT / "docs" / "library.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_every_block_runs_in_order(capsys):
    names = {}
    for block in BLOCKS:
        exec(compile(block, "docs/library.md", "exec"), names)
    assert len(names["accuracy"]) == 6 and len(BLOCKS) >= 6
    assert all(0 <= value <= 1 for value in names["accuracy"].values())
    assert np.isfinite(names["drawn"]).all()
    assert "Interval(" in capsys.readouterr().out


def test_every_test_and_every_kind_of_figure_is_described():
    for heading, names in (("Claims", TESTS), ("Figures", KINDS)):
        (part,) = re.findall(rf"^## {heading}.*?(?=^## |\Z)", STUDY_FILE, re.DOTALL | re.MULTILINE)
        assert sorted(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) == sorted(names)


def test_the_examples_of_a_study_s_file_are_one(tmp_path):
    example = (ROOT / "examples" / "fashion_generators.toml").read_text()
    start = example[: example.index("[series]")]
    parts = re.findall(r"```toml\n(.*?)```", STUDY_FILE, flags=re.DOTALL)
    (tmp_path / "study.toml").write_text("\n".join([start, *parts]))
    config = load(tmp_path / "study.toml")
    assert list(config.series) == ["real", "mix", "recall", "loss"]
    assert config.series["loss"].over == tuple(range(1, 51))
    assert [cell.label for cell in config.cells] == ["arm = real", "arm = synthetic"]
    assert [claim.id for claim in config.claims] == ["C1"]
