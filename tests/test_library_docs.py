"""The examples of docs/library.md run as they stand."""

import re
from pathlib import Path

import numpy as np

TEXT = (Path(__file__).parents[1] / "docs" / "library.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def test_every_block_runs_in_order(capsys):
    names = {}
    for block in BLOCKS:
        exec(compile(block, "docs/library.md", "exec"), names)
    assert len(names["accuracy"]) == 6 and len(BLOCKS) >= 6
    assert all(0 <= value <= 1 for value in names["accuracy"].values())
    assert np.isfinite(names["drawn"]).all()
    assert "Interval(" in capsys.readouterr().out
