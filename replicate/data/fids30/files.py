"""Which of the study's photographs a folder holds. Standard library only, as in `places`."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
from pathlib import Path

from replicate.data import places

VARIABLE = "REPLICATE_FIDS30_DIR"
_PARTS = {"train": "training", "test": "test"}


@functools.cache
def published_split() -> dict[str, dict[str, list[str]]]:
    """Class to `{"train": file names, "test": file names}`; 280 and 76 files, ten classes.

    Source: the study's repository. Per class: names sorted, shuffled by Python's `random` seeded
    with 1337, the first 80% (rounded down) for training. The rest, the study's validation part,
    is its only held-out set and called `test` here.
    """
    return json.loads((Path(__file__).parent / "split.json").read_text())


@functools.cache
def resized_copies() -> dict[str, list]:
    """`<class>/<file>` to `[bytes, SHA-256]` of the copies that route resized-256 accepts."""
    return json.loads((Path(__file__).parent / "resized_256.json").read_text())


def listed(split: str) -> list[str]:
    """`<class>/<file>` of every file of a split, class after class."""
    return [f"{name}/{file}" for name, parts in published_split().items() for file in parts[split]]


def find(data_dir: str | os.PathLike | None = None) -> Path | None:
    """The folder of class folders, or None.

    `REPLICATE_FIDS30_DIR` if it is set, else the first of: the folder of prepared data itself,
    `fids30` in it, beside it, or among its manual downloads.

    Args:
        data_dir: Folder of prepared TFDS data, by default as in `load`.
    """
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    root = places.data_dir_or_default(data_dir).absolute()
    own = root / "fids30"
    for folder in (root, own, root.parent / "fids30", root / "downloads" / "manual" / "fids30"):
        if any((folder / name).is_dir() for name in published_split()):
            return folder
    prepared = any(own.glob(f"*/{places.INFO_FILE}"))
    return own if own.is_dir() and not prepared else None  # wrong, and reading it says why


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a folder holds of the study's files; no photograph has been decoded.

    Attributes:
        folder: Folder of class folders.
        absent_classes: Classes without a folder.
        missing: Split to the `<class>/<file>` that are not there.
        changed: Files of a folder of resized copies that are not the pinned ones.
        resized: Whether they are the copies of route resized-256.
        unlisted: How many files in the ten class folders belong to neither split.
    """

    folder: Path
    absent_classes: tuple[str, ...]
    missing: dict[str, tuple[str, ...]]
    changed: tuple[str, ...]
    resized: bool
    unlisted: int

    @property
    def route(self) -> str:
        """`"resized-256"` or `"manual_folder"`."""
        return "resized-256" if self.resized else "manual_folder"

    def present(self, split: str) -> list[str]:
        """`<class>/<file>` of the files of a split that are there."""
        return [file for file in listed(split) if file not in self.missing[split]]

    def deviations(self) -> tuple[str, ...]:
        """What differs from the study's 356 original files, one line each."""
        lines = []
        if self.resized:
            lines.append(
                "fids30: RGB copies with a short side of at most 256 pixels take the place of the "
                "original files"
            )
        for split, files in self.missing.items():
            if files:
                total = len(listed(split))
                lines.append(
                    f"fids30: {total - len(files)} of {total} {_PARTS[split]} images; missing: "
                    f"{', '.join(files)}"
                )
        if self.unlisted:
            lines.append(
                f"fids30: {self.unlisted} files of the ten classes belong to neither part of the "
                "published split and are not used"
            )
        return tuple(lines)


def survey(folder: Path) -> Survey:
    """Compare a folder of class folders with the published split and the pinned copies."""
    split = published_split()
    absent = tuple(name for name in split if not (folder / name).is_dir())
    wanted = {part: listed(part) for part in ("train", "test")}
    missing = {
        part: tuple(file for file in files if not (folder / file).is_file())
        for part, files in wanted.items()
    }
    gone = {file for files in missing.values() for file in files}
    present = [file for files in wanted.values() for file in files if file not in gone]
    copies = {file for file in present if _is_pinned_copy(folder, file)}
    everything = [
        f"{name}/{file.name}"
        for name in split
        if name not in absent
        for file in (folder / name).iterdir()
        if not file.name.startswith(".")
    ]
    changed = tuple(file for file in present if file not in copies) if copies else ()
    unlisted = len(set(everything) - set(present))
    return Survey(folder, absent, missing, changed, bool(copies), unlisted)


def _is_pinned_copy(folder: Path, file: str) -> bool:
    if file not in resized_copies():
        return False
    size, sha256 = resized_copies()[file]
    path = folder / file
    if path.stat().st_size != size:
        return False
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256
