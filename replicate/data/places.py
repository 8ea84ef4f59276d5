"""Where copies of data lie on this machine. Standard library only, so that looking is quick."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from replicate.data.catalogue import DebianPackage, Entry

INFO_FILE = "dataset_info.json"
_MAX_HEADER = 1 << 20  # bytes; ours are under 2 kB


def data_dir_or_default(data_dir: str | os.PathLike | None = None) -> Path:
    """The folder of prepared data: the argument, else `TFDS_DATA_DIR`, else TFDS' own default."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(chosen).expanduser()


def prepared_folder(entry: Entry, data_dir: Path) -> Path | None:
    """The newest prepared version of a data set, `<data_dir>/<name>/<version>`, or None."""
    versions = {}
    for info in data_dir.glob(f"{entry.name}/*/{INFO_FILE}"):
        parts = info.parent.name.split(".")
        if all(part.isdigit() for part in parts):
            versions[tuple(map(int, parts))] = info.parent
    return versions[max(versions)] if versions else None


def stated_deviations(folder: Path) -> tuple[str, ...]:
    """What a prepared folder says of itself in `metadata.json`, as this package's builders do."""
    try:
        return tuple(json.loads((folder / "metadata.json").read_text())["deviations"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def packaged_file(entry: Entry) -> Path | None:
    """The file inside this package, or None if it has none for this data set."""
    path = Path(__file__).parent / entry.packaged if entry.packaged else None
    return path if path and path.is_file() else None


def installed_folder(entry: Entry) -> Path | None:
    """The folder of the Debian package with this data set if it is installed, else None."""
    if isinstance(entry.registry, DebianPackage) and Path(entry.registry.folder).is_dir():
        return Path(entry.registry.folder)
    return None


def folder_bytes(folder: Path) -> int:
    """Bytes in the files of a folder and its subfolders."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def folder_fingerprint(folder: Path) -> str:
    """Hash of a folder's place and its files' names, sizes and modification times.

    It changes when a file of the folder is replaced or cut, without reading the files.
    """
    facts = [str(folder.resolve())]
    for file in sorted(folder.iterdir()):
        stat = file.stat()
        facts.append(f"{file.name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def cache_root() -> Path:
    """The cache folder: `REPLICATE_CACHE`, else `~/.cache/replicate`."""
    return Path(os.environ.get("REPLICATE_CACHE") or "~/.cache/replicate").expanduser()


def cache_file(entry: Entry, route: str) -> Path:
    """The file that caches a data set as it came by one route."""
    return cache_root() / entry.name / f"{route}.safetensors"


def safetensors_metadata(path: Path) -> dict[str, str] | None:
    """The metadata of a safetensors file without its tensors; None if absent or unreadable."""
    try:
        with open(path, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > _MAX_HEADER:
                return None
            return json.loads(file.read(size)).get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return None
