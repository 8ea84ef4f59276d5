import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.dcgan import ARCHS, DCGAN, build_discriminator, build_generator
from replicate.training.loop import resident_steps
from replicate.training.optimizers import FusedAdam

# ------------------------------------------------- the networks written out in NumPy, PyTorch's way


def up(x, kernel, bias, stride, padding):
    """Transposed convolution: each input pixel adds a kernel; the border is cut by `padding`."""
    n, height, width, _ = x.shape
    size, _, filters, _ = kernel.shape
    full = np.zeros((n, (height - 1) * stride + size, (width - 1) * stride + size, filters))
    for i in range(size):
        for j in range(size):
            rows, columns = (
                slice(i, i + height * stride, stride),
                slice(j, j + width * stride, stride),
            )
            full[:, rows, columns][:, :height, :width] += x @ kernel[i, j].T
    end = full.shape[1] - padding
    return full[:, padding:end, padding:end] + bias


def down(x, kernel, bias):
    """Convolution of kernel 4, stride 2, one pixel of zeros on every side."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    side = x.shape[1] // 2
    taps = [(i, j) for i in range(4) for j in range(4)]
    return bias + sum(
        padded[:, i : i + 2 * side : 2, j : j + 2 * side : 2] @ kernel[i, j] for i, j in taps
    )


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def numpy_generator(weights, noise, arch):
    x, weights = noise[:, None, None, :], iter(weights)
    for filters, _, stride, padding in ARCHS[arch]:
        pad = 0 if padding == "valid" else 1
        x = up(x, next(weights), next(weights), stride, pad)
        if filters != 3:
            mean, variance = (f(x, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
            x = (x - mean) / np.sqrt(variance + 1e-5) * next(weights) + next(weights)
            x = leaky(x)
    return np.tanh(x)


def numpy_discriminator(weights, images):
    x = images
    for kernel, bias in zip(weights[0:8:2], weights[1:8:2], strict=True):
        x = leaky(down(x, kernel, bias))
    return x.reshape(len(x), -1) @ weights[8] + weights[9]


def disturbed(network):
    """Weights in float64 after noise was added, so that biases and affine parts matter."""
    rng = np.random.default_rng(0)
    weights = [
        w + 0.05 * rng.standard_normal(w.shape).astype(w.dtype) for w in network.get_weights()
    ]
    network.set_weights(weights)
    return [w.astype(np.float64) for w in weights]


@pytest.mark.parametrize(("arch", "parameters"), [("a", 3_577_667), ("b", 3_576_323)])
def test_generator_is_the_written_out_one(arch, parameters):
    network = build_generator(arch, seed=1)
    assert network.count_params() == parameters
    weights = disturbed(network)
    noise = np.random.default_rng(1).standard_normal((3, 100))
    expected = numpy_generator(weights, noise, arch)
    images = network(noise.astype(np.float32)).numpy()
    assert images.shape == (3, 32, 32, 3) and images.std() > 0.1
    np.testing.assert_allclose(images, expected, atol=2e-4)


def test_discriminator_is_the_written_out_one():
    network = build_discriminator(seed=1)
    assert network.count_params() == 2_758_593
    weights = disturbed(network)
    images = np.random.default_rng(1).uniform(-1, 1, (3, 32, 32, 3))
    logits = network(images.astype(np.float32)).numpy()
    np.testing.assert_allclose(logits, numpy_discriminator(weights, images), rtol=1e-4, atol=1e-3)
    assert np.ptp(logits) > 1e-2


def test_initial_weights_have_the_spread_of_dcgan_and_follow_the_seed():
    first, same, other = (build_discriminator(seed=s).get_weights() for s in (1, 1, 2))
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).any() == (a.ndim > 1)
    kernels = [w for w in build_generator(seed=3).get_weights() + first if w.ndim > 1]
    assert len(kernels) == 10
    for kernel in kernels:
        assert kernel.std() == pytest.approx(0.02, rel=0.06)


# ------------------------------------------------- training steps


def batch(n=6):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (n, 32, 32, 3)).astype(np.float32)
    return images, np.arange(n) % 10


def compiled(rate=0.1, **arguments):
    model = DCGAN(seed=3, noise_seed=5, **arguments)
    model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate))
    return model


def noise_of(step, count):
    return tf.random.stateless_normal((2, count, 100), seed=[5, step])


def test_a_step_is_algorithm_1_with_two_separate_passes():
    """One pass over real and generated images together equals two, losses and updates alike."""
    images, labels = batch()
    ours, reference = compiled(), compiled()
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    ones, zeros = np.ones((6, 1), np.float32), np.zeros((6, 1), np.float32)
    for step in range(2):
        values = ours.train_step((images, labels))
        noise = noise_of(step, 6)
        with tf.GradientTape() as tape:
            real = reference.discriminator(images)
            fake = reference.discriminator(reference.generator(noise[0]))
            d_loss = entropy(ones, real) + entropy(zeros, fake)
        variables = reference.discriminator.trainable_variables
        for v, g in zip(variables, tape.gradient(d_loss, variables), strict=True):
            v.assign_sub(0.1 * g)
        with tf.GradientTape() as tape:
            g_loss = entropy(ones, reference.discriminator(reference.generator(noise[1])))
        variables = reference.generator.trainable_variables
        for v, g in zip(variables, tape.gradient(g_loss, variables), strict=True):
            v.assign_sub(0.1 * g)
        p_real, p_fake = tf.sigmoid(real).numpy(), tf.sigmoid(fake).numpy()
        expected = {
            "d_loss": d_loss,
            "g_loss": g_loss,
            "d_real": p_real.mean(),
            "d_fake": p_fake.mean(),
            "d_accuracy": ((p_real > 0.5).mean() + (p_fake <= 0.5).mean()) / 2,
        }
        assert list(values) == list(expected)
        for name, value in expected.items():
            assert float(values[name]) == pytest.approx(float(value), rel=1e-4), name
    for a, b in zip(ours.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_saturating_loss_concerns_the_generator_only():
    images, labels = batch(4)
    values = {
        name: compiled(gan_loss=name).train_step((images, labels))
        for name in ("nonsaturating", "saturating")
    }
    assert float(values["nonsaturating"]["g_loss"]) > 0 > float(values["saturating"]["g_loss"])
    assert float(values["nonsaturating"]["d_loss"]) == float(values["saturating"]["d_loss"])


def test_noise_is_fresh_every_step_and_the_seed_s():
    model, images = compiled(rate=0.0), batch(4)[0]
    values = [float(model.train_step((images,))["d_fake"]) for _ in range(2)]
    again = float(compiled(rate=0.0).train_step((images,))["d_fake"])
    assert values[0] == again and values[0] != values[1]
    fake = model.discriminator(model.generator(noise_of(0, 4)[0]))
    assert values[0] == pytest.approx(float(tf.reduce_mean(tf.sigmoid(fake))), rel=1e-6)


def test_fit_is_the_same_training():
    images, _ = batch(8)
    fitted, stepped = compiled(rate=0.01), compiled(rate=0.01)
    fitted.fit(images, batch_size=4, epochs=1, shuffle=False, verbose=0)
    for part in (images[:4], images[4:]):
        stepped.train_step((part,))
    for a, b in zip(fitted.get_weights(), stepped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_each_optimizer_changes_its_own_network():
    images, _ = batch(4)
    for still in ("generator", "discriminator"):
        model = DCGAN(seed=3)
        rates = [0.0 if still == name else 0.1 for name in ("generator", "discriminator")]
        model.compile(*(keras.optimizers.SGD(rate) for rate in rates))
        before = {
            name: getattr(model, name).get_weights() for name in ("generator", "discriminator")
        }
        model.train_step((images,))
        for name, weights in before.items():
            pairs = zip(weights, getattr(model, name).get_weights(), strict=True)
            changed = [not np.array_equal(a, b) for a, b in pairs]
            assert all(changed) if name != still else not any(changed), (still, name)


def test_labels_reach_both_networks():
    model = compiled(num_classes=10)
    assert model.generator.input_shape == (None, 110)
    assert model.discriminator.input_shape == (None, 32, 32, 13)
    images, labels = batch(4)
    assert np.isfinite(float(model.train_step((images, labels))["d_loss"]))
    noise = np.ones((2, 100), np.float32)
    cat, dog = model.generate(noise, [3, 5]).numpy()
    assert np.abs(cat - dog).max() > 1e-4
    logits = model.discriminate(np.stack([images[0]] * 2), np.array([3, 5])).numpy()
    assert logits[0] != logits[1]
    planes = np.zeros((1, 32, 32, 13), np.float32)
    planes[..., :3], planes[..., 3 + 5] = images[0], 1.0
    np.testing.assert_allclose(model.discriminator(planes)[0], logits[1], rtol=1e-5)
    with pytest.raises(ValueError, match="Expected labels, num_classes=10"):
        model.generate(noise)


def test_wasserstein_critic_steps_and_penalty():
    images, _ = batch(4)
    model = compiled(rate=1e-4, gan_loss="wgan-gp", critic_steps=3)
    fake = model.generate(noise_of(0, 4)[0])
    share = model._mixing_shares(4, 0)
    between = images + share * (fake - images)
    with tf.GradientTape() as tape:
        tape.watch(between)
        values = model.discriminator(between)
    norms = np.sqrt((tape.gradient(values, between).numpy() ** 2).sum(axis=(1, 2, 3)))
    critic = [model.discriminator(x).numpy().mean() for x in (images, fake)]
    expected = critic[1] - critic[0] + 10 * ((norms - 1) ** 2).mean()
    changed = []
    for step in range(6):
        before = model.generator.get_weights()[0]
        values = model.train_step((images,))
        if step == 0:
            assert float(values["d_loss"]) == pytest.approx(expected, rel=1e-4)
            assert float(values["g_loss"]) == pytest.approx(-critic[1], abs=1e-6)
        changed.append(not np.array_equal(before, model.generator.get_weights()[0]))
    assert changed == [False, False, True] * 2
    assert ((share.numpy() >= 0) & (share.numpy() < 1)).all() and np.ptp(share) > 0.1


def tiny_wasserstein():
    """The model with networks of one or two layers in place of its own, and fused Adam."""
    keras.utils.set_random_seed(7)
    model = DCGAN(noise_seed=5, gan_loss="wgan-gp", critic_steps=2)
    layers = keras.layers
    drawn = [layers.Dense(32 * 32 * 3, "tanh"), layers.Reshape((32, 32, 3))]
    model.generator = keras.Sequential([keras.Input((100,)), *drawn])
    judged = [layers.Conv2D(4, 4, 4), layers.LeakyReLU(0.2), layers.Flatten(), layers.Dense(1)]
    model.discriminator = keras.Sequential([keras.Input((32, 32, 3)), *judged])
    model.compile(*(FusedAdam(1e-3, beta_1=0.5) for _ in range(2)))
    return model


def test_wasserstein_steps_are_the_same_in_a_graph_of_many_with_fused_adam():
    """As generators are trained: the generator's turn is a branch of the graph."""
    images, labels = batch(16)
    in_graph, stepped = tiny_wasserstein(), tiny_wasserstein()
    before = in_graph.generator.get_weights()
    run = resident_steps(
        lambda *parts: in_graph.train_step(parts), tf.constant(images), tf.constant(labels)
    )
    rows = np.arange(16).reshape(4, 4)
    values = run(rows)
    for step, part in enumerate(rows):
        expected = stepped.train_step((images[part], labels[part]))
        assert list(values) == list(expected)
        for name, value in expected.items():
            assert values[name][step] == pytest.approx(float(value), rel=1e-3, abs=1e-5), name
        if step == 0:
            for a, b in zip(before, stepped.generator.get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)
    for model in (in_graph, stepped):
        assert [int(o.iterations) for o in (model.optimizer, model.d_optimizer)] == [2, 4]
    for a, b in zip(in_graph.get_weights(), stepped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for a, b in zip(before, in_graph.generator.get_weights(), strict=True):
        assert np.abs(a - b).max() > 1e-3  # two updates


def test_reduced_precision_stays_near_and_keeps_float32_weights():
    images, _ = batch(8)
    full = compiled(rate=0.0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        reduced = compiled(rate=0.0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {str(w.dtype) for w in reduced.weights} == {"float32"}
    assert reduced.generator.compute_dtype == "bfloat16"
    ours, exact = (m.train_step((images,)) for m in (reduced, full))
    assert float(ours["d_loss"]) == pytest.approx(float(exact["d_loss"]), rel=0.01)
    drawn = reduced.generate(noise_of(0, 4)[0])
    assert drawn.dtype == tf.float32
    np.testing.assert_allclose(drawn, full.generate(noise_of(0, 4)[0]), atol=0.02)


# ------------------------------------------------- files, ranges, refusals


def test_saves_and_loads(tmp_path):
    model = DCGAN(num_classes=10, gan_loss="saturating", seed=2)
    model.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    noise, labels = np.ones((2, 100), np.float32), np.array([1, 2])
    np.testing.assert_array_equal(loaded((noise, labels)), model((noise, labels)))
    assert loaded.get_config() == model.get_config()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_the_network_that_lost_its_weights_is_named(network):
    model = compiled(rate=0.0)
    kernel = getattr(model, network).trainable_variables[0]
    kernel.assign(kernel * np.nan)
    values = {k: float(v) for k, v in model.train_step((batch(2)[0],)).items()}
    assert np.isnan(values["d_loss"])
    assert model.network_at_fault(values) == network


@pytest.mark.parametrize(
    ("bad", "received"),
    [
        ({"arch": "c"}, "arch='c'"),
        ({"gan_loss": "hinge"}, "gan_loss='hinge'"),
        ({"latent_dim": 0}, "latent_dim=0"),
        ({"critic_steps": 0}, "critic_steps=0"),
    ],
)
def test_refuses_bad_arguments(bad, received):
    with pytest.raises(ValueError, match=received):
        DCGAN(**bad)
