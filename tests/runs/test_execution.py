import contextlib
import dataclasses
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from replicate.runs.context import Context
from replicate.runs.environment import usable_cores
from replicate.runs.executor import Executor, Settings
from replicate.runs.files import python_command, sha256_file, write_atomic
from replicate.runs.flags import parse, preset_path
from replicate.runs.plan import (
    Group,
    batches,
    divided,
    groups,
    longest_chain_first,
    make_plan,
)
from replicate.runs.pools import shares
from replicate.runs.publish import _replaced, choose_shipped, main, publish, take_shipped
from replicate.runs.store import Record, Store
from replicate.runs.study import Outcome, Stage, blames_trial
from replicate.runs.trial import Trial
from replicate.runs.worker import _lock_all, run_group


def reuse_shipped(study, trials, store):
    return take_shipped(choose_shipped(study, trials, store), store)


def values_of(workdir, stage="square"):
    latest = Store(workdir).latest("toy").values()
    return sorted(r.metrics["value"] for r in latest if r.trial.stage == stage and r.done)


def run(toy, *arguments):
    study, workdir = toy
    return study.main([f"--workdir={workdir}", *arguments])


def test_a_run_records_everything_and_a_second_one_trains_nothing(toy, capsys):
    assert run(toy) == 0
    assert values_of(toy[1]) == [4, 16, 36]
    before = sorted(p.name for p in toy[1].rglob("*.json"))
    capsys.readouterr()
    assert run(toy) == 0
    assert "all 6 trials are done" in capsys.readouterr().out
    assert sorted(p.name for p in toy[1].rglob("*.json")) == before


def test_a_plan_runs_nothing(toy, capsys):
    assert run(toy, "--plan") == 0
    assert "6 trials" in capsys.readouterr().out
    assert not toy[1].exists()


@pytest.mark.parametrize("flag", ["--plan", "--help"])
def test_a_reader_may_leave_early(toy, flag):
    """As `head` does: no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys, toy_study; sys.exit(toy_study.STUDY.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, f"--workdir={toy[1]}", flag]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_inputs_run_before_their_users(toy):
    study, _ = toy
    _, trials = make_plan(study, parse(study, []))
    seen = set()
    for group in groups(study, trials[::-1]):
        for trial in group.trials:
            assert seen.issuperset(trial.inputs.values())
        seen.update(trial.key for trial in group.trials)
    assert len(seen) == 6


def test_a_part_of_a_preset_belongs_to_its_plan(toy):
    study, _ = toy
    whole, _ = make_plan(study, parse(study, []))
    part, trials = make_plan(study, parse(study, ["--replicates=2", "--extensions=cubes"]))
    assert part == whole and part.label == "paper"
    assert len(trials) == 6 and len(whole.trials) == 9  # with the extension
    other, _ = make_plan(study, parse(study, ["--scale=3"]))
    assert other.label.startswith("paper+") and other.overrides == {"scale": 3}


def test_a_failed_trial_is_recorded_and_the_rest_goes_on(toy, capsys):
    assert run(toy, "--bad=1:raises") == 1
    assert values_of(toy[1]) == [4, 36]
    failed = [r for r in Store(toy[1]).latest("toy").values() if not r.done]
    assert [r.error for r in failed] == ["RuntimeError: no such number"]
    assert "no such number" in capsys.readouterr().err


def run_backwards(context, outcome):
    """Failures of a group of three that ends in reverse: replicate -> error."""

    def run_stage(trials, context):
        for trial in reversed(trials):
            yield trial, outcome(trial)

    trials = [Trial("toy", "source", 1, {}, replicate) for replicate in range(3)]
    failed = run_group(Stage(1, run_stage, lambda trial: 1.0, "plain"), trials, context)
    latest = context.store.latest("toy").values()
    errors = {r.trial.replicate: r.error for r in latest if not r.done}
    assert failed == len(errors) and len(latest) == 3
    return errors


@pytest.mark.parametrize("kind", ["metrics", "curves"])
def test_numbers_that_are_not_finite_fail_their_own_trial(tmp_path, kind):
    def outcome(trial):
        value = math.nan if trial.replicate == 1 else 0.5
        return Outcome(**{kind: {"metrics": {"loss": value}, "curves": {"loss": [value]}}[kind]})

    (failed,) = run_backwards(Context(Store(tmp_path)), outcome).items()
    assert failed[0] == 1
    assert "diverge. Received: loss=nan" in failed[1]


def test_what_cannot_be_recorded_fails_its_own_trial(tmp_path):
    def outcome(trial):
        return Outcome(artifacts={"lost": tmp_path / "lost"} if trial.replicate == 1 else {})

    assert list(run_backwards(Context(Store(tmp_path)), outcome)) == [1]


def test_an_outcome_that_cannot_be_made_fails_its_own_trial(tmp_path):
    @blames_trial
    def outcome(trial):
        if trial.replicate == 1:
            raise OSError("no room")
        return Outcome()

    assert run_backwards(Context(Store(tmp_path)), outcome) == {1: "OSError: no room"}


def test_one_reason_of_many_trials_is_printed_once(toy, capsys):
    assert run(toy, "--bad=0:raises,1:raises,2:raises") == 1
    errors = capsys.readouterr().err
    assert errors.count("no such number") == 1
    assert "source #0 (" in errors and ") and 2 more: RuntimeError: no such number" in errors
    assert "3 trials failed" in errors and "3 trials wait for trials that are not done" in errors


def test_what_another_process_runs_is_no_failure(toy, capsys):
    study, workdir = toy
    _, trials = make_plan(study, parse(study, []))
    with FileLock(Store(workdir).lock_path(trials[0])):
        assert run(toy) == 1
    errors = capsys.readouterr().err
    assert "1 trials are run by another process." in errors
    assert "1 trials wait for trials that are not done." in errors
    assert "failed" not in errors
    assert values_of(workdir) == [16, 36]


def test_a_group_may_have_more_trials_than_files_may_be_open(tmp_path):
    resource = pytest.importorskip("resource", reason="no such limit here")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    trials = [Trial("toy", "source", 1, {}, replicate) for replicate in range(300)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))  # as on macOS
    try:
        locks, free = _lock_all(Store(tmp_path), trials)
        for lock in locks:
            lock.release()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert free == trials


def test_the_time_of_earlier_processes_is_recorded_too(toy):
    assert run(toy) == 0
    records = Store(toy[1]).latest("toy").values()
    walls = {
        s: [r.wall_seconds for r in records if r.trial.stage == s] for s in ("source", "square")
    }
    assert all(100 <= wall < 160 for wall in walls["source"])  # which says that it was begun before
    assert all(0 <= wall < 60 for wall in walls["square"])


def test_a_dead_worker_s_trials_are_submitted_once_more(toy):
    assert run(toy, "--bad=0:dies-once") == 0
    assert values_of(toy[1]) == [4, 16, 36]


def test_a_worker_that_dies_twice_is_recorded(toy):
    assert run(toy, "--bad=2:dies") == 1
    assert values_of(toy[1]) == [4, 16]
    failed = [r for r in Store(toy[1]).latest("toy").values() if not r.done]
    assert len(failed) == 1
    assert "worker died 2 times, last with exit code 9" in failed[0].error


def test_failures_are_tried_again_by_the_next_run(toy):
    assert run(toy, "--bad=2:dies") == 1
    assert run(toy) == 0
    assert values_of(toy[1]) == [4, 16, 36]


def test_an_input_that_failed_and_was_made_since_is_found(tmp_path):
    """Within one process, which has read the records before."""
    source = Trial("toy", "source", 1, {}, 0)
    user = Trial("toy", "square", 1, {}, 0, {"source": source.key})
    context = Context(Store(tmp_path))
    context.store.write(Record(source, "run-1", "failed", error="no", created="1"))
    with pytest.raises(FileNotFoundError, match="Expected a finished 'source'"):
        context.input(user, "source")
    context.store.write(Record(source, "run-2", "done", created="2"))
    assert context.input(user, "source").run_id == "run-2"


def test_a_changed_artifact_is_refused(toy):
    assert run(toy, "--stages=source") == 0
    victim = next(toy[1].rglob("value.txt"))
    victim.write_text("1000")
    assert run(toy) == 1
    failed = [r for r in Store(toy[1]).latest("toy").values() if not r.done]
    assert len(failed) == 1 and "SHA-256" in failed[0].error
    assert len(values_of(toy[1])) == 2


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("1000")])
def test_the_error_of_a_lost_artifact_names_the_record_that_keeps_it_from_being_made(
    toy, capsys, damage
):
    assert run(toy) == 0
    damage(next(toy[1].rglob("value.txt")))
    assert run(toy, "--extensions=cubes") == 1
    (record,) = re.findall("To make it anew, remove (.*) and run", capsys.readouterr().err)
    Path(record).unlink()
    assert run(toy, "--extensions=cubes") == 0


def start(toy, *arguments):
    command = [sys.executable, "-m", "toy_study", f"--workdir={toy[1]}", *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A parent that runs in the background may ignore the signal, which a child inherits.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(toy, number):
    process = start(toy, "--bad=1:sleeps")
    wait_for(lambda: toy[1].exists() and len(list(toy[1].rglob("records/*.json"))) == 1)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Stopped. 1 of 6 trials are done" in out
    command = python_command("toy_study", f"--workdir={toy[1]}", "--bad=1:sleeps")
    assert f"Continue with: {command}" in out
    assert "Traceback" not in out + err
    assert not running_workers(toy[1])


def test_a_killed_run_leaves_no_worker_behind(toy):
    process = start(toy, "--bad=0:sleeps")
    wait_for(lambda: running_workers(toy[1]))
    process.kill()
    process.communicate(timeout=20)
    wait_for(lambda: not running_workers(toy[1]))


def running_workers(workdir):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline") as file:
                    text = file.read()
            except OSError:
                continue
            if "replicate.runs.worker" in text and str(workdir) in text:
                found.append(entry)
    return found


def test_published_records_and_artifacts_can_be_reused(toy, tmp_path):
    study, workdir = toy
    assert run(toy) == 0
    shipped = Store(tmp_path / "project" / "results")
    count, size = publish(study, Store(workdir), shipped)
    assert (count, size) == (6, 9)
    assert shipped.done_keys("toy") == Store(workdir).done_keys("toy")
    other = Store(tmp_path / "other")
    _, trials = make_plan(study, parse(study, []))
    assert "6 shipped records" in reuse_shipped(study, trials, other)
    assert values_of(other.root) == [4, 16, 36]
    assert study.main([f"--workdir={other.root}"]) == 0


def test_files_that_only_an_earlier_run_names_are_not_kept(toy, tmp_path):
    """Such as a picture that the newer run keeps at home."""
    study, workdir = toy
    assert run(toy, "--stages=source", "--replicates=1") == 0
    shipped = Store(tmp_path / "project" / "results")
    assert publish(study, Store(workdir), shipped)[0] == 1
    (value,) = shipped.root.rglob("value.txt")
    (value.parent / "strip.npz").write_text("of an earlier run")
    assert publish(study, Store(workdir), shipped)[0] == 1
    assert [path.name for path in value.parent.iterdir()] == ["value.txt"]


def test_an_older_workdir_does_not_take_the_place_of_a_newer_one(toy, tmp_path):
    study, workdir = toy
    assert run(toy, "--stages=source", "--replicates=1") == 0
    older, newer = Store(workdir), Store(tmp_path / "newer")
    (first,) = older.latest("toy").values()
    newer.write_plan(*older.plans("toy"))
    path = newer.artifact_dir(first.trial) / "value.txt"
    write_atomic(path, lambda temporary: temporary.write_text("another"))
    entry = first.artifacts["value"] | {"sha256": sha256_file(path)}
    newer.write(
        dataclasses.replace(first, run_id="second", created="9", artifacts={"value": entry})
    )
    shipped = Store(tmp_path / "project" / "results")
    assert publish(study, newer, shipped)[0] == 1
    assert publish(study, older, shipped) == (0, 0)
    assert shipped.latest("toy")[first.key].run_id == "second"
    assert [path.read_text() for path in shipped.root.rglob("value.txt")] == ["another"]


def test_publish_says_what_it_does(capsys):
    assert main(["publish", "--help"]) == 0
    assert "python -m replicate.runs.publish --workdir=runs" in capsys.readouterr().out


def test_weights_of_earlier_epochs_stay_in_the_workdir(toy, tmp_path, monkeypatch):
    """Shipped records do not name them, so that the rest can be reused."""
    study, workdir = toy
    assert run(toy) == 0
    monkeypatch.setattr("replicate.runs.publish.LOCAL", ("value",))
    shipped = Store(tmp_path / "project" / "results")
    assert publish(study, Store(workdir), shipped) == (6, 0)
    assert not any(record.artifacts for record in shipped.latest("toy").values())
    assert any(record.artifacts for record in Store(workdir).latest("toy").values())
    _, trials = make_plan(study, parse(study, []))
    assert "6 shipped records" in reuse_shipped(study, trials, Store(tmp_path / "other"))


def test_what_no_plan_holds_any_more_is_shipped_no_more(toy, tmp_path):
    study, workdir = toy
    shipped = Store(tmp_path / "project" / "results")
    assert run(toy) == 0
    publish(study, Store(workdir), shipped)
    first = study.declare(parse(study, []))[:2]
    assert len(shipped.latest("toy")) == 6
    assert len(list(shipped.root.glob("artifacts/*"))) == 3
    publish(dataclasses.replace(study, declare=lambda values: first), Store(workdir), shipped)
    assert set(shipped.latest("toy")) == {trial.key for trial in first}
    assert [path.name for path in shipped.root.glob("artifacts/*")] == [first[0].key]
    publish(dataclasses.replace(study, declare=lambda values: []), Store(workdir), shipped)
    assert not list(shipped.root.glob("toy/*.jsonl"))


@pytest.fixture
def with_weights(toy, tmp_path, monkeypatch):
    """A toy study that ran, whose numbers count as weights."""
    assert run(toy, "--extensions=cubes") == 0
    monkeypatch.setattr("replicate.runs.publish.WEIGHTS", "value")
    return *toy, Store(tmp_path / "project" / "results")


def released_values(shipped):
    return sorted(float(path.read_text()) for path in shipped.root.rglob("artifacts/*/value.txt"))


def test_weights_of_extensions_are_not_shipped(with_weights, monkeypatch):
    study, workdir, shipped = with_weights
    everything = study.declare(parse(study, []))
    monkeypatch.setattr("replicate.runs.publish._released", lambda *_: {everything[0].key})
    assert publish(study, Store(workdir), shipped)[0] == 9
    assert released_values(shipped) == [2]
    assert sum("value" in r.artifacts for r in shipped.latest("toy").values()) == 3  # all SHA-256s


def test_weights_that_a_study_does_not_release_are_not_shipped(with_weights):
    study, workdir, shipped = with_weights
    study = dataclasses.replace(study, unreleased=lambda trial: trial.replicate == 1)
    assert publish(study, Store(workdir), shipped)[0] == 9
    assert released_values(shipped) == [2, 6]


def test_weights_of_the_preset_nearest_to_the_report_take_the_place_of_others(
    with_weights, tmp_path
):
    """Those of lite are released until the same trial of paper is done, then no more."""
    study, workdir, shipped = with_weights
    preset_path("toy", "lite").write_text("--scale=5\n")
    assert study.main([f"--workdir={workdir}", "--preset=lite"]) == 0
    store = Store(workdir)
    last = store.latest("toy")[study.declare(parse(study, []))[-2].key]
    store.drop(last)
    publish(study, store, shipped)
    assert released_values(shipped) == [2, 4, 15]
    fresh = Store(tmp_path / "fresh")  # without lite's records
    fresh.write_plan(next(plan for plan in store.plans("toy") if plan.label == "paper"))
    fresh.write(last)
    shutil.copytree(store.artifact_dir(last.trial), fresh.artifact_dir(last.trial))
    publish(study, fresh, shipped)
    assert released_values(shipped) == [2, 4, 6]
    assert sum("value" in r.artifacts for r in shipped.latest("toy").values()) == 6


def test_classes_take_one_another_s_place_and_numbers_of_a_preset_do_not_matter():
    def trials(epochs, classes, layers=(1,)):
        settings = [
            {"dataset": "toy", "klass": klass, "layer": layer, "epochs": epochs * layer}
            for klass in classes
            for layer in layers
        ]
        return [Trial("toy", "generator", 1, each, 0, {}) for each in settings]

    lite, paper = (trials(epochs, "ab", (1, 2)) for epochs in (10, 100))
    assert _replaced(lite, paper, {paper[0].key, paper[3].key}) == {lite[0].key, lite[3].key}
    assert _replaced(lite, paper, set()) == set()
    assert _replaced(lite, [], set()) == set()


def test_what_was_reused_without_all_artifacts_does_not_take_their_names(with_weights, tmp_path):
    study, workdir, shipped = with_weights
    study = dataclasses.replace(study, unreleased=lambda trial: trial.replicate == 1)
    publish(study, Store(workdir), shipped)
    named = {key: set(record.artifacts) for key, record in shipped.latest("toy").items()}
    other = Store(tmp_path / "other")
    plan, trials = make_plan(study, parse(study, []))
    reuse_shipped(study, trials, other)
    other.write_plan(plan)
    publish(study, other, shipped)
    assert {key: set(record.artifacts) for key, record in shipped.latest("toy").items()} == named


def test_what_was_not_shipped_is_made_anew_when_something_reads_it(with_weights, tmp_path):
    study, workdir, shipped = with_weights
    study = dataclasses.replace(study, unreleased=lambda trial: trial.replicate == 1)
    publish(study, Store(workdir), shipped)
    other = Store(tmp_path / "other")
    _, trials = make_plan(study, parse(study, []))
    assert "6 shipped records" in reuse_shipped(study, trials, other)  # squares are there already
    first = study.trial("source", {"scale": 2.0, "how": "well"}, 1)
    taken = other.latest("toy")[first.key]
    assert not taken.artifacts
    with pytest.raises(FileNotFoundError, match="Received: a record without it.* remove .*json"):
        other.artifact(taken, "value")

    for line in shipped.root.rglob("square.jsonl"):  # as if nobody had shipped a square
        line.unlink()
    for record in list(other.latest("toy").values()):
        if record.trial.stage == "square":
            other.drop(record)
    assert "0 shipped records" in reuse_shipped(study, trials, other)
    left = {trial.key for trial in trials} - other.done_keys("toy")
    assert left == {t.key for t in trials if t.stage == "square"} | {first.key}
    assert study.main([f"--workdir={other.root}"]) == 0
    assert values_of(other.root) == [4, 16, 36]


def with_reads(study, names):
    """The study whose squares say what they read of a source."""
    square = dataclasses.replace(
        study.stages["square"], reads=lambda trial, context: {"source": names}
    )
    return dataclasses.replace(study, stages=study.stages | {"square": square})


@pytest.fixture
def without_squares(toy, tmp_path, monkeypatch):
    """Shipped sources whose records name no artifact, and no square; `(study, trials, workdir)`."""
    study, workdir = toy
    assert run(toy) == 0
    monkeypatch.setattr("replicate.runs.publish.LOCAL", ("value",))
    shipped = Store(tmp_path / "project" / "results")
    publish(study, Store(workdir), shipped)
    next(shipped.root.rglob("square.jsonl")).unlink()
    return study, make_plan(study, parse(study, []))[1], Store(tmp_path / "other")


def test_what_no_shipped_record_names_is_made_anew_when_something_reads_it(without_squares):
    study, trials, other = without_squares
    assert "3 shipped records" in reuse_shipped(with_reads(study, ()), trials, other)
    study = with_reads(study, ["value"])
    assert "0 shipped records" in reuse_shipped(study, trials, other)  # taken ones are dropped
    assert not other.done_keys("toy")
    assert study.main([f"--workdir={other.root}", "--reuse_shipped"]) == 0
    assert values_of(other.root) == [4, 16, 36]


def test_a_workdir_s_own_records_are_never_dropped(without_squares, toy):
    """Not where a study names an artifact that there is not, either."""
    study, trials, _ = without_squares
    own = Store(toy[1])
    for record in list(own.latest("toy").values()):
        if record.trial.stage == "square":
            own.drop(record)
    before = own.done_keys("toy")
    reuse_shipped(with_reads(study, ["value", "weights_never"]), trials, own)
    assert own.done_keys("toy") == before


@pytest.fixture
def shipped_toy(toy, tmp_path):
    """A study all of whose trials are shipped, its trials, and a new workdir."""
    study, workdir = toy
    assert run(toy) == 0
    publish(study, Store(workdir), Store(tmp_path / "project" / "results"))
    return study, make_plan(study, parse(study, []))[1], Store(tmp_path / "other")


def test_what_another_process_runs_is_not_taken(shipped_toy, capsys):
    study, trials, other = shipped_toy
    with FileLock(other.lock_path(trials[0])):
        assert study.main([f"--workdir={other.root}", "--reuse_shipped"]) == 1
    out, errors = capsys.readouterr()
    assert "5 shipped records taken into" in out and ", 1 left to another process" in out
    assert "1 trials are run by another process." in errors
    assert not other.artifact_dir(trials[0]).exists()
    assert study.main([f"--workdir={other.root}", "--reuse_shipped"]) == 0
    assert values_of(other.root) == [4, 16, 36]


def test_what_another_process_has_done_meanwhile_is_not_taken(shipped_toy):
    study, trials, other = shipped_toy
    reuse = choose_shipped(study, trials, other)
    other.artifact_dir(trials[0]).mkdir(parents=True)
    (other.artifact_dir(trials[0]) / "value.txt").write_text("its own")
    other.write(Record(trials[0], "its-own", "done", created="9"))
    assert "5 shipped records" in take_shipped(reuse, other)
    assert "0 shipped records" in take_shipped(reuse, other)  # as two commands at once
    assert [record.run_id for record in other.records("toy")[trials[0].key]] == ["its-own"]
    assert (other.artifact_dir(trials[0]) / "value.txt").read_text() == "its own"


def test_what_another_process_has_dropped_meanwhile_stays_dropped(without_squares):
    study, trials, other = without_squares
    reuse_shipped(with_reads(study, ()), trials, other)
    reuse = choose_shipped(with_reads(study, ["value"]), trials, other)
    assert len(reuse.dropped) == 3
    for _ in range(2):
        take_shipped(reuse, other)
    assert not other.done_keys("toy")


def test_a_plan_shows_what_would_be_taken_and_takes_nothing(toy, tmp_path, capsys):
    study, workdir = toy
    assert run(toy) == 0
    publish(study, Store(workdir), Store(tmp_path / "project" / "results"))
    other = tmp_path / "other"
    capsys.readouterr()
    assert study.main([f"--workdir={other}", "--plan", "--reuse_shipped", "--replicates=2"]) == 0
    assert "source           2 trials,     0 done,     2 shipped, about 0 s left" in (
        capsys.readouterr().out
    )
    assert not other.exists()


def test_workers_run_side_by_side_on_cores_of_their_own(toy, every_core):
    """Two sources wait for each other; a third dies and is tried again beside them."""
    assert run(toy, "--workers=2", "--bad=0:meets,1:meets,2:dies-once") == 0
    assert values_of(toy[1]) == [4, 16, 36]


def test_workers_share_the_cores():
    assert shares([0, 1, 2, 3, 4], 2) == [[0, 1], [2, 3, 4]]
    assert shares([0, 2], 1) == [[0, 2]]


def test_long_groups_are_divided_among_workers():
    trials = tuple(Trial("toy", "square", 1, {"power": power}, 0) for power in range(7))
    pieces = divided([Group("square", trials, 1000.0, "plain")])
    assert [len(piece.trials) for piece in pieces] == [2, 2, 3]
    assert sum((piece.trials for piece in pieces), ()) == trials
    assert sum(piece.seconds for piece in pieces) == pytest.approx(1000)


def test_what_others_wait_for_longest_starts_first():
    """A chain of 10 + 100 + 5 seconds against single groups of 50 and 110."""

    def batch(name, seconds, inputs=()):
        keys = {f"i{n}": other[0].trials[0].key for n, other in enumerate(inputs)}
        trial = Trial("toy", name, 1, {}, 0, inputs=keys)
        return [Group(name, (trial,), seconds, "plain")]

    short, long = batch("short", 50.0), batch("long", 110.0)
    first = batch("first", 10.0)
    second = batch("second", 100.0, [first])
    third = batch("third", 5.0, [second, short])
    in_order = [short, first, long, second, third]
    assert longest_chain_first(in_order) == [first, long, second, short, third]


def test_a_cluster_gets_long_groups_in_pieces(toy, monkeypatch):
    study, workdir = toy
    made = []

    def note(self, batches, submit, room):
        made.extend(batches)

    monkeypatch.setattr("replicate.runs.executor.dask_pool", contextlib.nullcontext)
    monkeypatch.setattr(Executor, "_run", note)
    trials = tuple(Trial("toy", "square", 1, {"power": power}, 0) for power in range(4))
    settings = Settings(executor="dask", scheduler="tcp://none:1")
    executor = Executor(study, Store(workdir), settings, lambda event: None)
    executor.run([Group("square", trials, 146 * 3600.0, "plain")])
    assert [[len(group.trials) for group in batch] for batch in made] == [[1]] * 4


def test_commands_on_one_workdir_have_job_files_of_their_own(toy):
    study, workdir = toy
    _, trials = make_plan(study, parse(study, ["--stages=source"]))
    executor = Executor(study, Store(workdir), Settings(), print)
    commands = [executor.command([part], parent=0) for part in (trials, trials[:1])]
    jobs = [json.loads(Path(command[-1]).read_text()) for command in commands]
    assert [len(job["parts"][0]) for job in jobs] == [3, 1]


def test_dask_runs_the_same_trials(toy):
    distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as c:
        assert run(toy, "--executor=dask", f"--scheduler={c.scheduler_address}") == 0
    assert values_of(toy[1]) == [4, 16, 36]


@pytest.mark.skipif(not hasattr(signal, "getitimer"), reason="no timers here")
def test_no_timer_s_signal_interrupts_a_worker():
    """Signals that arrive in some native convolutions damage the heap."""
    from replicate.runs.worker import _die_with_parent

    _die_with_parent(os.getppid())
    timers = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
    assert [signal.getitimer(timer) for timer in timers] == [(0.0, 0.0)] * 3


def test_lanes_have_threads_of_both_kinds():
    """XLA runs loops in the pool within operations: with one thread there, lanes take turns."""
    from replicate.runs.worker import thread_profile

    assert thread_profile("lanes", 3) == {"intra": 3, "inter": 3}
    assert thread_profile("generator") == {"intra": usable_cores(), "inter": 1}


@pytest.mark.parametrize(
    ("cores", "intra", "inter"), [(1, 1, 1), (2, 1, 2), (3, 1, 3), (8, 2, 4), (30, 7, 4)]
)
def test_operations_side_by_side_share_the_cores(cores, intra, inter, monkeypatch):
    from replicate.runs import worker

    monkeypatch.setattr(worker, "usable_cores", lambda: cores)
    assert worker.thread_profile("operations") == {"intra": intra, "inter": inter}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot pin a process here")
def test_a_pinned_process_takes_no_more_threads_than_its_cores():
    code = "from replicate.runs.worker import thread_profile; print(thread_profile('lanes'))"
    command = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {code}"
    output = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "{'intra': 1, 'inter': 1}"


def test_short_groups_of_one_profile_share_a_process():
    def group(stage, seconds, threads):
        return Group(stage, (), seconds, threads)

    made = [
        group("generator", 250, "generator"),
        group("blur", 5, "plain"),
        group("synthetic", 40, "generator"),
        group("evaluation", 40, "generator"),
        group("classifier", 10, "lanes"),
    ]
    stages = [[each.stage for each in batch] for batch in batches(made)]
    assert stages == [["generator", "blur", "synthetic"], ["evaluation"], ["classifier"]]


def test_parts_of_a_shared_process_wait_for_nothing_else(toy, monkeypatch):
    """Sources and squares are one process; the squares of a failed source are left."""
    jobs, command = [], Executor.command

    def noted(self, parts, parent):
        jobs.append([len(part) for part in parts])
        return command(self, parts, parent)

    monkeypatch.setattr(Executor, "command", noted)
    assert run(toy, "--bad=1:raises") == 1
    assert jobs == [[1, 1, 1, 3]]
    assert values_of(toy[1]) == [4, 36]
    assert not list(toy[1].rglob("jobs/*.json"))
