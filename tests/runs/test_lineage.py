import dataclasses

import pytest

from replicate.runs.files import project_root, sha256_file
from replicate.runs.flags import parse
from replicate.runs.lineage import Lineage, differ
from replicate.runs.plan import make_plan
from replicate.runs.publish import choose_shipped, main, publish, take_shipped
from replicate.runs.store import Record, Store
from replicate.runs.study import SOURCES
from replicate.runs.trial import Trial

TRIAL = Trial("toy", "source", 1, {}, 0, {})


def record(run_id="a", metrics=None, curves=None, artifacts=None):
    entries = {name: {"sha256": value} for name, value in (artifacts or {}).items()}
    return Record(TRIAL, run_id, "done", metrics or {}, curves or {}, entries)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"metrics": {"loss": 1.0}}, {"metrics": {"loss": 1.0}}, False),
        ({"metrics": {"loss": 1.0}}, {"metrics": {"loss": 1.0000001}}, True),
        ({"metrics": {"loss": 1.0}}, {"metrics": {"loss": 1.0, "more": 2.0}}, False),
        ({"curves": {"loss": [1.0, 2.0]}}, {"curves": {"loss": [1.0, 2.5]}}, True),
        (
            {"metrics": {"loss": 1.0, "train_seconds": 1.0}, "artifacts": {"weights": "0"}},
            {"metrics": {"loss": 1.0, "train_seconds": 2.0}, "artifacts": {"weights": "1"}},
            False,  # another card, for one
        ),
        ({"artifacts": {"weights": "0"}}, {"artifacts": {"weights": "1"}}, True),
        ({"artifacts": {"weights": "0"}}, {"artifacts": {"weights": "0", "set": "1"}}, False),
        ({}, {}, False),
    ],
)
def test_runs_differ_by_what_a_training_repeats(one, other, expected):
    assert differ(record("a", **one), record("b", **other)) is expected
    assert differ(record("a", **other), record("b", **one)) is expected


@pytest.fixture
def trained_anew(toy, tmp_path):
    """A study that is shipped, and a workdir that took it, where one source was made again."""
    study, workdir = toy
    assert study.main([f"--workdir={workdir}"]) == 0
    shipped = Store(tmp_path / "project" / "results")
    publish(study, Store(workdir), shipped)
    other = Store(tmp_path / "other")
    plan, trials = make_plan(study, parse(study, []))
    take_shipped(choose_shipped(study, trials, other), other)
    other.write_plan(plan)

    def train(value):
        source = trials[0]
        first = other.latest("toy")[source.key]
        path = other.artifact_dir(source) / "value.txt"
        path.write_text(str(value))
        entry = first.artifacts["value"] | {"sha256": sha256_file(path)}
        metrics = {"value": value}
        changed = {"run_id": "again", "created": "9", "artifacts": {"value": entry}}
        other.drop(first)
        other.write(dataclasses.replace(first, metrics=metrics, **changed))
        return source

    return study, trials, other, shipped, train


def test_what_rests_on_another_training_is_made_anew(trained_anew):
    study, trials, other, shipped, train = trained_anew
    source = train(5.0)
    (square,) = (trial for trial in trials if source.key in trial.inputs.values())
    reuse = choose_shipped(study, trials, other)
    assert reuse.dropped_keys == {square.key} and not reuse.taken
    with pytest.raises(ValueError, match="Received: 1 that rest on an earlier run.*square"):
        publish(study, other, shipped)
    assert shipped.latest("toy")[source.key].run_id != "again"  # nothing is changed
    assert study.main([f"--workdir={other.root}", "--reuse_shipped"]) == 0
    assert other.latest("toy")[square.key].metrics["value"] == 25
    publish(study, other, shipped)
    assert shipped.latest("toy")[square.key].metrics["value"] == 25
    assert not choose_shipped(study, trials, other).dropped


def test_what_rests_on_another_training_is_not_taken(trained_anew):
    study, trials, other, _, train = trained_anew
    source = train(5.0)
    for record in list(other.latest("toy").values()):
        if record.key != source.key:
            other.drop(record)
    taken = choose_shipped(study, trials, other).taken_keys
    assert taken == {t.key for t in trials if source.key not in (t.key, *t.inputs.values())}


def test_a_training_that_came_out_alike_takes_the_other_s_place(trained_anew):
    study, trials, other, shipped, train = trained_anew
    source = train(2.0)
    assert not choose_shipped(study, trials, other).dropped
    publish(study, other, shipped)
    assert shipped.latest("toy")[source.key].run_id == "again"


def test_publish_goes_on_with_other_studies(trained_anew, monkeypatch, capsys):
    study, _, other, _, train = trained_anew
    train(5.0)
    monkeypatch.setattr("replicate.runs.publish.SOURCES", ("toy", "more"))
    studies = {"replicate.toy": study, "replicate.more": dataclasses.replace(study, name="more")}
    monkeypatch.setattr("replicate.runs.publish.load_study", studies.get)
    (other.root / "more").mkdir()
    assert main(["publish", f"--workdir={other.root}"]) == 1
    out, errors = capsys.readouterr()
    assert "publish: Expected records that rest on the newest run" in errors
    assert "Nothing of toy is published" in errors
    assert "more: 0 records" in out


@pytest.mark.parametrize("study", SOURCES)
def test_shipped_records_rest_on_the_runs_beside_them(study):
    store = Store(project_root() / "results")
    lineage, latest = Lineage(store.records(study)), store.latest(study)
    found = [r.trial.describe() for r in latest.values() if r.done and lineage.replaced(r, latest)]
    assert latest and not found
