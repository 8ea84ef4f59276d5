"""What a command will run: labels, what is done, and predicted time."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable

from replicate.runs.flags import overrides, preset_values
from replicate.runs.preflight import Need
from replicate.runs.store import Plan, Store
from replicate.runs.study import Study
from replicate.runs.trial import Trial, canonical_json

TOGETHER = 300.0  # predicted seconds of groups that one process takes in turn


def preset_trials(study: Study, preset: str) -> list[Trial]:
    """Every trial that belongs to a preset, extensions included."""
    values = preset_values(study, preset)
    if "extensions" in values:
        values = preset_values(study, preset, f"--extensions={','.join(study.extensions)}")
    return study.declare(values)


def make_plan(study: Study, values) -> tuple[Plan, list[Trial]]:
    """The plan that a command line belongs to, and the trials that it asks for.

    A command that asks for a part of a preset (fewer replicates, some arms) works on that preset's
    plan; one that changes a setting has a plan of its own, labelled with a hash of its flags.
    """
    trials = _of_stages(study, study.declare(values), values.stages)
    whole = preset_trials(study, values.preset)
    changed = overrides(study, values)
    if {trial.key for trial in trials} <= {trial.key for trial in whole}:
        return Plan(study.name, values.preset, values.preset, {}, tuple(whole)), trials
    digest = hashlib.sha256(canonical_json(changed).encode()).hexdigest()[:8]
    label = f"{values.preset}+{digest}"
    return Plan(study.name, label, values.preset, changed, tuple(trials)), trials


def _of_stages(study: Study, trials: list[Trial], stages: list[str]) -> list[Trial]:
    unknown = set(stages) - set(study.stages)
    if unknown:
        raise ValueError(
            f"Expected --stages among {', '.join(study.stages)}. Received: {', '.join(unknown)}"
        )
    return [trial for trial in trials if not stages or trial.stage in stages]


@dataclasses.dataclass(frozen=True)
class Group:
    """Trials of a stage that one worker process runs: predicted seconds on two cores, threads."""

    stage: str
    trials: tuple[Trial, ...]
    seconds: float
    threads: str

    def describe(self) -> str:
        """A short human name."""
        if len(self.trials) == 1:
            return self.trials[0].describe()
        return f"{self.stage} x {len(self.trials)}"


def groups(study: Study, trials: list[Trial]) -> list[Group]:
    """Trials in the groups that share a process, in order of first appearance.

    A group never waits for itself: trials whose inputs are produced later start a later group.
    """
    collected: dict[tuple, list[Trial]] = defaultdict(list)
    for trial in trials:
        stage = study.stages[trial.stage]
        collected[(trial.stage, stage.group(trial))].append(trial)
    made = []
    for (stage, _), members in collected.items():
        seconds = sum(map(study.stages[stage].seconds, members))
        made.append(Group(stage, tuple(members), seconds, study.stages[stage].threads))
    return _ordered(made)


def _ordered(made: list[Group]) -> list[Group]:
    """Groups after those that make their inputs, short ones beside their like."""
    waiting, ordered = list(made), []
    while waiting:
        pending = {trial.key for group in waiting for trial in group.trials}
        ready = [g for g in waiting if not inputs_of(g) & pending]
        if not ready:
            names = "; ".join(group.describe() for group in waiting)
            raise ValueError(
                f"Expected inputs to come before their users. Received a circle: {names}"
            )
        alike = [g for g in ready if ordered and can_share([ordered[-1], g])]
        ordered.append((alike or ready)[0])
        waiting.remove(ordered[-1])
    return ordered


def can_share(several: Iterable[Group]) -> bool:
    """Whether one worker process may take the groups in turn: short ones, of one thread profile.

    To start a process and import TensorFlow takes seconds, as long as a short group itself.
    """
    several = list(several)
    kinds = {group.threads for group in several} - {"plain"}
    return len(kinds) < 2 and sum(group.seconds for group in several) <= TOGETHER


def divided(ordered: Iterable[Group]) -> list[Group]:
    """Long groups in pieces of about `TOGETHER` seconds, for workers side by side to share."""
    made = []
    for group in ordered:
        count = max(1, min(len(group.trials), int(group.seconds // TOGETHER)))
        bounds = [index * len(group.trials) // count for index in range(count + 1)]
        for first, last in itertools.pairwise(bounds):
            trials = group.trials[first:last]
            seconds = group.seconds * len(trials) / len(group.trials)
            made.append(dataclasses.replace(group, trials=trials, seconds=seconds))
    return made


def batches(ordered: Iterable[Group]) -> list[list[Group]]:
    """Groups in a row that share a worker process."""
    made: list[list[Group]] = []
    for group in ordered:
        if made and can_share([*made[-1], group]):
            made[-1].append(group)
        else:
            made.append([group])
    return made


def longest_chain_first(made: list[list[Group]]) -> list[list[Group]]:
    """Batches by predicted seconds until the last one that waits for them has ended.

    Side by side, what others wait for longest must not start last. Batches that take as long keep
    their order.

    Args:
        made: batches, each after those that make its inputs.
    """
    maker = {
        trial.key: index for index, batch in enumerate(made) for g in batch for trial in g.trials
    }
    chain = [sum(group.seconds for group in batch) for batch in made]
    after = [0.0] * len(made)
    for index in reversed(range(len(made))):
        chain[index] += after[index]
        for key in set().union(*map(inputs_of, made[index])):
            if maker.get(key, index) != index:
                after[maker[key]] = max(after[maker[key]], chain[index])
    order = sorted(range(len(made)), key=lambda index: -chain[index])
    return [made[index] for index in order]


def inputs_of(group: Group) -> set[str]:
    """Keys of the trials that a group needs."""
    return {key for trial in group.trials for key in trial.inputs.values()}


def protocol_keys(study: Study, preset: str) -> set[str]:
    """Keys of the trials that a preset asks for by itself."""
    return {trial.key for trial in study.declare(preset_values(study, preset))}


def duration(seconds: float) -> str:
    """Seconds in words: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def describe_plan(
    study: Study,
    plan: Plan,
    trials: list[Trial],
    store: Store,
    done: Collection[str],
    able: Collection[Trial],
    *,
    taken: Collection[str] = (),
    needs: Iterable[Need] = (),
) -> str:
    """The text of `--plan`: per stage the trials, what is done, and predicted time left.

    Args:
        study: the study.
        plan: what the trials belong to.
        trials: what is asked for.
        store: the workdir.
        done: keys of trials that are done, with what is taken.
        able: trials that are left and can run, whose time is predicted.
        taken: keys of shipped records that `--reuse_shipped` takes.
        needs: data sets and weights that the trials load.
    """
    rows = [f"{study.name}, plan {plan.label}: {len(trials)} trials in {store.root}/{study.name}"]
    total, without = 0.0, 0
    for name, stage in study.stages.items():
        mine = [trial for trial in trials if trial.stage == name]
        shipped = sum(trial.key in taken for trial in mine)
        left = sum(trial.key not in done for trial in mine)
        runs = [trial for trial in able if trial.stage == name]
        seconds = sum(map(stage.seconds, runs))
        total += seconds
        without += left - len(runs)
        if mine:
            finished = len(mine) - left - shipped
            take = f"{shipped:>5} shipped, " if taken else ""
            stopped = f"{left - len(runs):>5} left out, " if left > len(runs) else ""
            rows.append(
                f"  {name:<12} {len(mine):>5} trials, {finished:>5} done, "
                f"{take}{stopped}about {duration(seconds)} left"
            )
    rows += [f"  {need.describe()}" for need in needs]
    told = f", without {without} trials that cannot run" if without else ""
    rows.append(f"  predicted on two CPU cores: about {duration(total)} left{told}")
    return "\n".join(rows)
