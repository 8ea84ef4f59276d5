"""The GAN of one class against its layers and one training step written out."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from model_contract import ModelContract, check_model

from replicate.models.perclass_gan import (
    ADAM,
    LARGEST_LOGIT,
    PerClassGAN,
    build_discriminator,
    build_generator,
    cut,
)
from replicate.runs.trial import Trial
from replicate.training.checkpoints import Checkpoints

HALF = 2
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2 * HALF, 64, 64, 3)).astype(np.float32)

# ------------------------------------------------- counts, layers, initial weights


@pytest.mark.parametrize(
    ("build", "input_shape", "output_shape", "params", "input_range", "output_range"),
    [
        (build_generator, (100,), (64, 64, 3), 3_533_955, (-2, 2), (-1, 1)),
        (build_discriminator, (64, 64, 3), (1,), 409_921, (-1, 1), None),
    ],
)
def test_contract(build, input_shape, output_shape, params, input_range, output_range, tmp_path):
    check_model(
        ModelContract(
            build=build,
            input_shape=input_shape,
            output_shape=output_shape,
            params=params,
            input_range=input_range,
            output_range=output_range,
            batch=2,
        ),
        tmp_path,
    )


def rows(network):
    """Output shape and parameters of each layer that has any."""
    return [(tuple(x.output.shape[1:]), x.count_params()) for x in network.layers if x.weights]


def trainable(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def test_layers_are_those_of_the_study():
    generator, discriminator = build_generator(seed=0), build_discriminator(seed=0)
    assert rows(generator) == [
        ((32768,), 3_309_568),
        ((16, 16, 128), 512),
        ((32, 32, 128), 147_584),
        ((32, 32, 128), 512),
        ((64, 64, 64), 73_792),
        ((64, 64, 64), 256),
        ((64, 64, 3), 1_731),
    ]
    assert rows(discriminator) == [
        ((32, 32, 32), 896),
        ((16, 16, 64), 18_496),
        ((17, 17, 64), 256),
        ((9, 9, 128), 73_856),
        ((9, 9, 128), 512),
        ((9, 9, 256), 295_168),
        ((1,), 20_737),
    ]
    assert (trainable(generator), trainable(discriminator)) == (3_533_315, 409_537)
    assert [type(layer).__name__ for layer in discriminator.layers[:8]] == [
        *("Conv2D", "LeakyReLU", "Dropout", "Conv2D", "ZeroPadding2D", "LeakyReLU", "Dropout"),
        "BatchNormalization",
    ]
    kinds = [type(layer).__name__ for layer in generator.layers[3:6]]
    assert kinds == ["BatchNormalization", "UpsampledConv2D", "LeakyReLU"]


def test_defaults_are_those_of_keras_2_3_1():
    for network in (build_generator(seed=0), build_discriminator(seed=0)):
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                assert (layer.momentum, layer.epsilon) == (0.8, 1e-3)
            if not hasattr(layer, "kernel"):
                continue
            kernel = layer.kernel.numpy()
            taps = kernel.shape[0] * kernel.shape[1] if kernel.ndim == 4 else 1
            bound = np.sqrt(6 / (taps * (kernel.shape[-2] + kernel.shape[-1])))
            assert 0.99 * bound < np.abs(kernel).max() <= bound  # Glorot uniform
            assert kernel.std() == pytest.approx(bound / np.sqrt(3), rel=0.05)
            assert not layer.bias.numpy().any()


# ------------------------------------------------- the step, written out


def leaky(x):
    return tf.where(x > 0, x, 0.2 * x)


def convolve(x, kernel, bias, stride=1):
    """3 x 3 convolution of zero-padded images; an odd row of padding goes right and bottom."""
    side = x.shape[1]
    total = (-(-side // stride) - 1) * stride + 3 - side
    pads = [total // 2, total - total // 2]
    x = tf.pad(x, [[0, 0], pads, pads, [0, 0]])
    return tf.nn.conv2d(x, kernel, stride, "VALID") + bias


def normalize(x, scale, shift, moments):
    mean, variance = moments
    return scale * (x - mean) / tf.sqrt(variance + 1e-3) + shift


class Reference:
    """Both networks, their Adam and the study's step on plain tensors.

    Dropout's masks come from seed generators in the same states as the model's own.
    """

    def __init__(self, model, rate, epsilon):
        self.rate, self.epsilon = rate, epsilon
        self.g = [tf.Variable(v) for v in model.generator.trainable_variables]
        self.d = [tf.Variable(v) for v in model.discriminator.trainable_variables]
        moving = [v.numpy() for v in model.generator.non_trainable_variables]
        self.moving = list(zip(moving[::2], moving[1::2], strict=True))
        self.seeds = []
        for layer in model.discriminator.layers:
            if isinstance(layer, keras.layers.Dropout):
                self.seeds.append(keras.random.SeedGenerator(0))
                self.seeds[-1].state.assign(layer.seed_generator.state)
        self.slots = {name: [0, [0.0] * 14, [0.0] * 14] for name in "gd"}

    def generate(self, noise, moments=None):
        """Images, and the batch's moments at each normalisation."""
        w, seen = self.g, []
        x = tf.reshape(leaky(noise @ w[0] + w[1]), (-1, 16, 16, 128))
        for i, first in enumerate((2, 6, 10)):
            scale, shift, kernel, bias = w[first : first + 4]
            seen.append(tf.nn.moments(x, [0, 1, 2]))
            x = normalize(x, scale, shift, moments[i] if moments else seen[-1])
            if i < 2:
                x = leaky(convolve(tf.repeat(tf.repeat(x, 2, 1), 2, 2), kernel, bias))
        return tf.tanh(convolve(x, kernel, bias)), seen

    def discriminate(self, x):
        w = self.d
        x = self.drop(0, leaky(convolve(x, w[0], w[1], 2)))
        x = tf.pad(convolve(x, w[2], w[3], 2), [[0, 0], [0, 1], [0, 1], [0, 0]])
        x = self.drop(1, leaky(x))
        for place, first, stride in ((2, 4, 2), (3, 8, 1)):
            x = normalize(x, w[first], w[first + 1], tf.nn.moments(x, [0, 1, 2]))
            x = self.drop(place, leaky(convolve(x, w[first + 2], w[first + 3], stride)))
        return tf.sigmoid(tf.reshape(x, (len(x), -1)) @ w[12] + w[13])

    def drop(self, place, x):
        return keras.random.dropout(x, 0.25, seed=self.seeds[place])

    def adam(self, name, tape, loss):
        variables, slots = getattr(self, name), self.slots[name]
        slots[0] += 1
        size = self.rate * np.sqrt(1 - 0.999 ** slots[0]) / (1 - 0.5 ** slots[0])
        for i, gradient in enumerate(tape.gradient(loss, variables)):
            slots[1][i] = 0.5 * slots[1][i] + 0.5 * gradient
            slots[2][i] = 0.999 * slots[2][i] + 0.001 * gradient**2
            variables[i].assign_sub(size * slots[1][i] / (tf.sqrt(slots[2][i]) + self.epsilon))

    def step(self, images, noise):
        fakes, _ = self.generate(noise[: len(images)], self.moving)
        losses, outputs = [], []
        for batch, label in ((images, 1), (fakes, 0)):
            with tf.GradientTape() as tape:
                p = self.discriminate(batch)
                loss = -tf.reduce_mean(tf.math.log(p if label else 1 - p))
            self.adam("d", tape, loss)
            losses.append(float(loss))
            outputs.append(p.numpy())
        with tf.GradientTape() as tape:
            drawn, seen = self.generate(noise[len(images) :])
            g_loss = -tf.reduce_mean(tf.math.log(self.discriminate(drawn)))
        self.adam("g", tape, g_loss)
        self.moving = [
            tuple(0.8 * a + 0.2 * b for a, b in zip(old, new, strict=True))
            for old, new in zip(self.moving, seen, strict=True)
        ]
        right = np.concatenate([outputs[0] > 0.5, outputs[1] <= 0.5])
        return {
            "d_loss": np.mean(losses),
            "g_loss": float(g_loss),
            "d_real": outputs[0].mean(),
            "d_fake": outputs[1].mean(),
            "d_accuracy": right.mean(),
        }


def compiled(g_rate=0.0, d_rate=0.0, seed=3):
    model = PerClassGAN(seed=seed, noise_seed=5)
    model.compile(keras.optimizers.SGD(g_rate), keras.optimizers.SGD(d_rate))
    return model


def noise_of(step, half=HALF):
    return tf.random.stateless_normal((3 * half, 100), seed=[5, step])


def disturb(model):
    """Noise on all weights, so that biases, affine parts and moving statistics matter."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        noise = rng.standard_normal(variable.shape).astype(np.float32)
        spread = 0.5 if "moving_variance" in variable.path else 0.02
        variable.assign(variable + spread * (np.abs(noise) if spread == 0.5 else noise))


def test_two_steps_are_the_written_out_ones():
    """Losses, outputs, all weights and the generator's moving statistics, dropout on.

    A large epsilon keeps Adam from turning the rounding of vanishing gradients into whole steps.
    """
    model = PerClassGAN(seed=3, noise_seed=5)
    disturb(model)
    damped = {"learning_rate": 0.02, "beta_1": 0.5, "epsilon": 0.1}
    model.compile(keras.optimizers.Adam(**damped), keras.optimizers.Adam(**damped))
    reference = Reference(model, 0.02, 0.1)
    before = [v.numpy() for v in model.trainable_variables]
    for step in range(2):
        images = IMAGES[HALF * step :][:HALF]
        values = model.train_step((images, None))
        expected = reference.step(images, noise_of(step))
        assert list(values) == list(expected)
        for name, value in expected.items():
            assert float(values[name]) == pytest.approx(value, rel=2e-3), (step, name)
    theirs = [v.numpy() for v in reference.g + reference.d]
    for ours, other, old in zip(model.trainable_variables, theirs, before, strict=True):
        moved = np.linalg.norm(other - old)
        assert moved > 0
        assert np.linalg.norm(ours.numpy() - other) < 0.01 * moved, ours.path
    moving = model.generator.non_trainable_variables
    for ours, other in zip(moving, [m for pair in reference.moving for m in pair], strict=True):
        np.testing.assert_allclose(ours, other, rtol=2e-3, atol=1e-4)
    assert int(model.d_optimizer.iterations) == 2 * int(model.optimizer.iterations) == 4


def test_fakes_are_drawn_by_the_moving_statistics_and_do_not_change_them():
    model = PerClassGAN(seed=3)
    disturb(model)
    noise = noise_of(0)
    before = [v.numpy() for v in model.generator.variables]
    images = model.generate(noise).numpy()
    for variable, old in zip(model.generator.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    np.testing.assert_allclose(images[:1], model.generate(noise[:1]), atol=1e-5)
    by_batch = model.generator(noise, training=True).numpy()
    assert np.abs(by_batch - images).max() > 0.1


def test_only_the_fakes_depend_on_the_moving_statistics():
    """With nothing learned, other moving statistics change `d_fake` and nothing else."""
    values = []
    for shift in (0.0, 3.0):
        model = compiled()
        for variable in model.generator.non_trainable_variables:
            if "moving_mean" in variable.path:
                variable.assign(variable + shift)
        values.append({k: float(v) for k, v in model.train_step((IMAGES[:1],)).items()})
    assert values[0]["d_fake"] != values[1]["d_fake"]
    for name in ("g_loss", "d_real"):
        assert values[0][name] == values[1][name]


def state(layer):
    return [v.numpy() for v in layer.weights]


def changed(layer, before):
    """The names of the weights that are not what they were."""
    pairs = zip(layer.weights, before, strict=True)
    return {v.name for v, old in pairs if not np.array_equal(v.numpy(), old)}


LEARNED = {"kernel", "bias", "gamma", "beta"}
MOVING = {"moving_mean", "moving_variance"}


def test_the_discriminator_s_updates_change_its_weights_only():
    model = compiled(d_rate=0.1)
    generator, discriminator = state(model.generator), state(model.discriminator)
    for label in (1, 0):
        model._train_discriminator(IMAGES[:HALF], label)
    assert changed(model.generator, generator) == set()
    assert changed(model.discriminator, discriminator) == LEARNED
    for layer in model.discriminator.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (
                not layer.moving_mean.numpy().any() and (layer.moving_variance.numpy() == 1).all()
            )


def test_the_generator_s_update_leaves_the_discriminator_as_it_was():
    model = compiled(g_rate=0.1, d_rate=0.1)
    generator, discriminator = state(model.generator), state(model.discriminator)
    masks = [v.numpy() for v in model.discriminator.non_trainable_variables if "seed" in v.path]
    model._train_generator(noise_of(0))
    assert changed(model.discriminator, discriminator) == set()
    assert changed(model.generator, generator) == LEARNED | MOVING
    after = [v.numpy() for v in model.discriminator.non_trainable_variables if "seed" in v.path]
    assert len(masks) == 4, "dropout has no state"
    assert all((a != b).any() for a, b in zip(after, masks, strict=True)), "the next mask is equal"


def test_fit_is_the_same_training():
    """What the graph of `fit` does equals eager steps, also to the moving statistics."""
    fitted, stepped = compiled(0.01, 0.01), compiled(0.01, 0.01)
    fitted.fit(IMAGES[:2], batch_size=1, epochs=1, shuffle=False, verbose=0)
    for part in (IMAGES[:1], IMAGES[1:2]):
        stepped.train_step((part,))
    start = compiled().get_weights()
    for a, b, old in zip(fitted.get_weights(), stepped.get_weights(), start, strict=True):
        assert np.linalg.norm(a - b) <= 0.02 * np.linalg.norm(b - old)
    assert all((v.numpy() == 0).all() for v in moving_means(fitted.discriminator))
    assert all((v.numpy() != 0).any() for v in moving_means(fitted.generator))


def moving_means(network):
    return [v for v in network.weights if v.name == "moving_mean"]


def test_cross_entropy_is_cut_as_by_keras_2_3_1():
    logits = tf.constant([-40.0, -2.0, 3.0, 40.0])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = tf.nn.softplus(-cut(logits))
    p = np.clip(1 / (1 + np.exp(-logits.numpy().astype(np.float64))), 1e-7, 1 - 1e-7)
    np.testing.assert_allclose(losses, -np.log(p), rtol=1e-5)
    gradient = tape.gradient(losses, logits).numpy()
    np.testing.assert_allclose(gradient, [0, p[1] - 1, p[2] - 1, 0], rtol=1e-5)
    assert pytest.approx(1e-7) == 1 / (1 + np.exp(LARGEST_LOGIT))


# ------------------------------------------------- resuming, files, refusals


def with_adam(seed):
    model = PerClassGAN(seed=seed, noise_seed=5)
    model.compile(keras.optimizers.Adam(**ADAM), keras.optimizers.Adam(**ADAM))
    return model


def test_a_restored_training_goes_on_exactly(tmp_path):
    trial = Trial("study", "generator", 1, {"epochs": 2})

    def checkpoints(model):
        return Checkpoints(tmp_path, trial, {"model": model, **model.named_optimizers()})

    first = with_adam(seed=3)
    first.train_step((IMAGES[:1],))
    checkpoints(first).save(1)
    expected = first.train_step((IMAGES[1:2],))
    other = with_adam(seed=4)
    assert checkpoints(other).restore()[0] == 1
    values = other.train_step((IMAGES[1:2],))
    for name, value in expected.items():
        assert float(values[name]) == float(value), name
    for a, b in zip(first.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_saves_and_loads(tmp_path):
    model = PerClassGAN(seed=2, noise_seed=7)
    disturb(model)
    model.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    noise = np.ones((2, 100), np.float32)
    np.testing.assert_array_equal(loaded(noise), model(noise))
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_network_that_lost_its_weights_is_named(network):
    model = compiled()
    kernel = getattr(model, network).trainable_variables[0]
    kernel.assign(kernel * np.nan)
    values = {k: float(v) for k, v in model.train_step((IMAGES[:1],)).items()}
    assert np.isnan(values["d_loss"])
    assert model.network_at_fault(values) == network


def test_refuses_no_noise():
    with pytest.raises(ValueError, match="Received: latent_dim=0"):
        PerClassGAN(latent_dim=0)
