"""Each kind of figure on records with known content; without it, a panel that says why."""

import dataclasses
import json

import numpy as np
import pytest
from report_stores import trials_of

from replicate.report import figure_kinds, figures
from replicate.report.figure_base import COLOURS, Source

STUDY = "cifar_dcgan"
MADE = {"arch": "a", "gan_loss": "nonsaturating", "epochs": 4, "learning_rate_d": 0.0002}
trial = trials_of(STUDY, dataset="cifar10", seed=0, source="per_class")


def classifier(arm, replicate=0):
    return trial("classifier", replicate, arm=arm, scale="same", kernel=3)


def evaluation(klass, replicate=0, extractor="classifier"):
    return trial("evaluation", replicate, klass=klass, extractor=extractor, point="last", **MADE)


@pytest.fixture
def drawn(seen, figure, study, tmp_path):
    """Draw a figure of the study from results; returns `(figure, captions)`."""

    def make(name, results, missing="", config=study):
        view = seen(results)
        for path in view.store.root.rglob(missing) if missing else ():
            path.unlink()
        entry = next(f for f in config.figures if f["id"] == name)
        source = Source(config, {"shipped": [], "yours": [view]}, tmp_path / "shipped")
        return figure, figure_kinds.KINDS[entry["kind"]](figure, entry, source)

    return make


def texts(figure):
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return [text for text in found if text]


def matrices():
    """Experiment 1: two replicates whose cats are called dogs, 30 and 50 of 100."""
    results = []
    for replicate, wrong in enumerate((30, 50)):
        counts = 100 * np.eye(10, dtype=int)
        counts[3, 3], counts[3, 5] = 100 - wrong, wrong
        arrays = {"real_selected": counts, "real_last": counts * 0}
        metrics = {"test_accuracy_real_selected": 0.7, "confusion": arrays}
        results.append((classifier("real", replicate), metrics))
    return results


def test_confusion_is_the_mean_of_row_shares(drawn):
    figure, captions = drawn("fig4", matrices())
    axes = figure.axes[0]
    shares = axes.images[0].get_array()
    assert shares[3, 5] == pytest.approx(0.4) and shares[3, 3] == pytest.approx(0.6)
    assert np.allclose(shares.sum(axis=1), 1)
    labels = [tick.get_text() for tick in axes.get_yticklabels()]
    assert (labels[3], labels[5]) == ("cat", "dog")
    assert axes.get_ylabel() == "true class"
    cells = np.reshape([text.get_text() for text in axes.texts], (10, 10))
    assert (cells[3, 5], cells[3, 3], cells[0, 1]) == ("40", "60", "·")
    assert captions == [
        "yours (paper): mean of n = 2 networks, percent of each true class, data: package"
    ]


def test_confusion_of_missing_files_says_so(drawn):
    figure, captions = drawn("fig4", matrices(), missing="confusion.npz")
    assert captions == [] and "not available" in texts(figure)[0]
    assert "yours: confusion.npz is not in the workdir" in texts(figure)[0]


def test_curves_hold_mean_band_and_marks(drawn):
    results = [
        (classifier("real", r), {
            "train_accuracy": [0.4 + 0.1 * r, 0.6, 0.7, 0.8],
            "val_accuracy_real": [0.4, 0.5, 0.6, 0.6],
        })
        for r in range(3)
    ]  # fmt: skip
    figure, captions = drawn("fig3", results)
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    training = lines["training, yours (paper), n = 3"]
    assert training.get_ydata() == pytest.approx([0.5, 0.6, 0.7, 0.8])
    assert list(training.get_xdata()) == [1, 2, 3, 4]
    assert training.get_color() == COLOURS["yours"]
    band = axes.collections[0].get_paths()[0].vertices
    half = 4.302653 * 0.1 / np.sqrt(3)  # t(0.975, 2) s / sqrt(n) at epoch 1
    at_first = band[np.isclose(band[:, 0], 1), 1]
    assert (at_first.min(), at_first.max()) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert lines["model taken, yours: 2"].get_xdata()[0] == 2
    assert lines["report: overfitting from here (caption)"].get_xdata()[0] == 7
    assert captions == ["yours (paper): n = 3, data: package"]


def test_strip_has_a_row_an_epoch(drawn):
    images = np.zeros((3, 10, 32, 32, 3), np.uint8)
    images[1, 4] = (200, 10, 20)
    strip = {"images": images, "epochs": np.array([1, 50, 100])}
    horse = trial("generator", klass="horse", **MADE)
    figure, captions = drawn("fig2", [(horse, {"d_loss": 1.0, "strip": strip})])
    assert texts(figure) == ["epoch 1", "epoch 50", "epoch 100"]
    canvas = figure.axes[0].images[0].get_array()
    reds = np.argwhere((canvas == (200, 10, 20)).all(axis=-1))
    assert len(reds) == 32 * 32
    row, column = reds.min(axis=0)
    assert column == 4 * 35 and 35 <= row < 2 * 35  # the fifth image of the second row
    assert captions == ["yours (paper): replicate 0, data: package"]


def test_neighbours_show_the_closest_pairs_of_each_class(drawn):
    def pairs(level):
        synthetic = np.zeros((10, 32, 32, 3), np.uint8)
        real = np.zeros((10, 32, 32, 3), np.uint8)
        synthetic[7], real[7] = level, level + 1
        distance = np.full(10, 99.0)
        distance[7], distance[2] = 0.25 * level, 88.0
        return {"synthetic": synthetic, "real": real, "distance": distance}

    results = [
        (evaluation("cat"), {"frechet": 1.0, "neighbours": pairs(100)}),
        (evaluation("dog"), {"frechet": 1.0, "neighbours": pairs(50)}),
    ]
    figure, captions = drawn("neighbours", results)
    of_each = ["cat", "25", "cat", "88", "dog", "12.5", "dog", "88"]
    assert texts(figure) == [*of_each, "synthetic", "nearest\nreal"]
    canvas = figure.axes[0].images[0].get_array()[..., 0]
    above, below = np.argwhere(canvas == 100), np.argwhere(canvas == 101)
    assert len(above) == len(below) == 32 * 32
    assert (above[:, 0].max() < below[:, 0].min()) and (above[0, 1] == below[0, 1] == 0)
    assert captions == ["yours (paper): 2 closest stored pairs of each, data: package"]


def test_pairs_beyond_ten_stand_below(drawn):
    def pairs(level):
        images = np.full((10, 32, 32, 3), level, np.uint8)
        return {"synthetic": images, "real": images, "distance": np.full(10, float(level))}

    classes = ("cat", "deer", "dog")
    results = [
        (evaluation(klass), {"frechet": 1.0, "neighbours": pairs(10 * i + 10)})
        for i, klass in enumerate(classes)
    ]
    figure, captions = drawn("neighbours_nearest_run", results)
    named = [text for text in texts(figure) if text in classes]
    assert named == [klass for klass in classes for _ in range(5)]
    canvas = figure.axes[0].images[0].get_array()[..., 0]
    below = np.argwhere(canvas == 30)[:, 0].min()
    assert below > np.argwhere(canvas == 20)[:, 0].max() and (canvas == 30).sum() == 10 * 32 * 32
    assert texts(figure).count("nearest\nreal") == 2


def test_bars_keep_extractors_and_reported_apart(drawn):
    results = [(evaluation(k, 0), {"frechet": v}) for k, v in (("cat", 8.0), ("dog", 6.0))]
    figure, captions = drawn("frechet", results)
    inception, proxy, reported = figure.axes
    assert [text.get_text() for text in inception.texts] == ["not available\nnot run"]
    assert [bar.get_height() for bar in proxy.patches] == [8.0, 6.0]
    names = [tick.get_text() for tick in reported.get_xticklabels()]
    centres = [names[round(bar.get_x() + bar.get_width() / 2)] for bar in proxy.patches]
    assert centres == ["cat", "dog"] and len(names) == 10
    assert proxy.get_title(loc="left").endswith("(proxy), n = 1")
    assert not proxy.lines and not reported.patches
    assert list(reported.lines[0].get_ydata())[:2] == [65.113, 38.06]
    assert "not comparable" in reported.get_title(loc="left")
    assert captions == ["yours (paper): data: package"]


def test_bars_put_comparable_numbers_beside(drawn, study):
    cells = tuple(dataclasses.replace(cell, unscored="") for cell in study.cells)
    results = [(evaluation(k, 0, "inception_imagenet"), {"frechet": 50.0}) for k in ("bird", "cat")]
    figure, _ = drawn("frechet", results, config=dataclasses.replace(study, cells=cells))
    assert len(figure.axes) == 2
    ticks = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    (marks,) = figure.axes[0].lines
    at = dict(zip(marks.get_xdata(), marks.get_ydata(), strict=True))
    assert at[ticks.index("bird")] == 73.156
    bar = figure.axes[0].patches[0]
    assert bar.get_x() + bar.get_width() / 2 == pytest.approx(ticks.index("bird"))


ROWS = [["Conv2D", [None, 16, 16, 64], 3136], ["LeakyReLU", "16 x 16 x 64", 0]]


def test_summary_lists_layers_and_their_sum(drawn):
    horse = trial("generator", klass="horse", **MADE)
    figure, captions = drawn("fig9", [(horse, {"summary": json.dumps({"discriminator": ROWS})})])
    cells = figure.axes[0].tables[0].get_celld()
    rows = [[cells[row, column].get_text().get_text() for column in range(3)] for row in range(4)]
    assert rows == [
        ["layer", "output shape", "parameters"],
        ["Conv2D", "batch x 16 x 16 x 64", "3,136"],
        ["LeakyReLU", "16 x 16 x 64", "0"],
        ["total", "", "3,136"],
    ]
    assert captions == ["yours (paper): replicate 0, data: package"]


def test_summary_without_the_network_says_so(drawn):
    horse = trial("generator", klass="horse", **MADE)
    figure, captions = drawn("fig9", [(horse, {"summary": json.dumps({"generator": ROWS})})])
    assert captions == [] and texts(figure) == ["not available\nthe summary has no discriminator"]


def test_images_of_all_classes_stand_in_columns(drawn):
    results = []
    for label, klass in enumerate(("airplane", "automobile")):
        pixels = np.full((10, 32, 32, 3), 10 + label, np.uint8)
        preview = {"images": pixels, "labels": np.full(10, label)}
        made = trial("synthetic", klass=klass, point="last", **MADE)
        results.append((made, {"n_images": 10, "preview": preview}))
    figure, captions = drawn("samples", results)
    assert texts(figure)[:3] == ["airplane", "automobile", "airplane"]
    canvas = figure.axes[0].images[0].get_array()[..., 0]
    assert (canvas == 10).sum() == (canvas == 11).sum() == 10 * 32 * 32
    assert captions == ["yours (paper): data: package"]


def test_each_class_keeps_its_columns(drawn):
    """Three classes, one of which has two images only: nine columns, white where it has none."""
    results = []
    for label, klass in enumerate(("airplane", "automobile", "bird")):
        count = 2 if klass == "automobile" else 10
        pixels = np.full((count, 32, 32, 3), 10 + label, np.uint8)
        preview = {"images": pixels, "labels": np.full(count, label)}
        made = trial("synthetic", klass=klass, point="last", **MADE)
        results.append((made, {"n_images": count, "preview": preview}))
    figure, _ = drawn("samples", results)
    names = texts(figure)
    assert names[:8] == ["airplane", "automobile", "bird"] * 2 + ["airplane", "bird"]
    canvas, step = figure.axes[0].images[0].get_array()[..., 0], round(1.1 * 32)
    tiles = canvas[16::, 16::step]
    assert tiles.shape[1] == 9
    for column in range(9):
        assert set(tiles[:, column].tolist()) <= {10 + column % 3, 255}
    assert [(canvas == 10 + label).sum() for label in range(3)] == [10240, 2048, 10240]


def test_every_figure_of_the_study_draws_without_records(study, tmp_path, monkeypatch):
    source = Source(study, {"shipped": [], "yours": []}, tmp_path)
    monkeypatch.setattr(figures, "files_of", lambda *_: (b"", b""))
    for entry in study.figures:
        made = figures.draw(entry, source)
        assert not made.measured and made.caption == "nothing measured yet"
