"""Optimizers of the classifiers, named by a plain dictionary that fits into a trial's settings.

{"name": "adam", "learning_rate": 1e-3} is Keras' Adam; "adam_torch" is PyTorch's, which differs in
where epsilon stands and in its default; "adadelta" is Keras' Adadelta.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("replicate")
class TorchAdam(keras.optimizers.Adam):
    """Adam with epsilon added to the bias-corrected root, as PyTorch does.

    Keras adds it to the uncorrected root ("epsilon hat" in Kingma and Ba, 2015). At the first step
    the same epsilon weighs sqrt(1 - beta_2) = 1/32 as much in PyTorch, which matters where
    gradients are small, as behind the sigmoids of a LeNet.

    Args:
        learning_rate: Step size.
        epsilon: PyTorch's default is 1e-8.
        **kwargs: As of `keras.optimizers.Adam`.
    """

    def __init__(self, learning_rate=0.001, epsilon=1e-8, **kwargs):
        super().__init__(learning_rate, epsilon=epsilon, **kwargs)
        self._base_epsilon = epsilon

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable from its gradient."""
        step = keras.ops.cast(self.iterations + 1, variable.dtype)
        beta_2 = keras.ops.cast(self.beta_2, variable.dtype)
        correction = keras.ops.sqrt(1 - keras.ops.power(beta_2, step))
        self.epsilon = self._base_epsilon * correction
        super().update_step(gradient, variable, learning_rate)
        self.epsilon = self._base_epsilon


@keras.saving.register_keras_serializable("replicate")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` by TensorFlow's fused kernel: same states, same update.

    One kernel a variable in place of Keras' ten; on a CPU a quarter of the time. Without `amsgrad`.
    Epsilon is added to the uncorrected second moment, as Keras does ("epsilon hat" of Kingma and
    Ba, 2015); at 1e-8 the difference from PyTorch is below float32's rounding for all but vanishing
    gradients.

    Raises:
        ValueError: if `amsgrad` is asked for.
    """

    form = "adam"

    def __init__(self, learning_rate=0.001, **kwargs):
        if kwargs.get("amsgrad"):
            raise ValueError("Expected amsgrad=False. Received: amsgrad=True")
        super().__init__(learning_rate, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        """Updates one variable from its gradient."""
        index = self._get_variable_index(variable)
        slots = [states[index].value.handle for states in (self._momentums, self._velocities)]
        spec = {
            "name": self.form,
            "learning_rate": tf.cast(learning_rate, tf.float32),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
        step = tf.cast(self.iterations + 1, tf.float32)
        fused_update(spec, step, variable.handle, slots, gradient)


@keras.saving.register_keras_serializable("replicate")
class FusedTorchAdam(FusedAdam):
    """`TorchAdam` by the same kernel: epsilon is added to the bias-corrected root."""

    form = "adam_torch"


_CLASSES = {
    "adam": keras.optimizers.Adam,
    "adam_torch": TorchAdam,
    "adadelta": keras.optimizers.Adadelta,
}
_DEFAULTS = {
    "adam": {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7},
    "adam_torch": {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    "adadelta": {"learning_rate": 1e-3, "rho": 0.95, "epsilon": 1e-7},
}


def complete_spec(spec):
    """Returns the specification with every default filled in.

    Args:
        spec: Dictionary with "name" and any arguments of that optimizer.

    Raises:
        ValueError: If the name or an argument is unknown.
    """
    name = spec.get("name")
    if name not in _DEFAULTS:
        raise ValueError(
            f"Expected an optimizer name of {sorted(_DEFAULTS)}. Received: optimizer={spec}"
        )
    unknown = set(spec) - set(_DEFAULTS[name]) - {"name"}
    if unknown:
        raise ValueError(
            f"Expected arguments of {name!r} to be of {sorted(_DEFAULTS[name])}. "
            f"Received: optimizer={spec}"
        )
    return {**_DEFAULTS[name], **spec}


def make_optimizer(spec):
    """Returns the Keras optimizer that a specification names."""
    arguments = complete_spec(spec)
    return _CLASSES[arguments.pop("name")](**arguments)


def adam_scalars(spec, step):
    """Returns the step size and epsilon of one Adam update, both of Keras' form.

    Args:
        spec: Complete specification of "adam" or "adam_torch".
        step: Number of this update, from 1, float32.
    """
    root = tf.sqrt(1.0 - tf.pow(spec["beta_2"], step))
    rate = spec["learning_rate"] * root / (1.0 - tf.pow(spec["beta_1"], step))
    return rate, spec["epsilon"] * (root if spec["name"] == "adam_torch" else 1.0)


def fused_update(spec, step, weights, slots, gradient):
    """Updates weights in place by a single kernel.

    Args:
        spec: Complete specification.
        step: Number of this update, from 1, float32.
        weights: Resource handle of the weights.
        slots: Handles of the optimizer's two states, each of the shape of the weights.
        gradient: Gradient of the weights, of their shape.

    Returns:
        The operation.
    """
    if spec["name"] == "adadelta":
        return tf.raw_ops.ResourceApplyAdadelta(
            var=weights,
            accum=slots[0],
            accum_update=slots[1],
            lr=spec["learning_rate"],
            rho=spec["rho"],
            epsilon=spec["epsilon"],
            grad=gradient,
        )
    return tf.raw_ops.ResourceApplyAdam(
        var=weights,
        m=slots[0],
        v=slots[1],
        beta1_power=tf.pow(spec["beta_1"], step),
        beta2_power=tf.pow(spec["beta_2"], step),
        lr=spec["learning_rate"],
        beta1=spec["beta_1"],
        beta2=spec["beta_2"],
        epsilon=adam_scalars(spec, step)[1],
        grad=gradient,
    )
