"""Geometric transformations: one affine map an image, resampled at twice the resolution.

Images are mirrored at their borders as far as the map needs it, doubled by an orthogonal wavelet,
sampled between the pixels, and halved by the same wavelet, so that the identity changes nothing.
Doubling and halving are matrix products, and sampling is a weighted gather: all have gradients of
every order on a CPU.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

ORDER = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "rotate_after", "xfrac")
SHIFT = 0.125  # largest whole shift, and spread of the fractional one, in sides of the image
SPREAD = 0.2  # of the scales' binary logarithm
# Lowpass filter of the wavelet "sym6" (Daubechies), to a sum of one.
WAVELET = np.array(
    [0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633]
    + [0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252]
    + [-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148]
) / math.sqrt(2)
BORDER = len(WAVELET) // 4  # pixels beyond each side of the output that the halving sees


def inverse_maps(draws, policy, height, width):
    """Maps from places in the output to places in the input, in pixels from the centre.

    Args:
        draws: `Draws` of the batch.
        policy: names of the transformations.
        height: pixels of a column.
        width: pixels of a row.

    Returns:
        Homogeneous matrices `(batch, 3, 3)` on columns (x, y, 1).
    """
    inverse = tf.eye(3)[None]
    for name in (name for name in ORDER if name.removesuffix("_after") in policy):
        inverse = inverse @ _MAPS[name](draws, name, height, width)
    return inverse


def _matrix(*rows):
    """Matrices `(batch, 3, 3)` whose first two rows hold numbers and tensors `(batch,)`."""
    entries = [entry for row in (*rows, (0.0, 0.0, 1.0)) for entry in row]
    like = next(entry for entry in entries if tf.is_tensor(entry))
    columns = [
        entry if tf.is_tensor(entry) else tf.fill(tf.shape(like), entry) for entry in entries
    ]
    return tf.reshape(tf.stack(columns, axis=1), (-1, 3, 3))


def _stretch(x, y):
    return _matrix((x, 0.0, 0.0), (0.0, y, 0.0))


def _shift(x, y):
    return _matrix((1.0, 0.0, x), (0.0, 1.0, y))


def _turn(angle):
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _matrix((cos, -sin, 0.0), (sin, cos, 0.0))


def _xflip(draws, name, height, width):
    return _stretch(1 - 2 * draws.integer(name, 2), 1.0)


def _rotate90(draws, name, height, width):
    return _turn(math.pi / 2 * draws.integer(name, 4))


def _xint(draws, name, height, width):
    x, y = tf.unstack(draws.gated(name, (2 * draws.uniform(name) - 1) * SHIFT))
    return _shift(-tf.round(x * width), -tf.round(y * height))


def _scale(draws, name, height, width):
    factor = draws.factor(name, SPREAD)
    return _stretch(1 / factor, 1 / factor)


def _rotate(draws, name, height, width):
    return _turn(draws.angle(name))


def _aniso(draws, name, height, width):
    factor = draws.factor(name, SPREAD)
    return _stretch(1 / factor, factor)


def _xfrac(draws, name, height, width):
    x, y = tf.unstack(draws.gated(name, draws.normal(name) * SHIFT))
    return _shift(-x * width, -y * height)


_MAPS = {
    "xflip": _xflip,
    "rotate90": _rotate90,
    "xint": _xint,
    "scale": _scale,
    "rotate": _rotate,
    "aniso": _aniso,
    "rotate_after": _rotate,
    "xfrac": _xfrac,
}


def warp(images, inverse):
    """Images seen through maps of `inverse_maps`.

    Args:
        images: `(batch, height, width, channels)`; all but the batch known.
        inverse: `(batch, 3, 3)`.

    Returns:
        Images of the same shape and type.
    """
    height, width, channels = images.shape[1:]
    before, after = margins(inverse, height, width)
    rows = _doubling(height, before[1], after[1], images.dtype)
    columns = _doubling(width, before[0], after[0], images.dtype)
    big = _resample(images, rows, columns)
    x, y = _places(inverse, height, width)
    x += tf.cast(width - 1 + 2 * before[0], tf.float32)
    y += tf.cast(height - 1 + 2 * before[1], tf.float32)
    sampled = sample(big, x, y)
    sides = 2 * (height + 2 * BORDER), 2 * (width + 2 * BORDER)
    sampled = tf.reshape(sampled, (-1, *sides, channels))
    halving = (tf.constant(_halving(side), images.dtype) for side in (height, width))
    return _resample(sampled, *halving)


def margins(inverse, height, width):
    """How many mirrored pixels the batch needs: int32 (x, y) before the image, and behind it.

    As far as the maps send a corner of any image, and the filter's reach; less than a side, for a
    mirror shows no more.
    """
    centre = tf.constant([(width - 1) / 2, (height - 1) / 2])
    signs = tf.constant([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]])
    corners = tf.concat([centre[:, None] * signs, tf.ones((1, 4))], axis=0)
    places = tf.matmul(inverse, corners[None])[:, :2]  # [N, xy, corner]
    most = tf.constant([width - 1.0, height - 1.0])

    def pixels(reach):
        needed = tf.reduce_max(reach, axis=(0, 2)) + 2 * BORDER - centre
        return tf.cast(tf.math.ceil(tf.clip_by_value(needed, 0, most)), tf.int32)

    return pixels(-places), pixels(places)


def _places(inverse, height, width):
    """Twice the input's place of each place on the doubled output: x and y `(batch, places)`."""
    x, y = (tf.range(1 - side, side + 4 * BORDER + 1, dtype=tf.float32) for side in (width, height))
    x, y = tf.meshgrid(x - 2 * BORDER, y - 2 * BORDER)
    flat = tf.stack([tf.reshape(x, (-1,)), tf.reshape(y, (-1,)), 2 * tf.ones(tf.size(x))])
    places = tf.matmul(inverse, flat[None])
    return places[:, 0], places[:, 1]


def sample(images, x, y):
    """Linear interpolation between pixels, zero beyond the borders.

    Args:
        images: `(batch, height, width, channels)`.
        x: places `(batch, places)`, 0 at the centre of the first pixel of a row.
        y: places `(batch, places)`, the same in a column.

    Returns:
        `(batch, places, channels)`, with a gradient to the images alone.
    """
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    x, y = (tf.stop_gradient(tf.cast(place, images.dtype)) for place in (x, y))
    columns, rows = (tf.stack([tf.floor(place), tf.floor(place) + 1]) for place in (x, y))
    across = _share(columns, x, width)[None]  # [1 2 N P]
    down = _share(rows, y, height)[:, None]  # [2 1 N P]
    columns, rows = (
        tf.cast(tf.clip_by_value(part, 0, tf.cast(side - 1, part.dtype)), tf.int32)
        for part, side in ((columns, width), (rows, height))
    )
    first = tf.range(batch)[:, None] * (height * width)
    pixels = tf.reshape(images, (-1, images.shape[-1]))
    corners = tf.gather(pixels, first + rows[:, None] * width + columns[None])  # [2 2 N P C]
    return tf.reduce_sum(corners * (across * down)[..., None], axis=(0, 1))


def _share(pixels, places, side):
    """Weights of pixels that lie beside the places; none beyond the border."""
    inside = (pixels >= 0) & (pixels < tf.cast(side, pixels.dtype))
    return tf.where(inside, 1 - tf.abs(places - pixels), 0)


def _resample(images, rows, columns):
    """Multiply the columns of images by one matrix and their rows by another."""
    height, width, channels = images.shape[1:]
    x = tf.reshape(images, (-1, height, width * channels))
    x = tf.matmul(rows[None], x)
    # One wide product with each channel apart: pixels and channels need not trade places.
    apart = columns[:, None, :, None] * tf.eye(channels, dtype=images.dtype)[None, :, None]
    new = tf.shape(rows)[0], tf.shape(columns)[0]
    apart = tf.reshape(apart, (new[1] * channels, width * channels))
    x = tf.matmul(tf.reshape(x, (-1, width * channels)), apart, transpose_b=True)
    known = rows.shape[0] or new[0], columns.shape[0] or new[1]
    return tf.reshape(x, (-1, *known, channels))


def _doubling(side, before, after, dtype):
    """Matrix that mirrors `before` and `after` pixels and doubles: `(2 (side + …), side)`."""
    longest = 3 * side - 2
    positions = np.abs(np.arange(longest) - (side - 1))
    positions = np.where(positions < side, positions, 2 * (side - 1) - positions)
    mirror = tf.constant(np.eye(side)[positions], dtype)
    taps = np.subtract.outer(np.arange(2 * longest), 2 * np.arange(longest)) + 5
    double = tf.constant(2 * _tap(taps), dtype)
    first, last = side - 1 - before, 2 * side - 1 + after
    return tf.matmul(double[2 * first : 2 * last, first:last], mirror[first:last])


def _halving(side):
    """Matrix from doubled pixels, with borders, to pixels: `(side, 2 (side + 2 BORDER))`."""
    columns = np.arange(2 * (side + 2 * BORDER))
    return _tap(np.subtract.outer(-2 * np.arange(side) - 1, -columns))


def _tap(index):
    inside = (index >= 0) & (index < len(WAVELET))
    return np.where(inside, WAVELET[np.clip(index, 0, len(WAVELET) - 1)], 0.0)
