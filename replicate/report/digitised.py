"""Reported numbers that fill a file of their own, such as curves read off a plot."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NUMBERS = {"epoch": int, "n": int, "n_test": int, "reported": float, "margin": float}


def read_rows(block: Mapping[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The rows of a block of cells: those of the TOML file, or of the CSV file that it names.

    Args:
        block: a `[[cells]]` table with `rows`, or with `file` and the file's `sha256`, so that no
            number changes without the TOML file, whose commits date the margins.
        folder: where the file lies; its columns are the fields of a row, all but numbers as text.

    Raises:
        ValueError: if the file is not there or not the one that the block names.
    """
    if "file" not in block:
        return block["rows"]
    path = folder / block["file"]
    if not path.is_file():
        raise ValueError(f"Expected a file with the rows of {block['id']}. Received: no {path}")
    text = path.read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != block["sha256"]:
        raise ValueError(f"Expected {path} with SHA-256 {block['sha256']}. Received: {digest}")
    rows = csv.DictReader(text.splitlines())
    return [{k: NUMBERS.get(k, str)(value) for k, value in row.items()} for row in rows]
