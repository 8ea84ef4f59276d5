"""What is recorded of a judge: the classifier of real images whose features other stages use."""

from __future__ import annotations

import numpy as np

from replicate.models.summary import layer_rows
from replicate.runs.files import write_arrays, write_json
from replicate.runs.study import Outcome
from replicate.training.classifiers import ClassifierJob, lane_outcome
from replicate.training.lanes import LaneResult


def judge_outcome(
    trial,
    spec: ClassifierJob,
    result: LaneResult,
    context,
    data,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    picture: str = "examples",
    network: str = "classifier",
) -> Outcome:
    """The record of a judge, with its weights, its layers and some real images.

    Args:
        trial: the trial.
        spec: how it was trained; with `keep`.
        result: what came of that.
        context: the worker's context.
        data: the real data set.
        images: uint8 `(n, height, width, channels)`, real images to show.
        labels: integers `(n,)`, their classes.
        picture: name of the artifact of those images.
        network: name of the network in the artifact `summary`.

    Returns:
        That of `lane_outcome`, with the artifacts `summary` and the picture.
    """
    outcome = lane_outcome(trial, spec, result, context, data)
    folder = context.artifact_dir(trial)
    paths = {"summary": folder / "summary.json", picture: folder / "examples.npz"}
    write_json(paths["summary"], {network: layer_rows(spec.build())})
    write_arrays(paths[picture], {"images": images, "labels": labels})
    outcome.artifacts |= paths
    return outcome
