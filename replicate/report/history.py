"""Which commit fixed a study's margins, so that a reader can see it came before the results."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from pathlib import Path

RULES = ("rules", "series", "base", "cells", "claims", "controls")
TEST_FIELDS = ("id", "primary", "tests", "unscored")


def rules_hash(text: str) -> str:
    """Hash of what decides verdicts in a TOML file: numbers, margins, selectors, tests, alpha.

    Wording, figures and logs are left out, so that editing them moves no date.
    """
    raw = tomllib.loads(text)
    kept = {name: raw.get(name) for name in RULES}
    for name in ("claims", "controls"):
        kept[name] = [{f: entry.get(f) for f in TEST_FIELDS} for entry in raw.get(name, [])]
        for entry in kept[name]:
            for test in entry["tests"] or ():
                test.pop("label", None)
    kept["cells"] = [
        {f: v for f, v in block.items() if f not in ("what", "where", "provenance")}
        for block in raw.get("cells", [])
    ]
    for entry in (kept["series"] or {}).values():
        entry.pop("label", None)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def margins_commit(path: Path) -> str:
    """The commit since which a file's rules are what they are now.

    Args:
        path: `paper_configs/<study>.toml`.

    Returns:
        `"commit 1a2b3c4 of 2024-05-06"`, `"not committed yet"`, or `"unknown"` without git.
    """
    try:
        log = _git(path.parent, "log", "--format=%h %cs", "--", path.name).splitlines()
        shallow = _git(path.parent, "rev-parse", "--is-shallow-repository").strip() == "true"
        wanted, found, differs = rules_hash(path.read_text()), "", False
        for line in log:
            commit, date = line.split()
            text = _git(path.parent, "show", f"{commit}:./{path.name}")
            differs = rules_hash(text) != wanted
            if differs:
                break
            found = f"commit {commit} of {date}"
    except (OSError, subprocess.SubprocessError, ValueError):
        return "unknown"
    if found and shallow and not differs:
        return f"{found} or earlier"
    return found or "not committed yet"
