"""Batch normalisation by TensorFlow's one operation for it, where training allows."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("replicate")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, but faster in training; arguments are the same.

    Maps `(batch, height, width, channels)` in float32 are normalised by `FusedBatchNormV3`, which
    goes over them a few times where Keras' own expression and its gradient go over them a dozen
    times; everything else is left to Keras. Statistics are the same: the moving variance takes that
    of the batch itself, without Bessel's correction, as in Keras 3.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise by the batch in training, else by the moving statistics."""
        fused = (
            training
            and self.trainable
            and mask is None
            and not self.renorm
            and self.gamma is not None
            and self.beta is not None
            and len(inputs.shape) == 4
            and self.axis in (3, -1)
            and keras.backend.standardize_dtype(inputs.dtype) == "float32"
            and self.compute_dtype == "float32"
        )
        if not fused:
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma),
            offset=tf.convert_to_tensor(self.beta),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        count = tf.cast(tf.size(inputs) // tf.shape(inputs)[-1], tf.float32)
        variance *= tf.maximum(count - 1, 1) / count
        kept = self.momentum
        self.moving_mean.assign(self.moving_mean * kept + mean * (1.0 - kept))
        self.moving_variance.assign(self.moving_variance * kept + variance * (1.0 - kept))
        return outputs
