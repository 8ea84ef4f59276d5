"""Tests of claims about accuracies on few images, and about ratios.

An arm over `image` (a curve with one number a held-out image, 1 where it was recognised) is
compared image by image; with `n_test` in place of it each accuracy's exact binomial error is added.
`n_test` is a series, whose records say how many images there were, or a number.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scipy import stats

from replicate.evaluation import held_out
from replicate.evaluation.hypotheses import Effect
from replicate.evaluation.statistics import Interval, mean_interval

if TYPE_CHECKING:
    from replicate.report.claim_tests import Data


def images_of(data: Data, test: Mapping[str, Any]) -> int:
    """How many test images the accuracies of a test were measured on: the fewest of its units."""
    if "n_test" in data.arms:
        return round(min(data.mean("n_test")))
    return test["n_test"]


def _interval(data: Data, test: Mapping[str, Any]) -> tuple[Interval, str]:
    """Mean of `a - b`, or of `a`, with the sampling of the images, and how that was taken in."""
    if "n_test" not in test:
        table = data.differences("a", "b")
        return held_out.image_interval(table, data.groups), f"{len(table[0])} images, paired"
    b = data.mean("b") if "b" in data.arms else None
    n_test = images_of(data, test)
    interval = held_out.binomial_interval(data.mean("a"), b, n_test, data.groups)
    return interval, f"{n_test:,} images, binomial"


def _accuracy_difference(data: Data, test: Mapping[str, Any]) -> Effect:
    interval, note = _interval(data, test)
    return dataclasses.replace(held_out.exceeds(interval, test.get("margin", 0.0)), note=note)


def _accuracy_equivalence(data: Data, test: Mapping[str, Any]) -> Effect:
    interval, note = _interval(data, test)
    effect = held_out.lies_within(interval, test["margin"], test.get("value", 0.0))
    return dataclasses.replace(effect, note=note)


def _accuracy_threshold(data: Data, test: Mapping[str, Any]) -> Effect:
    interval, note = _interval(data, test)
    return dataclasses.replace(held_out.exceeds(interval, test["above"]), note=note)


def _ratio(data: Data, test: Mapping[str, Any]) -> Effect:
    """Geometric mean of a over b against the ratio `above`.

    Unit by unit; where b is several numbers of its own kind (`b0`, `b1`, ...) in place of one for
    each unit, the geometric mean of a over theirs, as of two samples (Welch 1947).
    """
    a, others = data.mean("a"), [data.mean(role) for role in data.arms if role != "a"]
    if min(*a, *(x for row in others for x in row)) <= 0:
        nan = math.nan
        return Effect(nan, nan, nan, data.n, 1.0, 1.0, "no ratio: a number is not positive")
    logs = [[math.log(x) for x in row] for row in (a, *others)]
    if len(others) > 1 and not data.by_point:
        raise ValueError(
            f"Expected units other than replicates with arms b0, b1, .... Received: {test}"
        )
    if len(others) == 1:
        paired = [x - y for x, y in zip(*logs, strict=True)]
        interval, note = mean_interval(paired, data.groups), ""
    else:
        interval = _unpaired(mean_interval(logs[0]), mean_interval([row[0] for row in logs[1:]]))
        note = f"{len(a)} against {len(others)}"
    effect = held_out.exceeds(interval, math.log(test["above"]))
    ends = {name: math.exp(getattr(effect, name)) for name in ("effect", "low", "high")}
    return dataclasses.replace(effect, note=note, **ends)


def _unpaired(a: Interval, b: Interval) -> Interval:
    """The difference of two means, with Welch's degrees of freedom; `n` is that of the smaller."""
    parts = [(i.standard_error**2, i.df) for i in (a, b)]
    variance, mean = sum(part for part, _ in parts), a.mean - b.mean
    spread = sum(part**2 / df for part, df in parts)
    df = math.inf if spread == 0 else variance**2 / spread
    half = math.sqrt(variance) * float(stats.t.ppf(0.975, df))
    return Interval(mean, mean - half, mean + half, min(a.n, b.n), math.sqrt(variance), df)


ACCURACY_TESTS = {
    "accuracy_difference": _accuracy_difference,
    "accuracy_equivalence": _accuracy_equivalence,
    "accuracy_threshold": _accuracy_threshold,
    "ratio": _ratio,
}
