"""Released weights are used where a set is drawn from them; other generators are trained anew."""

import pytest

from replicate import cifar_dcgan, fruits_gan
from replicate.runs.files import sha256_file
from replicate.runs.flags import parse
from replicate.runs.publish import choose_shipped
from replicate.runs.store import Record, Store


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Ships a record of each trial, with weights but without sets, as `publish` would."""
    monkeypatch.setattr("replicate.runs.publish.project_root", lambda: tmp_path)
    store = Store(tmp_path / "results")

    def ship(trials, **metrics):
        records = []
        for trial in trials:
            artifacts = {}
            if trial.stage in ("generator", "judge"):
                path = tmp_path / "results" / "artifacts" / trial.key / "weights.safetensors"
                path.parent.mkdir(parents=True)
                path.write_text(trial.key)
                artifacts["weights"] = {"file": path.name, "sha256": sha256_file(path), "bytes": 64}
            if trial.stage == "synthetic":
                artifacts["set"] = {"file": "set.safetensors", "sha256": "0", "bytes": 1}
            given = metrics if trial.stage == "selection" else {}
            records.append(Record(trial, "theirs", "done", given, artifacts=artifacts, created="1"))
        store.write_shipped(trials[0].study, records)

    return ship


def left(study, trials, tmp_path):
    """(stage, point) of what `--reuse_shipped` leaves to run."""
    taken = choose_shipped(study, trials, Store(tmp_path / "runs")).taken_keys
    return sorted((t.stage, t.settings.get("point", "")) for t in trials if t.key not in taken)


@pytest.mark.parametrize(("point", "anew"), [("last", []), ("half", [("generator", "")])])
def test_a_set_of_half_way_needs_its_generator(shipped, tmp_path, point, anew):
    trials = cifar_dcgan.STUDY.declare(parse(cifar_dcgan.STUDY, ["--classes=horse"]))
    missing = ("evaluation", point)
    shipped([t for t in trials if (t.stage, t.settings.get("point")) != missing])
    expected = sorted([*anew, missing, ("synthetic", point)])
    assert left(cifar_dcgan.STUDY, trials, tmp_path) == expected


@pytest.mark.parametrize(
    ("point", "epoch", "anew"),
    [
        ("picked", 0, False),
        ("last", 0, True),
        ("lowest_distance", 390, False),  # which is the picked one of strawberries
        ("lowest_distance", 90, True),
    ],
)
def test_a_set_of_another_epoch_needs_its_generator(shipped, tmp_path, point, epoch, anew):
    flags = ["--dataset=fids30", "--extensions=other_epochs"]
    trials = fruits_gan.STUDY.declare(parse(fruits_gan.STUDY, flags))
    trials = [t for t in trials if t.settings.get("klass") in (None, "strawberries")]
    trials = [t for t in trials if t.stage != "classifier"]
    missing = ("evaluation", point)
    shipped([t for t in trials if (t.stage, t.settings.get("point")) != missing], epoch=epoch)
    expected = [missing, *([("generator", "")] if anew else []), ("synthetic", point)]
    assert left(fruits_gan.STUDY, trials, tmp_path) == expected


def test_where_no_choice_of_an_epoch_is_shipped_every_kept_one_is_needed(shipped, tmp_path):
    flags = ["--dataset=fids30", "--extensions=other_epochs"]
    trials = fruits_gan.STUDY.declare(parse(fruits_gan.STUDY, flags))
    trials = [t for t in trials if t.settings.get("klass") in (None, "strawberries")]
    trials = [t for t in trials if t.stage in ("generator", "judge", "selection")]
    shipped([t for t in trials if t.stage != "selection"])
    assert left(fruits_gan.STUDY, trials, tmp_path) == [("generator", ""), ("selection", "")]
