"""Loading a data set: its routes in order, verification, canonical order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from replicate.data import package, tfds_routes
from replicate.data.catalogue import Entry, lookup
from replicate.data.dataset import SPLITS, DataCorrupt, Dataset, DataUnavailable, canonical_split


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    routes: Sequence[str] | None = None,
    stand_in: bool = False,
) -> Dataset:
    """Load a data set by the first route that has it, in canonical order and verified.

    Args:
        name: `"mnist"`, `"fashion_mnist"` or `"cifar10"`.
        data_dir: Folder of prepared TFDS data. If it is given, the data set must be in it.
        routes: Routes to try, in this order; all of `catalogue.ROUTES` by default.
        stand_in: Whether a small drawn data set may take the place of one that is absent.

    Returns:
        A `Dataset`.

    Raises:
        ValueError: if the name or a route is unknown.
        DataUnavailable: if no route has it; the message lists each route and why it failed.
        DataCorrupt: if a copy was found that is damaged or is not this data set.
    """
    entry = lookup(name)
    failures = {}
    for route in routes or _LOADERS:
        try:
            return _LOADERS[route](entry, data_dir)
        except DataUnavailable as error:
            failures[route] = str(error)
    lines = "".join(f"\n  {route}: {reason}" for route, reason in failures.items())
    raise DataUnavailable(f"{entry.title} could not be had by any route:{lines}")


def _tfds_folder(entry: Entry, data_dir) -> Dataset:
    root = tfds_routes.data_dir_or_default(data_dir)
    folder = tfds_routes.prepared_folder(entry, root)
    if folder is None:
        raise DataUnavailable(f"no {entry.name}/<version>/dataset_info.json in {root}")
    return _verified(entry, tfds_routes.read_prepared(entry, folder), "tfds_folder", folder)


def _package(entry: Entry, data_dir) -> Dataset:
    path = package.packaged_file(entry)
    if path is None:
        raise DataUnavailable("not in this package")
    return _verified(entry, package.read_packaged(entry, path), "package", path)


def _verified(entry: Entry, arrays: tfds_routes.Arrays, route: str, source: Path) -> Dataset:
    splits = {}
    for split in SPLITS:
        splits[split] = canonical_split(*arrays[split])
        if splits[split].sha256 != entry.sha256[split]:
            raise DataCorrupt(
                f"{entry.name}, split {split}, from {source} (route {route}): expected content "
                f"sha256={entry.sha256[split]}. Received: sha256={splits[split].sha256}"
            )
    logging.info("%s: route %s, %s", entry.name, route, source)
    return Dataset(
        entry.name, **splits, class_names=entry.class_names, route=route, source=str(source)
    )


_LOADERS = {"tfds_folder": _tfds_folder, "package": _package}
