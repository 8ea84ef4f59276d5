"""The networks as Keras models: gradients, graphs, state, files, arguments."""

import keras
import numpy as np
import pytest
import stylegan2_numpy as slow
import tensorflow as tf
from safetensors.numpy import load_file

from replicate.models.stylegan2 import Discriminator, Generator, cifar, from_official, to_official
from replicate.models.stylegan2.discriminator import append_deviation
from replicate.models.stylegan2.resample import downsample, smooth, upsample
from replicate.runs.trial import Trial
from replicate.training.checkpoints import Checkpoints, load_weights, save_weights

SMALL = {"channel_base": 64, "resolution": 16, "z_dim": 6, "w_dim": 5, "c_dim": 3}


@pytest.fixture
def networks():
    return cifar(**SMALL, seed=3)


@pytest.fixture(scope="module")
def unchanged():
    """For tests that change nothing."""
    return cifar(**SMALL, seed=3)


def inputs(n=4, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((n, 6)).astype(np.float32)
    return z, np.eye(3, dtype=np.float32)[np.arange(n) % 3]


def test_resampling_against_zeros_between_pixels():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 10))
    nhwc = x.transpose(0, 2, 3, 1)
    for fast, expected in (
        (upsample(nhwc), slow.filtered(slow.zeros_between(x), 2, 1, gain=4)),
        (downsample(nhwc), slow.filtered(x, 1, 1)[:, :, ::2, ::2]),
        (smooth(nhwc, padding=2, gain=4.0), slow.filtered(x, 2, 2, gain=4)),
    ):
        np.testing.assert_allclose(np.transpose(fast, (0, 3, 1, 2)), expected, atol=1e-6)


def test_gradients_of_resampling_are_the_adjoint_maps():
    """<gradient, v> = <map(v), upstream> for any v, and once more for the gradient's own."""
    maps = [upsample, downsample, lambda x: smooth(x, 1, gain=4.0), lambda x: smooth(x, 2)]
    rng = np.random.default_rng(0)
    x, direction = (tf.constant(rng.standard_normal((2, 6, 8, 3))) for _ in range(2))
    for resample in maps:
        upstream = tf.constant(rng.standard_normal(resample(x).shape))
        with tf.GradientTape() as outer:
            outer.watch(upstream)
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(resample(x) * upstream)
            slope = tf.reduce_sum(tape.gradient(total, x) * direction)
        np.testing.assert_allclose(slope, tf.reduce_sum(resample(direction) * upstream))
        second = outer.gradient(slope, upstream)
        np.testing.assert_allclose(second, resample(direction), atol=1e-12)


def test_groups_of_the_minibatch_deviation():
    x = np.zeros((6, 1, 1, 1), np.float32)
    x[[0, 2, 4], 0, 0, 0] = [1, 2, 3]  # images 0, 2, 4 are one group of three, 1, 3, 5 the other
    out = append_deviation(tf.constant(x), group_size=3, channels=1).numpy()[:, 0, 0, 1]
    np.testing.assert_allclose(out, [np.std([1, 2, 3]), 1e-4] * 3, rtol=1e-4)
    with pytest.raises(ValueError, match="multiple of 4 images. Received: 6"):
        append_deviation(tf.constant(x), group_size=4, channels=1)


def test_gradient_of_the_r1_penalty():
    """Its slope along a direction of all weights equals finite differences in float64."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        discriminator = cifar(**SMALL, seed=1)[1]
    finally:
        keras.config.set_dtype_policy(before)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.uniform(-1, 1, (4, 16, 16, 3)))
    c = np.eye(3)[[0, 1, 2, 0]]
    weights = discriminator.trainable_variables
    directions = [rng.standard_normal(w.shape) for w in weights]

    @tf.function
    def penalty():
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(discriminator(x, c))
        return tf.reduce_sum(tape.gradient(total, x) ** 2)

    with tf.GradientTape() as tape:
        value = penalty()
    pairs = zip(tape.gradient(value, weights), directions, strict=True)
    slope = sum(float(tf.reduce_sum(g * d)) for g, d in pairs if g is not None)
    step, values = 1e-6, []
    for sign in (1, -2):
        for weight, direction in zip(weights, directions, strict=True):
            weight.assign_add(sign * step * direction)
        values.append(float(penalty()))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    assert abs(slope) > 1e-3 * float(value) > 0


def test_every_weight_of_the_generator_learns(unchanged):
    generator, discriminator = unchanged
    z, c = inputs()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(discriminator(generator(z, c), c))
    gradients = tape.gradient(loss, generator.trainable_variables)
    for gradient, variable in zip(gradients, generator.trainable_variables, strict=True):
        assert np.any(gradient != 0), variable.path


def test_graph_with_open_batch_equals_eager(unchanged):
    generator, discriminator = unchanged
    spec = [tf.TensorSpec((None, 6)), tf.TensorSpec((None, 3))]

    @tf.function(input_signature=spec)
    def run(z, c):
        images = generator(z, c, truncation_psi=0.5)
        return images, discriminator(images, c)

    for n in (2, 3):
        z, c = inputs(n)
        images = generator(z, c, truncation_psi=0.5)
        graph = run(z, c)
        np.testing.assert_allclose(graph[0], images, atol=1e-5)
        np.testing.assert_allclose(graph[1], discriminator(images, c), atol=1e-5)


def test_noise_modes(networks):
    generator = networks[0]
    z, c = inputs(2)
    z[1], c[1] = z[0], c[0]
    for layer in generator.synthesis.convolutions:
        layer.noise_strength.assign(0.5)
    const, none = (generator(z, c, noise_mode=mode).numpy() for mode in ("const", "none"))
    np.testing.assert_allclose(const[0], const[1], atol=1e-6)
    assert np.abs(const - none).max() > 0.01
    first, second = (generator(z, c, noise_mode="random").numpy() for _ in range(2))
    assert np.abs(first - second).max() > 0.01 and np.abs(first[0] - first[1]).max() > 0.01
    with pytest.raises(ValueError, match="noise_mode='other'"):
        generator(z, c, noise_mode="other")


def test_random_noise_has_the_scale_of_its_strength(networks):
    layer = networks[0].synthesis.convolutions[-1]
    layer.noise_strength.assign(0.25)
    x, w = np.ones((64, 8, 8, layer.weight.shape[2]), np.float32), np.ones((64, 5), np.float32)
    layer.bias.assign(np.full(layer.bias.shape, 50.0))  # well within the linear part
    noise = tf.random.stateless_normal((64, 8, 8), seed=(1, 2))
    difference = (layer(x, w, noise) - layer(x, w)).numpy()
    np.testing.assert_allclose(difference[..., 0], 0.25 * np.sqrt(2) * noise, atol=1e-4)


def test_truncation_and_the_running_mean_of_w(networks):
    mapping = networks[0].mapping
    z, c = inputs(8)
    w = mapping(z, c).numpy()
    assert np.all(mapping.w_avg.numpy() == 0)
    mapping(z, c, training=True)
    np.testing.assert_allclose(mapping.w_avg, 0.005 * w[:, 0].mean(0), rtol=1e-4)
    mapping.w_avg.assign(np.arange(5.0))
    np.testing.assert_allclose(
        mapping(z, c, truncation_psi=0.0), np.broadcast_to(np.arange(5.0), w.shape), atol=1e-6
    )
    np.testing.assert_array_equal(mapping(z, c, truncation_psi=1.0), w)


def test_a_seed_gives_the_network():
    first, same, other = (to_official(*cifar(**SMALL, seed=seed)) for seed in (1, 1, 5))
    drawn = [n for n, a in first.items() if a.ndim > 1]
    for name in drawn:
        np.testing.assert_array_equal(first[name], same[name])
        assert np.any(first[name] != other[name]), name
    assert first["G.synthesis.b16.conv1.weight"].std() == pytest.approx(1, abs=0.15)
    assert first["G.mapping.fc0.weight"].std() == pytest.approx(100, rel=0.2)
    assert np.all(first["G.synthesis.b8.conv0.affine.bias"] == 1)


def test_checkpoint_holds_weights_mean_and_noise_state(tmp_path, networks):
    trial = Trial("toy", "generator", 1, {"seed": 0}, 0)
    generator, discriminator = networks
    z, c = inputs()
    generator(z, c, noise_mode="random", training=True)
    for layer in generator.synthesis.convolutions:
        layer.noise_strength.assign(0.5)
    Checkpoints(tmp_path, trial, {"g": generator, "d": discriminator}).save(1)
    expected = generator(z, c, noise_mode="random", truncation_psi=0.5)
    restored = cifar(**SMALL, seed=9)
    step, _ = Checkpoints(tmp_path, trial, dict(zip("gd", restored, strict=True))).restore()
    assert step == 1
    drawn = restored[0](z, c, noise_mode="random", truncation_psi=0.5)
    np.testing.assert_array_equal(drawn, expected)
    np.testing.assert_array_equal(restored[1](drawn, c), discriminator(expected, c))


def test_released_weights(tmp_path, unchanged):
    z, c = inputs()
    path = tmp_path / "weights.safetensors"
    save_weights(path, {"generator": unchanged[0]}, {"what": "toy"})
    assert {array.dtype.name for array in load_file(path).values()} == {"float16"}
    other = cifar(**SMALL, seed=9)[0]
    assert load_weights(path, {"generator": other}) == {"what": "toy"}
    np.testing.assert_allclose(other(z, c), unchanged[0](z, c), atol=0.02)


def test_keras_files(tmp_path, unchanged):
    z, c = inputs()
    images = unchanged[0](z, c)
    for network, arguments in zip(unchanged, ((z, c), (images, c)), strict=True):
        path = tmp_path / f"{network.name}.keras"
        network.save(path)
        loaded = keras.saving.load_model(path)
        np.testing.assert_array_equal(loaded(*arguments), network(*arguments))
        assert loaded.get_config() == network.get_config()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda g, d, z, c: g(z[:, :4], c), r"z of shape \(batch, 6\)"),
        (lambda g, d, z, c: g(z, c[:, :2]), r"c of shape \(batch, 3\)"),
        (lambda g, d, z, c: g(z), r"c of shape \(batch, 3\). Received: shape=None"),
        (lambda g, d, z, c: g.synthesis(z[:, None]), r"ws of shape \(batch, 6, 5\)"),
        (lambda g, d, z, c: d(np.zeros((4, 8, 8, 3)), c), r"images of shape \(batch, 16, 16, 3\)"),
        (lambda g, d, z, c: d(np.zeros((4, 16, 16, 3))), r"c of shape \(batch, 3\)"),
        (lambda *_: Discriminator((4, 4), architecture="skip"), "architecture='skip'"),
        (lambda *_: cifar(resolution=24), "resolution=24"),
    ],
)
def test_arguments_are_checked(unchanged, call, match):
    with pytest.raises(ValueError, match=match):
        call(*unchanged, *inputs())


@pytest.mark.parametrize(
    ("change", "config", "match"),
    [
        (lambda a: a.pop("G.synthesis.b8.conv0.weight"), {}, "G.synthesis.b8.conv0.weight"),
        (lambda a: a.pop("G.mapping.fc0.weight"), {}, "mapping.fc0.weight"),
        (lambda a: a.pop("D.b4.conv.weight"), {}, "b4.conv.weight"),
        (lambda a: a.update({"D.b16.extra.weight": np.ones(3)}), {}, "D.b16.extra.weight"),
        (lambda a: a.update({"G.synthesis.b4.const": np.ones((2, 4, 4))}), {}, "b4.const"),
        (lambda a: a.update({"G.x.resample_filter": np.ones((4, 4)) / 16}), {}, "filter"),
        (lambda a: None, {"mbstd_group": 4}, "mbstd_group"),
        (lambda a: None, {"architecture": "resnet"}, "architecture='orig'"),
        (lambda a: a.clear(), {}, "Missing"),
    ],
)
def test_official_arrays_are_checked(unchanged, change, config, match):
    arrays = to_official(*unchanged)
    change(arrays)
    with pytest.raises(ValueError, match=match):
        from_official(arrays, config)


def test_grey_unconditional_network():
    generator = Generator((6, 6), z_dim=4, mapping_widths=(4,), img_channels=1)
    discriminator = Discriminator((6, 6), img_channels=1)
    z = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    images = generator(z)
    assert images.shape == (4, 8, 8, 1) and discriminator(images).shape == (4, 1)
    again = from_official(to_official(generator, discriminator))
    np.testing.assert_array_equal(again[0](z), images)
    assert again[1].mapping is None
