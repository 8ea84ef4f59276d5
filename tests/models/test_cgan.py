"""The conditional GAN against its counts, its layers and a training step written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.cgan import CGAN, build_discriminator, build_generator
from replicate.runs.trial import Trial
from replicate.training.checkpoints import Checkpoints
from replicate.training.optimizers import FusedAdam

BATCH = 6
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (BATCH, 28, 28, 1)).astype(np.float32)
LABELS = RNG.integers(0, 10, BATCH)
NOISE = RNG.standard_normal((BATCH, 100)).astype(np.float32)


def counts(network):
    return [x.count_params() for x in network.layers if x.weights]


def test_parameter_counts():
    generator, discriminator = build_generator(seed=0), build_discriminator(seed=0)
    assert counts(generator) == [100, 28_416, 131_584, 525_312, 803_600]
    assert counts(discriminator) == [100, 784 * 1024 + 1024, 10 * 1024, 524_800, 131_328, 257]
    assert generator.count_params() == 1_488_912 + 100
    assert discriminator.count_params() == 1_470_465 + 100


def test_shapes_ranges_and_labels():
    model = CGAN(seed=1)
    drawn = model.generate(NOISE, LABELS).numpy()
    assert drawn.shape == (BATCH, 28, 28, 1) and -1 <= drawn.min() < drawn.max() <= 1
    np.testing.assert_array_equal(model((NOISE, LABELS)), drawn)
    others = (LABELS + 1) % 10
    assert not np.allclose(model.generate(NOISE, others), drawn, atol=1e-3)
    inputs = [[tf.constant(IMAGES), tf.constant(labels, tf.int32)] for labels in (LABELS, others)]
    logits = [model.discriminator(x).numpy() for x in inputs]
    assert logits[0].shape == (BATCH, 1) and not np.allclose(*logits, atol=1e-4)
    np.testing.assert_array_equal(list(model.inference_layers()), ["generator"])


def test_initial_weights_are_the_seeds_and_pytorch_s():
    """The two parts of the discriminator's first layer are drawn as one of 794 inputs."""
    first, same, other = (CGAN(seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, same.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert np.any(a.numpy() != c.numpy())
    bound = 1 / np.sqrt(794)
    for name in ("of_pixels", "of_label"):
        for weight in first.discriminator.get_layer(name).weights:
            values = weight.numpy()
            assert 0.98 * bound < np.abs(values).max() <= bound * (1 + 1e-6)
            assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
    kernel = first.generator.layers[-2].kernel.numpy()
    assert 0.99 / 32 < np.abs(kernel).max() <= 1 / 32  # 1,024 inputs
    table = next(x for x in first.generator.layers if isinstance(x, keras.layers.Embedding))
    assert table.embeddings.numpy().std() == pytest.approx(1, rel=0.2)


def test_initial_weights_of_glorot():
    """Glorot's bound over inputs and outputs and no bias; noise reaches the pixels."""
    model, small = CGAN(seed=1, init="glorot"), CGAN(seed=1)
    bound = np.sqrt(6 / (794 + 1024))
    for name in ("of_pixels", "of_label"):
        layer = model.discriminator.get_layer(name)
        assert 0.98 * bound < np.abs(layer.kernel.numpy()).max() <= bound * (1 + 1e-6)
    assert not np.any(model.discriminator.get_layer("of_pixels").bias.numpy())
    table = next(x for x in model.generator.layers if isinstance(x, keras.layers.Embedding))
    assert table.embeddings.numpy().std() == pytest.approx(1, rel=0.2)
    drawn, faint = (x.generate(NOISE, LABELS).numpy().std(axis=0).mean() for x in (model, small))
    assert drawn > 3 * faint
    assert CGAN.from_config(model.get_config()).init == "glorot"
    with pytest.raises(ValueError, match="Expected init"):
        CGAN(init="numpy")


class Reference:
    """Both networks as one dense layer a line, Adam and the step, on plain tensors.

    Dropout's masks come from seed generators in the same states as the model's own.
    """

    def __init__(self, model, rates):
        self.rates, self.steps = dict(zip("gd", rates, strict=True)), 0
        self.g = [tf.Variable(v) for v in model.generator.trainable_variables]
        table, pixels, bias, label, *rest = self._of(model.discriminator)
        first = np.concatenate([pixels, label])  # 794 inputs
        self.d = [tf.Variable(v) for v in (table, first, bias, *rest)]
        self.seeds = []
        for layer in model.discriminator.layers:
            if isinstance(layer, keras.layers.Dropout):
                self.seeds.append(keras.random.SeedGenerator(0))
                self.seeds[-1].state.assign(layer.seed_generator.state)
        self.slots = {n: [[0.0] * len(getattr(self, n)) for _ in range(2)] for n in "gd"}

    @staticmethod
    def _of(network):
        """Table, pixels' kernel and bias, label's kernel, then the other layers'."""
        by_name = {layer.name: layer for layer in network.layers if layer.weights}
        pixels, label = by_name.pop("of_pixels"), by_name.pop("of_label")
        table, *dense = by_name.values()
        first = [*table.get_weights(), *pixels.get_weights(), *label.get_weights()]
        return first + [w for layer in dense for w in layer.get_weights()]

    def generate(self, noise, labels):
        table, *w = self.g
        x = tf.concat([noise, tf.gather(table, labels)], axis=1)
        for i in (0, 2, 4):
            x = tf.nn.leaky_relu(x @ w[i] + w[i + 1], 0.2)
        return tf.tanh(x @ w[6] + w[7])

    def discriminate(self, pixels, labels):
        table, *w = self.d
        x = tf.concat([pixels, tf.gather(table, labels)], axis=1)
        for place, i in enumerate((0, 2, 4)):
            x = tf.nn.leaky_relu(x @ w[i] + w[i + 1], 0.2)
            x = keras.random.dropout(x, 0.3, seed=self.seeds[place])
        return tf.sigmoid(x @ w[6] + w[7])

    def adam(self, name, gradients):
        first, second = self.slots[name]
        size = self.rates[name] * np.sqrt(1 - 0.999**self.steps) / (1 - 0.5**self.steps)
        for i, gradient in enumerate(map(tf.convert_to_tensor, gradients)):
            first[i] = 0.5 * first[i] + 0.5 * gradient
            second[i] = 0.999 * second[i] + 0.001 * gradient**2
            getattr(self, name)[i].assign_sub(size * first[i] / (tf.sqrt(second[i]) + 1e-3))

    def step(self, images, labels, noise):
        self.steps += 1
        pixels = images.reshape(len(images), -1)
        both = tf.concat([pixels, self.generate(noise, labels)], axis=0)
        with tf.GradientTape() as tape:
            p = self.discriminate(both, np.tile(labels, 2))
            real, fake = p[: len(images)], p[len(images) :]
            d_loss = -tf.reduce_mean(tf.math.log(real)) - tf.reduce_mean(tf.math.log(1 - fake))
        self.adam("d", tape.gradient(d_loss, self.d))
        with tf.GradientTape() as tape:
            score = self.discriminate(self.generate(noise, labels), labels)
            g_loss = -tf.reduce_mean(tf.math.log(score))
        self.adam("g", tape.gradient(g_loss, self.g))
        return {
            "d_loss": float(d_loss),
            "g_loss": float(g_loss),
            "d_real": float(tf.reduce_mean(real)),
            "d_fake": float(tf.reduce_mean(fake)),
            "d_accuracy": float(np.mean(np.concatenate([real > 0.5, fake <= 0.5]))),
        }


RATES = 0.05, 0.01  # so large that weights move far


def compiled(rates=RATES, epsilon=1e-3, **seeds):
    model = CGAN(**{"seed": 3, "noise_seed": 5, **seeds})
    model.compile(*(FusedAdam(rate, beta_1=0.5, epsilon=epsilon) for rate in rates))
    return model


def test_three_steps_are_the_written_out_ones():
    """Losses, outputs and all weights, dropout and embeddings included.

    A large epsilon keeps Adam from turning the rounding of vanishing gradients into whole steps.
    """
    model = compiled()
    reference = Reference(model, RATES)
    train = tf.function(model.train_step)
    for step in range(3):
        noise = tf.random.stateless_normal((BATCH, 100), seed=[5, step])
        expected = reference.step(IMAGES, LABELS, noise)
        received = {k: float(v) for k, v in train((IMAGES, LABELS)).items()}
        assert received == pytest.approx(expected, rel=2e-4, abs=2e-5), step
    for ours, theirs in zip(model.generator.trainable_variables, reference.g, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=2e-5)
    table, pixels, bias, label, *rest = Reference._of(model.discriminator)
    received = [table, np.concatenate([pixels, label]), bias, *rest]
    for ours, theirs in zip(received, reference.d, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-5)
    moved = np.abs(reference.g[1] - CGAN(seed=3).generator.trainable_variables[1].numpy()).max()
    assert moved > 1e-3  # far more than the tolerance


def test_steps_are_reproducible_and_resume(tmp_path):
    """A checkpoint holds dropout's state and both optimizers: the next step is the same."""

    def owners(model):
        return {"model": model, **model.named_optimizers()}

    trial = Trial("cgan_ood", "generator", 1, {"seed": 0})
    model = compiled()
    model.train_step((IMAGES, LABELS))
    Checkpoints(tmp_path, trial, owners(model)).save(1)
    expected = {k: float(v) for k, v in model.train_step((IMAGES, LABELS)).items()}
    other = compiled()
    Checkpoints(tmp_path, trial, owners(other)).restore()
    received = {k: float(v) for k, v in other.train_step((IMAGES, LABELS)).items()}
    assert received == expected
    assert {k: float(v) for k, v in compiled().train_step((IMAGES, LABELS)).items()} != expected


def test_saves_and_loads(tmp_path):
    model = CGAN(seed=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.generate(NOISE, LABELS), model.generate(NOISE, LABELS).numpy()
    )
    assert CGAN.from_config(model.get_config()).get_config() == model.get_config()


def test_it_learns_labels_of_two_plain_classes():
    """White images of label 1, black ones of label 0."""
    labels = np.arange(64) % 2
    images = np.where(labels == 1, 0.9, -0.9)[:, None, None, None] * np.ones((1, 28, 28, 1))
    model = compiled((1e-3, 1e-3), 1e-7, seed=0)
    train = tf.function(model.train_step, reduce_retracing=True)
    for _ in range(120):
        train((images.astype(np.float32), labels))
    means = [model.generate(NOISE, np.full(BATCH, label)).numpy().mean() for label in (0, 1)]
    assert means[0] < -0.3 and means[1] > 0.3


def test_numbers_below_one_are_refused():
    with pytest.raises(ValueError, match="latent_dim=0"):
        CGAN(latent_dim=0)
