"""The generator and the classifier of `examples.digits`, apart: TensorFlow loads when they run."""

import keras
import tensorflow as tf
from keras import layers

from replicate.models.init import initialize

SHAPE = (8, 8, 1)
CLASSES = 10


class DigitVAE(keras.Model):
    """A conditional variational autoencoder of images `(batch, 8, 8, 1)` in [0, 1].

    Args:
        latent_dim: dimensions of the latent Gaussian.
        seed: seed of the initial weights.
        noise_seed: seed of the latent noise; the noise of a step depends on it and the step only.
    """

    def __init__(self, latent_dim=8, seed=0, noise_seed=0):
        super().__init__()
        self.latent_dim, self.noise_seed = latent_dim, noise_seed
        self.encoder = keras.Sequential(
            [keras.Input((64 + CLASSES,)), layers.Dense(128, "relu"), layers.Dense(2 * latent_dim)]
        )
        self.decoder = keras.Sequential(
            [keras.Input((latent_dim + CLASSES,)), layers.Dense(128, "relu"), layers.Dense(64)]
        )
        initialize(self, "keras", seed)
        self.built = True

    def logits(self, z, labels):
        """Logits `(batch, 64)` of the pixels."""
        return self.decoder(tf.concat([z, tf.one_hot(labels, CLASSES)], axis=1))

    def generate(self, z, labels):
        """Images `(batch, 8, 8, 1)` in [0, 1] of latents `(batch, latent_dim)` and labels."""
        return tf.reshape(tf.sigmoid(self.logits(z, labels)), (-1, *SHAPE))

    def inference_layers(self):
        """The layers that drawing images needs, by name."""
        return {"decoder": self.decoder}

    def train_step(self, data):
        """One optimizer step on `(images, labels)`; returns the batch's loss."""
        images, labels = data
        pixels = tf.reshape(images, (-1, 64))
        step = tf.cast(self.optimizer.iterations, tf.int32)
        with tf.GradientTape() as tape:
            seen = tf.concat([pixels, tf.one_hot(labels, CLASSES)], axis=1)
            mean, log_variance = tf.split(self.encoder(seen), 2, axis=1)
            noise = tf.random.stateless_normal(tf.shape(mean), seed=[self.noise_seed, step])
            logits = self.logits(mean + tf.exp(log_variance / 2) * noise, labels)
            errors = tf.nn.sigmoid_cross_entropy_with_logits(labels=pixels, logits=logits)
            kl = (mean**2 + tf.exp(log_variance) - log_variance - 1) / 2
            loss = tf.reduce_mean(tf.reduce_sum(errors, axis=1) + tf.reduce_sum(kl, axis=1))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"train_loss": loss}


def build_perceptron(seed):
    """A perceptron with one hidden layer: images `(batch, 8, 8, 1)` to logits `(batch, 10)`."""
    hidden = layers.Dense(64, "relu")
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), hidden, layers.Dense(CLASSES)], name="perceptron"
    )
    return initialize(model, "keras", seed)
