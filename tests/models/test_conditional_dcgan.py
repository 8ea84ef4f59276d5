import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models import conditional_dcgan
from replicate.models.conditional_dcgan import (
    ConditionalDCGAN,
    LabelledConv2D,
    LabelledConv2DTranspose,
    build_discriminator,
    build_generator,
)

# ------------------------------------------------- the networks written out with real label maps


def with_maps(x, labels):
    """Labels as constant maps behind the channels, as the base code concatenates them."""
    maps = np.broadcast_to(labels[:, None, None], (*x.shape[:3], labels.shape[1]))
    return np.concatenate([x, maps], axis=-1)


def down(x, kernel, bias):
    """Convolution 5 x 5 of stride 2; "same" pads one row before and two after even sides."""
    padded = np.pad(x, [(0, 0), (1, 2), (1, 2), (0, 0)])
    side = x.shape[1]
    taps = [(i, j) for i in range(5) for j in range(5)]
    return bias + sum(padded[:, i : i + side : 2, j : j + side : 2] @ kernel[i, j] for i, j in taps)


def up(x, kernel, bias):
    """The transpose of `down`: each pixel adds a kernel, then the padding is cut."""
    n, side, _, _ = x.shape
    full = np.zeros((n, 2 * side + 3, 2 * side + 3, kernel.shape[2]))
    for i in range(5):
        for j in range(5):
            full[:, i : i + 2 * side : 2, j : j + 2 * side : 2] += x @ kernel[i, j].T
    return full[:, 1 : 1 + 2 * side, 1 : 1 + 2 * side] + bias


def normalise(x, gamma, beta, mean, variance, training):
    if training:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
    return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def relu(x):
    return np.maximum(x, 0)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def numpy_generator(weights, noise, labels, training):
    w = iter(weights)

    def norm(x):
        return normalise(x, next(w), next(w), next(w), next(w), training)

    x = relu(norm(np.concatenate([noise, labels], 1) @ next(w) + next(w)))
    x = relu(norm(np.concatenate([x, labels], 1) @ next(w) + next(w)))
    x = relu(norm(up(with_maps(x.reshape(-1, 7, 7, 128), labels), next(w), next(w))))
    return 1 / (1 + np.exp(-up(with_maps(x, labels), next(w), next(w))))


def numpy_discriminator(weights, images, labels, training):
    w = iter(weights)

    def norm(x):
        return normalise(x, next(w), next(w), next(w), next(w), training)

    x = leaky(down(with_maps(images, labels), next(w), next(w)))
    x = leaky(norm(down(with_maps(x, labels), next(w), next(w))))
    x = np.concatenate([x.reshape(len(x), -1), labels], 1)
    x = np.concatenate([leaky(norm(x @ next(w) + next(w))), labels], 1)
    return x @ next(w) + next(w)


def disturbed(network):
    """Weights layer by layer in float64 after noise was added to all, statistics included."""
    rng = np.random.default_rng(0)
    network.set_weights(
        [w + 0.05 * rng.standard_normal(w.shape).astype(w.dtype) for w in network.get_weights()]
    )
    return [w.astype(np.float64) for layer in network.layers for w in layer.get_weights()]


def inputs(n=5, width=100):
    rng = np.random.default_rng(1)
    return rng.standard_normal((n, width)), np.eye(10)[rng.integers(10, size=n)]


@pytest.mark.parametrize("training", [False, True])
def test_generator_is_the_one_with_concatenated_maps(training):
    network = build_generator(seed=1)
    assert sum(v.value.shape.num_elements() for v in network.trainable_variables) == 7_065_211
    weights = disturbed(network)
    noise, labels = inputs()
    expected = numpy_generator(weights, noise, labels, training)
    images = network([noise.astype(np.float32), labels.astype(np.float32)], training=training)
    assert images.shape == (5, 28, 28, 1) and expected.std() > 0.02
    np.testing.assert_allclose(images, expected, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_discriminator_is_the_one_with_concatenated_maps(training):
    network = build_discriminator(seed=1)
    assert sum(v.value.shape.num_elements() for v in network.trainable_variables) == 3_769_479
    weights = disturbed(network)
    _, labels = inputs()
    images = np.random.default_rng(2).random((5, 28, 28, 1))
    expected = numpy_discriminator(weights, images, labels, training)
    logits = network([images.astype(np.float32), labels.astype(np.float32)], training=training)
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "plain"),
    [
        (LabelledConv2D(6, 5, 2, "same"), keras.layers.Conv2D(6, 5, 2, "same")),
        (LabelledConv2DTranspose(6, 5, 2, "same"), keras.layers.Conv2DTranspose(6, 5, 2, "same")),
    ],
)
def test_slopes_are_those_of_concatenated_maps(layer, plain):
    rng = np.random.default_rng(3)
    x = tf.constant(rng.standard_normal((4, 8, 8, 3)), tf.float32)
    labels = tf.one_hot([0, 2, 2, 1], 3)
    maps = tf.broadcast_to(labels[:, None, None], (4, 8, 8, 3))
    ours = layer(x, labels)
    plain.build((None, 8, 8, 6))
    plain.set_weights(layer.get_weights())
    targets = rng.standard_normal(ours.shape)
    slopes = []
    for run in (lambda: layer(x, labels), lambda: plain(tf.concat([x, maps], -1))):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum((run() - targets) ** 2)
        module = layer if not slopes else plain
        slopes.append([loss, *tape.gradient(loss, [x, *[v.value for v in module.weights]])])
    for a, b in zip(*slopes, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


# ------------------------------------------------- the training step


def compiled(rate=0.1, **arguments):
    model = ConditionalDCGAN(seed=3, noise_seed=5, **arguments)
    model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    return model


def batch(n=6):
    images = np.random.default_rng(0).random((n, 28, 28, 1)).astype(np.float32)
    return images, np.arange(n) % 10


def reference_step(model, images, labels, noise):
    """The base code's three updates, each with passes of its own, by plain descent."""
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    images, one_hot = tf.constant(images), tf.one_hot(labels, 10)
    losses = []
    for which in ("discriminator", "generator", "generator"):
        with tf.GradientTape() as tape:
            fake = model.discriminator(
                [model.generator([noise, one_hot], training=True), one_hot], training=True
            )
            loss = entropy(tf.ones_like(fake), fake)
            if which == "discriminator":
                real = model.discriminator([images, one_hot], training=True)
                loss = entropy(tf.ones_like(real), real) + entropy(tf.zeros_like(fake), fake)
        variables = getattr(model, which).trainable_variables
        for v, g in zip(variables, tape.gradient(loss, variables), strict=True):
            v.assign_sub(0.1 * g)
        losses.append(float(loss))
    return losses


def test_a_step_trains_the_discriminator_once_and_the_generator_twice():
    images, labels = batch()
    ours, reference = compiled(), compiled()
    for step in range(2):
        values = ours.train_step((images, labels))
        noise = tf.random.stateless_normal((6, 100), seed=[5, step])
        d_loss, _, g_loss = reference_step(reference, images, labels, noise)
        assert float(values["d_loss"]) == pytest.approx(d_loss, rel=1e-4)
        assert float(values["g_loss"]) == pytest.approx(g_loss, rel=1e-4)
    assert ours.d_optimizer.iterations == 2 and ours.optimizer.iterations == 4
    for network in ("generator", "discriminator"):  # with the generator's moving statistics
        pairs = zip(
            getattr(ours, network).weights, getattr(reference, network).weights, strict=True
        )
        for a, b in pairs:
            if network == "generator" or a.trainable:
                np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5, err_msg=a.path)


def test_noise_is_of_its_kind_and_new_in_every_step():
    model = compiled()
    drawn = model._step_noise(4000).numpy()
    assert drawn.std() == pytest.approx(1, abs=0.01) and abs(drawn).max() > 3
    model.d_optimizer.iterations.assign_add(1)
    assert (model._step_noise(4000).numpy() != drawn).mean() > 0.99
    uniform = compiled(noise="uniform")
    for sample in (uniform._step_noise(4000), uniform.draw_noise(np.random.default_rng(0), 4000)):
        assert np.abs(sample).max() <= 1
        assert np.std(sample) == pytest.approx(3**-0.5, abs=0.01)


def test_initial_weights_have_the_spread_of_the_base_code_and_follow_the_seed():
    first, same, other = (build_generator(seed=s).get_weights() for s in (1, 1, 2))
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any() == (a.ndim > 1)
    for kernel in first + build_discriminator(seed=4).get_weights():
        if kernel.ndim > 1:
            assert kernel.std() == pytest.approx(conditional_dcgan.SPREAD, rel=0.05)


def test_labels_reach_the_images():
    model = compiled()
    noise = np.ones((2, 100), np.float32)
    three, five = model.generate(noise, [3, 5]).numpy()
    assert np.abs(three - five).max() > 1e-5
    assert 0 < three.min() and three.max() < 1


def test_saves_and_loads(tmp_path):
    model = ConditionalDCGAN(noise="uniform", seed=2)
    model.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    noise, labels = np.ones((2, 100), np.float32), np.array([1, 2])
    np.testing.assert_array_equal(loaded((noise, labels)), model((noise, labels)))
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize(
    ("bad", "received"),
    [({"noise": "normal"}, "noise='normal'"), ({"latent_dim": 0}, "latent_dim=0")],
)
def test_refuses_bad_arguments(bad, received):
    with pytest.raises(ValueError, match=received):
        ConditionalDCGAN(**bad)
