"""Synthetic sets on disk: one safetensors file with images, labels and a card."""

from __future__ import annotations

import dataclasses
import json
import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from replicate.data import places
from replicate.data.dataset import DataCorrupt, content_hash
from replicate.runs.files import write_atomic

_MEASURED = ("sha256", "shape", "dtype", "value_range", "counts")


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticSet:
    """Generated images with their labels, in the order in which they were drawn.

    Attributes:
        images: `(n, height, width, channels)`, uint8 from 0 to 255 or float32 in [0, 1].
        labels: int64 array `(n,)`.
        card: What the generator's author said of it (spec key, seed, generator), and what was
            measured: sha256, shape, dtype, value_range, counts a class.
    """

    images: np.ndarray
    labels: np.ndarray
    card: dict[str, Any]

    @property
    def sha256(self) -> str:
        """Content hash of images and labels."""
        return self.card["sha256"]


def save_synthetic(
    path: str | os.PathLike, images: np.ndarray, labels: np.ndarray, card: dict[str, Any]
) -> SyntheticSet:
    """Write a synthetic set whole or not at all.

    Args:
        path: File to write, by custom `*.safetensors`.
        images: `(n, height, width, channels)`, uint8, or float32 in [0, 1].
        labels: Integer array `(n,)`, classes from 0.
        card: JSON values that say where the set is from: `spec_key`, `seed`, `generator`, ....

    Returns:
        The set as `load_synthetic` will give it.

    Raises:
        ValueError: if the arrays are not of this form, or the card has a measured key.
    """
    images, labels = np.ascontiguousarray(images), np.asarray(labels)
    _check(images, labels)
    taken = [key for key in _MEASURED if key in card]
    if taken:
        raise ValueError(f"Expected a card without {', '.join(_MEASURED)}. Received: {taken}")
    labels = labels.astype(np.int64)
    card = {**card, **_measure(images, labels)}
    meta = {"card": json.dumps(card, allow_nan=False)}
    tensors = {"images": images, "labels": labels}
    write_atomic(Path(path), lambda name: safetensors.numpy.save_file(tensors, name, metadata=meta))
    return SyntheticSet(images, labels, json.loads(meta["card"]))


def load_synthetic(path: str | os.PathLike, sha256: str | None = None) -> SyntheticSet:
    """Read a synthetic set and verify its content.

    Args:
        path: File written by `save_synthetic`.
        sha256: Content hash that the set must have, e.g. from a record; by default only that of
            its own card.

    Returns:
        The set.

    Raises:
        FileNotFoundError: if there is no such file.
        DataCorrupt: if it is damaged, or its content is not what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a synthetic set. Received: path={str(path)!r}")
    try:
        card = json.loads((places.safetensors_metadata(path) or {})["card"])
        tensors = safetensors.numpy.load_file(path)
        images, labels = tensors["images"], tensors["labels"]
        stated = card["sha256"]
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DataCorrupt(
            f"{path}: expected a synthetic set as save_synthetic writes it. Received: "
            f"{type(error).__name__}: {error}"
        ) from error
    received = content_hash(images, labels)
    for expected in (stated, sha256 or stated):
        if received != expected:
            raise DataCorrupt(f"{path}: expected sha256={expected}. Received: sha256={received}")
    return SyntheticSet(images, labels, card)


def describe(path: str | os.PathLike) -> str:
    """Lines about a synthetic set for people: its arrays, counts a class and card.

    Raises:
        FileNotFoundError: if there is no such file.
        DataCorrupt: if it is damaged.
    """
    card = load_synthetic(path).card
    counts = "  ".join(f"{label}: {count}" for label, count in card["counts"].items())
    low, high = card["value_range"]
    lines = [
        f"{path}",
        f"  images  {tuple(card['shape'])} {card['dtype']}, values {low:g} to {high:g}",
        f"  counts  {counts}",
        f"  sha256  {card['sha256']}",
    ]
    stated = {key: value for key, value in card.items() if key not in _MEASURED}
    stated |= _shown(stated.pop("spec", {}))
    lines += [f"  {key}  {value}" for key, value in stated.items()]
    return "\n".join(lines)


def _shown(spec: dict[str, Any]) -> dict[str, str]:
    """A specification's parts as text: what made the set, its settings, the keys of its inputs."""
    shown = {name: spec[name] for name in ("study", "stage", "replicate") if name in spec}
    settings = (f"{name}={value}" for name, value in spec.get("settings", {}).items())
    inputs = (f"{role} {key[:8]}" for role, key in spec.get("inputs", {}).items())
    for name, parts in (("settings", settings), ("inputs", inputs)):
        text = "\n".join(textwrap.wrap(", ".join(parts), 80, subsequent_indent=" " * 12))
        shown |= {name: text} if text else {}
    return shown


def _check(images: np.ndarray, labels: np.ndarray) -> None:
    if images.ndim != 4 or labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(
            "Expected images (n, height, width, channels) and labels (n,), n > 0. Received: "
            f"images of shape {images.shape}, labels of shape {labels.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(f"Expected integer labels from 0. Received: {labels.dtype} {labels[:5]}")
    if images.dtype == np.uint8:
        return
    low, high = images.min(), images.max()
    if images.dtype != np.float32 or not (0 <= low and high <= 1):  # NaN fails too
        raise ValueError(
            "Expected uint8 images or float32 images in [0, 1]. Received: "
            f"{images.dtype} from {low} to {high}"
        )


def _measure(images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    values, counts = np.unique(labels, return_counts=True)
    return {
        "sha256": content_hash(images, labels),
        "shape": list(images.shape),
        "dtype": str(images.dtype),
        "value_range": [float(images.min()), float(images.max())],
        "counts": {str(value): int(count) for value, count in zip(values, counts, strict=True)},
    }
