"""StyleGAN2's training step against one written out, its state, and the command for own images."""

import csv
import dataclasses
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from replicate.data.synthetic import save_synthetic
from replicate.models.stylegan2 import cifar, load_network
from replicate.models.stylegan2.__main__ import main
from replicate.runs.context import Context
from replicate.runs.store import Store
from replicate.runs.trial import Trial
from replicate.stages import train_stylegan2
from replicate.training.ada import augment
from replicate.training.generator import run_generator_trial
from replicate.training.stylegan2 import StyleGAN2, TrainingOptions, lazy_adam, new_model

SIZES = {"channel_base": 32, "channel_max": 4, "z_dim": 6, "w_dim": 5, "mbstd_group_size": 4}
BATCH, CLASSES = 4, 3
# Few steps, so that every interval ends; a large epsilon, so that rounding stays rounding.
OPTIONS = TrainingOptions(
    epsilon=0.1, d_interval=2, ada_interval=2, ada_kimg=0.02, augment_p=0.3, ema_kimg=0.01,
    ema_ramp=0.9,
)  # fmt: skip


def model_of(options=OPTIONS, num_classes=CLASSES, **arguments):
    arguments = {"seed": 3, "noise_seed": 11, **SIZES, **arguments}
    return new_model(num_classes, 8, options, **arguments)


def batch_of(step, channels=3):
    rng = np.random.default_rng(step)
    images = rng.integers(0, 256, (BATCH, 8, 8, channels)).astype(np.uint8)
    return tf.constant(images), tf.constant(rng.integers(0, CLASSES, BATCH))


class Adam:
    """PyTorch's Adam with a first decay of 0, in NumPy, float64."""

    def __init__(self, variables, rate, decay, epsilon):
        self.variables, self.rate, self.decay, self.epsilon = variables, rate, decay, epsilon
        self.second, self.steps = [np.zeros(v.shape) for v in variables], 0

    def apply(self, gradients):
        self.steps += 1
        for index, (variable, gradient) in enumerate(zip(self.variables, gradients, strict=True)):
            gradient = np.zeros(variable.shape) if gradient is None else gradient.numpy()
            self.second[index] += (1 - self.decay) * (gradient**2 - self.second[index])
            root = np.sqrt(self.second[index] / (1 - self.decay**self.steps))
            variable.assign_sub(self.rate * gradient / (root + self.epsilon))


class Written:
    """The training step phase by phase, as App. D of the paper and the authors' code have it."""

    def __init__(self):
        sizes = {"c_dim": CLASSES, "resolution": 8, "seed": 3, **SIZES}
        self.g, self.d = cifar(**sizes)
        self.average = [v.numpy() for v in self.g.trainable_variables]
        rate = 0.0025
        self.g_adam = Adam(self.g.trainable_variables, rate * 4 / 5, 0.99 ** (4 / 5), 0.1)
        self.d_adam = Adam(self.d.trainable_variables, rate * 2 / 3, 0.99 ** (2 / 3), 0.1)
        self.p, self.signs = 0.3, []

    def seed(self, step, index):
        return tf.random.fold_in(tf.constant([11, step]), index)

    def fakes(self, step, first):
        z = tf.random.stateless_normal((BATCH, 6), self.seed(step, first))
        shares = tf.zeros((1, CLASSES))
        labels = tf.random.stateless_categorical(shares, BATCH, self.seed(step, first + 1))[0]
        c = tf.one_hot(labels, CLASSES)
        return self.g(z, c, noise_mode="random", training=True), c

    def logits(self, images, c, step, index):
        return self.d(augment(images, self.p, self.seed(step, index)), c)

    def step(self, step, images, labels):
        real, c = tf.cast(images, tf.float32) / 127.5 - 1, tf.one_hot(labels, CLASSES)
        with tf.GradientTape() as tape:
            fake, drawn = self.fakes(step, 0)
            g_loss = tf.reduce_mean(tf.nn.softplus(-self.logits(fake, drawn, step, 2)))
        self.g_adam.apply(tape.gradient(g_loss, self.g.trainable_variables))
        fake, drawn = self.fakes(step, 3)
        with tf.GradientTape() as tape:
            d_fake = self.logits(fake, drawn, step, 5)
            d_real = self.logits(real, c, step, 8)
            d_loss = tf.reduce_mean(tf.nn.softplus(d_fake) + tf.nn.softplus(-d_real))
        self.d_adam.apply(tape.gradient(d_loss, self.d.trainable_variables))
        self.signs += np.sign(d_real).ravel().tolist()
        if step % 2 == 0:
            self.penalise(step, real, c)
        seen = step * BATCH  # before this step
        half_life = min(10.0, 0.9 * seen)
        kept = 0.5 ** (BATCH / half_life) if seen else 0.0
        for index, variable in enumerate(self.g.trainable_variables):
            self.average[index] = kept * self.average[index] + (1 - kept) * variable.numpy()
        if step % 2 == 1:
            self.p = max(0, self.p + np.sign(np.mean(self.signs) - 0.6) * 2 * BATCH / 20)
            self.signs = []
        return {"g_loss": g_loss, "d_loss": d_loss, "r1": self.r1, "augment_p": self.p}

    def penalise(self, step, real, c):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as tape:
                tape.watch(real)
                logits = self.logits(real, c, step, 11)
                total = tf.reduce_sum(logits)
            squares = tf.reduce_sum(tape.gradient(total, real) ** 2) / BATCH
            loss = squares * 0.01 / 2 * 2
        self.d_adam.apply(outer.gradient(loss, self.d.trainable_variables))
        self.signs += np.sign(logits).ravel().tolist()
        self.r1 = squares


def test_steps_against_the_phases_written_out():
    model, written = model_of(), Written()
    for number in range(3):
        values = model.train_step(batch_of(number))
        expected = written.step(number, *batch_of(number))
        for name, value in expected.items():
            np.testing.assert_allclose(values[name], value, rtol=2e-3, atol=1e-4, err_msg=name)
    assert float(model.augment_p) != pytest.approx(0.3) and int(model.images_seen) == 3 * BATCH
    pairs = [
        (model.generator.weights, written.g.weights),
        (model.discriminator.weights, written.d.weights),
        (model.average.trainable_variables, written.average),
    ]
    initial = model_of()
    begins = [initial.generator, initial.discriminator, initial.average]
    for (ours, theirs), begin in zip(pairs, begins, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, other, atol=2e-5, rtol=1e-3, err_msg=mine.path)
        for mine, old in zip(
            [v for v in ours if v.trainable], begin.trainable_variables, strict=True
        ):
            assert np.any(mine != old), f"{mine.path} did not change"
    buffers = zip(
        model.average.non_trainable_weights, model.generator.non_trainable_weights, strict=True
    )
    assert all(np.array_equal(a, b) for a, b in buffers)


def test_rates_of_the_official_configuration():
    """Lazy regularisation: rates of 16 of 17 and of 4 of 5 steps; then the cifar settings."""
    options = TrainingOptions()
    for interval, rate, decay in ((16, 0.0025 * 16 / 17, 0.99 ** (16 / 17)), (4, 0.002, 0.99**0.8)):
        adam = lazy_adam(options, interval)
        assert float(adam.learning_rate) == pytest.approx(rate, rel=1e-6)
        assert (adam.beta_1, adam.epsilon) == (0.0, 1e-8)
        assert adam.beta_2 == pytest.approx(decay, rel=1e-12)
    assert (options.gamma, options.d_interval, options.policy) == (0.01, 16, "bgc")
    assert (options.ada_target, options.ada_interval, options.ada_kimg) == (0.6, 4, 500)
    assert (options.ema_kimg, options.ema_ramp, options.augment_p) == (500, 0.05, 0)
    flags = train_stylegan2.parser().parse_args(["--dataset=cifar10"])
    assert (flags.batch_size, flags.channel_base, flags.conv_clamp) == (64, 32768, 256)
    for name, value in dataclasses.asdict(options).items():
        assert getattr(flags, name) == value, name


def test_labels_of_generated_images_follow_the_data():
    model = model_of(class_counts=[3, 0, 1])
    drawn = model._generated(800, "real")[1].numpy().mean(axis=0)
    np.testing.assert_allclose(drawn, [0.75, 0, 0.25], atol=0.05)


def test_unconditional_grey_networks_learn_from_bytes_as_from_floats():
    options = TrainingOptions(epsilon=0.1, policy="xflip,brightness", augment_p=0.5, ada_target=0)
    images, labels = batch_of(0, channels=1)
    values = []
    for scaled in (images, tf.cast(images, tf.float32) / 127.5 - 1):
        model = model_of(options, 0, img_channels=1)
        values.append(model.train_step((scaled, labels)))
    assert float(values[0]["augment_p"]) == 0.5
    for name, value in values[0].items():
        np.testing.assert_allclose(value, values[1][name], rtol=1e-5, err_msg=name)
    assert model(tf.zeros((2, 6))).shape == (2, 8, 8, 1)


def test_without_penalty_or_augmentation(monkeypatch):
    options = TrainingOptions(gamma=0, policy="none")
    model = model_of(options)
    monkeypatch.setattr("replicate.training.stylegan2.augment", None)
    values = model.train_step(batch_of(0))
    assert float(values["r1"]) == 0 and int(model.d_optimizer.iterations) == 1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: TrainingOptions(beta_1=1.0, gamma=-1), r"Received: {'gamma': -1, 'beta_1': 1.0}"),
        (lambda: TrainingOptions(d_interval=0), "Received: {'d_interval': 0}"),
        (lambda: TrainingOptions(learning_rate=0), "Received: {'learning_rate': 0}"),
        (lambda: model_of(TrainingOptions(policy="bgx")), r"Received: \['bgx'\]"),
        (lambda: model_of(class_counts=[1, 1]), r"class_counts=\[1, 1\]"),
        (
            lambda: StyleGAN2(cifar(3, 8, **SIZES)[0], cifar(2, 8, **SIZES)[1]),
            r"Received: \[8, 3, 3\] and \[8, 3, 2\]",
        ),
    ],
)
def test_wrong_arguments_are_refused(make, expected):
    with pytest.raises(ValueError, match=expected):
        make()


@pytest.fixture
def eager():
    """Runs graphs step by step: for a few steps that takes less time than tracing them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


class Killed(Exception):
    pass


class Interrupted(Context):
    """A context whose n-th report of progress ends the run."""

    reports = 10**9

    def progress(self, trial, fraction, text=""):
        self.reports -= 1
        if self.reports < 0:
            raise Killed


HALF = types.SimpleNamespace(sha256="0")
DATA = types.SimpleNamespace(name="drawn", route="test", deviations=(), train=HALF, test=HALF)


def run(folder, reports=10**9):
    context = Interrupted(Store(folder))
    context.reports = reports
    model = model_of()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)
    trial = Trial("study", "generator", 1, {"epochs": 2, "batch_size": BATCH})
    outcome = run_generator_trial(
        trial,
        context,
        model,
        images,
        np.arange(10) % CLASSES,
        lambda epoch: np.random.default_rng(epoch).permutation(10)[:8],
        DATA,
        keep_weights={"weights_early": 1},
    )
    return outcome, model


def test_killed_runs_end_bit_identical(tmp_path, eager):
    """All state: networks, average, optimizers, noise, probability and counts of signs."""
    whole, model = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", 1)
    resumed, again = run(tmp_path / "killed")
    assert resumed.curves == whole.curves
    for name, path in whole.artifacts.items():
        assert path.read_bytes() == resumed.artifacts[name].read_bytes(), name
    for ours, theirs in zip(model.variables, again.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)
    weights = (v for v in model.variables if "noise_const" not in v.path)
    assert sum(int(np.any(v != 0)) for v in weights) > 50
    assert set(whole.metrics) >= {"g_loss", "d_loss", "r1", "sign_real", "augment_p"}


@pytest.fixture(scope="module")
def image_set(tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "own.safetensors"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    save_synthetic(path, images, np.arange(12) % 2, {"generator": "drawn"})
    return path


def command(image_set, workdir, **flags):
    names = {"dataset": image_set, "workdir": workdir, **SIZES, "batch_size": BATCH, **flags}
    names |= {"tick_kimg": 0.008, "snapshot_ticks": 2, "per_class": 3, "ada_kimg": 1}
    return main(["train", *(f"--{name}={value}" for name, value in names.items())])


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_command_trains_on_and_its_network_can_be_sampled(image_set, tmp_path, capsys, eager):
    """A run that is made longer, its files, and a network file like any other."""
    distance = {"frechet": "classifier", "frechet_images": 12, "classifier_epochs": 1}
    assert command(image_set, tmp_path, kimg=0.008, **distance) == 0
    tf.config.run_functions_eagerly(False)  # what is left, as a graph
    assert command(image_set, tmp_path, kimg=0.024, **distance) == 0
    curves = table(tmp_path / "curves.csv")
    assert [row["kimg"] for row in curves] == ["0.008", "0.016", "0.024"]
    assert all(np.isfinite(float(value)) for row in curves for value in row.values())
    distances = table(tmp_path / "frechet_classifier.csv")
    assert [row["kimg"] for row in distances] == ["0.008", "0.016", "0.024"]
    assert len({row["frechet_classifier"] for row in distances}) == 3
    sheets = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert sheets == [f"kimg-00000.0{kimg}.png" for kimg in ("08", "16", "24")]
    network = load_network(tmp_path / "network.safetensors")
    assert "licence" not in network.card and network.config["mbstd_group_size"] == 4
    picture = tmp_path / "drawn.png"
    assert (
        main(["sample", f"--network={tmp_path / 'network.safetensors'}", "--n=3", str(picture)])
        == 0
    )
    assert np.abs(pixels(picture) - pixels(tmp_path / "sheets" / sheets[-1])).max() <= 1  # float16
    assert main(["curves", str(tmp_path), str(tmp_path / "curves.svg")]) == 0
    drawn = (tmp_path / "curves.svg").read_text()
    assert "features of classifier" in drawn and "not measured" not in drawn
    assert main(["curves", str(tmp_path / "sheets"), str(picture)]) == 1
    assert "folder of a training" in capsys.readouterr().err
    assert command(image_set, tmp_path, kimg=0.032, gamma=1) == 1
    assert "settings.gamma: expected 1.0, received 0.01" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "expected"),
    [
        ({"batch_size": 6}, 2, "multiple of 4, mbstd_group_size. Received: batch_size=6"),
        ({"dataset": "missing.safetensors"}, 2, "missing.safetensors"),
        ({"data_dir": "nowhere"}, 2, "Expected --data_dir to be a folder. Received: 'nowhere'"),
        ({"workdir": __file__}, 2, f"received {__file__}, a file"),
        ({"kimg": 0}, 2, "Expected a finite kimg > 0. Received: kimg=0"),
        ({"kimg": -3}, 2, "Received: kimg=-3"),
        ({"frechet": "classifier"}, 1, "frechet_images=10000"),
    ],
)
def test_command_refuses(image_set, tmp_path, capsys, flags, code, expected):
    assert command(image_set, **{"workdir": tmp_path, "kimg": 1, **flags}) == code
    error = capsys.readouterr().err
    assert expected in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("step-*"))


def test_an_unknown_data_set_is_refused_before_tensorflow_is_loaded():
    code = (
        "import sys; from replicate.models.stylegan2.__main__ import main\n"
        "status = main(['train', '--dataset=cifar'])\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules); sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "Expected --dataset of mnist, fashion" in done.stderr
    assert "Received: 'cifar'" in done.stderr and done.stderr.count("\n") == 1


def test_images_of_another_shape_are_refused(tmp_path, capsys):
    path = tmp_path / "odd.safetensors"
    save_synthetic(path, np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, int), {})
    assert main(["train", f"--dataset={path}"]) == 1
    assert "Received: 28 x 28 x 1" in capsys.readouterr().err


def test_fused_adam_in_the_form_of_pytorch():
    """Against the formula, at an epsilon where the two forms differ."""
    variable = keras.Variable(np.array([1.0, -2.0], np.float32))
    options = TrainingOptions(epsilon=0.5, learning_rate=0.1)
    adam = lazy_adam(options, 1)
    adam.build([variable])
    written = Adam([tf.Variable(variable.numpy())], 0.05, 0.99**0.5, 0.5)
    for step in range(3):
        gradient = tf.constant([0.3, -0.01 * (step + 1)])
        adam.apply([gradient], [variable])
        written.apply([gradient])
    np.testing.assert_allclose(variable, written.variables[0], rtol=1e-5)
