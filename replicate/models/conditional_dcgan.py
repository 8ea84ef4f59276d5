"""The label-conditional DCGAN of Lee, Rothenberg and Shah (2017) on MNIST: 28 x 28 grey images.

The slides state epochs, batch size, Gaussian noise and labels. The networks are those of the MNIST
branch of the code that they evidently ran (carpedm20/DCGAN-tensorflow, inferred): labels stand
behind the noise, behind every dense layer's input and, as ten constant maps, behind every
convolution's input; every batch trains the discriminator once and the generator twice.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from replicate.models import adversarial
from replicate.models.init import initialize
from replicate.models.normalization import BatchNormalization

IMAGE_SHAPE = (28, 28, 1)
GENERATOR_PARAMS, DISCRIMINATOR_PARAMS = 7_065_211, 3_769_479  # trainable
SPREAD = 0.02  # standard deviation of initial weights
SLOPE = 0.2  # of LeakyReLU
NOISES = ("gaussian", "uniform")


def _normal():
    return keras.initializers.RandomNormal(0.0, SPREAD)


@keras.saving.register_keras_serializable("replicate")
class LabelledConv2D(layers.Conv2D):
    """`Conv2D` of images with their labels as constant maps behind the channels.

    The maps are never made: a map of ones through a convolution is the same for every image of a
    label, so ten such results are computed once a batch and each image takes its label's. That is
    the same sum in another order.
    """

    def build(self, images_shape, labels_shape):
        """Make the kernel `(size, size, channels + labels, filters)`."""
        super().build((*images_shape[:-1], images_shape[-1] + labels_shape[-1]))
        self.input_spec = None  # that of one input

    def compute_output_shape(self, images_shape, labels_shape=None):
        """Shape of the output for batch shapes."""
        return super().compute_output_shape(images_shape)

    def call(self, images, labels):
        """Convolve `(batch, height, width, channels)` with one-hot labels `(batch, labels)`."""
        kernel = tf.identity(keras.ops.convert_to_tensor(self.kernel))  # [h w (C K) F]
        channels, classes = images.shape[-1], labels.shape[-1]
        size = self.kernel_size
        of_label = tf.reshape(kernel[:, :, channels:], (*size, 1, classes * self.filters))
        ones = tf.ones((1, *images.shape[1:3], 1), images.dtype)
        maps = self._convolve(ones, of_label)[0]  # [h w (K F)]
        maps = tf.transpose(
            tf.reshape(maps, (*maps.shape[:2], classes, self.filters)), (2, 0, 1, 3)
        )
        outputs = self._convolve(images, kernel[:, :, :channels]) + _chosen(maps, labels)
        return self.activation(outputs + keras.ops.convert_to_tensor(self.bias))

    def _convolve(self, images, kernel):
        return tf.nn.conv2d(images, kernel, self.strides, self.padding.upper())


@keras.saving.register_keras_serializable("replicate")
class LabelledConv2DTranspose(layers.Conv2DTranspose):
    """`Conv2DTranspose` that doubles the side, of images with labels; see `LabelledConv2D`."""

    def build(self, images_shape, labels_shape):
        """Make the kernel `(size, size, filters, channels + labels)`."""
        super().build((*images_shape[:-1], images_shape[-1] + labels_shape[-1]))
        self.input_spec = None

    def compute_output_shape(self, images_shape, labels_shape=None):
        """Shape of the output for batch shapes."""
        return super().compute_output_shape(images_shape)

    def call(self, images, labels):
        """Convolve `(batch, height, width, channels)` with one-hot labels `(batch, labels)`."""
        kernel = tf.identity(keras.ops.convert_to_tensor(self.kernel))  # [h w F (C K)]
        channels, classes = images.shape[-1], labels.shape[-1]
        of_label = tf.transpose(kernel[..., channels:], (0, 1, 3, 2))  # [h w K F]
        of_label = tf.reshape(of_label, (*self.kernel_size, classes * self.filters, 1))
        ones = tf.ones((1, *images.shape[1:3], 1), images.dtype)
        maps = self._convolve(ones, of_label)[0]  # [h w (K F)]
        maps = tf.transpose(
            tf.reshape(maps, (*maps.shape[:2], classes, self.filters)), (2, 0, 1, 3)
        )
        outputs = self._convolve(images, kernel[..., :channels]) + _chosen(maps, labels)
        return self.activation(outputs + keras.ops.convert_to_tensor(self.bias))

    def _convolve(self, images, kernel):
        height, width = (2 * side for side in images.shape[1:3])
        shape = (tf.shape(images)[0], height, width, kernel.shape[2])
        return tf.nn.conv2d_transpose(images, kernel, shape, self.strides, "SAME")


def _chosen(maps, labels):
    """Each image's own of the labels' maps `(labels, height, width, filters)`."""
    flat = tf.matmul(labels, tf.reshape(maps, (maps.shape[0], -1)))
    return tf.reshape(flat, (-1, *maps.shape[1:]))


def _normalised(x, activation):
    """Batch normalisation before the activation, as the base code has it."""
    x = BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return activation(x)


def _leaky():
    return layers.LeakyReLU(negative_slope=SLOPE)


def build_generator(
    latent_dim: int = 100, num_classes: int = 10, seed: int | None = None
) -> keras.Model:
    """Two dense layers and two transposed convolutions; 7,065,211 trainable parameters.

    Maps `[noise (batch, latent_dim), one-hot labels (batch, num_classes)]` to images
    `(batch, 28, 28, 1)` in (0, 1).

    Args:
        latent_dim: dimensions of the noise.
        num_classes: number of labels.
        seed: seed of the initial weights.
    """
    noise, labels = keras.Input((latent_dim,)), keras.Input((num_classes,))
    x = layers.Concatenate()([noise, labels])
    x = _normalised(layers.Dense(1024, kernel_initializer=_normal())(x), layers.ReLU())
    x = layers.Concatenate()([x, labels])
    x = _normalised(layers.Dense(7 * 7 * 128, kernel_initializer=_normal())(x), layers.ReLU())
    x = layers.Reshape((7, 7, 128))(x)
    x = LabelledConv2DTranspose(128, 5, 2, "same", kernel_initializer=_normal())(x, labels)
    x = _normalised(x, layers.ReLU())
    x = LabelledConv2DTranspose(1, 5, 2, "same", kernel_initializer=_normal())(x, labels)
    outputs = layers.Activation("sigmoid")(x)
    return initialize(keras.Model([noise, labels], outputs, name="generator"), "keras", seed)


def build_discriminator(num_classes: int = 10, seed: int | None = None) -> keras.Model:
    """Two convolutions and two dense layers; 3,769,479 trainable parameters.

    Maps `[images (batch, 28, 28, 1) in [0, 1], one-hot labels (batch, num_classes)]` to logits
    `(batch, 1)`.

    Args:
        num_classes: number of labels.
        seed: seed of the initial weights.
    """
    images, labels = keras.Input(IMAGE_SHAPE), keras.Input((num_classes,))
    filters = IMAGE_SHAPE[-1] + num_classes
    x = LabelledConv2D(filters, 5, 2, "same", kernel_initializer=_normal())(images, labels)
    x = _leaky()(x)
    filters = 64 + num_classes
    x = LabelledConv2D(filters, 5, 2, "same", kernel_initializer=_normal())(x, labels)
    x = layers.Flatten()(_normalised(x, _leaky()))
    x = layers.Concatenate()([x, labels])
    x = _normalised(layers.Dense(1024, kernel_initializer=_normal())(x), _leaky())
    x = layers.Concatenate()([x, labels])
    logits = layers.Dense(1, kernel_initializer=_normal())(x)
    return initialize(keras.Model([images, labels], logits, name="discriminator"), "keras", seed)


@keras.saving.register_keras_serializable("replicate")
class ConditionalDCGAN(adversarial.AdversarialModel):
    """Both networks and the base code's training step.

    A step draws one noise, trains the discriminator on it once and the generator twice, all three
    passes with the statistics of their own batches. Noise depends on `noise_seed` and the number of
    the step only.

    Args:
        latent_dim: dimensions of the noise (inferred).
        num_classes: number of labels.
        noise: `"gaussian"`, N(0, 1), as the slides say, or `"uniform"`, U(-1, 1), as the base code.
        seed: seed of the initial weights.
        noise_seed: seed of the noise.

    Raises:
        ValueError: if `noise` is neither of the two or a number is too small.
    """

    def __init__(
        self, latent_dim=100, num_classes=10, noise="gaussian", seed=0, noise_seed=0, **kwargs
    ):
        super().__init__(**kwargs)
        if latent_dim < 1 or num_classes < 1 or noise not in NOISES:
            raise ValueError(
                f"Expected latent_dim >= 1, num_classes >= 1 and noise of {NOISES}. Received: "
                f"latent_dim={latent_dim}, num_classes={num_classes}, noise={noise!r}"
            )
        self.latent_dim, self.num_classes, self.noise = latent_dim, num_classes, noise
        self.seed, self.noise_seed = seed, noise_seed
        seeds = [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(2)]
        self.generator = build_generator(latent_dim, num_classes, seeds[0])
        self.discriminator = build_discriminator(num_classes, seeds[1])
        self.built = True

    def get_config(self):
        """Arguments that build the same networks."""
        names = ("latent_dim", "num_classes", "noise", "seed", "noise_seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def generate(self, noise, labels):
        """Images float32 `(batch, 28, 28, 1)` in (0, 1), by the moving statistics.

        Args:
            noise: `(batch, latent_dim)`.
            labels: integers `(batch,)`.
        """
        noise = tf.convert_to_tensor(noise, tf.float32)
        return self.generator([noise, self._one_hot(labels)], training=False)

    def call(self, inputs):
        """Images of `(noise, labels)`."""
        return self.generate(*inputs)

    def draw_noise(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Noise of the kind that the networks were trained with, float32 `(count, latent_dim)`."""
        shape = (count, self.latent_dim)
        drawn = (
            rng.standard_normal(shape) if self.noise == "gaussian" else rng.uniform(-1, 1, shape)
        )
        return drawn.astype(np.float32)

    def _one_hot(self, labels):
        return tf.one_hot(tf.cast(labels, tf.int32), self.num_classes)

    def train_step(self, data):
        """One batch of the base code on `(images, labels)`.

        The generator's pass for the discriminator's step is also that of its own first step, since
        its weights are still the same; the moving statistics take both.

        Args:
            data: images float32 `(batch, 28, 28, 1)` in [0, 1] and labels `(batch,)`.

        Returns:
            The batch's own `d_loss`, `g_loss` (of the second step), `d_real`, `d_fake` and
            `d_accuracy`.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        images, labels = tf.convert_to_tensor(images, tf.float32), self._one_hot(labels)
        noise = self._step_noise(tf.shape(images)[0])
        before = [tf.identity(v.value) for v in self.generator.non_trainable_variables]
        with tf.GradientTape() as tape:
            drawn = self.generator([noise, labels], training=True)
        d_loss, report = self._train_discriminator(images, drawn, labels)
        for statistic, first in zip(self.generator.non_trainable_variables, before, strict=True):
            once = statistic.value  # a second step towards the same batch
            statistic.assign(once + 0.9 * (once - first))
        self._train_generator(tape, drawn, labels)
        with tf.GradientTape() as tape:
            drawn = self.generator([noise, labels], training=True)
        g_loss = self._train_generator(tape, drawn, labels)
        return {"d_loss": d_loss, "g_loss": g_loss, **report}

    def _step_noise(self, count):
        seed = [self.noise_seed, tf.cast(self.d_optimizer.iterations, tf.int32)]
        shape = (count, self.latent_dim)
        if self.noise == "uniform":
            return tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
        return tf.random.stateless_normal(shape, seed)

    def _train_discriminator(self, images, drawn, labels):
        with tf.GradientTape() as tape:
            real = self.discriminator([images, labels], training=True)
            fake = self.discriminator([drawn, labels], training=True)
            loss = adversarial.discriminator_loss("nonsaturating", real, fake)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, adversarial.discriminator_report("nonsaturating", real, fake)

    def _train_generator(self, tape, drawn, labels):
        """Step the generator by the slope of the discriminator at what `tape` saw drawn."""
        with tf.GradientTape() as inner:
            inner.watch(drawn)
            logits = self.discriminator([drawn, labels], training=True)
            loss = adversarial.generator_loss("nonsaturating", logits)
        slope = inner.gradient(loss, drawn)
        variables = self.generator.trainable_variables
        gradients = tape.gradient(drawn, variables, output_gradients=slope)
        self.optimizer.apply(gradients, variables)
        return loss
