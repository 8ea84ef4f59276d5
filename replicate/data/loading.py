"""Loading a data set: its routes in order, verification, canonical order."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import logging

from replicate.data import cache, places
from replicate.data.catalogue import FOLDER_ROUTES, LOCAL_ROUTES, Entry, lookup
from replicate.data.dataset import (
    SPLITS,
    Arrays,
    DataCorrupt,
    Dataset,
    DataUnavailable,
    Split,
    canonical_split,
)
from replicate.data.fids30 import files as fids30_files
from replicate.data.fids30 import folder as fids30_folder
from replicate.data.package import read_packaged
from replicate.data.registry import read_registry
from replicate.data.stand_in import draw_stand_in
from replicate.data.tfds_routes import download_prepared, read_prepared


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where a route finds a data set.

    Attributes:
        label: Folder, file or package, for people.
        read: Returns the arrays in the source's own order.
        origin: What a cache file must have been made from to be used; None if there is no cache.
        remote: Whether `read` goes to the network.
        strict: Whether content other than the pinned is refused, not only recorded.
        deviations: What is known to differ once `read` is done, one line each.
    """

    label: str
    read: Callable[[], Arrays]
    origin: str | None = None
    remote: bool = False
    strict: bool = True
    deviations: list[str] = dataclasses.field(default_factory=list)


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    routes: Sequence[str] | None = None,
    stand_in: bool = False,
) -> Dataset:
    """Load a data set by the first route that has it, verified and in canonical order.

    What came by a slow route is cached under `REPLICATE_CACHE`, else `~/.cache/replicate`.

    Args:
        name: `"mnist"`, `"fashion_mnist"`, `"cifar10"` or `"fids30"`, whose test split is the
            study's validation part.
        data_dir: Folder of prepared TFDS data. If it is given, the data set must be in it; else
            `TFDS_DATA_DIR` and then `~/tensorflow_datasets` are looked at. The photographs of
            fids30 are looked for in it and beside it, unless `REPLICATE_FIDS30_DIR` names their
            folder; they are not cached.
        routes: Routes to try, in this order; by default `"tfds_folder"`, `"package"`,
            `"tfds_download"`, `"registry"`; for fids30 `"manual_folder"`, `"resized-256"`,
            `"tfds_folder"`, `"tfds_download"`.
        stand_in: Whether a small drawn data set of the same shape may take the place of one that
            is absent. Then nothing is downloaded unless `routes` asks for it.

    Returns:
        A `Dataset` with read-only uint8 images `(n, height, width, channels)`, 0 to 255, and
        int64 labels `(n,)`.

    Raises:
        ValueError: if the name or a route is unknown, or `data_dir` is given without the route
            that uses it.
        DataUnavailable: if no route has it; the message lists each route and why it failed.
        DataCorrupt: if a copy was found that is damaged or is not this data set.
    """
    entry = lookup(name)
    chosen = _checked_routes(entry, routes, data_dir)
    offline = stand_in and routes is None
    failures = {}
    for route in chosen:
        try:
            source = _SOURCES[route](entry, data_dir)
            cached = _any_cached(entry, chosen) if source.remote else None
            if offline and source.remote and not cached:
                raise DataUnavailable("not tried: a stand-in was allowed, so nothing is downloaded")
            return _announced(cached or _by_source(entry, route, source))
        except DataUnavailable as error:
            failures[route] = str(error)
    if stand_in:
        return _announced(draw_stand_in(entry))
    raise DataUnavailable(_all_failed(entry, failures))


def _checked_routes(entry: Entry, routes, data_dir) -> tuple[str, ...]:
    chosen = tuple(entry.routes if routes is None else routes)
    unknown = [route for route in chosen if route not in entry.routes]
    if unknown or not chosen:
        raise ValueError(
            f"Expected routes among {', '.join(entry.routes)}. Received: routes={routes!r}"
        )
    if data_dir is None:
        return chosen
    local = [route for route in entry.routes if route in LOCAL_ROUTES]
    if not set(local) & set(chosen):
        raise ValueError(
            f"Expected data_dir only with route {' or '.join(local)}. Received: "
            f"data_dir={str(data_dir)!r}, routes={routes!r}"
        )
    if not _in_data_dir(entry, data_dir):
        raise DataUnavailable(
            f"{entry.name}: expected {_wanted(entry)} in the given data_dir. Received: "
            f"data_dir={str(data_dir)!r}. Without data_dir the other routes are tried."
        )
    return chosen


def _in_data_dir(entry: Entry, data_dir) -> bool:
    if places.prepared_folder(entry, places.data_dir_or_default(data_dir)):
        return True
    return entry.of_photographs and fids30_files.find(data_dir) is not None


def _wanted(entry: Entry) -> str:
    prepared = f"{entry.name}/<version>/{places.INFO_FILE}"
    return f"{prepared}, or {entry.name}/<class>," if entry.of_photographs else prepared


def _any_cached(entry: Entry, routes: Sequence[str]) -> Dataset | None:
    """A verified copy that came by any of the routes, so that no network is asked again."""
    copies = (cache.read(entry, route) for route in routes)
    return next((copy for copy in copies if copy), None)


def _by_source(entry: Entry, route: str, source: _Source) -> Dataset:
    if source.origin is None:
        return _from_source(entry, route, source)
    cached = cache.read(entry, route, source.origin)
    if cached:
        return cached
    with cache.writer_lock(entry) as writable:
        cached = cache.read(entry, route, source.origin)  # another process may have made it
        if cached:
            return cached
        dataset = _from_source(entry, route, source)
        if writable:
            cache.write(entry, dataset, source.origin)
    return dataset


def _from_source(entry: Entry, route: str, source: _Source) -> Dataset:
    arrays = source.read()
    splits, deviations = {}, list(source.deviations)
    for split in SPLITS:
        splits[split] = _split(entry, split, arrays[split], route, source)
        if splits[split].sha256 != entry.sha256[split]:
            problem = _mismatch(entry, split, splits[split], route, source)
            if source.strict and not entry.pinned_for:
                raise DataCorrupt(problem)
            deviations.append(problem)
    return Dataset(
        entry.name,
        **splits,
        class_names=entry.class_names,
        route=route,
        deviations=tuple(deviations),
        source=source.label,
    )


def _split(entry: Entry, split: str, arrays, route: str, source: _Source) -> Split:
    images, labels = arrays
    where = f"{entry.name}, split {split}, from {source.label} (route {route})"
    if images.dtype != "uint8" or images.shape[1:] != entry.image_shape:
        raise DataCorrupt(
            f"{where}: expected uint8 images of shape {entry.image_shape} and content "
            f"sha256={entry.sha256[split]}. Received: {images.dtype} images of shape "
            f"{images.shape[1:]}"
        )
    try:
        return canonical_split(images, labels)
    except ValueError as error:
        raise DataCorrupt(f"{where}: {error}") from error


def _mismatch(entry: Entry, split: str, received: Split, route: str, source: _Source) -> str:
    return (
        f"{entry.name}, split {split}, from {source.label} (route {route}): expected "
        f"{entry.counts[split]} images with content sha256={entry.sha256[split]}"
        f"{f' (pinned for {entry.pinned_for} only)' if entry.pinned_for else ''}. Received: "
        f"{len(received)} images, sha256={received.sha256}"
    )


def _announced(dataset: Dataset) -> Dataset:
    logging.info("%s: route %s, %s", dataset.name, dataset.route, dataset.source)
    for line in dataset.deviations:
        warnings.warn(line, stacklevel=3)
    return dataset


def _all_failed(entry: Entry, failures: dict[str, str]) -> str:
    lines = "".join(f"\n  {route}: {reason}" for route, reason in failures.items())
    failed = f"{entry.title} could not be had by any route:{lines}\n"
    if entry.of_photographs:
        return (
            f"{failed}What can be done: set {fids30_files.VARIABLE} to a folder of the "
            f"photographs with the class folders {', '.join(entry.class_names)}; or connect to "
            "the internet and try again."
        )
    prepared = f"<folder>/{entry.name}/<version>/{places.INFO_FILE}"
    return (
        f"{failed}"
        "What can be done: connect to the internet and try again; or prepare it elsewhere by "
        f"`tfds build {entry.name}`, copy it so that {prepared} exists, and set "
        "TFDS_DATA_DIR=<folder>; or copy the cache folder of a machine that has it "
        f"({places.cache_root() / entry.name})."
    )


def _tfds_folder(entry: Entry, data_dir) -> _Source:
    root = places.data_dir_or_default(data_dir)
    folder = places.prepared_folder(entry, root)
    if folder is None:
        raise DataUnavailable(f"no {entry.name}/<version>/{places.INFO_FILE} in {root}")
    origin = places.folder_fingerprint(folder)
    stated = list(places.stated_deviations(folder))
    return _Source(str(folder), lambda: read_prepared(entry, folder), origin, deviations=stated)


def _class_folders(route: str) -> Callable[[Entry, object], _Source]:
    def source(entry: Entry, data_dir) -> _Source:
        found = fids30_folder.find_surveyed(data_dir, route)
        return _Source(
            str(found.folder),
            lambda: fids30_folder.read(found),
            deviations=list(found.deviations()),
        )

    return source


def _package(entry: Entry, data_dir) -> _Source:
    path = places.packaged_file(entry)
    if path is None:
        raise DataUnavailable("no copy inside this package")
    return _Source(str(path), lambda: read_packaged(entry, path))


def _tfds_download(entry: Entry, data_dir) -> _Source:
    stated = []

    def read() -> Arrays:
        with cache.workspace(entry) as folder:
            arrays = download_prepared(entry, folder)
            stated.extend(places.stated_deviations(places.prepared_folder(entry, folder)))
            return arrays

    label = f"TensorFlow Datasets {entry.name}"
    return _Source(label, read, origin=label, remote=True, strict=False, deviations=stated)


def _registry(entry: Entry, data_dir) -> _Source:
    if entry.registry is None:
        raise DataUnavailable("no registry package is known to hold it")

    def read() -> Arrays:
        with cache.workspace(entry) as folder:
            return read_registry(entry, folder)

    installed: Path | None = places.installed_folder(entry)
    label = str(entry.registry)
    return _Source(label, read, origin=label, remote=installed is None)


_SOURCES = {
    "tfds_folder": _tfds_folder,
    "package": _package,
    "tfds_download": _tfds_download,
    "registry": _registry,
    **{route: _class_folders(route) for route in FOLDER_ROUTES},
}
