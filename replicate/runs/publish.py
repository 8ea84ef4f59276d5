"""Turns a workdir's records into shipped ones, and takes shipped ones back on request.

    python -m replicate.runs.publish --workdir=runs

copies the finished records of every plan that is a preset (paper, lite) to `results/<study>/`,
their plans, and their released artifacts to `results/artifacts/<key>/`. Synthetic sets are not
released: anyone can draw them again from the released weights. Weights of extensions, of a study's
`unreleased` trials and, once a stage is done at preset paper, of that stage at preset lite are not
released either; what was measured with them is, and their records keep the SHA-256.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from absl import flags

from replicate.runs.files import project_root, sha256_file, write_atomic
from replicate.runs.flags import preset_values
from replicate.runs.plan import preset_trials
from replicate.runs.store import Plan, Record, Store
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

    Returns:
        Number of records copied, and bytes of artifacts.
    """
    begun = {plan.label for plan in workdir.plans(study.name)}
    presets = [preset for preset in PUBLISHED if preset in begun]
    plans = [  # as they are declared now, whatever was begun
        Plan(study.name, preset, preset, {}, tuple(preset_trials(study, preset)))
        for preset in presets
    ]
    wanted = {trial.key for plan in plans for trial in plan.trials}
    latest = workdir.latest(study.name)
    records = [_shipped(r) for key, r in latest.items() if key in wanted and r.done]
    done = {record.key for record in records}
    released = _released(study, presets, done)
    size = sum(_release(record, workdir, shipped, record.key in released) for record in records)
    for plan in plans:
        shipped.write_plan(plan)
    if records:
        shipped.write_shipped(study.name, records)
    return len(records), size


def _released(study: Study, presets: Iterable[str], done: Collection[str]) -> set[str]:
    """Keys of trials whose weights are shipped: the protocol's, at the preset nearest to it.

    Args:
        study: the study.
        presets: those that are published, nearest to the report first.
        done: keys of finished trials.
    """
    keys, complete = set(), set()
    extensions = ["--extensions="] if study.extensions else []
    for preset in presets:
        kinds = defaultdict(list)
        for trial in study.declare(preset_values(study, preset, *extensions)):
            kinds[trial.stage, trial.settings.get("dataset")].append(trial)
        for kind in kinds.keys() - complete:
            keys |= {trial.key for trial in kinds[kind] if not study.unreleased(trial)}
        complete |= {
            kind for kind, trials in kinds.items() if all(trial.key in done for trial in trials)
        }
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
            target.unlink(missing_ok=True)  # released before a nearer preset was done
            continue
        _copy(workdir.artifact(record, name), target)
        size += entry["bytes"]
    return size


def _copy(source: Path, target: Path) -> None:
    write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


def reuse_shipped(study: Study, trials: list[Trial], store: Store) -> str:
    """Fill gaps of a workdir from shipped records, with their artifacts.

    Where a trial that is left to run may read an artifact that is not released (a synthetic set,
    weights of an extension), what makes it is left to run, too. Other records are taken without
    such artifacts; should a later call of this function need them, it drops the record again.

    Args:
        study: the study.
        trials: what shall be done, inputs before what needs them.
        store: the workdir.

    Returns:
        One line that says what was taken.
    """
    shipped = Store(project_root() / "results")
    theirs, mine = shipped.latest(study.name), store.latest(study.name)
    read: set[str] = set()  # keys of the inputs of trials that are left to run
    taken = 0
    for trial in reversed(trials):
        record, own = theirs.get(trial.key), mine.get(trial.key)
        record = record if record is not None and record.done else None
        if own is not None and own.done:
            if trial.key not in read or not _lacks_artifacts(own, record):
                continue
            store.drop(own)
        released = [] if record is None else _intact(shipped.root, record)
        if record is None or (trial.key in read and len(released) < len(record.artifacts)):
            read.update(trial.inputs.values())
            continue
        for name in released:
            source = released_path(shipped.root, record, name)
            _copy(source, store.artifact_dir(trial) / source.name)
        artifacts = {name: record.artifacts[name] for name in released}
        store.write(dataclasses.replace(record, artifacts=artifacts))
        taken += 1
    return f"{study.name}: {taken} shipped records taken into {store.root}"


def _lacks_artifacts(own: Record, shipped: Record | None) -> bool:
    """Whether a workdir's record was taken from the shipped ones without all of its artifacts."""
    return (
        shipped is not None
        and own.run_id == shipped.run_id
        and len(own.artifacts) < len(shipped.artifacts)
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
    shipped = Store(project_root() / "results")
    for study in SOURCES:
        if (workdir.root / study).is_dir():
            count, size = publish(load_study(f"replicate.{study}"), workdir, shipped)
            print(f"{study}: {count} records, {size / 1e6:.1f} MB of artifacts published")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
