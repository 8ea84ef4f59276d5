"""Blocks as bars, series in panels, real above synthetic; tables and claims of cgan_ood's file."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from report_stores import only, trials_of

from replicate.report import figure_kinds, figures
from replicate.report.claims import judge_view
from replicate.report.figure_base import Source
from replicate.report.tables import extras_tables
from replicate.report.views import views_of

STUDY = "cgan_ood"
NOISE = np.random.default_rng(5).normal(0, 0.002, 3)
SUBSTITUTE = {"dataset": "cifar10", "source": "stylegan2_ada_own", "network": "deep_cnn"}
trial = trials_of(STUDY, dataset="mnist", source="cgan", sees="all")


def classifiers(ratio, n=3, **more):
    """Three replicates of a mix: settings, and metrics with their means."""
    metrics = {k: v for k, v in more.items() if k.split("_")[0] in ("accuracy", "nll", "ece")}
    settings = {"arm": "mix", "scale": "same", "ratio": ratio}
    settings |= {k: v for k, v in more.items() if k not in metrics}
    return [
        (trial("classifier", r, **settings), {k: v + NOISE[r] for k, v in metrics.items()})
        for r in range(n)
    ]


@pytest.fixture
def views(fake, study):
    """Write runs, `label=results`; return their views by label."""

    def make(**runs):
        store = fake("runs", STUDY)
        for label, results in runs.items():
            store.add(results, label=label)
        return {view.label: view for view in views_of("yours", store.root, study)}

    return make


@pytest.fixture
def drawn(views, figure, study, tmp_path):
    def make(name, results):
        entry = next(f for f in study.figures if f["id"] == name)
        view = views(paper=results)["paper"]
        source = Source(study, {"shipped": [], "yours": [view]}, tmp_path)
        return figure, figure_kinds.KINDS[entry["kind"]](figure, entry, source)

    return make


def test_numbers_have_a_bar_and_a_diamond_each(drawn):
    results = classifiers("1:0", accuracy_original=0.98, accuracy_synthetic=0.6)
    results += classifiers("5:1", n=2, accuracy_original=0.97)
    figure, captions = drawn("fig2", results)
    mnist, fashion = figure.axes
    names = [tick.get_text() for tick in mnist.get_xticklabels()]
    heights = {
        names[round(bar.get_x() + bar.get_width() / 2)]: bar.get_height() for bar in mnist.patches
    }
    assert heights == pytest.approx(
        {
            "O - O": 0.98 + NOISE.mean(),
            "O - S": 0.6 + NOISE.mean(),
            "OS 5:1 - O": 0.97 + NOISE[:2].mean(),
        }
    )
    (diamonds,) = (line for line in mnist.lines if line.get_label() == "reported")
    told = dict(zip(names, diamonds.get_ydata(), strict=True))
    assert (told["O - S"], told["S - S"]) == (0.2365, 0.9926)
    assert not fashion.patches and fashion.get_title(loc="left").endswith("(not run)")
    assert fashion.get_ylim()[1] > 0.9771  # no diamond is cut off
    assert captions == ["yours (paper): n = 2 to 3 networks a point, 95 % intervals, data: package"]


def test_lines_keep_the_order_of_ratios(drawn):
    results = []
    for ratio, clean in (("0:1", 0.90), ("1:0", 0.98), ("10:1", 0.97)):
        results += classifiers(ratio, accuracy_original=clean, accuracy_mnist_c_5=clean - 0.1)
    figure, captions = drawn("mnist_c", results)
    accuracy, likelihood, _ = figure.axes
    names = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    assert names == ["1:0", "10:1", "9:1", "8:1", "7:1", "6:1", "5:1", "2:1", "1:1", "1:2", "0:1"]
    clean, noisy = (bar.lines[0] for bar in accuracy.containers)
    assert [names[x] for x in clean.get_xdata()] == ["1:0", "10:1", "0:1"]
    assert clean.get_ydata() == pytest.approx(np.array([0.98, 0.97, 0.90]) + NOISE.mean())
    (reported,) = (line for line in accuracy.lines if line.get_label() == "reported")
    at = dict(zip([names[x] for x in reported.get_xdata()], reported.get_ydata(), strict=True))
    assert (len(at), at["7:1"], at["10:1"]) == (11, 0.9596, 0.7625)
    assert reported.get_markeredgecolor() == noisy.get_color() != clean.get_color()
    segments = accuracy.containers[0].lines[2][0].get_segments()
    half = 4.302653 * NOISE.std(ddof=1) / np.sqrt(3)  # t(0.975, 2) s / sqrt(n)
    assert segments[0][1, 1] - segments[0][0, 1] == pytest.approx(2 * half, rel=1e-4)
    assert [text.get_text() for text in likelihood.texts] == ["not available\nnot run"]
    assert captions == ["yours (paper): n = 3 networks a point, 95 % intervals, data: package"]


def test_arms_without_a_run_are_named_where_their_claim_is_drawn(drawn):
    """CIFAR-10 with the published network was not run: the gains of S11 are not all there."""
    results = []
    for dataset in ("mnist", "fashion_mnist"):
        for ratio, seen in (("1:0", 0.5), ("5:1", 0.9)):
            settings = {"dataset": dataset, "accuracy_original": 0.9, "accuracy_synthetic": seen}
            results += classifiers(ratio, **settings)
    figure, _ = drawn("official", results)
    without, gains = figure.axes
    assert without.get_title(loc="left") == "not run: S12; S13; CIFAR-10"
    title = gains.get_title(loc="left")
    assert [text.get_text().strip() for text in gains.texts] == ["S11", "S16"]
    assert title.replace("\n", " ") == (
        "not run: S11: CIFAR-10, tested on synthetic, ratio = 5:1 and CIFAR-10, tested on "
        "synthetic, ratio = 1:0; S16: CIFAR-10, the mixes of Table 2, tested on original and "
        "CIFAR-10, tested on original, ratio = 1:0"
    )
    figure.canvas.draw()
    box = gains._left_title.get_window_extent()
    assert title.count("\n") == 2 and box.x1 <= figure.bbox.x1
    assert box.y1 <= without.get_window_extent().y0


def test_a_difference_of_one_network_has_its_bounds_about_zero(drawn):
    """S8 is equivalence of one number with 0, which its test does not name."""
    results = classifiers("5:1", accuracy_original=0.95, accuracy_synthetic=0.97)
    results = [(t, m | {"gap_original_synthetic": -0.02 + NOISE[i]}) for i, (t, m) in
               enumerate(results)]  # fmt: skip
    figure, _ = drawn("compared", results)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "accuracy on original minus on synthetic images"
    bounds = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert bounds == pytest.approx([-0.03, 0.03])


def test_an_axis_of_accuracies_has_no_recall_and_no_difference(study):
    for figure in study.figures:
        for panel in figure["panels"] if figure["kind"] == "arms" else ():
            named = [claim for claim in study.claims if claim.id in panel["claims"]]
            metrics = {
                study.series[arm["series"]].selector.metric.split("_")[0]
                for claim in named
                for test in claim.tests
                for arm in test.values()
                if isinstance(arm, dict)
            }
            label = panel["xlabel"]
            told = label.startswith("accuracy") and "minus" not in label
            assert told == (metrics == {"accuracy"}), panel


def pictures(level):
    images = np.zeros((20, 28, 28, 1), np.uint8)
    images[::2] = level  # the first of each label
    return {"images": images, "labels": np.repeat(np.arange(10), 2)}


def test_real_stands_above_synthetic(drawn):
    judge = trial("judge"), {"test_accuracy": 0.9, "examples": pictures(100)}
    made = trial("synthetic"), {"n_images": 20, "preview": pictures(50)}
    figure, captions = drawn("fig1", [judge, made])
    canvas = figure.axes[0].images[0].get_array()
    real, synthetic = np.argwhere(canvas == 100), np.argwhere(canvas == 50)
    assert len(real) == len(synthetic) == 10 * 28 * 28
    assert real[:, 0].max() < synthetic[:, 0].min()
    assert [text.get_text() for text in figure.axes[0].texts] == ["real", "synthetic"]
    (absent,) = (text.get_text() for text in figure.axes[3].texts)
    assert "real: yours: not part of the plan paper" in absent
    assert "substitute" in figure.axes[3].get_title(loc="left")
    assert captions == ["yours (paper): replicate 0, data: package"]


def test_real_images_without_synthetic_say_what_is_missing(drawn):
    judge = trial("judge"), {"test_accuracy": 0.9, "examples": pictures(100)}
    figure, _ = drawn("fig1", [judge])
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "real", "synthetic: yours: not part of the plan paper",
    ]  # fmt: skip


def test_another_run_fills_in_where_asked(views, study, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "files_of", lambda *_: (b"", b""))
    made = views(
        paper=classifiers("1:0", accuracy_original=0.98),
        lite=classifiers("1:0", accuracy_original=0.5, **SUBSTITUTE)
        + classifiers("1:0", accuracy_original=0.9, epochs=2),
    )
    source = Source(study, {"shipped": [], "yours": [made["paper"], made["lite"]]}, tmp_path)
    entries = {entry["id"]: entry for entry in study.figures}
    assert figures.draw(entries["cifar10"], source).caption.startswith("yours (lite): n = 3")
    assert "lite" not in figures.draw(entries["fig2"], source).caption
    found = {t.id: t for t in extras_tables(study, [made["paper"]], [made["lite"]])}
    (row,) = found["extra_cifar10"].rows
    assert row[1:3] == ("lite", "source = stylegan2_ada_own, network = deep_cnn, ratio = 1:0")
    assert {row[1] for row in found["extra_mnist_c"].rows} == {"paper"}


def test_points_are_kept_and_ordered_as_asked(views, study):
    results = []
    for ratio in ("1:1", "10:1", "0:1", "2:1", "1:0"):
        results += classifiers(ratio, accuracy_original=0.9)
    for arm in ("add", "add_repeated", "step_matched"):
        results += classifiers("5:1", arm=arm, accuracy_original=0.9)
    found = {t.id: t for t in extras_tables(study, [views(paper=results)["paper"]])}
    ratios = [row[2] for row in found["extra_mnist_c"].rows]
    assert ratios == [f"ratio = {r}" for r in ("1:0", "10:1", "2:1", "1:1", "0:1")]
    arms = [row[2] for row in found["extra_add"].rows]
    point = "dataset = mnist, source = cgan"
    assert arms == [f"{point}, arm = {arm}, ratio = 5:1" for arm in ("add", "add_repeated")]


def test_a_substitute_decides_no_claim(views, study):
    results = classifiers("1:0", accuracy_original=0.70, **SUBSTITUTE)
    results += classifiers("5:1", accuracy_original=0.75, **SUBSTITUTE)
    some = only(study, "S13", "S13, substitute")
    judged = judge_view(some, views(paper=results)["paper"])
    assert judged["S13"].verdict == "not run"
    substitute = judged["S13, substitute"]
    assert substitute.effects[0][1].effect == pytest.approx(0.05)
    assert substitute.verdict == "none" and "this package trained" in substitute.reason


def test_a_claim_of_mixes_takes_their_mean(views, study):
    levels = {"1:0": 0.90, "10:1": 0.70, "1:2": 0.95}
    nine = ("10:1", "9:1", "8:1", "7:1", "6:1", "5:1", "2:1", "1:1", "1:2")
    results = []
    for ratio in ("1:0", *nine):
        results += classifiers(ratio, accuracy_mnist_c_5=levels.get(ratio, 0.93))
    judged = judge_view(only(study, "S9"), views(paper=results)["paper"])["S9"]
    assert judged.effects[0][1].effect == pytest.approx((0.70 + 0.95 + 7 * 0.93) / 9 - 0.90)
    assert judged.n == 3


def test_every_figure_has_a_panel_without_records(study, tmp_path):
    source = Source(study, {"shipped": [], "yours": []}, tmp_path)
    for entry in study.figures:
        figure = plt.figure(layout="constrained")
        assert figure_kinds.KINDS[entry["kind"]](figure, entry, source) == []
        assert figure.axes, entry["id"]
        plt.close(figure)
