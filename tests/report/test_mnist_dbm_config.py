"""The file of mnist_dbm holds every number that the slides give, by its own margin rule."""

import math

import pytest

from replicate.report.claim_tests import TESTS
from replicate.report.config import load
from replicate.report.figure_kinds import KINDS
from replicate.runs.files import project_root

PATH = project_root() / "paper_configs" / "mnist_dbm.toml"
TEN_SIZES = list(range(10, 101, 10))
REPORTED = {  # block -> arm -> mean, SD, number of runs; calibrated where images are real
    "table1_svm": {"real": (0.653, 0.048, 10), "generated": (0.742, 0.021, 10)},
    "table1_cnn": {"real": (0.610, 0.048, 10), "generated": (0.604, 0.038, 10)},
    "table2": {"real": (0.903, 0.008, 10), "generated": (0.899, math.nan, 1)},
    "fig4": {"real": (0.6477, None, 1)},
    "fig5": {"mixed": (0.6152, None, 1)},
}
SIZES = {"table1_svm": ("svm", 100), "table1_cnn": ("cnn", 100), "table2": ("svm", 1000)}
FIGURES = {"fig4", "fig5", "fig6", "generated", "dbm", "dbm_cifar10", "learning_curves"}
COUNTS = ("7,065,211", "3,769,479", "1,199,882", "928,016", "3072-5000-1000")


@pytest.fixture(scope="module")
def study():
    """The study's own file."""
    return load(PATH)


def test_every_reported_number_is_there(study):
    found = {block: {} for block in REPORTED}
    for cell in study.cells:
        found[cell.block][cell.selector.settings["arm"]] = (cell.reported, cell.sd, cell.n)
        stage, n = SIZES.get(cell.block, ("cnn", None))
        assert (cell.selector.stage, cell.selector.settings.get("n")) == (stage, n)
        assert cell.selector.metric == "test_accuracy" and not cell.unscored
    assert repr(found) == repr(REPORTED)


def test_peaks_are_the_best_of_ten_sizes(study):
    peaks = [cell for cell in study.cells if cell.block in ("fig4", "fig5")]
    assert [cell.selector.best_over for cell in peaks] == [{"n": TEN_SIZES}] * 2
    assert study.series["cnn_real"].over == study.series["cnn_mixed"].over == tuple(TEN_SIZES)


def test_numbers_on_real_images_alone_are_calibration(study):
    for cell in study.cells:
        fitted = cell.selector.settings["arm"] == "real"
        assert (cell.tag == "F") == fitted == bool(cell.alternatives), cell.where
    assert sum(gap["tag"] == "F" for gap in study.log["gaps"]) == 2  # the SVM, the CNN


def test_margins_follow_the_one_rule(study):
    for cell in study.cells:
        assert cell.margin == pytest.approx(max(0.01, 0.1 * (1 - cell.reported)), abs=6e-5)


def test_claims_and_figures_are_complete(study):
    claims = [claim for claim in study.claims if not claim.control]
    assert {claim.id for claim in claims} == {f"L{i}" for i in range(1, 13)} | {"L9b"}
    assert {c.id for c in claims if c.primary} == {"L1", "L2", "L3", "L5", "L6"}
    untested = {c.id for c in claims if c.on_reported == "untested"}
    assert untested == {"L8", "L9", "L9b", "L10", "L12"}
    assert {test["name"] for c in study.claims for test in c.tests} <= set(TESTS)
    assert {figure["id"] for figure in study.figures} >= FIGURES
    assert {figure["kind"] for figure in study.figures} <= set(KINDS)
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in study.log["gaps"])
    text = PATH.read_text()
    assert not [number for number in COUNTS if number not in text[text.index("[log]") :]]


def test_zone_of_equality_is_the_reported_pooled_sd(study):
    sds = [REPORTED["table1_cnn"][arm][1] for arm in ("real", "generated")]
    pooled = math.sqrt(sum(sd**2 for sd in sds) / 2)
    for name in ("L1", "K4"):
        (test,) = next(claim for claim in study.claims if claim.id == name).tests
        assert test["margin"] == pytest.approx(pooled, abs=5e-5)
