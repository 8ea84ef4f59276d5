"""The GAN of Sterzinger, Stippel and Zogaj (2020), one a class: 64 x 64 colour images.

Source: the authors' public code, which Figure 14 of the report shows (its Sec. 2.2 describes an
earlier attempt), under the defaults of Keras 2.3.1: Glorot uniform kernels, zero biases, epsilon
1e-3 in the normalisation. Keras' "same" pads an even side on the right and bottom only.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from replicate.models import adversarial
from replicate.models.init import initialize
from replicate.models.normalization import BatchNormalization
from replicate.models.upsampled import UpsampledConv2D

IMAGE_SHAPE = (64, 64, 3)
LATENT_DIM = 100
SLOPE = 0.2  # of LeakyReLU
MOMENTUM = 0.8  # of the moving statistics
DROPOUT = 0.25
ADAM = {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-7}  # both networks
LARGEST_LOGIT = math.log((1 - 1e-7) / 1e-7)  # Keras cuts probabilities at 1e-7 and 1 - 1e-7


def build_generator(latent_dim: int = LATENT_DIM, seed: int | None = None) -> keras.Model:
    """A dense layer and three convolutions, each after a normalisation, the first two after nearest
    upsampling; 3,533,315 trainable parameters, 3,533,955 with the moving statistics.

    Maps noise `(batch, latent_dim)` to images `(batch, 64, 64, 3)` in [-1, 1]. Upsampling and the
    convolution behind it are one layer.

    Args:
        latent_dim: dimensions of the noise.
        seed: seed of the initial weights.
    """
    stack = [
        keras.Input((latent_dim,)),
        layers.Dense(16 * 16 * 128),
        layers.LeakyReLU(SLOPE),
        layers.Reshape((16, 16, 128)),
    ]
    for filters in (128, 64):
        stack += [
            BatchNormalization(momentum=MOMENTUM),
            UpsampledConv2D(filters),
            layers.LeakyReLU(SLOPE),
        ]
    stack += [
        BatchNormalization(momentum=MOMENTUM),
        layers.Conv2D(IMAGE_SHAPE[-1], 3, padding="same", activation="tanh"),
    ]
    return initialize(keras.Sequential(stack, name="generator"), "keras", seed)


def build_discriminator(seed: int | None = None) -> keras.Model:
    """Four convolutions with dropout, the last two after a normalisation, and a dense layer.

    Maps images `(batch, 64, 64, 3)` in [-1, 1] to logits `(batch, 1)`, the study's sigmoid being
    part of the loss; 409,537 trainable parameters, 409,921 with the moving statistics.

    Args:
        seed: seed of the initial weights and of the dropout.
    """
    stack = [keras.Input(IMAGE_SHAPE)]
    for filters, stride in ((32, 2), (64, 2), (128, 2), (256, 1)):
        if filters > 64:
            stack.append(BatchNormalization(momentum=MOMENTUM))
        stack.append(layers.Conv2D(filters, 3, stride, padding="same"))
        if filters == 64:
            stack.append(layers.ZeroPadding2D(((0, 1), (0, 1))))  # 16 x 16 to 17 x 17 pixels
        stack += [layers.LeakyReLU(SLOPE), layers.Dropout(DROPOUT)]
    stack += [layers.Flatten(), layers.Dense(1)]
    return initialize(keras.Sequential(stack, name="discriminator"), "keras", seed)


def cut(logits):
    """Logits within the bounds that Keras 2.3.1 puts on the probabilities of its cross-entropy.

    The loss of one image is at most 16.1, and one that is more certain than that has no gradient.
    """
    return tf.clip_by_value(logits, -LARGEST_LOGIT, LARGEST_LOGIT)


@keras.saving.register_keras_serializable("replicate")
class PerClassGAN(adversarial.AdversarialModel):
    """A generator and a discriminator of one class, trained in turns as in the authors' code.

    A step takes `half` real images, drawn with replacement by the caller: the rows of an epoch are
    `iterations * half` draws, and the loop's batch size is `half`, which is half of the study's
    batch size. In the step

    1. the generator draws `half` fakes in inference mode, by its moving statistics;
    2. the discriminator is updated twice, on the real images (label 1), then on the fakes (label
       0), in training mode: dropout, and batch statistics of that half batch alone;
    3. the generator is updated once on `2 * half` fresh noise vectors with label 1, both networks
       in training mode. Its moving statistics change here only.

    The discriminator's moving statistics stay at zero and one and are never used: in Keras 2.3.1 a
    network that is frozen after it was compiled trains without updating them. Noise depends on
    `noise_seed` and the number of the step only; dropout's state is among the model's variables.

    Args:
        latent_dim: dimensions of the Gaussian noise.
        seed: seed of the initial weights and of the dropout.
        noise_seed: seed of the noise.

    Raises:
        ValueError: if `latent_dim` < 1.
    """

    def __init__(self, latent_dim=LATENT_DIM, seed=0, noise_seed=0, **kwargs):
        super().__init__(**kwargs)
        if latent_dim < 1:
            raise ValueError(f"Expected latent_dim >= 1. Received: latent_dim={latent_dim}")
        self.latent_dim, self.seed, self.noise_seed = latent_dim, seed, noise_seed
        seeds = [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(2)]
        self.generator = build_generator(latent_dim, seeds[0])
        self.discriminator = build_discriminator(seeds[1])
        self.built = True

    def get_config(self):
        """Arguments that build the same networks."""
        names = ("latent_dim", "seed", "noise_seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def generate(self, noise):
        """Images float32 `(batch, 64, 64, 3)` in [-1, 1] of noise `(batch, latent_dim)`.

        In inference mode: an image does not depend on the others of its batch.
        """
        return tf.cast(self.generator(noise, training=False), tf.float32)

    def call(self, inputs):
        """Images of noise."""
        return self.generate(inputs)

    def train_step(self, data):
        """One step of the authors' loop on real images.

        Args:
            data: images float32 `(half, 64, 64, 3)` in [-1, 1]; labels behind them are not used.

        Returns:
            `d_loss`, the mean of the discriminator's two losses, `g_loss`, and `d_real`, `d_fake`
            and `d_accuracy` of the outputs that the discriminator's two updates were made from.
        """
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        half = images.shape[0] or tf.shape(images)[0]
        step = tf.cast(self.optimizer.iterations, tf.int32)
        shape = (3 * half, self.latent_dim)
        noise = tf.random.stateless_normal(shape, seed=[self.noise_seed, step])
        fakes = self.generate(noise[:half])
        real_loss, real = self._train_discriminator(images, label=1)
        fake_loss, fake = self._train_discriminator(fakes, label=0)
        g_loss = self._train_generator(noise[half:])
        report = adversarial.discriminator_report("nonsaturating", real, fake)
        return {"d_loss": (real_loss + fake_loss) / 2, "g_loss": g_loss, **report}

    def _train_discriminator(self, images, label):
        """One update on images of one label; returns the loss and the logits before it."""
        outputs = []

        def loss():
            outputs.append(tf.cast(self.discriminator(images, training=True), tf.float32))
            sign = 1.0 - 2.0 * label
            return tf.reduce_mean(tf.nn.softplus(sign * cut(outputs[0])))

        # Here the network that learns is also the one whose moving statistics must stay.
        network = self.discriminator
        value, gradients = adversarial.generator_gradients(loss, network, network)
        self.d_optimizer.apply(gradients, network.trainable_variables)
        return value, outputs[0]

    def _train_generator(self, noise):
        def loss():
            images = self.generator(noise, training=True)
            logits = tf.cast(self.discriminator(images, training=True), tf.float32)
            return adversarial.generator_loss("nonsaturating", cut(logits))

        value, gradients = adversarial.generator_gradients(loss, self.generator, self.discriminator)
        self.optimizer.apply(gradients, self.generator.trainable_variables)
        return value
