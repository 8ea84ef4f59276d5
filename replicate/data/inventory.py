"""What data this machine holds, without loading any of it."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from replicate.data import places
from replicate.data.catalogue import CATALOGUE, Entry
from replicate.data.fids30 import files as fids30_files


@dataclasses.dataclass(frozen=True)
class Found:
    """The copy of a data set that `load` would use without a download.

    Attributes:
        name: Name in the catalogue.
        route: Route by which it is found, or None if it would have to be downloaded.
        path: Folder or file, or None.
        bytes: Size on disk.
        cached: Whether its arrays are in the cache, so that loading takes under a second.
    """

    name: str
    route: str | None
    path: Path | None
    bytes: int
    cached: bool


def inventory(data_dir: str | os.PathLike | None = None) -> list[Found]:
    """List every data set of the catalogue and the copy of it that is at hand.

    Hardly anything is read but folder listings, so content is not verified here; `load` verifies.

    Args:
        data_dir: Folder of prepared TFDS data; if it is given only this folder counts, as in
            `load`.

    Returns:
        One `Found` a data set, in the order of the catalogue.
    """
    return [_find(entry, data_dir) for entry in CATALOGUE.values()]


def _find(entry: Entry, data_dir: str | os.PathLike | None) -> Found:
    if entry.of_photographs:
        photographs = fids30_files.find(data_dir)
        if photographs and photographs.is_dir():
            route = fids30_files.survey(photographs).route
            size = places.folder_bytes(photographs)
            return Found(entry.name, route, photographs, size, False)
    folder = places.prepared_folder(entry, places.data_dir_or_default(data_dir))
    if folder:
        meta = places.safetensors_metadata(places.cache_file(entry, "tfds_folder"))
        cached = bool(meta) and meta.get("origin") == places.folder_fingerprint(folder)
        return Found(entry.name, "tfds_folder", folder, places.folder_bytes(folder), cached)
    if data_dir is not None:
        return Found(entry.name, None, None, 0, False)
    packaged = places.packaged_file(entry)
    if packaged:
        return Found(entry.name, "package", packaged, packaged.stat().st_size, False)
    for route in entry.routes:
        path = places.cache_file(entry, route)
        if path.is_file():
            return Found(entry.name, route, path, path.stat().st_size, True)
    installed = places.installed_folder(entry)
    if installed:
        return Found(entry.name, "registry", installed, places.folder_bytes(installed), False)
    return Found(entry.name, None, None, 0, False)
