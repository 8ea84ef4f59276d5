"""Which commit fixed a study's margins, so that a reader can see it came before the results."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHARED = ("alpha", "interval", "minimum_replicates", "verdicts")
TEST_FIELDS = ("id", "primary", "tests", "unscored")
WORDS = ("label", "what", "where", "provenance", "needs")


def rules_of(text: str) -> dict[str, str]:
    """What decides each verdict in a TOML file: numbers, margins, selectors, tests, alpha.

    Wording, figures and logs are left out, so that editing them moves no date.

    Args:
        text: of `paper_configs/<study>.toml`.

    Returns:
        Block of numbers, claim or control -> hash.
    """
    raw = tomllib.loads(text)
    series = raw.get("series", {})
    shared = {name: value for name, value in raw.get("rules", {}).items() if name in SHARED}
    entries = {f"numbers of {block['id']}": block for block in raw.get("cells", [])}
    for entry in (*raw.get("claims", []), *raw.get("controls", [])):
        entries[entry["id"]] = {field: entry.get(field) for field in TEST_FIELDS}
    return {
        name: _hash([_bare(entry), shared, raw.get("base", {}), _named(entry, series)])
        for name, entry in entries.items()
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _bare(value: Any) -> Any:
    """An entry without what is only read by people."""
    if isinstance(value, dict):
        return {name: _bare(part) for name, part in value.items() if name not in WORDS}
    return [_bare(part) for part in value] if isinstance(value, list) else value


def _named(value: Any, series: Mapping[str, Any]) -> list[Any]:
    """The series that an entry names, in its order."""
    if isinstance(value, dict):
        own = [_bare(series.get(value["series"]))] if "series" in value else []
        return own + _named(list(value.values()), series)
    if isinstance(value, list):
        return [found for part in value for found in _named(part, series)]
    return []


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def margins_commit(path: Path) -> str:
    """The commit since which a file's rules are what they are now.

    Args:
        path: `paper_configs/<study>.toml`.

    Returns:
        Of most rules, `"commit 1a2b3c4 of 2024-05-06"` or `"not committed yet"`; then those that
        are of another age, by name; `"unknown"` without git.
    """
    try:
        log = _git(path.parent, "log", "--format=%h %cs", "--", path.name).splitlines()
        shallow = _git(path.parent, "rev-parse", "--is-shallow-repository").strip() == "true"
        wanted = rules_of(path.read_text())
        since, unchanged = dict.fromkeys(wanted, "not committed yet"), set(wanted)
        for line in log:
            commit, date = line.split()
            then = rules_of(_git(path.parent, "show", f"{commit}:./{path.name}"))
            unchanged = {name for name in unchanged if then.get(name) == wanted[name]}
            since |= dict.fromkeys(unchanged, f"commit {commit} of {date}")
            if not unchanged:
                break
    except (OSError, subprocess.SubprocessError, ValueError):
        return "unknown"
    if shallow:
        since |= {name: f"{since[name]} or earlier" for name in unchanged if log}
    return _told(since)


def _told(since: Mapping[str, str]) -> str:
    """When most entries were fixed, and which at another time."""
    by_time: dict[str, list[str]] = {}
    for name, when in since.items():
        by_time.setdefault(when, []).append(name)
    main, *others = sorted(by_time, key=lambda when: -len(by_time[when]))
    return "; ".join([main, *(f"{', '.join(by_time[when])}: {when}" for when in others)])
