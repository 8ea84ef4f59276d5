"""Numbers out of the store: one view is one plan of one store, so that presets never mix."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from replicate.evaluation.confusion import missed_lead
from replicate.report.config import Selector, StudyConfig
from replicate.runs.store import Plan, Record, Store
from replicate.runs.trial import Trial

STAND_IN = "stand_in"
PREFERENCE = ("verdict", "indicative", "none")
EVERY = "replicates_of_every"  # among a selector's settings: see `View.trials`
MATRIX = ":"  # in a metric's name: see `_of_matrix`
OF_MATRIX = {"missed_lead": missed_lead}  # functions of a confusion matrix and some classes


def _span(record: Record) -> tuple[float, float]:
    """Begin and end of a trial, in seconds since 1970."""
    end = datetime.datetime.fromisoformat(record.created).timestamp()
    return end - record.wall_seconds, end


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a selector finds in a view.

    Args:
        values: replicate -> number, of the finished trials.
        groups: replicate -> the generator that its trial rests on, however many sets lie between.
        planned: number of trials that the plan holds.
        failed: keys of trials that failed.
        routes: data routes behind the numbers.
        contents: data sets of the records, each with the hash of its images.
        keys: replicate -> key of the trial that the number was read from.
        problem: why there is no number; empty if there is one.
    """

    values: Mapping[int, float] = dataclasses.field(default_factory=dict)
    groups: Mapping[int, str] = dataclasses.field(default_factory=dict)
    planned: int = 0
    failed: tuple[str, ...] = ()
    routes: frozenset[str] = frozenset()
    keys: Mapping[int, str] = dataclasses.field(default_factory=dict)
    problem: str = ""
    contents: frozenset[tuple[str, str]] = frozenset()

    @property
    def n(self) -> int:
        """Number of finished trials with a value."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return sum(self.values.values()) / self.n

    @property
    def stand_in(self) -> bool:
        """Whether a drawn stand-in replaced a data set anywhere behind the numbers."""
        return STAND_IN in self.routes

    @property
    def mixed(self) -> str:
        """A data set of which the records have more than one version; empty if there is none."""
        names = sorted(name for name, _ in self.contents)
        return next((a for a, b in itertools.pairwise(names) if a == b), "")

    @property
    def one_generator(self) -> bool:
        """Whether all replicates share one input, whose variance is then not in the interval."""
        inputs = set(self.groups.values())
        return self.n > 1 and len(inputs) == 1 and "" not in inputs

    def only(self, replicates: Iterable[int], problem: str) -> Sample:
        """The same sample of some replicates; where none is left, the problem says so."""
        kept = set(replicates) & self.values.keys()
        parts = {
            name: {r: value for r, value in getattr(self, name).items() if r in kept}
            for name in ("values", "groups", "keys")
        }
        return dataclasses.replace(self, **parts, problem=self.problem or ("" if kept else problem))


def same(a: Any, b: Any) -> bool:
    """Whether two settings are equal; numbers up to rounding."""
    numbers = (int, float)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, numbers) and isinstance(b, numbers):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b


def matches(trial: Trial, selector: Selector, base: Mapping[str, Any]) -> bool:
    """Whether a selector means a trial; base settings are implied where the trial has them."""
    if trial.stage != selector.stage:
        return False
    if not all(
        name in trial.settings and same(trial.settings[name], value)
        for name, value in selector.settings.items()
    ):
        return False
    for name, value in base.items():
        if name in selector.settings or name in selector.free or name not in trial.settings:
            continue
        if same(trial.settings[name], value) == (name in selector.differs):
            return False
    return all(name in trial.settings for name in selector.differs)


def implied(base: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The settings that selectors imply in a plan: the study's base as the plan's flags changed it.

    A flag changes the setting of its name, or the one that ends in it (`gan_learning_rate` for
    `--learning_rate`), unless some trial of the plan still has the base value: then it only added
    an arm. Another data set is never implied: the reported numbers are not about it.

    Args:
        base: the study's base settings.
        plan: the plan; its `overrides` are the flags that differ from the preset's.
    """
    found = dict(base)
    for name, value in base.items():
        for flag, given in plan.overrides.items():
            if name == "dataset" or not (name == flag or name.endswith(f"_{flag}")):
                continue
            held = [trial.settings[name] for trial in plan.trials if name in trial.settings]
            own = _as(value, given)
            if any(same(own, each) for each in held) and not any(same(value, h) for h in held):
                found[name] = own
    return found


def _as(value: Any, given: Any) -> Any:
    """A flag's value as the kind of a setting's: `"4"` as 4 beside 3; as it is if it is no such."""
    if isinstance(value, bool) or not isinstance(given, (str, int, float)):
        return given
    try:
        return type(value)(given)
    except ValueError:
        return given


def _ambiguity(trials: list[Trial]) -> str:
    """The settings in which trials differ that should only differ in the replicate."""
    names = sorted({name for trial in trials for name in trial.settings})
    parts = []
    for name in names:
        values = {repr(trial.settings.get(name)) for trial in trials}
        if len(values) > 1:
            parts.append(f"{name} ({', '.join(sorted(values))})")
    return "ambiguous: the selected trials differ in " + "; ".join(parts) if parts else ""


class View:
    """One plan of one store with the records of its trials.

    Args:
        side: `"shipped"` or `"yours"`.
        store: where the plan and the records lie.
        plan: the plan.
        records: key -> record, one each.
        config: the study.
    """

    def __init__(
        self,
        side: str,
        store: Store,
        plan: Plan,
        records: Mapping[str, Record],
        config: StudyConfig,
    ):
        self.side, self.store, self.plan, self.config = side, store, plan, config
        self.kind = config.kind(plan.label)
        self.base = implied(config.base, plan)
        self.all_records = records
        self.records = {t.key: records[t.key] for t in plan.trials if t.key in records}
        self.done = [record for record in self.records.values() if record.done]
        self.failed = [record for record in self.records.values() if not record.done]
        # stage -> settings -> trials: those of equal settings match a selector together
        self._by_stage: dict[str, dict[str, list[Trial]]] = {}
        for trial in plan.trials:
            alike = self._by_stage.setdefault(trial.stage, {})
            alike.setdefault(repr(sorted(trial.settings.items())), []).append(trial)
        self._selected: dict[str, list[Trial]] = {}
        self._by_key = {trial.key: trial for trial in plan.trials}
        self._samples: dict[str, Sample] = {}
        self._routes: dict[str, frozenset[str]] = {}

    @property
    def label(self) -> str:
        """The plan's label: a preset, or a preset with overrides."""
        return self.plan.label

    @property
    def elapsed_seconds(self) -> float:
        """Time during which at least one of the finished trials ran; those side by side count once.

        Of a trial that was begun in an earlier process all its time counts as its last.
        """
        spans = sorted(_span(record) for record in self.done)
        total, until = 0.0, -math.inf
        for start, end in spans:
            total += max(0.0, end - max(start, until))
            until = max(until, end)
        return total

    @property
    def routes(self) -> list[str]:
        """Data routes of the finished trials."""
        return sorted({route for record in self.done for route in self.routes_of(record.key)})

    @property
    def stand_in(self) -> bool:
        """Whether a drawn stand-in replaced a data set in any finished trial."""
        return STAND_IN in self.routes

    def routes_of(self, key: str) -> frozenset[str]:
        """Data routes of a record and of all that it was made from."""
        if key not in self._routes:
            record = self.all_records.get(key)
            found = set()
            if record:
                self._routes[key] = frozenset()
                found = {record.data["route"]} if record.data.get("route") else set()
                for source in record.trial.inputs.values():
                    found |= self.routes_of(source)
            self._routes[key] = frozenset(found)
        return self._routes[key]

    def trials(self, selector: Selector) -> list[Trial]:
        """The planned trials that a selector means, whatever it reads of them.

        With `replicates_of_every`, the name of another setting, among its settings these are the
        replicates that the plan holds for every value of that one: a class of which an extension
        has more generators is then shown like the others.
        """
        plain = dataclasses.replace(selector, metric="", curve="", epoch=0, best_over={})
        name = repr(plain)
        if name not in self._selected:
            settings = dict(plain.settings)
            over = settings.pop(EVERY, "")
            alike = self._alike(dataclasses.replace(plain, settings=settings), self.base)
            found = [trial for trials in alike for trial in trials]
            if over:
                settings.pop(over, None)
                whole = self._alike(dataclasses.replace(plain, settings=settings), self.base)
                shared = _in_every([trial for trials in whole for trial in trials], over)
                found = [trial for trial in found if trial.replicate in shared]
            self._selected[name] = found
        return self._selected[name]

    def _alike(self, selector: Selector, base: Mapping[str, Any]) -> list[list[Trial]]:
        """Planned trials that a selector means, those of equal settings together."""
        groups = self._by_stage.get(selector.stage, {}).values()
        return [trials for trials in groups if matches(trials[0], selector, base)]

    def points(self, selector: Selector, x: str) -> list[Any]:
        """Values of setting `x` among the planned trials that a selector means, in order.

        The base value of `x` is not implied: a series over beta holds every beta. The points of a
        curve over `"epoch"` are the epochs that are planned, from 1; of any other curve as many as
        the longest on record has, which runs of other points do not complete.
        """
        if selector.curve and x != "epoch":
            trials = self.trials(selector)
            found = [self.records.get(trial.key) for trial in trials]
            lengths = [len(each.curves.get(selector.curve, ())) for each in found if each]
            return list(range(1, max(lengths, default=bool(trials)) + 1))
        if selector.curve:
            epochs = self.points(dataclasses.replace(selector, curve=""), "epochs")
            return list(range(1, max(epochs, default=0) + 1))
        base = {name: value for name, value in self.base.items() if name != x}
        settings = {name: value for name, value in selector.settings.items() if name != EVERY}
        found: list[Any] = []
        for trials in self._alike(dataclasses.replace(selector, settings=settings), base):
            value = trials[0].settings.get(x)
            if value is not None and not any(same(value, other) for other in found):
                found.append(value)
        return sorted(found)

    def fewest(self, selector: Selector, metric: str, default: float) -> int:
        """The least of a count over the finished trials that a selector means.

        Args:
            selector: the trials.
            metric: by which each record says the count.
            default: where none does.
        """
        counted = dataclasses.replace(selector, metric=metric, curve="", epoch=0, best_over={})
        return round(min(self.sample(counted).values.values(), default=default))

    def sample(self, selector: Selector) -> Sample:
        """The numbers that a selector finds.

        Returns:
            A sample; with a `problem` and no values where the plan does not hold the trials,
            where none is done, or where the selected trials differ in more than the replicate.
        """
        name = repr(selector)
        if name not in self._samples:
            self._samples[name] = self._sample(selector)
        return self._samples[name]

    def _roots(self, trial: Trial) -> frozenset[str]:
        """What a trial rests on in the end: keys of those before it that have no inputs."""
        found = set()
        for key in trial.inputs.values():
            before = self._by_key.get(key)
            found |= self._roots(before) if before and before.inputs else {key}
        return frozenset(found)

    def _best(self, selector: Selector) -> Sample:
        """The largest number over the values of a setting, of replicates that have them all."""
        ((name, values),) = selector.best_over.items()
        each = [dataclasses.replace(selector, best_over={}).at(**{name: v}) for v in values]
        samples = [self.sample(one) for one in each if self.trials(one)]
        if not samples:
            return Sample(problem=f"not part of the plan {self.label}")
        problem = next((sample.problem for sample in samples if sample.problem), "")
        if problem:
            return Sample(planned=samples[0].planned, problem=problem)
        shared, _, groups = complete_rows(samples)
        if not shared:
            return Sample(problem=f"no replicate is complete over {name}")
        best = {r: max(samples, key=lambda sample: sample.values[r]) for r in shared}
        return Sample(
            {r: sample.values[r] for r, sample in best.items()},
            dict(zip(shared, groups, strict=True)),
            samples[0].planned,
            routes=frozenset().union(*(sample.routes for sample in samples)),
            contents=frozenset().union(*(sample.contents for sample in samples)),
            keys={r: sample.keys[r] for r, sample in best.items()},
        )

    def _number(self, record: Record | None, selector: Selector) -> float | None:
        if record is None or not record.done:
            return None
        if selector.curve:
            curve = record.curves.get(selector.curve, [])
            return float(curve[selector.epoch - 1]) if len(curve) >= selector.epoch > 0 else None
        if MATRIX in selector.metric:
            return _of_matrix(self, record, selector.metric)
        value = record.metrics.get(selector.metric)
        return None if value is None else float(value)

    def _sample(self, selector: Selector) -> Sample:
        if selector.best_over:
            return self._best(selector)
        trials = self.trials(selector)
        if not trials:
            return Sample(problem=f"not part of the plan {self.label}")
        ambiguity = _ambiguity(trials)
        if ambiguity:
            return Sample(planned=len(trials), problem=ambiguity)
        values, groups, keys, failed, routes, contents = {}, {}, {}, [], set(), set()
        for trial in trials:
            record = self.records.get(trial.key)
            if record is not None and not record.done:
                failed.append(trial.key)
            value = self._number(record, selector)
            if value is None:
                continue
            values[trial.replicate], keys[trial.replicate] = value, trial.key
            used = self.config.uses_inputs(trial, selector.metric or selector.curve)
            roots = self._roots(trial) if used else ()
            groups[trial.replicate] = " ".join(sorted(roots))
            routes |= self.routes_of(trial.key)
            contents |= _contents(record)
        problem = "" if values else _absence(trials, failed, self.records, selector)
        found = values, groups, len(trials), tuple(failed), frozenset(routes), keys, problem
        return Sample(*found, frozenset(contents))


def _in_every(trials: Iterable[Trial], name: str) -> set[int]:
    """Replicates that trials have at every value of a setting."""
    found: dict[Any, set[int]] = {}
    for trial in trials:
        found.setdefault(trial.settings.get(name), set()).add(trial.replicate)
    return set.intersection(*found.values()) if found else set()


def _of_matrix(view: View, record: Record, metric: str) -> float | None:
    """A number worked out from a confusion matrix that a record keeps; None without the file.

    Args:
        view: the view that holds the record.
        record: a finished record.
        metric: `"confusion:real_selected:missed_lead:3,5"`: artifact, matrix in it, one of
            `OF_MATRIX`, classes that it takes.

    Raises:
        ValueError: if the metric is none of these.
    """
    import numpy as np

    from replicate.report.artifacts import NotAvailable, locate

    parts = re.fullmatch(r"(\w+):(\w+):(\w+):(\d+(?:,\d+)*)", metric)
    if parts is None or parts[3] not in OF_MATRIX:
        raise ValueError(
            f"Expected a metric artifact:matrix:{'|'.join(OF_MATRIX)}:classes. Received: {metric}"
        )
    try:
        path = locate(view, record, parts[1], view.store.root)
    except NotAvailable:
        return None
    with np.load(path, allow_pickle=False) as matrices:
        if parts[2] not in matrices:
            return None
        return float(OF_MATRIX[parts[3]](matrices[parts[2]], [int(c) for c in parts[4].split(",")]))


def _contents(record: Record) -> set[tuple[str, str]]:
    """A record's data set, told apart by stage and class, which may prepare it in their own way."""
    if not record.data.get("sha256"):
        return set()
    trial = record.trial
    kind = " ".join(filter(None, (trial.stage, str(trial.settings.get("klass", "")))))
    name = f"{record.data['name']} ({kind})"
    return {(name, json.dumps(record.data["sha256"], sort_keys=True))}


def first_line(error: str) -> str:
    """The first line of an error, at most 120 characters."""
    return (error.strip().splitlines() or ["no reason recorded"])[0][:120]


def _absence(
    trials: list[Trial], failed: list[str], records: Mapping[str, Record], selector: Selector
) -> str:
    if failed:
        reason = first_line(records[failed[0]].error)
        return f"{len(failed)} of {len(trials)} failed: {reason}"
    done = sum(trial.key in records for trial in trials)
    needs = f"; needs {selector.needs}" if selector.needs else ""
    if not done:
        return f"0 of {len(trials)} done{needs}"
    what = f"{selector.curve} at epoch {selector.epoch}" if selector.curve else selector.metric
    return f"{done} of {len(trials)} done, without {what}{needs}"


def complete_rows(samples: Iterable[Sample]) -> tuple[list[int], list[list[float]], list[str]]:
    """Replicates that every sample holds, for paired comparison.

    Args:
        samples: one a column.

    Returns:
        `(replicates, table, groups)`: the shared replicates in order, their values (replicates,
        samples), and for each replicate the inputs of all its trials as one name.
    """
    samples = list(samples)
    shared = sorted(set.intersection(*(set(sample.values) for sample in samples)))
    table = [[sample.values[r] for sample in samples] for r in shared]
    groups = [" | ".join(sorted({sample.groups[r] for sample in samples} - {""})) for r in shared]
    return shared, table, groups


def labelled(views: Iterable[View], label: str) -> View:
    """The view with a label, among those of one side."""
    return next(view for view in views if view.label == label)


def views_of(side: str, root: str | Path, config: StudyConfig) -> list[View]:
    """The views of a study in one store, the one to print first.

    Plans that may give verdicts come first, then indicative ones, then the rest; plans with no
    record at all come last.
    """
    store = Store(root)
    plans = store.plans(config.module)
    if not plans:
        return []
    records = store.latest(config.module)
    views = [View(side, store, plan, records, config) for plan in plans]
    return sorted(views, key=lambda v: (not v.records, PREFERENCE.index(v.kind), v.label))
