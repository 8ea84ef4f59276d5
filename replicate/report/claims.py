"""Claims judged by named tests; which test a claim needs stands in the study's TOML file.

A test names its arms as references to series, `{ series = "mix" }` for all points of the series or
`{ series = "real", p = 1.0 }` for one. Values are paired by replicate: a replicate counts where
every trial that the test needs is done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from replicate.evaluation import hypotheses, statistics
from replicate.evaluation.hypotheses import Effect
from replicate.report.cells import qualified
from replicate.report.config import REFERENCE_FIELDS, Claim, StudyConfig
from replicate.report.views import Sample, View, complete_rows

TestSpec = Mapping[str, Any]


class NotRun(Exception):
    """A claim's numbers are not there; the message says why."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One reference of a test: its points and their samples."""

    points: list[Any]
    samples: list[Sample]


@dataclasses.dataclass(frozen=True)
class Data:
    """The arms of a test over the replicates that are complete.

    Args:
        arms: role -> table (replicates, points) as rows.
        points: role -> points.
        groups: the generator of each replicate.
        n: number of complete replicates.
        samples: every sample that the test rests on.
    """

    arms: Mapping[str, list[list[float]]]
    points: Mapping[str, list[Any]]
    groups: list[str]
    n: int
    samples: list[Sample]

    def mean(self, role: str) -> list[float]:
        """Mean over an arm's points, for each replicate."""
        return [sum(row) / len(row) for row in self.arms[role]]

    def differences(self, a: str, b: str) -> list[list[float]]:
        """Table of `a - b`; an arm of one point is compared with every point of the other."""
        return [
            [x - (right[i] if len(right) > 1 else right[0]) for i, x in enumerate(left)]
            for left, right in zip(self.arms[a], self.arms[b], strict=True)
        ]


def _arm(view: View, reference: Mapping[str, Any], at: Sequence[Any] | None) -> Arm:
    series = view.config.series[reference["series"]]
    fixed = {name: value for name, value in reference.items() if name not in REFERENCE_FIELDS}
    if series.x in fixed:
        points: list[Any] = [fixed[series.x]]
        selectors = [series.selector.at(**fixed)]
    else:
        selector = series.selector.at(**fixed)
        points = list(at) if at else view.points(selector, series.x)
        selectors = [selector.at(**{series.x: point}) for point in points]
    if not points:
        raise NotRun(f"{series.label}: not part of the plan {view.label}")
    samples = [view.sample(selector) for selector in selectors]
    for point, sample in zip(points, samples, strict=True):
        if sample.problem:
            raise NotRun(f"{series.label}, {series.x} = {point:g}: {sample.problem}")
    return Arm(points, samples)


def _gather(view: View, test: TestSpec) -> Data:
    roles = {role: value for role, value in test.items() if isinstance(value, Mapping)}
    arms = {role: _arm(view, reference, test.get("at")) for role, reference in roles.items()}
    samples = [sample for arm in arms.values() for sample in arm.samples]
    shared, table, groups = complete_rows(samples)
    if not shared:
        raise NotRun("no replicate is complete over all points")
    columns, start = {}, 0
    for role, arm in arms.items():
        stop = start + len(arm.samples)
        columns[role] = [row[start:stop] for row in table]
        start = stop
    points = {role: arm.points for role, arm in arms.items()}
    widths = {len(p) for p in points.values()} - {1}
    if len(widths) > 1:
        raise NotRun(f"the arms have different points in the plan {view.label}")
    return Data(columns, points, groups, len(shared), samples)


def _paired_difference(data: Data, test: TestSpec) -> Effect:
    return hypotheses.paired_difference(
        data.mean("a"), data.mean("b"), test.get("margin", 0.0), data.groups
    )


def _threshold(data: Data, test: TestSpec) -> Effect:
    return hypotheses.threshold(data.mean("a"), test["above"], data.groups)


def _equivalence(data: Data, test: TestSpec) -> Effect:
    values = data.mean("a")
    if "b" in data.arms:
        values = [a - b for a, b in zip(values, data.mean("b"), strict=True)]
    return hypotheses.equivalence(values, test["margin"], test.get("value", 0.0), data.groups)


def _spearman(data: Data, test: TestSpec) -> Effect:
    if len(data.points["a"]) < 3:
        raise NotRun(f"{len(data.points['a'])} points: a trend needs three")
    return hypotheses.spearman_trend(
        data.points["a"], data.arms["a"], test.get("above", 0.0), data.groups
    )


def _all_above(data: Data, test: TestSpec) -> Effect:
    return hypotheses.all_above(data.differences("a", "b"), test.get("margin", 0.0), data.groups)


def _all_between(data: Data, test: TestSpec) -> Effect:
    above = data.differences("a", "lower")
    below = [[-x for x in row] for row in data.differences("a", "upper")]
    table = [left + right for left, right in zip(above, below, strict=True)]
    effect = hypotheses.all_above(table, test.get("margin", 0.0), data.groups)
    return dataclasses.replace(effect, note=effect.note.replace("points", "distances"))


def _sign_test(data: Data, test: TestSpec) -> Effect:
    columns = zip(*data.differences("a", "b"), strict=True)
    return hypotheses.sign_test([sum(column) / data.n for column in columns])


def _monotone(data: Data, test: TestSpec) -> Effect:
    return hypotheses.monotone(
        data.arms["a"], test["direction"], test.get("margin", 0.0), data.groups
    )


TESTS: dict[str, Callable[[Data, TestSpec], Effect]] = {
    "paired_difference": _paired_difference,
    "threshold": _threshold,
    "equivalence": _equivalence,
    "spearman": _spearman,
    "all_above": _all_above,
    "all_between": _all_between,
    "sign_test": _sign_test,
    "monotone": _monotone,
}


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a view says of a claim.

    Args:
        label: the plan's label; empty where the side has no plan.
        verdict: `"supported"`, `"contradicted"`, `"inconclusive"`, `"indicative"`, `"none"` or
            `"not run"`.
        reason: what qualifies the verdict, or why there is none.
        effects: `(name of the test, its effect)`.
        n: number of complete replicates.
        p: adjusted `(p_for, p_against)`; None if not run.
    """

    label: str
    verdict: str
    reason: str = ""
    effects: tuple[tuple[str, Effect], ...] = ()
    n: int = 0
    p: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class ClaimResult:
    """A claim with what each side says: side -> `Judged`."""

    claim: Claim
    sides: Mapping[str, Judged]


def _pooled(gathered: Sequence[Data]) -> Sample:
    """One sample that stands for everything a claim rests on, to ask whether it may be judged."""
    smallest = min(gathered, key=lambda data: data.n)
    routes = frozenset().union(*(s.routes for data in gathered for s in data.samples))
    return Sample(
        values=dict(enumerate(smallest.mean(next(iter(smallest.arms))))),
        groups=dict(enumerate(smallest.groups)),
        routes=routes,
    )


def evaluate(claim: Claim, view: View | None) -> Judged:
    """Run a claim's tests on a view; verdicts by numbers are left empty for `judge`.

    Raises:
        ValueError: if the claim names an unknown test.
    """
    unknown = [test["name"] for test in claim.tests if test["name"] not in TESTS]
    if unknown:
        raise ValueError(f"Expected tests among {sorted(TESTS)}. Received: {claim.id} {unknown}")
    if view is None:
        return Judged("", "not run", "no run here")
    try:
        gathered = [_gather(view, test) for test in claim.tests]
        effects = tuple(
            (test["name"], TESTS[test["name"]](data, test))
            for test, data in zip(claim.tests, gathered, strict=True)
        )
    except NotRun as reason:
        return Judged(view.label, "not run", str(reason))
    pooled = _pooled(gathered)
    verdict, reason = qualified(pooled, view.kind, view.config.rules["minimum_replicates"])
    p = hypotheses.combined([effect for _, effect in effects])
    return Judged(view.label, verdict, reason, effects, pooled.n, p)


def _adjusted(judged: Mapping[str, Judged], family: Sequence[str]) -> dict[str, tuple]:
    """Holm's adjustment over a family of claims; a claim that did not run counts as p = 1."""
    p_values = [judged[name].p or (1.0, 1.0) for name in family]
    adjusted = [statistics.holm([p[side] for p in p_values]) for side in (0, 1)]
    return {name: (adjusted[0][i], adjusted[1][i]) for i, name in enumerate(family)}


def judge_view(config: StudyConfig, view: View | None) -> dict[str, Judged]:
    """Every claim and control of a study on one view, Holm-adjusted over the primary claims."""
    judged = {claim.id: evaluate(claim, view) for claim in config.claims}
    adjusted = _adjusted(judged, [claim.id for claim in config.claims if claim.primary])
    for name, result in judged.items():
        if result.p is None:
            continue
        p = adjusted.get(name, result.p)
        verdict = result.verdict or statistics.claim_verdict(*p, config.rules["alpha"])
        judged[name] = dataclasses.replace(result, p=p, verdict=verdict)
    return judged


def judge(config: StudyConfig, sides: Mapping[str, View | None]) -> list[ClaimResult]:
    """Every claim and control of a study, as each side sees it."""
    by_side = {side: judge_view(config, view) for side, view in sides.items()}
    return [
        ClaimResult(claim, {side: by_side[side][claim.id] for side in sides})
        for claim in config.claims
    ]
