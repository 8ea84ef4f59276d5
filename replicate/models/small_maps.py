"""Convolutions of stride 2 between 4 x 4 and 2 x 2 maps, as matrix products.

On maps this small much of a kernel lies on padding (7 of 16 taps with a kernel of 4, 11 of 36 with
one of 3), which a convolution multiplies nevertheless. Here only what is seen is multiplied: less
arithmetic, and none of it in a convolution's own loops, which run at half a matrix product's rate
on such maps. Forward, input gradient and filter gradient are the derivatives of one trilinear form,
so each one's gradients are the two others, to any order.
"""

from __future__ import annotations

import keras
import tensorflow as tf

SIDE = 4  # of the larger map; the smaller has half of it
OUTPUTS = (0, 1)


def _padding(size: int) -> int:
    """Rows of padding before the map under Keras' and TensorFlow's "same"."""
    return max(size - 2, 0) // 2


def _seen(size: int, tap: int) -> list[int]:
    """Output rows (or columns) that see the map through a tap; the map's row is 2 r - pad + tap."""
    return [r for r in OUTPUTS if 0 <= 2 * r - _padding(size) + tap < SIDE]


def _taps(size: int, output: int) -> list[int]:
    """Taps through which an output row (or column) sees the map."""
    return [tap for tap in range(size) if output in _seen(size, tap)]


def _block(x, size, tap, column):
    """Rows of `x` under a kernel row, columns under an output column: `(rows * n, taps * C)`."""
    rows, taps = _seen(size, tap), _taps(size, column)
    top = 2 * rows[0] - _padding(size) + tap
    left = 2 * column - _padding(size) + taps[0]
    # Fast path: every other row by an axis of its own; slices with steps copy number by number.
    pairs = tf.reshape(x, (-1, SIDE // 2, 2, SIDE, x.shape[-1]))
    first, odd = divmod(top, 2)
    part = pairs[:, first : first + len(rows), odd, left : left + len(taps)]
    return tf.reshape(part, (-1, len(taps) * x.shape[-1]))


def _pixels(y, size, tap, column):
    """Output pixels of a column that a kernel row contributes to: `(rows * n, F)`."""
    rows = _seen(size, tap)
    return tf.reshape(y[:, rows[0] : rows[-1] + 1, column], (-1, y.shape[-1]))


def _kernel_rows(kernel, tap, column):
    """The taps of a kernel row that an output column sees: `(taps * C, F)`, not copied."""
    size, channels, filters = kernel.shape[0], *kernel.shape[2:]
    taps = _taps(size, column)
    first = (size * tap + taps[0]) * channels
    flat = tf.reshape(kernel, (size * size * channels, filters))
    return flat[first : first + len(taps) * channels]


@tf.custom_gradient
def down(x, kernel):
    """Convolve `(n, 4, 4, C)` with `(size, size, C, F)`, stride 2, "same", to `(n, 2, 2, F)`."""
    size, filters = kernel.shape[0], kernel.shape[-1]
    columns = []
    for column in OUTPUTS:
        sums = {row: [] for row in OUTPUTS}
        for tap in range(size):
            rows = _seen(size, tap)
            product = tf.matmul(_block(x, size, tap, column), _kernel_rows(kernel, tap, column))
            product = tf.reshape(product, (-1, len(rows), filters))
            for index, row in enumerate(rows):
                sums[row].append(product[:, index])
        columns.append(tf.stack([tf.add_n(sums[row]) for row in OUTPUTS], axis=1))
    return tf.stack(columns, axis=2), lambda g: (up(g, kernel), filter_gradient(x, g, size))


@tf.custom_gradient
def up(y, kernel):
    """The transpose of `down`: `(n, 2, 2, F)` with `(size, size, C, F)` to `(n, 4, 4, C)`."""
    size, channels = kernel.shape[0], kernel.shape[2]
    maps = []
    for column in OUTPUTS:
        taps = _taps(size, column)
        sums = {row: [] for row in range(SIDE)}
        for tap in range(size):
            rows = _seen(size, tap)
            weights = _kernel_rows(kernel, tap, column)
            product = tf.matmul(_pixels(y, size, tap, column), weights, transpose_b=True)
            product = tf.reshape(product, (-1, len(rows), len(taps), channels))
            for index, row in enumerate(rows):
                sums[2 * row - _padding(size) + tap].append(product[:, index])
        part = tf.stack([tf.add_n(sums[row]) for row in range(SIDE)], axis=1)
        left = 2 * column - _padding(size) + taps[0]
        maps.append(tf.pad(part, [[0, 0], [0, 0], [left, SIDE - left - len(taps)], [0, 0]]))
    return tf.add_n(maps), lambda g: (down(g, kernel), filter_gradient(g, y, size))


def filter_gradient(x, y, size):
    """The kernel's gradient `(size, size, C, F)` for maps `(n, 4, 4, C)` and `(n, 2, 2, F)`."""

    @tf.custom_gradient
    def gradient(x, y):
        channels, filters = x.shape[-1], y.shape[-1]
        kernel = []
        for tap in range(size):
            parts = []
            for column in OUTPUTS:
                seen, pixels = _block(x, size, tap, column), _pixels(y, size, tap, column)
                part = tf.matmul(seen, pixels, transpose_a=True)
                taps = _taps(size, column)
                margin = [[taps[0] * channels, (size - 1 - taps[-1]) * channels], [0, 0]]
                parts.append(tf.pad(part, margin))
            kernel.append(tf.reshape(tf.add_n(parts), (size, channels, filters)))
        return tf.stack(kernel), lambda g: (up(y, g), down(x, g))

    return gradient(x, y)


def suits(layer, inputs, side: int) -> bool:
    """Whether a convolution layer's call is what this module computes.

    Args:
        layer: a `Conv2D` (side 4) or `Conv2DTranspose` (side 2).
        inputs: `(batch, height, width, channels)`.
        side: side of the maps that the layer takes.
    """
    return (
        tuple(inputs.shape[1:3]) == (side, side)
        and layer.kernel_size in ((3, 3), (4, 4))
        and layer.strides == (2, 2)
        and layer.padding == "same"
        and layer.dilation_rate == (1, 1)
        and layer.data_format == "channels_last"
        and getattr(layer, "groups", 1) == 1
    )


@keras.saving.register_keras_serializable("replicate")
class DownConv2D(keras.layers.Conv2D):
    """`Conv2D` that skips the padding where it maps 4 x 4 to 2 x 2 pixels."""

    def call(self, inputs):
        """Convolve `(batch, height, width, channels)`."""
        if not suits(self, inputs, SIDE):
            return super().call(inputs)
        outputs = down(inputs, tf.identity(keras.ops.convert_to_tensor(self.kernel)))
        if self.use_bias:
            outputs = outputs + keras.ops.convert_to_tensor(self.bias)
        return self.activation(outputs)
