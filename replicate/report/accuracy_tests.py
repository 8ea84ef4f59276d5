"""Tests of claims about accuracies on few images, and about ratios.

An arm over `image` (a curve with one number a held-out image, 1 where it was recognised) is
compared image by image; with `n_test` in place of it each accuracy's exact binomial error is added.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from replicate.evaluation import held_out, hypotheses
from replicate.evaluation.hypotheses import Effect
from replicate.evaluation.statistics import Interval

if TYPE_CHECKING:
    from replicate.report.claim_tests import Data


def _interval(data: Data, test: Mapping[str, Any]) -> tuple[Interval, str]:
    """Mean of `a - b`, or of `a`, with the sampling of the images, and how that was taken in."""
    if len(data.arms["a"][0]) > 1:
        table = data.differences("a", "b")
        return held_out.image_interval(table, data.groups), f"{len(table[0])} images, paired"
    b = data.mean("b") if "b" in data.arms else None
    interval = held_out.binomial_interval(data.mean("a"), b, test["n_test"], data.groups)
    return interval, f"{test['n_test']:,} images, binomial"


def _accuracy_difference(data: Data, test: Mapping[str, Any]) -> Effect:
    interval, note = _interval(data, test)
    return dataclasses.replace(held_out.exceeds(interval, test.get("margin", 0.0)), note=note)


def _accuracy_equivalence(data: Data, test: Mapping[str, Any]) -> Effect:
    interval, note = _interval(data, test)
    effect = held_out.lies_within(interval, test["margin"], test.get("value", 0.0))
    return dataclasses.replace(effect, note=note)


def _ratio(data: Data, test: Mapping[str, Any]) -> Effect:
    """Geometric mean of a over b, unit by unit, against the ratio `above`."""
    a, b = data.mean("a"), data.mean("b")
    if min(*a, *b) <= 0:
        nan = math.nan
        return Effect(nan, nan, nan, data.n, 1.0, 1.0, "no ratio: a number is not positive")
    logarithms = [math.log(x / y) for x, y in zip(a, b, strict=True)]
    effect = hypotheses.threshold(logarithms, math.log(test["above"]), data.groups)
    ends = {name: math.exp(getattr(effect, name)) for name in ("effect", "low", "high")}
    return dataclasses.replace(effect, **ends)


ACCURACY_TESTS = {
    "accuracy_difference": _accuracy_difference,
    "accuracy_equivalence": _accuracy_equivalence,
    "ratio": _ratio,
}
