import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models import adversarial

REAL = np.array([[2.0], [-1.0], [0.5]], np.float32)
FAKE = np.array([[-3.0], [0.25], [1.0]], np.float32)


def probability(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def test_discriminator_minimises_both_cross_entropies():
    expected = -np.log(probability(REAL)).mean() - np.log(1 - probability(FAKE)).mean()
    for name in ("nonsaturating", "saturating"):
        loss = adversarial.discriminator_loss(name, REAL, FAKE)
        assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_generator_losses_are_those_of_the_papers():
    p = probability(FAKE)
    expected = {
        "nonsaturating": -np.log(p).mean(),
        "saturating": np.log(1 - p).mean(),
        "wgan-gp": -FAKE.mean(),
    }
    for name in adversarial.LOSSES:
        loss = float(adversarial.generator_loss(name, FAKE))
        assert loss == pytest.approx(expected[name], rel=1e-6)


def test_every_generator_loss_pushes_the_discriminator_up():
    for name in adversarial.LOSSES:
        logits = tf.constant(FAKE)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = adversarial.generator_loss(name, logits)
        assert (tape.gradient(loss, logits).numpy() < 0).all(), name


def test_critic_loss_falls_as_real_images_rise():
    assert float(adversarial.discriminator_loss("wgan-gp", REAL, FAKE)) == pytest.approx(
        FAKE.mean() - REAL.mean(), rel=1e-6
    )


def test_penalty_of_a_linear_critic_is_its_norm_s_distance_from_one():
    weights = np.random.default_rng(0).standard_normal((4, 4, 2)).astype(np.float32)
    real, fake = np.random.default_rng(1).standard_normal((2, 3, 4, 4, 2)).astype(np.float32)
    share = np.full((3, 1, 1, 1), 0.3, np.float32)

    def critic(images):
        return tf.reduce_sum(images * weights, axis=(1, 2, 3))[:, None]

    penalty = adversarial.gradient_penalty(critic, tf.constant(real), tf.constant(fake), share)
    assert float(penalty) == pytest.approx((np.linalg.norm(weights) - 1) ** 2, rel=1e-5)


def test_penalty_is_taken_between_the_images():
    """The gradient of |x|^2 / 2 is x itself, so the penalty tells where it was taken."""
    real, fake = tf.ones((2, 2, 2, 1)), 3 * tf.ones((2, 2, 2, 1))
    share = tf.constant([0.0, 0.5], shape=(2, 1, 1, 1))  # norms 2 (all ones) and 4 (all twos)
    penalty = adversarial.gradient_penalty(
        lambda x: tf.reduce_sum(x**2, axis=(1, 2, 3))[:, None] / 2, real, fake, share
    )
    assert float(penalty) == pytest.approx((1 + 9) / 2, rel=1e-6)


def test_report_of_a_discriminator():
    report = {
        k: float(v) for k, v in adversarial.discriminator_report("saturating", REAL, FAKE).items()
    }
    assert report["d_real"] == pytest.approx(probability(REAL).mean(), rel=1e-6)
    assert report["d_fake"] == pytest.approx(probability(FAKE).mean(), rel=1e-6)
    assert report["d_accuracy"] == pytest.approx(3 / 6)  # right: 2.0, 0.5 and -3.0


def test_report_of_a_critic_does_not_depend_on_its_zero():
    rows = [adversarial.discriminator_report("wgan-gp", REAL + c, FAKE + c) for c in (0.0, 50.0)]
    assert float(rows[0]["d_real"]) == pytest.approx(REAL.mean())
    # Cut at (0.5 - 0.5833) / 2 = -0.04: right are 2.0, 0.5 and -3.0.
    assert [float(row["d_accuracy"]) for row in rows] == [pytest.approx(0.5)] * 2


def test_unknown_loss_is_refused():
    with pytest.raises(ValueError, match="Received: gan_loss='hinge'"):
        adversarial.generator_loss("hinge", FAKE)


@pytest.fixture
def pair():
    keras.utils.set_random_seed(0)
    generator = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    stack = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    return generator, keras.Sequential([keras.Input((4,)), *stack])


def test_generator_gradients_leave_the_discriminator_as_it_was(pair):
    generator, discriminator = pair
    z = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    normalization, dropout, _ = discriminator.layers
    before = [v.numpy() for v in discriminator.weights]
    mask = dropout.seed_generator.state.numpy()

    @tf.function
    def step():
        def loss():
            return tf.reduce_mean(discriminator(generator(z, training=True), training=True))

        return adversarial.generator_gradients(loss, generator, discriminator)

    value, gradients = step()
    for variable, kept in zip(discriminator.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), kept)
    assert (dropout.seed_generator.state.numpy() != mask).any(), "the next mask is the same"
    assert [g.shape for g in gradients] == [v.shape for v in generator.trainable_variables]
    assert np.abs(gradients[0].numpy()).max() > 0 and np.isfinite(float(value))
    discriminator(generator(z, training=True), training=True)  # A plain call would have moved them.
    assert (normalization.moving_mean.numpy() != before[2]).any()


def test_generator_gradients_are_those_of_batch_statistics(pair):
    """Against batch normalisation written out; dropout off."""
    generator, discriminator = pair
    normalization, dropout, dense = discriminator.layers
    dropout.rate = 0.0
    z = tf.constant(np.random.default_rng(0).standard_normal((8, 3)), tf.float32)

    def head(x):
        mean, variance = tf.nn.moments(x, axes=[0])
        scaled = (x - mean) * tf.math.rsqrt(variance + normalization.epsilon)
        return tf.reduce_mean((scaled @ dense.kernel.value + dense.bias.value) ** 2)

    with tf.GradientTape() as tape:
        expected_loss = head(generator(z))
    expected = tape.gradient(expected_loss, generator.trainable_variables)

    def loss():
        return tf.reduce_mean(discriminator(generator(z), training=True) ** 2)

    value, gradients = adversarial.generator_gradients(loss, generator, discriminator)
    assert float(value) == pytest.approx(float(expected_loss), rel=1e-5)
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("values", "network"),
    [
        ({"d_real": np.nan, "d_loss": np.nan, "g_loss": np.nan}, "discriminator"),
        ({"d_real": 0.5, "d_loss": np.nan, "g_loss": np.nan}, "generator"),
        ({"d_loss": 1.0, "g_loss": np.inf}, "generator"),
        ({"d_loss": np.nan, "g_loss": 1.0}, "discriminator"),
        ({"d_loss": np.nan, "g_loss": np.nan}, "generator or discriminator"),
        ({"loss": np.nan}, "generator or discriminator"),
    ],
)
def test_a_network_is_named_by_what_a_gan_reports(values, network):
    assert adversarial.AdversarialModel().network_at_fault(values) == network
