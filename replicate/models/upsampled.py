"""Nearest upsampling by two and a 3 x 3 convolution in one step, with four ninths of the products.

A pixel repeated twice meets two of a kernel's taps with the same value, so that their sum can meet
it once: the pair is a transposed convolution of stride 2 with the kernel's 4 x 4 sums. Exact up to
rounding, with the same variables as `keras.layers.Conv2D`.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("replicate")
class UpsampledConv2D(layers.Conv2D):
    """`(batch, height, width, channels)` -> `(batch, 2 height, 2 width, filters)`.

    Equal to `UpSampling2D(2)` (nearest) and a 3 x 3 convolution with padding "same".

    Args:
        filters: number of output channels.
        **kwargs: as for `keras.layers.Conv2D`, without kernel size, strides and padding.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(filters, **{**kwargs, "kernel_size": 3, "strides": 1, "padding": "same"})

    def compute_output_shape(self, input_shape):
        """Shape of the output for a batch shape."""
        batch, height, width, _ = input_shape
        return (batch, 2 * height, 2 * width, self.filters)

    def call(self, inputs):
        """Upsample and convolve."""
        batch = inputs.shape[0] or tf.shape(inputs)[0]
        shape = self.compute_output_shape((batch, *inputs.shape[1:]))
        kernel = _sums(tf.cast(self.kernel, inputs.dtype))
        outputs = tf.nn.conv2d_transpose(inputs, kernel, shape, 2, "SAME")
        return self.activation(outputs + self.bias)


def _sums(kernel):
    """Sums of neighbouring taps, in a transposed convolution's layout `(4, 4, filters, channels)`.

    Reversed: a transposed convolution spreads what a convolution gathers.
    """
    padded = tf.pad(kernel, [[1, 1], [1, 1], [0, 0], [0, 0]])
    rows = padded[1:] + padded[:-1]
    sums = rows[:, 1:] + rows[:, :-1]
    return tf.transpose(tf.reverse(sums, [0, 1]), [0, 1, 3, 2])
