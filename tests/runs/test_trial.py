import pytest

from replicate.runs.trial import Trial, spec_differences


def trial(**changed):
    values = dict(
        study="s", stage="classifier", stage_version=1, settings={"p": 0.5, "arm": "real"}
    )
    return Trial(**{**values, **changed})


def test_key_is_the_specification_and_nothing_else():
    assert trial().key == trial(settings={"arm": "real", "p": 0.5}).key  # order does not matter
    for changed in (
        {"study": "t"},
        {"stage": "generator"},
        {"stage_version": 2},
        {"settings": {"p": 0.5, "arm": "mix"}},
        {"replicate": 1},
        {"inputs": {"synthetic": "00"}},
    ):
        assert trial(**changed).key != trial().key, changed


def test_key_is_stable():
    # A change here orphans every stored record: raise stage_version instead.
    expected = "d6b77fe41caa6831aeec5ba408a3789413f5626fd0643dd70b6c976c1497a1fd"
    assert trial().key == expected


def test_survives_a_round_trip():
    original = trial(replicate=3, inputs={"synthetic": "ab"})
    assert Trial.from_spec(original.spec) == original


@pytest.mark.parametrize("settings", [{"p": float("nan")}, {"p": [1, 2]}, {"p": float("inf")}])
def test_refuses_settings_that_are_not_finite_scalars(settings):
    with pytest.raises((TypeError, ValueError), match="Received: p="):
        trial(settings=settings)


def test_refuses_a_negative_replicate():
    with pytest.raises(ValueError, match="replicate=-1"):
        trial(replicate=-1)


def test_differences_name_every_changed_setting():
    lines = spec_differences(trial().spec, trial(settings={"p": 0.1, "arm": "real"}).spec)
    assert lines == ["settings.p: expected 0.5, received 0.1"]


def test_a_name_tells_ten_generators_apart():
    classes = ("cat", "dog")
    made = [trial(settings={"dataset": "cifar10", "klass": name, "seed": 0}) for name in classes]
    assert made[0].title == "classifier dataset=cifar10 klass=cat #0"
    assert made[0].describe() == f"{made[0].title} ({made[0].key[:8]})"
    assert made[1].title == "classifier dataset=cifar10 klass=dog #0"
    digit = trial(stage="generator", settings={"digit": 7}, replicate=2)
    assert digit.title == "generator digit=7 #2"
