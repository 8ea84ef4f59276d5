"""Turns a workdir's records into shipped ones, and takes shipped ones back on request.

    python -m replicate.runs.publish --workdir=runs

copies the finished records of every plan that is a preset (paper, lite) to `results/<study>/`,
their plans, and their released artifacts to `results/artifacts/<key>/`. Synthetic sets are not
released: anyone can draw them again from the released weights. Weights of extensions, of a study's
`unreleased` trials and, trial by trial, of preset lite where preset paper's are there are not
released either; what was measured with them is, and their records keep the SHA-256.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from absl import flags

from replicate.runs.files import project_root, sha256_file, write_atomic
from replicate.runs.flags import preset_values
from replicate.runs.lineage import Lineage
from replicate.runs.plan import preset_trials
from replicate.runs.store import Plan, Record, Store, newest
from replicate.runs.study import SOURCES, Study, load_study
from replicate.runs.trial import Trial

PUBLISHED = ("paper", "lite")  # plan labels whose records are shipped, nearest to the report first
UNRELEASED = ("set",)  # drawn again from released weights
# What artifacts are called that shipped records do not name: weights of other epochs, of use during
# a run only, and pictures that show photographs which are not ours to give away.
LOCAL = ("weights_", "photographs_")
WEIGHTS = "weights"  # large, see `_released`


def publish(study: Study, workdir: Store, shipped: Store) -> tuple[int, int]:
    """Copy a study's finished preset records into the shipped results.

    A record that is older than the shipped one of its trial is left out: the artifacts of a trial
    have one place, and are those of the newest. Shipped records and artifacts of trials that no
    shipped plan holds any more are removed.

    Returns:
        Number of records copied, and bytes of artifacts.

    Raises:
        ValueError: if records would rest on runs of their inputs that others have taken the place
            of and that came out differently; nothing is changed then.
    """
    begun, known = (
        {plan.label for plan in store.plans(study.name)} for store in (workdir, shipped)
    )
    plans = [  # as they are declared now, whatever was begun
        Plan(study.name, preset, preset, {}, tuple(preset_trials(study, preset)))
        for preset in PUBLISHED
        if preset in begun
    ]
    wanted = {trial.key for plan in plans for trial in plan.trials}
    ours, theirs = (store.records(study.name) for store in (workdir, shipped))
    known_now = newest(theirs)
    records = [
        _shipped(record)
        for key, record in newest(ours).items()
        if key in wanted and record.done and not _older(record, known_now.get(key, record))
    ]
    latest = known_now | {record.key: record for record in records}
    _check_lineage(study, latest, Lineage(ours, theirs), workdir)
    done = {record.key for record in records} | shipped.done_keys(study.name)
    presets = [preset for preset in PUBLISHED if preset in begun | known]
    released = _released(study, presets, done)
    size = sum(_release(record, workdir, shipped, record.key in released) for record in records)
    for plan in plans:
        shipped.write_plan(plan)
    planned = {trial.key for plan in shipped.plans(study.name) for trial in plan.trials}
    for key in shipped.records(study.name).keys() - planned:
        shutil.rmtree(shipped.root / "artifacts" / key, ignore_errors=True)
    shipped.write_shipped(study.name, records, planned)
    for key, record in shipped.latest(study.name).items():
        if WEIGHTS in record.artifacts and key not in released:  # another preset's took their place
            released_path(shipped.root, record, WEIGHTS).unlink(missing_ok=True)
    return len(records), size


def _check_lineage(
    study: Study, latest: Mapping[str, Record], lineage: Lineage, workdir: Store
) -> None:
    """Refuse records that rest on another run of an input than the one beside them."""
    replaced = ((r, lineage.replaced(r, latest)) for r in latest.values() if r.done)
    found = [(record, now) for record, now in replaced if now is not None]
    if not found:
        return
    record, now = found[0]
    own = [str(path) for r, _ in found if (path := workdir.record_path(r)).exists()]
    by_hand = f"; of your own, remove first {own[0]}" if own else ""
    more = f" and {len(own) - 1} more" if len(own) > 1 else ""
    raise ValueError(
        "Expected records that rest on the newest run of their inputs. Received: "
        f"{len(found)} that rest on an earlier run, which came out differently, such as "
        f"{record.trial.describe()}, "
        f"made with another {now.trial.describe()} than that of run {now.run_id}. Nothing of "
        f"{study.name} is published. Make them anew: {study.module} with --reuse_shipped leaves "
        f"such shipped records out{by_hand}{more}"
    )


def _older(record: Record, other: Record) -> bool:
    """Whether another record of a trial takes this one's place, as `Store.latest` has it."""
    return other.done and (record.created, record.run_id) < (other.created, other.run_id)


def _released(study: Study, presets: Iterable[str], done: Collection[str]) -> set[str]:
    """Keys of trials whose weights are shipped: the protocol's, at the preset nearest to it.

    Args:
        study: the study.
        presets: those that are published, nearest to the report first.
        done: keys of finished trials.
    """
    keys, nearer = set(), []
    extensions = ["--extensions="] if study.extensions else []
    for preset in presets:
        trials = study.declare(preset_values(study, preset, *extensions))
        replaced = _replaced(trials, nearer, done)
        keys |= {t.key for t in trials if t.key not in replaced and not study.unreleased(t)}
        nearer += trials
    return keys


def _replaced(trials: list[Trial], nearer: list[Trial], done: Collection[str]) -> set[str]:
    """Keys of trials whose like of a nearer preset is done.

    Alike are trials of one stage and data set that agree in replicate and in what tells the trials
    of a preset apart, such as the class: settings of several values, all of which both presets
    have.
    """
    kinds = defaultdict(lambda: ([], []))
    for side, each in enumerate((trials, nearer)):
        for trial in each:
            kinds[trial.stage, trial.settings.get("dataset")][side].append(trial)
    keys = set()
    for mine, theirs in kinds.values():
        values = [defaultdict(set), defaultdict(set)]
        for side, each in enumerate((mine, theirs)):
            for trial in each:
                for name, value in trial.settings.items():
                    values[side][name].add(value)
        apart = [n for n, found in values[0].items() if len(found) > 1 and found <= values[1][n]]

        def told(trial, apart=apart):
            return trial.replicate, *(trial.settings.get(name) for name in apart)

        finished = {told(trial) for trial in theirs if trial.key in done}
        keys |= {trial.key for trial in mine if told(trial) in finished}
    return keys


def _shipped(record: Record) -> Record:
    """A record as it is shipped: without artifacts that stay in the workdir for good."""
    artifacts = {n: entry for n, entry in record.artifacts.items() if not n.startswith(LOCAL)}
    return dataclasses.replace(record, artifacts=artifacts)


def released_path(shipped_root: Path, record: Record, name: str) -> Path:
    """Where a released artifact lies."""
    return Path(shipped_root) / "artifacts" / record.key / record.artifacts[name]["file"]


def _release(record: Record, workdir: Store, shipped: Store, with_weights: bool) -> int:
    size = 0
    for name, entry in record.artifacts.items():
        if name in UNRELEASED:
            continue
        target = released_path(shipped.root, record, name)
        if name == WEIGHTS and not with_weights:
            continue
        _copy(workdir.artifact(record, name), target)
        size += entry["bytes"]
    named = {entry["file"] for entry in record.artifacts.values()}
    for path in (shipped.root / "artifacts" / record.key).glob("*"):
        if path.name not in named:  # of an earlier run, which this one takes the place of
            path.unlink()
    return size


def _copy(source: Path, target: Path) -> None:
    write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


@dataclasses.dataclass
class Reuse:
    """What `--reuse_shipped` changes in a workdir.

    Args:
        taken: shipped records that fill its gaps, with the artifacts that are released.
        dropped: records taken before without artifacts that are needed now.
    """

    taken: list[Record] = dataclasses.field(default_factory=list)
    dropped: list[Record] = dataclasses.field(default_factory=list)

    @property
    def taken_keys(self) -> set[str]:
        """Keys of the trials that are done with it."""
        return {record.key for record in self.taken}

    @property
    def dropped_keys(self) -> set[str]:
        """Keys of the trials whose records it drops."""
        return {record.key for record in self.dropped}


def choose_shipped(study: Study, trials: list[Trial], store: Store) -> Reuse:
    """Choose the shipped records that fill a workdir's gaps, without changing anything.

    Where a trial that is left to run reads an artifact that is not released (a synthetic set,
    weights of an extension or of an earlier epoch), what makes it is left to run, too. Other
    records are taken without such artifacts; should a later call need them, the record is dropped.

    Args:
        study: the study.
        trials: what shall be done, inputs before what needs them.
        store: the workdir.
    """
    shipped = Store(project_root() / "results")
    sources = [each.records(study.name) for each in (shipped, store)]
    theirs, mine = ({k: r for k, r in newest(each).items() if r.done} for each in sources)
    lineage = Lineage(*sources)
    inputs = _Inputs({**theirs, **mine})
    read: dict[str, set[str]] = defaultdict(set)  # input's key -> artifacts that are needed of it
    reuse = Reuse()
    for trial in reversed(trials):
        record, own = theirs.get(trial.key), mine.get(trial.key)
        outdated = record is not None and lineage.replaced(record, mine) is not None
        if own is not None:
            taken = record is not None and own.run_id == record.run_id
            if not (taken and (outdated or _lacks_artifacts(own, record, read[trial.key]))):
                continue
            reuse.dropped.append(own)
        if outdated:
            record = None
        released = [] if record is None else _intact(shipped.root, record)
        if record is None or not read[trial.key].issubset(released):
            for key, names in _artifacts_read(study, trial, inputs, theirs):
                read[key].update(names)
            continue
        artifacts = {name: record.artifacts[name] for name in released}
        reuse.taken.append(dataclasses.replace(record, artifacts=artifacts))
    return reuse


class _Inputs:
    """Finds inputs as a `Context` does, among the workdir's records and the shipped ones."""

    def __init__(self, records: dict[str, Record]):
        self.records = records

    def input(self, trial: Trial, role: str) -> Record:
        """The finished record behind an input.

        Raises:
            FileNotFoundError: if there is none.
        """
        if trial.inputs[role] not in self.records:
            raise FileNotFoundError(f"Expected a record of {role!r}. Received: none")
        return self.records[trial.inputs[role]]


def _artifacts_read(study, trial, inputs, theirs) -> Iterator[tuple[str, Collection[str]]]:
    """Keys of a trial's inputs, each with the names of its artifacts that the trial reads."""
    try:
        told = study.stages[trial.stage].reads(trial, inputs)
    except FileNotFoundError:  # that input is left to run as well, and asks for what it reads
        told = {}
    for role, key in trial.inputs.items():
        every = theirs[key].artifacts if key in theirs else ()
        yield key, told.get(role, every)


def take_shipped(reuse: Reuse, store: Store) -> str:
    """Copy shipped records and artifacts into a workdir; returns a line that says how many.

    A trial that another process runs, or has done since, is left to it.
    """
    from filelock import FileLock, Timeout

    shipped, taken = project_root() / "results", 0
    for record in reuse.dropped:
        store.drop(record)
    for record in reuse.taken:
        with contextlib.suppress(Timeout), FileLock(store.lock_path(record.trial), timeout=0):
            if store.is_done(record.trial):
                continue
            for name in record.artifacts:
                source = released_path(shipped, record, name)
                _copy(source, store.artifact_dir(record.trial) / source.name)
            store.write(record)
            taken += 1
    left = len(reuse.taken) - taken
    more = f", {left} left to another process" if left else ""
    return f"{taken} shipped records taken into {store.root}{more}"


def _lacks_artifacts(own: Record, shipped: Record, needed: Collection[str]) -> bool:
    """Whether a record was taken from a shipped one without what is needed of it."""
    return own.artifacts.keys() <= shipped.artifacts.keys() and not own.artifacts.keys() >= set(
        needed
    )


def _intact(root: Path, record: Record) -> list[str]:
    """Names of the artifacts that are released, and as they were recorded."""
    paths = {name: released_path(root, record, name) for name in record.artifacts}
    return [
        name
        for name, path in paths.items()
        if path.exists() and sha256_file(path) == record.artifacts[name]["sha256"]
    ]


def main(argv: list[str]) -> int:
    """Publish every study found in a workdir; returns the exit code."""
    if {"-h", "--help"} & set(argv):
        print(__doc__)
        return 0
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", "runs", "folder of your records", flag_values=values)
    try:
        values(argv)
    except flags.Error as error:
        print(f"publish: {error}", file=sys.stderr)
        return 2
    workdir = Store(values.workdir)
    if not workdir.root.is_dir():
        print(f"Expected a workdir. Received: {values.workdir!r}, no folder", file=sys.stderr)
        return 2
    shipped, code = Store(project_root() / "results"), 0
    for study in SOURCES:
        if (workdir.root / study).is_dir():
            try:
                count, size = publish(load_study(f"replicate.{study}"), workdir, shipped)
            except ValueError as error:
                print(f"publish: {error}", file=sys.stderr)
                code = 1
                continue
            print(f"{study}: {count} records, {size / 1e6:.1f} MB of artifacts published")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv))
