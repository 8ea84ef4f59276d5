"""The restricted Boltzmann machine, trained by contrastive divergence (Hinton, 2002)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from replicate.models.boltzmann.base import BoltzmannModel

FACTORS = {None: (1.0, 1.0), "up": (2.0, 1.0), "down": (1.0, 2.0)}  # of the weights, either way


@keras.saving.register_keras_serializable("replicate")
class RBM(BoltzmannModel):
    """Visible and hidden units with weights between them.

    The machine below or above which a further one will lie in a deep machine is trained as if that
    one were a copy of its own other side: its weights count twice on the way up (`"up"`, lowest) or
    down (`"down"`, highest). Stacked, the two then halve what they count twice (Salakhutdinov and
    Hinton, 2009, Sec. 3.3). Biases are not doubled; the public code doubles them as well, but
    averages as if it had not.

    A step of CD-k: P(h | data), k alternations of drawn visible and drawn hidden states, the last
    hidden states as probabilities; the contrast of the two ends, weight decay, momentum.

    Args:
        visible_shape: shape of one image, or of one vector of features.
        hidden: hidden units.
        visible: `"bernoulli"`, or `"gaussian"`, which needs `adapt` before it is trained.
        doubled: None, `"up"` or `"down"`.
        spread: standard deviation of the initial weights.
        seed: seed of the initial weights.
        noise_seed: seed of the noise.

    Raises:
        ValueError: if an argument is none of those named.
    """

    def __init__(
        self,
        visible_shape,
        hidden,
        visible="bernoulli",
        doubled=None,
        spread=0.01,
        seed=0,
        noise_seed=0,
        **kwargs,
    ):
        if doubled not in FACTORS:
            raise ValueError(f"Expected doubled of {tuple(FACTORS)}. Received: doubled={doubled!r}")
        machine = {"visible": visible, "spread": spread, "seed": seed}
        super().__init__(visible_shape, (hidden,), noise_seed, machine, **kwargs)
        self.hidden, self.visible, self.doubled = hidden, visible, doubled
        self.spread, self.seed = spread, seed

    def get_config(self):
        """Arguments that build the same network."""
        names = ("visible_shape", "hidden", "visible", "doubled", "spread", "seed", "noise_seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def up(self, visible):
        """Probabilities of hidden units `(batch, hidden)` given visible states."""
        total = self.machine.total_input([visible, None], 1)
        return self.machine.means(FACTORS[self.doubled][0] * total, 1)

    def down(self, hidden):
        """Means of visible units `(batch, units)` given hidden states."""
        total = self.machine.total_input([None, hidden], 0)
        return self.machine.means(FACTORS[self.doubled][1] * total, 0)

    def reconstruct_states(self, visible):
        """Visible means by way of the hidden probabilities."""
        return self.down(self.up(visible))

    def features(self, images, batch_size=1000) -> np.ndarray:
        """Probabilities of the hidden units, on which the next machine is trained.

        Args:
            images: `(n, *visible_shape)` in [0, 1].
            batch_size: images at a time.

        Returns:
            float32 `(n, hidden)` in [0, 1].
        """
        return self.in_batches(self.up, images, batch_size)

    def free_energy(self, images, batch_size=1000) -> np.ndarray:
        """Minus the log of the unnormalised probability of images.

        With `doubled` it is that of the machine with two copies of its other side: of an image
        twice (`"up"`), or with two independent sets of hidden units (`"down"`).

        Args:
            images: `(n, *visible_shape)` in [0, 1].
            batch_size: images at a time.

        Returns:
            float32 `(n,)`.
        """
        up, down = FACTORS[self.doubled]

        def energy(visible):
            rise = up * tf.matmul(visible, self.machine.kernels[0]) + self.machine.biases[1]
            hidden = tf.reduce_sum(tf.nn.softplus(rise), axis=1)
            return up * self.machine.visible_energy(visible) - down * hidden

        return self.in_batches(energy, images, batch_size)

    def sample(self, count: int, gibbs_steps: int = 1000, seed: int = 0) -> np.ndarray:
        """Images drawn by Gibbs sampling from random states.

        Args:
            count: images, each of a chain of its own.
            gibbs_steps: alternations of visible and hidden units.
            seed: seed of the draws.

        Returns:
            float32 `(count, *visible_shape)` in [0, 1]: means given the last hidden states.
        """
        hidden = self.machine.random_states(count, tf.constant([seed, 0]))[1]
        return self.to_images(self._chain(hidden, gibbs_steps, tf.constant([seed, 1]))[1]).numpy()

    def _chain(self, hidden, steps, seed):
        """Visible states, their means and hidden probabilities after k alternations."""

        def step(done, hidden, *_):
            low, high = (tf.random.fold_in(tf.random.fold_in(seed, done), k) for k in (0, 1))
            means = self.down(hidden)
            visible = self.machine.draw(means, 0, low)
            probabilities = self.up(visible)
            drawn = self.machine.draw(probabilities, 1, high)
            return done + 1, drawn, visible, means, probabilities

        first = step(tf.constant(0), hidden)
        steps = tf.cast(steps, tf.int32)
        return tf.while_loop(lambda done, *_: done < steps, step, first)[2:]

    def train_step(self, data):
        """One step of CD-k on images, or on `(images, labels)`, of which labels are not used.

        Args:
            data: images float32 `(batch, *visible_shape)` in [0, 1].

        Returns:
            The batch's own `reconstruction_error`, the mean squared error of the k-th visible means
            (per pixel, in the units of the visible states), and `hidden_activity`, the mean of
            P(h | data).
        """
        visible = self.to_states(keras.utils.unpack_x_y_sample_weight(data)[0])
        seed = self.step_seed()
        hidden = self.up(visible)
        drawn = self.machine.draw(hidden, 1, tf.random.fold_in(seed, 0))
        steps = self.gibbs_steps(self.optimizer.iterations)
        states, means, probabilities = self._chain(drawn, steps, tf.random.fold_in(seed, 1))
        self.descend(self.machine.contrast([states, probabilities], [visible, hidden]))
        return {
            "reconstruction_error": tf.reduce_mean((visible - means) ** 2),
            "hidden_activity": tf.reduce_mean(hidden),
        }
