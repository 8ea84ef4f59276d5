"""Files that are whole or absent: atomic writes, content hashes, and where the project lives."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def project_root() -> Path:
    """The folder that holds `paper_configs/` and `results/`.

    That is `$REPLICATE_HOME` if set, else the folder around the package in a clone, else the
    current folder.

    Raises:
        FileNotFoundError: if none of them holds `paper_configs/`.
    """
    home = os.environ.get("REPLICATE_HOME")
    candidates = [Path(home)] if home else [Path(__file__).resolve().parents[2], Path.cwd()]
    for folder in candidates:
        if (folder / "paper_configs").is_dir():
            return folder
    raise FileNotFoundError(
        "Expected a folder with paper_configs/ (a clone of the project, or $REPLICATE_HOME). "
        f"Received: {', '.join(map(str, candidates))}"
    )


def python_command(module: str, *arguments: str) -> str:
    """A command to show: this interpreter by its path if that lies in the current folder."""
    try:
        python = str(Path(sys.executable).relative_to(Path.cwd()))
    except ValueError:  # elsewhere, and hopefully what `python` means
        python = "python"
    return shlex.join([python, "-m", module, *arguments])


def nearest_existing(path: str | os.PathLike) -> Path:
    """A path if it is there, else the nearest folder above it that is."""
    path = Path(path)
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def check_workdir(path: str | os.PathLike) -> None:
    """Refuse a `--workdir` that is no folder and cannot become one; it need not exist yet.

    Raises:
        ValueError: if it is empty.
        NotADirectoryError: if it, or what it would lie in, is a file.
    """
    if not str(path):
        raise ValueError("flag --workdir=: expected a folder; received no name")
    existing = nearest_existing(path)
    if not existing.is_dir():
        raise NotADirectoryError(
            f"flag --workdir={path}: expected a folder; received {existing}, a file"
        )


def check_folder(flag: str, path: str | os.PathLike | None) -> None:
    """Refuse what a flag names and is no folder; None is allowed.

    Args:
        flag: its name, without dashes.
        path: its value.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    if path is not None and not os.path.isdir(path):
        wrong = "is a file" if os.path.exists(path) else "does not exist"
        raise FileNotFoundError(
            f"Expected --{flag} to be a folder. Received: {path!r}, which {wrong}"
        )


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write(temporary_path)` write a file, then put it at `path` whole.

    The temporary file lies in the same folder, is fsynced and renamed; if writing fails nothing is
    left behind and an earlier file at `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        os.chmod(temporary, 0o644)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, one indented value a file."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text))


def write_arrays(path: Path, arrays) -> None:
    """Write named arrays as one compressed `.npz`, atomically."""
    import numpy as np

    write_atomic(path, lambda temporary: np.savez_compressed(temporary, **arrays))


def write_array(path: Path, array) -> None:
    """Write one array as `.npy`, atomically."""
    import numpy as np

    write_atomic(path, lambda temporary: np.save(temporary, array, allow_pickle=False))
