"""Training of StyleGAN2 with adaptive augmentation, by the `cifar` configuration of its authors.

Logistic losses, the R1 penalty every 16 steps, no path-length penalty and no style mixing, an
average of the generator's weights, and augmentation of all that the discriminator sees. Source:
Karras et al. (2020), "Training Generative Adversarial Networks with Limited Data", Sec. 3 and
App. D; order of the phases, lazy regularisation and constants as in the authors' PyTorch code.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from replicate.models import adversarial
from replicate.models.stylegan2 import Discriminator, Generator, cifar
from replicate.training.ada import adjusted_probability, augment, check_policy
from replicate.training.optimizers import FusedTorchAdam
from replicate.training.stylegan2_options import TrainingOptions

PHASES = ("generator", "generated", "real", "penalty")  # of a step that draw noise of their own


def lazy_adam(options: TrainingOptions, interval: int) -> keras.optimizers.Optimizer:
    """Adam for a loss whose regularisation comes as a step of its own every `interval` steps.

    Rate and decays are those of `interval / (interval + 1)` steps, so that the further step does
    not speed training up (Karras et al., 2020, StyleGAN2, App. B, lazy regularisation).
    """
    share = interval / (interval + 1)
    return FusedTorchAdam(
        options.learning_rate * share,
        beta_1=options.beta_1**share,
        beta_2=options.beta_2**share,
        epsilon=options.epsilon,
    )


class StyleGAN2(adversarial.AdversarialModel):
    """Generator, discriminator, average generator and the state of the augmentation.

    A step is, in this order: the generator's, the discriminator's, every `d_interval` steps from
    the first one the R1 penalty's, the average's and, every `ada_interval` steps, that of the
    probability of augmentation. Noise, labels of generated images and augmentation depend on
    `noise_seed` and the step alone; the generator's noise maps on its own seed and how often it
    was called, which is a variable. All state is in `variables` and those of `named_optimizers()`.

    Args:
        generator: the generator to train.
        discriminator: the discriminator to train; a batch is a multiple of its
            `mbstd_group_size`, or smaller.
        options: how they are trained.
        class_counts: images of each class `(c_dim,)`; labels of generated images are drawn in
            these proportions. None for equal ones.
        noise_seed: seed of all noise.

    Raises:
        ValueError: if the networks differ in shape or classes, or `class_counts` does not fit.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        options: TrainingOptions | None = None,
        class_counts=None,
        noise_seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_pair(generator, discriminator)
        self.generator, self.discriminator = generator, discriminator
        self.average = Generator.from_config({**generator.get_config(), "name": "average"})
        self.average.set_weights(generator.get_weights())
        self.options, self.noise_seed = options or TrainingOptions(), noise_seed
        self.policy = check_policy(self.options.policy)
        self.log_shares = _log_shares(generator.c_dim, class_counts)
        start = keras.initializers.Constant(self.options.augment_p)
        self.augment_p = self._state("augment_p", start)
        self.sign_sum, self.sign_count = self._state("sign_sum"), self._state("sign_count")
        self.r1 = self._state("r1")
        self.step = self._state("step", dtype="int64")
        self.images_seen = self._state("images_seen", dtype="int64")
        self.built = True
        self.compile(
            lazy_adam(self.options, self.options.g_interval),
            lazy_adam(self.options, self.options.d_interval),
        )

    def _state(self, name, initializer="zeros", dtype="float32"):
        return self.add_weight((), initializer, dtype=dtype, trainable=False, name=name)

    def inference_layers(self):
        """The average generator, which is the one to draw from."""
        return {"generator": self.average}

    def call(self, z, c=None):
        """Images of the average generator, see `Generator`."""
        return self.average(z, c)

    def train_step(self, data):
        """One step on `(images, labels)`.

        Args:
            data: images `(batch, resolution, resolution, channels)`, uint8 from 0 to 255 or float32
                in [-1, 1], and labels `(batch,)`, which an unconditional network does not use.

        Returns:
            The batch's own `d_loss`, `g_loss`, `d_real`, `d_fake` and `d_accuracy`; `r1`, the mean
            squared slope when it was last penalised; `sign_real`, the mean sign of the outputs on
            real images; `augment_p`, the probability of augmentation after the step.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        real = tf.cast(images, tf.float32)
        if images.dtype == tf.uint8:
            real = real / 127.5 - 1
        count = images.shape[0] or tf.shape(images)[0]
        c = tf.one_hot(labels, self.generator.c_dim) if self.generator.c_dim else None
        g_loss = self._train_generator(count)
        d_loss, outputs = self._train_discriminator(real, c)
        self._penalise_if_due(real, c)
        self._move_average(count)
        self.step.assign_add(1)
        self.images_seen.assign_add(tf.cast(count, tf.int64))
        self._adapt(count)
        return {
            "d_loss": d_loss,
            "g_loss": g_loss,
            **adversarial.discriminator_report("nonsaturating", *outputs),
            "r1": tf.identity(self.r1),
            "sign_real": tf.reduce_mean(tf.sign(outputs[0])),
            "augment_p": tf.identity(self.augment_p),
        }

    def _seed(self, phase, purpose):
        """Two integers of the step, a phase and what of it is drawn: 0 to 2."""
        base = tf.stack([self.noise_seed, tf.cast(self.step, tf.int32)])
        return tf.random.fold_in(base, 3 * PHASES.index(phase) + purpose)

    def _generated(self, count, phase):
        """Images of fresh noise and labels, and the labels."""
        z = tf.random.stateless_normal((count, self.generator.z_dim), self._seed(phase, 0))
        c = None
        if self.generator.c_dim:
            drawn = tf.random.stateless_categorical(self.log_shares, count, self._seed(phase, 1))
            c = tf.one_hot(drawn[0], self.generator.c_dim)
        return self.generator(z, c, noise_mode="random", training=True), c

    def _judge(self, images, c, phase):
        """Logits of augmented images."""
        if self.policy:
            images = augment(images, self.augment_p, self._seed(phase, 2), self.policy)
        return self.discriminator(images, c)

    def _train_generator(self, count):
        variables = self.generator.trainable_variables
        with tf.GradientTape() as tape:
            images, c = self._generated(count, "generator")
            logits = self._judge(images, c, "generator")
            loss = adversarial.generator_loss("nonsaturating", logits)
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def _train_discriminator(self, real, c):
        variables = self.discriminator.trainable_variables
        images, drawn = self._generated(tf.shape(real)[0], "generated")
        images = tf.ensure_shape(images, real.shape)
        with tf.GradientTape() as tape:
            # Two passes, for the minibatch deviation may not mix real and generated images.
            fakes, reals = self._judge(images, drawn, "generated"), self._judge(real, c, "real")
            loss = adversarial.discriminator_loss("nonsaturating", reals, fakes)
        self.d_optimizer.apply(tape.gradient(loss, variables), variables)
        self._count_signs(reals)
        return loss, (reals, fakes)

    def _penalise_if_due(self, real, c):
        if self.options.gamma:
            due = self.step % self.options.d_interval == 0
            tf.cond(due, lambda: self._penalise(real, c), lambda: tf.identity(self.r1))

    def _penalise(self, real, c):
        """A step on the squared slope of the logits along the real images (Mescheder et al.)."""
        variables = self.discriminator.trainable_variables
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(real)
                logits = self._judge(real, c, "penalty")
                total = tf.reduce_sum(logits)
            slopes = inner.gradient(total, real)
            penalty = tf.reduce_mean(tf.reduce_sum(slopes**2, axis=(1, 2, 3)))
            loss = penalty * (self.options.gamma / 2 * self.options.d_interval)
        gradients = [
            tf.zeros(variable.shape) if gradient is None else gradient
            for gradient, variable in zip(tape.gradient(loss, variables), variables, strict=True)
        ]
        self.d_optimizer.apply(gradients, variables)
        self._count_signs(logits)
        self.r1.assign(penalty)
        return penalty

    def _move_average(self, count):
        """Weights of the average move towards the generator's; its buffers are copied."""
        images = tf.constant(1000.0 * self.options.ema_kimg)
        if self.options.ema_ramp:
            seen = tf.cast(self.images_seen, tf.float32)
            images = tf.minimum(images, seen * self.options.ema_ramp)
        kept = 0.5 ** (tf.cast(count, tf.float32) / tf.maximum(images, 1e-8))
        pairs = zip(self.average.trainable_weights, self.generator.trainable_weights, strict=True)
        for mean, weight in pairs:
            mean.assign(weight + (mean - weight) * kept)
        pairs = zip(
            self.average.non_trainable_weights, self.generator.non_trainable_weights, strict=True
        )
        for mean, weight in pairs:
            mean.assign(weight)

    def _count_signs(self, logits):
        self.sign_sum.assign_add(tf.reduce_sum(tf.sign(logits)))
        self.sign_count.assign_add(tf.cast(tf.size(logits), tf.float32))

    def _adapt(self, count):
        """Adjust the probability if due, from all outputs on real images since the last time."""
        options = self.options
        if not (self.policy and options.ada_target):
            return
        due = self.step % options.ada_interval == 0
        mean = self.sign_sum / tf.maximum(self.sign_count, 1.0)
        images = tf.cast(count, tf.float32) * options.ada_interval
        new = adjusted_probability(
            self.augment_p, mean, options.ada_target, images, 1000 * options.ada_kimg
        )
        self.augment_p.assign(tf.where(due, new, self.augment_p))
        for total in (self.sign_sum, self.sign_count):
            total.assign(tf.where(due, 0.0, total))


def new_model(
    num_classes: int,
    resolution: int,
    options: TrainingOptions | None = None,
    class_counts=None,
    seed: int = 0,
    noise_seed: int = 0,
    **sizes,
) -> StyleGAN2:
    """New networks, ready to train.

    Args:
        num_classes: 0 for unconditional networks.
        resolution: pixels a side, a power of two and at least 8.
        options: how they are trained.
        class_counts: as for `StyleGAN2`.
        seed: seed of the initial weights and of the generator's noise maps.
        noise_seed: seed of all other noise.
        **sizes: further arguments of `replicate.models.stylegan2.cifar`, such as `channel_base`
            and `channel_max` for reduced networks.
    """
    networks = cifar(c_dim=num_classes, resolution=resolution, seed=seed, **sizes)
    return StyleGAN2(*networks, options, class_counts, noise_seed, name="stylegan2")


def _check_pair(generator, discriminator):
    names = ("resolution", "img_channels", "c_dim")
    facts = [[getattr(network, name) for name in names] for network in (generator, discriminator)]
    if facts[0] != facts[1]:
        raise ValueError(
            f"Expected networks of equal {', '.join(names)}. Received: {facts[0]} and {facts[1]}"
        )


def _log_shares(c_dim, class_counts):
    """Logits `(1, c_dim)` of the labels of generated images; None without classes."""
    if not c_dim:
        return None
    counts = np.ones(c_dim) if class_counts is None else np.asarray(class_counts, float)
    if counts.shape != (c_dim,) or (counts < 0).any() or not counts.any():
        raise ValueError(
            f"Expected class_counts: {c_dim} numbers, none negative. "
            f"Received: class_counts={class_counts}"
        )
    with np.errstate(divide="ignore"):
        return tf.constant(np.log(counts)[None], tf.float32)
