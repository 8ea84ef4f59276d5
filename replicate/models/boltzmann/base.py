"""What restricted and deep Boltzmann machines share as Keras models."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf

from replicate.models.boltzmann.learning import Momentum, PerEpoch
from replicate.models.boltzmann.units import Machine


class BoltzmannModel(keras.Model):
    """A `Machine` on images: shapes, batches, schedules.

    Args:
        visible_shape: shape of one image, `(height, width, channels)`, or of one feature vector.
        hidden: units of each hidden layer, from below.
        noise_seed: seed of all noise; that of a step depends on it and the step only.
        **machine: further arguments of `Machine`.
    """

    def __init__(self, visible_shape, hidden, noise_seed, machine, **kwargs):
        super().__init__(**kwargs)
        self.visible_shape, self.noise_seed = tuple(visible_shape), noise_seed
        self.machine = Machine((math.prod(self.visible_shape), *hidden), **machine)
        self.built = True

    def compile(self, steps_per_epoch, learning_rates, momenta=(0.0,), gibbs_steps=(1,), l2=0.0):
        """Set how the model is trained; lists hold a value an epoch, the last one holds on.

        Args:
            steps_per_epoch: steps an epoch, >= 1.
            learning_rates: learning rate of each epoch.
            momenta: momentum of each epoch, see `learning`.
            gibbs_steps: Gibbs steps of each epoch, >= 1.
            l2: weight decay, per unit of learning rate.

        Raises:
            ValueError: if a list is empty or a number too small.
        """
        if min(gibbs_steps, default=1) < 1 or l2 < 0:
            raise ValueError(
                "Expected gibbs_steps >= 1 and l2 >= 0. "
                f"Received: gibbs_steps={list(gibbs_steps)}, l2={l2}"
            )
        schedules = [PerEpoch(values, steps_per_epoch) for values in (learning_rates, momenta)]
        super().compile(optimizer=Momentum(*schedules), jit_compile=False)
        self.optimizer.build(self.trainable_variables)
        self.gibbs_steps = PerEpoch(gibbs_steps, steps_per_epoch)
        self.l2 = l2

    def adapt(self, images) -> None:
        """Take pixel means and standard deviations from training images, Gaussian units only.

        Args:
            images: `(n, *visible_shape)` in [0, 1].
        """
        self.machine.adapt(np.reshape(images, (len(images), -1)))

    def inference_layers(self):
        """The layers that drawing images needs, by name."""
        return {"machine": self.machine}

    def call(self, images):
        """Reconstructions of images, both `(batch, *visible_shape)` in [0, 1]."""
        return self.to_images(self.reconstruct_states(self.to_states(images)))

    def reconstruct(self, images, batch_size=1000) -> np.ndarray:
        """What the machine makes of images by way of its hidden units.

        Args:
            images: `(n, *visible_shape)` in [0, 1].
            batch_size: images at a time.

        Returns:
            float32 of the same shape, in [0, 1].
        """
        return self.in_batches(
            lambda x: self.to_images(self.reconstruct_states(x)), images, batch_size
        )

    def to_states(self, images):
        """Visible states `(batch, units)` of images `(batch, *visible_shape)`."""
        return self.machine.encode(tf.reshape(images, (-1, self.machine.sizes[0])))

    def to_images(self, means):
        """Images `(batch, *visible_shape)` of visible means `(batch, units)`."""
        return tf.reshape(self.machine.decode(means), (-1, *self.visible_shape))

    def in_batches(self, function, images, batch_size) -> np.ndarray:
        """Results of a function of visible states, batch by batch.

        Raises:
            ValueError: if the images are of another shape than the model's.
        """
        if tuple(np.shape(images)[1:]) != self.visible_shape or not len(images):
            raise ValueError(
                f"Expected images of shape {('n', *self.visible_shape)}, n >= 1. "
                f"Received: shape={np.shape(images)}"
            )
        starts = range(0, len(images), batch_size)
        parts = [function(self.to_states(images[s : s + batch_size])).numpy() for s in starts]
        return np.concatenate(parts)

    def step_seed(self):
        """Stateless seed `(2,)` of the noise of the optimizer's present step."""
        return tf.stack([self.noise_seed, tf.cast(self.optimizer.iterations, tf.int32)])

    def descend(self, slopes) -> None:
        """Take a step of the optimizer.

        Args:
            slopes: what the parameters are moved against, for every kernel, then every bias: the
                contrast (see `Machine.contrast`) of the model's states over those of the data,
                which saves turning its sign. Weight decay is added.
        """
        slopes = list(slopes)
        if self.l2:
            for level, kernel in enumerate(self.machine.kernels):
                slopes[level] += self.l2 * kernel
        self.optimizer.apply(slopes, self.machine.kernels + self.machine.biases)
