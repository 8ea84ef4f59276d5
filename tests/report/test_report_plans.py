"""What the studies' files name exists in their plans: looked up as the report itself does."""

import re

import pytest

from replicate.report.claim_entries import series_in
from replicate.report.claim_tests import arm_of
from replicate.report.config import load
from replicate.report.views import EVERY, View
from replicate.runs.files import project_root
from replicate.runs.flags import parse
from replicate.runs.plan import make_plan, preset_trials
from replicate.runs.store import Plan, Store
from replicate.runs.study import SOURCES, load_study
from replicate.runs.trial import canonical_json


@pytest.fixture(scope="module", params=sorted(SOURCES))
def planned(request, tmp_path_factory):
    """Preset paper with every extension, of which nothing was run."""
    config = load(project_root() / "paper_configs" / f"{request.param}.toml")
    trials = tuple(preset_trials(load_study(f"replicate.{request.param}"), "paper"))
    store = Store(tmp_path_factory.mktemp("nothing"))
    return View("yours", store, Plan(request.param, "paper", "paper", {}, trials), {}, config)


def wrong(samples):
    """Samples that are not of planned trials that differ in their replicate alone."""
    right = re.compile(r"0 of [1-9]\d* done(; needs .+)?")
    return [name for name, sample in samples if not right.fullmatch(sample.problem)]


def test_every_number_means_planned_trials(planned):
    selectors = {
        (cell.block, cell.label, str(more)): cell.selector.at(**more)
        for cell in planned.config.cells
        for more in ({}, *cell.alternatives)
    }
    without = {name: planned.sample(selector) for name, selector in selectors.items()}
    assert not wrong(without.items())


def test_every_arm_of_a_claim_means_planned_trials(planned):
    arms = [
        (claim.id, arm_of(planned, reference, test.get("at")))
        for claim in planned.config.claims
        for test in claim.tests
        for reference in test.values()
        if isinstance(reference, dict)
    ]
    assert not wrong((name, sample) for name, arm in arms for sample in arm.samples)


def test_every_figure_and_table_means_planned_trials(planned):
    config = planned.config
    for figure in config.figures:
        for name in series_in(figure):
            arm = arm_of(planned, {"series": name}, None)
            assert not wrong((figure["id"], sample) for sample in arm.samples)
    sources = [figure["source"] for figure in config.figures if "source" in figure]
    for entry in [*config.extras, *sources]:
        mine = [trial for trial in planned.plan.trials if trial.stage == entry["stage"]]
        settings = entry.get("settings", {})
        wanted = {name: settings[name] for name in settings if name != EVERY}.items()
        assert any(wanted <= trial.settings.items() for trial in mine), entry


def test_trials_of_equal_settings_differ_in_their_replicate(planned):
    names = [(t.stage, t.replicate, canonical_json(dict(t.settings))) for t in planned.plan.trials]
    assert len(set(names)) == len(names) > 10


def view_of(root, name, *arguments):
    """A plan of a command line, of which nothing was run."""
    study = load_study(f"replicate.{name}")
    plan, _ = make_plan(study, parse(study, list(arguments)))
    config = load(project_root() / "paper_configs" / f"{name}.toml")
    return View("yours", Store(root), plan, {}, config)


def found(view):
    """The reported numbers that a plan holds trials for."""
    cells = [cell for cell in view.config.cells if view.sample(cell.selector).planned]
    return {(cell.block, cell.label) for cell in cells}


@pytest.mark.parametrize(
    "study, flag, setting, value",
    [
        ("cifar_dcgan", "--kernel=4", "kernel", 4),
        ("cifar_dcgan", "--arch=b", "arch", "b"),
        ("cifar_dcgan", "--gan_loss=wgan-gp", "gan_loss", "wgan-gp"),
        ("cifar_dcgan", "--learning_rate_d=0.0005", "learning_rate_d", 0.0005),
        ("fruits_gan", "--storage=png", "storage", "png"),
        ("fruits_gan", "--nocontrast_stretch --seed=1", "contrast_stretch", False),
        ("fruits_gan", "--learning_rate=0.0001", "gan_learning_rate", 0.0001),
    ],
)
def test_a_changed_setting_shows_its_numbers_without_a_verdict(
    tmp_path, study, flag, setting, value
):
    view, plain = (view_of(tmp_path, study, *flags) for flags in (flag.split(), []))
    assert view.base == plain.base | {setting: value}
    assert view.kind == "none" and view.label.startswith("paper+")
    whole = {each for each in found(plain) if each[0] != "table1"}  # which an extension measures
    assert whole and found(view) >= whole
    assert type(view.base[setting]) is type(plain.base[setting])


def test_a_flag_that_adds_an_arm_or_changes_the_data_implies_nothing(tmp_path):
    for flag in ("--leak", "--dataset=fashion_mnist", "--seed=0"):
        view = view_of(tmp_path, "mnist_dbm", flag, "--epochs=9")
        assert view.base == view.config.base and view.label != "paper"
