"""What a classifier takes for what: counts of (label, prediction) and what they tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Count how often each class is predicted as each class.

    Args:
        labels: integers `(n,)` in [0, num_classes), n >= 1.
        predictions: integers `(n,)` in [0, num_classes).
        num_classes: number of classes.

    Returns:
        int64 `(num_classes, num_classes)`: rows are true classes, columns predicted ones.

    Raises:
        ValueError: if a class is out of range, or the lengths differ or are 0.
    """
    from sklearn.metrics import confusion_matrix as count

    for name, classes in (("labels", labels), ("predictions", predictions)):
        classes = np.asarray(classes)
        if classes.ndim != 1 or classes.dtype.kind not in "iu" or classes.size == 0:
            raise ValueError(
                f"Expected {name} (n,) of integers. "
                f"Received: shape={classes.shape}, dtype={classes.dtype}"
            )
        if classes.min() < 0 or classes.max() >= num_classes:
            raise ValueError(
                f"Expected {name} in [0, {num_classes}). "
                f"Received: {classes.min()} to {classes.max()}"
            )
    return count(labels, predictions, labels=range(num_classes))


def _checked_confusion(confusion: np.ndarray) -> np.ndarray:
    confusion = np.asarray(confusion)
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or confusion.sum() == 0:
        raise ValueError(
            "Expected a square confusion matrix of one or more images. "
            f"Received: shape={confusion.shape}, {confusion.sum()} images"
        )
    return confusion


def per_class_recall(confusion: np.ndarray) -> np.ndarray:
    """Share of each class's images that are recognised.

    Args:
        confusion: `(classes, classes)`, rows true.

    Returns:
        float64 `(classes,)` in [0, 1]; NaN for a class without images.

    Raises:
        ValueError: if the matrix is not square or holds no image.
    """
    confusion = _checked_confusion(confusion)
    images = confusion.sum(axis=1)
    unknown = np.full(len(confusion), np.nan)
    return np.divide(confusion.diagonal(), images, out=unknown, where=images > 0)


def predicted_share(confusion: np.ndarray, classes: Sequence[int]) -> float:
    """Share of all predictions that name one of the given classes.

    Args:
        confusion: `(classes, classes)`, rows true.
        classes: the classes, each once.

    Returns:
        The share, in [0, 1].

    Raises:
        ValueError: if the matrix is not square or holds no image, or a class is not in it or
            given twice.
    """
    confusion = _checked_confusion(confusion)
    if len(set(classes)) < len(classes) or not set(classes) <= set(range(len(confusion))):
        raise ValueError(
            f"Expected classes in [0, {len(confusion)}), each once. Received: classes={classes}"
        )
    return float(confusion[:, list(classes)].sum() / confusion.sum())


def pair_lead(confusion: np.ndarray, a: int, b: int) -> float:
    """By how much the pair `a`, `b` is confused more than any other pair.

    Args:
        confusion: `(classes, classes)`, rows true; three or more classes.
        a: a class.
        b: another class.

    Returns:
        Confusions of the pair, in both directions, minus those of the most confused other pair, as
        a share of all images: positive if the pair is the most confused of all, in [-1, 1].

    Raises:
        ValueError: if the matrix is not square or holds no image, has fewer than three classes, or
            a class is not in it.
    """
    confusion = _checked_confusion(confusion)
    n = len(confusion)
    if n < 3 or a == b or not {a, b} <= set(range(n)):
        raise ValueError(
            f"Expected two of three or more classes. Received: a={a}, b={b}, {n} classes"
        )
    both = np.triu(confusion + confusion.T, 1)
    pair = both[min(a, b), max(a, b)]
    both[min(a, b), max(a, b)] = 0
    return float((pair - both.max()) / confusion.sum())


def missed_lead(confusion: np.ndarray, classes: Sequence[int]) -> float:
    """By how much some classes are missed more often than every other class.

    Args:
        confusion: `(classes, classes)`, rows true; every class has images.
        classes: some of the classes, each once, but not all.

    Returns:
        The least recall of the other classes minus the largest of these, in [-1, 1]: positive if
        these are missed more than any other.

    Raises:
        ValueError: if the matrix is not square, a class has no image, or `classes` are none, all,
            not in it, or given twice.
    """
    recall = per_class_recall(confusion)
    others = set(range(len(recall))) - set(classes)
    if not 0 < len(recall) - len(others) == len(classes) < len(recall) or np.isnan(recall).any():
        raise ValueError(
            f"Expected some of {len(recall)} classes, each once, all with images. "
            f"Received: classes={classes}, recall={recall.tolist()}"
        )
    return float(recall[list(others)].min() - recall[list(classes)].max())
