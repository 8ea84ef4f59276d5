"""Training sets made of two sets: mixes in a ratio with a constant total, and long tails.

All are rows; nothing is copied. Every class keeps its share of the set that it is taken from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def parse_ratio(ratio: str) -> tuple[int, int]:
    """The two parts of `"a:b"`.

    Raises:
        ValueError: if it is not two integers >= 0, one of them above 0.
    """
    parts = ratio.split(":")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts) or not any(map(int, parts)):
        raise ValueError(f"Expected a ratio such as '5:1'. Received: ratio={ratio!r}")
    return int(parts[0]), int(parts[1])


def real_share(total: int, ratio: str) -> int:
    """How many of `total` images are real at a ratio real:synthetic: round(total a / (a + b)).

    Halves are rounded up: of three images at 1:1 two are real.

    Args:
        total: images in all, >= 1.
        ratio: `"a:b"`.
    """
    a, b = parse_ratio(ratio)
    return (2 * total * a + a + b) // (2 * (a + b))


def class_counts(labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    """How many of `count` images each class gets, in proportion to its images.

    What is lost by rounding down goes to the classes with the largest remainders, the first of
    equal ones.

    Args:
        labels: integers `(n,)`, classes from 0.
        count: images in all, 0 to n.
        num_classes: number of classes.

    Returns:
        int64 `(num_classes,)` with the sum `count`, none above the class's own images.

    Raises:
        ValueError: if `count` is out of range.
    """
    if not 0 <= count <= len(labels):
        raise ValueError(f"Expected a count from 0 to {len(labels)}. Received: count={count}")
    sizes = np.bincount(labels, minlength=num_classes)
    counts, remainders = np.divmod(count * sizes, max(len(labels), 1))
    late = np.argsort(-remainders, kind="stable")[: count - counts.sum()]
    counts[late] += 1
    return counts


def stratified_rows(
    labels: np.ndarray, count: int, num_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Images at random without replacement, each class in proportion to its images.

    Each class is permuted whole before its first images are taken, so that what equal generators
    give for different counts is nested, up to rounding.

    Args:
        labels: integers `(n,)`, classes from 0.
        count: images in all, 0 to n.
        num_classes: number of classes.
        rng: random generator.

    Returns:
        int64 `(count,)`, class after class.

    Raises:
        ValueError: if `count` is out of range.
    """
    return counted_rows(labels, class_counts(labels, count, num_classes), rng)


def counted_rows(labels: np.ndarray, counts: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Images at random without replacement, so many of each class.

    Args:
        labels: integers `(n,)`, classes from 0.
        counts: images of each class, `(num_classes,)`.
        rng: random generator.

    Returns:
        int64 `(sum of counts,)`, class after class; nested as in `stratified_rows`.

    Raises:
        ValueError: if a class has too few images, naming it.
    """
    parts = []
    for label, count in enumerate(counts):
        rows = rng.permutation(np.flatnonzero(np.asarray(labels) == label))
        if len(rows) < count:
            raise ValueError(
                f"Expected at least {count} images of class {label}. Received: {len(rows)}"
            )
        parts.append(rows[:count])
    return np.concatenate(parts).astype(np.int64)


def long_tail_counts(largest: int, num_classes: int, factor: float) -> np.ndarray:
    """Images of each class where sizes fall exponentially (Cui et al. 2019).

    Args:
        largest: images of the first class, >= 1.
        num_classes: number of classes, >= 2.
        factor: the first class's images over those of the last, >= 1.

    Returns:
        int64 `(num_classes,)`, falling from `largest` to `largest / factor`; at least 1 each.

    Raises:
        ValueError: if a number is out of range.
    """
    if largest < 1 or num_classes < 2 or factor < 1:
        raise ValueError(
            "Expected largest >= 1, num_classes >= 2 and factor >= 1. Received: "
            f"largest={largest}, num_classes={num_classes}, factor={factor}"
        )
    shares = factor ** (-np.arange(num_classes) / (num_classes - 1))
    return np.maximum(1, np.rint(largest * shares)).astype(np.int64)


def repeated(rows: np.ndarray, count: int) -> np.ndarray:
    """Rows over and over, `(count,)`: every row floor(count / n) times or once more.

    Args:
        rows: integers `(n,)`; the first ones come once more.
        count: rows in all.

    Raises:
        ValueError: if there are no rows to repeat.
    """
    if not len(rows) and count:
        raise ValueError(f"Expected rows to repeat. Received: none, count={count}")
    return np.resize(rows, count)
