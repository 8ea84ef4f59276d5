"""What holds for every study."""

import pytest

from replicate.runs.flags import PRESETS, flag_values, preset_path, preset_values
from replicate.runs.plan import preset_trials
from replicate.runs.study import SOURCES, load_study

ALL = [load_study(f"replicate.{name}") for name in SOURCES]
MNIST, CIFAR = ALL[:2]
STUDIES = pytest.mark.parametrize("study", ALL, ids=lambda study: study.name)


@STUDIES
def test_the_paper_preset_is_the_modules_defaults(study):
    """`--help` shows the paper's values; the flagfile must not drift from them."""
    paper, defaults = preset_values(study, "paper"), flag_values(study)
    for name in paper:
        if name not in ("flagfile", "undefok"):
            assert paper[name].value == defaults[name].default, name


@STUDIES
def test_inputs_are_declared_before_their_users(study):
    presets = [preset for preset in PRESETS if preset_path(study.name, preset).exists()]
    assert {"paper", "lite", "smoke"} <= set(presets)
    for preset in presets:
        seen = set()
        for trial in preset_trials(study, preset):
            assert seen.issuperset(trial.inputs.values()), trial.describe()
            seen.add(trial.key)


@pytest.mark.parametrize(
    ("study", "arguments", "message"),
    [
        (MNIST, ["--epochs=0"], "flag --epochs=0: expected a positive number"),
        (MNIST, ["--preset=papper"], "--preset=papper"),
        (MNIST, ["--points=0.5,2"], "expected shares in (0, 1]"),
        (MNIST, ["--points=half"], "expected shares in (0, 1]"),
        (MNIST, ["--points=0.000001,0.5", "--plan"], "Received: --points=0.000001\n"),
        (MNIST, ["--arms=real,mixed"], "expected any of real, synthetic"),
        (MNIST, ["--data_dir=/no/such"], "Received: '/no/such'"),
        (MNIST, ["--per_class=10"], "synthetic images"),
        (MNIST, ["--n_train=60001"], "60000"),
        (CIFAR, ["--classes=horse,zebra"], "expected any of airplane, automobile"),
        (CIFAR, ["--epochs=-1"], "flag --epochs=-1: expected a positive number"),
        (CIFAR, ["--n_per_class=5000"], "at most 4500"),
        (CIFAR, ["--gan_loss=hinge"], "--gan_loss=hinge"),
        (CIFAR, ["--inception_weights=/no/such"], "expected a file"),
        (CIFAR, ["--extensions=joint,coco"], "expected any of joint"),
    ],
)
def test_bad_flags_are_one_clear_line(study, arguments, message, capsys, tmp_path):
    assert study.main([f"--workdir={tmp_path / 'runs'}", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()
