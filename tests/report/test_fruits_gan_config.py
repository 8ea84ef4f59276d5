"""The file of fruits_gan holds every number that the report gives or plots, by its own rules."""

import collections
import functools
import math

import numpy as np
import pytest
from report_stores import only

from replicate.evaluation.held_out import widened
from replicate.evaluation.learning_curves import validation_metrics
from replicate.evaluation.statistics import mean_interval
from replicate.report.cells import measure
from replicate.report.claim_tests import TESTS, arm_of, gather, run_test
from replicate.report.claims import evaluate
from replicate.report.config import load
from replicate.report.figure_kinds import KINDS
from replicate.report.views import View, views_of
from replicate.runs.files import project_root
from replicate.runs.store import Plan, Store

STUDY = "fruits_gan"
PATH = project_root() / "paper_configs" / "fruits_gan.toml"
TABLE_1 = {
    "strawberries": 390, "raspberries": 630, "limes": 870, "kiwifruit": 690, "grapes": 360,
    "coconuts": 990, "blueberries": 690, "bananas": 420, "apricots": 690, "apples": 570,
}  # fmt: skip
LAST = {  # last points of the plotted curves: original, augmented, fake
    "fig8a": (0.9974, 0.9759, 0.9993), "fig8b": (0.0105, 0.0798, 0.0038),
    "fig9a": (0.9916, 0.9827, 0.9423), "fig9b": (0.045, 0.0577, 0.4003),
    "fig11a": (0.9307, 0.7218, 0.9945), "fig11b": (0.252, 0.6833, 0.0336),
    "fig12a": (51 / 76, 48 / 76, 49 / 76), "fig12b": (1.2621, 0.9655, 6.8445),
}  # fmt: skip
READING = {"fig8b": 0.0025, "fig9b": 0.001, "fig11b": 0.007, "fig12b": 0.02}
N_TEST = {"mnist": 8405, "fids30": 76}
ARMS = {"original": "real", "augmented": "augmented", "fake": "synthetic"}


@pytest.fixture(scope="module")
def study():
    """The study's own file."""
    return load(PATH)


@pytest.fixture(scope="module")
def trials():
    """The trials of preset paper, extensions included."""
    from replicate.runs.plan import preset_trials
    from replicate.runs.study import load_study

    return preset_trials(load_study("replicate.fruits_gan"), "paper")


@pytest.fixture(scope="module")
def planned(study, trials, tmp_path_factory):
    """The plan of preset paper, extensions included, without a record."""
    store = Store(tmp_path_factory.mktemp("planned"))
    return View("yours", store, Plan(STUDY, "paper", "paper", {}, tuple(trials)), {}, study)


def block(study, name):
    return [cell for cell in study.cells if cell.block == name]


def test_table_1_is_there_and_never_scored(study):
    cells = block(study, "table1")
    assert {c.selector.settings["klass"]: c.reported for c in cells} == TABLE_1
    assert all(c.unscored and math.isnan(c.margin) for c in cells)


def test_the_number_that_chose_the_batch_is_calibration(study):
    """MNIST's classifier has the batch of which the first epoch of Figure 8 has 262 steps."""
    fitted = [(cell.block, cell.line, cell.selector.epoch) for cell in study.cells if cell.tag]
    assert fitted == [("fig8a", "original", 1)]
    assert [gap["item"] for gap in study.log["gaps"] if gap["tag"] == "F"] == [
        "batch of the classifier of MNIST"
    ]


def test_every_point_of_the_curves_is_there(study):
    for name, last in LAST.items():
        lines = collections.defaultdict(list)
        for cell in block(study, name):
            lines[cell.line].append(cell)
            assert cell.selector.settings["arm"] == ARMS[cell.line]
        assert list(lines) == list(ARMS)
        for cells, end in zip(lines.values(), last, strict=True):
            epochs = 25 if cells[0].selector.settings["dataset"] == "mnist" else 48
            assert [c.selector.epoch for c in cells] == list(range(1, epochs + 1))
            assert cells[-1].reported == pytest.approx(end, abs=5e-5)
    right = [76 * cell.reported for cell in block(study, "fig12a")]
    assert all(value == pytest.approx(round(value), abs=0.004) for value in right)
    assert [round(value) for value in right[:3]] == [9, 20, 21] and max(right) < 55.01


def test_what_the_curves_come_to_is_theirs(study):
    points = {(c.line, c.selector.epoch): c.reported for c in block(study, "fig12a")}
    names = {arm: line for line, arm in ARMS.items()}
    for cell in block(study, "fig12_summary"):
        line = names[cell.selector.settings["arm"]]
        curve = [points[line, epoch] for epoch in range(1, 49)]
        reached = {
            level: next(i for i, v in enumerate(curve, 1) if v >= level) for level in (0.6, 0.65)
        }
        expected = {
            "best_val_accuracy_selected_on_test": max(curve),
            "val_accuracy_tail": sum(curve[-10:]) / 10,
            "epochs_to_60": reached[0.6],
            "epochs_to_65": reached[0.65],
            "best_epoch_selected_on_test": curve.index(max(curve)) + 1,
        }
        if cell.selector.metric in expected:
            assert cell.reported == pytest.approx(expected[cell.selector.metric], abs=6e-5)
    best = {c.selector.settings["arm"]: c.reported for c in block(study, "fig9_summary")[:3]}
    assert best == {"real": 0.9922, "augmented": 0.985, "synthetic": 0.9678}
    ends = {c.label: c.reported for c in block(study, "fig7_g") + block(study, "fig7_d")}
    assert len(ends) == 12 and ends["iteration 1575"] == 0.73
    assert [c.reported for c in block(study, "text.mnist_gan")] == [2.5, 1.0, 0.8, 0.5]


def test_margins_follow_the_rules(study):
    for cell in study.cells:
        name, value = cell.selector.metric or cell.selector.curve, cell.reported
        if cell.unscored:
            continue
        if "epochs_to" in name:
            rule = max(2, 0.2 * value)
        elif "loss" in name:
            reading = READING.get(cell.block, 0.02 if cell.block.startswith("fig12") else 0.01)
            rule = max(0.1 * value, 2 * reading)
        elif cell.n_test:
            error = math.sqrt(value * (1 - value) / cell.n_test)
            rule = max(0.005, 0.1 * min(value, 1 - value), error)
        else:
            rule = max(0.005, 0.1 * min(value, 1 - value))
        assert cell.margin == pytest.approx(rule, abs=6e-4 if cell.block[:4] == "fig7" else 6e-5)


def test_validation_accuracies_name_their_images(study):
    for cell in study.cells:
        name = cell.selector.metric or cell.selector.curve
        expected = N_TEST[cell.selector.settings["dataset"]] if "val_accuracy" in name else 0
        assert cell.n_test == expected, cell.label
        assert ("selected on test" in cell.label) == name.endswith("_selected_on_test")


def test_claims_and_figures_are_complete(study):
    claims = [claim for claim in study.claims if not claim.control]
    assert [claim.id for claim in claims] == [f"T{i}" for i in range(1, 18) if i != 13]
    assert [claim.id for claim in study.claims if claim.control][0] == "T13"
    assert {c.id for c in claims if c.primary} == {"T5", "T6", "T7", "T9", "T17"}
    assert not [c.id for c in study.claims if c.control and c.primary]
    verdicts = {c.id: c.on_reported for c in claims if c.on_reported != "holds"}
    assert verdicts == dict.fromkeys(("T4", "T6", "T8", "T10"), "mixed") | dict.fromkeys(
        ("T12", "T14", "T15", "T16", "T17"), "untested"
    )
    assert {test["name"] for c in study.claims for test in c.tests} <= set(TESTS)
    figures = [figure["id"] for figure in study.figures]
    own = [f"fig{i}" for i in (1, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, "14a", "14b", 15)]
    assert figures[: len(own)] == own
    assert {figure["kind"] for figure in study.figures} <= set(KINDS)
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in study.log["gaps"])


def test_no_figure_asks_for_photographs(study):
    text = repr(study.figures)
    assert "photographs_" not in text
    rows = next(f for f in study.figures if f["id"] == "fig13")["rows"]
    real = [row for row in rows if row["source"]["stage"] == "judge"]
    assert [("withheld" in row, row["source"]["settings"]["dataset"]) for row in real] == [
        (False, "mnist"), (True, "fids30"),
    ]  # fmt: skip


def test_figures_name_what_the_plan_has(study, trials):
    stages = collections.Counter(trial.stage for trial in trials)
    for figure in study.figures:
        sources = [row["source"] for row in figure.get("rows", [])] + [figure.get("source")]
        for source in filter(None, sources):
            for arm in figure.get("arms", [{"settings": {}}]):
                wanted = {**source.get("settings", {}), **arm["settings"]}
                assert stages[source["stage"]]
                assert any(
                    trial.stage == source["stage"]
                    and all(trial.settings.get(k) == v for k, v in wanted.items())
                    for trial in trials
                ), (figure["id"], wanted)


def units_of(view, test):
    """How many units a test has once its plan is run: replicates, or points of its longest arm."""
    references = {role: value for role, value in test.items() if isinstance(value, dict)}
    arms = [arm_of(view, reference, test.get("at")) for reference in references.values()]
    if "units" in test:
        return max(len(arm.points) for arm in arms)
    return min(sample.planned for arm in arms for sample in arm.samples)


def test_every_test_has_as_many_units_as_a_verdict_needs(study, planned):
    few = {
        (claim.id, test.get("label", ""))
        for claim in study.claims
        for test in claim.tests
        if units_of(planned, test) < study.rules["minimum_replicates"]
    }
    assert not few


# ------------------------------------------------------------------ which way claims point

ON_FIGURES = {  # claim -> those of its tests that what the authors plotted bears out
    "T1": [True] * 4, "T2": [True] * 2, "T3": [True] * 3, "T6": [True] * 2, "T7": [True] * 2,
    "T9": [True] * 4, "T10": [False, True], "K7": [True] * 2, "K8": [True] * 2,
}  # fmt: skip


def reported_curves(study):
    """`(data set, arm, curve)` -> the numbers that the authors plotted."""
    curves = collections.defaultdict(list)
    for name in LAST:
        for cell in block(study, name):
            s = cell.selector.settings
            curves[s["dataset"], s["arm"], cell.selector.curve].append(cell.reported)
    return curves


def records_of(trial, curves, arm):
    """What a network would be recorded with whose curves are those of an arm, give or take."""
    dataset, rng = trial.settings["dataset"], np.random.default_rng(trial.replicate)
    scale = 1e-4 if dataset == "mnist" else 1e-3
    own = {
        name: (np.array(curves[dataset, arm, name]) * (1 + scale * rng.normal())).tolist()
        for name in ("train_accuracy", "train_loss", "val_loss")
    }
    accuracy = np.array(curves[dataset, arm, "val_accuracy"])
    own["val_accuracy"] = (accuracy + scale * rng.normal() / 10).tolist()
    train, n = own["train_accuracy"], N_TEST[dataset]
    metrics = validation_metrics(own["val_accuracy"], own["val_loss"], n, 23, (60, 65))
    tail = train[round(len(train) * 40 / 48) - 1 :]
    metrics |= {"train_accuracy_last": train[-1], "train_accuracy_tail": sum(tail) / len(tail)}
    return metrics | own


def pointed(study, trials, fake, name, swap):
    """Effects of claims on three networks an arm; `swap` says whose curves an arm gets."""
    curves = reported_curves(study)
    several = [
        (trial, records_of(trial, curves, swap.get(trial.settings["arm"], trial.settings["arm"])))
        for trial in trials
        if trial.stage == "classifier" and trial.settings["arm"] in ARMS.values()
        and trial.settings.get("point", "picked") == "picked" and trial.replicate < 3
        and trial.settings.get("storage", "jpeg") == "jpeg"
        and trial.settings.get("contrast_stretch", True)
    ]  # fmt: skip
    store = fake(name, STUDY)
    store.add(several, shipped=True)
    (view,) = views_of("yours", store.root, study)
    return {claim.id: evaluate(claim, view) for claim in only(study, *ON_FIGURES).claims}


def test_claims_point_the_way_of_what_was_plotted(study, trials, fake):
    found = pointed(study, trials, fake, "plotted", {})
    stated = {claim.id: claim.on_reported for claim in study.claims}
    for name, right in ON_FIGURES.items():
        effects = [effect for _, effect in found[name].effects]
        assert [effect.p_for < 0.05 for effect in effects] == right, name
        assert [effect.p_against < 0.05 for effect in effects] == [not each for each in right]
        # T6 is mixed by the epoch that the text says, not by the order that its tests ask for
        assert stated[name] == ("holds" if all(right) and name != "T6" else "mixed")
    assert found["T1"].effects[0][1].effect == pytest.approx(0.9922 - 0.985, abs=1e-3)
    assert found["T6"].effects[0][1].effect == 14 - 1
    assert found["T7"].effects[0][1].effect == pytest.approx(6.8445 / 1.2621, rel=0.01)


@pytest.mark.parametrize(
    ("swap", "names"),
    [
        ({"real": "synthetic", "synthetic": "real"}, ("T1", "T2", "T3", "T6", "T7")),
        ({"real": "augmented", "augmented": "real"}, ("T1", "T2", "T9")),
        ({"synthetic": "augmented", "augmented": "synthetic"}, ("T1", "T2", "T3", "T9")),
    ],
)
def test_swapped_arms_turn_claims_round(study, trials, fake, swap, names):
    found = pointed(study, trials, fake, "swapped", swap)
    for name in names:
        assert found[name].p[1] < 0.05 < found[name].p[0], name
    if "synthetic" in swap and "real" in swap:
        effects = [effect for _, effect in found["T10"].effects]
        assert [effect.p_for < 0.05 for effect in effects] == [True, False]
        assert [effect.p_against < 0.05 for effect in effects] == [False, True]


def told(study, name, store, values, arms):
    """A claim on three networks an arm; `values(dataset, arm, replicate)` is what each records."""
    several = [
        (trial, values(trial.settings["dataset"], trial.settings["arm"], trial.replicate))
        for trial in arms
        if trial.stage == "classifier" and trial.replicate < 3
        and trial.settings.get("point", "picked") == "picked"
        and trial.settings.get("storage", "jpeg") == "jpeg"
        and trial.settings.get("contrast_stretch", True)
    ]  # fmt: skip
    return evaluate(next(c for c in study.claims if c.id == name), view_of(store, several, study))


def best(rights, spread=1):
    """`values` of `told` for networks that recognise so many of a hundred images of an arm."""

    def values(dataset, arm, replicate):
        n = rights.get(arm, 10) + spread * replicate
        images = [1] * n + [0] * (100 - n)
        accuracy = n / 100 if dataset == "fids30" else 0.9 + n / 1000
        metrics = {"n_val": 100 if dataset == "fids30" else 8405}
        metrics["best_val_accuracy_selected_on_test"] = accuracy
        return metrics | {"val_right_best_selected_on_test": images}

    return values


def test_a_claim_says_that_its_synthetic_images_are_of_one_generator(study, trials, fake):
    """Of T5 the first tests compare arms without any, which rest on no generator."""
    found = told(study, "T5", fake("one", STUDY), best({"real": 80, "augmented": 70}), trials)
    assert found.settled and found.reason == "one generator: interval excludes generator variance"


def test_more_images_are_compared_at_the_steps_of_many(study, trials, fake):
    """K4: what steps alone give is no gain of the images that are added."""
    rights = {"real": 40, "combined": 90, "real_step_matched": 90}
    found = told(study, "K4", fake("steps", STUDY), best(rights), trials)
    assert [effect.p_for < 0.05 for _, effect in found.effects] == [True, False] * 2
    rights["real_step_matched"] = 41
    found = told(study, "K4", fake("images", STUDY), best(rights), trials)
    assert found.p[0] < 0.05


@pytest.mark.parametrize(("augmented", "right"), [(50, [True, True]), (5, [False, False])])
def test_slightly_below_is_not_far_below(study, trials, fake, augmented, right):
    rights = {"real": 50, "augmented": augmented}
    found = told(study, "K9", fake("slightly", STUDY), best(rights), trials)
    assert [effect.p_for < 0.05 for _, effect in found.effects] == right
    assert [effect.p_against < 0.05 for _, effect in found.effects] == [not one for one in right]


def test_networks_that_failed_to_train_are_left_out(study, trials, fake):
    """T16 pairs by replicate: without a number on one data set, the partner falls away."""

    def seen(dataset, arm, replicate, fruit=0.97):
        accuracy = {"fids30": fruit, "mnist": 0.7}[dataset] + replicate / 1000
        metrics = {"n_test": 152, "test_accuracy_last": accuracy, "untrained": 0.0}
        if (dataset, replicate) == ("fids30", 1):
            return metrics | {"test_accuracy_last": 0.5, "untrained": 1.0}
        return metrics | {"test_accuracy_trained_last": accuracy}

    found = told(study, "T16", fake("failed", STUDY), seen, trials)
    ((_, effect),) = found.effects
    assert effect.n == 2 and effect.effect == pytest.approx(0.27) and effect.p_for < 0.05
    ((_, half),) = told(study, "K20", fake("half", STUDY), seen, trials).effects
    assert half.n == 2 and half.effect == pytest.approx(0.971) and half.p_for < 0.05
    hard = functools.partial(seen, fruit=0.62)
    ((_, effect),) = told(study, "K20", fake("hard", STUDY), hard, trials).effects
    assert effect.p_against < 0.05


def test_distances_at_two_rates_are_compared_by_their_ratio(study, trials, fake):
    """T14 with preset lite's distances, whose differences spread too far to tell."""
    distances = {0.0002: (2.51, 2.89, 2.15), 0.002: (131.2, 88.7, 30.9)}
    several = [
        (trial, {"frechet": distances[s["gan_learning_rate"]][trial.replicate]})
        for trial in trials
        for s in [trial.settings]
        if trial.stage == "evaluation" and s["klass"] == "bananas"
        and (s["point"], s["storage"]) == ("picked", "jpeg")
    ]  # fmt: skip
    view = view_of(fake("rates", STUDY), several, study)
    (test,) = next(claim for claim in study.claims if claim.id == "T14").tests
    effect = run_test(gather(view, test), test)
    assert effect.effect == pytest.approx(28.5, abs=0.1) and effect.p_for < 0.05
    plain = run_test(gather(view, test), test | {"name": "paired_difference"})
    assert plain.p_for > 0.1


# ------------------------------------------------------------------ counts of images


def view_of(store, results, study):
    """The view of a store that holds these results alone."""
    store.add(results, shipped=True)
    (view,) = views_of("yours", store.root, study)
    return view


@pytest.mark.parametrize("n", [3000, 8405])
def test_intervals_rest_on_the_images_that_records_count(study, trials, fake, n):
    """Of a smaller preset the validation part is smaller, whatever the report had."""
    several = [
        (trial, {"best_val_accuracy_selected_on_test": value + trial.replicate / 1e4, "n_val": n})
        for trial in trials
        for arm, value in (("real", 0.99), ("augmented", 0.985))
        if trial.stage == "classifier" and trial.settings["dataset"] == "mnist"
        and trial.settings["arm"] == arm and trial.settings.get("contrast_stretch", True)
    ]  # fmt: skip
    view = view_of(fake("counted", STUDY), several, study)
    test = next(claim for claim in study.claims if claim.id == "T1").tests[0]
    effect = run_test(gather(view, test), test)
    assert effect.note == f"best, original minus augmented, {n:,} images, binomial"
    plain = run_test(gather(view, test), test | {"n_test": n})
    error = math.sqrt((0.99 * 0.01 + 0.985 * 0.015) / n)
    assert effect.high - effect.effect == pytest.approx(1.96 * error, rel=0.2)
    assert (plain.low, plain.high) == pytest.approx((effect.low, effect.high))


def test_a_missing_photograph_is_missing_on_our_side_only(study, trials, fake):
    """75 images here, 76 in the report: claims go by image, cells by either side's own count."""
    rights = {"real": (60, 61, 62), "synthetic": (50, 50, 52)}
    several = [
        (trial, {"n_val": 75, "best_val_accuracy_selected_on_test": n / 75,
                 "val_right_best_selected_on_test": [1] * n + [0] * (75 - n)})
        for trial in trials
        if trial.stage == "classifier" and trial.settings["dataset"] == "fids30"
        and trial.settings["arm"] in rights and trial.replicate < 3
        and trial.settings.get("point", "picked") == "picked"
        and trial.settings.get("storage", "jpeg") == "jpeg"
        for n in [rights[trial.settings["arm"]][trial.replicate]]
    ]  # fmt: skip
    view = view_of(fake("missing", STUDY), several, study)
    test = next(claim for claim in study.claims if claim.id == "T17").tests[0]
    effect = run_test(gather(view, test), test)
    assert effect.note == "75 images, paired" and effect.n == 3
    assert effect.effect == pytest.approx((183 - 152) / 225)
    (cell,) = [
        c for c in block(study, "fig12_summary")
        if c.label.startswith("original, best validation accuracy")
    ]  # fmt: skip
    own = mean_interval([n / 75 for n in rights["real"]])
    found = measure(cell, view).interval
    assert (found.low, found.high) == pytest.approx((widened(own, 75).low, widened(own, 75).high))


def test_no_test_fixes_how_many_images_we_have(study):
    for claim in study.claims:
        for test in claim.tests:
            assert isinstance(test.get("n_test", {}), dict), claim.id
    assert not [e["id"] for e in study.extras if isinstance(e.get("n_test", ""), int)]
    assert not [
        name for name, series in study.series.items() if series.x == "image" and series.over
    ]


# ------------------------------------------------------------------ the pipeline's own


def test_the_fruits_generators_are_compared_with_those_of_the_digits(study, trials, fake):
    """T12 asks for half as much again as our own digits have, not for a constant."""
    for digits, holds in ((1.0, True), (2.9, False)):
        several = [
            (trial, {"d_accuracy_last_third": 0.8 + 0.01 * i, "g_loss_last_third": level + 0.1 * i})
            for dataset, level in (("fids30", 2.5), ("mnist", digits))
            for i, trial in enumerate(
                t for t in trials
                if t.stage == "generator" and t.settings["dataset"] == dataset
                and t.replicate == 0 and t.settings["gan_learning_rate"] == 2e-4
            )
        ]  # fmt: skip
        store = fake(f"digits {digits}", STUDY)
        store.add(several, shipped=True)
        (view,) = views_of("yours", store.root, study)
        accuracy, loss = [effect for _, effect in evaluate(
            next(claim for claim in study.claims if claim.id == "T12"), view
        ).effects]  # fmt: skip
        logs = [np.log(level + 0.1 * np.arange(10)) for level in (2.5, digits)]
        assert loss.effect == pytest.approx(math.exp(logs[0].mean() - logs[1].mean()))
        assert (loss.p_for < 0.05, loss.p_against < 0.05) == (holds, not holds)
        assert accuracy.p_for < 0.05 and loss.note.endswith("10 against 10")


def test_another_curve_is_refused(tmp_path):
    (tmp_path / "fruits_gan").mkdir()
    for path in (PATH.parent / "fruits_gan").glob("*.csv"):
        text = path.read_text()
        if path.stem == "fig12a":
            text = text.replace("0.7237", "0.7337")
        (tmp_path / "fruits_gan" / path.name).write_text(text)
    (tmp_path / PATH.name).write_text(PATH.read_text())
    with pytest.raises(ValueError, match="Expected .*fig12a.csv with SHA-256"):
        load(tmp_path / PATH.name)


@pytest.mark.parametrize(
    "half, whole",
    zip([f"K{n}" for n in range(10, 20)], "T5 T8 T9 T12 T15 T13 K1 K2 K9 K4".split(), strict=True),
)
def test_halves_test_what_the_whole_tests_on_fruit(study, half, whole):
    """Same arms, same margins; none of them is about digits."""
    claims = {claim.id: claim for claim in study.claims}

    def bare(test):
        return {name: value for name, value in test.items() if name != "label"}

    fruits = [
        bare(test)
        for test in claims[whole].tests
        if not any(
            isinstance(value, dict) and value["series"].startswith("m_") for value in test.values()
        )
    ]
    assert fruits == [bare(test) for test in claims[half].tests]
    assert claims[half].where.endswith(f"{whole} on FIDS30 alone") and claims[half].control
