"""How Boltzmann machines are updated: values an epoch, and momentum.

The public code that the slides of Lee, Rothenberg and Shah (2017) evidently build on multiplies its
carried velocity by the learning rate once more, v <- rate (momentum v + gradient), so that momentum
is all but off. Here v <- momentum v + rate gradient, as in Hinton (2010, Sec. 9); a momentum of
rate x momentum gives that code's arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("replicate")
class PerEpoch(keras.optimizers.schedules.LearningRateSchedule):
    """A value for each epoch; the last one holds on.

    Args:
        values: at least one number, in the order of epochs.
        steps_per_epoch: steps an epoch, >= 1.

    Raises:
        ValueError: if there is no value, or `steps_per_epoch` < 1.
    """

    def __init__(self, values: Sequence[float], steps_per_epoch: int):
        if len(values) < 1 or steps_per_epoch < 1:
            raise ValueError(
                "Expected at least one value and steps_per_epoch >= 1. "
                f"Received: values={list(values)}, steps_per_epoch={steps_per_epoch}"
            )
        self.values, self.steps_per_epoch = [float(v) for v in values], int(steps_per_epoch)

    def __call__(self, step):
        """The value at a step, counted from 0; float32 scalar."""
        epoch = tf.cast(step, tf.int32) // self.steps_per_epoch
        return tf.gather(tf.constant(self.values), tf.minimum(epoch, len(self.values) - 1))

    def get_config(self):
        """Arguments that build the same schedule."""
        return {"values": self.values, "steps_per_epoch": self.steps_per_epoch}


@keras.saving.register_keras_serializable("replicate")
class Momentum(keras.optimizers.Optimizer):
    """Gradient descent with momentum, both by schedule: v <- momentum v - rate gradient.

    One kernel a variable. After each update a variable's own constraint is applied.

    Args:
        learning_rate: schedule of the rate.
        momentum: schedule of the share of the velocity that is carried on, in [0, 1).
        **kwargs: as of `keras.optimizers.Optimizer`.
    """

    def __init__(self, learning_rate: PerEpoch, momentum: PerEpoch, name="momentum", **kwargs):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.momentum = momentum

    def build(self, variables):
        """Make a velocity for each variable."""
        if self.built:
            return
        super().build(variables)
        self.velocities = [self.add_variable_from_reference(v, name="velocity") for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable from its gradient."""
        velocity = self.velocities[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, tf.float32),
            grad=gradient,
            momentum=self.momentum(self.iterations),
        )

    def get_config(self):
        """Arguments that build the same optimizer."""
        momentum = keras.optimizers.schedules.serialize(self.momentum)
        return {**super().get_config(), "momentum": momentum}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """The optimizer that `get_config` describes."""
        momentum = keras.optimizers.schedules.deserialize(config["momentum"], custom_objects)
        return super().from_config({**config, "momentum": momentum}, custom_objects)
