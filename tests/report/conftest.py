"""Small synthetic stores with known numbers; `lay` lays them out as mnist_cvae does its own."""

import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
from report_stores import FakeStore, trials_of

from replicate.report import main
from replicate.report.config import load
from replicate.report.views import views_of
from replicate.runs.files import project_root

STUDY = "mnist_cvae"
GENERATORS = 3
SYNTHETIC_ARMS = ("synthetic", "mix", "add_synthetic", "label_shuffled")
DIGITS = {"images": np.zeros((4, 28, 28, 1), np.uint8), "labels": np.array([5, 9, 6, 2])}
LOSSES = np.linspace(2.3, 0.1, 300, dtype=np.float32)

trial = trials_of(STUDY)


def generator(replicate=0, **settings):
    """A generator's trial."""
    chosen = {"epochs": 50, "beta": 1.0, "scope": "all", "init": "torch"} | settings
    return trial("generator", replicate, **chosen)


def synthetic(replicate=0, **settings):
    """The trial that draws a generator's images."""
    inputs = {"generator": generator(replicate, **settings).key}
    return trial("synthetic", replicate, inputs, **({"beta": 1.0, "scope": "all"} | settings))


def classifier(arm, p, replicate=0, **settings):
    """A classifier's trial; replicate r of a synthetic arm uses generator r mod 3."""
    chosen = {"arm": arm, "p": p, "epochs": 5, "init": "torch", "beta": 1.0, "scope": "all"}
    inputs = {}
    if arm in SYNTHETIC_ARMS:
        inputs["synthetic"] = synthetic(replicate % GENERATORS).key
    return trial("classifier", replicate, inputs, **(chosen | settings))


def single(arm, replicate=0):
    """A single run of Figures 4 and 5."""
    return trial("single", replicate, arm=arm)


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


@pytest.fixture(scope="session")
def config():
    """The file of mnist_cvae."""
    return load(project_root() / "paper_configs" / f"{STUDY}.toml")


@pytest.fixture(scope="module")
def study(request):
    """The file of the study that a test module names."""
    return load(project_root() / "paper_configs" / f"{request.module.STUDY}.toml")


@pytest.fixture
def fake(tmp_path):
    """A writer of synthetic stores: `fake("runs")` writes below `tmp_path / "runs"`."""
    return lambda name="runs", study=STUDY: FakeStore(tmp_path / name, study)


def _view(fake, config, results, name="runs", side="yours", **options):
    store = fake(name, config.module)
    store.add(list(results), **({"shipped": True} | options))  # few files: faster
    return views_of(side, store.root, config)[0]


@pytest.fixture
def view(fake, config):
    """Write results of mnist_cvae to a fresh store and return their first view."""
    return lambda *results, **options: _view(fake, config, *results, **options)


@pytest.fixture
def seen(fake, study):
    """The same for the study that the test module names."""
    return lambda *results, **options: _view(fake, study, *results, **options)


@pytest.fixture
def figure():
    """An empty figure, closed in the end."""
    made = plt.figure(figsize=(7.2, 5), layout="constrained")
    yield made
    plt.close(made)


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """Run the whole report: `report(results=[...], runs=[...])`, each a list of `add` arguments.

    Returns the folder of the pages; stores lie beside it.
    """

    def make(*more, study=STUDY, **stores):
        folder = tmp_path_factory.mktemp("report")
        for name in ("runs", "results"):
            (folder / name).mkdir()
        for name, additions in stores.items():
            for addition in additions:
                FakeStore(folder / name, study).add(**addition)
        places = [f"--workdir={folder / 'runs'}", f"--shipped={folder / 'results'}"]
        assert main([*places, f"--out={folder / 'out'}", f"--study={study}", *more]) == 0
        return folder / "out"

    return make


@pytest.fixture(scope="session")
def filled(report):
    """The report of a shipped paper plan with one failure, beside own lite and smoke plans."""
    paper = accuracy([0.980, 0.981, 0.982], "real", 1.0)
    paper += accuracy([0.960, 0.961, 0.962], "synthetic", 1.0)
    paper += [
        (classifier("real", 0.5), RuntimeError("out of | memory <b>")),
        (single("real"), {"test_accuracy": 0.98, "batch_loss": LOSSES, "examples": DIGITS}),
        (generator(0), {"train_loss": [183.0] * 49 + [90.0], "batch_loss": LOSSES + 90}),
    ]
    lite = accuracy([0.97, 0.98], "real", 1.0, epochs=2)
    lite += accuracy([0.95, 0.97], "synthetic", 1.0, epochs=2)
    smoke = accuracy([0.123456], "real", 1.0, epochs=1)
    return report(
        results=[{"results": paper, "shipped": True}],
        runs=[
            {"results": lite, "label": "lite"},
            {"results": smoke, "label": "smoke", "route": "stand_in"},
        ],
    )
