import dataclasses
import json

import pytest
from absl import flags

from replicate.runs.flags import overrides, parse, preset_values


def test_a_preset_s_values_apply_and_a_flag_of_the_user_wins(toy):
    study, _ = toy
    assert parse(study, []).scale == 2
    assert parse(study, ["--preset=smoke"]).scale == 7
    assert parse(study, ["--scale=5", "--preset", "smoke"]).scale == 5
    assert overrides(study, parse(study, ["--preset=smoke", "--scale=5"])) == {"scale": 5}


def test_a_preset_in_a_flagfile_is_one_on_the_command_line(toy, tmp_path):
    study, _ = toy
    (tmp_path / "my.cfg").write_text("--preset=smoke\n")
    (tmp_path / "outer.cfg").write_text(f"--flagfile={tmp_path / 'my.cfg'}\n")
    for arguments in (
        [f"--flagfile={tmp_path / 'my.cfg'}"],
        ["--preset=paper", "--flagfile", str(tmp_path / "outer.cfg")],
    ):
        values = parse(study, arguments)
        assert (values.preset, values.scale, values.replicates) == ("smoke", 7, 1)
        assert overrides(study, values) == {}


def test_a_flagfile_of_another_study_or_of_no_flags_is_one_short_line(toy, tmp_path, capsys):
    study, workdir = toy
    preset = tmp_path / "cifar_dcgan.lite.cfg"
    preset.write_text("--replicates=1\n")
    prose = tmp_path / "README.md"
    prose.write_text("so many words\n" * 100)
    for path, message in (
        (preset, "expected flags of toy; received a preset of cifar_dcgan"),
        (prose, "expected flags only; received 'so many words so "),
    ):
        assert study.main([f"--flagfile={path}", f"--workdir={workdir}"]) == 2
        captured = capsys.readouterr().err
        assert message in captured and captured.count("\n") == 1 and len(captured) < 300


def test_flags_of_two_studies_do_not_meet(toy):
    study, _ = toy
    first, second = parse(study, ["--scale=5"]), preset_values(study, "paper")
    assert (first.scale, second.scale) == (5, 2)
    assert "scale" not in flags.FLAGS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale=0"], "flag --scale=0.0: expected a positive number"),
        (["--preset=huge"], "flag --preset=huge"),
        (["--sclae=3"], "sclae"),
        (["--extensions=cube"], "expected any of cubes"),
        (["stray"], "received 'stray'"),
        (["--executor=dask"], "--scheduler=tcp"),
        (["--executor=dask", "--scheduler=foo"], "--scheduler=foo: expected tcp://host:port"),
        (["--scheduler=tcp://host:8786"], "8786: expected --executor=dask beside it"),
        (["--workers=4096"], "flag --workers=4096: expected at most one a core"),
        (["--preset=lite"], "toy.lite.cfg"),
        (["--data_dir=/no/such/folder"], "Received: '/no/such/folder', which does not exist"),
        ([f"--data_dir={__file__}"], f"Received: {__file__!r}, which is a file"),
        (["--stages=sourse"], "Expected --stages among source, square"),
        (["--powers="], "flag --powers=[]: expected any of 2, 3"),
        (["--seed=-1"], "flag --seed=-1"),
        (
            ["--executor=dask", "--scheduler=tcp://none:1", "--workers=2"],
            "flag --workers=2: expected with --executor=local only",
        ),
        (
            ["--stages=square", "--powers=3"],
            "Expected flags that ask for trials. Received: --workdir=",
        ),
    ],
)
def test_bad_flags_are_one_clear_line(toy, capsys, arguments, message):
    study, workdir = toy
    assert study.main([f"--workdir={workdir}", *arguments]) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1
    assert not workdir.exists()


@pytest.mark.parametrize("below", ["", "below"])
def test_a_workdir_that_is_a_file_is_one_clear_line(toy, tmp_path, capsys, below):
    study, _ = toy
    (tmp_path / "file").touch()
    assert study.main([f"--workdir={tmp_path / 'file' / below}"]) == 2
    captured = capsys.readouterr().err
    assert f"expected a folder; received {tmp_path / 'file'}, a file" in captured
    assert captured.count("\n") == 1


def test_a_workdir_without_a_name_is_one_clear_line(toy, capsys):
    assert toy[0].main(["--workdir="]) == 2
    captured = capsys.readouterr().err
    assert "--workdir=: expected a folder" in captured and captured.count("\n") == 1


@pytest.mark.parametrize("done", [False, True])
def test_a_workdir_that_cannot_be_written_is_one_clear_line(toy, capsys, done):
    study, workdir = toy
    if done:
        assert study.main([f"--workdir={workdir}"]) == 0
        (workdir / "toy" / "plans" / "paper.json").unlink()
        (workdir / "toy" / "plans").rmdir()
        (workdir / "toy" / "plans").touch()
    else:
        workdir.mkdir()
        (workdir / "toy").touch()
    capsys.readouterr()
    assert study.main([f"--workdir={workdir}"]) == 2
    captured = capsys.readouterr().err
    assert str(workdir / "toy") in captured and captured.count("\n") == 1


@pytest.mark.parametrize(
    "changed, named",
    [
        (lambda record: record["spec"]["settings"].update(power=7), "with key"),
        (lambda record: record.update(schema=2), "schema=2"),
        (lambda record: record["spec"].update(replicate=-1), "-1"),
        (lambda record: record.pop("spec"), "KeyError('spec')"),
        ("cut", "Unterminated"),
        (b"\xff\xfe" * 100, "Expecting value"),
    ],
    ids=["other spec", "other schema", "bad spec", "no spec", "cut off", "not text"],
)
@pytest.mark.parametrize("flags", [(), ("--plan",)])
def test_a_workdir_with_a_record_of_another_specification_is_refused(
    toy, capsys, changed, named, flags
):
    study, workdir = toy
    assert study.main([f"--workdir={workdir}"]) == 0
    path = sorted((workdir / "toy" / "records").glob("*.json"))[0]
    text = path.read_text()
    if isinstance(changed, bytes):
        path.write_bytes(changed)
    elif changed == "cut":
        path.write_text(text[: text.index('"status": "done"') + 20])
    else:
        record = json.loads(text)
        changed(record)
        path.write_text(json.dumps(record))
    before = sorted(workdir.rglob("*"))
    capsys.readouterr()
    assert study.main([f"--workdir={workdir}", *flags]) == 2
    captured = capsys.readouterr().err
    assert str(path) in captured and named in captured and captured.count("\n") == 1
    assert captured.endswith("Remove this file or give another --workdir\n")
    assert sorted(workdir.rglob("*")) == before


@pytest.fixture
def pix(toy, tmp_path, monkeypatch):
    """A study in a folder of its own, still without presets."""
    (tmp_path / "pix.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return dataclasses.replace(toy[0], name="pix", module="pix")


def test_a_preset_of_one_s_own_study_is_looked_for_beside_its_module(pix, tmp_path, capsys):
    assert pix.main([]) == 2
    told = f"presets of pix (none yet). Received: --preset=paper, and no file {tmp_path}/pix.paper"
    assert told in capsys.readouterr().err
    (tmp_path / "pix.paper.cfg").write_text("--scale=9\n")
    assert parse(pix, []).scale == 9


@pytest.mark.parametrize("module", ["", "pixx", "no.pix"])
@pytest.mark.parametrize("flag", ["--plan", "--help"])
def test_a_study_s_module_that_cannot_be_found_is_named(pix, capsys, module, flag):
    study = dataclasses.replace(pix, module=module)
    assert study.main([flag]) == 2
    told = f"Study(module=...). Received: {module or 'replicate.pix'!r}, which cannot be found\n"
    assert capsys.readouterr().err.endswith(told)


def test_help_lists_presets_that_the_study_has(toy, capsys):
    assert toy[0].main(["--help"]) == 0
    assert "--preset: <paper|smoke>: a set of settings" in capsys.readouterr().out


def test_help_lists_defaults(toy, capsys):
    study, _ = toy
    assert study.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "--scale: what numbers are multiplied by (default: '2.0')" in text
