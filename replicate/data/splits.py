"""Parts of a set by index, the same number of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def class_rows(labels: np.ndarray, num_classes: int, first: int = 0, last: int = 0) -> np.ndarray:
    """The first or last images of each class, class after class, each in the order they have.

    Args:
        labels: integers `(n,)`, classes from 0.
        num_classes: number of classes.
        first: images to take from the start of each class, or
        last: from its end; exactly one of the two.

    Returns:
        int64 `(num_classes * (first or last),)`.

    Raises:
        ValueError: if both or neither is given, or a class has too few images, naming it.
    """
    if bool(first) == bool(last):
        raise ValueError(f"Expected first or last. Received: first={first}, last={last}")
    parts = []
    for label in range(num_classes):
        rows = _enough(labels, label, first + last)
        parts.append(rows[:first] if first else rows[len(rows) - last :])
    return np.concatenate(parts)


def class_sample(
    labels: np.ndarray, num_classes: int, per_class: int, rng: np.random.Generator
) -> np.ndarray:
    """Images of each class at random without replacement, class after class.

    Whole permutations are drawn, so that samples of different sizes from equal generators are
    nested.

    Args:
        labels: integers `(n,)`, classes from 0.
        num_classes: number of classes.
        per_class: images of each class.
        rng: random generator.

    Returns:
        int64 `(num_classes * per_class,)`.

    Raises:
        ValueError: if a class has too few images, naming it.
    """
    parts = [
        rng.permutation(_enough(labels, label, per_class))[:per_class]
        for label in range(num_classes)
    ]
    return np.concatenate(parts)


def _enough(labels: np.ndarray, label: int, count: int) -> np.ndarray:
    rows = np.flatnonzero(np.asarray(labels) == label)
    if len(rows) < count:
        raise ValueError(
            f"Expected at least {count} images of class {label}. Received: {len(rows)}"
        )
    return rows


def check_class_sizes(labels: np.ndarray, class_names: Sequence[str], minimum: int) -> None:
    """Refuse a set in which a class has fewer images than a batch of that class needs.

    Args:
        labels: integers `(n,)`, classes from 0.
        class_names: name of each class.
        minimum: images that each class must have.

    Raises:
        ValueError: naming every class that has fewer, with its count.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    few = [
        f"{name} {count}"
        for name, count in zip(class_names, counts, strict=True)
        if count < minimum
    ]
    if few:
        raise ValueError(
            f"Expected at least {minimum} images of each class. Received: {', '.join(few)}"
        )
