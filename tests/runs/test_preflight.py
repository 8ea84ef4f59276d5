"""Data sets and weights are looked for before anything is trained."""

import dataclasses
import hashlib

import pytest

from replicate import cgan_ood
from replicate.data import download
from replicate.data.dataset import DataUnavailable
from replicate.evaluation import extractors
from replicate.models.stylegan2.files import OFFICIAL_URL
from replicate.runs import preflight
from replicate.runs.flags import parse
from replicate.runs.preflight import in_vain, needs_of, runnable
from replicate.runs.store import Store
from replicate.runs.trial import Trial
from replicate.stages.stylegan2_sets import OFFICIAL


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """No photographs on this machine, and no host that answers."""
    for name in ("TFDS_DATA_DIR", "REPLICATE_CACHE", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("REPLICATE_FIDS30_DIR", raising=False)

    def silent(urls, *_):
        raise DataUnavailable("no answer")

    monkeypatch.setattr(download, "probe", silent)


def run(toy, *arguments):
    study, workdir = toy
    return study.main([f"--workdir={workdir}", *arguments])


def test_a_plan_says_where_data_sets_are(toy, capsys):
    assert run(toy, "--dataset=mnist,fids30", "--plan") == 0
    output = capsys.readouterr().out
    assert "\n  mnist is found: package, " in output
    assert "\n  fids30 is absent: no host answers; set REPLICATE_FIDS30_DIR" in output
    assert "source           6 trials,     0 done,     3 left out, about 3 s left" in output
    assert output.endswith("about 6 s left, without 6 trials that cannot run\n")
    assert not toy[1].exists()


def test_the_other_data_set_s_trials_run_and_a_line_says_what_is_left_out(toy, capsys):
    assert run(toy, "--dataset=fids30,mnist") == 0
    captured = capsys.readouterr()
    (line,) = (line for line in captured.err.splitlines() if "fids30" in line)
    assert line.startswith("toy: 6 trials are left out: fids30 is absent: no host answers; set ")
    assert "6 of 12 trials done" in captured.out and "6 trials were left out." in captured.err
    records = Store(toy[1]).latest("toy").values()
    assert {record.trial.settings["dataset"] for record in records} == {"mnist"}
    assert all(record.done for record in records)
    assert run(toy, "--dataset=fids30,mnist") == 0  # again, with nothing left that can run
    assert "6 trials are left out" in capsys.readouterr().err


def test_nothing_starts_where_the_only_data_set_is_absent(toy, capsys):
    assert run(toy, "--dataset=fids30") == 2
    assert "6 trials are left out: fids30 is absent" in capsys.readouterr().err
    assert not toy[1].exists()


def test_a_failure_beside_an_absent_data_set_is_one(toy):
    assert run(toy, "--dataset=fids30,mnist", "--bad=1:raises") == 1


def test_trials_that_load_nothing_run_without_the_data(toy):
    study, _ = toy
    values = parse(study, ["--dataset=fids30"])
    stages = {
        name: dataclasses.replace(stage, loads=lambda trial: trial.replicate == 0)
        for name, stage in study.stages.items()
    }
    trials = study.declare(values)
    (need,) = needs_of(dataclasses.replace(study, stages=stages), trials, values)
    assert need.keys == {trial.key for trial in trials if trial.replicate == 0}


def test_a_study_s_own_data_and_a_cluster_s_are_not_looked_for(toy):
    study, _ = toy
    values = parse(study, ["--dataset=fids30"])
    own = dataclasses.replace(study, loaders={"fids30": lambda data_dir: None})
    assert not needs_of(own, study.declare(values), values)
    values = parse(study, ["--dataset=fids30", "--executor=dask", "--scheduler=tcp://none:1"])
    assert not needs_of(study, study.declare(values), values)


def test_what_waits_for_an_absent_data_set_is_left_out_too():
    source = Trial("toy", "source", 1, {"dataset": "fids30"})
    user = Trial("toy", "square", 1, {}, 0, {"source": source.key})
    need = preflight.Need("fids30", preflight.ABSENT, "", frozenset([source.key]))
    other = Trial("toy", "source", 1, {"dataset": "mnist"})
    assert runnable([source, user, other], set(), [need]) == [other]
    assert runnable([user], {source.key}, [need]) == [user]
    assert in_vain([source], [need]) and not in_vain([source, other], [need])


@pytest.fixture
def inception(toy, monkeypatch):
    """Gives the one need of a trial that measures with InceptionV3, whose weights are `w`."""
    study, _ = toy
    monkeypatch.setattr(preflight, "INCEPTION_MD5", hashlib.md5(b"w").hexdigest())
    trial = study.trial("square", {"extractor": "inception_imagenet"})

    class Values:
        executor, data_dir, preset = "local", None, "paper"

    def need(given=None):
        Values.inception_weights = given
        (found,) = needs_of(study, [trial], Values)
        assert found.keys == {trial.key} and in_vain([trial], [found]) == found.absent
        return found

    return need


def test_inception_s_weights_are_looked_for_too(inception, tmp_path, monkeypatch):
    assert inception().absent and "--inception_weights=<path>" in inception().where
    cached = tmp_path / "KERAS_HOME" / "models" / preflight.INCEPTION_FILE
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"w")
    assert (inception().state, inception().where) == ("found", str(cached))
    cached.write_bytes(b"damaged")
    assert inception().absent and "holds something else" in inception().where
    cached.unlink()
    monkeypatch.setattr(download, "probe", lambda urls: None)
    assert inception().where == preflight.INCEPTION_URL


def test_a_wrong_file_of_inception_s_weights_is_refused(inception, tmp_path):
    (tmp_path / "right").write_bytes(b"w")
    (tmp_path / "wrong").write_bytes(b"v")
    assert inception(str(tmp_path / "right")).state == "found"
    with pytest.raises(ValueError, match="Received: .*wrong holds something else"):
        inception(str(tmp_path / "wrong"))


def test_the_official_network_is_looked_for_too(tmp_path, monkeypatch, capsys):
    arguments = ["--dataset=cifar10", "--network=official", "--preset=smoke", "--plan"]

    def planned():
        assert cgan_ood.STUDY.main([f"--workdir={tmp_path / 'runs'}", *arguments]) == 0
        return capsys.readouterr().out

    assert "NVIDIA's StyleGAN2-ADA is absent: its host does not answer; put https" in planned()
    assert "without 13 trials that cannot run" in planned()
    monkeypatch.setattr(download, "probe", lambda urls: None)
    assert f"NVIDIA's StyleGAN2-ADA is to be fetched: {preflight.NETWORK_URL}" in planned()
    values = parse(cgan_ood.STUDY, arguments)
    trials = cgan_ood.STUDY.declare(values)
    cached = tmp_path / "REPLICATE_CACHE" / "stylegan2" / "cifar10.pkl"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert needs_of(cgan_ood.STUDY, trials, values)[-1].where == str(cached)
    users = [trial for trial in trials if trial.stage != "synthetic"]
    assert [need.name for need in needs_of(cgan_ood.STUDY, users, values)] == ["cifar10"]


def test_the_network_is_the_one_that_is_loaded():
    assert preflight.NETWORK_URL == OFFICIAL_URL and preflight.NETWORK_SOURCE == OFFICIAL


def test_the_weights_are_those_that_are_loaded():
    for name in ("INCEPTION_FILE", "INCEPTION_URL", "INCEPTION_MD5"):
        assert getattr(preflight, name) == getattr(extractors, name)
