"""Small synthetic stores with known numbers, laid out as mnist_cvae lays out its own."""

import dataclasses
import io
import types

import numpy as np
import pytest

from replicate.report.config import load
from replicate.report.views import views_of
from replicate.runs.files import project_root, sha256_file
from replicate.runs.store import Plan, Record, Store
from replicate.runs.trial import Trial

STUDY = "mnist_cvae"
GENERATORS = 3
SYNTHETIC_ARMS = ("synthetic", "mix", "add_synthetic", "label_shuffled")


def _trial(stage, settings, replicate=0, **inputs):
    return Trial(STUDY, stage, 1, settings, replicate, {k: t.key for k, t in inputs.items()})


def generator(replicate=0, **settings):
    """A generator's trial."""
    return _trial(
        "generator",
        {"epochs": 50, "beta": 1.0, "scope": "all", "init": "torch"} | settings,
        replicate,
    )


def synthetic(replicate=0, **settings):
    """The trial that draws a generator's images."""
    source = generator(replicate, **settings)
    return _trial(
        "synthetic", {"beta": 1.0, "scope": "all"} | settings, replicate, generator=source
    )


def classifier(arm, p, replicate=0, **settings):
    """A classifier's trial; replicate r of a synthetic arm uses generator r mod 3."""
    chosen = {"arm": arm, "p": p, "epochs": 5, "init": "torch", "beta": 1.0, "scope": "all"}
    inputs = {}
    if arm in SYNTHETIC_ARMS:
        inputs["synthetic"] = synthetic(replicate % GENERATORS)
    return _trial("classifier", chosen | settings, replicate, **inputs)


def single(arm, replicate=0):
    """A single run of Figures 4 and 5."""
    return _trial("single", {"arm": arm}, replicate)


@dataclasses.dataclass
class FakeStore:
    """Writes plans and records with given numbers."""

    root: object
    study: str = STUDY

    def add(self, results, label="paper", route="package", missing=()):
        """Write a plan of all trials, and a record for each that is not missing.

        Args:
            results: list of `(trial, metrics)`; `metrics` may be an exception: a failed record.
            label: the plan's label.
            route: data route of the records.
            missing: keys of trials that stay without a record.
        """
        store = Store(self.root)
        trials = [trial for trial, _ in results]
        store.write_plan(Plan(self.study, label, label.split("-")[0], {}, tuple(trials)))
        known = store.done_keys(self.study)
        for trial, outcome in results:
            if trial.key in missing or trial.key in known:
                continue
            store.write(self.record(trial, outcome, route))
        return store

    def record(self, trial, outcome, route):
        """One record; lists are curves, arrays and text (JSON) artifacts, the rest metrics."""
        common = dict(
            trial=trial, run_id="test", data={"name": "mnist", "route": route},
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


def accuracy(values, arm, p, **settings):
    """Results of one point: a classifier for each value, replicate 0 first."""
    return [
        (classifier(arm, p, replicate, **settings), {"test_accuracy": float(value)})
        for replicate, value in enumerate(values)
    ]


@pytest.fixture(scope="session")
def lay():
    """How trials and results are laid out."""
    return types.SimpleNamespace(
        accuracy=accuracy, classifier=classifier, generator=generator, synthetic=synthetic,
        single=single, STUDY=STUDY,
    )  # fmt: skip


@pytest.fixture
def view(fake, config):
    """Write results to a fresh store and return their first view."""

    def make(results, name="runs", side="yours", **options):
        fake(name).add(results, **options)
        return views_of(side, fake(name).root, config)[0]

    return make


@pytest.fixture
def fake(tmp_path):
    """A writer of synthetic stores: `fake("runs")` writes below `tmp_path / "runs"`."""
    return lambda name="runs": FakeStore(tmp_path / name)


@pytest.fixture(scope="session")
def config():
    """The study's own file."""
    return load(project_root() / "paper_configs" / f"{STUDY}.toml")


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """Run the whole report: `report(results=[...], runs=[...])`, each a list of `add` arguments.

    Returns the folder of the pages; stores lie beside it.
    """
    from replicate.report import main

    def make(*more, **stores):
        folder = tmp_path_factory.mktemp("report")
        for name, additions in stores.items():
            for addition in additions:
                FakeStore(folder / name).add(**addition)
        places = [f"--workdir={folder / 'runs'}", f"--shipped={folder / 'results'}"]
        more = [text.replace("{folder}", str(folder)) for text in more]
        assert main([*places, f"--out={folder / 'out'}", "--study=mnist_cvae", *more]) == 0
        return folder / "out"

    return make
