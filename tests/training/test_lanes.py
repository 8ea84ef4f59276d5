"""Classifier lanes: equal to plain Keras, independent of their neighbours, complete in results."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.classifiers import build_pooled_cnn, build_strided_cnn
from replicate.models.init import initialize
from replicate.models.lenet import build_lenet
from replicate.training.lane_programs import form_of, unsupported
from replicate.training.lanes import LaneJob, LaneTrainer
from replicate.training.optimizers import make_optimizer

layers = keras.layers
N_IMAGES = 430
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N_IMAGES, 28, 28, 1), dtype=np.uint8)
LABELS = RNG.integers(0, 10, N_IMAGES)
SMALL, COLOUR = IMAGES[:, ::2, ::2], RNG.uniform(size=(N_IMAGES, 16, 16, 3)).astype("float32")


class Doubled(layers.Layer):
    """A layer of a class that lanes do not know."""

    def call(self, inputs):
        """Returns twice the inputs."""
        return 2.0 * inputs


def _network(shape, stack, seed):
    model = keras.Sequential([keras.Input(shape), *stack])
    return initialize(model, "keras", seed)


def strided_with_batch_norm(seed):
    """Strided convolutions, batch normalisation, LeakyReLU and a softmax."""
    stack = []
    for filters in (8, 12):
        stack += [
            layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
        ]
    stack += [layers.Flatten(), layers.Dense(10, activation="softmax")]
    return _network((16, 16, 3), stack, seed)


def pooled_with_dropout(seed):
    """Maximum pooling and two dropouts, as the Keras example for MNIST."""
    stack = [
        layers.Conv2D(6, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(24, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax"),
    ]
    return _network((14, 14, 1), stack, seed)


def functional_with_logits(seed):
    """A functional network with two branches."""
    inputs = keras.Input((14, 14, 1))
    x = layers.Conv2D(6, 3, activation="relu")(inputs)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return initialize(keras.Model(inputs, layers.Dense(10)(x)), "torch", seed)


def with_unknown_layer(seed):
    """A network that falls back to Keras' own training step."""
    return _network((14, 14, 1), [layers.Flatten(), layers.Dense(10), Doubled()], seed)


def with_regularizer(seed):
    """Another one that falls back, for its own loss."""
    dense = layers.Dense(10, kernel_regularizer=keras.regularizers.L2(0.1))
    return _network((14, 14, 1), [layers.Flatten(), dense], seed)


def colour_lenet(seed):
    """The LeNet for 16x16 colour images."""
    return build_lenet((16, 16, 3), seed=seed)


def strided_cnn(seed):
    """The classifier of Leung, Leung and Yu (2022)."""
    return build_strided_cnn(seed=seed)


def pooled_cnn(seed):
    """The classifier of Sterzinger, Stippel and Zogaj (2020), on half its side."""
    return build_pooled_cnn((32, 32, 3), seed=seed)


def lenet(seed):
    """The LeNet of Crossman (2024)."""
    return build_lenet(seed=seed)


ADAM = {"name": "adam", "learning_rate": 1e-3, "epsilon": 1e-8}
TORCH = {"name": "adam_torch", "learning_rate": 1e-3}
# Adam divides by the gradient's size, hence turns the rounding of vanishing gradients (a bias
# before a batch normalisation has no other; a dead ReLU's come and go) into whole steps; a large
# epsilon leaves them what they are.
DAMPED = {"name": "adam", "learning_rate": 0.01, "epsilon": 1.0}
ADADELTA = {"name": "adadelta", "learning_rate": 1.0}
CIFAR_SIZE = COLOUR.repeat(2, axis=1).repeat(2, axis=2)
CASES = {  # network, images, optimizer, whether it ends in logits, route
    "lenet": (lenet, IMAGES, TORCH, True, "fast"),
    "lenet_colour": (colour_lenet, COLOUR, ADAM, True, "fast"),
    "lenet_by_tape": (lenet, IMAGES, TORCH, True, "graph"),
    "batch_norm": (strided_with_batch_norm, COLOUR, ADAM, False, "graph"),
    "strided_cnn": (strided_cnn, CIFAR_SIZE, DAMPED, True, "graph"),
    "pooled_cnn": (pooled_cnn, CIFAR_SIZE, DAMPED, True, "graph"),
    "dropout": (pooled_with_dropout, SMALL, ADADELTA, False, "graph"),
    "functional": (functional_with_logits, SMALL, TORCH, True, "graph"),
    "unknown_layer": (with_unknown_layer, SMALL, ADAM, True, "keras"),
    "regularizer": (with_regularizer, SMALL, ADADELTA, True, "keras"),
}


def order(seed):
    """Returns epoch -> 390 of the images in an order of that epoch."""
    return lambda epoch: np.random.default_rng((seed, epoch)).permutation(N_IMAGES)[:390]


def make_job(name, seed=1, **changes):
    """Returns a job of 20 steps: 19 batches of 20 and one of 10."""
    build, _, optimizer, from_logits, _ = CASES[name]
    job = LaneJob(
        key=(name, seed),
        build=lambda: build(seed),
        indices=order(seed),
        batch_size=20,
        epochs=1,
        optimizer=optimizer,
        from_logits=from_logits,
        record_batch_loss=True,
    )
    return dataclasses.replace(job, **changes)


def train(name, jobs, lanes=2, **options):
    """Returns the results by key."""
    images, route = CASES[name][1], CASES[name][4]
    options = {"fast": route == "fast", **options}
    trainer = LaneTrainer(images, LABELS, images[:100], LABELS[:100], lanes=lanes, **options)
    return {result.job.key: result for result in trainer.run(jobs)}


def fit_with_keras(name, job):
    """Trains the same network on the same batches by `Model.fit`."""
    build, images, optimizer, from_logits, _ = CASES[name]
    scaled = images.astype("float32") / 255 if images.dtype == np.uint8 else images
    model = build(job.key[1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(make_optimizer(optimizer), loss, metrics=["accuracy"])
    history = []
    for epoch in range(job.epochs):
        rows = job.indices(epoch)
        fitted = model.fit(
            scaled[rows], LABELS[rows], batch_size=job.batch_size, shuffle=False, verbose=0
        )
        history.append([fitted.history["loss"][0], fitted.history["accuracy"][0]])
    tested = model.evaluate(scaled[:100], LABELS[:100], verbose=0)
    return model, np.array(history).T, tested


@pytest.mark.parametrize("name", CASES)
def test_equals_keras_fit(name):
    job = make_job(name)
    result = train(name, [job])[job.key]
    assert result.error is None
    assert result.route == CASES[name][4]
    model, (losses, accuracies), (test_loss, test_accuracy) = fit_with_keras(name, job)
    initial = CASES[name][0](1).get_weights()
    for ours, keras_weights, start in zip(
        result.weights, model.get_weights(), initial, strict=True
    ):
        np.testing.assert_allclose(ours, keras_weights, rtol=1e-4, atol=1e-5)
        assert np.any(ours != start)
    if name != "regularizer":  # Keras adds the penalty to the loss that it reports
        np.testing.assert_allclose(result.test_loss, test_loss, rtol=1e-4)
    np.testing.assert_allclose(result.train_loss, losses, rtol=1e-4)
    np.testing.assert_allclose(result.train_accuracy, accuracies, atol=1e-6)
    np.testing.assert_allclose(result.test_accuracy, test_accuracy, atol=1e-6)
    assert len(result.batch_loss) == 20


@pytest.mark.parametrize("name", ["lenet", "dropout", "batch_norm"])
def test_a_lane_does_not_depend_on_its_neighbours(name):
    """One job as first of three lanes and as the last in one lane: the same to the last bit."""
    chosen = make_job(name, seed=1, epochs=2)
    longer = make_job(name, seed=2, epochs=3)
    other = make_job(name, seed=3)
    first = train(name, [chosen, longer, other], lanes=3)
    last = train(name, [other, longer, chosen], lanes=1)
    result, expected = first[chosen.key], last[chosen.key]
    assert result.error is None and expected.error is None
    np.testing.assert_array_equal(result.batch_loss, expected.batch_loss)
    np.testing.assert_array_equal(result.predictions, expected.predictions)
    for a, b in zip(result.weights, expected.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(first[longer.key].batch_loss[:40] != expected.batch_loss)


def test_one_form_is_traced_once():
    """Networks that differ in weights only share one program, others do not."""
    assert form_of(pooled_with_dropout(1)) == form_of(pooled_with_dropout(2))
    assert form_of(functional_with_logits(1)) == form_of(functional_with_logits(2))
    assert form_of(pooled_with_dropout(1)) != form_of(functional_with_logits(1))
    trainer = LaneTrainer(SMALL, LABELS)
    jobs = [make_job("dropout", 1), make_job("dropout", 2), make_job("functional", 1)]
    assert all(r.error is None for r in trainer.run(jobs))
    assert len(trainer._programs) == 2


def test_curves_follow_the_epochs():
    job = make_job("functional", epochs=3, evaluate_each_epoch=True)
    result = train("functional", [job])[job.key]
    losses = result.batch_loss.reshape(3, 20).astype("float64")
    sizes = np.array([20] * 19 + [10])
    np.testing.assert_allclose(result.train_loss, losses @ sizes / 390)
    assert len(result.test_loss_curve) == len(result.test_accuracy_curve) == 3
    assert result.test_loss_curve[-1] == result.test_loss
    assert result.test_accuracy == np.mean(result.predictions == LABELS[:100])
    assert result.wall_seconds > 0


def test_dropout_seed_decides_the_masks():
    jobs = [
        make_job("dropout", key=key, dropout_seed=seed)
        for key, seed in [("a", 1), ("again", 1), ("b", 2)]
    ]
    results = train("dropout", jobs)
    np.testing.assert_array_equal(results["a"].batch_loss, results["again"].batch_loss)
    assert np.any(results["a"].batch_loss != results["b"].batch_loss)


def test_labels_of_a_job_replace_the_datas_own():
    labels = np.full(N_IMAGES, 3)
    fast = {"name": "adam", "learning_rate": 0.01}
    jobs = [
        make_job("functional", key="own", labels=labels, optimizer=fast, epochs=3),
        make_job("functional", key="data", optimizer=fast, epochs=3),
    ]
    results = train("functional", jobs)
    assert (results["own"].predictions == 3).all()
    assert results["own"].train_accuracy[-1] == 1
    assert results["data"].train_accuracy[-1] < 0.5


def test_pixels_are_scaled_in_the_lane():
    """Raw bytes give what floats in [0, 1] give."""
    job = make_job("functional")
    raw = train("functional", [job])[job.key]
    (floats,) = LaneTrainer(SMALL.astype("float32") / 255, LABELS).run([job])
    np.testing.assert_allclose(raw.batch_loss, floats.batch_loss, rtol=1e-4)
    assert floats.predictions is None and np.isnan(floats.test_accuracy)


def test_scale_and_offset_of_each_channel():
    job = make_job("batch_norm")
    scale, offset = np.array([2.0, 0.5, 1.0]), np.array([-1.0, 0.1, 0.0])
    within = train("batch_norm", [job], scale=scale, offset=offset)[job.key]
    before = LaneTrainer((COLOUR * scale + offset).astype("float32"), LABELS)
    (outside,) = before.run([job])
    np.testing.assert_allclose(within.batch_loss, outside.batch_loss, rtol=1e-4)


def test_probes_are_taken_after_the_epochs_asked_for():
    """What a probe holds equals the test of a network trained to that epoch and no further."""
    probes = {"a": (SMALL[:100], LABELS[:100]), "b": (SMALL[100:150], LABELS[100:150])}
    trainer = LaneTrainer(SMALL, LABELS, lanes=1, probes=probes)
    at = {1: ("a",), 3: ("a", "b")}
    (result,) = trainer.run(
        [make_job("functional", epochs=3, probes_at=lambda epoch: at.get(epoch, ()))]
    )
    assert set(result.probes) == {("a", 1), ("a", 3), ("b", 3)}
    for epoch in (1, 3):
        stopped = train("functional", [make_job("functional", epochs=epoch)], lanes=1)
        (expected,) = stopped.values()
        probed = result.probes["a", epoch]
        np.testing.assert_array_equal(probed.predictions, expected.predictions)
        assert (probed.loss, probed.accuracy) == (expected.test_loss, expected.test_accuracy)
        np.testing.assert_array_equal(probed.outputs.argmax(axis=1), probed.predictions)
        shares = np.exp(probed.outputs) / np.exp(probed.outputs).sum(axis=1, keepdims=True)
        loss = -np.log(shares[np.arange(100), LABELS[:100]]).mean()
        assert probed.loss == pytest.approx(loss, rel=1e-5)
    assert len(result.probes["b", 3].predictions) == 50


@pytest.mark.parametrize("name", ["lenet", "functional", "unknown_layer"])
def test_images_of_an_epoch_take_the_resident_ones_place(name):
    """Data drawn anew each epoch equal one resident set of all epochs, by index."""
    images = CASES[name][1]
    parts = [(images[:200], LABELS[:200]), (images[200:400], LABELS[200:400])]
    job = make_job(name, epochs=2, indices=lambda epoch: np.arange(200)[::-1])
    (drawn,) = train(name, [dataclasses.replace(job, epoch_data=parts.__getitem__)]).values()
    resident = dataclasses.replace(job, indices=lambda epoch: np.arange(200)[::-1] + 200 * epoch)
    (expected,) = train(name, [resident], fast=False).values()
    assert drawn.error is None and drawn.route != "fast"
    np.testing.assert_array_equal(drawn.batch_loss, expected.batch_loss)
    wrong = dataclasses.replace(job, epoch_data=lambda epoch: (images[:100], LABELS[:100]))
    (refused,) = train(name, [wrong]).values()
    assert "indices in [0, 100)" in str(refused.error)


def test_own_test_images():
    job = make_job("functional", eval_images=SMALL[200:300], eval_labels=LABELS[200:300])
    result = train("functional", [job])[job.key]
    model, _, _ = fit_with_keras("functional", job)
    expected = model.evaluate(SMALL[200:300] / np.float32(255), LABELS[200:300], verbose=0)[0]
    np.testing.assert_allclose(result.test_loss, expected, rtol=1e-4)


def test_a_failing_job_leaves_the_others_alone():
    def fail():
        raise RuntimeError("no such network")

    jobs = [
        make_job("functional", key="build", build=fail),
        make_job("functional", key="range", indices=lambda epoch: np.array([0, N_IMAGES])),
        make_job("functional", key="empty", indices=lambda epoch: np.array([], np.int64)),
        make_job("functional", key="labels", labels=LABELS[:5]),
        make_job("functional", key="good"),
    ]
    results = train("functional", jobs)
    assert results["good"].error is None and results["good"].weights is not None
    assert "no such network" in str(results["build"].error)
    assert f"[0, {N_IMAGES})" in str(results["range"].error)
    assert "non-empty" in str(results["empty"].error)
    assert "Received: 5 labels" in str(results["labels"].error)


def test_closing_the_iterator_stops_the_lanes():
    jobs = (make_job("functional", seed, epochs=1 + 100_000 * (seed > 1)) for seed in range(1, 9))
    trainer = LaneTrainer(SMALL, LABELS, lanes=2)
    results = trainer.run(jobs)
    assert next(results).job.key == ("functional", 1)
    results.close()  # returns only when all threads have ended
    (result,) = trainer.run([make_job("functional")])
    assert result.error is None


def test_unsupported_networks_are_named():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    class OwnStep(keras.Sequential):
        def train_step(self, data):
            return {}

    inputs = keras.Input((4,))
    two = keras.Model(inputs, [layers.Dense(2)(inputs), layers.Dense(2)(inputs)])
    reasons = {
        "unknown class Doubled": with_unknown_layer(1),
        "adds losses": with_regularizer(1),
        "subclassed": Subclassed(),
        "train_step": OwnStep([keras.Input((4,)), layers.Dense(2)]),
        "several": two,
    }
    for reason, model in reasons.items():
        assert reason in unsupported(model)
    assert unsupported(lenet(1)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["layers"][1]["config"].update(activation="relu"),
        lambda config: config["layers"][1]["config"].update(padding="valid"),
        lambda config: config["layers"][2]["config"].update(strides=(1, 1)),
        lambda config: config["layers"][3]["config"].update(dilation_rate=(2, 2)),
        lambda config: config["layers"][6]["config"].update(use_bias=False),
        lambda config: config["layers"][8]["config"].update(activation="softmax"),
    ],
)
def test_what_only_resembles_a_lenet_takes_the_general_path(change):
    config = lenet(1).get_config()
    change(config)
    for layer in config["layers"]:
        layer.pop("build_config", None)  # shapes may have changed
    job = make_job(
        "lenet",
        build=lambda: keras.Sequential.from_config(config),
        indices=lambda epoch: np.arange(20),
    )
    result = train("lenet", [job])[job.key]
    assert result.error is None
    assert result.route == "graph"


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="Received: batch_size=0"):
        make_job("functional", batch_size=0)
    with pytest.raises(ValueError, match="Received: only one"):
        make_job("functional", eval_images=SMALL)
    with pytest.raises(ValueError, match="Received: optimizer="):
        make_job("functional", optimizer={"name": "lion"})
    with pytest.raises(ValueError, match="Received: lanes=0"):
        LaneTrainer(SMALL, LABELS, lanes=0)
    with pytest.raises(ValueError, match="Received: 430 images, 3 labels"):
        LaneTrainer(SMALL, LABELS[:3])


BYTES, FLOATS = SMALL, SMALL / np.float32(255)


@pytest.mark.parametrize(("resident", "other"), [(BYTES, FLOATS), (FLOATS, BYTES)])
def test_images_of_another_kind_than_the_resident_ones_are_refused(resident, other):
    """They would go through the network with the resident images' scale."""
    with pytest.raises(ValueError, match="Expected test images of the resident kind"):
        LaneTrainer(resident, LABELS, other, LABELS)
    with pytest.raises(ValueError, match="Expected test images of 'p' of the resident kind"):
        LaneTrainer(resident, LABELS, probes={"p": (other, LABELS)})
    jobs = [
        make_job("functional", key="test", eval_images=other, eval_labels=LABELS),
        make_job("functional", key="epoch", epoch_data=lambda epoch: (other, LABELS)),
    ]
    for result in LaneTrainer(resident, LABELS).run(jobs):
        assert "of the resident kind" in str(result.error)
    probes = {"p": (other, LABELS)}
    LaneTrainer(resident, LABELS, other, LABELS, scale=0.5, probes=probes)  # of one range


def test_weights_load_into_a_network_again():
    job = make_job("batch_norm", epochs=2)
    result = train("batch_norm", [job])[job.key]
    model = strided_with_batch_norm(5)
    model.set_weights(result.weights)
    guesses = np.argmax(model(tf.constant(COLOUR[:100]), training=False), axis=-1)
    np.testing.assert_array_equal(guesses, result.predictions)
