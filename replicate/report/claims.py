"""Claims judged by named tests; which test a claim needs stands in the study's TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from replicate.evaluation import hypotheses, statistics
from replicate.evaluation.hypotheses import Effect
from replicate.report.cells import first_run, qualified
from replicate.report.claim_tests import TESTS, Data, NotRun, gather, run_test
from replicate.report.config import Claim, StudyConfig
from replicate.report.evidence import Evidence
from replicate.report.views import Sample, View


@dataclasses.dataclass(frozen=True)
class Judged:
    """What a view says of a claim.

    Args:
        label: the plan's label; empty where the side has no plan.
        verdict: `"supported"`, `"contradicted"`, `"inconclusive"`, `"indicative"`, `"none"` or
            `"not run"`.
        reason: what qualifies the verdict, or why there is none.
        effects: `(name of the test, its effect)`.
        n: number of units: complete replicates, or what the tests name.
        generators: how many sets of generators they rest on, if these are several and fewer.
        p: adjusted `(p_for, p_against)`; None if not run.
        evidence: the records that the tests rest on, arm by arm.
        settled: whether preset, data and number of repeats allow a verdict.
    """

    label: str
    verdict: str
    reason: str = ""
    effects: tuple[tuple[str, Effect], ...] = ()
    n: int = 0
    p: tuple[float, float] | None = None
    evidence: tuple[Evidence, ...] = ()
    settled: bool = False
    generators: int = 0

    @property
    def run(self) -> bool:
        """Whether the tests were run."""
        return self.verdict != "not run"

    @property
    def keys(self) -> list[str]:
        """Keys of the trials behind the evidence, each once."""
        return list(dict.fromkeys(key for each in self.evidence for _, key, _ in each.records))


@dataclasses.dataclass(frozen=True)
class ClaimResult:
    """A claim with what each side says: side -> `Judged`."""

    claim: Claim
    sides: Mapping[str, Judged]


def pooled_sample(gathered: Sequence[Data]) -> Sample:
    """One sample that stands for everything a claim rests on, to ask whether it may be judged.

    Its units are those of the smallest test; they rest on one generator if those of any test do,
    for a test of arms without generators says nothing of the others.
    """
    smallest = min(gathered, key=lambda data: data.n)
    values = smallest.mean(next(iter(smallest.arms)))
    samples = [sample for data in gathered for sample in data.samples]
    routes = frozenset().union(*(sample.routes for sample in samples))
    contents = frozenset().union(*(sample.contents for sample in samples))
    shared = next((g for g in map(_one_generator, gathered) if g), "")
    groups = [shared] * len(values) if shared else smallest.groups
    return Sample(
        dict(enumerate(values)), dict(enumerate(groups)), routes=routes, contents=contents
    )


def _one_generator(data: Data) -> str:
    """The generator that all units of an arm rest on; empty if no arm has one alone."""
    alone = [] if data.by_point else [s for s in data.samples if data.n > 1 and s.one_generator]
    return next(iter(alone[0].groups.values())) if alone else ""


def _generators(gathered: Sequence[Data]) -> int:
    """The fewest sets of generators, of several, that the replicates of a test share."""
    counts = (
        (len(set(data.groups)), data.n)
        for data in gathered
        if not data.by_point and all(data.groups)
    )
    return min((count for count, n in counts if 1 < count < n), default=0)


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
        gathered = [gather(view, test) for test in claim.tests]
        effects = tuple(
            (test["name"], run_test(data, test))
            for test, data in zip(claim.tests, gathered, strict=True)
        )
    except NotRun as reason:
        return Judged(view.label, "not run", str(reason))
    pooled = pooled_sample(gathered)
    verdict, reason = qualified(pooled, view.kind, view.config.rules["minimum_replicates"])
    settled = not verdict
    caveats = [data.caveat for data in gathered if data.caveat]
    reason = "; ".join(dict.fromkeys([*filter(None, [reason]), *caveats]))
    if claim.unscored:
        verdict, reason = "none", claim.unscored
    p = hypotheses.combined([effect for _, effect in effects])
    evidence = tuple(dict.fromkeys(each for data in gathered for each in data.evidence))
    return Judged(
        view.label, verdict, reason, effects, pooled.n, p, evidence, settled, _generators(gathered)
    )


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


def judge(config: StudyConfig, sides: Mapping[str, Sequence[View]]) -> list[ClaimResult]:
    """Every claim and control of a study, as each side sees it, see `first_run`.

    A claim is judged within one view, with Holm's adjustment over the claims of that view.
    """
    judged = {
        side: [judge_view(config, view) for view in views or [None]]
        for side, views in sides.items()
    }
    return [
        ClaimResult(
            claim, {side: first_run([each[claim.id] for each in judged[side]]) for side in sides}
        )
        for claim in config.claims
    ]
