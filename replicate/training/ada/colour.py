"""Colour transformations: one affine map of colours an image."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

BRIGHTNESS = 0.2  # spread
CONTRAST = 0.5  # spread of the binary logarithm
SATURATION = 1.0  # spread of the binary logarithm
GREY = np.full((3, 3), 1 / 3, np.float32)  # projects colours on the grey axis
CROSS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], np.float32) / np.float32(np.sqrt(3))
ORDER = ("brightness", "contrast", "lumaflip", "hue", "saturation")
OF_COLOURS = ("hue", "saturation")  # without effect on grey images


def colour_maps(draws, policy, channels):
    """Maps of colours, `(batch, 3, 4)`: a matrix, and a shift in the last column.

    Args:
        draws: `Draws` of the batch.
        policy: names of the transformations.
        channels: 1 or 3; grey images have neither hue nor saturation.
    """
    colours = tf.eye(3, 4)[None]
    for name in (name for name in ORDER if name in policy):
        if channels > 1 or name not in OF_COLOURS:
            colours = _MAPS[name](draws, name, colours)
    return colours


def _brightness(draws, name, colours):
    shift = draws.gated(name, draws.normal(name)[0] * BRIGHTNESS)
    return colours + shift[:, None, None] * tf.constant([0.0, 0.0, 0.0, 1.0])


def _contrast(draws, name, colours):
    return colours * draws.factor(name, CONTRAST)[:, None, None]


def _lumaflip(draws, name, colours):
    return (tf.eye(3) - 2 * GREY * draws.integer(name, 2)[:, None, None]) @ colours


def _hue(draws, name, colours):
    angle = draws.angle(name)[:, None, None]
    return (GREY + tf.cos(angle) * (np.eye(3) - GREY) + tf.sin(angle) * CROSS) @ colours


def _saturation(draws, name, colours):
    factor = draws.factor(name, SATURATION)[:, None, None]
    return (GREY + factor * (np.eye(3) - GREY)) @ colours


_MAPS = {
    "brightness": _brightness,
    "contrast": _contrast,
    "lumaflip": _lumaflip,
    "hue": _hue,
    "saturation": _saturation,
}


def recolour(images, colours):
    """Images `(batch, height, width, channels)` with colours changed by maps `(batch, 3, 4)`."""
    height, width, channels = images.shape[1:]
    colours = tf.cast(colours, images.dtype)
    if channels == 1:
        colours = tf.reduce_mean(colours, axis=1)[:, None, None]  # [N114]
        return images * tf.reduce_sum(colours[..., :3], -1, keepdims=True) + colours[..., 3:]
    flat = tf.reshape(images, (-1, height * width, channels))
    flat = tf.matmul(flat, colours[:, :, :3], transpose_b=True) + colours[:, None, :, 3]
    return tf.reshape(flat, (-1, height, width, channels))
