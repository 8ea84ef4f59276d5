"""Fast lane for the sigmoid LeNet: the same sums as its Keras layers, as a few matrix products.

Small convolutions leave a core mostly idle: with one or six channels a vector unit has little to
do. Here the image is cut into blocks, and each product computes all the convolution's outputs in
one block from the pixels that they need:

* conv1 and pool1: a 4x4 block of outputs from an 8x8 window, a `(64, 16 filters)` matrix;
* conv2 and pool2: a 2x2 block of outputs from a 6x6 window, a `(36 channels, 4 filters)` matrix.

Such a matrix holds the 5x5 kernel once for each output, shifted, and zeros. An average pool is then
a mean over columns. The zeros cost arithmetic, which is cheaper than the idling. XLA compiles the
whole loop: between products it fuses what TensorFlow would run as separate operations. Where a
fusion is slower than its parts, something that XLA does not fuse stands in between: a loop
variable, a product.
Sums are taken in another order than Keras', so results agree to rounding, not bit for bit.
"""

import keras
import numpy as np
import tensorflow as tf

from replicate.training.lane_programs import GraphProgram, LaneState
from replicate.training.optimizers import adam_scalars

MAX_STEPS = 200
KERNEL = 5


class FastLeNetProgram(GraphProgram):
    """Lane of `replicate.models.lenet.build_lenet` and of networks of its form.

    Args:
        model: A network for which `suits` is true.
        job: Its `LaneJob`.
        data: `Resident` images.
    """

    route = "fast"

    def __init__(self, model, job, data):
        super().__init__(model, job, data)
        self.blocks = _blocks(data.array)
        self.taps1 = _tap_table(outer=(2, 4), inner=(2, 2))
        self.taps2 = _tap_table(outer=(3, 2), inner=(2, 1))
        self._loop = tf.function(self._steps, jit_compile=True)

    @staticmethod
    def suits(model, job, data):
        """Returns whether a network has the LeNet's form, Adam, a CPU and resident images."""
        height, width = data.array.shape[1:3]
        return (
            _is_lenet(model)
            and job.epoch_data is None
            and job.from_logits
            and job.optimizer["name"] in ("adam", "adam_torch")
            and height % 4 == 0
            and width % 4 == 0
            and data.scale.ndim == 0
            and np.all(data.offset == 0)
            and not tf.config.list_logical_devices("GPU")
        )

    def start(self, model):
        """Returns the training state of a freshly built network."""
        weights = [tf.identity(v.value) for v in model.trainable_variables]
        zeros = [tf.zeros_like(w) for w in weights]
        return LaneState(weights, slots=[zeros, list(zeros)], rest=[])

    def train(self, state, batches, labels, images=None):
        """Trains on consecutive batches of resident images; see `GraphProgram.train`."""
        steps, valid = batches.shape
        padded = np.zeros((MAX_STEPS, self.batch_size), np.int32)
        padded[:steps, :valid] = batches
        state.weights, *state.slots, losses, hits = self._loop(
            state.weights,
            *state.slots,
            state.step,
            tf.constant(steps),
            tf.constant(valid),
            tf.constant(padded),
            self.blocks,
            labels,
        )
        state.step += steps
        return losses.numpy()[:steps], hits.numpy()[:steps]

    def variables(self, state):
        """Returns the trainable and the other variables' values."""
        return state.weights, state.rest

    def _steps(self, weights, means, squares, first, steps, valid, batches, blocks, labels):
        used = tf.range(self.batch_size) < valid
        share = tf.cast(used, tf.float32) / tf.cast(valid, tf.float32)

        def load(i):
            return tf.cast(tf.gather(blocks, batches[i]), tf.float32) * self.data.scale

        def body(i, x, weights, means, squares, losses, hits):
            y = tf.gather(labels, batches[i])
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = self._logits(weights, x)
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
                loss = tf.reduce_sum(loss * share)
            gradients = tape.gradient(loss, weights)
            hit = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y) & used
            hits = hits.write(i, tf.reduce_sum(tf.cast(hit, tf.int32)))
            losses = losses.write(i, loss)
            step = tf.cast(first + i + 1, tf.float32)
            weights, means, squares = self._adam(step, weights, means, squares, gradients)
            # The next batch is a loop variable, since XLA would fuse its loading with the cutting.
            x = load(tf.minimum(i + 1, MAX_STEPS - 1))
            return i + 1, x, weights, means, squares, losses, hits

        arrays = tf.TensorArray(tf.float32, MAX_STEPS), tf.TensorArray(tf.int32, MAX_STEPS)
        _, _, *state, losses, hits = tf.while_loop(
            lambda i, *_: i < steps, body, (0, load(0), weights, means, squares, *arrays)
        )
        return *state, losses.stack(), hits.stack()

    def _adam(self, step, weights, means, squares, gradients):
        keep1, keep2 = 1 - self.spec["beta_1"], 1 - self.spec["beta_2"]
        means = [m + (g - m) * keep1 for m, g in zip(means, gradients, strict=True)]
        squares = [s + (g * g - s) * keep2 for s, g in zip(squares, gradients, strict=True)]
        rate, epsilon = adam_scalars(self.spec, step)
        weights = [
            w - m * rate / (tf.sqrt(s) + epsilon)
            for w, m, s in zip(weights, means, squares, strict=True)
        ]
        return weights, means, squares

    def _logits(self, weights, blocks):
        kernel1, bias1, kernel2, bias2, *dense = weights
        # [n, height/4 + 1, width/4 + 1, 16 c] -> [n, h, w, 64 c], windows of 8x8
        x = _pooled_convolution(_windows(blocks, 2), kernel1, bias1, self.taps1)
        x = _pooled_convolution(_windows(x, 3), kernel2, bias2, self.taps2)
        x = tf.reshape(x, (self.batch_size, -1))
        for kernel, bias in zip(dense[:-2:2], dense[1:-2:2], strict=True):
            x = _sigmoid(tf.matmul(x, kernel) + bias)
        return tf.matmul(x, dense[-2]) + dense[-1]


def _sigmoid(x):
    """Returns the sigmoid by way of tanh, which XLA computes without an exponential."""
    return 0.5 * tf.tanh(0.5 * x) + 0.5


def _pooled_convolution(windows, kernel, bias, taps):
    """Convolves, applies a sigmoid and averages 2x2 outputs, block by block.

    Args:
        windows: `(n, h, w, pixels * channels)`.
        kernel: `(5, 5, channels, filters)`.
        bias: `(filters,)`.
        taps: From `_tap_table`, `(pixels, 4, cells)`.

    Returns:
        `(n, h, w, cells * filters)`.
    """
    pixels, pool, cells = taps.shape
    channels, filters = kernel.shape[2:]
    kernel = _spread(tf.reshape(kernel, (-1, channels * filters)), taps)
    kernel = tf.reshape(kernel, (pixels, pool * cells, channels, filters))
    kernel = tf.reshape(tf.transpose(kernel, (0, 2, 1, 3)), (pixels * channels, -1))
    # The bias is a last row of the kernel: its gradient then comes with the kernel's.
    kernel = tf.concat([kernel, tf.tile(bias, [pool * cells])[None]], axis=0)
    n, h, w, width = windows.shape
    windows = tf.concat([windows, tf.ones((n, h, w, 1))], axis=-1)
    x = _sigmoid(tf.matmul(tf.reshape(windows, (n * h * w, width + 1)), kernel))
    return tf.reshape(_mean_of_groups(x, pool), (n, h, w, cells * filters))


def _mean_of_groups(x, groups):
    """Returns the mean of the groups of columns, `(rows, groups * c)` to `(rows, c)`."""

    @tf.custom_gradient
    def mean(x):
        columns = x.shape[1] // groups
        repeat = np.tile(np.eye(columns, dtype=np.float32) / groups, groups)
        # Repeating the gradient is a product, since XLA would fuse a copy with what follows.
        grouped = tf.reshape(x, (-1, groups, columns))
        return tf.reduce_mean(grouped, axis=1), lambda dy: tf.matmul(dy, repeat)

    return mean(x)


def _windows(x, size):
    """Returns windows of size x size neighbouring blocks.

    Args:
        x: `(n, h, w, c)`.
        size: Blocks along each side.

    Returns:
        `(n, h - size + 1, w - size + 1, size * size * c)`.
    """
    n, h, w, c = x.shape
    h, w = h - size + 1, w - size + 1
    places = [(i, j) for i in range(size) for j in range(size)]

    @tf.custom_gradient
    def cut(x):
        def gradient(dy):
            dx = tf.zeros_like(x)
            for k, (i, j) in enumerate(places):  # in place, one window after another
                part = dx[:, i : i + h, j : j + w] + dy[..., k * c : (k + 1) * c]
                dx = tf.raw_ops.TensorStridedSliceUpdate(
                    input=dx,
                    begin=[0, i, j],
                    end=[n, i + h, j + w],
                    strides=[1, 1, 1],
                    value=part,
                )
            return dx

        return tf.concat([x[:, i : i + h, j : j + w] for i, j in places], axis=-1), gradient

    return cut(x)


def _spread(taps, table):
    """Lays the kernel's taps out by a table; both directions are look-ups.

    Args:
        taps: `(25, c)`.
        table: From `_tap_table`.

    Returns:
        `(table.size, c)`, zero where the table names no tap.
    """
    uses = np.stack([np.flatnonzero(table == tap) for tap in range(KERNEL**2)], axis=1)

    @tf.custom_gradient
    def spread(taps):
        padded = tf.pad(taps, ((0, 1), (0, 0)))
        return tf.gather(padded, table.ravel()), lambda dy: tf.reduce_sum(tf.gather(dy, uses), 0)

    return spread(taps)


def _tap_table(outer, inner):
    """Returns which kernel tap joins a window's pixel to one of a block's outputs.

    Args:
        outer: A window is `outer[0]` blocks of `outer[1]` pixels along each side.
        inner: An output block is `inner[1]` pools of `inner[0]` outputs along each side.

    Returns:
        `(pixels, 4, cells)` integers: pixels by block, then place in it; outputs by place in
        their pool, then pool; taps row by row, 25 where none joins the two.
    """
    blocks, side = outer
    pool, cells = inner
    table = np.full((blocks, blocks, side, side, pool, pool, cells, cells), KERNEL**2)
    for by, bx, py, px, qy, qx, cy, cx in np.ndindex(table.shape):
        ky = by * side + py - (cy * pool + qy)
        kx = bx * side + px - (cx * pool + qx)
        if 0 <= ky < KERNEL and 0 <= kx < KERNEL:
            table[by, bx, py, px, qy, qx, cy, cx] = ky * KERNEL + kx
    return table.reshape((blocks * side) ** 2, pool**2, cells**2)


def _blocks(images):
    """Returns images padded by two pixels and cut into 4x4 blocks.

    Args:
        images: `(n, height, width, c)`.

    Returns:
        `(n, height/4 + 1, width/4 + 1, 16 c)` tensor of the same type.
    """
    n, height, width, c = images.shape
    h, w = height // 4 + 1, width // 4 + 1
    blocks = np.zeros((n, h, w, 4, 4, c), images.dtype)
    for first in range(0, n, 1000):
        padded = np.pad(images[first : first + 1000], ((0, 0), (2, 2), (2, 2), (0, 0)))
        cut = padded.reshape(-1, h, 4, w, 4, c)
        blocks[first : first + 1000] = cut.transpose(0, 1, 3, 2, 4, 5)
    return tf.constant(blocks.reshape(n, h, w, 16 * c))


def _is_lenet(model):
    """Returns whether the layers are those of `build_lenet`, whatever their widths."""
    layers = keras.layers
    kinds = [layers.Conv2D, layers.AveragePooling2D] * 2 + [layers.Flatten]
    stack = model.layers
    dense = stack[len(kinds) :]
    if not isinstance(model, keras.Sequential) or len(dense) < 1:
        return False
    if [type(layer) for layer in stack[: len(kinds)]] != kinds:
        return False
    if any(type(layer) is not layers.Dense for layer in dense):
        return False
    weighted = [stack[0], stack[2], *dense]
    activations = [keras.activations.serialize(layer.activation) for layer in weighted]
    plain = all(layer.use_bias and layer.trainable for layer in weighted)
    return (
        plain
        and activations == ["sigmoid"] * (len(weighted) - 1) + ["linear"]
        and [stack[0].padding, stack[2].padding] == ["same", "valid"]
        and all(_is_plain_convolution(layer) for layer in (stack[0], stack[2]))
        and all(_is_pool_of_two(layer) for layer in (stack[1], stack[3]))
    )


def _is_plain_convolution(layer):
    return (
        layer.kernel_size == (KERNEL, KERNEL)
        and layer.strides == (1, 1)
        and layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
    )


def _is_pool_of_two(layer):
    return layer.pool_size == (2, 2) and layer.strides == (2, 2) and layer.padding == "valid"
