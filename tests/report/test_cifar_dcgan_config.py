"""The file of cifar_dcgan holds every number that the report gives, by its own margin rule."""

import math
import re

import pytest
from report_stores import trials_of

from replicate.report.claim_tests import TESTS
from replicate.report.config import load
from replicate.report.figure_kinds import KINDS
from replicate.report.tables import extras_tables
from replicate.runs.files import project_root

PATH = project_root() / "paper_configs" / "cifar_dcgan.toml"
TABLE_1 = {
    "airplane": 65.113, "automobile": 38.06, "bird": 73.156, "cat": 52.456, "deer": 48.013,
    "dog": 37.978, "frog": 40.173, "horse": 51.377, "ship": 32.909, "truck": 27.774,
}  # fmt: skip
TABLE_2 = {  # experiment -> training set, test set, accuracy in training and in test
    "1": ("real", "real", 0.8573, 0.7166),
    "4": ("real", "synthetic", 0.8573, 0.5011),
    "2": ("synthetic", "synthetic", 1.0, 1.0),
    "5": ("synthetic", "real", 1.0, 0.1359),
    "3": ("mixed", "mixed", 0.9613, 0.8546),
}
DERIVED = ("0.7092", "0.9226", "0.8583", "46.7009", "27.774", "73.156")
STATED = (
    "4,500 / 500 / 1,000",
    "60,000",
    "90,000 / 10,000 / 20,000",
    "6,000",
    "0.0005",
    "0.0001",
    "100 epochs",
)


@pytest.fixture(scope="module")
def study():
    """The study's own file."""
    return load(PATH)


def test_table_1_is_there_and_never_scored(study):
    cells = [cell for cell in study.cells if cell.block == "table1"]
    assert {c.selector.settings["klass"]: c.reported for c in cells} == TABLE_1
    assert all(c.unscored and math.isnan(c.margin) for c in cells)
    assert {c.selector.settings["extractor"] for c in cells} == {"inception_imagenet"}


def test_table_2_is_there(study):
    cells = {cell.label: cell for cell in study.cells if cell.block == "table2"}
    assert len(cells) == 2 * len(TABLE_2)
    for experiment, (trained, tested, training, test) in TABLE_2.items():
        mine = [cell for label, cell in cells.items() if label.startswith(experiment)]
        assert {cell.selector.settings["arm"] for cell in mine} == {trained}
        found = {cell.selector.metric: cell.reported for cell in mine}
        assert found == {
            "train_accuracy_last": training, f"test_accuracy_{tested}_selected": test,
        }  # fmt: skip


def test_derived_and_stated_numbers_are_told():
    text = PATH.read_text()
    told = text[text.index("[study]") :]
    missing = [number for number in (*DERIVED, *STATED) if number not in told]
    assert not missing


def test_margins_follow_the_one_rule(study):
    for cell in study.cells:
        if not cell.unscored:
            rule = max(0.01, 0.1 * min(cell.reported, 1 - cell.reported))
            assert cell.margin == pytest.approx(rule, abs=6e-5)


def test_claims_and_figures_are_complete(study):
    claims = [claim for claim in study.claims if not claim.control]
    assert [claim.id for claim in claims] == [f"H{i}" for i in range(1, 13)]
    assert {c.id for c in claims if c.primary} == {"H1", "H2", "H3", "H5", "H10"}
    verdicts = {c.id: c.on_reported for c in claims if c.on_reported != "holds"}
    assert verdicts == {"H5": "mixed"} | dict.fromkeys(("H9", "H10", "H11", "H12"), "untested")
    assert {test["name"] for c in study.claims for test in c.tests} <= set(TESTS)
    figures = [figure["id"] for figure in study.figures]
    assert figures[:11] == [f"fig{i}" for i in range(1, 12)]
    assert {figure["kind"] for figure in study.figures} <= set(KINDS)
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in study.log["gaps"])


def test_the_held_out_distance_stands_beside_one_of_as_many_images(seen, study):
    """Records from before it was taken show none; what an evaluation records has its column."""
    trial = trials_of("cifar_dcgan", source="per_class", extractor="classifier", point="last")
    old = {"frechet": 5.0, "frechet_all_real": 4.5, "frechet_heldout": 2.0}
    results = [(trial("evaluation", klass="cat"), old)]
    results.append((trial("evaluation", klass="dog"), old | {"frechet_matched": 6.0}))
    table = next(t for t in extras_tables(study, [seen(results)]) if t.id == "extra_proxy")
    columns = ("frechet", "frechet all real", "frechet matched", "frechet heldout")
    assert table.columns[3:7] == columns
    cells = [row[3:7] for row in table.rows]
    whole, all_real, held_out = (f"{value:.2f}, n = 1" for value in old.values())
    assert cells == [
        (whole, all_real, "-", held_out),
        (whole, all_real, "6.00, n = 1", held_out),
    ]


def test_words_of_rows_hold_at_any_preset(study):
    """Epochs of the report's own run are named as such: other presets have fewer."""
    labels = [series.label for series in study.series.values()]
    labels += [test.get("label", "") for claim in study.claims for test in claim.tests]
    labels += [entry["what"] for entry in study.extras] + list(study.blocks.values())
    numbered = [text for text in labels if re.search(r"\b(10|20|50|100)\b(?! generator)", text)]
    assert all("at preset paper" in text for text in numbered), numbered


@pytest.mark.parametrize(
    "old, new, message",
    [
        (', x = "klass", over = ["airplane"', ', over = ["airplane"', r"\[series\] recall_5"),
        ('unscored = "another', 'note = "another', r"\[cells\]\] table1. Received: 'note'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, old, new, message):
    text = PATH.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load(path)
