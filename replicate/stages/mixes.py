"""Which originals and synthetic images a CNN trains on: mixed, long-tailed, few or pre-trained on.

`n` originals lie before the synthetic images; an arm is a set of rows of both, as many as there are
originals unless it says otherwise:

    mix                 originals and synthetic images in the ratio
    step_matched        the mix's originals, repeated in place of its synthetic images
    add                 all originals, and synthetic images on top in the ratio
    add_repeated        all originals, and repeats of them on top
    label_shuffled      synthetic images with permuted labels
    real_vs_synthetic   the mix, told apart
    long_tail           originals of which some classes are rare; fewer rows
    long_tail_filled    synthetic images fill every class up to the largest
    long_tail_repeated  the classes' own originals do
    few                 few originals; fewer rows
    few_filled          few originals, the rest synthetic
    few_repeated        few originals, repeated
    transfer            synthetic images in the first half of the epochs, then few originals
    transfer_real       few originals in all epochs

Samples are stratified. A replicate draws the same ones in every arm, smaller ones as parts of
larger ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from replicate.data.ratios import (
    counted_rows,
    long_tail_counts,
    parse_ratio,
    real_share,
    repeated,
    stratified_rows,
)
from replicate.runs.seeds import trial_stream

CLASSES = 10
TAIL_FACTOR = 100.0  # images of the largest class over those of the smallest
LONG_TAILS = ("long_tail", "long_tail_filled", "long_tail_repeated")
FEW_ORIGINALS = ("few", "few_filled", "few_repeated")
SHORTAGES = (*FEW_ORIGINALS, "transfer", "transfer_real")


def seen_rows(trial, labels: np.ndarray) -> np.ndarray:
    """Originals that a generator sees: all, or those of its classifiers' arms.

    Args:
        trial: of any stage; its setting `sees` is `"all"`, `"few"` or `"long_tail"`.
        labels: int64 `(n,)` of the originals.
    """
    sees = trial.settings["sees"]
    if sees == "all":
        return np.arange(len(labels))
    if sees == "few":
        return _sampled(trial, "real", labels, trial.settings["n_real"])
    return _long_tail_rows(trial, labels)


def training_rows(trial, labels: np.ndarray, n: int) -> np.ndarray:
    """Rows of a trial's training set among n originals followed by the synthetic images.

    Args:
        trial: a classifier trial.
        labels: int64, of all those images.
        n: number of originals.

    Returns:
        int64, in no order that matters; of `transfer` the second half of training.
    """
    s, arm = trial.settings, trial.settings["arm"]
    real, drawn = np.arange(n), np.arange(n, len(labels))

    def some_real(count):
        return _sampled(trial, "real", labels[:n], count)

    def some_drawn(count):
        return n + _sampled(trial, "synthetic", labels[n:], count)

    def over_and_over(rows, count):
        return repeated(trial_stream(trial, "repeats").permutation(rows), count)

    if arm in LONG_TAILS:
        return _tailed_rows(trial, labels, n)
    if arm in SHORTAGES:
        few = some_real(s["n_real"])
        if arm == "few":
            return few
        if arm == "few_filled":
            return np.concatenate([few, some_drawn(n - len(few))])
        return over_and_over(few, n)
    if arm in ("add", "add_repeated"):
        a, b = parse_ratio(s["ratio"])
        more = round(n * b / a)
        return np.concatenate(
            [real, some_drawn(more) if arm == "add" else over_and_over(real, more)]
        )
    if arm == "label_shuffled":
        return drawn
    count = real_share(n, s["ratio"])
    if arm == "step_matched":
        return over_and_over(some_real(count), n)
    return np.concatenate([some_real(count), some_drawn(n - count)])


def labels_of(trial, labels: np.ndarray, n: int) -> np.ndarray | None:
    """Labels of all images where an arm has others than their classes; else None."""
    if trial.settings["arm"] == "label_shuffled":
        shuffled = trial_stream(trial, "label_shuffle").permutation(labels[n:])
        return np.concatenate([labels[:n], shuffled])
    if trial.settings["arm"] == "real_vs_synthetic":
        return (np.arange(len(labels)) >= n).astype(labels.dtype)
    return None


def transfer_order(trial, rows: np.ndarray, n: int) -> Callable[[int], np.ndarray]:
    """Epoch -> images: all synthetic ones in the first half of the epochs, then `rows`."""

    def order(epoch):
        first = epoch < trial.settings["epochs"] // 2
        return trial_stream(trial, "classifier/order", epoch).permutation(
            np.arange(n, 2 * n) if first else rows
        )

    return order


def rare_classes(rows: np.ndarray, labels: np.ndarray, n: int) -> np.ndarray:
    """The half of the classes with the fewest originals, however often a training set repeats them.

    Args:
        rows: of the training set.
        labels: int64, of all images.
        n: number of originals among those, the first.

    Returns:
        int64, classes.
    """
    counts = np.bincount(labels[np.unique(rows[rows < n])], minlength=CLASSES)
    return np.argsort(counts, kind="stable")[: CLASSES // 2]


def _sampled(trial, which, labels, count):
    return stratified_rows(labels, count, CLASSES, trial_stream(trial, f"subset/{which}"))


def _long_tail_rows(trial, labels):
    """A replicate's long-tailed originals: which classes are rare is drawn, too."""
    counts = np.empty(CLASSES, np.int64)
    largest = int(np.bincount(labels, minlength=CLASSES).min())
    ranks = trial_stream(trial, "long_tail").permutation(CLASSES)
    counts[ranks] = long_tail_counts(largest, CLASSES, TAIL_FACTOR)
    return counted_rows(labels, counts, trial_stream(trial, "subset/real"))


def _tailed_rows(trial, labels, n):
    """Long-tailed originals, alone or with every class filled up to the largest."""
    rows = _long_tail_rows(trial, labels[:n])
    counts = np.bincount(labels[rows], minlength=CLASSES)
    arm = trial.settings["arm"]
    if arm == "long_tail":
        return rows
    if arm == "long_tail_filled":
        missing = counts.max() - counts
        more = counted_rows(labels[n:], missing, trial_stream(trial, "subset/synthetic"))
        return np.concatenate([rows, n + more])
    return np.concatenate([repeated(rows[labels[rows] == k], counts.max()) for k in range(CLASSES)])
