"""The conditional beta variational autoencoder of Crossman (2024).

Source: the author's public code (layers, conditioning, loss reduction) and Sec. II of the report
(latent size, beta, optimizer).
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers

from replicate.models.init import initialize
from replicate.models.strided import StridedConv2D, StridedConv2DTranspose

ENCODER_FILTERS = (32, 64, 128, 256, 512)
DECODER_FILTERS = (256, 128, 64, 32, 1)
DECODER_SIZES = (2, 4, 7, 14, 28)  # pixels a side after each transposed convolution


def build_encoder() -> keras.Model:
    """Five strided convolutions: images `(batch, 28, 28, 1)` -> features `(batch, 512)`."""
    inputs = keras.Input((28, 28, 1))
    x = inputs
    for filters in ENCODER_FILTERS:
        x = StridedConv2D(filters, activation="relu")(x)
    return keras.Model(inputs, layers.Flatten()(x), name="encoder")


def build_decoder(latent_dim: int, embedding_dim: int) -> keras.Model:
    """A dense layer without activation, then five transposed convolutions.

    Maps `(batch, latent_dim + embedding_dim)` to logits `(batch, 28, 28, 1)`.
    """
    inputs = keras.Input((latent_dim + embedding_dim,))
    x = layers.Dense(512)(inputs)
    x = layers.Reshape((1, 1, 512))(x)
    for filters, size in zip(DECODER_FILTERS, DECODER_SIZES, strict=True):
        activation = "relu" if filters > 1 else None
        x = StridedConv2DTranspose(filters, size, activation=activation)(x)
    return keras.Model(inputs, x, name="decoder")


@keras.saving.register_keras_serializable("replicate")
class BetaCVAE(keras.Model):
    """Conditional beta-VAE on 28 x 28 grey images; 3,178,001 parameters as reported.

    The label enters through one embedding table that encoder and decoder share. The loss of a
    batch is the sum over pixels and images of the binary cross-entropy plus `beta` times the KL
    divergence; reported values are divided by the batch size.

    Args:
        latent_dim: dimensions of the latent Gaussian.
        beta: weight of the KL divergence, >= 0.
        num_classes: number of labels.
        embedding_dim: dimensions of the label embedding.
        init: `"torch"` (the author's framework defaults) or `"keras"` (Glorot, zero bias).
        seed: seed of the initial weights.
        noise_seed: seed of the latent noise; the noise of a step depends on it and the step only.

    Raises:
        ValueError: if `latent_dim` < 1 or `beta` < 0.
    """

    def __init__(
        self,
        latent_dim=20,
        beta=1.0,
        num_classes=10,
        embedding_dim=20,
        init="torch",
        seed=0,
        noise_seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if latent_dim < 1 or beta < 0:
            raise ValueError(
                "Expected latent_dim >= 1 and beta >= 0. "
                f"Received: latent_dim={latent_dim}, beta={beta}"
            )
        self.latent_dim, self.beta, self.num_classes = latent_dim, beta, num_classes
        self.embedding_dim, self.init = embedding_dim, init
        self.seed, self.noise_seed = seed, noise_seed
        self.embedding = layers.Embedding(num_classes, embedding_dim)
        self.encoder = build_encoder()
        self.mean_head = layers.Dense(latent_dim)
        self.log_variance_head = layers.Dense(latent_dim)
        self.decoder = build_decoder(latent_dim, embedding_dim)
        width = ENCODER_FILTERS[-1] + embedding_dim
        self.embedding.build((None,))
        self.mean_head.build((None, width))
        self.log_variance_head.build((None, width))
        initialize(self, init, seed)
        self.built = True

    def get_config(self):
        """Arguments that build the same network."""
        names = ("latent_dim", "beta", "num_classes", "embedding_dim", "init", "seed", "noise_seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def encode(self, images, labels):
        """Mean and log variance, each `(batch, latent_dim)`, of images `(batch, 28, 28, 1)`."""
        features = keras.ops.concatenate([self.encoder(images), self.embedding(labels)], axis=-1)
        return self.mean_head(features), self.log_variance_head(features)

    def decode_logits(self, z, labels):
        """Logits `(batch, 28, 28, 1)` of latents `(batch, latent_dim)` and labels `(batch,)`."""
        return self.decoder(keras.ops.concatenate([z, self.embedding(labels)], axis=-1))

    def generate(self, z, labels):
        """Images `(batch, 28, 28, 1)` in [0, 1] from latents and labels `(batch,)`."""
        return keras.ops.sigmoid(self.decode_logits(z, labels))

    def inference_layers(self):
        """The layers that drawing images needs, by name."""
        return {"embedding": self.embedding, "decoder": self.decoder}

    def call(self, inputs):
        """Reconstruct `(images, labels)` from the latent mean: images in [0, 1]."""
        images, labels = inputs
        mean, _ = self.encode(images, labels)
        return self.generate(mean, labels)

    def train_step(self, data):
        """One optimizer step on `(images, labels)`; returns the batch's own losses, per image."""
        images, labels = data
        count = tf.cast(tf.shape(images)[0], tf.float32)
        step = tf.cast(self.optimizer.iterations, tf.int32)
        with tf.GradientTape() as tape:
            mean, log_variance = self.encode(images, labels)
            noise = tf.random.stateless_normal(tf.shape(mean), seed=[self.noise_seed, step])
            logits = self.decode_logits(mean + tf.exp(0.5 * log_variance) * noise, labels)
            reconstruction = tf.reduce_sum(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=images, logits=logits)
            )
            kl = -0.5 * tf.reduce_sum(1 + log_variance - mean**2 - tf.exp(log_variance))
            loss = reconstruction + self.beta * kl
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {
            "train_loss": loss / count,
            "reconstruction_loss": reconstruction / count,
            "kl_loss": kl / count,
        }
