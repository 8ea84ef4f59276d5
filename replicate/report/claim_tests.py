"""The tests that a claim may name, and the numbers that each takes from a view.

A test names its arms as references to series, `{ series = "mix" }` for all points of the series or
`{ series = "real", p = 1.0 }` for one. Its units are replicates, paired over every trial that the
test needs, whatever their stages; with `units = "classes"` (any word but "replicates") they are the
points of its arms, each the mean over those replicates of the point that the other arms have, too:
of one stage the same replicates, of two stages those that rest on the same generator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from replicate.evaluation import hypotheses
from replicate.evaluation.hypotheses import Effect
from replicate.evaluation.spread import spread_ratio
from replicate.report.accuracy_tests import ACCURACY_TESTS
from replicate.report.config import REFERENCE_FIELDS, format_setting, format_settings
from replicate.report.evidence import Evidence, of_samples
from replicate.report.views import Sample, View, complete_rows, same

TestSpec = Mapping[str, Any]


class NotRun(Exception):
    """A claim's numbers are not there; the message says why."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One reference of a test: its points (None: the series has no x) and their samples.

    `single` where the reference means one point, which then stands for every point of other arms.
    """

    label: str
    stage: str
    x: str
    points: list[Any]
    samples: list[Sample]
    single: bool

    def name(self, point: Any) -> str:
        """The arm at one of its points, for messages."""
        return self.label if point is None else f"{self.label}, {self.x} = {format_setting(point)}"

    def finished(self) -> list[Any]:
        """The points that have a number."""
        return [p for p, sample in zip(self.points, self.samples, strict=True) if sample.n]

    def at(self, point: Any) -> Sample:
        """The sample of a point."""
        if self.single:
            return self.samples[0]
        matching = zip(self.points, self.samples, strict=True)
        return next((s for p, s in matching if same(p, point)), Sample(problem="no such point"))

    def makers(self) -> dict[str, frozenset[str]]:
        """Key of each record -> what it was made from in the end, itself if it has no input.

        What all of them share, such as the network that measures every set, tells none apart and is
        left out, unless a record has nothing else.
        """
        found = {
            key: frozenset(sample.groups[r].split() or [key])
            for sample in self.samples
            for r, key in sample.keys.items()
        }
        shared = frozenset.intersection(*found.values()) if found else frozenset()
        return {key: (made - shared) or made for key, made in found.items()}

    def evidence(self, points: Sequence[Any], replicates: Sequence[int] = ()) -> list[Evidence]:
        """The records behind some of its points; of those replicates, if they are given."""
        points = self.points if self.single else points
        samples = [self.at(point) for point in points]
        names = [self.name(point) for point in points]
        return of_samples(self.label, self.x, names, samples, replicates)


@dataclasses.dataclass(frozen=True)
class Data:
    """The arms of a test over its units.

    Args:
        arms: role -> table (units, points) as rows.
        points: role -> points.
        groups: the generator of each unit.
        n: number of units: complete replicates, or points.
        samples: every sample that the test rests on.
        evidence: the records that count, arm by arm and point by point.
        caveat: what limits the units, e.g. `"10 classes, one generator each"` or
            `"3 of 10 planned replicates"`.
        by_point: whether the units are points, not replicates.
    """

    arms: Mapping[str, list[list[float]]]
    points: Mapping[str, list[Any]]
    groups: list[str]
    n: int
    samples: list[Sample]
    evidence: list[Evidence] = dataclasses.field(default_factory=list)
    caveat: str = ""
    by_point: bool = False

    def mean(self, role: str) -> list[float]:
        """Mean over an arm's points, for each unit."""
        return [sum(row) / len(row) for row in self.arms[role]]

    def differences(self, a: str, b: str) -> list[list[float]]:
        """Table of `a - b`; an arm of one point is compared with every point of the other."""

        def spread(row: list[float], n: int) -> list[float]:
            return row * n if len(row) == 1 else row

        return [
            [x - y for x, y in zip(spread(left, len(right)), spread(right, len(left)), strict=True)]
            for left, right in zip(self.arms[a], self.arms[b], strict=True)
        ]


def arm_of(view: View, reference: Mapping[str, Any], at: Sequence[Any] | None) -> Arm:
    """What a reference of a test means in a view; `at` names the points if a test does.

    Raises:
        NotRun: if the plan has none of its points.
    """
    series = view.config.series[reference["series"]]
    fixed = {name: value for name, value in reference.items() if name not in REFERENCE_FIELDS}
    single = not series.x or series.x in fixed
    if not series.x:
        points: list[Any] = [None]
    elif series.x in fixed:
        points = [fixed.pop(series.x)]
    elif series.over:
        planned = [p for p in series.over if view.trials(series.at(p).at(**fixed))]
        points = list(at or planned)
    else:
        points = list(at or view.points(series.selector.at(**fixed), series.x))
    if not points:
        raise NotRun(f"{series.label}: not part of the plan {view.label}")
    samples = [view.sample(series.at(point).at(**fixed)) for point in points]
    label = ", ".join(filter(None, (series.label, format_settings(fixed))))
    return Arm(label, series.selector.stage, series.x, points, samples, single)


def gather(view: View, test: TestSpec) -> Data:
    """The numbers of a test.

    Raises:
        NotRun: if an arm has none, or replicates or points do not meet.
    """
    roles = {role: value for role, value in test.items() if isinstance(value, Mapping)}
    arms = {role: arm_of(view, reference, test.get("at")) for role, reference in roles.items()}
    units = test.get("units", "replicates")
    return _by_replicate(view, arms) if units == "replicates" else _by_point(arms, units)


def _by_replicate(view: View, arms: Mapping[str, Arm]) -> Data:
    for arm in arms.values():
        for point, sample in zip(arm.points, arm.samples, strict=True):
            if sample.problem:
                raise NotRun(f"{arm.name(point)}: {sample.problem}")
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
    evidence = [each for arm in arms.values() for each in arm.evidence(arm.points, shared)]
    n, planned = len(shared), min(sample.planned for sample in samples)
    caveat = f"{n} of {planned} planned replicates" if n < planned else ""
    return Data(columns, points, groups, n, samples, evidence, caveat)


def _counterparts(arm: Arm, other: Arm) -> list[set[int]]:
    """The replicates at each point of an arm that another arm has there as well.

    Of one stage: the same ones. Of two: those that rest on a maker (a generator) of the other arm's
    records at that point; all of them where no record of the one arm shares a maker with the other.
    """
    pairs = [
        (sample, other.at(point)) for point, sample in zip(arm.points, arm.samples, strict=True)
    ]
    if arm.stage == other.stage:
        return [set(sample.values) & set(against.values) for sample, against in pairs]
    mine, theirs = arm.makers(), other.makers()
    known = [frozenset().union(*made.values()) for made in (mine, theirs)]
    if not known[0] & known[1]:
        return [set(sample.values) for sample in arm.samples]
    found = []
    for sample, against in pairs:
        made = frozenset().union(*(theirs[key] for key in against.keys.values()))
        found.append({r for r, key in sample.keys.items() if mine[key] & made})
    return found


def _like_with_like(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """The arms with those replicates alone, point by point, that all arms of many points have."""
    several = {role: arm for role, arm in arms.items() if not arm.single}
    made = dict(arms)
    for role, arm in several.items():
        kept = [set(sample.values) for sample in arm.samples]
        for other in (each for name, each in several.items() if name != role):
            kept = [a & b for a, b in zip(kept, _counterparts(arm, other), strict=True)]
        problem = "no replicate has its like in the other arm"
        samples = [s.only(k, problem) for s, k in zip(arm.samples, kept, strict=True)]
        made[role] = dataclasses.replace(arm, samples=samples)
    return made


def _by_point(arms: Mapping[str, Arm], units: str) -> Data:
    """Points as units: those that are finished in every arm, of replicates that all arms have."""
    for arm in arms.values():
        if not arm.finished():
            raise NotRun(f"{arm.name(arm.points[0])}: {arm.samples[0].problem}")
    arms = _like_with_like(arms)
    longest = max(arms.values(), key=lambda arm: len(arm.points))
    finished = {role: arm.finished() for role, arm in arms.items()}

    def everywhere(point: Any) -> bool:
        several = [role for role, arm in arms.items() if not arm.single]
        return all(any(same(point, other) for other in finished[role]) for role in several)

    points = [point for point in longest.points if everywhere(point)]
    if not points:
        raise NotRun(f"none of the {units} is finished in every arm")
    samples = {role: [arm.at(point) for point in points] for role, arm in arms.items()}
    every = [sample for several in samples.values() for sample in several]
    columns = {role: [[sample.mean] for sample in several] for role, several in samples.items()}
    n, planned = len(points), len(longest.points)
    caveat = f"{n} {units}" if n == planned else f"{n} of {planned} {units}"
    made = [len(set(sample.groups.values())) for sample in every]
    if max(made) == 1:
        caveat += ", one generator each"
    else:
        caveat += f", {min(made)} to {max(made)} generators each"
    names = [str(point) for point in points]
    evidence = [each for arm in arms.values() for each in arm.evidence(points)]
    return Data(columns, dict.fromkeys(arms, [None]), names, n, every, evidence, caveat, True)


def _paired_difference(data: Data, test: TestSpec) -> Effect:
    a, b = data.mean("a"), data.mean("b")
    if "below" in test:
        differences = [x - y for x, y in zip(a, b, strict=True)]
        return hypotheses.threshold(differences, groups=data.groups, below=test["below"])
    return hypotheses.paired_difference(a, b, test.get("margin", 0.0), data.groups)


def _gain(data: Data, test: TestSpec) -> Effect:
    """Gain of a over b, less that of c over d where they are given; `relative` to b and d."""

    def gains(new: str, old: str) -> list[float]:
        before = data.mean(old)
        if test.get("relative") and not all(before):
            raise NotRun("a gain relative to 0 has no size")
        pairs = zip(data.mean(new), before, strict=True)
        return [(x - y) / (y if test.get("relative") else 1.0) for x, y in pairs]

    values = gains("a", "b")
    if "c" in data.arms:
        values = [x - y for x, y in zip(values, gains("c", "d"), strict=True)]
    return hypotheses.threshold(values, test.get("above"), data.groups, below=test.get("below"))


def _threshold(data: Data, test: TestSpec) -> Effect:
    return hypotheses.threshold(
        data.mean("a"), test.get("above"), data.groups, below=test.get("below")
    )


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


def _spread_ratio(data: Data, test: TestSpec) -> Effect:
    return spread_ratio(data.mean("a"), data.mean("b"), data.groups)


def _rank_association(data: Data, test: TestSpec) -> Effect:
    if data.n < 4:
        raise NotRun(f"{data.caveat}: a rank association needs four")
    return hypotheses.rank_association(data.mean("a"), data.mean("b"), test["within"])


def _all_above(data: Data, test: TestSpec) -> Effect:
    return hypotheses.all_above(data.differences("a", "b"), test.get("margin", 0.0), data.groups)


def _all_between(data: Data, test: TestSpec) -> Effect:
    above = data.differences("a", "lower")
    below = [[-x for x in row] for row in data.differences("a", "upper")]
    table = [left + right for left, right in zip(above, below, strict=True)]
    effect = hypotheses.all_above(table, test.get("margin", 0.0), data.groups)
    return dataclasses.replace(effect, note=effect.note.replace("points", "distances"))


def _sign_test(data: Data, test: TestSpec) -> Effect:
    if "b" in data.arms:
        table = data.differences("a", "b")
    elif "below" in test:
        table = [[test["below"] - x for x in row] for row in data.arms["a"]]
    else:
        table = [[x - test["above"] for x in row] for row in data.arms["a"]]
    if data.by_point:
        return hypotheses.sign_test([row[0] for row in table])
    return hypotheses.sign_test(
        [sum(column) / data.n for column in zip(*table, strict=True)], table
    )


def _monotone(data: Data, test: TestSpec) -> Effect:
    return hypotheses.monotone(
        data.arms["a"], test["direction"], test.get("margin", 0.0), data.groups
    )


TESTS: dict[str, Callable[[Data, TestSpec], Effect]] = {
    "paired_difference": _paired_difference,
    "gain": _gain,
    "threshold": _threshold,
    "equivalence": _equivalence,
    "spearman": _spearman,
    "spread_ratio": _spread_ratio,
    "rank_association": _rank_association,
    "all_above": _all_above,
    "all_between": _all_between,
    "sign_test": _sign_test,
    "monotone": _monotone,
    **ACCURACY_TESTS,
}


def run_test(data: Data, test: TestSpec) -> Effect:
    """The effect of a named test; its note also holds the test's label."""
    effect = TESTS[test["name"]](data, test)
    note = ", ".join(part for part in (test.get("label", ""), effect.note) if part)
    return dataclasses.replace(effect, note=note)
