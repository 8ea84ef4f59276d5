"""Stored sets against the real images of their own class, through an evaluation's one loop."""

import dataclasses

import numpy as np

from replicate.data.catalogue import CATALOGUE
from replicate.data.stand_in import draw_stand_in
from replicate.data.synthetic import save_synthetic
from replicate.evaluation.image_sets import compare_image_sets
from replicate.runs.context import Context
from replicate.runs.store import Store
from replicate.runs.trial import Trial
from replicate.stages.evaluations import evaluate_sets

CLASSES = {"cat": 3, "dog": 5}


@dataclasses.dataclass
class Sets(Context):
    """A context whose stored sets are files of a folder, named by class and judge."""

    def input_path(self, trial, role, artifact):
        assert (role, artifact) == ("synthetic", "set")
        return self.store.root / f"{trial.inputs['synthetic']}.safetensors"


def pixels(images):
    """Features `(n, 48)`: means of patches."""
    means = images.reshape(len(images), 4, 8, 4, 8, 3).mean(axis=(2, 4), dtype=np.float64)
    return means.reshape(len(images), -1)


def trial_of(klass, judge):
    settings = {"dataset": "cifar10", "extractor": "patches", "klass": klass, "seed": 3}
    return Trial("toy", "evaluation", 1, settings, 0, {"synthetic": klass, "judge": judge})


def test_sets_are_compared_with_their_own_class_in_the_features_of_their_judge(tmp_path):
    """Classes by turns under two judges, so that no kept features serve another trial."""
    data = draw_stand_in(CATALOGUE["cifar10"])
    context = Sets(Store(tmp_path))
    context._datasets["cifar10"] = data
    real, drawn, rng = {}, {}, np.random.default_rng(0)
    for klass, label in CLASSES.items():
        images = data.train.images[data.train.labels == label]
        real[klass] = images[:60], images[60:90]
        noise = rng.integers(-20, 20, (80, 32, 32, 3))
        drawn[klass] = np.clip(images[:80] + noise, 0, 255).astype(np.uint8)
        save_synthetic(tmp_path / f"{klass}.safetensors", drawn[klass], [label] * 80, {})
    scales = {"first": 1.0, "second": 5.0}
    trials = [trial_of(klass, judge) for judge in scales for klass in ("cat", "dog", "cat")]
    asked = []

    def features_of(trial):
        asked.append(trial.inputs["judge"])
        return lambda images: scales[trial.inputs["judge"]] * pixels(images)

    found = evaluate_sets(
        trials,
        context,
        features_of=features_of,
        real_of=lambda t: real[t.settings["klass"]],
        shown=4,
    )
    for trial, (done, outcome) in zip(trials, found, strict=True):
        assert done is trial
        klass, scale = trial.settings["klass"], scales[trial.inputs["judge"]]
        sides = [scale * pixels(images) for images in (*real[klass], drawn[klass])]
        expected = compare_image_sets(*sides, seed=3)
        assert outcome.metrics == expected.metrics
        with np.load(outcome.artifacts["neighbours"]) as pairs:
            nearest = np.argsort(expected.distances, kind="stable")[:4]
            np.testing.assert_array_equal(pairs["synthetic"], drawn[klass][nearest])
            own = real[klass][0][expected.nearest[nearest]]
            np.testing.assert_array_equal(pairs["real"], own)
            np.testing.assert_array_equal(pairs["distance"], expected.distances[nearest])
    assert asked == ["first", "second"]  # one network a judge
