import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy study, its presets, and a workdir, as `(study, workdir)`."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("PYTHONPATH", f"{FOLDER}:{FOLDER.parents[1]}")
    configs = tmp_path / "project" / "paper_configs"
    configs.mkdir(parents=True)
    (configs / "toy.paper.cfg").write_text("--scale=2\n--replicates=3\n")
    (configs / "toy.smoke.cfg").write_text("--scale=7\n--replicates=1\n")
    monkeypatch.setenv("REPLICATE_HOME", str(tmp_path / "project"))
    sys.modules.pop("toy_study", None)
    import toy_study

    return toy_study.STUDY, tmp_path / "runs"
