"""Learning curves, losses by iteration, flow chart and rows of pictures on known records."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from report_stores import trials_of

from replicate.evaluation.held_out import (
    binomial_interval,
    exact_interval,
    image_interval,
    widened,
)
from replicate.evaluation.statistics import mean_interval
from replicate.report import figure_kinds
from replicate.report.cells import compare
from replicate.report.curve_tables import line_rows
from replicate.report.figure_base import Source
from replicate.report.figure_training import PALETTE
from replicate.report.tables import cells_tables

STUDY = "fruits_gan"
EPOCHS = 48
trial = trials_of(STUDY, dataset="fids30", seed=0)


def classifier(arm, replicate=0, **settings):
    if "synthetic" in arm:
        settings = {"point": "picked", "storage": "jpeg"} | settings
    return trial("classifier", replicate, arm=arm, epochs=EPOCHS, **settings)


@pytest.fixture
def drawn(seen, study, tmp_path):
    """Draw a figure of the study from results; returns `(figure, captions)`."""
    made = []

    def make(name, results):
        entry = next(f for f in study.figures if f["id"] == name)
        views = [seen(results)] if results else []
        source = Source(study, {"shipped": [], "yours": views}, tmp_path / "shipped")
        made.append(plt.figure(figsize=(7.2, 5), layout="constrained"))
        return made[-1], figure_kinds.KINDS[entry["kind"]](made[-1], entry, source)

    yield make
    for figure in made:
        plt.close(figure)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def reported(study, block, line):
    return [c.reported for c in study.cells if (c.block, c.line) == (block, line)]


def runs(arm, steps, shift=0.0):
    """Three networks of an arm around a rising line, 0.01 apart."""
    level = np.linspace(0.2, 0.7, EPOCHS) + shift
    return [
        (classifier(arm, r), {
            "val_accuracy": (level + 0.01 * r).tolist(), "val_loss": (1 / level).tolist(),
            "steps_per_epoch": float(steps),
        })
        for r in range(3)
    ]  # fmt: skip


def lines_of(axes, colour, style):
    return [
        line for line in axes.lines
        if to_hex(line.get_color()) == colour and line.get_linestyle() == style
    ]  # fmt: skip


def test_curves_stand_over_the_authors_own(drawn, study):
    figure, captions = drawn("fig12", runs("real", 23) + runs("synthetic", 500, 0.1))
    accuracy, loss = figure.axes
    for colour, line, shift in ((PALETTE[0], "original", 0.0), (PALETTE[2], "fake", 0.1)):
        (theirs,) = lines_of(accuracy, colour, ":")
        assert list(theirs.get_ydata()) == reported(study, "fig12a", line)
        assert list(theirs.get_xdata()) == list(range(1, EPOCHS + 1))
        (ours,) = lines_of(accuracy, colour, "-")
        assert ours.get_ydata()[-1] == pytest.approx(0.71 + shift)
    assert not lines_of(accuracy, PALETTE[1], "-") and lines_of(accuracy, PALETTE[1], ":")
    half = 4.302653 * 0.01 / np.sqrt(3)
    low, high = exact_interval(0.21, 76)  # of the runs and, in accuracy, of our 76 images
    both = 0.21 - np.hypot(half, 0.21 - low), 0.21 + np.hypot(half, high - 0.21)
    band = accuracy.collections[0].get_paths()[0].vertices
    first = band[np.isclose(band[:, 0], 1), 1]
    assert (first.min(), first.max()) == pytest.approx(both, abs=1e-6)
    level = np.linspace(0.2, 0.7, EPOCHS)[0]
    band = loss.collections[0].get_paths()[0].vertices
    first = band[np.isclose(band[:, 0], 1), 1]
    assert (first.min(), first.max()) == pytest.approx((1 / level, 1 / level), abs=1e-6)
    assert captions == ["yours (paper): n = 3 networks an arm, data: package"]
    assert loss.get_yscale() == "log"


def in_legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_only_arms_that_are_drawn_stand_in_the_legend(drawn):
    """Of arms without a curve of ours and without a reported one a colour would mean nothing."""
    figure, _ = drawn("arms_fids30", runs("real", 23) + runs("synthetic_size_matched", 23))
    assert in_legend(figure)[:2] == ["original", "synthetic, as many as original"]
    assert len(in_legend(figure)) == 3  # and whose the lines are
    figure, _ = drawn("fig12", runs("real", 23))  # the others have the authors' own curve
    assert in_legend(figure)[:4] == ["original", "augmented", "synthetic", "reported"]
    figure, _ = drawn("steps_fids30", [])
    assert in_legend(figure) == ["original", "synthetic", "reported"]


def rights(arm, shares, replicates=3):
    """Networks of an arm with the share of 76 images that each recognises in its best epoch."""
    rng = np.random.default_rng(7)
    return [
        (classifier(arm, r), {
            "val_right_best_selected_on_test": (rng.random(76) < share).astype(int).tolist(),
        })
        for r, share in zip(range(replicates), shares, strict=True)
    ]  # fmt: skip


def row_of(figure, panel, name):
    """Circles and ends of the interval of the first row whose name starts so."""
    axes = figure.axes[panel]
    ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    height = next(y for y, text in ticks if text.get_text().replace("\n", " ").startswith(name))
    circles = [
        line.get_xdata() for line in axes.lines
        if line.get_marker() == "o" and line.get_ydata()[0] == height
    ]  # fmt: skip
    bars = [c.lines for c in axes.containers if c.lines[0].get_ydata()[0] == height]
    return circles[0], bars[0][2][0].get_segments()[0][:, 0]


def test_circles_by_image_are_runs_with_the_interval_of_the_claim(drawn):
    results = rights("real", (0.7, 0.72, 0.75)) + rights("synthetic_size_matched", (0.5, 0.6, 0.6))
    figure, _ = drawn("compared", results)
    tables = [outcome["val_right_best_selected_on_test"] for _, outcome in results[:3]]
    circles, ends = row_of(figure, 0, "FIDS30, original:")
    assert circles == pytest.approx(np.mean(tables, axis=1))
    interval = image_interval(tables)
    assert ends == pytest.approx((interval.low, interval.high))
    assert "circles:" not in "".join(t.get_text() for t in figure.axes[0].get_yticklabels())
    assert "a circle is a run unless the row says otherwise" in in_legend(figure)[0]


@pytest.mark.parametrize("n", [3000, 8405])
def test_intervals_of_accuracies_are_those_of_the_records_own_images(drawn, n):
    """K1's: the binomial error of as many images as the records count."""
    values, made = [0.11, 0.09, 0.10], {"point": "picked", "storage": "jpeg", "dataset": "mnist"}
    results = [
        (classifier("label_shuffled", r, **made), {"val_accuracy_last": value, "n_val": n})
        for r, value in enumerate(values)
    ]
    figure, _ = drawn("compared", results)
    circles, ends = row_of(figure, 1, "MNIST, synthetic with permuted labels")
    assert circles.tolist() == values
    interval = binomial_interval(values, None, n)
    assert ends == pytest.approx((interval.low, interval.high))
    labels = [text.get_text() for text in figure.axes[1].get_yticklabels()]
    assert len(labels) == 1  # how many images there are is no arm


def test_circles_by_class_are_classes(drawn):
    point = {"gan_learning_rate": 0.0002, "point": "picked", "storage": "jpeg"}
    results = [
        (trial("synthetic", 0, klass=klass, **point), {"data_seconds": 5.0 + i})
        for i, klass in enumerate(("limes", "grapes", "coconuts", "bananas", "apples"))
    ]
    figure, _ = drawn("compared", results)
    circles, _ = row_of(figure, 3, "FIDS30: a class's images, seconds")
    assert sorted(circles) == [5, 6, 7, 8, 9]
    names = [text.get_text() for text in figure.axes[3].get_yticklabels()]
    assert [name.replace("\n", " ")[-18:] for name in names] == ["m (circles: fruits)"[-18:]]


def test_sampling_of_few_images_is_drawn_once(drawn, study):
    figure, _ = drawn("fig12", runs("real", 23))
    middle = np.mean(
        [reported(study, "fig12a", arm)[-1] for arm in ("original", "augmented", "fake")]
    )
    low, high = exact_interval(middle, 76)
    (whisker,) = [c for c in figure.axes[0].containers if hasattr(c, "has_yerr")]
    ends = whisker.lines[2][0].get_segments()[0][:, 1]
    assert tuple(ends) == pytest.approx((low, high))
    assert any("76 images" in text for text in texts(figure))
    assert not figure.axes[1].containers


def test_curves_by_steps_are_stretched(drawn, study):
    figure, _ = drawn("steps_fids30", runs("real", 23) + runs("synthetic", 500))
    accuracy = figure.axes[0]
    real, synthetic = (lines_of(accuracy, PALETTE[i], "-")[0] for i in (0, 2))
    assert real.get_xdata()[-1] == 23 * EPOCHS and synthetic.get_xdata()[0] == 500
    assert lines_of(accuracy, PALETTE[2], ":")[0].get_xdata()[1] == 1000
    assert accuracy.get_xscale() == "log" and accuracy.get_xlabel() == "optimiser steps"


def test_arms_of_different_size_are_told(drawn):
    few = runs("synthetic_size_matched", 23)[:2]
    _, captions = drawn("arms_fids30", runs("real", 23) + few)
    expected = "original n = 3, synthetic, as many as original n = 2, data: package"
    assert captions == [f"yours (paper): {expected}"]


def test_curves_without_any_number_say_so(drawn):
    figure, captions = drawn("arms_fids30", [])
    assert captions == [] and texts(figure) == ["not available\nnot run"]


def test_history_shows_raw_and_smoothed_from_zero(drawn, study):
    losses = {name: np.ones(1600, np.float32) for name in ("d_loss", "g_loss", "d_accuracy")}
    made = trial("generator", dataset="mnist", klass="0", gan_learning_rate=0.0002)
    figure, captions = drawn("fig7", [(made, {"d_loss_ema": 1.0, "batch_loss": losses})])
    raw, smooth, digitised = figure.axes[0].lines[:3]
    assert set(raw.get_ydata()) == {1.0} and len(raw.get_ydata()) == 1600
    assert smooth.get_ydata()[:2] == pytest.approx([0.05, 0.0975]) and raw.get_alpha() < 0.5
    assert dict(zip(digitised.get_xdata(), digitised.get_ydata(), strict=True))[290] == 0.84
    assert len(figure.axes[1].lines) == 2  # raw alone, and a half
    assert captions[0].endswith("data: package; thin: raw, thick: moving average (0.95) from 0")


def test_history_without_records_keeps_what_was_read(drawn):
    figure, captions = drawn("fig7", [])
    assert captions == [] and len(figure.axes[0].lines) == 2
    assert texts(figure) == ["not available\nnot run"]


def test_flow_chart_holds_every_box_and_arrow(drawn, study):
    entry = next(f for f in study.figures if f["id"] == "fig1")
    figure, captions = drawn("fig1", [])
    found = [text.get_text() for text in figure.axes[0].texts]
    assert captions == [] and all(box["text"] in found for box in entry["boxes"])
    arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == len(entry["arrows"])
    names = {box["name"] for box in entry["boxes"]}
    assert {end for arrow in entry["arrows"] for end in (arrow["from"], arrow["to"])} == names


def test_what_was_not_run_says_why(drawn):
    figure, captions = drawn("fig3", [])
    assert captions == [] and "never committed" in texts(figure)[0]


def test_real_half_of_fruits_is_never_shown(drawn):
    def pictures(level):
        return np.full((10, 64, 64, 3), level, np.uint8)

    labels = np.array([9] * 5 + [3] * 5)
    made = {"epochs": 31, "gan_learning_rate": 0.0002, "point": "picked", "storage": "jpeg"}
    results = [
        (trial("synthetic", dataset="mnist", klass="9", **made), {
            "epoch": 30.0, "preview": {"images": pictures(10), "labels": labels}}),
        (trial("judge", dataset="mnist"), {
            "val_accuracy": 0.9, "examples": {"images": pictures(20), "labels": labels}}),
        (trial("synthetic", klass="coconuts", **made), {
            "epoch": 30.0, "preview": {"images": pictures(30), "labels": labels}}),
        (trial("judge"), {
            "val_accuracy": 0.9,
            "photographs_examples": {"images": pictures(40), "labels": labels}}),
    ]  # fmt: skip
    figure, captions = drawn("fig13", results)
    shown = [int(image.get_array().max()) for axes in figure.axes for image in axes.images]
    assert shown == [10] * 5 + [20] * 5 + [30] * 5
    assert any("not ours to print" in text for text in texts(figure))
    assert captions == ["yours (paper): replicate 0, data: package"]


def test_rows_of_one_artifact_are_its_ranges(drawn):
    images = np.repeat(np.arange(10, dtype=np.uint8), 64 * 64 * 3).reshape(10, 64, 64, 3)
    bundle = {"images": images, "probability": np.linspace(1, 0.1, 10)}
    made = trial("evaluation", dataset="mnist", klass="2", extractor="classifier")
    figure, _ = drawn("fig6", [(made, {"frechet": 1.0, "confident": bundle})])
    shown = [int(image.get_array().max()) for axes in figure.axes for image in axes.images]
    titles = [axes.get_title() for axes in figure.axes]
    assert shown == list(range(10)) and (titles[0], titles[-1]) == ("1", "0.1")


def test_withheld_pictures_are_named(drawn):
    made = {"epochs": 1001, "gan_learning_rate": 0.0002, "point": "picked", "storage": "jpeg"}
    images = np.zeros((10, 64, 64, 3), np.uint8)
    fruits = (0, "strawberries", "preview"), (2, "limes", "photographs_preview")
    results = [
        (trial("synthetic", klass=klass, **made), {
            "epoch": 1.0, name: {"images": images, "labels": np.full(10, label)}})
        for label, klass, name in fruits
    ]  # fmt: skip
    figure, captions = drawn("fig10", results)
    assert set(texts(figure)) == {"strawberries"}
    assert captions == ["yours (paper): data: package; not shown: limes"]


def test_a_curve_is_a_row_of_its_table(seen, study):
    view = seen(runs("real", 23))
    cells = tuple(cell for cell in study.cells if cell.block == "fig12a")
    one = dataclasses.replace(study, cells=cells)
    results = compare(one, {"shipped": [], "yours": [view]})
    rows = line_rows(results, ("yours",))
    assert [row[0] for row in rows] == ["original", "augmented", "fake"]
    assert rows[0][1] == "0.1184 to 0.6711, 48 points"
    ours = np.linspace(0.21, 0.71, EPOCHS)
    distance = np.abs(ours - reported(study, "fig12a", "original")).mean()
    assert rows[0][3] == f"0.2100 to 0.7100, 48 points, n = 3; mean distance {distance:.4f}"
    counted = [int(part.split()[0]) for part in rows[0][4].split(", ")]
    assert sum(counted) == 48
    assert rows[1][3:] == ("-", "48 not run (not part of the plan paper)")
    (table,) = cells_tables(study, results)
    assert len(table.rows) == 3 and "cells.csv" in table.note


def test_a_curve_s_row_says_what_holds_for_most_of_its_points(seen, study):
    """Networks of one set of generators; what one point is used for stays in the CSV."""
    results = [
        (
            dataclasses.replace(trial, inputs={"limes": "0" * 64}),
            {"val_accuracy": metrics["val_accuracy"]},
        )
        for trial, metrics in runs("synthetic", 500)
    ]
    cells = [c for c in study.cells if (c.block, c.line) == ("fig12a", "fake")]
    cells[0] = dataclasses.replace(cells[0], tag="F")
    one = dataclasses.replace(study, cells=tuple(cells))
    (row,) = line_rows(compare(one, {"shipped": [], "yours": [seen(results)]}), ("yours",))
    assert row[4].endswith("(one generator: interval excludes generator variance)")
    assert "1 calibration" in row[4]


def test_tables_of_few_images_hold_their_sampling(seen, study):
    from replicate.report.tables import extras_tables

    values = [52 / 76, 54 / 76, 53 / 76]
    results = [
        (classifier("real", r), {"val_accuracy_last": value, "n_val": 76 - (r == 1)})
        for r, value in enumerate(values)
    ]
    entry = next(e for e in study.extras if e["id"] == "arms_fids30")
    entry = entry | {"metrics": ["val_accuracy_last"]}
    alone = dataclasses.replace(study, extras=(entry,))
    (table,) = extras_tables(alone, [seen(results)])
    wide = widened(mean_interval(values), 75)  # one of them has an image less
    assert table.rows[0][3] == f"0.6974 [{wide.low:.4f}, {wide.high:.4f}], n = 3"
    assert wide.high - wide.low > 0.2


def test_tables_hold_the_sampling_of_each_metrics_own_images(seen, study):
    from replicate.report.tables import extras_tables

    values, limes = [0.9, 0.92, 0.94], [4 / 6, 5 / 6, 5 / 6]
    metrics = [
        {"val_accuracy_last": v, "recall_limes_last": s} for v, s in zip(values, limes, strict=True)
    ]
    results = [(classifier("real", r), found) for r, found in enumerate(metrics)]
    entry = next(e for e in study.extras if e["id"] == "recall_fids30")
    assert entry["n_test"].keys() == set(entry["metrics"])
    entry = entry | {"metrics": ["val_accuracy_last", "recall_limes_last"]}
    (table,) = extras_tables(dataclasses.replace(study, extras=(entry,)), [seen(results)])
    plain, wide = mean_interval(values), widened(mean_interval(limes), 6)
    assert table.rows[0][3:] == (
        f"0.9200 [{plain.low:.4f}, {plain.high:.4f}], n = 3",
        f"0.7778 [{wide.low:.4f}, {wide.high:.4f}], n = 3",
    )


def test_recalls_count_the_photographs_of_each_fruit(study):
    from replicate.data.fids30.files import published_split

    entry = next(e for e in study.extras if e["id"] == "recall_fids30")
    split = published_split()
    assert entry["n_test"] == {f"recall_{c}_last": len(split[c]["test"]) for c in split}
