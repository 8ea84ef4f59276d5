"""Which run of its inputs a record rests on, and whether another has taken its place.

A network that is trained once more may come out differently, with another number of threads for
one, since sums are then added up in another order. Records that rest on either are no comparison.
"""

from __future__ import annotations

from collections.abc import Mapping

from replicate.runs.store import Record


def differ(one: Record, other: Record) -> bool:
    """Whether two runs of a trial came out differently.

    Told by the metrics and curves of both, wall times aside, which a training repeats to the last
    bit; by the artifacts of both where there are none. Files alone would not do: the card inside
    may be worded otherwise.
    """
    pairs = [
        (mine[name], theirs[name])
        for mine, theirs in ((one.metrics, other.metrics), (one.curves, other.curves))
        for name in mine.keys() & theirs.keys()
        if not name.endswith("_seconds")
    ] or [
        (one.artifacts[name]["sha256"], other.artifacts[name]["sha256"])
        for name in one.artifacts.keys() & other.artifacts.keys()
    ]
    return any(mine != theirs for mine, theirs in pairs)


class Lineage:
    """Every run of a study's trials that is on record.

    Args:
        sources: `Store.records` of a workdir, of shipped results, or of both.
    """

    def __init__(self, *sources: Mapping[str, list[Record]]):
        runs = (record for records in sources for each in records.values() for record in each)
        self._runs = {(record.key, record.run_id): record for record in runs}

    def replaced(self, record: Record, latest: Mapping[str, Record]) -> Record | None:
        """An input whose run in `latest` came out differently from the one a record rests on.

        Args:
            record: a finished record.
            latest: key -> the run of a trial that counts. Inputs that are not in it, and runs that
                are nowhere on record, are passed over.
        """
        for entry in record.inputs.values():
            used = self._runs.get((entry["key"], entry["run_id"]))
            now = latest.get(entry["key"])
            if used and now and used.run_id != now.run_id and differ(used, now):
                return now
        return None
