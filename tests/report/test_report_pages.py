"""The whole report: empty and filled stores, what the pages say, what they must not hold."""

import csv
import re
import subprocess
import sys

import pytest

from replicate.report import main
from replicate.report.cells import compare
from replicate.report.pages import _progress
from replicate.report.views import views_of
from replicate.runs.files import project_root
from replicate.runs.flags import preset_values
from replicate.runs.plan import duration, preset_trials, protocol_keys
from replicate.runs.store import Plan, Store
from replicate.runs.study import load_study


def rows_of(path):
    with open(path) as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def empty(report):
    """The report of a small study on stores that do not exist."""
    return report(f"--configs={project_root() / 'examples'}", study="fashion_generators")


def test_empty_store_is_all_not_run(empty, config):
    claims = rows_of(empty / "report" / "fashion_generators" / "claim_tests.csv")
    assert len(claims) == 2 * 2 and {row["verdict"] for row in claims} == {"not run"}
    assert not rows_of(empty / "report" / "fashion_generators" / "claim_records.csv")
    assert "nothing run yet" in (empty / "REPORT.md").read_text()
    cells = compare(config, {"shipped": [], "yours": []})
    verdicts = [measured.verdict for cell in cells for measured in cell.sides.values()]
    assert len(verdicts) == 2 * 151 and set(verdicts) == {"not run"}


@pytest.mark.parametrize("page", ["empty", "filled"])
def test_html_is_self_contained(page, request):
    path = request.getfixturevalue(page) / "REPORT.html"
    text = path.read_text()
    assert re.search(r"https?:", text) is None
    assert re.search(r"<(script|link[^>]*stylesheet|iframe)", text) is None
    assert set(re.findall(r'src="([a-z]+:)', text)) == {"data:"}
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text
    assert path.stat().st_size < 3e6 and "out of | memory <b>" not in text
    assert text.count("<figure id=") == {"empty": 2, "filled": 12}[page]


def test_every_local_link_has_a_target(filled):
    text = (filled / "REPORT.html").read_text()
    targets = set(re.findall(r'id="([^"]+)"', text))
    links = set(re.findall(r'href="#([^"]+)"', text))
    assert links and links <= targets
    assert text.count('<a href="#mnist_cvae-fig10">Figure 10</a>') == 3  # C8, C9, C10


def test_verdicts_come_from_the_side_that_has_them(filled):
    rows = rows_of(filled / "report" / "mnist_cvae" / "cells.csv")
    point = {r["side"]: r for r in rows if r["block"] == "fig6" and r["point"] == "p = 1"}
    assert point["shipped"]["verdict"] == "reproduced" and point["shipped"]["run"] == "paper"
    assert float(point["shipped"]["mean"]) == pytest.approx(0.981)
    assert point["yours"]["verdict"] == "indicative" and point["yours"]["run"] == "lite"
    assert float(point["yours"]["mean"]) == pytest.approx(0.975)


def test_failures_and_stand_ins_are_named(filled):
    text = (filled / "REPORT.md").read_text()
    assert "out of \\| memory <b>" in text
    assert "1 of 1 failed: out of \\| memory" in text
    assert "A drawn stand-in replaced a data set in: mnist_cvae, yours, smoke." in text
    assert "8 of 9, 1 failed" in text
    html = (filled / "REPORT.html").read_text()
    assert "out of | memory &lt;b&gt;" in html


def test_extensions_are_counted_apart(config, tmp_path):
    study = load_study("replicate.mnist_cvae")
    store = Store(tmp_path)
    trials = preset_trials(study, "paper")
    store.write_plan(Plan("mnist_cvae", "paper", "paper", {}, tuple(trials)))
    own = len(protocol_keys(study, "paper"))
    (view,) = views_of("yours", store.root, config)
    assert 0 < own < len(trials)
    assert _progress(view) == f"0 of {own}, extensions 0 of {len(trials) - own}"


WORDS = {6: "a sixth", 10: "a tenth", 17: "a seventeenth"}


@pytest.mark.parametrize(
    "name, dataset",
    [("cgan_ood", "mnist"), ("cgan_ood", "fashion_mnist"), ("mnist_cvae", "mnist"),
     ("fruits_gan", "fids30"), ("cifar_dcgan", "cifar10")],
)  # fmt: skip
def test_how_long_generators_train_at_lite_is_told(filled, name, dataset):
    """Images that a generator sees, paper over lite, as the page says it."""

    def seen(preset):
        study = load_study(f"replicate.{name}")
        trials = study.declare(preset_values(study, preset))
        settings = [t.settings for t in trials if t.stage == "generator"]
        (epochs, images), *_ = (
            (s["epochs"], s.get("n_train", 1)) for s in settings if s["dataset"] == dataset
        )
        return epochs * images

    told = WORDS[round(seen("paper") / seen("lite"))]
    page = " ".join((filled / "REPORT.md").read_text().split())
    assert re.search(rf"{told} \([a-zA-Z0-9_ ,]*{name}", page)


def test_what_the_time_of_a_run_is_stands_beside_it(filled):
    page = " ".join((filled / "REPORT.md").read_text().split())
    assert "Time: how long at least one of the done trials ran" in page


def test_other_plans_stay_under_their_label(filled):
    other = rows_of(filled / "report" / "mnist_cvae" / "other_yours_smoke.csv")
    assert {row["point"] for row in other} >= {"Figure 6, p = 1"}
    assert all(row["smoke"] == "0.1235, n = 1" for row in other)
    shown = rows_of(filled / "report" / "mnist_cvae" / "cells_fig6.csv")
    assert not any("0.1235" in value for row in shown for value in row.values())


def test_markdown_tables_are_whole(filled):
    lines = (filled / "REPORT.md").read_text().splitlines()
    tables = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert len(tables) > 200
    for before, after in zip(lines, lines[1:], strict=False):
        if before.startswith("|") and after.startswith("|"):
            count = [line.replace("\\|", "").count("|") for line in (before, after)]
            assert count[0] == count[1], before


def test_figures_are_written(filled):
    folder = filled / "report" / "mnist_cvae"
    assert {p.stem for p in folder.glob("fig*.png")} == {f"fig{i}" for i in range(1, 11)}
    assert {p.stem for p in folder.glob("fig*.svg")} == {f"fig{i}" for i in range(1, 11)}
    text = (filled / "REPORT.md").read_text()
    assert "shipped (paper): replicate 0, data: package" in text
    for name in re.findall(r"\]\((report/[^)]+)\)", text):
        assert (filled / name).is_file()


def test_report_needs_no_tensorflow_and_help_nothing_heavy():
    code = (
        "import sys, replicate.report as r\n"
        "try: r.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'matplotlib', 'jinja2', 'statsmodels'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import replicate.report.pages\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--workdir" in done.stdout


def test_wrong_arguments_give_one_clear_line(tmp_path, capsys):
    assert main([f"--configs={tmp_path}", f"--out={tmp_path}"]) == 2
    assert main(["--study=nothing", f"--out={tmp_path}"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f"Expected a file <study>.toml in {tmp_path}. Received: none")
    assert second.endswith("Received: nothing")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["workdir", "shipped", "configs"])
def test_a_folder_that_was_given_must_be_there(tmp_path, capsys, flag):
    assert main([f"--{flag}={tmp_path / 'nowhere'}", f"--out={tmp_path}"]) == 2
    told = f"Expected --{flag} to be a folder. Received: {str(tmp_path / 'nowhere')!r}\n"
    assert capsys.readouterr().err.endswith(told)
    assert not list(tmp_path.iterdir())


def test_an_out_that_cannot_be_written_is_one_clear_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert main([f"--out={out}"]) == 2
        told = f"Expected --out to be a folder that can be written. Received: {str(out)!r}\n"
        assert capsys.readouterr().err.endswith(told)


def test_a_broken_record_is_named(tmp_path, capsys):
    store = Store(tmp_path / "runs")
    store.write_plan(Plan("mnist_cvae", "paper", "paper", {}, ()))
    path = tmp_path / "runs" / "mnist_cvae" / "records" / "x.1.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    places = [f"--workdir={tmp_path / 'runs'}", f"--out={tmp_path / 'out'}"]
    status = main([*places, "--study=mnist_cvae"])
    assert status == 2 and "x.1.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "seconds, text", [(45, "45 s"), (600, "10 min"), (9000, "2.5 h"), (0, "0 s")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
