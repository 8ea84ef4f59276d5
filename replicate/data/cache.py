"""The cache of canonical arrays: one safetensors file a data set and route.

A file is written whole or not at all, guarded against a second writer, and verified by content
hash each time it is read. A cache that cannot be written costs time, never a run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock
import numpy as np
import safetensors
import safetensors.numpy
from absl import logging

from replicate.data import places
from replicate.data.catalogue import Entry
from replicate.data.dataset import SPLITS, Dataset, DataUnavailable, Split, content_hash
from replicate.runs.files import write_atomic

LOCK_SECONDS = 3600  # longer than any bounded download
_PARTIAL = ".partial-"


def read(entry: Entry, route: str, origin: str | None = None) -> Dataset | None:
    """Read a data set from the cache.

    Args:
        entry: The data set.
        route: Route by which it first came.
        origin: What it must have been made from, e.g. the fingerprint of a folder; a file made
            from something else is passed over. By default any will do.

    Returns:
        The data set, or None if it is not cached. A damaged file is deleted.
    """
    path = places.cache_file(entry, route)
    if not path.is_file():
        return None
    meta = places.safetensors_metadata(path)
    if meta and origin is not None and meta.get("origin") != origin:
        return None
    try:
        return _verified(entry, path, meta or {})
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as error:
        logging.warning("%s: damaged cache file is deleted and made again: %s", path, error)
        with contextlib.suppress(OSError):
            path.unlink()
    return None


def _verified(entry: Entry, path: Path, meta: dict[str, str]) -> Dataset:
    deviations = tuple(json.loads(meta["deviations"]))
    tensors = safetensors.numpy.load_file(path)
    splits = {}
    for split in SPLITS:
        images, labels = tensors[f"{split}_images"], tensors[f"{split}_labels"]
        expected = json.loads(meta["sha256"])[split]
        if not deviations and expected != entry.sha256[split]:
            raise ValueError(f"made for sha256={expected}, now expected {entry.sha256[split]}")
        received = content_hash(images, labels)
        if received != expected:
            raise ValueError(f"{split}: expected sha256={expected}. Received: sha256={received}")
        splits[split] = Split(images, labels, received)
    return Dataset(
        entry.name,
        **splits,
        class_names=entry.class_names,
        route=meta["route"],
        deviations=deviations,
        source=meta["source"],
    )


def write(entry: Entry, dataset: Dataset, origin: str) -> None:
    """Write a data set to the cache; if that fails, warn and go on."""
    path = places.cache_file(entry, dataset.route)
    tensors = {}
    for split in SPLITS:
        part: Split = getattr(dataset, split)
        tensors[f"{split}_images"] = np.ascontiguousarray(part.images)
        tensors[f"{split}_labels"] = np.ascontiguousarray(part.labels)
    meta = {
        "route": dataset.route,
        "source": dataset.source,
        "origin": origin,
        "deviations": json.dumps(dataset.deviations),
        "sha256": json.dumps({split: getattr(dataset, split).sha256 for split in SPLITS}),
    }
    try:
        write_atomic(path, lambda name: safetensors.numpy.save_file(tensors, name, metadata=meta))
    except (OSError, safetensors.SafetensorError) as error:
        _warn_uncached(entry.name, places.cache_root(), str(error))


@contextlib.contextmanager
def writer_lock(entry: Entry) -> Iterator[bool]:
    """Hold the right to write a data set's cache files, waiting for another process if need be.

    What a killed process left half-written is removed.

    Yields:
        False if the cache cannot be written, in which case there was one warning.

    Raises:
        DataUnavailable: if another process held the lock for an hour.
    """
    folder = places.cache_root() / entry.name
    lock = filelock.FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lock, entry)
    except filelock.Timeout as error:
        raise DataUnavailable(f"another process held {lock.lock_file} for an hour") from error
    except (OSError, NotImplementedError) as error:
        _warn_uncached(entry.name, places.cache_root(), str(error))
        yield False
        return
    try:
        for leftover in folder.glob(f"{_PARTIAL}*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        yield True
    finally:
        lock.release()


def _acquire(lock: filelock.FileLock, entry: Entry) -> None:
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        logging.warning("%s: waiting for another process that is fetching it", entry.name)
        lock.acquire(timeout=LOCK_SECONDS)


@contextlib.contextmanager
def workspace(entry: Entry) -> Iterator[Path]:
    """A folder for a download, inside the cache if that can be written; removed afterwards."""
    try:
        parent = places.cache_root() / entry.name
        parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=parent, prefix=_PARTIAL)
    except OSError:
        folder = tempfile.TemporaryDirectory(prefix="replicate-")
    with folder as name:
        yield Path(name)


@functools.cache  # once for each reason
def _warn_uncached(name: str, root: Path, reason: str) -> None:
    warnings.warn(
        f"{name} is not cached in {root}: {reason}. Every load repeats the "
        "slow route; set REPLICATE_CACHE to a folder that can be written.",
        stacklevel=3,
    )
