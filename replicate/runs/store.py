"""Records of finished trials and the plans that asked for them.

Layout of a user's workdir, per study::

    runs/<study>/records/<key>.<run id>.json     one record a trial and run
    runs/<study>/artifacts/<key>/<name>          weights, synthetic sets, loss curves
    runs/<study>/checkpoints/<key>/              states of unfinished generators and classifiers
    runs/<study>/plans/<label>.json              the trials that a preset (with overrides) asks for

Shipped results hold the same records, many to a file, since thousands of small files weigh on git::

    results/<study>/<stage>.jsonl                one record a line, sorted by key and run id
    results/<study>/plans/<label>.json
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from replicate.runs.files import sha256_file, write_atomic, write_json
from replicate.runs.trial import Trial, canonical_json

SCHEMA = 1
WHOLE = "[!.]*"  # names of whole files; `write_atomic` begins others with a dot


@dataclasses.dataclass(frozen=True)
class Record:
    """What one trial gave in one run.

    Args:
        trial: the specification.
        run_id: which run of the trial this is; unique per worker process.
        status: `"done"` or `"failed"`.
        metrics: name -> number; accuracies are fractions in [0, 1].
        curves: name -> list of numbers, one an epoch.
        artifacts: name -> {"file", "sha256", "bytes"}, relative to the trial's artifact folder.
        inputs: role -> {"key", "run_id"} of the records that were used.
        data: {"name", "route", "sha256", "deviations"} of the data set.
        wall_seconds: wall time of this trial, in seconds.
        environment: versions, processor, threads, precision, commit.
        created: UTC time, ISO 8601.
        error: the reason, if failed.
    """

    trial: Trial
    run_id: str
    status: str
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    inputs: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    data: dict[str, Any] = dataclasses.field(default_factory=dict)
    wall_seconds: float = 0.0
    environment: dict[str, Any] = dataclasses.field(default_factory=dict)
    created: str = ""
    error: str = ""

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.trial.key

    @property
    def done(self) -> bool:
        """Whether the trial ended as it should."""
        return self.status == "done"

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON value."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[1:]}
        return {"schema": SCHEMA, "key": self.key, "spec": self.trial.spec} | fields

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str = "") -> Record:
        """Read a record back.

        Raises:
            ValueError: if the value is no record of this schema or its key is not its spec's.
        """
        try:
            value = dict(value)
            schema, key = value.pop("schema"), value.pop("key")
            record = cls(trial=Trial.from_spec(value.pop("spec")), **value)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"Expected a record. Received: {where} ({error!r})") from error
        if schema != SCHEMA or key != record.key:
            raise ValueError(
                f"Expected a record of schema {SCHEMA} with key {record.key}. "
                f"Received: {where} schema={schema} key={key}"
            )
        return record


@dataclasses.dataclass(frozen=True)
class Plan:
    """The trials that a preset asks for, with the flags that were overridden.

    Args:
        study: module name.
        label: `"paper"`, `"lite"`, `"smoke"`, or preset and hash where flags were overridden.
        preset: the preset that was the base.
        overrides: flag -> value given beside the preset.
        trials: every trial, inputs before what needs them.
    """

    study: str
    label: str
    preset: str
    overrides: dict[str, Any]
    trials: tuple[Trial, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON value."""
        return {
            "schema": SCHEMA,
            "study": self.study,
            "label": self.label,
            "preset": self.preset,
            "overrides": self.overrides,
            "trials": [trial.spec for trial in self.trials],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plan:
        """Read a plan back."""
        trials = tuple(Trial.from_spec(spec) for spec in value["trials"])
        return cls(value["study"], value["label"], value["preset"], value["overrides"], trials)


def newest(records: Mapping[str, list[Record]]) -> dict[str, Record]:
    """One record a key: the newest that is done, else the newest failure."""
    return {
        key: max(runs, key=lambda record: (record.done, record.created, record.run_id))
        for key, runs in records.items()
    }


def _lines(path: Path):
    with open(path) as file:
        for number, line in enumerate(file, 1):
            yield f"{path}:{number}", line


class Store:
    """Records and plans under one folder: a user's workdir or the shipped `results/`.

    Args:
        root: the folder; need not exist yet.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def records(self, study: str) -> dict[str, list[Record]]:
        """Every record of a study: key -> records, oldest first.

        Raises:
            ValueError: if a file is not a record, naming the file.
        """
        found = defaultdict(list)
        folder = self.root / study
        paths = sorted(folder.glob(f"records/{WHOLE}.json"))
        sources = [(str(path), path.read_text(errors="replace")) for path in paths]
        for path in sorted(folder.glob(f"{WHOLE}.jsonl")):
            sources.extend(_lines(path))
        for where, text in sources:
            try:
                record = Record.from_json(json.loads(text), where)
            except json.JSONDecodeError as error:
                raise ValueError(f"Expected a record. Received: {where} ({error})") from error
            found[record.key].append(record)
        for records in found.values():
            records.sort(key=lambda record: (record.created, record.run_id))
        return dict(found)

    def latest(self, study: str) -> dict[str, Record]:
        """One record a key: the newest that is done, else the newest failure."""
        return newest(self.records(study))

    def done_keys(self, study: str) -> set[str]:
        """Keys that have a finished record, read from file names and one field, for speed."""
        keys = set()
        for path in (self.root / study).glob(f"records/{WHOLE}.json"):
            if '"status": "done"' in path.read_text(errors="replace"):
                keys.add(path.name.split(".")[0])
        for path in (self.root / study).glob(f"{WHOLE}.jsonl"):
            for _, line in _lines(path):
                if '"status":"done"' in line:
                    keys.update(re.findall(r'"key":"([0-9a-f]{64})"', line[:120]))
        return keys

    def is_done(self, trial: Trial) -> bool:
        """Whether a workdir has a finished record of a trial."""
        paths = (self.root / trial.study).glob(f"records/{trial.key}.*.json")
        return any('"status": "done"' in path.read_text(errors="replace") for path in paths)

    def write(self, record: Record) -> Path:
        """Write a record atomically, once.

        Raises:
            FileExistsError: if this run of the trial is there already; nothing is overwritten.
        """
        path = self.record_path(record)
        if path.exists():
            raise FileExistsError(f"Expected a new record. Received: {path}")
        write_json(path, record.to_json())
        return path

    def drop(self, record: Record) -> None:
        """Remove a record of a workdir, if it is there; the trial counts as not done then."""
        self.record_path(record).unlink(missing_ok=True)

    def record_path(self, record: Record) -> Path:
        """Where a workdir has a record."""
        name = f"{record.key}.{record.run_id}.json"
        return self.root / record.trial.study / "records" / name

    def artifact_dir(self, trial: Trial) -> Path:
        """Folder of a trial's artifacts."""
        return self.root / trial.study / "artifacts" / trial.key

    def checkpoint_dir(self, trial: Trial) -> Path:
        """Folder of a trial's checkpoints."""
        return self.root / trial.study / "checkpoints" / trial.key

    def lock_path(self, trial: Trial) -> Path:
        """File that guards a trial against two workers."""
        path = self.root / trial.study / "locks" / f"{trial.key}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def artifact(self, record: Record, name: str) -> Path:
        """Path of an artifact, after its content was checked.

        Raises:
            FileNotFoundError: if it is not there, or not among what was shipped.
            ValueError: if its SHA-256 is not the recorded one. Either names the record without
                which the next run makes the artifact anew.
        """
        advice = f"To make it anew, remove {self.record_path(record)} and run the same command"
        if name not in record.artifacts:
            raise FileNotFoundError(
                f"Expected {name!r} of {record.trial.describe()}. Received: a record without it, "
                f"taken from the shipped results. {advice}"
            )
        entry = record.artifacts[name]
        path = self.artifact_dir(record.trial) / entry["file"]
        if not path.exists():
            raise FileNotFoundError(
                f"Expected {name!r} of {record.trial.describe()}. "
                f"Received: no file {path}. {advice}"
            )
        received = sha256_file(path)
        if received != entry["sha256"]:
            raise ValueError(
                f"Expected {path} with SHA-256 {entry['sha256']}. Received: {received}. {advice}"
            )
        return path

    def plans(self, study: str) -> list[Plan]:
        """The plans that were started under this folder, by label.

        Raises:
            ValueError: if a file is not a plan, naming the file.
        """
        plans = []
        for path in sorted((self.root / study).glob(f"plans/{WHOLE}.json")):
            try:
                plans.append(Plan.from_json(json.loads(path.read_text())))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"Expected a plan. Received: {path} ({error!r})") from error
        return plans

    def write_plan(self, plan: Plan) -> None:
        """Write a plan, replacing an earlier one of the same label."""
        path = self.root / plan.study / "plans" / f"{plan.label}.json"
        write_json(path, plan.to_json())

    def write_shipped(
        self, study: str, records: list[Record], planned: Collection[str] | None = None
    ) -> None:
        """Merge records into `<stage>.jsonl` files, one record a line.

        Args:
            study: the study.
            records: new ones; of the same trial and run they replace those that are there, unless
                these name more artifacts.
            planned: keys of the trials whose records stay; None keeps all.
        """
        existing = [r for rs in self.records(study).values() for r in rs]
        merged = {(r.key, r.run_id): r for r in existing}
        for record in records:
            known = merged.get((record.key, record.run_id), record)
            if not known.artifacts.keys() > record.artifacts.keys():  # reused without all of them
                merged[record.key, record.run_id] = record
        by_stage = {path: [] for path in (self.root / study).glob(f"{WHOLE}.jsonl")}
        for _, record in sorted(merged.items()):
            if planned is None or record.key in planned:
                path = self.root / study / f"{record.trial.stage}.jsonl"
                by_stage.setdefault(path, []).append(record)
        for path, rows in by_stage.items():
            if not rows:
                path.unlink()
                continue
            text = "".join(_shipped_line(record) for record in rows)
            write_atomic(path, lambda p, text=text: p.write_text(text))


def _shipped_line(record: Record) -> str:
    value = record.to_json()
    head = {name: value.pop(name) for name in ("key", "status", "run_id")}
    return canonical_json(head)[:-1] + "," + canonical_json(value)[1:] + "\n"
