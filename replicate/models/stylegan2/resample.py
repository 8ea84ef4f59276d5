"""Resampling by the filter [1, 3, 3, 1], one axis after the other, as sums of shifted maps.

The two-dimensional filter is the outer product of the one-dimensional one, so that four
multiplications an axis do; unlike depthwise convolutions these sums are quick on a CPU in every
order of gradient. Source: Karras et al. (2020), StyleGAN2; borders as in the authors' code.
"""

from __future__ import annotations

from keras import ops

TAPS = (1.0, 3.0, 3.0, 1.0)


def smooth(x, padding, gain=1.0, stride=1):
    """Filter height and width, zero beyond the borders, and keep each `stride`-th pixel.

    Args:
        x: maps `(batch, height, width, channels)`.
        padding: zero pixels added on every side before; the filter takes three an axis.
        gain: the sum of the two-dimensional filter.
        stride: pixels from one output to the next.

    Returns:
        Maps whose sides are `(side + 2 * padding - 4) // stride + 1` pixels.
    """
    scale = gain**0.5 / sum(TAPS)
    x = ops.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    for axis in (1, 2):
        x = _smooth_axis(x, axis, scale, stride)
    return x


def _smooth_axis(x, axis, scale, stride):
    last = stride * ((x.shape[axis] - len(TAPS)) // stride) + 1
    a, b, c, d = (_along(x, axis, slice(k, k + last, stride)) for k in range(len(TAPS)))
    return (a + d) * (TAPS[0] * scale) + (b + c) * (TAPS[1] * scale)


def _along(x, axis, part):
    return x[:, part] if axis == 1 else x[:, :, part]


def upsample(x):
    """Twice the height and width: `(batch, 2 * height, 2 * width, channels)`.

    Equal to zeros between the pixels and the filter at gain 4. Of its four taps two fall on zeros,
    so that an output pixel is three quarters of the nearest and one of the next input pixel.
    """
    for axis in (1, 2):
        shape = list(x.shape)
        shape[0], shape[axis] = -1, 2 * shape[axis]
        pad = [(0, 0)] * 4
        pad[axis] = (1, 1)
        padded = ops.pad(x, pad)
        before, after = (_along(padded, axis, part) for part in (slice(0, -2), slice(2, None)))
        pair = ops.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
        x = ops.reshape(pair, shape)
    return x


def downsample(x):
    """Half the height and width: `(batch, height / 2, width / 2, channels)`."""
    return smooth(x, padding=1, stride=2)
