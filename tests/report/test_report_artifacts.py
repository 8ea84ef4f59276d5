"""Artifacts are found in the workdir or among the released files, and checked; git history."""

import subprocess
import tomllib

import numpy as np
import pytest

from replicate.report.artifacts import NotAvailable, first_record, locate
from replicate.report.config import Selector
from replicate.report.history import margins_commit, rules_of

SINGLE = Selector("single", {"arm": "real"})


@pytest.fixture
def made(view, lay):
    """A view with one single run and its losses."""
    return view([(lay.single("real"), {"test_accuracy": 0.98, "batch_loss": np.arange(4.0)})])


def test_workdir_first_then_released(made, tmp_path):
    record = first_record(made, SINGLE)
    shipped = tmp_path / "results"
    own = made.store.artifact_dir(record.trial) / "batch_loss.npy"
    assert locate(made, record, "batch_loss", shipped) == own
    released = shipped / "artifacts" / record.key / "batch_loss.npy"
    released.parent.mkdir(parents=True)
    own.rename(released)
    assert locate(made, record, "batch_loss", shipped) == released
    released.unlink()
    with pytest.raises(NotAvailable, match="not in the workdir or among the released files"):
        locate(made, record, "batch_loss", shipped)


def test_changed_file_is_refused(made, tmp_path):
    record = first_record(made, SINGLE)
    path = made.store.artifact_dir(record.trial) / "batch_loss.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(NotAvailable, match="SHA-256 differs"):
        locate(made, record, "batch_loss", tmp_path)
    with pytest.raises(NotAvailable, match="the record has no examples"):
        locate(made, record, "examples", tmp_path)


def test_absent_record_is_said(made):
    with pytest.raises(NotAvailable, match="not part of the plan paper"):
        first_record(made, Selector("single", {"arm": "synthetic"}))


def _git(folder, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_the_margins_survives_rewording(config, tmp_path):
    path = tmp_path / "study.toml"
    text = config.path.read_text()
    path.write_text(text)
    assert margins_commit(path) == "unknown"
    _git(tmp_path, "init", "-q")
    path.write_text(text.replace("alpha = 0.05", "alpha = 0.01"))
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "another alpha")
    path.write_text(text)
    _git(tmp_path, "commit", "-qam", "the rules")
    fixed = _git(tmp_path, "rev-parse", "--short", "HEAD")
    path.write_text(text.replace("Synthetic digits alone are enough", "Synthetic digits suffice"))
    _git(tmp_path, "commit", "-qam", "other words")
    assert margins_commit(path).startswith(f"commit {fixed} of ")
    shallow = tmp_path / "shallow"
    _git(tmp_path, "clone", "-q", "--depth=1", tmp_path.as_uri(), str(shallow))
    assert margins_commit(shallow / path.name).endswith(" or earlier")
    path.write_text(text.replace("above = 0.95", "above = 0.94"))
    told = margins_commit(path)
    assert told.startswith(f"commit {fixed} of ") and told.count("not committed yet") == 1
    path.write_text(text.replace("alpha = 0.05", "alpha = 0.10"))
    assert margins_commit(path) == "not committed yet"
    _git(tmp_path, "commit", "-qam", "another alpha")
    path.write_text(path.read_text().replace("primary = true", "primary = false", 1))
    _git(tmp_path, "commit", "-qam", "another family")
    first, *others = margins_commit(path).split("; ")
    (other,) = others
    assert first.startswith("commit ") and other.endswith(f" of {first.split(' of ')[1]}")
    assert other.split(": ")[0] in rules_of(text) and first.split()[1] not in other


@pytest.mark.parametrize(
    "old, new, changed",
    [
        ("Tags of a choice", "Tags", "none"),
        ("alpha = 0.05", "alpha = 0.10", "all"),
        ("[base]\n", "[base]\nmore = 1\n", "all"),
        ("reported = 0.98041, sd", "reported = 0.98042, sd", "one"),
        ("primary = true", "primary = false", "one"),
        ("Real training digits", "Some real digits", "none"),
    ],
)
def test_rules_are_what_decides(config, old, new, changed):
    text = config.path.read_text()
    assert old in text
    before, after = rules_of(text), rules_of(text.replace(old, new, 1))
    different = sum(before[name] != after[name] for name in before)
    assert different == {"none": 0, "one": 1, "all": len(before)}[changed]


def test_a_rule_changes_with_the_series_that_it_names(config):
    text = config.path.read_text()
    raw = tomllib.loads(text)
    claim = raw["claims"][0]
    series = claim["tests"][0]["a"]["series"]
    line = next(x for x in text.splitlines() if x.startswith(f"{series} = "))
    before, after = (
        rules_of(text),
        rules_of(text.replace(line, line.replace('stage = "', 'stage = "x'))),
    )
    changed = {name for name in before if before[name] != after[name]}
    assert claim["id"] in changed and len(changed) < len(before)
