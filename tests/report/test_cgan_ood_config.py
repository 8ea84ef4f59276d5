"""The file of cgan_ood holds every number that the report gives, by its own margin rule.

And its claims say of the report's own numbers what the report says.
"""

import functools
import math

import numpy as np
import pytest
from report_stores import shown, trials_of

from replicate.cgan_ood import EXTENSIONS
from replicate.cgan_ood import STUDY as OOD
from replicate.report.cells import measure
from replicate.report.claim_tests import TESTS
from replicate.report.claims import evaluate
from replicate.report.config import load
from replicate.report.figure_base import Source
from replicate.report.figure_kinds import KINDS
from replicate.report.tables import EFFECTS
from replicate.runs.files import project_root
from replicate.runs.flags import preset_values
from replicate.runs.store import Store
from replicate.stages.mixes import training_rows

STUDY = "cgan_ood"
PATH = project_root() / "paper_configs" / "cgan_ood.toml"
TABLE_2 = {  # training and test set -> Fashion-MNIST, MNIST, CIFAR-10, as printed
    ("1:0", "original"): (0.882, 0.9484, 0.6771),
    ("0:1", "synthetic"): (0.9771, 0.9926, 0.7919),
    ("0:1", "original"): (0.5839, 0.8984, 0.6523),
    ("1:0", "synthetic"): (0.0979, 0.2365, 0.6336),
    ("1:1", "original"): (0.8699, 0.9409, 0.6728),
    ("2:1", "original"): (0.8731, 0.9427, 0.684),
    ("1:2", "original"): (0.8658, 0.9204, 0.6839),
    ("5:1", "original"): (0.8722, 0.9322, 0.6843),
    ("5:1", "synthetic"): (0.8715, 0.9528, 0.7363),
}
TABLE_3 = {
    "1:0": 0.9158, "0:1": 0.7657, "1:1": 0.8242, "2:1": 0.8572, "1:2": 0.8464, "5:1": 0.9201,
    "6:1": 0.9566, "7:1": 0.9596, "8:1": 0.8923, "9:1": 0.7933, "10:1": 0.7625,
}  # fmt: skip
BLOCKS = {  # block -> column of Table 2, source, scale
    "table2_fashion_mnist": (0, None, None),
    "table2_mnist": (1, None, None),
    "table2_cifar10": (2, "stylegan2_ada_official", None),
    "table2_cifar10_substitute": (2, "stylegan2_ada_own", None),
    "signed_fashion_mnist": (0, None, "signed"),
    "signed_mnist": (1, None, "signed"),
}
UNSCORED = ("table2_cifar10_substitute", "signed_fashion_mnist", "signed_mnist")
DATASETS = ("fashion_mnist", "mnist", "cifar10")


@pytest.fixture(scope="module")
def study():
    """The study's own file."""
    return load(PATH)


@pytest.mark.parametrize("block", BLOCKS)
def test_table_2_is_there(study, block):
    column, source, scale = BLOCKS[block]
    cells = [cell for cell in study.cells if cell.block == block]
    found = {
        (c.selector.settings["ratio"], c.selector.metric.removeprefix("accuracy_")): c.reported
        for c in cells
    }
    assert found == {row: values[column] for row, values in TABLE_2.items()}
    for cell in cells:
        settings = cell.selector.settings
        assert settings["dataset"] == DATASETS[column]
        assert (settings.get("source"), settings.get("scale")) == (source, scale)
        assert bool(cell.unscored) == (block in UNSCORED)


def test_table_3_is_there(study):
    cells = [cell for cell in study.cells if cell.block == "table3"]
    assert {c.selector.settings["ratio"]: c.reported for c in cells} == TABLE_3
    assert {c.selector.metric for c in cells} == {"accuracy_mnist_c_5"}
    assert not any(cell.unscored for cell in cells)


def test_margins_follow_the_one_rule(study):
    for cell in study.cells:
        rule = max(0.01, 0.1 * min(cell.reported, 1 - cell.reported))
        assert (
            math.isnan(cell.margin)
            if cell.unscored
            else cell.margin == pytest.approx(rule, abs=6e-5)
        )


def test_numbers_told_in_words_follow_from_the_tables(study):
    """Differences, gains and means that the claims quote, worked out from Tables 2 and 3."""
    told = {claim.id: claim.reported for claim in study.claims}
    for column in range(3):
        value = {row: values[column] for row, values in TABLE_2.items()}
        five, original = value["5:1", "synthetic"], value["1:0", "original"]
        gain = 100 * (five / value["1:0", "synthetic"] - 1)
        assert f"+{gain:.0f} %" in told["S5"] and f"+{gain:.0f} %" in told["S11"]
        assert f"({value['5:1', 'original'] - original:+.4f})" in told["S6"]
        assert f"{value['5:1', 'original'] - value['1:1', 'original']:+.4f}" in told["S7"]
        assert f"{abs(value['5:1', 'original'] - five):.4f}" in told["S8"]
        mixes = [value[ratio, "original"] for ratio in ("1:1", "2:1", "1:2", "5:1")]
        assert f"{sum(mixes) / 4 - original:+.5f}" in told["S16"]
    for ratio in ("5:1", "6:1", "7:1"):
        assert f"{ratio} {TABLE_3[ratio] - TABLE_3['1:0']:+.4f}" in told["S9"]
    better = [r for r in TABLE_3 if ":0" not in r and r != "0:1" and TABLE_3[r] > TABLE_3["1:0"]]
    assert better == ["5:1", "6:1", "7:1"]
    jump = next(claim for claim in study.claims if claim.id == "K7")
    assert jump.reported == f"{TABLE_3['7:1'] - TABLE_3['10:1']:.4f}"
    exchanged = round(60_000 * 10 / 11) - round(60_000 * 7 / 8)
    assert f"{exchanged:,} of 60,000" in jump.statement


def test_claims_are_complete(study):
    claims = [claim for claim in study.claims if not claim.control]
    assert [claim.id for claim in claims] == [f"S{i}" for i in range(1, 19)]
    assert {c.id for c in claims if c.primary} == {"S1", "S4", "S6", "S9", "S17", "S18"}
    verdicts = {c.id: c.on_reported for c in claims if c.on_reported != "holds"}
    assert verdicts == dict.fromkeys(("S5", "S7", "S9"), "mixed") | {"S16": "fails"} | (
        dict.fromkeys(("S14", "S17", "S18"), "untested")
    )
    used = {test["name"] for claim in study.claims for test in claim.tests}
    assert used <= set(TESTS) and used <= set(EFFECTS)
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in study.log["gaps"])


def test_figures_are_complete(study):
    figures = [figure["id"] for figure in study.figures]
    assert figures[:2] == ["fig1", "fig2"]
    assert len(set(figures)) == len(figures)
    assert {figure["kind"] for figure in study.figures} <= set(KINDS)
    blocks = {block for figure in study.figures for block in figure.get("blocks", ())}
    assert blocks <= set(study.blocks)


def _references(study):
    for claim in study.claims:
        for test in claim.tests:
            for reference in (value for value in test.values() if isinstance(value, dict)):
                yield claim, test, reference


def test_a_substitute_is_named_and_never_scored(study):
    """Whatever a claim or cell takes from the substitute has no verdict, and says why."""
    for claim in study.claims:
        of_claim = [ref["series"] for other, _, ref in _references(study) if other is claim]
        settings = [study.series[name].selector.settings for name in of_claim]
        rests = any(s.get("source") == "stylegan2_ada_own" for s in settings)
        assert rests == bool(claim.unscored)
        assert not rests or ("substitute" in claim.id and claim.unscored.startswith("substitute"))
    for cell in study.cells:
        if cell.selector.settings.get("source") == "stylegan2_ada_own":
            assert "substitute" in cell.where and cell.unscored.startswith("substitute")
    mixed = [e for e in study.extras if "source" in e.get("free", ()) and "cifar10" in str(e)]
    assert mixed and all("source" in entry["by"] for entry in mixed)


def test_whatever_else_stands_in_for_the_official_network_is_unscored(study):
    """A file that somebody gives is in tables of every source, and in no claim and no cell."""
    text = PATH.read_text()
    rules = text[: text.index("[[extras]]")]
    assert "stylegan2_ada_given" not in rules and "dcgan_substitute" not in rules
    for entry in study.extras:
        if "source" in entry.get("free", ()):
            assert "stylegan2_ada_given" in entry["what"], entry["id"]


# ------------------------------------------------------------------ every trial is shown
@functools.cache
def planned(stage):
    """All trials of a stage at preset paper, extensions and other networks included."""
    values = preset_values(OOD, "paper", f"--extensions={','.join(EXTENSIONS)}")
    return [trial for trial in OOD.declare(values) if trial.stage == stage]


@pytest.mark.parametrize("stage", ["judge", "classifier", "evaluation", "generator"])
def test_every_trial_is_in_a_table(study, stage):
    found = set()
    for entry in study.extras:
        for trials in shown(planned(stage), entry, study.base).values():
            found |= {trial.key for trial in trials}
    missing = [trial.describe() for trial in planned(stage) if trial.key not in found]
    assert planned(stage) and not missing


@pytest.mark.parametrize("stage", ["judge", "classifier", "evaluation", "generator"])
def test_a_row_of_a_table_is_one_arm(study, stage):
    for entry in study.extras:
        for point, trials in shown(planned(stage), entry, study.base).items():
            settings = {repr(sorted(trial.settings.items())) for trial in trials}
            assert len(settings) == 1, (entry["id"], point)


# ------------------------------------------------------------------ what rests on a generator
def test_networks_of_original_images_are_told_by_their_training_rows(study):
    """Whoever trains on a synthetic image rests on its generator, whatever is measured."""
    found = {}
    for each in planned("classifier"):
        s = each.settings
        n = s["n_train"]
        if each.replicate or (s["arm"], s.get("ratio"), s.get("n_real")) in found:
            continue
        rows = training_rows(each, np.arange(2 * n) % 10, n)
        synthetic = s["arm"] == "transfer" or rows.max() >= n  # first half of its epochs
        found[s["arm"], s.get("ratio"), s.get("n_real")] = synthetic
        assert study.uses_inputs(each, "accuracy_original") == synthetic, s
        assert study.uses_inputs(each, "accuracy_synthetic")
    assert {arm for arm, *_ in found} >= {"mix", "few", "step_matched", "transfer_real"}


def test_every_number_on_real_images_is_named_and_no_other(study):
    records = Store(project_root() / "results").latest(STUDY).values()
    done = [record for record in records if record.trial.stage == "classifier"]
    alone = next(r for r in done if r.trial.settings["arm"] == "long_tail")
    numbers = {name for record in done for name in (*record.metrics, *record.curves)}
    assert {"train_loss", "ece_mnist_c_3", "gap_original_synthetic"} <= numbers
    for name in numbers | {"confusion:original:f:1", "confusion:synthetic:f:1"}:
        drawn = "synthetic" in name or name == "accuracy_source"
        assert study.uses_inputs(alone.trial, name) == drawn, name


def test_a_network_of_original_images_rests_on_no_generator(study, seen):
    """Table 3's O is a mean of ten networks; S, on the same digits, one of three generators'."""
    noise = np.random.default_rng(4).normal(0, 0.001, 10)

    def ten(ratio, **metrics):
        settings = {"dataset": "mnist", "source": "cgan", "arm": "mix", "ratio": ratio}
        return [
            (
                trial("classifier", r, {"synthetic": f"set {r % 3}"}, **settings),
                {name: value + noise[r] for name, value in metrics.items()},
            )
            for r in range(10)
        ]

    view = seen(
        ten("1:0", accuracy_mnist_c_5=0.97, accuracy_synthetic=0.98)
        + ten("0:1", accuracy_mnist_c_5=0.86)
    )
    samples = {
        (name, ratio): view.sample(study.series[name].at(ratio))
        for name, ratio in (("m_mnist_c", "1:0"), ("m_synthetic", "1:0"), ("m_mnist_c", "0:1"))
    }
    assert {at: len(set(s.groups.values())) for at, s in samples.items()} == {
        ("m_mnist_c", "1:0"): 1,
        ("m_synthetic", "1:0"): 3,
        ("m_mnist_c", "0:1"): 3,
    }
    alone = samples["m_mnist_c", "1:0"]
    assert set(alone.groups.values()) == {""} and not alone.one_generator
    cell = next(c for c in study.cells if c.block == "table3" and c.label == "1:0")
    measured = measure(cell, view)
    half = 2.262157 * noise.std(ddof=1) / np.sqrt(10)  # t(0.975, 9) s / sqrt(n)
    assert measured.interval.n == 10
    assert measured.interval.half_width == pytest.approx(half, rel=1e-5)


# ------------------------------------------------------------------ claims on the report's numbers
trial = trials_of(STUDY, sees="all", scale="same")
DATA_SETS = {  # data set -> column of Table 2, settings
    "fashion_mnist": (0, {"source": "cgan", "network": "simple_cnn"}),
    "mnist": (1, {"source": "cgan", "network": "simple_cnn"}),
    "cifar10": (2, {"source": "stylegan2_ada_official", "network": "deep_cnn"}),
}
JITTER = (-1e-4, 0.0, 1e-4)  # three replicates


def reported(dataset):
    """Ratio -> metrics, from Tables 2 and 3."""
    column, _ = DATA_SETS[dataset]
    found = {}
    for (ratio, tested), values in TABLE_2.items():
        found.setdefault(ratio, {})[f"accuracy_{tested}"] = values[column]
    five = found["5:1"]
    five["gap_original_synthetic"] = five["accuracy_original"] - five["accuracy_synthetic"]
    for ratio, value in TABLE_3.items() if dataset == "mnist" else ():
        found.setdefault(ratio, {})["accuracy_mnist_c_5"] = value
    return found


def trained(dataset, metrics, **settings):
    """Three classifiers of a point; replicates differ by little, each in its own way."""
    _, common = DATA_SETS[dataset]
    sign = 1 if settings.get("ratio") in ("1:0", "6:1") else -1
    return [
        (
            trial("classifier", r, {"synthetic": f"{dataset} {r}"}, dataset=dataset, **common,
                  **settings),
            {name: value + sign * JITTER[r] for name, value in metrics.items()},
        )
        for r in range(3)
    ]  # fmt: skip


def of_table(change=lambda dataset, table: table):
    """Classifiers with the report's numbers; `change` returns other ones in their place."""
    return [
        result
        for dataset in DATA_SETS
        for ratio, metrics in change(dataset, reported(dataset)).items()
        for result in trained(dataset, metrics, arm="mix", ratio=ratio)
    ]


def directions(study, name, view):
    """Of each test of a claim, whether it speaks for the claim or against it."""
    claim = next(claim for claim in study.claims if claim.id == name)
    judged = evaluate(claim, view)
    assert judged.n == 3, judged.reason
    found = []
    for _, effect in judged.effects:
        assert min(effect.p_for, effect.p_against) < 0.05
        found.append(effect.p_for < effect.p_against)
    return found


ON_REPORTED = {
    **{f"S{i}": [True, True] for i in (1, 2, 3, 4, 5, 6, 8, 11, 15)},
    "S7": [False, True],  # MNIST falls, Fashion-MNIST rises
    "S9": [False],
    "S10": [True, True, True],
    "S12": [True],
    "S13": [True],
    "S16": [False, False],
    "CIFAR-10": [True] * 7,
    "K7": [False],
}


@pytest.fixture
def on_reported(seen):
    """The report's own numbers as if they were ours."""
    return seen(of_table())


def test_claims_hold_of_the_report_s_numbers_where_it_says_so(study, on_reported):
    found = {name: directions(study, name, on_reported) for name in ON_REPORTED}
    assert found == ON_REPORTED
    claims = [claim for claim in study.claims if not claim.control]
    untested = {claim.id for claim in claims if claim.on_reported == "untested"}
    assert untested | set(ON_REPORTED) >= {claim.id for claim in claims}
    for claim in study.claims:
        if claim.id in ON_REPORTED and claim.on_reported in ("holds", "fails"):
            assert set(ON_REPORTED[claim.id]) == {claim.on_reported == "holds"}


def change_test_sets(dataset, table):
    """Original and synthetic test images exchanged."""
    both = ("accuracy_original", "accuracy_synthetic")
    names = dict(zip(both, reversed(both), strict=True))
    return {
        ratio: {names.get(name, name): value for name, value in metrics.items()}
        for ratio, metrics in table.items()
    }


def change_data_sets(dataset, table):
    """Fashion-MNIST and CIFAR-10 exchanged."""
    names = {"fashion_mnist": "cifar10", "cifar10": "fashion_mnist"}
    return reported(names.get(dataset, dataset))


def change_ratios(one, other):
    """Training sets of two ratios exchanged."""

    def change(dataset, table):
        names = {one: other, other: one}
        return {names.get(ratio, ratio): metrics for ratio, metrics in table.items()}

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (change_test_sets, {"S1": [False, False]}),
        (change_data_sets, {"S11": [False, False], "S16": [False, True]}),
        (change_ratios("1:0", "0:1"), {name: [False, False] for name in ("S2", "S3", "S15")}),
        (change_ratios("1:0", "5:1"), {"S4": [False, False], "S6": [True, True], "S13": [False]}),
        (change_ratios("1:1", "5:1"), {"S7": [True, False]}),
        (change_ratios("6:1", "10:1"), {"S10": [False, True, False]}),
        (change_ratios("6:1", "5:1"), {"S10": [False, True, True]}),
        (change_ratios("10:1", "1:0"), {"S10": [True, True, False], "S9": [True]}),
    ],
)
def test_exchanged_arms_give_the_reverse(study, seen, change, expected):
    view = seen(of_table(change))
    assert {name: directions(study, name, view) for name in expected} == expected


PAIRS = {  # claim -> metric, arm that is to be better, arms that are to be worse
    "S14": ("tail_recall_original", {"arm": "long_tail_filled"}, [{"arm": "long_tail_repeated"}]),
    "S17": (
        "accuracy_original",
        {"arm": "few_filled", "n_real": 1000},
        [{"arm": "few", "n_real": 1000}, {"arm": "few_repeated", "n_real": 1000}],
    ),
    "S18": (
        "balanced_accuracy_original",
        {"arm": "long_tail_filled"},
        [{"arm": "long_tail"}, {"arm": "long_tail_repeated"}],
    ),
}


@pytest.mark.parametrize("better", [0.9, 0.6])
@pytest.mark.parametrize("name", PAIRS)
def test_untested_claims_ask_that_synthetic_images_help(study, seen, name, better):
    metric, helped, others = PAIRS[name]
    results = []
    for dataset in ("mnist", "fashion_mnist"):
        results += trained(dataset, {metric: better}, **helped, ratio="1:0")
        for other in others:
            results += trained(dataset, {metric: 0.75}, **other)
    found = directions(study, name, seen(results))
    assert found == [better > 0.75] * (2 * len(others))


# ------------------------------------------------------------------ directions and bounds
def point(dataset, arm="mix", **settings):
    """A point of an arm, as a key."""
    return dataset, tuple(sorted(({"arm": arm} | settings).items()))


M, F, C = (functools.partial(point, name) for name in ("mnist", "fashion_mnist", "cifar10"))
U = functools.partial(C, source="stylegan2_ada_own")
BOTH = (M, F)
ORIGINAL, SYNTHETIC, NOISY = "accuracy_original", "accuracy_synthetic", "accuracy_mnist_c_5"
REAL, MADE, FIVE, ONE = ({"ratio": ratio} for ratio in ("1:0", "0:1", "5:1", "1:1"))
MIXES = [{"ratio": ratio} for ratio in ("5:1", "2:1", "1:1", "1:2")]
MORE = [{"ratio": f"{parts}:1"} for parts in range(6, 11)]
STEP = 0.002  # how near to its bound a claim is asked whether it holds


def differ(margin, *tests):
    """Cases of tests that one number exceeds another by more than a margin: holding, and each not.

    A test is two lists of `(point, metric)`.
    """
    holding = {each: 0.4 + margin + STEP for more, _ in tests for each in more}
    holding |= {each: 0.4 for _, less in tests for each in less}
    for index, (_, less) in enumerate(tests):
        yield holding, dict.fromkeys(less, 0.4 + 2 * STEP), {index}


def lie(*tests):
    """Cases of tests that a number `(point, metric)` lies between two bounds, or beyond one."""
    for inside in (1, -1):  # near the upper bound, near the lower one
        holding, beyond = {}, []
        for number, low, high in tests:
            bound, sign = (
                (high, 1) if low is None or (inside > 0 and high is not None) else (low, -1)
            )
            holding[number] = bound - sign * STEP
            beyond.append({number: bound + sign * STEP})
        for index, change in enumerate(beyond):
            yield holding, change, {index}


def pairs(points, more, less, metric=ORIGINAL):
    """A test a data set: an arm exceeds another."""
    return [([(at(**more), metric)], [(at(**less), metric)]) for at in points]


def short(n_real):
    """The tests of S17 with so many originals; filled up and repeated are compared twice."""
    few, repeated = ({"arm": arm, "n_real": n_real} for arm in ("few", "few_repeated"))
    filled = {"arm": "few_filled", "n_real": n_real}
    of_both = (pairs([at], filled, other)[0] for at in BOTH for other in (few, repeated))
    return differ(0.0, *of_both)


def substitute():
    """The seven tests of CIFAR-10's substitute; one number of O is part of three."""
    real, drawn = (
        lambda settings, m=metric: (U(**settings), m) for metric in (ORIGINAL, SYNTHETIC)
    )
    holding = {
        **{real(REAL): 0.7, drawn(REAL): 0.4, real(MADE): 0.5, drawn(MADE): 0.8, drawn(FIVE): 0.6},
        **{real(FIVE): 0.682, real(ONE): 0.6},
    }
    changes = [
        ({drawn(REAL): 0.702}, {0, 1, 3}),
        ({drawn(REAL): 0.502}, {1}),
        ({real(MADE): 0.702}, {2}),
        ({drawn(FIVE): 0.398}, {3}),
        ({real(FIVE): 0.678}, {4}),
        ({real(ONE): 0.684}, {5}),
        ({drawn(MADE): 0.698}, {6}),
    ]
    return ((holding, change, failing) for change, failing in changes)


def gains():
    """S11: relative gains of MNIST and Fashion-MNIST, each above that of CIFAR-10, one half."""
    before, after = ({at: (at(**ratio), SYNTHETIC) for at in (M, F, U)} for ratio in (REAL, FIVE))
    holding = {before[at]: 0.4 for at in before} | {after[U]: 0.6, after[M]: 0.602, after[F]: 0.602}
    yield holding, {after[M]: 0.598}, {0}
    yield holding, {after[F]: 0.598}, {1}
    yield holding, {before[U]: 0.394}, {0, 1}


def mixes():
    """S16: all mixes of CIFAR-10 lose 0.02, those of the others less."""
    alone = {at: (at(**REAL), ORIGINAL) for at in (M, F, U)}
    holding = {alone[M]: 0.9, alone[F]: 0.9, alone[U]: 0.7}
    for at, value in ((M, 0.882), (F, 0.882), (U, 0.68)):
        holding |= {(at(**ratio), ORIGINAL): value for ratio in MIXES}
    yield holding, {alone[M]: 0.904}, {0}
    yield holding, {alone[F]: 0.904}, {1}
    yield holding, {(U(**ratio), ORIGINAL): 0.684 for ratio in MIXES}, {0, 1}


def likelier():
    """K11: two numbers of O are worse than the means of nine mixes."""
    for_mixes = [M(**ratio) for ratio in (*MIXES, *MORE)]
    metrics = ("nll_mnist_c_5", "ece_mnist_c_5")
    return differ(0.0, *(([(M(**REAL), m)], [(at, m) for at in for_mixes]) for m in metrics))


def harder():
    """K8: one of eleven ratios is enough against it."""
    every = [M(**ratio) for ratio in (REAL, *MORE, *MIXES, MADE)]
    holding = {(at, ORIGINAL): 0.9 for at in every} | {(at, NOISY): 0.898 for at in every}
    for at in every:
        yield holding, {(at, NOISY): 0.902}, {0}


def signed():
    """K5: three bounds a data set."""
    bounds = (
        (REAL, SYNTHETIC, None, 0.3),
        (FIVE, SYNTHETIC, 0.8, None),
        (MADE, ORIGINAL, 0.5, None),
    )
    return lie(
        *(
            ((at(**ratio, scale="signed"), metric), low, high)
            for at in BOTH
            for ratio, metric, low, high in bounds
        )
    )


def transferred(arm):
    return {"arm": arm, "n_real": 1000}


FEW_OWN = {"arm": "few_filled", "sees": "few", "n_real": 1000}
TAIL_OWN = {"arm": "long_tail_filled", "sees": "long_tail"}
MATCHED = {"arm": "step_matched"}
ADDED, REPEATED = {"arm": "add"} | FIVE, {"arm": "add_repeated"} | FIVE
PUBLISHED = [(M(**REAL), NOISY)], [(M(**REAL), "accuracy_mnist_c_published")]
PINNED = {
    "S5": [
        (
            {(F(**REAL), SYNTHETIC): 0.1, (F(**FIVE), SYNTHETIC): 0.605}
            | {(M(**REAL), SYNTHETIC): 0.8, (M(**FIVE), SYNTHETIC): 0.802},
            change,
            failing,
        )
        for change, failing in (
            ({(F(**FIVE), SYNTHETIC): 0.595}, {0}),
            ({(M(**FIVE), SYNTHETIC): 0.798}, {1}),
        )
    ],
    "S6": differ(-0.02, *pairs(BOTH, FIVE, REAL)),
    "S8": lie(*(((at(**FIVE), "gap_original_synthetic"), -0.03, 0.03) for at in BOTH)),
    "S12": differ(-0.05, *pairs([C], MADE, REAL)),
    "K1": lie(
        *(
            ((at("label_shuffled"), metric), 0.08, 0.12)
            for at in BOTH
            for metric in (ORIGINAL, SYNTHETIC)
        )
    ),
    "K2": lie(*(((at("real_vs_synthetic"), "accuracy_source"), 0.9, None) for at in BOTH)),
    "K3": [*differ(-0.01, PUBLISHED), *differ(-0.01, PUBLISHED[::-1])],
    "K4": lie(*(((at(**REAL), SYNTHETIC), 0.5, None) for at in BOTH)),
    "K5": signed(),
    "K6": differ(0.3, *pairs(BOTH, REAL, REAL | {"scale": "signed"}, SYNTHETIC)),
    "K8": harder(),
    "K9": differ(0.0, *pairs([M], FIVE, MATCHED | FIVE, NOISY)),
    "K10": differ(0.0, *pairs(BOTH, ONE, MATCHED | ONE)),
    "K11": likelier(),
    "K12": differ(0.0, *pairs(BOTH, ADDED, REPEATED), *pairs([M], ADDED, REPEATED, NOISY)),
    "K13": differ(0.0, *pairs(BOTH, FEW_OWN, {"arm": "few_repeated", "n_real": 1000})),
    "K14": differ(
        0.0, *pairs(BOTH, TAIL_OWN, {"arm": "long_tail_repeated"}, "balanced_accuracy_original")
    ),
    "K15": differ(0.0, *pairs(BOTH, transferred("transfer"), transferred("transfer_real"))),
    "K16": short(100),
    "K17": short(6000),
    "CIFAR-10, substitute": substitute(),
    "S11, substitute": gains(),
    "S12, substitute": differ(-0.05, *pairs([U], MADE, REAL)),
    "S13, substitute": differ(0.0, *pairs([U], FIVE, REAL)),
    "S16, substitute": mixes(),
}
CASES = {name: list(cases) for name, cases in PINNED.items()}


def measured_at(numbers):
    """Three classifiers of each point; noise is small beside `STEP`."""
    metrics, noise, results = {}, np.random.default_rng(6), []
    for (at, metric), value in numbers.items():
        metrics.setdefault(at, {})[metric] = value
    for (dataset, settings), means in metrics.items():
        _, common = DATA_SETS[dataset]
        for r in range(3):
            made = trial("classifier", r, {"synthetic": f"{dataset} {r}"}, dataset=dataset,
                         **(common | dict(settings)))  # fmt: skip
            results.append((made, {k: mean + noise.normal(0, 3e-5) for k, mean in means.items()}))
    return results


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
)
def test_each_claim_has_a_direction_and_a_bound(study, seen, name, number):
    """A step within its bounds it holds, a step beyond one of them that test is against it."""
    holding, change, failing = CASES[name][number]
    found = directions(study, name, seen(measured_at(holding), name="holding"))
    assert found == [True] * len(found)
    changed = directions(study, name, seen(measured_at(holding | change), name="failing"))
    assert changed == [index not in failing for index in range(len(found))]


def test_every_claim_s_bounds_are_pinned(study):
    """By cases of its own, or by numbers of the report that are exchanged."""
    pinned = set(CASES) | set(ON_REPORTED) | set(PAIRS)
    assert pinned == {claim.id for claim in study.claims}
    for claim in study.claims:
        failing = {index for *_, against in CASES.get(claim.id, ()) for index in against}
        assert claim.id not in CASES or failing == set(range(len(claim.tests))), claim.id


# ------------------------------------------------------------------ what does not fit
def test_titles_of_pictures_are_not_cut_off(study, seen, figure, tmp_path):
    entry = next(figure for figure in study.figures if figure["id"] == "fig1")
    shown = {"images": np.zeros((10, 32, 32, 3), np.uint8), "labels": np.arange(10)}
    own = {"dataset": "cifar10", "source": "stylegan2_ada_own"}
    made = [(trial("judge", **own), {"examples": shown})]
    made += [(trial("synthetic", **own), {"preview": shown})]
    source = Source(study, {"shipped": [], "yours": [seen(made, shipped=False)]}, tmp_path)
    KINDS["contrast"](figure, entry, source)
    figure.canvas.draw()
    substitute = figure.axes[-1]
    assert substitute.images and "substitute" in substitute.get_title(loc="left")
    for axes in figure.axes:
        box = axes._left_title.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1, axes.get_title(loc="left")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('series = "m_gap"', 'series = "m_gab"', r"S8, test 1 .*Received: 'm_gab'"),
        ('unscored = "ablation', 'note = "ablation', r"\[\[cells\]\] signed_mnist.*'note'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, old, new, message):
    text = PATH.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        load(path)
