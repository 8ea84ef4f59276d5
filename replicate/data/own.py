"""Data sets of one's own: from arrays, or from folders of images."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from replicate.data.catalogue import CATALOGUE
from replicate.data.dataset import SPLITS, DataCorrupt, Dataset, DataUnavailable, canonical_split
from replicate.data.image_files import read_rgb

Pair = tuple[np.ndarray, np.ndarray]


def from_arrays(
    name: str,
    train: Pair,
    test: Pair,
    class_names: Sequence[str],
    *,
    sha256: Mapping[str, str] | None = None,
) -> Dataset:
    """A data set of images that are in memory, copied and put into canonical order.

    Args:
        name: its name in trials and records, none of the catalogue's.
        train: uint8 images `(n, height, width, channels)`, 0 to 255, and integer labels `(n,)`.
        test: the same, of as many pixels and channels.
        class_names: name of each class, in the order of the labels, at most 256.
        sha256: content hash that a split must have, by split, as an earlier `Split.sha256` told;
            None accepts any content.

    Returns:
        A `Dataset` of route `"arrays"`.

    Raises:
        ValueError: if the arrays are not of this form; the message names the split.
        DataCorrupt: if a split has another content than `sha256` says.
    """
    names = tuple(class_names)
    if name in CATALOGUE:
        raise ValueError(f"Expected a name that the catalogue does not have. Received: {name!r}")
    if not 0 < len(names) <= 256 or len(set(names)) < len(names):
        raise ValueError(f"Expected 1 to 256 distinct class names. Received: {names}")
    pairs = {"train": _pair(train), "test": _pair(test)}
    for split, (images, labels) in pairs.items():
        _check(f"{name}, split {split}", images, labels, names)
    shapes = {split: images.shape[1:] for split, (images, _) in pairs.items()}
    if shapes["train"] != shapes["test"]:
        raise ValueError(f"{name}: Expected splits of one image shape. Received: {shapes}")
    splits = {split: canonical_split(*pair) for split, pair in pairs.items()}
    for split, expected in (sha256 or {}).items():
        if splits[split].sha256 != expected:
            received = f"{len(splits[split])} images, sha256={splits[split].sha256}"
            raise DataCorrupt(
                f"{name}, split {split}: Expected content sha256={expected}. Received: {received}"
            )
    return Dataset(name, **splits, class_names=names, route="arrays", source="arrays")


def from_folder(
    name: str,
    folder: str | os.PathLike,
    size: int,
    channels: int = 3,
    *,
    sha256: Mapping[str, str] | None = None,
) -> Dataset:
    """A data set of image files in `<folder>/train/<class>/` and `<folder>/test/<class>/`.

    Every file is read as RGB and resized to a square, see `replicate.data.image_files.read_rgb`,
    then made grey if that is asked for; hidden files are left out. Classes are numbered in the
    order of their folders' names.

    Args:
        name: as of `from_arrays`.
        folder: the folder that holds `train` and `test`.
        size: side of the images in pixels.
        channels: 3, or 1 for grey.
        sha256: as of `from_arrays`.

    Returns:
        A `Dataset` of route `"folder"`, images uint8 `(n, size, size, channels)`.

    Raises:
        ValueError: if `size` or `channels` is not as above, or as `from_arrays`.
        DataUnavailable: if there is no such folder, or a class has no image in a split.
        DataCorrupt: if a file cannot be decoded, naming it, or as `from_arrays`.
    """
    if folder is None:  # as a loader gets it
        raise DataUnavailable(f"Expected the folder of {name}, as by --data_dir. Received: None")
    folder = Path(folder)
    if size < 1 or channels not in (1, 3):
        raise ValueError(
            "Expected size of at least 1 pixel and channels 1 or 3. Received: "
            f"size={size}, channels={channels}"
        )
    classes = sorted({path.name for split in SPLITS for path in _visible(folder / split)})
    pairs = {split: _read_classes(folder / split, classes, size) for split in SPLITS}
    if channels == 1:
        pairs = {split: (_grey(images), labels) for split, (images, labels) in pairs.items()}
    made = from_arrays(name, **pairs, class_names=classes, sha256=sha256)
    return dataclasses.replace(made, route="folder", source=str(folder))


def _pair(pair: Pair) -> Pair:
    images, labels = pair
    return np.asarray(images), np.asarray(labels)


def _check(where: str, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise ValueError(
            f"{where}: Expected uint8 images (n, height, width, channels), n > 0. Received: "
            f"{images.dtype} {images.shape}"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{where}: Expected {len(images)} integer labels. Received: "
            f"{labels.dtype} {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise ValueError(
            f"{where}: Expected labels from 0 to {len(names) - 1}, one a class name. Received: "
            f"{labels.min()} to {labels.max()}"
        )


def _grey(images: np.ndarray) -> np.ndarray:
    """Pillow's luma of RGB images: uint8 `(n, height, width, 1)`."""
    grey = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
    return np.stack(grey)[..., None]


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataUnavailable(
            f"Expected folders train/<class> and test/<class>. Received: no folder {folder}"
        )
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read_classes(folder: Path, classes: Sequence[str], size: int) -> Pair:
    images, labels = [], []
    for label, name in enumerate(classes):
        files = _visible(folder / name)
        if not files:
            raise DataUnavailable(f"Expected at least 1 image in {folder / name}. Received: 0")
        images += [read_rgb(path, size) for path in files]
        labels += [label] * len(files)
    if not images:
        raise DataUnavailable(f"Expected class folders in {folder}. Received: none")
    return np.stack(images), np.array(labels)
