"""The loop of all generators on a pair of small networks with two optimizers."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.adversarial import AdversarialModel
from replicate.runs.context import Context
from replicate.runs.store import Store
from replicate.runs.trial import Trial
from replicate.training.generator import run_generator_trial
from replicate.training.optimizers import FusedAdam
from replicate.training.telemetry import Strip, TrainingLog

EPOCHS, BATCH, COUNT = 4, 4, 10  # three steps an epoch, the last of two images


class Pair(AdversarialModel):
    """The smallest GAN: two dense layers, noise by step."""

    def __init__(self):
        super().__init__()
        self.generator, self.discriminator = (
            keras.Sequential([keras.Input((width,)), keras.layers.Dense(units)])
            for width, units in ((3, 4), (4, 1))
        )
        rng = np.random.default_rng(0)
        self.set_weights([rng.standard_normal(w.shape) for w in self.get_weights()])
        self.compile(FusedAdam(0.01), FusedAdam(0.02))

    def images(self):
        drawn = self.generator(np.eye(3, dtype=np.float32)).numpy()
        return np.rint(255 / (1 + np.exp(-drawn))).astype(np.uint8).reshape(3, 2, 2, 1)

    def train_step(self, data):
        real = tf.reshape(data[0], (-1, 4))
        seed = [1, tf.cast(self.optimizer.iterations, tf.int32)]
        noise = tf.random.stateless_normal((tf.shape(real)[0], 3), seed=seed)
        with tf.GradientTape(persistent=True) as tape:
            d_real, d_fake = (
                self.discriminator(x) for x in (real, self.generator(noise, training=True))
            )
            d_loss = tf.reduce_mean(tf.nn.softplus(-d_real)) + tf.reduce_mean(
                tf.nn.softplus(d_fake)
            )
            g_loss = tf.reduce_mean(tf.nn.softplus(-d_fake))
        for optimizer, network, loss in (
            (self.d_optimizer, self.discriminator, d_loss),
            (self.optimizer, self.generator, g_loss),
        ):
            variables = network.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
        return {"d_loss": d_loss, "g_loss": g_loss, "d_real": tf.reduce_mean(d_real)}


@dataclasses.dataclass
class Half:
    sha256: str = "0"


@dataclasses.dataclass
class Data:
    name: str = "drawn"
    route: str = "test"
    deviations: tuple = ()
    train: Half = dataclasses.field(default_factory=Half)
    test: Half = dataclasses.field(default_factory=Half)


class Killed(Exception):
    pass


class Interrupted(Context):
    """A context whose n-th report of progress ends the run."""

    reports = 10**9

    def progress(self, trial, fraction, text=""):
        self.reports -= 1
        if self.reports < 0:
            raise Killed


def trial():
    settings = {"epochs": EPOCHS, "batch_size": BATCH}
    return Trial("study", "generator", 1, settings)


def run(folder, reports=10**9, model=None, images=None, **arguments):
    context = Interrupted(Store(folder))
    context.reports = reports
    model = model or Pair()
    if images is None:
        images = np.random.default_rng(2).standard_normal((COUNT, 2, 2, 1)).astype(np.float32)
    outcome = run_generator_trial(
        trial(),
        context,
        model,
        images,
        np.zeros(COUNT, np.int64),
        lambda epoch: np.random.default_rng([7, epoch]).permutation(COUNT),
        Data(),
        **{
            "strip": Strip(model.images, every=2),
            "keep_weights": {"weights_half": 2},
            "log": True,
            **arguments,
        },
    )
    return outcome, context


def contents(outcome):
    return {name: path.read_bytes() for name, path in outcome.artifacts.items()}


def logged(context):
    """((step, tag), value) of every entry in the event files, sorted."""
    rows = []
    files = sorted(context.log_dir(trial()).glob("events.out.tfevents.*"))
    for record in tf.data.TFRecordDataset([str(f) for f in files]).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            shown = value.image.encoded_image_string or value.simple_value
            rows.append(((event.step, value.tag), shown))
    return sorted(rows, key=lambda row: row[0])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"))


def test_histories_of_all_losses_are_one_artifact(whole):
    outcome, _ = whole
    with np.load(outcome.artifacts["batch_loss"]) as file:
        losses = dict(file)
    assert set(losses) == {"d_loss", "g_loss", "d_real"}
    for name, history in losses.items():
        assert history.shape == (EPOCHS * 3,) and np.ptp(history) > 0
        means = history.reshape(EPOCHS, 3).mean(axis=1)
        np.testing.assert_allclose(outcome.curves[name], means, rtol=1e-6)
        assert outcome.metrics[name] == outcome.curves[name][-1]


def test_every_step_is_a_step_of_the_model(whole):
    """Against a plain loop over batches, the smaller last one included."""
    outcome, _ = whole
    model = Pair()
    images = np.random.default_rng(2).standard_normal((COUNT, 2, 2, 1)).astype(np.float32)
    losses = []
    for epoch in range(EPOCHS):
        order = np.random.default_rng([7, epoch]).permutation(COUNT)
        for start in range(0, COUNT, BATCH):
            losses.append(
                float(model.train_step((images[order[start : start + BATCH]],))["d_loss"])
            )
    with np.load(outcome.artifacts["batch_loss"]) as file:
        np.testing.assert_allclose(file["d_loss"], losses, rtol=1e-5)


def test_snapshots_and_weights_are_those_of_their_epochs(whole):
    outcome, _ = whole
    with np.load(outcome.artifacts["strip"]) as file:
        strip = dict(file)
    assert strip["epochs"].tolist() == [2, 4]
    assert strip["images"].shape == (2, 3, 2, 2, 1) and strip["images"].dtype == np.uint8
    assert (strip["images"][0] != strip["images"][1]).any()
    from replicate.training.checkpoints import load_weights

    for name, drawn in zip(("weights_half", "weights"), strip["images"], strict=True):
        model = Pair()
        card = load_weights(outcome.artifacts[name], model.inference_layers())
        assert Trial.from_spec(card["spec"]) == trial()
        assert np.abs(model.images().astype(int) - drawn).max() <= 1, name  # float16 weights


# Killed in the first epoch; between checkpoints; in an epoch that is checkpointed and logged.
@pytest.mark.parametrize("reports", [[0], [3], [2, 2], [5, 1, 0]])
def test_killed_runs_end_bit_identical(whole, tmp_path, reports):
    for count in reports:
        with pytest.raises(Killed):
            run(tmp_path, count)
    outcome, context = run(tmp_path)
    assert contents(outcome) == contents(whole[0])
    assert outcome.curves == whole[0].curves
    assert logged(context) == logged(whole[1])


def test_a_checkpoint_every_few_epochs(whole, tmp_path):
    """Epochs after the last checkpoint are trained again; the end is the same."""
    with pytest.raises(Killed):
        run(tmp_path, 7, checkpoint_every=3)  # in the fourth epoch of two reports each
    saved = [path.name for path in (Context(Store(tmp_path)).checkpoint_dir(trial())).iterdir()]
    assert saved == ["step-3.safetensors"]
    outcome, context = run(tmp_path, checkpoint_every=3)
    assert contents(outcome) == contents(whole[0])
    assert outcome.earlier_seconds > 0 == whole[0].earlier_seconds
    assert logged(context) == logged(whole[1])


def test_killed_between_a_checkpoint_and_its_log(whole, tmp_path, monkeypatch):
    def fail(self, first, values):
        if first == 3:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "scalars", fail)
        with pytest.raises(Killed):
            run(tmp_path)
    outcome, context = run(tmp_path)
    assert contents(outcome) == contents(whole[0])
    assert logged(context) == logged(whole[1])


def test_killed_after_the_last_checkpoint(whole, tmp_path, monkeypatch):
    from replicate.training import generator

    def fail(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(generator, "_write_losses", fail)
        with pytest.raises(Killed):
            run(tmp_path)
    assert contents(run(tmp_path)[0]) == contents(whole[0])


def test_log_has_every_step_once_and_the_snapshots(whole):
    outcome, context = whole
    rows = logged(context)
    keys = [key for key, _ in rows]
    assert len(keys) == len(set(keys)) == 3 * EPOCHS * 3 + 2
    with np.load(outcome.artifacts["batch_loss"]) as file:
        ours = [value for (_, tag), value in rows if tag == "g_loss"]
        np.testing.assert_allclose(ours, file["g_loss"], rtol=1e-6)
    with np.load(outcome.artifacts["strip"]) as file:
        strip = file["images"]
    picture = tf.io.decode_png((context.log_dir(trial()) / "strip.png").read_bytes()).numpy()
    np.testing.assert_array_equal(picture[:2, 2:4], strip[0, 1])
    np.testing.assert_array_equal(picture[2:, 4:], strip[1, 2])
    last = tf.io.decode_png(dict(rows)[(EPOCHS * 3 - 1, "fixed noise")]).numpy()
    np.testing.assert_array_equal(last, picture[2:])


def test_without_strip_and_log_nothing_of_them_is_written(tmp_path):
    outcome, context = run(tmp_path, strip=None, keep_weights=None, log=False)
    assert set(outcome.artifacts) == {"weights", "batch_loss"}
    assert not context.log_dir(trial()).exists()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_losses_that_are_not_finite_name_epoch_step_and_network(tmp_path, network):
    model = Pair()

    class Breaks(Interrupted):
        pass

    optimizer = model.optimizer if network == "generator" else model.d_optimizer
    step = model.train_step

    def broken(data):
        values = step(data)
        kernel = getattr(model, network).layers[0].kernel
        kernel.assign(tf.where(optimizer.iterations == 5, np.nan, kernel))
        return values

    model.train_step = broken
    expected = f"d_loss=nan in epoch 2, step 3 of 3, by the network '{network}'"
    with pytest.raises(FloatingPointError, match=expected):
        run(tmp_path, model=model)
    kept = [Path(p).name for p in tmp_path.rglob("step-*.safetensors")]
    assert kept == ["step-1.safetensors"], "a broken state was checkpointed"


def test_bad_epochs_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"Received: keep_weights={'half': 9}"):
        run(tmp_path, keep_weights={"half": 9})
    with pytest.raises(ValueError, match="Received: every=0"):
        Strip(lambda: None, every=0)


def test_a_strip_has_the_epochs_that_are_asked_for_beside_every_so_many():
    strip = Strip(lambda: np.zeros((1, 2, 2, 3), np.uint8), every=4, also=[5])
    assert [epoch for epoch in range(1, 12) if strip.take(epoch, 11)] == [4, 5, 8, 11]
    assert strip.arrays()["epochs"].tolist() == [4, 5, 8, 11]
