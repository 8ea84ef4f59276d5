"""README's numbers and figures/ must be what the records give: each kind of difference is found."""

import json
import re
import shutil

import pytest
from report_stores import FakeStore

from replicate.report import figures, main
from replicate.report.check import check_readme, with_block
from replicate.runs.store import Store

README = (
    "# Title\n\n<!-- from the records -->\nold: 0.123\n<!-- end -->\n\nPlain 95 % `0.9876` text.\n"
)

UNMEASURED = [
    '\nid = "chart"\nkind = "flow"\ntitle = "What is done"\nboxes = []\narrows = []\n',
    '\nid = "gone"\nkind = "absent"\ntitle = "What is not"\nreason = "not run"\n',
]


@pytest.fixture(scope="module")
def project(tmp_path_factory, lay, config):
    """A project of two figures, a chart and one not run, written from shipped records."""
    folder = tmp_path_factory.mktemp("project")
    rules, *figures = config.path.read_text().split("[[figures]]")
    two = [figure for figure in figures if "Accuracy by share of the" in figure][:2]
    shutil.copytree(config.path.parent / "across", folder / "configs" / "across")
    shown = "[[figures]]".join([rules, *two, *UNMEASURED])
    (folder / "configs" / config.path.name).write_text(shown)
    paper = lay.accuracy([0.980, 0.981, 0.982], "real", 1.0)
    paper += lay.accuracy([0.960, 0.961, 0.962], "synthetic", 1.0)
    FakeStore(folder / "results", lay.STUDY).add(paper)
    (folder / "README.md").write_text(README)
    assert run(folder, "--publish") == 0
    return folder


def run(folder, action):
    places = [f"--shipped={folder / 'results'}", f"--project={folder}"]
    return main([action, *places, f"--configs={folder / 'configs'}"])


def test_what_was_published_is_what_the_records_give(project, capsys):
    drawn = {p.stem for p in (project / "figures" / "mnist_cvae").glob("*.png")}
    assert drawn == {"fig6", "fig7", "chart"}
    readme = (project / "README.md").read_text()
    assert "| mnist_cvae | all 60,000 digits | size, steps | -0.0200 [" in readme
    assert "old: 0.123" not in readme and readme.startswith("# Title") and "Plain 95 %" in readme
    assert run(project, "--check") == 0


def test_a_study_s_page_stands_beside_its_figures(project):
    """Tables of every kind, and each committed picture by a link that leads somewhere."""
    path = project / "figures" / "mnist_cvae" / "README.md"
    page = path.read_text()
    shown = re.findall(r"!\[.*\]\((.*)\)", page)
    assert {path.parent / name for name in shown} == set(path.parent.glob("*.png"))
    headings = re.findall(r"^## (.*)$", page, flags=re.MULTILINE)
    assert headings[:3] == ["Claims", "Controls", "Reported numbers"]
    assert "| C1" in page and "0.9810 [0.978" in page and "runs/" not in page


def test_every_kind_of_difference_is_found(project, lay, capsys, tmp_path):
    shutil.copytree(project, tmp_path / "project")
    project = tmp_path / "project"
    figures, store = project / "figures" / "mnist_cvae", Store(project / "results")
    (figures / "fig7.png").rename(figures / "fig10.png")
    path = next(store.root.rglob(f"{lay.classifier('real', 1.0).key}*.json"))
    record = json.loads(path.read_text())
    record["metrics"]["test_accuracy"] += 0.001
    path.write_text(json.dumps(record))
    (project / "figures" / "mnist_cvae" / "README.md").write_text("# Another page")
    assert run(project, "--check") == 1
    told = capsys.readouterr().out
    assert "its block of numbers" in told and "fig6.png: not what the records give" in told
    assert "mnist_cvae/fig7.png: not in" in told and "fig10.png: no record behind it" in told
    assert "mnist_cvae/README.md: not what the records give" in told


def test_one_study_alone_is_not_published(project, capsys):
    before = (project / "README.md").read_text()
    assert main(["--publish", "--study=mnist_cvae", f"--project={project}"]) == 2
    assert "Received: --study=mnist_cvae" in capsys.readouterr().err
    assert (project / "README.md").read_text() == before


@pytest.mark.parametrize("text", ["an accuracy of 0.9876", "98.1 % are right", "97 % right"])
def test_a_number_outside_of_the_block_is_found(text):
    block = "| 0.5000 |"
    clean = with_block(README, block)
    assert check_readme(clean, block) == []
    assert "its block of numbers" in check_readme(clean, "| 0.5001 |")[0]
    assert len(check_readme(clean + text, block)) == 1


def test_a_readme_without_a_block_is_refused():
    with pytest.raises(ValueError, match="Expected one block"):
        with_block("# Title", "1")


def test_names_of_clipping_regions_are_no_difference():
    """They hash places that the layout finds up to the last bits; their order still counts."""
    one = b'<path clip-path="url(#p0123456789)"/><g clip-path="url(#pabcdefabcd)"/>'
    other = one.replace(b"p0123456789", b"p9876543210")
    assert figures.digest(one) == figures.digest(other)
    assert figures.digest(one) != figures.digest(one.replace(b"pabcdefabcd", b"p0123456789"))
    assert figures.digest(one) != figures.digest(one.replace(b"<path", b"<line"))
