"""Trials that compare stored synthetic sets with real images, in the features of an extractor."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from replicate.data.synthetic import SyntheticSet, load_synthetic
from replicate.evaluation.image_sets import compare_image_sets
from replicate.runs.files import write_arrays
from replicate.runs.study import Outcome, data_provenance


def evaluate_sets(
    trials,
    context,
    *,
    features_of: Callable,
    real_of: Callable,
    drawn_of: Callable[[SyntheticSet], np.ndarray] = lambda drawn: drawn.images,
    shown: int = 10,
) -> Iterator[tuple[object, Outcome]]:
    """Distances, precision and recall, diversity, and copies of training images, set by set.

    Args:
        trials: the input `synthetic` is the set. `dataset`, `extractor` and, if there are sets of
            single classes, `klass` are settings; trials that agree in them and in the input `judge`
            share the extractor and the real images' features.
        context: the worker's context.
        features_of: trial -> function from uint8 images to `(n, d)` features.
        real_of: trial -> uint8 images that its generator learned from, and held-out ones.
        drawn_of: the images of a set that are compared; all by default.
        shown: images kept with their nearest training image: those that are closest to one.

    Yields:
        Each trial with the metrics of `compare_image_sets` and the artifact `neighbours`
        (`synthetic`, `real` uint8 images, `distance`).
    """
    extractors, real = {}, {}
    for trial in trials:
        settings = trial.settings
        key = settings["dataset"], settings["extractor"], trial.inputs.get("judge")
        if key not in extractors:
            extractors[key] = features_of(trial)
        features = extractors[key]
        name = *key, settings.get("klass")
        if name not in real:  # one at a time: features of a whole set are large
            train, held_out = real_of(trial)
            real = {name: (train, features(train), features(held_out))}
        train, *known = real[name]
        images = drawn_of(load_synthetic(context.input_path(trial, "synthetic", "set")))
        result = compare_image_sets(*known, features(images), seed=settings["seed"])
        rows = np.argsort(result.distances, kind="stable")[:shown]
        pairs = {
            "synthetic": images[rows],
            "real": train[result.nearest[rows]],
            "distance": result.distances[rows],
        }
        path = context.artifact_dir(trial) / "neighbours.npz"
        write_arrays(path, pairs)
        provenance = data_provenance(context.dataset(settings["dataset"]))
        yield trial, Outcome(result.metrics, {}, {"neighbours": path}, provenance)
