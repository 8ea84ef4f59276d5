import dataclasses
import json

import pytest

from replicate.runs.files import write_atomic, write_json
from replicate.runs.store import Plan, Record, Store
from replicate.runs.trial import Trial


def record(replicate=0, status="done", run_id="run", created="2026-01-01", **values):
    trial = Trial("study", "classifier", 1, {"arm": "real"}, replicate)
    return Record(trial, run_id, status, created=created, **values)


def test_records_survive_a_round_trip_in_both_layouts(tmp_path):
    first = record(metrics={"test_accuracy": 0.1 + 0.2}, curves={"loss": [1.0, 0.5]})
    Store(tmp_path / "mine").write(first)
    Store(tmp_path / "shipped").write_shipped("study", [first])
    for name in ("mine", "shipped"):
        store = Store(tmp_path / name)
        assert store.records("study") == {first.key: [first]}
        assert store.done_keys("study") == {first.key}


def test_nothing_is_overwritten(tmp_path):
    store = Store(tmp_path)
    store.write(record(metrics={"test_accuracy": 0.9}))
    with pytest.raises(FileExistsError):
        store.write(record(metrics={"test_accuracy": 0.1}))
    assert store.latest("study")[record().key].metrics == {"test_accuracy": 0.9}


def test_a_later_failure_does_not_hide_a_result(tmp_path):
    store = Store(tmp_path)
    store.write(record(run_id="a", created="1"))
    store.write(record(run_id="b", created="2", status="failed", error="why"))
    assert store.latest("study")[record().key].run_id == "a"
    store.write(record(1, "failed", "c", error="why"))
    assert store.done_keys("study") == {record().key}
    assert store.latest("study")[record(1).key].error == "why"


def test_shipped_records_are_merged_by_key_and_run(tmp_path):
    store = Store(tmp_path)
    store.write_shipped("study", [record(0), record(1)])
    store.write_shipped("study", [record(1), record(1, run_id="other")])
    rows = store.records("study")
    assert [len(rows[record(n).key]) for n in (0, 1)] == [1, 2]


def test_a_changed_specification_is_noticed(tmp_path):
    path = Store(tmp_path).write(record())
    value = json.loads(path.read_text())
    value["spec"]["settings"]["arm"] = "mix"
    path.write_text(json.dumps(value))
    with pytest.raises(ValueError, match="with key"):
        Store(tmp_path).records("study")


def test_a_truncated_record_is_named(tmp_path):
    path = Store(tmp_path).write(record())
    path.write_text(path.read_text()[:100])
    with pytest.raises(ValueError, match=path.name[:20]):
        Store(tmp_path).records("study")


def test_artifacts_are_checked_by_content(tmp_path):
    store = Store(tmp_path)
    entry = {"file": "w.bin", "sha256": "0" * 64, "bytes": 3}
    kept = record(artifacts={"weights": entry})
    with pytest.raises(FileNotFoundError, match="weights"):
        store.artifact(kept, "weights")
    folder = store.artifact_dir(kept.trial)
    folder.mkdir(parents=True)
    (folder / "w.bin").write_bytes(b"abc")
    with pytest.raises(ValueError, match="ba7816bf"):  # SHA-256 of abc
        store.artifact(kept, "weights")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    right = dataclasses.replace(kept, artifacts={"weights": {**entry, "sha256": digest}})
    assert store.artifact(right, "weights").read_bytes() == b"abc"


def test_plans_keep_their_trials(tmp_path):
    plan = Plan("study", "paper", "paper", {}, (record().trial, record(1).trial))
    Store(tmp_path).write_plan(plan)
    assert Store(tmp_path).plans("study") == [plan]


@pytest.mark.parametrize("text", ["junk", "[]", "{}", '{"trials": [1]}'])
def test_a_damaged_plan_is_named(tmp_path, text):
    path = tmp_path / "study" / "plans" / "paper.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=f"Expected a plan. Received: {path} "):
        Store(tmp_path).plans("study")


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, {"old": 1})

    def fail(temporary):
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, fail)
    assert json.loads(path.read_text()) == {"old": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


@pytest.mark.parametrize("name", ["records/next.json", "plans/next.json", "next.jsonl"])
def test_files_that_are_being_written_are_not_read(tmp_path, name):
    """Threads and processes of a run read records while others write theirs."""
    store, plan = Store(tmp_path), Plan("study", "paper", "paper", {}, (record().trial,))
    store.write(record())
    store.write_plan(plan)
    seen = []

    def write(temporary):
        temporary.write_text("half of a rec")
        seen.append((set(store.records("study")), store.done_keys("study"), store.plans("study")))

    write_atomic(tmp_path / "study" / name, write)
    assert seen == [({record().key}, {record().key}, [plan])]


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(ValueError):
        Store(tmp_path).write(record(metrics={"test_accuracy": float("nan")}))
    assert not list(tmp_path.rglob("*.json"))
