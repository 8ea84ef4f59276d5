from types import SimpleNamespace

import keras
import numpy as np
import pytest

from replicate.runs.trial import Trial
from replicate.training.checkpoints import Checkpoints, load_weights, save_weights


def trial(**settings):
    return Trial("study", "generator", 1, {"epochs": 2, **settings})


def network(seed=0):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dropout(0.5, seed=seed)]
    )
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    return model


def owners(model):
    return {"model": model, "optimizer": model.optimizer}


def state(model):
    return [v.numpy().copy() for v in [*model.variables, *model.optimizer.variables]]


def test_everything_comes_back_also_random_state(tmp_path):
    model = network()
    model(np.ones((2, 4)), training=True)  # advances the dropout's generator
    model.optimizer.iterations.assign(17)
    saved = state(model)
    Checkpoints(tmp_path, trial(), owners(model)).save(5, {"loss": np.arange(3.0)})
    other = network(seed=1)
    step, arrays = Checkpoints(tmp_path, trial(), owners(other)).restore()
    assert step == 5
    assert arrays["loss"].tolist() == [0, 1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(state(other), saved, strict=True))
    assert any(v.path.endswith("seed_generator_state") for v in other.variables)


def test_the_time_of_all_processes_is_added_up(tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("replicate.training.checkpoints.time", clock)

    def go_on(now):
        clock.now = now
        checkpoints = Checkpoints(tmp_path, trial(), owners(network()))
        checkpoints.restore()
        return checkpoints

    first = go_on(100.0)
    clock.now = 130.0
    first.save(1)
    clock.now = 170.0  # what is not in a checkpoint is lost
    second = go_on(1000.0)
    clock.now = 1005.5
    second.save(2)
    found = [first.earlier_seconds, second.earlier_seconds, go_on(0.0).earlier_seconds]
    assert found == [0.0, 30.0, 35.5]


def test_nothing_there_means_from_the_start(tmp_path):
    assert Checkpoints(tmp_path / "none", trial(), owners(network())).restore() == (0, {})


def test_the_last_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, trial(), owners(network()))
    for step in (1, 2, 9, 10):
        checkpoints.save(step)
    assert [p.name for p in checkpoints.paths()] == ["step-9.safetensors", "step-10.safetensors"]


def test_a_damaged_file_falls_back_to_the_one_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, trial(), owners(network()))
    checkpoints.save(1)
    last = checkpoints.save(2)
    last.write_bytes(last.read_bytes()[:50])
    with pytest.warns(UserWarning, match=rf"Expected a checkpoint. Received: {last}"):
        assert checkpoints.restore()[0] == 1


def test_another_specification_is_refused_with_what_differs(tmp_path):
    Checkpoints(tmp_path, trial(), owners(network())).save(1)
    with pytest.raises(ValueError, match=r"settings.epochs: expected 3, received 2"):
        Checkpoints(tmp_path, trial(epochs=3), owners(network())).restore()


def test_another_network_is_refused(tmp_path):
    Checkpoints(tmp_path, trial(), owners(network())).save(1)
    with pytest.raises(ValueError, match="Differing"):
        Checkpoints(tmp_path, trial(), {"model": network()}).restore()


def test_weights_are_float16_and_come_back(tmp_path):
    model, path = network(), tmp_path / "w.safetensors"
    save_weights(path, {"net": model}, {"trial": "x"})
    other = network(seed=3)
    assert load_weights(path, {"net": other}) == {"trial": "x"}
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(ours, theirs.astype(np.float16).astype(np.float32))
    assert path.stat().st_size < 1000


def test_weights_beyond_float16_are_refused(tmp_path):
    model = network()
    model.layers[0].kernel.assign(np.full((4, 3), 1e6, np.float32))
    with pytest.raises(ValueError, match="float16"):
        save_weights(tmp_path / "w.safetensors", {"net": model}, {})
    assert not list(tmp_path.iterdir())


def test_weights_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, {"net": network()}, {})
    wider = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)])
    with pytest.raises(ValueError, match="Differing"):
        load_weights(path, {"net": wider})
