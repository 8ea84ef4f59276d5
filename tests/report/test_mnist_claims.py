"""Each claim of mnist_dbm and mnist_cvae has a direction and a bound: records of known numbers."""

import dataclasses

import numpy as np
import pytest
from report_stores import only, trials_of

from replicate.report.claims import judge_view

STUDY = "mnist_dbm"
RUNS = 10
NOISE = np.random.default_rng(3).normal(0, 1, (12, RUNS))
NOISE = (NOISE - NOISE.mean(1, keepdims=True)) / NOISE.std(1, ddof=1, keepdims=True)
SD = 5e-4  # of a point's runs, where the case does not say another one
trial = trials_of(STUDY, dataset="mnist")


def points(stage, metric="test_accuracy", **settings):
    """One arm: its stage, what is read of it, and its settings."""
    return stage, metric, settings


MADE = {"source": "dcgan", "leak": False, "noise": "gaussian"}
CUBIC, RATE = {"kernel": "poly3"}, {"optimizer": "adadelta"}
DBM = {"source": "dbm"}
ARMS = {
    "svm real": points("svm", arm="real", n=100, **CUBIC),
    "svm made": points("svm", arm="generated", n=100, **CUBIC, **MADE),
    "svm real 1000": points("svm", arm="real", n=1000, **CUBIC),
    "svm made 1000": points("svm", arm="generated", n=1000, **CUBIC, **MADE),
    "svm real auto": points("svm", arm="real", n=100, kernel="rbf_auto"),
    "svm made auto": points("svm", arm="generated", n=100, kernel="rbf_auto", **MADE),
    "svm real scale": points("svm", arm="real", n=100, kernel="rbf_scale"),
    "svm made scale": points("svm", arm="generated", n=100, kernel="rbf_scale", **MADE),
    "svm matched": points("svm", arm="blurred_matched", n=100, **CUBIC, **MADE),
    "svm blurred": points("svm", arm="blurred", n=100, **CUBIC),
    "svm shuffled": points("svm", arm="label_shuffled", n=100, **CUBIC, **MADE),
    "svm leak": points("svm", arm="generated", n=100, **CUBIC, **(MADE | {"leak": True})),
    "svm dbm": points("svm", arm="generated", n=100, **CUBIC, **DBM),
    "cnn real": points("cnn", arm="real", n=100, **RATE),
    "cnn made": points("cnn", arm="generated", n=100, **RATE, **MADE),
    "cnn real adam": points("cnn", arm="real", n=100, optimizer="adam"),
    "cnn made adam": points("cnn", arm="generated", n=100, optimizer="adam", **MADE),
    "cnn mixed": points("cnn", arm="mixed", n=100, **RATE, **MADE),
    "cnn repeated": points("cnn", arm="seed_repeated", n=100, **RATE),
    "cnn shuffled": points("cnn", arm="label_shuffled", n=100, **RATE, **MADE),
    "cnn leak": points("cnn", arm="generated", n=100, **RATE, **(MADE | {"leak": True})),
    "cnn dbm": points("cnn", arm="generated", n=100, **RATE, **DBM),
    "energy made": points("synthetic", "high_frequency_energy", **MADE),
    "energy real": points("synthetic", "high_frequency_energy_real", **MADE),
    "ratio": points("synthetic", "high_frequency_ratio", **MADE),
    "ratio dbm": points("dbm_samples", "high_frequency_ratio", **DBM, klass="all"),
    "ratio cifar": points(
        "dbm_samples", "high_frequency_ratio", **DBM, klass="all", dataset="cifar10"
    ),
    "correlations": points(
        "evaluation", "pixel_correlation_agreement", extractor="pixels", **MADE
    ),
    "nearest": points("evaluation", "nearest_median", extractor="pixels", **MADE),
    "nearest held out": points("evaluation", "nearest_median_heldout", extractor="pixels", **MADE),
    "copies": points("evaluation", "copy_share", extractor="pixels", **MADE),
    "agreement": points("evaluation", "label_agreement", extractor="classifier", **MADE),
}  # fmt: skip


def results(arms):
    """Runs of arms: name -> mean, or mean and SD. Numbers of one trial share its record."""
    found = {}
    for i, (name, level) in enumerate(arms.items()):
        stage, metric, settings = ARMS[name]
        mean, sd = level if isinstance(level, tuple) else (level, SD)
        for r in range(RUNS):
            made = trial(stage, r, **settings)
            found.setdefault(made.key, (made, {}))[1][metric] = float(mean + sd * NOISE[i][r])
    return list(found.values())


# Real and generated images, by SVM and CNN, in the order that L7 and L11 need.
SPREADS = {
    "L7": {"svm real": 0.05, "svm made": 0.02, "cnn real": 0.05, "cnn made": 0.02},
    "L11": {"cnn real": 0.05, "svm real": 0.02, "cnn made": 0.05, "svm made": 0.02},
}
L7, L11 = ({name: (0.6, sd) for name, sd in arms.items()} for arms in SPREADS.values())
FUZZY = {"energy made": 0.02, "energy real": 0.03, "svm matched": 0.7, "svm real": 0.69}
BOLTZMANN = {"ratio dbm": 0.5, "ratio": 0.9}
FAR = {"nearest": 4.5, "nearest held out": 4.3, "copies": 0.018}
CHANCE = {"svm shuffled": 0.128, "cnn shuffled": 0.072}
RADIAL = {"svm made auto": 0.8, "svm real auto": 0.7, "svm made scale": 0.8, "svm real scale": 0.7}
LEAKS = {"svm leak": 0.8, "svm made": 0.7, "cnn leak": 0.8, "cnn made": 0.7}
MACHINES = {"svm made": 0.8, "svm dbm": 0.7, "cnn made": 0.8, "cnn dbm": 0.7}


@pytest.mark.parametrize(
    "name, holding, failing",
    [
        ("L1", {"cnn made": 0.6, "cnn real": 0.641}, {"cnn made": 0.595}),
        ("L1", {"cnn made": 0.641, "cnn real": 0.6}, {"cnn made": 0.646}),
        ("L2", {"svm made": 0.66, "svm real": 0.65}, {"svm made": 0.64}),
        ("L3", {"svm made 1000": 0.882, "svm real 1000": 0.9}, {"svm made 1000": 0.878}),
        ("L3", {"svm made 1000": 0.918, "svm real 1000": 0.9}, {"svm made 1000": 0.922}),
        *(("L7", L7, {name: (0.6, 0.005)}) for name in ("svm real", "cnn real")),
        ("L8", FUZZY, {"energy made": 0.04}),
        ("L8", FUZZY, {"svm matched": 0.68}),
        ("L9", BOLTZMANN | {"ratio": 1.2}, {"ratio dbm": 1.1}),
        ("L9", BOLTZMANN, {"ratio": 0.4}),
        ("L9b", {"ratio dbm": 0.5, "ratio cifar": 0.3}, {"ratio cifar": 0.6}),
        ("L10", {"correlations": 0.905}, {"correlations": 0.895}),
        *(("L11", L11, {name: (0.6, 0.005)}) for name in ("cnn real", "cnn made")),
        ("L12", FAR, {"nearest": 4.2}),
        ("L12", FAR, {"copies": 0.022}),
        ("K1", CHANCE, {"svm shuffled": 0.132}),
        ("K1", CHANCE, {"cnn shuffled": 0.068}),
        ("K2", {"cnn mixed": 0.7, "cnn repeated": 0.6}, {"cnn mixed": 0.5}),
        ("K3", RADIAL, {"svm made auto": 0.6}),
        ("K3", RADIAL, {"svm made scale": 0.6}),
        ("K4", {"cnn made adam": 0.6, "cnn real adam": 0.641}, {"cnn made adam": 0.595}),
        ("K4", {"cnn made adam": 0.641, "cnn real adam": 0.6}, {"cnn made adam": 0.646}),
        ("K5", {"agreement": 0.905}, {"agreement": 0.895}),
        ("K6", {"svm blurred": 0.7, "svm real": 0.69}, {"svm blurred": 0.68}),
        ("K7", LEAKS, {"svm leak": 0.6}),
        ("K7", LEAKS, {"cnn leak": 0.6}),
        ("K8", MACHINES, {"svm dbm": 0.9}),
        ("K8", MACHINES, {"cnn dbm": 0.9}),
    ],
)
def test_each_claim_of_mnist_dbm_has_a_direction_and_a_bound(seen, study, name, holding, failing):
    """It is supported, and contradicted as soon as one arm is another."""

    def verdict(arms, label):
        return judge_view(only(study, name), seen(results(arms), label))[name].verdict

    assert verdict(holding, "paper") == "supported"
    assert verdict(holding | failing, "other") == "contradicted"


# ------------------------------------------------------------------ curves
# Ten points out of order. Rank correlation: 1 - (sum of squared shifts) / 165.
TREND_8 = [4, 1, 2, 3, 0, 5, 6, 7, 8, 9]  # 32: 0.806
NO_TREND_8 = [4, 1, 2, 3, 0, 5, 6, 7, 9, 8]  # 34: 0.794
TREND_9 = [2, 1, 0, 3, 4, 7, 6, 5, 8, 9]  # 16: 0.903
NO_TREND_9 = [2, 1, 0, 3, 4, 7, 6, 5, 9, 8]  # 18: 0.891
TREND_5 = [6, 3, 2, 1, 5, 4, 0, 7, 8, 9]  # 82: 0.503
NO_TREND_5 = [6, 3, 2, 1, 5, 4, 0, 8, 7, 9]  # 84: 0.491


def curve(arm, levels, noise=0):
    """Runs of an arm of experiment 2 on 10, 20, ... images."""
    more = {} if arm == "real" else MADE
    return [
        (
            trial("cnn", r, arm=arm, n=10 * (i + 1), **RATE, **more),
            {"test_accuracy": float(level + SD * NOISE[noise][r])},
        )
        for i, level in enumerate(levels)
        for r in range(RUNS)
    ]


@pytest.mark.parametrize("name, arm", [("L4", "real"), ("L5", "mixed")])
def test_more_images_help_by_a_rank_correlation_above_0_8(seen, study, name, arm):
    for order, verdict in ((TREND_8, "supported"), (NO_TREND_8, "contradicted")):
        view = seen(curve(arm, 0.3 + 0.03 * np.array(order)), verdict)
        assert judge_view(only(study, name), view)[name].verdict == verdict


@pytest.mark.parametrize("at", [0, 9])
@pytest.mark.parametrize("sign", [-1, 1])
def test_curves_are_alike_if_every_point_lies_within_0_08(seen, study, sign, at):
    real = np.linspace(0.3, 0.6, 10)
    for distance, verdict in ((0.078, "supported"), (0.082, "contradicted")):
        mixed = real.copy()
        mixed[at] += sign * distance
        view = seen(curve("real", real) + curve("mixed", mixed, noise=1), verdict)
        assert judge_view(only(study, "L6"), view)["L6"].verdict == verdict


def test_a_mix_of_ten_real_images_rests_on_no_generator(seen, study):
    """Its trials have a generated set as input, of which they use no image."""
    drawn = [
        (
            trial("cnn", r, {"synthetic": f"set {r % 2}"}, arm="mixed", n=n, **RATE, **MADE),
            {"test_accuracy": 0.5 + NOISE[0][r] / 100},
        )
        for n in (10, 20)
        for r in range(RUNS)
    ]
    view, series = seen(drawn), study.series["cnn_mixed"]
    assert set(view.sample(series.at(10)).groups.values()) == {""}
    assert set(view.sample(series.at(20)).groups.values()) == {"set 0", "set 1"}


# ------------------------------------------------------------------ mnist_cvae
SHARES = np.round(np.arange(0.05, 1.01, 0.05), 2)


def sweep(lay, arm, levels, noise=0):
    """Runs of an arm of mnist_cvae at as many shares as there are levels, the last at 1."""
    places = zip(SHARES[-len(levels) :], levels, strict=True)
    return [r for p, x in places for r in lay.accuracy(x + SD * NOISE[noise], arm, float(p))]


def around(level, order, step=0.002):
    return level + step * np.array(order)


GAPS = np.full(20, 0.01)
FEW = np.append(np.linspace(-0.003, -0.001, 18), [0.05, 0.06])  # a gain, but at two points alone
ENDS = {"synthetic": [0.9], "real": [0.98]}


@pytest.mark.parametrize(
    "name, holding, failing",
    [
        ("C3", {"real": around(0.9, TREND_9)}, {"real": around(0.9, NO_TREND_9)}),
        ("C4", {"synthetic": around(0.9, TREND_9)}, {"synthetic": around(0.9, NO_TREND_9)}),
        ("C5", {"mix": around(0.9, TREND_9)}, {"mix": around(0.9, NO_TREND_9)}),
        ("C6", {"mix": [0.896, 0.95, 0.95], **ENDS}, {"mix": [0.894, 0.95, 0.95]}),
        ("C6", {"mix": [0.95, 0.95, 0.984], **ENDS}, {"mix": [0.95, 0.95, 0.986]}),
        *(
            (name, {arm: around(0.9, TREND_5), "real": [0.89]}, failing)
            for name, arm in (("C7", "add_synthetic"), ("C8", "add_real"))
            for failing in (
                {arm: around(0.9, NO_TREND_5)},
                {"real": [0.93]},
                {arm: 0.89 + FEW},
            )
        ),
        (
            "C9",
            {"add_real": 0.9 + GAPS, "add_synthetic": 0.9 + 0 * GAPS},
            {"add_synthetic": 0.9 + 2 * GAPS},
        ),
        (
            "C9",
            {"add_real": 0.9 + GAPS, "add_synthetic": 0.9 + 0 * GAPS},
            {"add_real": 0.9 + FEW},
        ),
    ],
)
def test_each_claim_of_mnist_cvae_has_a_direction_and_a_bound(
    view, lay, config, name, holding, failing
):
    """Networks rest on no common generator here, so that ten runs are ten observations."""

    def verdict(arms, label):
        made = [
            (dataclasses.replace(network, inputs={}), metrics)
            for i, (arm, levels) in enumerate(arms.items())
            for network, metrics in sweep(lay, arm, levels, i)
        ]
        return judge_view(only(config, name), view(made, label))[name].verdict

    assert verdict(holding, "paper") == "supported"
    assert verdict(holding | failing, "other") == "contradicted"
