"""Data sets in memory: splits, canonical order, content hashes and the errors of loading."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np

SPLITS = ("train", "test")

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]  # split name to (images, labels)


class DataError(RuntimeError):
    """A data set could not be had, or what was found is not the data set."""


class DataUnavailable(DataError):
    """A route, or every route, to a data set failed."""


class DataCorrupt(DataError):
    """A copy of a data set was found, but it is damaged or holds something else."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One split in canonical order. The arrays are read-only.

    Attributes:
        images: uint8 array `(n, height, width, channels)`, 0 to 255.
        labels: int64 array `(n,)`, classes from 0.
        sha256: `content_hash(images, labels)`, 64 hexadecimal digits.
    """

    images: np.ndarray
    labels: np.ndarray
    sha256: str

    def __post_init__(self):
        self.images.setflags(write=False)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set and how it was had.

    Attributes:
        name: Name in the catalogue, or of a data set of one's own.
        train: Training split.
        test: Test split.
        class_names: Name of each class, in the order of the labels.
        route: `"tfds_folder"`, `"package"`, `"tfds_download"`, `"registry"`, `"manual_folder"`,
            `"resized-256"`, `"stand_in"`, or `"arrays"` and `"folder"` of one's own data. Data read
            from the cache keep the route by which they first came.
        deviations: What differs from the pinned data set, one line each; empty if nothing does.
        source: The folder or package that the images came from, for messages.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    route: str
    deviations: tuple[str, ...] = ()
    source: str = ""


def canonical_order(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Index that sorts a split by the SHA-256 of label byte and pixel bytes.

    Routes deliver the same images in different orders; the canonical order depends on the content
    alone. Ties are identical images of the same label.

    Args:
        images: uint8 array `(n, height, width, channels)`.
        labels: Integer array `(n,)`, 0 to 255.

    Returns:
        int64 array `(n,)`.

    Raises:
        ValueError: if a label does not fit a byte or the lengths differ.
    """
    if len(images) != len(labels):
        raise ValueError(
            f"Expected one label an image. Received: {len(images)} images, {len(labels)} labels"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() <= 255:
        raise ValueError(
            f"Expected labels from 0 to 255. Received: {labels.min()} to {labels.max()}"
        )
    digests = [
        hashlib.sha256(bytes([label]) + image.tobytes()).digest()
        for label, image in zip(labels.tolist(), images, strict=True)
    ]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), dtype=np.int64)


def content_hash(images: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of a split in the order given: shapes and types, then labels, then pixels.

    Args:
        images: Array `(n, height, width, channels)`.
        labels: Array `(n,)`.

    Returns:
        64 hexadecimal digits, the same on every platform.
    """
    digest = hashlib.sha256()
    for array in (labels, images):
        header = json.dumps([array.dtype.newbyteorder("<").str, list(array.shape)])
        digest.update(header.encode() + b"\n")
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(np.ascontiguousarray(little).data)
    return digest.hexdigest()


def canonical_split(images: np.ndarray, labels: np.ndarray) -> Split:
    """The split in canonical order, with its content hash.

    Args:
        images: uint8 array `(n, height, width, channels)` in any order.
        labels: Integer array `(n,)`.

    Returns:
        A `Split` that shares no memory with the arguments.
    """
    order = canonical_order(images, labels)
    images, labels = images[order], labels[order].astype(np.int64)
    return Split(images, labels, content_hash(images, labels))
