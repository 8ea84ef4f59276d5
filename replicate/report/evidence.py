"""The single records that a claim rests on, arm by arm, and the files that hold them."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path

from replicate.report.views import Sample, View


@dataclasses.dataclass(frozen=True)
class Evidence:
    """An arm of a claim, at one point, and where its numbers were read.

    Args:
        arm: the arm in words.
        records: `(replicate, key of the trial, value)`, one a replicate that counts.
    """

    arm: str
    records: tuple[tuple[int, str, float], ...]

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return sum(value for _, _, value in self.records) / len(self.records)


def of_samples(
    arm: str, x: str, names: Sequence[str], samples: Sequence[Sample], kept: Iterable[int] = ()
) -> list[Evidence]:
    """The evidence of an arm; points that were read from the same records are one, their mean.

    Args:
        arm: the arm in words.
        x: what its points stand for, e.g. `"klass"`.
        names: the arm at each point, in words.
        samples: what was found at each point.
        kept: replicates that count; all of a sample if empty.
    """
    kept = tuple(kept)
    tables = [
        {r: (sample.keys[r], sample.values[r]) for r in kept or sample.values} for sample in samples
    ]
    keys = [{r: key for r, (key, _) in table.items()} for table in tables]
    if len(tables) > 1 and all(each == keys[0] for each in keys):
        n = len(tables)
        values = {r: sum(table[r][1] for table in tables) / n for r in keys[0]}
        tables = [{r: (key, values[r]) for r, key in keys[0].items()}]
        names = [f"{arm}, mean over {n} values of {x}"]
    return [
        Evidence(name, tuple((r, *found) for r, found in table.items()))
        for name, table in zip(names, tables, strict=True)
    ]


def link(view: View, key: str, folder: Path) -> str:
    """The file that holds a record, as a link from a page in `folder`."""
    record, root = view.records[key], view.store.root / view.config.module
    path = root / "records" / f"{key}.{record.run_id}.json"
    if not path.exists():
        path = root / f"{record.trial.stage}.jsonl"
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return urllib.parse.quote(Path(relative).as_posix())
