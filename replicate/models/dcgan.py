"""The DCGANs of Leung, Leung and Yu (2022) on CIFAR-10: 32 x 32 colour images.

The report states layer kinds, slopes and normalisation (Sec. 4); widths and kernels are inferred so
that every stated count holds. Kernels of 4, stride 2 and one pixel of padding are where Keras'
"same" and PyTorch's padding agree.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from replicate.models import adversarial, small_maps
from replicate.models.init import initialize

IMAGE_SHAPE = (32, 32, 3)
SLOPE = 0.2  # of LeakyReLU (Sec. 4)
EPSILON = 1e-5  # of the normalisation
SPREAD = 0.02  # standard deviation of initial weights (Radford et al., 2016)
ARCHS = {  # filters, kernel, stride and padding of the generator's five transposed convolutions
    "a": [(512, 4, 2, "same"), *((n, 4, 2, "same") for n in (256, 128, 64, 3))],
    "b": [(512, 4, 1, "valid"), *((n, 4, 2, "same") for n in (256, 128, 64)), (3, 3, 1, "same")],
}


def _normal():
    return keras.initializers.RandomNormal(0.0, SPREAD)


@keras.saving.register_keras_serializable("replicate")
class UpConv2D(layers.Conv2DTranspose):
    """`Conv2DTranspose` by matrix products where its input is a pixel or 2 x 2 of them."""

    def call(self, inputs):
        """Convolve `(batch, height, width, channels)`."""
        if small_maps.suits(self, inputs, 2):
            kernel = tf.identity(keras.ops.convert_to_tensor(self.kernel))
            outputs = small_maps.up(inputs, kernel) + keras.ops.convert_to_tensor(self.bias)
            return self.activation(outputs)
        if tuple(inputs.shape[1:3]) != (1, 1):
            return super().call(inputs)
        kernel = keras.ops.convert_to_tensor(self.kernel)  # [4 4 F C]
        if self.padding == "same":  # Fast path: the outer taps fall off the 2 x 2 output.
            kernel = kernel[1:3, 1:3]
        side = kernel.shape[0]
        flat = tf.reshape(inputs, (-1, inputs.shape[-1]))
        product = tf.matmul(flat, tf.reshape(kernel, (-1, inputs.shape[-1])), transpose_b=True)
        outputs = tf.reshape(product, (-1, side, side, self.filters))
        return self.activation(outputs + keras.ops.convert_to_tensor(self.bias))


def build_generator(
    arch: str = "a", latent_dim: int = 100, num_classes: int = 0, seed: int | None = None
) -> keras.Model:
    """Five transposed convolutions with four normalisations between them, then tanh.

    Maps noise `(batch, latent_dim + num_classes)`, labels one-hot behind the noise, to images
    `(batch, 32, 32, 3)` in [-1, 1]. Normalisation is over height, width and channels of one image
    with an affine part a channel (Eqs. 4 to 7).

    Args:
        arch: `"a"` (every convolution doubles the side, from one pixel; 3,577,667 parameters) or
            `"b"` (the first gives 4 x 4, the last keeps the side; 3,576,323).
        latent_dim: dimensions of the noise.
        num_classes: number of labels that it is told, 0 for none.
        seed: seed of the initial weights.

    Raises:
        ValueError: if `arch` is neither of the two.
    """
    if arch not in ARCHS:
        raise ValueError(f"Expected arch of {tuple(ARCHS)}. Received: arch={arch!r}")
    inputs = keras.Input((latent_dim + num_classes,))
    x = layers.Reshape((1, 1, latent_dim + num_classes))(inputs)
    for filters, kernel, stride, padding in ARCHS[arch]:
        x = UpConv2D(filters, kernel, stride, padding, kernel_initializer=_normal())(x)
        if filters != IMAGE_SHAPE[-1]:
            x = layers.GroupNormalization(groups=1, epsilon=EPSILON)(x)
            x = layers.LeakyReLU(SLOPE)(x)
    outputs = layers.Activation("tanh")(x)
    return initialize(keras.Model(inputs, outputs, name="generator"), "keras", seed)


def build_discriminator(num_classes: int = 0, seed: int | None = None) -> keras.Model:
    """Four convolutions of stride 2 and one dense layer; 2,758,593 parameters without labels.

    Maps images `(batch, 32, 32, 3 + num_classes)`, labels as constant planes behind the colours,
    to logits `(batch, 1)`.

    Args:
        num_classes: number of labels that it is told, 0 for none.
        seed: seed of the initial weights.
    """
    inputs = keras.Input((*IMAGE_SHAPE[:2], IMAGE_SHAPE[2] + num_classes))
    x = inputs
    for filters in (64, 128, 256, 512):
        x = small_maps.DownConv2D(filters, 4, 2, "same", kernel_initializer=_normal())(x)
        x = layers.LeakyReLU(SLOPE)(x)
    logits = layers.Dense(1, kernel_initializer=_normal())(layers.Flatten()(x))
    return initialize(keras.Model(inputs, logits, name="discriminator"), "keras", seed)


@keras.saving.register_keras_serializable("replicate")
class DCGAN(adversarial.AdversarialModel):
    """A generator and a discriminator that are trained in turns (Algorithm 1).

    A step is one discriminator step, then one generator step, each on fresh noise that depends on
    `noise_seed` and the number of the step only. The discriminator sees real and generated images
    in one pass, which equals two since it has no batch statistics. With `"wgan-gp"` the generator
    is trained on every `critic_steps`-th batch, so that each critic step has real images of its
    own; on the others `g_loss` is that of the critic's own batch.

    Args:
        arch: architecture of the generator, see `build_generator`.
        latent_dim: dimensions of the Gaussian noise.
        num_classes: 0, or the number of labels that both networks are told.
        gan_loss: `"nonsaturating"`, `"saturating"` or `"wgan-gp"`.
        critic_steps: critic steps a generator step, `"wgan-gp"` only (Gulrajani et al., 2017).
        penalty_weight: weight of the gradient penalty, `"wgan-gp"` only.
        seed: seed of the initial weights.
        noise_seed: seed of the noise.

    Raises:
        ValueError: if `arch` or `gan_loss` is unknown, or a number is too small.
    """

    def __init__(
        self,
        arch="a",
        latent_dim=100,
        num_classes=0,
        gan_loss="nonsaturating",
        critic_steps=5,
        penalty_weight=10.0,
        seed=0,
        noise_seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if latent_dim < 1 or num_classes < 0 or critic_steps < 1 or penalty_weight < 0:
            raise ValueError(
                "Expected latent_dim >= 1, num_classes >= 0, critic_steps >= 1 and "
                f"penalty_weight >= 0. Received: latent_dim={latent_dim}, "
                f"num_classes={num_classes}, critic_steps={critic_steps}, "
                f"penalty_weight={penalty_weight}"
            )
        self.arch, self.latent_dim, self.num_classes = arch, latent_dim, num_classes
        self.gan_loss = adversarial.check_loss(gan_loss)
        self.critic_steps, self.penalty_weight = critic_steps, penalty_weight
        self.seed, self.noise_seed = seed, noise_seed
        seeds = [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(2)]
        self.generator = build_generator(arch, latent_dim, num_classes, seeds[0])
        self.discriminator = build_discriminator(num_classes, seeds[1])
        self.built = True

    def get_config(self):
        """Arguments that build the same networks."""
        names = ("arch", "latent_dim", "num_classes", "gan_loss", "critic_steps")
        names += ("penalty_weight", "seed", "noise_seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def generate(self, noise, labels=None):
        """Images float32 `(batch, 32, 32, 3)` in [-1, 1].

        Args:
            noise: `(batch, latent_dim)`.
            labels: integers `(batch,)`; needed if the network is told labels.
        """
        noise = tf.convert_to_tensor(noise, tf.float32)
        if self.num_classes:
            noise = tf.concat([noise, self._one_hot(labels)], axis=-1)
        return tf.cast(self.generator(noise), tf.float32)

    def discriminate(self, images, labels=None):
        """Logits float32 `(batch, 1)` of images `(batch, 32, 32, 3)` in [-1, 1]; see `generate`."""
        if self.num_classes:
            planes = self._one_hot(labels)[:, None, None, :]
            shape = (tf.shape(images)[0], *IMAGE_SHAPE[:2], self.num_classes)
            images = tf.concat([images, tf.broadcast_to(planes, shape)], axis=-1)
        return tf.cast(self.discriminator(images), tf.float32)

    def call(self, inputs):
        """Images of noise, or of `(noise, labels)`."""
        return (
            self.generate(*inputs) if isinstance(inputs, (tuple, list)) else self.generate(inputs)
        )

    def _one_hot(self, labels):
        if labels is None:
            raise ValueError(f"Expected labels, num_classes={self.num_classes}. Received: None")
        return tf.one_hot(tf.cast(labels, tf.int32), self.num_classes)

    def train_step(self, data):
        """One step of Algorithm 1 on `(images, labels)`.

        Args:
            data: images float32 `(batch, 32, 32, 3)` in [-1, 1], and labels `(batch,)`, which are
                not used if the networks are not told labels.

        Returns:
            The batch's own `d_loss`, `g_loss`, `d_real`, `d_fake` and `d_accuracy`.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        count = images.shape[0] or tf.shape(images)[0]
        step = tf.cast(self.d_optimizer.iterations, tf.int32)
        shape = (2, count, self.latent_dim)
        noise = tf.random.stateless_normal(shape, seed=[self.noise_seed, step])
        d_loss, report = self._train_discriminator(images, labels, noise[0], step)
        if self.gan_loss == "wgan-gp":
            g_loss = tf.cond(
                step % self.critic_steps == self.critic_steps - 1,
                lambda: self._train_generator(labels, noise[1]),
                lambda: -report["d_fake"],
            )
        else:
            g_loss = self._train_generator(labels, noise[1])
        return {"d_loss": d_loss, "g_loss": g_loss, **report}

    def _train_discriminator(self, images, labels, noise, step):
        generated = self.generate(noise, labels)
        count = tf.shape(images)[0]
        both = tf.concat([images, generated], axis=0)
        twice = tf.concat([labels, labels], axis=0) if self.num_classes else None
        with tf.GradientTape() as tape:
            logits = self.discriminate(both, twice)
            real, fake = logits[:count], logits[count:]
            loss = adversarial.discriminator_loss(self.gan_loss, real, fake)
            if self.gan_loss == "wgan-gp":
                share = self._mixing_shares(count, step)
                loss += self.penalty_weight * adversarial.gradient_penalty(
                    lambda mixed: self.discriminate(mixed, labels), images, generated, share
                )
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, adversarial.discriminator_report(self.gan_loss, real, fake)

    def _mixing_shares(self, count, step):
        seed = tf.random.fold_in([self.noise_seed, step], 1)
        return tf.random.stateless_uniform((count, 1, 1, 1), seed=seed)

    def _train_generator(self, labels, noise):
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            logits = self.discriminate(self.generate(noise, labels), labels)
            loss = adversarial.generator_loss(self.gan_loss, logits)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss
