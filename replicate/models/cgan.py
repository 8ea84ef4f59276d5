"""The conditional GAN of Seth, Bhandari and Lakara (2023) on 28 x 28 grey images.

The report states rates, batch size, cross-entropy, normal noise and that both networks are told the
label (Sec. 3.1), after Mirza and Osindero (2014). Layers, widths, dropout and initial weights
(PyTorch's defaults, or Glorot's, Keras' default, beside embeddings N(0, 1)) are inferred. At the
report's rates the initial weights decide what becomes of MNIST: PyTorch's are so small that noise
hardly reaches the pixels, the discriminator tells all images apart, and each label ends with one
image.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from replicate.models import adversarial
from replicate.models.init import initialize

IMAGE_SHAPE = (28, 28, 1)
PIXELS = 784
WIDTHS = (256, 512, 1024)  # of the generator; the discriminator has them in reverse
SLOPE = 0.2  # of LeakyReLU
DROPOUT = 0.3
INIT = {"torch": "torch", "glorot": "keras"}  # initial weights -> scheme of `models.init`


def build_generator(
    latent_dim: int = 100,
    num_classes: int = 10,
    embedding_dim: int = 10,
    seed: int | None = None,
    init: str = "torch",
) -> keras.Model:
    """Three dense layers after the noise and the label's embedding, then tanh.

    Maps noise `(batch, latent_dim)` and labels `(batch,)` to images `(batch, 28, 28, 1)` in
    [-1, 1]; 1,488,912 parameters and 100 of the embedding with the defaults.

    Args:
        latent_dim: dimensions of the noise.
        num_classes: number of labels.
        embedding_dim: dimensions of a label.
        seed: seed of the initial weights.
        init: `"torch"` for PyTorch's default initial weights, `"glorot"` for Glorot's uniform ones,
            biases zero; embeddings are N(0, 1) in either.
    """
    noise, labels = keras.Input((latent_dim,)), keras.Input((), dtype="int32")
    x = layers.Concatenate()([noise, _embedding(num_classes, embedding_dim)(labels)])
    for width in WIDTHS:
        x = layers.LeakyReLU(SLOPE)(layers.Dense(width)(x))
    images = layers.Reshape(IMAGE_SHAPE)(layers.Dense(PIXELS, activation="tanh")(x))
    return initialize(keras.Model([noise, labels], images, name="generator"), INIT[init], seed)


def build_discriminator(
    num_classes: int = 10,
    embedding_dim: int = 10,
    seed: int | None = None,
    init: str = "torch",
) -> keras.Model:
    """Three dense layers with dropout after the pixels and the label's embedding, then a logit.

    Maps images `(batch, 28, 28, 1)` in [-1, 1] and labels `(batch,)` to logits `(batch, 1)`, the
    sigmoid being part of the loss; 1,470,465 parameters and 100 of the embedding with the defaults.
    The first layer is two, one of the pixels and one of the embedding, whose sum is the layer of
    both: so no gradient by the pixels is taken where only that by the embedding is needed.

    Args:
        num_classes: number of labels.
        embedding_dim: dimensions of a label.
        seed: seed of the initial weights and of the dropout.
        init: `"torch"` for PyTorch's default initial weights, `"glorot"` for Glorot's uniform ones,
            biases zero; embeddings are N(0, 1) in either.
    """
    images, labels = keras.Input(IMAGE_SHAPE), keras.Input((), dtype="int32")
    embedded = _embedding(num_classes, embedding_dim)(labels)
    parts = [
        layers.Dense(WIDTHS[-1], name="of_pixels")(layers.Flatten()(images)),
        layers.Dense(WIDTHS[-1], use_bias=False, name="of_label")(embedded),
    ]
    x = _hidden(layers.Add()(parts))
    for width in WIDTHS[-2::-1]:
        x = _hidden(layers.Dense(width)(x))
    network = keras.Model([images, labels], layers.Dense(1)(x), name="discriminator")
    initialize(network, INIT[init], seed)
    outputs = WIDTHS[-1] if init == "glorot" else 0  # Glorot's bound counts both, PyTorch's inputs
    for name, inputs in (("of_pixels", PIXELS), ("of_label", embedding_dim)):
        layer = network.get_layer(name)  # drawn as one layer of all inputs would be
        for weight in layer.weights:
            fans = (inputs + outputs) / (PIXELS + embedding_dim + outputs)
            weight.assign(weight * np.sqrt(fans))
    return network


def _embedding(num_classes, embedding_dim):
    normal = keras.initializers.RandomNormal(0.0, 1.0)
    return layers.Embedding(num_classes, embedding_dim, embeddings_initializer=normal)


def _hidden(x):
    return layers.Dropout(DROPOUT)(layers.LeakyReLU(SLOPE)(x))


@keras.saving.register_keras_serializable("replicate")
class CGAN(adversarial.AdversarialModel):
    """A generator and a discriminator that are told the label, trained in turns.

    A step is one discriminator step on a batch of real images and as many generated ones with the
    same labels, then one generator step through the changed discriminator. Both use the same noise,
    so that images are generated once a step; it depends on `noise_seed` and the number of the step
    only. The discriminator sees real and generated images in one pass, which equals two since it
    has no batch statistics. Dropout is on in both steps; its state is among the model's variables.

    Args:
        latent_dim: dimensions of the Gaussian noise.
        num_classes: number of labels.
        embedding_dim: dimensions of a label's embedding, one table for each network.
        seed: seed of the initial weights and of the dropout.
        noise_seed: seed of the noise.
        init: `"torch"` for PyTorch's default initial weights, `"glorot"` for Glorot's uniform ones,
            biases zero; embeddings are N(0, 1) in either.

    Raises:
        ValueError: if a number is below 1 or `init` is unknown.
    """

    def __init__(
        self,
        latent_dim=100,
        num_classes=10,
        embedding_dim=10,
        seed=0,
        noise_seed=0,
        init="torch",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if min(latent_dim, num_classes, embedding_dim) < 1:
            raise ValueError(
                "Expected latent_dim, num_classes and embedding_dim >= 1. Received: "
                f"latent_dim={latent_dim}, num_classes={num_classes}, embedding_dim={embedding_dim}"
            )
        if init not in INIT:
            raise ValueError(f"Expected init to be one of {', '.join(INIT)}. Received: {init}")
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.embedding_dim, self.seed, self.noise_seed = embedding_dim, seed, noise_seed
        self.init = init
        seeds = [int(word) >> 1 for word in np.random.SeedSequence(seed).generate_state(2)]
        self.generator = build_generator(latent_dim, num_classes, embedding_dim, seeds[0], init)
        self.discriminator = build_discriminator(num_classes, embedding_dim, seeds[1], init)
        self.built = True

    def get_config(self):
        """Arguments that build the same networks."""
        names = ("latent_dim", "num_classes", "embedding_dim", "seed", "noise_seed", "init")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def generate(self, noise, labels):
        """Images float32 `(batch, 28, 28, 1)` in [-1, 1].

        Args:
            noise: `(batch, latent_dim)`.
            labels: integers `(batch,)`.
        """
        noise = tf.convert_to_tensor(noise, tf.float32)
        return tf.cast(self.generator([noise, tf.cast(labels, tf.int32)]), tf.float32)

    def call(self, inputs):
        """Images of `(noise, labels)`."""
        return self.generate(*inputs)

    def train_step(self, data):
        """One step on `(images, labels)`.

        Args:
            data: images float32 `(batch, 28, 28, 1)` in [-1, 1], and labels `(batch,)`.

        Returns:
            The batch's own `d_loss` (sum of the mean cross-entropies of both halves), `g_loss`,
            `d_real`, `d_fake` and `d_accuracy`.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        labels = tf.cast(labels, tf.int32)
        step = tf.cast(self.d_optimizer.iterations, tf.int32)
        shape = (tf.shape(images)[0], self.latent_dim)
        noise = tf.random.stateless_normal(shape, seed=[self.noise_seed, step])
        variables = self.generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            drawn = self.generate(noise, labels)
            with tape.stop_recording():
                d_loss, report = self._train_discriminator(images, drawn, labels)
            logits = self._logits(drawn, labels)
            g_loss = adversarial.generator_loss("nonsaturating", logits)
        self.optimizer.apply(tape.gradient(g_loss, variables), variables)
        return {"d_loss": d_loss, "g_loss": g_loss, **report}

    def _logits(self, images, labels):
        return tf.cast(self.discriminator([images, labels], training=True), tf.float32)

    def _train_discriminator(self, images, drawn, labels):
        both, twice = tf.concat([images, drawn], axis=0), tf.concat([labels, labels], axis=0)
        count = tf.shape(images)[0]
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            logits = self._logits(both, twice)
            real, fake = logits[:count], logits[count:]
            loss = adversarial.discriminator_loss("nonsaturating", real, fake)
        self.d_optimizer.apply(tape.gradient(loss, variables), variables)
        return loss, adversarial.discriminator_report("nonsaturating", real, fake)
