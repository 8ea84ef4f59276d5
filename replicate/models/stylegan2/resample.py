"""Resampling by the filter [1, 3, 3, 1] along height and width.

All are linear maps, and each gradient is told as what it is, the adjoint map: that of smoothing is
smoothing again, since the filter is symmetric, and doubling and halving are each other's. So one
depthwise convolution forward does for gradients of every order; TensorFlow's own backward passes
of depthwise convolutions and of slices are several times as slow on a CPU. Source: Karras et al.
(2020), StyleGAN2; borders as in the authors' code.
"""

from __future__ import annotations

import functools

import numpy as np
from keras import ops

TAPS = (1.0, 3.0, 3.0, 1.0)


def linear(forward, adjoint):
    """A linear map that is differentiable in every order by its adjoint.

    Args:
        forward: function of one tensor, linear.
        adjoint: function of a gradient by the output, gives that by the input.
    """

    @ops.custom_gradient
    def call(x):
        def gradient(upstream):
            return linear(adjoint, forward)(upstream)

        return forward(x), gradient

    return call


def smooth(x, padding, gain=1.0):
    """Filter height and width, zero beyond the borders.

    Args:
        x: maps `(batch, height, width, channels)`.
        padding: zero pixels added on every side before, 0 to 3; the filter takes three an axis.
        gain: the sum of the two-dimensional filter.

    Returns:
        Maps whose sides are `side + 2 * padding - 3` pixels.
    """
    adjoint = functools.partial(_filter, padding=len(TAPS) - 1 - padding, gain=gain)
    return linear(functools.partial(_filter, padding=padding, gain=gain), adjoint)(x)


def upsample(x):
    """Twice the height and width: `(batch, 2 * height, 2 * width, channels)`.

    Equal to zeros between the pixels and the filter at gain 4.
    """
    return linear(_double, functools.partial(_filter, padding=1, gain=4.0, stride=2))(x)


def downsample(x):
    """Half the height and width, which are even: `(batch, height / 2, width / 2, channels)`."""
    return linear(functools.partial(_filter, padding=1, stride=2), lambda y: _double(y) / 4)(x)


def _filter(x, padding, gain=1.0, stride=1):
    weights = np.outer(TAPS, TAPS) * (gain / sum(TAPS) ** 2)
    kernel = np.repeat(weights[:, :, None, None], x.shape[-1], axis=2).astype("float32")
    x = ops.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    return ops.depthwise_conv(x, ops.cast(kernel, x.dtype), strides=stride, padding="valid")


def _double(x):
    """Of the filter's four taps two fall on zeros: 3/4 of the nearest, 1/4 of the next pixel."""
    for axis in (1, 2):
        pad, shape = [(0, 0)] * 4, list(x.shape)
        shape[0], shape[axis], pad[axis] = -1, 2 * shape[axis], (1, 1)
        padded = ops.pad(x, pad)
        ends = (slice(0, -2), slice(2, None))
        before, after = (padded[(slice(None),) * axis + (part,)] for part in ends)
        pair = ops.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
        x = ops.reshape(pair, shape)
    return x
