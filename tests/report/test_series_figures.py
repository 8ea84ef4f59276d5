"""Figures of series, of every run and of rows of images, on records with known content."""

import numpy as np
import pytest
from report_stores import trials_of

from replicate.report.figure_base import Source
from replicate.report.figure_kinds import KINDS

STUDY = "mnist_dbm"
MADE = {"source": "dcgan", "leak": False, "noise": "gaussian"}
trial = trials_of(STUDY, dataset="mnist", seed=0)
NOISE = np.random.default_rng(3).normal(0.6, 0.02, 30)


def cnn(arm, n, replicate):
    """Replicate r of a generated arm rests on generator r mod 2."""
    settings = {"arm": arm, "n": n, "optimizer": "adadelta"}
    if arm == "real":
        return trial("cnn", replicate, **settings)
    return trial("cnn", replicate, {"synthetic": f"set {replicate % 2}"}, **settings, **MADE)


def accuracies(arm, n, values):
    return [(cnn(arm, n, r), {"test_accuracy": float(v)}) for r, v in enumerate(values)]


@pytest.fixture
def drawn(seen, figure, study, tmp_path):
    """Draw a figure of the study from results of either side; returns its captions."""

    def make(name, yours, shipped=()):
        sides = {"shipped": [], "yours": []}
        for side, results in (("yours", yours), ("shipped", shipped)):
            if results:
                sides[side] = [seen(results, side, side)]
        entry = next(f for f in study.figures if f["id"] == name)
        return KINDS[entry["kind"]](figure, entry, Source(study, sides, tmp_path / "shipped"))

    return make


def curve(values_of, sizes=(10, 20, 100, 200)):
    return [r for n in sizes for r in accuracies("real", n, values_of(n))]


def test_bands_show_means_and_intervals_of_the_named_points(drawn, figure):
    captions = drawn("fig4", curve(lambda n: [n / 1000, n / 1000 + 0.02]))
    (axes,) = figure.axes
    line, reported = axes.lines
    assert line.get_xdata().tolist() == [10, 20, 100]  # 200 is no point of experiment 2
    assert line.get_ydata() == pytest.approx([0.02, 0.03, 0.11])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    half = 12.706 * 0.01  # t(0.975, 1) times the standard error
    assert (heights.min(), heights.max()) == pytest.approx((0.02 - half, 0.11 + half), abs=1e-4)
    assert list(reported.get_ydata()) == [0.6477, 0.6477]
    assert captions == ["yours (paper): data: package"]


def test_one_run_has_no_band(drawn, figure):
    drawn("fig4", curve(lambda n: [n / 1000]))
    (band,) = figure.axes[0].collections
    assert not any(len(path.vertices) for path in band.get_paths())


def test_bands_of_two_sides_differ_in_their_dashes(drawn, figure):
    results = curve(lambda n: [n / 1000, n / 1000 + 0.02])
    captions = drawn("learning_curves", results, shipped=curve(lambda n: [0.5, 0.6]))
    styles = [line.get_linestyle() for line in figure.axes[0].lines[:2]]
    colours = {line.get_color() for line in figure.axes[0].lines[:2]}
    assert len(set(styles)) == 2 and len(colours) == 1
    assert [caption.split(":")[0] for caption in captions] == ["shipped (paper)", "yours (paper)"]


def test_nothing_to_draw_says_so(drawn, figure):
    assert drawn("fig5", curve(lambda n: [0.5])) == []
    assert "not run" in figure.axes[0].texts[0].get_text()


def test_runs_of_one_generator_stand_side_by_side(drawn, figure):
    values = [0.61, 0.51, 0.63, 0.55]  # generators 0, 1, 0, 1
    results = accuracies("generated", 100, values) + accuracies("real", 100, [0.7, 0.8, 0.9, 0.6])
    captions = drawn("fig6", results)
    (axes,) = figure.axes  # no SVM was run: one panel
    assert axes.get_title(loc="left") == "CNN (the slides' figure)"
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["100 generated images"].get_ydata().tolist() == [0.61, 0.63, 0.51, 0.55]
    assert lines["100 real images"].get_ydata().tolist() == [0.7, 0.9, 0.8, 0.6]
    bars = [bar.lines for bar in axes.containers]
    middles = [float(data.get_ydata()[0]) for data, *_ in bars]
    assert middles == pytest.approx([0.75, 0.61, 0.575, 0.604])  # each beside what is reported
    spreads = [np.ptp(caps[0].get_segments()[0][:, 1]) / 2 for _, _, caps in bars]
    within = np.sqrt((0.02**2 / 2 + 0.04**2 / 2) / 2)
    assert spreads[1::2] == pytest.approx([0.048, 0.038])
    assert spreads[2] == pytest.approx(within)
    assert captions == ["yours (paper): a generator between dotted lines, data: package"]


def test_numbers_of_runs_keep_clear_of_the_name_of_their_mean(drawn, figure):
    results = [r for arm in ("real", "generated") for r in accuracies(arm, 100, NOISE)]
    drawn("fig6", results)
    named = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert named == ["1", "5", "10", "15", "20", "25", "mean, SD"]


def test_arms_of_claims_show_every_run_with_bounds_on_their_means(drawn, figure):
    results = accuracies("label_shuffled", 100, [0.09, 0.11, 0.08, 0.12])
    results += accuracies("real", 1000, [0.9])  # of no claim here
    captions = drawn("compared", results)
    axes = figure.axes[0]
    without = "L3; K2; K5; K6; K7; K1: SVM, 100 generated images, labels permuted"
    assert axes.get_title(loc="left") == f"not run: {without}"
    assert [text.get_text().strip() for text in axes.texts] == ["K1"]
    (name,) = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert name == "CNN, 100 generated images, labels permuted"
    low, high, runs, *_ = axes.lines
    assert [low.get_xdata()[0], high.get_xdata()[0]] == pytest.approx([0.07, 0.13])
    assert runs.get_xdata().tolist() == [0.09, 0.11, 0.08, 0.12]
    (mean, caps, _) = axes.containers[0]
    assert mean.get_xdata()[0] == pytest.approx(0.1) and len(caps) == 2
    assert captions == ["yours (paper): n = 4 runs an arm, data: package"]


def test_a_difference_s_bounds_are_not_drawn_beside_its_arms(drawn, figure):
    results = accuracies("mixed", 100, [0.6, 0.7]) + accuracies("seed_repeated", 100, [0.4, 0.5])
    drawn("compared", results)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["CNN, ten real and 90 generated images", "CNN, ten real images ten times over"]
    assert not [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]


def test_arms_of_an_unknown_claim_are_refused(figure, study, tmp_path):
    source = Source(study, {}, tmp_path)
    with pytest.raises(ValueError, match="Expected a claim of mnist_dbm. Received: 'L99'"):
        KINDS["arms"](figure, {"panels": [{"xlabel": "", "claims": ["L99"]}]}, source)


def test_rows_show_the_arrays_named(drawn, figure):
    grey = {"sharp": 250, "blurred": 120, "fixed": 60}
    arrays = {name: np.full((12, 4, 4, 1), v, np.uint8) for name, v in grey.items()}
    results = [(trial("blur", 0, {"synthetic": "set 0"}, **MADE), {"preview": arrays})]
    assert drawn("blur", results) == ["yours (paper): replicate 0, data: package"]
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.texts] == ["sharp", "as fuzzy as\ngenerated", "by one pixel"]
    canvas = np.asarray(axes.images[0].get_array())
    assert [int((canvas == v).sum()) for v in grey.values()] == [10 * 16] * 3


def test_rows_that_are_missing_are_named(drawn, figure):
    arrays = {"sharp": np.zeros((2, 4, 4, 1), np.uint8)}
    results = [(trial("blur", 0, {"synthetic": "set 0"}, **MADE), {"preview": arrays})]
    assert drawn("blur", results) == []
    assert "the artifact has no blurred, fixed" in figure.axes[0].texts[0].get_text()


def test_labels_of_unlabelled_images_are_hidden(drawn, figure):
    grid = {"images": np.zeros((100, 4, 4, 1), np.uint8), "labels": np.zeros(100, np.int64)}
    made = {"source": "dbm", "klass": "all", "gibbs_steps": 5}
    drawn("dbm", [(trial("dbm_samples", 0, {"dbm_0": "a machine"}, **made), {"preview": grid})])
    (axes,) = figure.axes
    assert not axes.texts
    assert axes.images[0].get_array().shape[0] == 10 * 4  # ten rows, no room for labels
