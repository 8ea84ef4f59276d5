"""Fast lane for the sigmoid LeNet: the same sums as its Keras layers, as a few matrix products.

Small convolutions leave a core mostly idle: with one or six channels a vector unit has little to
do. Here the image is cut into blocks, and each product computes all the convolution's outputs in
one block from the pixels that they need:

* conv1 and pool1: a 4x4 block of outputs from an 8x8 window, a `(64, 16 filters)` matrix;
* conv2 and pool2: a 2x2 block of outputs from a 6x6 window, a `(36 channels, 4 filters)` matrix.

Such a matrix holds the 5x5 kernel once for each output, shifted, and zeros. An average pool is then
a mean over columns. The zeros cost arithmetic, which is cheaper than the idling. XLA compiles the
whole loop: between products it fuses what TensorFlow would run as separate operations.
Sums are taken in another order than Keras', so results agree to rounding, not bit for bit.
"""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from replicate.training.lane_programs import GraphProgram
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
        self.blocks = _blocks(data.images.numpy())
        self.expand1 = _expansion(outer=(2, 4), inner=(2, 2))
        self.expand2 = _expansion(outer=(3, 2), inner=(2, 1))
        self._loop = tf.function(self._steps, jit_compile=True)

    @staticmethod
    def suits(model, job, data):
        """Returns whether a network has the LeNet's form, with Adam, on a CPU."""
        height, width = data.images.shape[1:3]
        return (
            _is_lenet(model)
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
        return SimpleNamespace(weights=weights, slots=[zeros, zeros], rest=[], step=0)

    def train(self, state, batches, labels):
        """Trains on consecutive batches; see `GraphProgram.train`."""
        steps, valid = batches.shape
        padded = np.zeros((MAX_STEPS, self.batch_size), np.int32)
        padded[:steps, :valid] = batches
        state.weights, *state.slots, losses, hits = self._loop(
            state.weights,
            *state.slots,
            tf.constant(state.step),
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

        def body(i, weights, means, squares, losses, hits):
            index = batches[i]
            y = tf.gather(labels, index)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                logits = self._logits(weights, tf.gather(blocks, index))
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
                loss = tf.reduce_sum(loss * share)
            gradients = tape.gradient(loss, weights)
            hit = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), y) & used
            step = tf.cast(first + i + 1, tf.float32)
            weights, means, squares = self._adam(step, weights, means, squares, gradients)
            hits = hits.write(i, tf.reduce_sum(tf.cast(hit, tf.int32)))
            return i + 1, weights, means, squares, losses.write(i, loss), hits

        arrays = tf.TensorArray(tf.float32, MAX_STEPS), tf.TensorArray(tf.int32, MAX_STEPS)
        _, weights, means, squares, losses, hits = tf.while_loop(
            lambda i, *_: i < steps, body, (0, weights, means, squares, *arrays)
        )
        return weights, means, squares, losses.stack(), hits.stack()

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
        x = _windows(tf.cast(blocks, tf.float32) * self.data.scale, 2)
        x = _pooled_convolution(x, kernel1, bias1, self.expand1)
        x = _pooled_convolution(_windows(x, 3), kernel2, bias2, self.expand2)
        x = tf.reshape(x, (self.batch_size, -1))
        for kernel, bias in zip(dense[:-2:2], dense[1:-2:2], strict=True):
            x = tf.sigmoid(tf.matmul(x, kernel) + bias)
        return tf.matmul(x, dense[-2]) + dense[-1]


def _pooled_convolution(windows, kernel, bias, expansion):
    """Convolves, applies a sigmoid and averages 2x2 outputs, block by block.

    Args:
        windows: `(n, h, w, pixels * channels)`.
        kernel: `(5, 5, channels, filters)`.
        bias: `(filters,)`.
        expansion: From `_expansion`, `(pixels, 4, cells, 25)`.

    Returns:
        `(n, h, w, cells * filters)`.
    """
    pixels, pool, cells, taps = expansion.shape
    channels, filters = kernel.shape[2:]
    kernel = tf.matmul(expansion.reshape(-1, taps), tf.reshape(kernel, (taps, channels * filters)))
    kernel = tf.reshape(kernel, (pixels, pool * cells, channels, filters))
    kernel = tf.reshape(tf.transpose(kernel, (0, 2, 1, 3)), (pixels * channels, -1))
    n, h, w, width = windows.shape
    x = tf.matmul(tf.reshape(windows, (n * h * w, width)), kernel)
    x = tf.sigmoid(x + tf.tile(bias, [pool * cells]))
    x = tf.reduce_mean(tf.reshape(x, (n * h * w, pool, cells * filters)), axis=1)
    return tf.reshape(x, (n, h, w, cells * filters))


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
            # Adding one window after another in place; XLA would recompute a sum of padded
            # windows for each of its four uses in the average pool's gradient.
            dx = tf.zeros_like(x)
            for k, (i, j) in enumerate(places):
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


def _expansion(outer, inner):
    """Returns which kernel tap joins a window's pixel to one of a block's outputs, as 0 and 1.

    Args:
        outer: A window is `outer[0]` blocks of `outer[1]` pixels along each side.
        inner: A block's outputs along each side are `inner[1]` pooled cells of `inner[0]`.

    Returns:
        `(pixels, 4, cells, 25)` float32: pixels by block, then place in it; outputs by place in
        their pool, then cell; taps row by row.
    """
    blocks, side = outer
    pool, cells = inner
    table = np.zeros((blocks, blocks, side, side, pool, pool, cells, cells, KERNEL, KERNEL), "f4")
    for by, bx, py, px, qy, qx, cy, cx in np.ndindex(table.shape[:8]):
        ky = by * side + py - (cy * pool + qy)
        kx = bx * side + px - (cx * pool + qx)
        if 0 <= ky < KERNEL and 0 <= kx < KERNEL:
            table[by, bx, py, px, qy, qx, cy, cx, ky, kx] = 1
    return table.reshape((blocks * side) ** 2, pool**2, cells**2, KERNEL**2)


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
    padded = np.zeros((1000, h * 4, w * 4, c), images.dtype)
    for first in range(0, n, 1000):
        part = images[first : first + 1000]
        padded[: len(part), 2:-2, 2:-2] = part
        cut = padded[: len(part)].reshape(len(part), h, 4, w, 4, c)
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
