"""The deep Boltzmann machine of Salakhutdinov and Hinton (2009)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from replicate.models.boltzmann import mean_field, partition, stack
from replicate.models.boltzmann.base import BoltzmannModel
from replicate.models.boltzmann.units import Chains

STARTS = ("random", "chains")


@keras.saving.register_keras_serializable("replicate")
class DBM(BoltzmannModel):
    """Visible units and several layers of hidden units; 784-512-1024 has 928,016 parameters.

    A step of joint training: mean-field updates of the hidden units given the batch until they
    stand still, Gibbs steps of the persistent chains, and a step along the contrast of both
    (stochastic approximation). Weights coming up into a unit are kept to a largest norm, and
    activities are drawn towards a target (Hinton, 2010, Sec. 11), by a penalty on the unit's bias
    and all weights from below, as in the public code.

    Args:
        visible_shape: shape of one image, `(height, width, channels)`.
        hidden: units of each hidden layer, from below.
        visible: `"bernoulli"` or `"gaussian"`.
        chains: number of persistent chains.
        max_norm: largest norm of the weights that come up into a unit; None for no limit.
        spread: standard deviation of the initial weights, which `start_from` replaces.
        seed: seed of the initial weights.
        noise_seed: seed of the noise.

    Raises:
        ValueError: if a size is below 1 or `visible` unknown.
    """

    def __init__(
        self,
        visible_shape=(28, 28, 1),
        hidden=(512, 1024),
        visible="bernoulli",
        chains=100,
        max_norm=None,
        spread=0.01,
        seed=0,
        noise_seed=0,
        **kwargs,
    ):
        if chains < 1:
            raise ValueError(f"Expected chains >= 1. Received: chains={chains}")
        machine = {"visible": visible, "spread": spread, "max_norm": max_norm, "seed": seed}
        super().__init__(visible_shape, hidden, noise_seed, machine, **kwargs)
        self.hidden, self.visible, self.max_norm = tuple(hidden), visible, max_norm
        self.spread, self.seed = spread, seed
        self.chain_count = chains
        self.chains = Chains(self.machine, chains, noise_seed)

    def get_config(self):
        """Arguments that build the same network."""
        names = ("visible_shape", "hidden", "visible", "max_norm", "spread", "seed", "noise_seed")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, "chains": self.chain_count}

    def inference_layers(self):
        """The layers that drawing images needs, by name; the chains, to go on with them."""
        return {"machine": self.machine, "chains": self.chains}

    def start_from(self, rbms, images) -> None:
        """Take weights, biases and standardisation from trained RBMs, and start the chains.

        See `stack.compose`. The chains start at images, their hidden units at a pass upwards.

        Args:
            rbms: one a hidden layer, from below.
            images: training images `(n, *visible_shape)` in [0, 1], n >= the number of chains.

        Raises:
            ValueError: if sizes, kinds or doubling do not fit, or there are too few images.
        """
        if len(images) < self.chain_count:
            raise ValueError(
                f"Expected at least chains={self.chain_count} images. Received: {len(images)}"
            )
        stack.compose(self.machine, rbms)
        visible = self.to_states(images[: self.chain_count])
        self.chains.assign([visible, *mean_field.upwards(self.machine, visible)])

    def compile(
        self,
        steps_per_epoch,
        learning_rates,
        momenta=(0.0,),
        gibbs_steps=(1,),
        l2=0.0,
        mean_field_updates=50,
        mean_field_tolerance=1e-7,
        sparsity_targets=None,
        sparsity_costs=None,
        sparsity_decay=0.9,
        lots=1,
    ):
        """Set how the machine is trained; lists hold a value an epoch, the last one holds on.

        Args:
            steps_per_epoch: steps an epoch, >= 1.
            learning_rates: learning rate of each epoch.
            momenta: momentum of each epoch, see `learning`.
            gibbs_steps: Gibbs steps of the chains a step, of each epoch, >= 1.
            l2: weight decay, per unit of learning rate.
            mean_field_updates: most updates a step, >= 1.
            mean_field_tolerance: updates end when no mean changes by more.
            sparsity_targets: wanted mean activity of each hidden layer; None for no such wish.
            sparsity_costs: weight of that wish, of each hidden layer.
            sparsity_decay: share of the running mean activity that is carried on.
            lots: parts of a batch whose mean field may be worked on side by side, see
                `mean_field.hidden_means`.

        Raises:
            ValueError: if lists do not fit the layers, or a number is too small.
        """
        super().compile(steps_per_epoch, learning_rates, momenta, gibbs_steps, l2)
        layers = len(self.hidden)
        targets = [0.0] * layers if sparsity_targets is None else list(sparsity_targets)
        costs = [0.0] * layers if sparsity_costs is None else list(sparsity_costs)
        fits = len(targets) == len(costs) == layers
        if mean_field_updates < 1 or lots < 1 or not fits:
            raise ValueError(
                f"Expected mean_field_updates and lots >= 1 and {layers} sparsity targets and "
                f"costs. Received: mean_field_updates={mean_field_updates}, lots={lots}, "
                f"sparsity_targets={sparsity_targets}, sparsity_costs={sparsity_costs}"
            )
        self.mean_field_limits = mean_field_updates, mean_field_tolerance, lots
        self.sparsity = targets, costs, sparsity_decay
        self.activities = None
        if any(costs):
            self.activities = [
                self.add_weight((2, size), "zeros", trainable=False, name=f"activity_{level}")
                for level, size in enumerate(self.hidden, 1)
            ]

    def report_names(self):
        """Names of what a training step reports."""
        layers = range(1, len(self.hidden) + 1)
        activities = [f"hidden_activity_{level}" for level in layers]
        return ["reconstruction_error", "mean_field_updates", *activities, "weight_norm"]

    def mean_field(self, images, updates=50, tolerance=1e-7, batch_size=1000):
        """Hidden means of images that maximise the variational bound.

        Args:
            images: `(n, *visible_shape)` in [0, 1].
            updates: most updates of all layers.
            tolerance: updates end when no mean changes by more.
            batch_size: images at a time.

        Returns:
            float32 `(n, units)` in [0, 1] for each hidden layer.
        """
        joined = self.in_batches(
            lambda visible: tf.concat(self._hidden(visible, updates, tolerance), 1),
            images,
            batch_size,
        )
        return np.split(joined, np.cumsum(self.hidden)[:-1], axis=1)

    def reconstruct_states(self, visible):
        """Visible means by way of the hidden means (50 updates at most)."""
        return self._visible_means(self._hidden(visible))

    def _hidden(self, visible, updates=50, tolerance=1e-7):
        return mean_field.hidden_means(self.machine, visible, updates, tolerance)[0]

    def _visible_means(self, means):
        return self.machine.means(self.machine.total_input([None, *means], 0), 0)

    def variational_bound(self, images, log_partition=0.0, batch_size=1000) -> np.ndarray:
        """Lower bound of the log probability of images, in nats.

        Args:
            images: `(n, *visible_shape)` in [0, 1].
            log_partition: log of the partition function, see there; with 0 the bound holds up to a
                constant of the machine.
            batch_size: images at a time.

        Returns:
            float32 `(n,)`. With Gaussian units a density of the standardised pixels.
        """

        def bound(visible):
            means = self._hidden(visible)
            return mean_field.entropy(means) - self.machine.energy([visible, *means])

        return self.in_batches(bound, images, batch_size) - np.float32(log_partition)

    def log_partition(self, runs=100, betas=1000, seed=0) -> tuple[float, float]:
        """Estimate the log of the partition function; see `partition.annealed`."""
        return partition.annealed(self.machine, runs, betas, seed)

    def sample(self, count, gibbs_steps=1000, seed=0, start="random") -> np.ndarray:
        """Images drawn by Gibbs sampling, odd and even layers in turns.

        Args:
            count: number of images.
            gibbs_steps: steps before an image is taken.
            seed: seed of the draws.
            start: `"random"`: `count` chains, each from random states; `"chains"`: the persistent
                chains go on, one image of each at a time, with `gibbs_steps` between two of the
                same chain. The model's own chains stay as they are.

        Returns:
            float32 `(count, *visible_shape)` in [0, 1]: means given the last hidden states.

        Raises:
            ValueError: if `count` < 1 or `start` is neither.
        """
        if start not in STARTS or count < 1:
            raise ValueError(
                f"Expected count >= 1 and start of {STARTS}. "
                f"Received: count={count}, start={start!r}"
            )
        seeds = tf.constant([seed, 1])
        if start == "random":
            states = self.machine.random_states(count, tf.constant([seed, 0]))
        else:
            states = [tf.convert_to_tensor(state) for state in self.chains.states]

        lots = []
        for lot in range(-(-count // int(states[0].shape[0]))):
            states = self.machine.gibbs(states, gibbs_steps, tf.random.fold_in(seeds, lot))
            lots.append(self.to_images(self._visible_means(states[1:])).numpy())
        return np.concatenate(lots)[:count]

    def train_step(self, data):
        """One step of joint training on images, or on `(images, labels)`; labels are not used.

        Args:
            data: images float32 `(batch, *visible_shape)` in [0, 1].

        Returns:
            Of the batch: `reconstruction_error`, the mean squared error of the visible means given
            the hidden means, per pixel in units of the visible states; `mean_field_updates`;
            `hidden_activity_1` and on, mean hidden means; `weight_norm`, the largest norm of the
            weights coming up into a unit.
        """
        visible = self.to_states(keras.utils.unpack_x_y_sample_weight(data)[0])
        limits = self.mean_field_limits
        means, updates = mean_field.hidden_means(self.machine, visible, *limits)
        states = [tf.convert_to_tensor(state) for state in self.chains.states]
        steps = self.gibbs_steps(self.optimizer.iterations)
        states = self.machine.gibbs(states, steps, self.step_seed())
        self.chains.assign(states)
        error = tf.reduce_mean((visible - self._visible_means(means)) ** 2)
        slopes = self.machine.contrast(states, [visible, *means])
        self.descend(self._with_sparsity(slopes, means, states[1:]))
        norms = [tf.reduce_max(tf.norm(kernel, axis=0)) for kernel in self.machine.kernels]
        activities = [tf.reduce_mean(layer) for layer in means]
        report = [error, tf.cast(updates, tf.float32), *activities, tf.reduce_max(tf.stack(norms))]
        return dict(zip(self.report_names(), report, strict=True))

    def _with_sparsity(self, slopes, means, states):
        """Slopes with the penalty on activities, of data and of chains, above their targets."""
        if self.activities is None:
            return slopes
        targets, costs, decay = self.sparsity
        layers = len(self.hidden)
        for index, running in enumerate(self.activities):
            now = [tf.reduce_mean(layer[index], axis=0) for layer in (means, states)]
            running.assign(decay * running + (1.0 - decay) * tf.stack(now))
            penalty = costs[index] * tf.reduce_sum(running - targets[index], axis=0)
            slopes[index] += penalty  # every weight from below
            slopes[layers + 1 + index] += penalty
        return slopes
