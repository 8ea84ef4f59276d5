"""3 x 3 convolutions of stride 2 with one pixel of padding on every side, as PyTorch pads.

Keras' `"same"` pads even sizes on the right and bottom only, and its transposed convolution crops
the other side. Where the small end of the map is a single pixel, five of the nine taps only ever
see padding; there the four others are one matrix product, which is exact and, on a CPU, an order of
magnitude faster than the library's convolution.
"""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("replicate")
class StridedConv2D(layers.Conv2D):
    """`(batch, n, n, channels)` -> `(batch, ceil(n / 2), ceil(n / 2), filters)`.

    Equal to `ZeroPadding2D(1)` and a valid 3 x 3 convolution of stride 2.

    Args:
        filters: number of output channels.
        **kwargs: as for `keras.layers.Conv2D`, without kernel size, strides and padding.
    """

    def __init__(self, filters, **kwargs):
        super().__init__(filters, **{**kwargs, "kernel_size": 3, "strides": 2, "padding": "valid"})

    def compute_output_shape(self, input_shape):
        """Shape of the output for a batch shape."""
        batch, height, width, _ = input_shape
        return (batch, (height + 1) // 2, (width + 1) // 2, self.filters)

    def call(self, inputs):
        """Convolve `(batch, height, width, channels)`."""
        if tuple(inputs.shape[1:3]) == (2, 2):  # Fast path: one output pixel sees four taps.
            taps = tf.reshape(self.kernel[1:, 1:], (-1, self.filters))
            flat = tf.reshape(inputs, (-1, 4 * inputs.shape[-1]))
            outputs = tf.matmul(flat, taps)[:, None, None]  # [B11F]
        elif tuple(inputs.shape[1:3]) == (4, 4):  # Fast path: patches as one matrix.
            outputs = _patches_4x4(inputs) @ tf.reshape(self.kernel, (-1, self.filters))
            outputs = tf.reshape(outputs, (-1, 2, 2, self.filters))
        else:
            padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
            outputs = tf.nn.conv2d(inputs, self.kernel, self.strides, padding)
        return self.activation(outputs + self.bias)


def _patches_4x4(images):
    """The nine taps of each of the four output pixels: `(4 * batch, 9 * channels)`."""
    padded = tf.pad(images, [[0, 0], [1, 0], [1, 0], [0, 0]])
    taps = [padded[:, i : i + 3 : 2, j : j + 3 : 2] for i in range(3) for j in range(3)]
    return tf.reshape(tf.concat(taps, axis=-1), (-1, 9 * images.shape[-1]))


@keras.saving.register_keras_serializable("replicate")
class StridedConv2DTranspose(layers.Conv2DTranspose):
    """`(batch, n, n, channels)` -> `(batch, size, size, filters)`, size 2n - 1 or 2n.

    Equal to a valid 3 x 3 transposed convolution of stride 2 whose first row and column are
    cropped, and whose rest is cut to `size`.

    Args:
        filters: number of output channels.
        size: pixels a side of the output.
        **kwargs: as for `keras.layers.Conv2DTranspose`, without kernel size, strides and padding.
    """

    def __init__(self, filters, size, **kwargs):
        super().__init__(filters, **{**kwargs, "kernel_size": 3, "strides": 2, "padding": "valid"})
        self.size = size

    def get_config(self):
        """Arguments that build the same layer."""
        return {**super().get_config(), "size": self.size}

    def compute_output_shape(self, input_shape):
        """Shape of the output for a batch shape."""
        return (input_shape[0], self.size, self.size, self.filters)

    def call(self, inputs):
        """Convolve `(batch, height, width, channels)`."""
        height, width, channels = inputs.shape[1:]
        if (height, width, self.size) == (1, 1, 2):  # Fast path: four taps make the four pixels.
            taps = tf.reshape(self.kernel[1:, 1:], (-1, channels))  # [(2 2 F) C]
            product = tf.matmul(tf.reshape(inputs, (-1, channels)), taps, transpose_b=True)
            outputs = tf.reshape(product, (-1, 2, 2, self.filters))
        else:
            shape = (tf.shape(inputs)[0], 2 * height + 1, 2 * width + 1, self.filters)
            outputs = tf.nn.conv2d_transpose(inputs, self.kernel, shape, 2, "VALID")
            outputs = outputs[:, 1 : 1 + self.size, 1 : 1 + self.size]
        return self.activation(outputs + self.bias)
