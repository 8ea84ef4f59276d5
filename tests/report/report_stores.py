"""Synthetic stores for tests of the report: trials of a study, plans and records from numbers."""

import dataclasses
import io

import numpy as np

from replicate.report.config import Selector
from replicate.report.views import matches
from replicate.runs.files import sha256_file
from replicate.runs.store import Plan, Record, Store
from replicate.runs.trial import Trial


def trials_of(study, **common):
    """`trial(stage, replicate=0, inputs=None, **settings)` of a study, with common settings."""

    def trial(stage, replicate=0, inputs=None, **settings):
        return Trial(study, stage, 1, common | settings, replicate, inputs or {})

    return trial


def only(config, *names):
    """A study with some of its claims; Holm's adjustment is then over those."""
    claims = tuple(claim for claim in config.claims if claim.id in names)
    assert len(claims) == len(names)
    return dataclasses.replace(config, claims=claims)


def shown(trials, entry, base):
    """Trials that a table without reported numbers (an entry of `extras`) shows, by point."""
    free, differs = (tuple(entry.get(field, ())) for field in ("free", "differs"))
    selector = Selector(entry["stage"], entry.get("settings", {}), free=free, differs=differs)
    points = {}
    for trial in trials:
        settings = trial.settings
        kept = (settings.get(name) in of for name, of in entry.get("only", {}).items())
        if matches(trial, selector, base) and all(kept):
            points.setdefault(tuple(settings.get(name) for name in entry["by"]), []).append(trial)
    return points


@dataclasses.dataclass
class FakeStore:
    """Writes plans and records with given numbers."""

    root: object
    study: str

    def add(self, results, label="paper", route="package", missing=(), shipped=False, **data):
        """Write a plan of all trials, and a record for each that is not missing.

        Args:
            results: list of `(trial, metrics)`; `metrics` may be an exception: a failed record.
            label: the plan's label.
            route: data route of the records.
            missing: keys of trials that stay without a record.
            shipped: whether many records share a file, as those that come with the project.
            data: more that the records say of their data set.
        """
        store = Store(self.root)
        trials = [trial for trial, _ in results]
        store.write_plan(Plan(self.study, label, label.split("-")[0], {}, tuple(trials)))
        known = store.done_keys(self.study) | set(missing)
        records = [
            self.record(*each, route, **data) for each in results if each[0].key not in known
        ]
        if shipped:
            store.write_shipped(self.study, records)
        for record in () if shipped else records:
            store.write(record)
        return store

    def record(self, trial, outcome, route, **data):
        """One record; lists are curves, arrays and text (JSON) artifacts, the rest metrics."""
        common = dict(
            trial=trial, run_id="test", data={"name": "mnist", "route": route, **data},
            wall_seconds=2.0, created="2024-01-01T00:00:00Z",
        )  # fmt: skip
        if isinstance(outcome, Exception):
            return Record(status="failed", error=f"{outcome}\ntrace", **common)
        curves = {k: v for k, v in outcome.items() if isinstance(v, list)}
        arrays = {k: v for k, v in outcome.items() if isinstance(v, (np.ndarray, dict, str))}
        metrics = {k: v for k, v in outcome.items() if k not in curves and k not in arrays}
        artifacts = {name: self._artifact(trial, name, value) for name, value in arrays.items()}
        return Record(status="done", metrics=metrics, curves=curves, artifacts=artifacts, **common)

    def _artifact(self, trial, name, value):
        buffer = io.BytesIO()
        if isinstance(value, str):
            buffer.write(value.encode())
        elif isinstance(value, dict):
            np.savez(buffer, **value)
        else:
            np.save(buffer, value)
        suffix = {str: "json", dict: "npz"}.get(type(value), "npy")
        file = f"{name}.{suffix}"
        path = Store(self.root).artifact_dir(trial) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        return {"file": file, "sha256": sha256_file(path), "bytes": path.stat().st_size}
