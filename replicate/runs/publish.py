"""Turns a workdir's records into shipped ones, and takes shipped ones back on request.

    python -m replicate.runs.publish --workdir=runs

copies the finished records of every plan that is a preset (paper, lite) to `results/<study>/`,
their plans, and their released artifacts to `results/artifacts/<key>/`. Synthetic sets are not
released: anyone can draw them again from the released weights. Weights of extensions, of a
generator's earlier epochs and of a study's `unreleased` trials are not released either; what was
measured with them is.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from absl import flags

from replicate.runs.files import project_root, sha256_file, write_atomic
from replicate.runs.flags import preset_values
from replicate.runs.store import Record, Store
from replicate.runs.study import SOURCES, Study, load_study
from replicate.runs.trial import Trial

PUBLISHED = ("paper", "lite")  # plan labels whose records are shipped
UNRELEASED = ("set",)  # drawn again from released weights, hence named by shipped records
# What artifacts are called that shipped records do not name: weights of other epochs, of use during
# a run only, and pictures that show photographs which are not ours to give away.
LOCAL = ("weights_", "photographs_")
OF_PROTOCOL = ("weights",)  # large, see `_released`


def publish(study: Study, workdir: Store, shipped: Store) -> tuple[int, int]:
    """Copy a study's finished preset records into the shipped results.

    Returns:
        Number of records copied, and bytes of artifacts.
    """
    plans = [plan for plan in workdir.plans(study.name) if plan.label in PUBLISHED]
    wanted = {trial.key for plan in plans for trial in plan.trials}
    released = {key for plan in plans for key in _released(study, plan.label)}
    records = [
        _shipped(record, key in released)
        for key, record in workdir.latest(study.name).items()
        if key in wanted and record.done
    ]
    size = sum(_release(record, workdir, shipped) for record in records)
    for plan in plans:
        shipped.write_plan(plan)
    if records:
        shipped.write_shipped(study.name, records)
    return len(records), size


def _released(study: Study, preset: str) -> set[str]:
    """Keys of a preset's trials whose weights are shipped: without its extensions."""
    extensions = ["--extensions="] if study.extensions else []
    trials = study.declare(preset_values(study, preset, *extensions))
    return {trial.key for trial in trials if not study.unreleased(trial)}


def _shipped(record: Record, released: bool) -> Record:
    """A record as it is shipped: without artifacts that stay in the workdir for good."""
    local = () if released else OF_PROTOCOL
    artifacts = {
        name: entry
        for name, entry in record.artifacts.items()
        if not name.startswith(LOCAL) and name not in local
    }
    return dataclasses.replace(record, artifacts=artifacts)


def released_path(shipped_root: Path, record: Record, name: str) -> Path:
    """Where a released artifact lies."""
    return Path(shipped_root) / "artifacts" / record.key / record.artifacts[name]["file"]


def _release(record: Record, workdir: Store, shipped: Store) -> int:
    size = 0
    for name, entry in record.artifacts.items():
        if name in UNRELEASED:
            continue
        target = released_path(shipped.root, record, name)
        _copy(workdir.artifact(record, name), target)
        size += entry["bytes"]
    return size


def _copy(source: Path, target: Path) -> None:
    write_atomic(target, lambda temporary: shutil.copyfile(source, temporary))


def reuse_shipped(study: Study, trials: list[Trial], store: Store) -> str:
    """Fill gaps of a workdir from shipped records, with their artifacts.

    A shipped record whose artifacts are not all released (a synthetic set) is left to be made anew
    from the released weights.

    Returns:
        One line that says what was taken.
    """
    shipped = Store(project_root() / "results")
    theirs, done = shipped.latest(study.name), store.done_keys(study.name)
    taken = 0
    for trial in trials:
        record = theirs.get(trial.key)
        if trial.key in done or record is None or not record.done:
            continue
        if all(_intact(shipped.root, record, name) for name in record.artifacts):
            for name in record.artifacts:
                source = released_path(shipped.root, record, name)
                _copy(source, store.artifact_dir(trial) / source.name)
            store.write(record)
            taken += 1
    return f"{study.name}: {taken} shipped records taken into {store.root}"


def _intact(root: Path, record: Record, name: str) -> bool:
    path = released_path(root, record, name)
    return path.exists() and sha256_file(path) == record.artifacts[name]["sha256"]


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
