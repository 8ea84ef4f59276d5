"""Differences over all studies: numbers against SciPy, reasons where there are none, bad files."""

import types

import numpy as np
import pytest
from report_stores import trials_of
from scipy import stats

from replicate.evaluation.held_out import image_interval
from replicate.report import across
from replicate.report.config import load, load_all
from replicate.report.views import views_of
from replicate.runs.files import project_root

PATH = project_root() / "paper_configs" / "across" / "effects.toml"
REAL, SYNTHETIC = [0.980, 0.984, 0.981], [0.960, 0.965, 0.958]
ENTRY = """
[questions]
replace = "In place"
[[effects]]
question = "replace"
study = "mnist_cvae"
what = "all"
a = { series = "synthetic", p = 1.0 }
b = { series = "real", p = 1.0 }
matched = "size"
"""


@pytest.fixture
def seen_fruits(fake):
    """A view of three networks of two arms, and which of 76 images each recognises."""
    made = trials_of("fruits_gan", dataset="fids30", seed=0)
    rng, results, rights = np.random.default_rng(2), [], {"real": [], "synthetic": []}
    for arm, rows in rights.items():
        for replicate in range(3):
            more = {"point": "picked", "storage": "jpeg"} if arm == "synthetic" else {}
            rows.append((rng.random(76) < 0.7).astype(int).tolist())
            trial = made("classifier", replicate, arm=arm, epochs=48, **more)
            results.append((trial, {"val_right_last": rows[-1]}))
    store = fake("fruits", "fruits_gan")
    store.add(results, shipped=True)
    config = load(project_root() / "paper_configs" / "fruits_gan.toml")
    return views_of("yours", store.root, config)[0], rights


@pytest.fixture
def measured(view, lay):
    trials = lay.accuracy(REAL, "real", 1.0) + lay.accuracy(SYNTHETIC, "synthetic", 1.0)
    sides = {"shipped": [], "yours": [view(trials)]}
    page = types.SimpleNamespace(module="mnist_cvae", sides=sides)
    return across.measure(PATH, [page])


def test_a_difference_is_paired_by_replicate(measured):
    found = next(f for d, f in measured.rows if d.what == "all 60,000 digits")
    differences = np.subtract(SYNTHETIC, REAL)
    low, high = stats.t.interval(0.95, 2, differences.mean(), stats.sem(differences))
    assert [each.side for each in found] == ["yours"]
    effect = found[0].effect
    np.testing.assert_allclose([effect.effect, effect.low, effect.high],
                               [differences.mean(), low, high])  # fmt: skip
    table = across.tables(measured)[0]
    row = next(row for row in table.rows if row[1] == "all 60,000 digits")
    assert row[3] == "not run"
    assert row[4] == f"{differences.mean():+.4f} [{low:+.4f}, {high:+.4f}], n = 3 (paper)"


def test_what_was_not_run_says_why(measured):
    rows = {row[1]: row[-1] for table in across.tables(measured) for row in table.rows}
    assert rows["60,000 synthetic digits more, as reported"].startswith("not run: ")
    assert len(rows) == len(measured.rows) < len(across.load(PATH)[1])  # one study of several


def test_the_figure_shows_what_was_run(measured):
    labels = [tick.get_text() for tick in across.figure(measured).axes[0].get_yticklabels()]
    assert labels == ["all 60,000 digits · mnist_cvae, paper", measured.questions["replace"]]
    assert across.figure(across.Across(measured.questions, [])) is None


def test_labels_of_the_figure_are_not_cut_off(measured):
    """The longest names of the file leave the axis little room."""
    ((found,),) = (each for _, each in measured.rows if each[0].run)
    rows = [(difference, [found]) for difference in across.load(PATH)[1]]
    made = across.figure(across.Across(measured.questions, rows))
    across.files_of(made)
    (axes,) = made.axes
    for text in (axes.xaxis.label, *axes.get_yticklabels()):
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= made.bbox.x1, text.get_text()


def test_a_difference_may_hold_the_sampling_of_its_images(tmp_path, seen_fruits):
    """By the same test as the claims, image by image; 76 of them."""
    path = tmp_path / "effects.toml"
    path.write_text("""
[questions]
replace = "In place"
[[effects]]
question = "replace"
study = "fruits_gan"
what = "fruit"
test = "accuracy_difference"
a = { series = "f_synthetic_last_images" }
b = { series = "f_real_last_images" }
matched = "neither"
""")
    view, rights = seen_fruits
    page = types.SimpleNamespace(module="fruits_gan", sides={"shipped": [], "yours": [view]})
    measured = across.measure(path, [page])
    ((_, (found,)),) = measured.rows
    interval = image_interval(np.subtract(rights["synthetic"], rights["real"]))
    effect = found.effect
    assert (effect.effect, effect.low, effect.high) == pytest.approx(
        (interval.mean, interval.low, interval.high)
    )
    assert across.tables(measured)[0].rows[0][-1].endswith("n = 3, 76 images, paired (paper)")


def test_differences_of_few_images_hold_their_sampling():
    """The rows of fruits_gan rest on 76 images, as its claims do."""
    mine = [d for d in across.load(PATH)[1] if d.study == "fruits_gan"]
    assert {d.test["name"] for d in mine} == {"accuracy_difference"}
    assert {"f_synthetic_last_images", "f_synthetic_size_matched_last_images"} == {
        d.test["a"]["series"] for d in mine if d.question == "replace"
    }


def test_every_arm_of_the_file_is_a_series_of_its_study():
    configs = {c.module: c for c in load_all(project_root() / "paper_configs")}
    for difference in across.load(PATH)[1]:
        for role in ("a", "b"):
            assert difference.test[role]["series"] in configs[difference.study].series


@pytest.mark.parametrize(
    "change",
    [
        ("matched", "like"),
        ('"replace"\nstudy', '"buy"\nstudy'),
        ("matched", 'test = "sign_test"\nmatched'),
    ],
)
def test_a_malformed_file_is_refused(tmp_path, change):
    path = tmp_path / "effects.toml"
    path.write_text(ENTRY)
    assert across.load(path)[1][0].what == "all"
    path.write_text(ENTRY.replace(*change))
    with pytest.raises(ValueError, match="expected effects with"):
        across.load(path)


def test_a_difference_says_what_its_interval_leaves_out(fake):
    """Two of three planned networks of each arm, those of synthetic images on one generator."""
    made, results = trials_of("mnist_dbm"), []
    config = load(project_root() / "paper_configs" / "mnist_dbm.toml")
    difference = next(d for d in across.load(PATH)[1] if d.what == "100 digits, SVM")
    for role, value in (("a", 0.6), ("b", 0.7)):
        selector = config.series[difference.test[role]["series"]].selector
        settings = dict(config.base) | dict(selector.settings)
        inputs = {"synthetic": "0" * 64} if role == "a" else {}
        for replicate in range(3):
            trial = made(selector.stage, replicate, inputs, **settings)
            results.append((trial, {selector.metric: value + replicate / 100}))
    store = fake("unfinished", "mnist_dbm")
    store.add(results, missing={results[2][0].key}, shipped=True)
    sides = {"shipped": views_of("shipped", store.root, config), "yours": []}
    page = types.SimpleNamespace(module="mnist_dbm", sides=sides)
    (found,) = next(f for d, f in across.measure(PATH, [page]).rows if d.what == "100 digits, SVM")
    assert found.reason == "one generator, 2 of 3 planned replicates"
    table = next(t for t in across.tables(across.measure(PATH, [page]), ("shipped",)) if t.rows)
    row = next(row for row in table.rows if row[1] == "100 digits, SVM")
    assert row[-1].endswith("n = 2, one generator, 2 of 3 planned replicates (paper)")
