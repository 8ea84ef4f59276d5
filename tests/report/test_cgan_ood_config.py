"""The file of cgan_ood holds every number that the report gives, by its own margin rule."""

import math

import pytest

from replicate.report.claim_tests import TESTS
from replicate.report.config import load
from replicate.report.figure_kinds import KINDS
from replicate.report.tables import EFFECTS
from replicate.runs.files import project_root

PATH = project_root() / "paper_configs" / "cgan_ood.toml"
TABLE_2 = {  # training and test set -> Fashion-MNIST, MNIST, CIFAR-10, as printed
    ("1:0", "original"): (0.882, 0.9484, 0.6771),
    ("0:1", "synthetic"): (0.9771, 0.9926, 0.7919),
    ("0:1", "original"): (0.5839, 0.8984, 0.6523),
    ("1:0", "synthetic"): (0.0979, 0.2365, 0.6336),
    ("1:1", "original"): (0.8699, 0.9409, 0.6728),
    ("2:1", "original"): (0.8731, 0.9427, 0.684),
    ("1:2", "original"): (0.8658, 0.9204, 0.6839),
    ("5:1", "original"): (0.8722, 0.9322, 0.6843),
    ("5:1", "synthetic"): (0.8715, 0.9528, 0.7363),
}
TABLE_3 = {
    "1:0": 0.9158, "0:1": 0.7657, "1:1": 0.8242, "2:1": 0.8572, "1:2": 0.8464, "5:1": 0.9201,
    "6:1": 0.9566, "7:1": 0.9596, "8:1": 0.8923, "9:1": 0.7933, "10:1": 0.7625,
}  # fmt: skip
BLOCKS = {  # block -> column of Table 2, source, scale
    "table2_fashion_mnist": (0, None, None),
    "table2_mnist": (1, None, None),
    "table2_cifar10": (2, "stylegan2_ada_official", None),
    "table2_cifar10_substitute": (2, "stylegan2_ada_own", None),
    "signed_fashion_mnist": (0, None, "signed"),
    "signed_mnist": (1, None, "signed"),
}
UNSCORED = ("table2_cifar10_substitute", "signed_fashion_mnist", "signed_mnist")
DATASETS = ("fashion_mnist", "mnist", "cifar10")


@pytest.fixture(scope="module")
def study():
    """The study's own file."""
    return load(PATH)


@pytest.mark.parametrize("block", BLOCKS)
def test_table_2_is_there(study, block):
    column, source, scale = BLOCKS[block]
    cells = [cell for cell in study.cells if cell.block == block]
    found = {
        (c.selector.settings["ratio"], c.selector.metric.removeprefix("accuracy_")): c.reported
        for c in cells
    }
    assert found == {row: values[column] for row, values in TABLE_2.items()}
    for cell in cells:
        settings = cell.selector.settings
        assert settings["dataset"] == DATASETS[column]
        assert (settings.get("source"), settings.get("scale")) == (source, scale)
        assert bool(cell.unscored) == (block in UNSCORED)


def test_table_3_is_there(study):
    cells = [cell for cell in study.cells if cell.block == "table3"]
    assert {c.selector.settings["ratio"]: c.reported for c in cells} == TABLE_3
    assert {c.selector.metric for c in cells} == {"accuracy_mnist_c_5"}
    assert not any(cell.unscored for cell in cells)


def test_margins_follow_the_one_rule(study):
    for cell in study.cells:
        rule = max(0.01, 0.1 * min(cell.reported, 1 - cell.reported))
        assert (
            math.isnan(cell.margin)
            if cell.unscored
            else cell.margin == pytest.approx(rule, abs=6e-5)
        )


def test_numbers_told_in_words_follow_from_the_tables(study):
    """Differences, gains and means that the claims quote, worked out from Tables 2 and 3."""
    told = {claim.id: claim.reported for claim in study.claims}
    for column in range(3):
        value = {row: values[column] for row, values in TABLE_2.items()}
        five, original = value["5:1", "synthetic"], value["1:0", "original"]
        gain = 100 * (five / value["1:0", "synthetic"] - 1)
        assert f"+{gain:.0f} %" in told["S5"] and f"+{gain:.0f} %" in told["S11"]
        assert f"({value['5:1', 'original'] - original:+.4f})" in told["S6"]
        assert f"{value['5:1', 'original'] - value['1:1', 'original']:+.4f}" in told["S7"]
        assert f"{abs(value['5:1', 'original'] - five):.4f}" in told["S8"]
        mixes = [value[ratio, "original"] for ratio in ("1:1", "2:1", "1:2", "5:1")]
        assert f"{sum(mixes) / 4 - original:+.5f}" in told["S16"]
    for ratio in ("5:1", "6:1", "7:1"):
        assert f"{ratio} {TABLE_3[ratio] - TABLE_3['1:0']:+.4f}" in told["S9"]
    better = [r for r in TABLE_3 if ":0" not in r and r != "0:1" and TABLE_3[r] > TABLE_3["1:0"]]
    assert better == ["5:1", "6:1", "7:1"]
    jump = next(claim for claim in study.claims if claim.id == "K7")
    assert jump.reported == f"{TABLE_3['7:1'] - TABLE_3['10:1']:.4f}"
    exchanged = round(60_000 * 10 / 11) - round(60_000 * 7 / 8)
    assert f"{exchanged:,} of 60,000" in jump.statement


def test_claims_are_complete(study):
    claims = [claim for claim in study.claims if not claim.control]
    assert [claim.id for claim in claims] == [f"S{i}" for i in range(1, 19)]
    assert {c.id for c in claims if c.primary} == {"S1", "S4", "S6", "S9", "S17", "S18"}
    verdicts = {c.id: c.on_reported for c in claims if c.on_reported != "holds"}
    assert verdicts == dict.fromkeys(("S5", "S7", "S9"), "mixed") | {"S16": "fails"} | (
        dict.fromkeys(("S14", "S17", "S18"), "untested")
    )
    used = {test["name"] for claim in study.claims for test in claim.tests}
    assert used <= set(TESTS) and used <= set(EFFECTS)
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in study.log["gaps"])


def test_figures_are_complete(study):
    figures = [figure["id"] for figure in study.figures]
    assert figures[:2] == ["fig1", "fig2"]
    assert len(set(figures)) == len(figures)
    assert {figure["kind"] for figure in study.figures} <= set(KINDS)
    blocks = {block for figure in study.figures for block in figure.get("blocks", ())}
    assert blocks <= set(study.blocks)


def _references(study):
    for claim in study.claims:
        for test in claim.tests:
            for reference in (value for value in test.values() if isinstance(value, dict)):
                yield claim, test, reference


def test_a_substitute_is_named_and_never_scored(study):
    """Whatever a claim or cell takes from the substitute has no verdict, and says why."""
    for claim in study.claims:
        of_claim = [ref["series"] for other, _, ref in _references(study) if other is claim]
        settings = [study.series[name].selector.settings for name in of_claim]
        rests = any(s.get("source") == "stylegan2_ada_own" for s in settings)
        assert rests == bool(claim.unscored)
        assert not rests or ("substitute" in claim.id and claim.unscored.startswith("substitute"))
    for cell in study.cells:
        if cell.selector.settings.get("source") == "stylegan2_ada_own":
            assert "substitute" in cell.where and cell.unscored.startswith("substitute")
    mixed = [e for e in study.extras if "source" in e.get("free", ()) and "cifar10" in str(e)]
    assert mixed and all("source" in entry["by"] for entry in mixed)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('series = "m_gap"', 'series = "m_gab"', "Received: S8 a.series='m_gab'"),
        ('unscored = "ablation', 'note = "ablation', "Expected a field 'margin'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, old, new, message):
    text = PATH.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load(path)
