"""What a stage that draws synthetic images stores: the set with its card, a preview, its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from replicate.data.synthetic import save_synthetic
from replicate.evaluation.images import high_frequency_energy, to_uint8
from replicate.runs.files import write_arrays
from replicate.runs.study import Outcome


def store_set(
    trial,
    context,
    images: np.ndarray,
    labels: Sequence[int],
    provenance: dict[str, Any],
    preview_rows: Sequence[int] = (),
    metrics: dict[str, float] | None = None,
) -> Outcome:
    """Store a trial's synthetic set for the trials that use it.

    Args:
        trial: the trial; its description, key, seed and specification go into the set's card.
        context: the worker's context.
        images: uint8 `(n, height, width, channels)`, or float32 in [0, 1].
        labels: integers `(n,)`, classes from 0.
        provenance: of the data set behind the generator, see `data_provenance`.
        preview_rows: images that are shown, shipped with the record; none makes no preview.
        metrics: further numbers for the record.

    Returns:
        `n_images` and `high_frequency_energy`; the artifacts `set` and `preview`.

    Raises:
        ValueError: if the arrays are not of this form.
    """
    labels = np.asarray(labels, np.int64)
    folder = context.artifact_dir(trial)
    artifacts = {"set": folder / "set.safetensors"}
    card = {**trial.card, "seed": trial.settings["seed"]}
    save_synthetic(artifacts["set"], images, labels, card)
    rows = list(preview_rows)
    if rows:
        artifacts["preview"] = folder / "preview.npz"
        write_arrays(artifacts["preview"], {"images": images[rows], "labels": labels[rows]})
    measured = {"n_images": len(images), "high_frequency_energy": high_frequency_energy(images)}
    return Outcome({**measured, **(metrics or {})}, artifacts=artifacts, data=provenance)


def draw_bytes(network, noise: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Images of a network that draws them in [-1, 1], as uint8; what lies beyond is clipped.

    Args:
        network: `generate(noise, labels)` gives `(n, height, width, channels)`.
        noise: float32 `(n, latent_dim)`.
        labels: integers `(n,)`, or None for a network that takes none.
    """
    return to_uint8(np.clip((np.asarray(network.generate(noise, labels)) + 1) / 2, 0, 1))


def draw_in_parts(
    trial, context, network, noise: np.ndarray, labels: np.ndarray | None
) -> np.ndarray:
    """A whole set by `draw_bytes`, 500 images at a time, with the trial's progress."""
    parts = []
    for start in range(0, len(noise), 500):
        rows = slice(start, start + 500)
        given = None if labels is None else labels[rows]
        parts.append(draw_bytes(network, noise[rows].astype(np.float32), given))
        context.progress(trial, min(1.0, (start + 500) / len(noise)), "drawing")
    return np.concatenate(parts)
