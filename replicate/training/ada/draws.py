"""Random parameters of the transformations, by seed alone; or all at one percentile."""

from __future__ import annotations

import math

import tensorflow as tf

TRANSFORMS = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "rotate_after", "xfrac")
TRANSFORMS += ("brightness", "contrast", "lumaflip", "hue", "saturation")
ROTATIONS = ("rotate", "rotate_after")


class Draws:
    """Uniform and normal numbers of each transformation, and whom it befalls.

    There are two rotations, before and after the stretching, each likely enough that a share
    `probability` of the images has at least one (App. B).

    Args:
        batch: number of images.
        probability: of each transformation, scalar from 0.
        seed: two integers; equal seeds give equal draws.
        percentile: in place of a seed, a number in (0, 1): every image gets every transformation
            at this place of its distribution, and no second rotation. As in the authors' code,
            normal numbers are then `erfinv(2 percentile - 1)`, without the factor of sqrt(2).
    """

    def __init__(self, batch, probability, seed=None, percentile=None):
        self.shape = (2, batch)
        self.percentile = percentile
        probability = tf.cast(probability, tf.float32)
        self.limits = {name: probability for name in TRANSFORMS}
        once = 1 - tf.sqrt(tf.clip_by_value(1 - probability, 0, 1))
        self.limits |= {name: once for name in ROTATIONS}
        if percentile is None:
            shape = (len(TRANSFORMS), *self.shape)
            uniforms, normals, gates = (tf.random.fold_in(seed, index) for index in range(3))
            self.uniforms = tf.random.stateless_uniform(shape, uniforms)
            self.normals = tf.random.stateless_normal(shape, normals)
            self.gates = tf.random.stateless_uniform((len(TRANSFORMS), batch), gates)

    def uniform(self, name):
        """Numbers in [0, 1), float32 `(2, batch)`."""
        if self.percentile is None:
            return self.uniforms[TRANSFORMS.index(name)]
        return tf.fill(self.shape, tf.cast(self.percentile, tf.float32))

    def normal(self, name):
        """Standard normal numbers, float32 `(2, batch)`."""
        if self.percentile is None:
            return self.normals[TRANSFORMS.index(name)]
        return tf.math.erfinv(2 * self.uniform(name) - 1)

    def gated(self, name, values, neutral=0.0):
        """`values` `(…, batch)` for the images that are transformed, `neutral` for the others."""
        if self.percentile is None:
            chosen = self.gates[TRANSFORMS.index(name)] < self.limits[name]
        else:
            chosen = tf.fill(self.shape[1:], name != "rotate_after")
        return tf.where(chosen, values, neutral)

    def integer(self, name, count):
        """Whole numbers from 0 to `count - 1`, float32 `(batch,)`; 0 where not transformed."""
        return self.gated(name, tf.floor(count * self.uniform(name)[0]))

    def angle(self, name):
        """Angles in [-pi, pi), float32 `(batch,)`; 0 where not transformed."""
        return self.gated(name, (2 * self.uniform(name)[0] - 1) * math.pi)

    def factor(self, name, spread):
        """Factors `2 ** (spread * normal)`, float32 `(batch,)`; 1 where not transformed."""
        return self.gated(name, 2.0 ** (spread * self.normal(name)[0]), 1.0)
