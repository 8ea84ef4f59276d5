"""Reading a folder of class folders: what is wrong with it is said in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from replicate.data.dataset import SPLITS, Arrays, DataCorrupt, DataUnavailable
from replicate.data.fids30.files import VARIABLE, Survey, find, published_split, survey
from replicate.data.image_files import read_rgb

SIZE = 64  # pixels a side, as in the study


def surveyed(folder: Path) -> Survey:
    """Survey a folder, and refuse one that cannot give a training and a test part of every class.

    Args:
        folder: Folder of class folders.

    Returns:
        The survey; missing files are named in its `deviations()`.

    Raises:
        DataCorrupt: if class folders are absent, a resized copy is not the pinned one, or a class
            has no image left in a split; the message names the class or file.
    """
    if not folder.is_dir():
        raise DataCorrupt(f"fids30: expected a folder of class folders. Received: {folder}")
    found = survey(folder)
    if found.absent_classes:
        names = sorted(item.name for item in folder.iterdir())
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataCorrupt(
            f"fids30: expected class folders {', '.join(found.absent_classes)} in {folder}. "
            f"Received: {shown or 'an empty folder'}"
        )
    if found.changed:
        raise DataCorrupt(
            f"fids30: {folder} holds resized copies (route resized-256), but {len(found.changed)} "
            f"files are not the pinned ones: {', '.join(found.changed[:5])}"
        )
    for split in SPLITS:
        left = {file.split("/")[0] for file in found.present(split)}
        empty = [name for name in published_split() if name not in left]
        if empty:
            raise DataCorrupt(
                f"fids30: expected at least 1 image in split {split} of class {empty[0]} in "
                f"{folder}. Received: 0 of {len(published_split()[empty[0]][split])} listed files"
            )
    return found


def find_surveyed(data_dir, route: str) -> Survey:
    """The survey of the folder on this machine, if it is of a route.

    Raises:
        DataUnavailable: if there is no folder, or it is of the other route.
        DataCorrupt: as `surveyed`.
    """
    folder = find(data_dir)
    if folder is None:
        raise DataUnavailable(
            f"no folder of class folders: neither {VARIABLE} nor fids30 in or beside the data "
            "folder"
        )
    found = surveyed(folder)
    if found.route != route:
        raise DataUnavailable(f"{folder} is of route {found.route}")
    return found


def read(found: Survey) -> Arrays:
    """Read the study's images, resized to 64x64.

    Returns:
        Split name to uint8 images `(n, 64, 64, 3)` and int64 labels `(n,)`, classes in the order
        of the study.

    Raises:
        DataCorrupt: if a file cannot be decoded; the message names it.
    """
    classes = list(published_split())
    arrays = {}
    for split in SPLITS:
        files = found.present(split)
        images = np.stack([read_rgb(found.folder / file, SIZE) for file in files])
        arrays[split] = images, np.array([classes.index(file.split("/")[0]) for file in files])
    return arrays
