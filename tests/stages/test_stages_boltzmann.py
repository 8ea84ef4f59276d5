"""Schedules and networks of the Boltzmann machines' trials; mnist_dbm's smoke test trains them."""

from types import SimpleNamespace

import numpy as np
import pytest

from replicate.evaluation.images import to_uint8
from replicate.runs.trial import Trial
from replicate.stages.boltzmann import (
    build_dbm,
    build_rbm,
    dbm_schedule,
    draw_images,
    levelled_off,
    machine_rows,
    rbm_schedule,
    trained_dbm,
)
from replicate.training.checkpoints import save_weights

COMMON = {"seed": 0, "klass": "all", "visible": "bernoulli"}


def settings(**own):
    return {**COMMON, "layer": 2, "epochs": 120, "learning_rate": 0.01, **own}


def test_the_second_machines_chain_grows_every_20_of_120_epochs():
    schedule = rbm_schedule(settings(), 1250)
    assert schedule["gibbs_steps"] == [k for k in range(1, 7) for _ in range(20)]
    np.testing.assert_allclose(schedule["learning_rates"][::20], 0.01 / np.arange(1, 7))
    np.testing.assert_allclose(
        np.divide(schedule["momenta"], schedule["learning_rates"])[[0, 4, 5, 119]],
        [0.5, 0.5, 0.9, 0.9],
    )
    assert schedule["steps_per_epoch"] == 1250 and schedule["l2"] == 2e-4


def test_few_epochs_go_through_the_whole_schedule():
    assert rbm_schedule(settings(epochs=6), 1)["gibbs_steps"] == [1, 2, 3, 4, 5, 6]
    first = rbm_schedule(settings(layer=1, epochs=3, learning_rate=0.05), 1)
    assert first["gibbs_steps"] == [1, 1, 1] and first["learning_rates"] == [0.05] * 3
    joint = {**COMMON, "learning_rate": 2e-3}
    assert dbm_schedule({**joint, "epochs": 1}, 1)["learning_rates"] == [2e-3]


def test_joint_training_slows_down_over_four_fifths_of_its_epochs():
    joint = {**COMMON, "epochs": 100, "learning_rate": 2e-3}
    schedule = dbm_schedule(joint, 590)
    rates = np.array(schedule["learning_rates"])
    assert len(rates) == 80 and rates[[0, -1]] == pytest.approx([2e-3, 5e-6])
    np.testing.assert_allclose(rates[1:] / rates[:-1], rates[1] / rates[0])  # geometric
    momenta = np.divide(schedule["momenta"], rates)
    assert momenta[[0, 9, -1]] == pytest.approx([0.5, 0.9, 0.9])


def test_joint_training_of_colour_images_slows_down_to_its_end():
    joint = {**COMMON, "visible": "gaussian", "epochs": 50, "learning_rate": 8e-5}
    rates = np.array(dbm_schedule(joint, 1)["learning_rates"])
    assert len(rates) == 50 and rates[[0, -1]] == pytest.approx([8e-5, 1e-5])


def test_sparsity_targets_are_of_mean_activities():
    """At its target a unit is left alone; the public code's example states targets and costs."""
    schedule = dbm_schedule({**COMMON, "epochs": 1, "learning_rate": 2e-3}, 1)
    assert schedule["sparsity_targets"] == (0.2, 0.1)
    assert schedule["sparsity_costs"] == (1e-4, 5e-5)


def test_joint_training_ends_when_the_error_stands_still_at_the_last_rate():
    joint = {**COMMON, "epochs": 10, "stop_tolerance": 0.01}  # the last rate from the eighth on
    still = [1.0] * 7 + [0.5, 0.501, 0.499, 0.5, 0.502, 0.5]
    assert [levelled_off(still[:n], joint) for n in range(14)] == [False] * 13 + [True]
    for change in (1.02, 0.98):  # neither rising nor falling is standing still
        assert not levelled_off([change**n for n in range(20)], joint)
    assert not levelled_off([1.0] * 7, joint)


def trial(stage, replicate=0, **own):
    return Trial("mnist_dbm", stage, 1, {**COMMON, **own}, replicate)


def test_the_papers_machine_has_928016_parameters():
    machine = build_dbm(trial("dbm", hidden_1=512, hidden_2=1024), (28, 28, 1), 100)
    rows = machine_rows(machine)
    assert [row[1] for row in rows] == [[784], [512], [1024]]
    weights = machine.machine.kernels + machine.machine.biases
    assert sum(row[2] for row in rows) == 928_016 == sum(np.size(w) for w in weights)


def test_machines_of_classes_layers_and_replicates_differ():
    def first_weights(replicate=0, **own):
        built = build_rbm(trial("rbm", replicate, units=5, **{"layer": 1, **own}), (4,))
        return built.machine.kernels[0].numpy()

    same, again = first_weights(), first_weights()
    np.testing.assert_array_equal(same, again)
    for other in ({"klass": "3"}, {"replicate": 1}):
        assert (first_weights(**other) != same).all()
    assert first_weights(layer=2).std() > 2 * same.std()  # 0.005 in place of 0.001


def test_images_are_drawn_by_the_chains_that_trained(tmp_path):
    """They go on from the released file; fresh random states are for comparison."""
    hidden = {"hidden_1": 6, "hidden_2": 4, "batch_size": 5}
    source = trial("dbm", **hidden)
    machine = build_dbm(source, (2, 3, 1), 5)
    below = build_rbm(trial("rbm", units=6, layer=1), (2, 3, 1))
    above = build_rbm(trial("rbm", units=4, layer=2), (6,))
    machine.start_from([below, above], np.eye(6)[:5].reshape(5, 2, 3, 1))
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, machine.inference_layers(), {})
    context = SimpleNamespace(
        input=lambda *_: SimpleNamespace(trial=source), input_path=lambda *_: weights
    )
    images = np.zeros((5, 2, 3, 1), np.uint8)
    drawing = trial("dbm_samples", per_class=7, gibbs_steps=0)  # no step: the chains as they are
    loaded = trained_dbm(drawing, context, "dbm_0", images)
    drawn = draw_images(drawing, source, loaded)
    expected = to_uint8(machine.sample(7, gibbs_steps=0, start="chains"))
    assert np.abs(drawn.astype(int) - expected).max() <= 1 and drawn.shape == (7, 2, 3, 1)
    np.testing.assert_array_equal(drawn[5:], drawn[:2])
    assert draw_images(drawing, source, loaded, "random", 3).shape == (3, 2, 3, 1)
