"""Losses of generative adversarial networks, and gradients through a discriminator with state.

Sources: Goodfellow et al. (2014) for the non-saturating and the saturating loss, Gulrajani et al.
(2017) for the Wasserstein loss with gradient penalty.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

LOSSES = ("nonsaturating", "saturating", "wgan-gp")


def check_loss(gan_loss: str) -> str:
    """Return the name of a loss.

    Raises:
        ValueError: if it is none of `LOSSES`.
    """
    if gan_loss not in LOSSES:
        raise ValueError(f"Expected gan_loss of {LOSSES}. Received: gan_loss={gan_loss!r}")
    return gan_loss


def discriminator_loss(gan_loss: str, real, fake):
    """What the discriminator minimises, without a gradient penalty.

    Args:
        gan_loss: one of `LOSSES`.
        real: logits (Wasserstein: critic values) of real images, float32 `(batch, 1)`.
        fake: those of generated images.

    Returns:
        Scalar: the sum of the mean cross-entropies of both halves, or, for `"wgan-gp"`, the
        difference of the critic's means.
    """
    if check_loss(gan_loss) == "wgan-gp":
        return tf.reduce_mean(fake) - tf.reduce_mean(real)
    return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))


def generator_loss(gan_loss: str, fake):
    """What the generator minimises.

    Args:
        gan_loss: one of `LOSSES`.
        fake: logits (Wasserstein: critic values) of generated images, float32 `(batch, 1)`.

    Returns:
        Scalar: the mean of -log D (non-saturating), log(1 - D) (saturating) or minus the critic.
    """
    if check_loss(gan_loss) == "wgan-gp":
        return -tf.reduce_mean(fake)
    if gan_loss == "saturating":
        return -tf.reduce_mean(tf.nn.softplus(fake))
    return tf.reduce_mean(tf.nn.softplus(-fake))


def gradient_penalty(critic, real, fake, share):
    """Mean squared distance from one of the critic's gradient norm between real and fake images.

    Args:
        critic: function from images to `(batch, 1)`.
        real: images `(batch, height, width, channels)`.
        fake: as many generated images.
        share: uniform numbers in [0, 1), `(batch, 1, 1, 1)`: the fake part of each mixture.

    Returns:
        Scalar, float32.
    """
    between = real + share * (fake - real)
    with tf.GradientTape() as tape:
        tape.watch(between)
        values = critic(between)
    slopes = tf.cast(tape.gradient(values, between), tf.float32)
    norms = tf.sqrt(tf.reduce_sum(slopes**2, axis=(1, 2, 3)) + 1e-12)  # Finite slope at zero.
    return tf.reduce_mean((norms - 1.0) ** 2)


def discriminator_report(gan_loss: str, real, fake):
    """What is reported of a discriminator's outputs on a batch.

    Args:
        gan_loss: one of `LOSSES`.
        real: logits (Wasserstein: critic values) of real images, float32 `(batch, 1)`.
        fake: those of generated images.

    Returns:
        `d_real` and `d_fake`, mean outputs in (0, 1) (Wasserstein: mean critic values), and
        `d_accuracy`, the share of images told apart at 0.5. A critic has no zero of its own; it is
        cut half-way between its two means.
    """
    threshold = 0.0
    if check_loss(gan_loss) == "wgan-gp":
        outputs = real, fake
        threshold = (tf.reduce_mean(real) + tf.reduce_mean(fake)) / 2
    else:
        outputs = tf.sigmoid(real), tf.sigmoid(fake)
    right = tf.concat([real > threshold, fake <= threshold], axis=0)
    return {
        "d_real": tf.reduce_mean(outputs[0]),
        "d_fake": tf.reduce_mean(outputs[1]),
        "d_accuracy": tf.reduce_mean(tf.cast(right, tf.float32)),
    }


def generator_gradients(loss, generator: keras.Model, discriminator: keras.Model):
    """Gradients of a generator trained through a discriminator that has state.

    With batch normalisation or dropout the discriminator must run in training mode, as in its own
    step, or the two networks play different games; but the generator's step may change neither its
    weights nor its moving statistics. The statistics are put back; dropout draws a fresh mask.

    Args:
        loss: function without arguments that runs both networks with `training=True` and returns
            a scalar.
        generator: the network whose variables are to be changed.
        discriminator: the network that must stay as it is.

    Returns:
        The loss and the gradients of `generator.trainable_variables`.
    """
    statistics = discriminator.non_trainable_weights
    before = [tf.identity(keras.ops.convert_to_tensor(v)) for v in statistics]
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, generator.trainable_variables)
    for variable, kept in zip(statistics, before, strict=True):
        variable.assign(kept)
    return value, gradients


class AdversarialModel(keras.Model):
    """What a `generator` and a `discriminator` that are trained against each other share."""

    def compile(self, g_optimizer, d_optimizer, jit_compile=False, **kwargs):
        """Set the optimizers of generator and discriminator.

        Args:
            g_optimizer: Keras optimizer of the generator.
            d_optimizer: Keras optimizer of the discriminator.
            jit_compile: XLA, which is slower for such convolutions on a CPU.
            **kwargs: as for `keras.Model.compile`.
        """
        super().compile(optimizer=g_optimizer, jit_compile=jit_compile, **kwargs)
        self.d_optimizer = d_optimizer
        g_optimizer.build(self.generator.trainable_variables)
        d_optimizer.build(self.discriminator.trainable_variables)

    def named_optimizers(self):
        """The optimizers by name, for checkpoints."""
        return {"g_optimizer": self.optimizer, "d_optimizer": self.d_optimizer}

    def inference_layers(self):
        """The layers that drawing images needs, by name."""
        return {"generator": self.generator}

    def network_at_fault(self, values):
        """Which network's weights were lost, from a step's values of which one is not finite.

        The discriminator's output on real images, `d_real`, tells it. Without that value the
        losses `d_loss` and `g_loss` do where one of them is finite; else both networks are named.
        """
        if "d_real" in values:
            return "generator" if np.isfinite(values["d_real"]) else "discriminator"
        losses = {"generator": "g_loss", "discriminator": "d_loss"}
        lost = [name for name in losses if not np.isfinite(values.get(losses[name], np.nan))]
        return " or ".join(lost or losses)
