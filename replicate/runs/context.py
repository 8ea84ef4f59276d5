"""What a stage sees while it runs: its inputs, its data, its folders, and where to report."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from replicate.runs.store import Record, Store
from replicate.runs.trial import Trial

EVENTS = threading.Lock()


@dataclasses.dataclass
class Context:
    """Handed to every stage.

    Args:
        store: the user's workdir.
        data_dir: folder of prepared data sets, or None.
        stand_in: whether a drawn stand-in may replace an absent data set (preset smoke).
        threads: the thread profile, `{"intra": n, "inter": n}`.
        inception_weights: file of InceptionV3's weights, or None.
        network: file of a generator that is not trained here, or how to get it, or None.
        loaders: data sets of the study's own, see `Study`.
    """

    store: Store
    data_dir: str | None = None
    stand_in: bool = False
    threads: dict[str, int] = dataclasses.field(default_factory=lambda: {"intra": 0, "inter": 0})
    inception_weights: str | None = None
    network: str | None = None
    loaders: Mapping[str, Callable[[str | None], Any]] = dataclasses.field(default_factory=dict)
    _datasets: dict[str, Any] = dataclasses.field(default_factory=dict)
    _latest: dict[str, dict[str, Record]] = dataclasses.field(default_factory=dict)

    def dataset(self, name: str):
        """A data set of the study's own, else of the catalogue, loaded once a process.

        Raises:
            ValueError: if neither the study nor the catalogue knows the name, or the study's loader
                gives a data set of another.
            DataError: as `replicate.data.load`.
        """
        if name not in self._datasets:
            self._datasets[name] = self._load(name)
        return self._datasets[name]

    def _load(self, name: str):
        from replicate.data import CATALOGUE, load

        if name in self.loaders:
            data = self.loaders[name](self.data_dir)
            if getattr(data, "name", None) != name:
                received = f"{type(data).__name__} {getattr(data, 'name', '')}".strip()
                raise ValueError(f"Expected a Dataset {name!r} of its loader. Received: {received}")
            return data
        if name not in CATALOGUE:
            known = ", ".join([*self.loaders, *CATALOGUE])
            raise ValueError(f"Expected one of {known}, or a loader of it. Received: {name!r}")
        return load(name, data_dir=self.data_dir, stand_in=self.stand_in)

    def input(self, trial: Trial, role: str) -> Record:
        """The finished record behind an input.

        Raises:
            KeyError: if the trial has no such input.
            FileNotFoundError: if the workdir holds no finished record of it.
        """
        key = trial.inputs[role]
        records = self._latest.get(trial.study, {})
        if key not in records or not records[key].done:  # it may have been tried again since
            records = self._latest[trial.study] = self.store.latest(trial.study)
        if key not in records or not records[key].done:
            raise FileNotFoundError(
                f"Expected a finished {role!r} for {trial.describe()}. "
                f"Received: no record {key[:8]}"
            )
        return records[key]

    def input_path(self, trial: Trial, role: str, artifact: str) -> Path:
        """Path of an input's artifact, after its SHA-256 was checked."""
        return self.store.artifact(self.input(trial, role), artifact)

    def artifact_dir(self, trial: Trial) -> Path:
        """Folder for the trial's artifacts; made if need be."""
        folder = self.store.artifact_dir(trial)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def checkpoint_dir(self, trial: Trial) -> Path:
        """Folder for the trial's checkpoints."""
        return self.store.checkpoint_dir(trial)

    def log_dir(self, trial: Trial) -> Path:
        """Folder for what is logged while a trial trains (TensorBoard events, pictures)."""
        return self.store.root / trial.study / "logs" / trial.key

    def progress(self, trial: Trial, fraction: float, text: str = "") -> None:
        """Tell the executor how far a trial is, 0 to 1."""
        self.event("progress", key=trial.key, fraction=fraction, text=text)

    @staticmethod
    def event(name: str, **values: Any) -> None:
        """Send one line to the executor."""
        line = json.dumps({"event": name, **values}) + "\n"
        with EVENTS:  # lanes are threads: one write a line, or two run into one another
            sys.stdout.write(line)
            sys.stdout.flush()
