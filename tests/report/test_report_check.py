"""README's numbers and figures/ must be what the records give: each kind of difference is found."""

import json
import shutil

import pytest

from replicate.report import main
from replicate.report.check import check_readme, with_block
from replicate.runs.store import Store

README = (
    "# Title\n\n<!-- from the records -->\nold: 0.123\n<!-- end -->\n\nPlain 95 % `0.9876` text.\n"
)


@pytest.fixture(scope="module")
def published(report, lay):
    """A project whose README and figures were written from shipped records."""
    paper = lay.accuracy([0.980, 0.981, 0.982], "real", 1.0)
    paper += lay.accuracy([0.960, 0.961, 0.962], "synthetic", 1.0)
    folder = report(results=[{"results": paper}]).parent
    (folder / "README.md").write_text(README)
    assert run(folder, "--publish") == 0
    return folder


@pytest.fixture
def project(published, tmp_path):
    """A copy of it to spoil."""
    shutil.copytree(published, tmp_path / "project")
    return tmp_path / "project"


def run(folder, action):
    places = [f"--shipped={folder / 'results'}", f"--project={folder}", "--study=mnist_cvae"]
    return main([action, *places])


def test_what_was_published_is_what_the_records_give(project, capsys):
    assert {p.stem for p in (project / "figures" / "mnist_cvae").glob("*.png")} == {"fig6", "fig7"}
    readme = (project / "README.md").read_text()
    assert "| mnist_cvae | all 60,000 digits | size, steps | -0.0200 [" in readme
    assert "old: 0.123" not in readme and readme.startswith("# Title") and "Plain 95 %" in readme
    assert run(project, "--check") == 0


def test_a_changed_number_in_readme_is_found(project, capsys):
    path = project / "README.md"
    path.write_text(path.read_text().replace("-0.0200", "-0.0100"))
    assert run(project, "--check") == 1
    assert "its block of numbers" in capsys.readouterr().out


def test_a_changed_record_is_found_in_readme_and_figures(project, capsys):
    store = Store(project / "results")
    path = next(p for p in store.root.rglob("*.json") if '"test_accuracy"' in p.read_text())
    record = json.loads(path.read_text())
    record["metrics"]["test_accuracy"] += 0.001
    path.write_text(json.dumps(record))
    assert run(project, "--check") == 1
    told = capsys.readouterr().out
    assert "its block of numbers" in told and "fig6.png: not what the records give" in told


def test_figures_that_are_missing_or_left_over_are_found(project, capsys):
    folder = project / "figures" / "mnist_cvae"
    (folder / "fig6.png").rename(folder / "fig10.png")
    assert run(project, "--check") == 1
    told = capsys.readouterr().out
    assert "mnist_cvae/fig6.png: not in" in told and "fig10.png: no record behind it" in told


@pytest.mark.parametrize("text", ["an accuracy of 0.9876", "98.1 % are right", "97 % right"])
def test_a_number_outside_of_the_block_is_found(text):
    block = "| 0.5000 |"
    clean = with_block(README, block)
    assert check_readme(clean, block) == []
    assert len(check_readme(clean + text, block)) == 1


def test_a_readme_without_a_block_is_refused():
    with pytest.raises(ValueError, match="Expected one block"):
        with_block("# Title", "1")
