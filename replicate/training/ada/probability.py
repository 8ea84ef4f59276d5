"""The adaptive probability of augmentation."""

from __future__ import annotations

import tensorflow as tf


def adjusted_probability(probability, mean_sign, target, images, images_per_unit):
    """Move the probability up if the discriminator is too sure of real images, else down.

    The mean sign of its outputs on real images is near 0 without and near 1 with overfitting
    (Karras et al., 2020, Sec. 3.1, r_t).

    Args:
        probability: the one of now, scalar.
        mean_sign: mean sign of the discriminator's outputs on real images since the last call.
        target: the mean sign that is wanted.
        images: real images since the last call.
        images_per_unit: images in which the probability can go from 0 to 1.

    Returns:
        Scalar, never below 0; as in the authors' code nothing stops it above 1.
    """
    step = tf.sign(mean_sign - target) * (images / images_per_unit)
    return tf.maximum(probability + step, 0.0)
