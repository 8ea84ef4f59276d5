"""Arrays that records point to: from the workdir, or from the released copies."""

from __future__ import annotations

from pathlib import Path

from replicate.report.config import Selector
from replicate.report.views import View
from replicate.runs.files import sha256_file
from replicate.runs.store import Record


class NotAvailable(Exception):
    """An artifact is not there or is not what its record says; the message says which."""


def locate(view: View, record: Record, name: str, shipped: Path) -> Path:
    """Path of a record's artifact, first in the view's store, then in the released copies.

    Args:
        view: the view that holds the record.
        record: a finished record.
        name: name of the artifact.
        shipped: the folder of shipped results; released copies lie in `artifacts/<key>/`.

    Raises:
        NotAvailable: if there is no copy with the recorded SHA-256.
    """
    entry = record.artifacts.get(name)
    if entry is None:
        raise NotAvailable(f"the record has no {name}")
    wrong = None
    for folder in (view.store.artifact_dir(record.trial), shipped / "artifacts" / record.key):
        path = folder / entry["file"]
        if path.is_file():
            if sha256_file(path) == entry["sha256"]:
                return path
            wrong = path
    if wrong:
        raise NotAvailable(f"{wrong.name} is not the file that the record names (SHA-256 differs)")
    raise NotAvailable(f"{entry['file']} is not in the workdir or among the released files")


def first_record(view: View, selector: Selector) -> Record:
    """The finished record of the lowest replicate that a selector means.

    Raises:
        NotAvailable: if none is done.
    """
    trials = sorted(view.trials(selector), key=lambda trial: trial.replicate)
    for trial in trials:
        record = view.records.get(trial.key)
        if record is not None and record.done:
            return record
    raise NotAvailable("not run" if trials else f"not part of the plan {view.label}")
