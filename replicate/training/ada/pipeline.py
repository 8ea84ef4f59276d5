"""The pipeline: a policy's transformations, drawn and carried out."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from replicate.training.ada import colour, geometry
from replicate.training.ada.draws import Draws

_BLIT = ("xflip", "rotate90", "xint")
_GEOMETRIC = ("scale", "rotate", "aniso", "xfrac")
POLICIES = {
    "blit": _BLIT,
    "geom": _GEOMETRIC,
    "color": colour.ORDER,
    "bg": _BLIT + _GEOMETRIC,
    "bgc": _BLIT + _GEOMETRIC + colour.ORDER,
    "none": (),
}


def check_policy(policy: str | Collection[str]) -> tuple[str, ...]:
    """The transformations of a policy, given by its name or one by one.

    Raises:
        ValueError: if a name is unknown.
    """
    if isinstance(policy, str):
        policy = POLICIES.get(policy, policy.split(","))
    unknown = [name for name in policy if name not in POLICIES["bgc"]]
    if unknown:
        raise ValueError(
            f"Expected a policy of {', '.join(POLICIES)}, or transformations of "
            f"{', '.join(POLICIES['bgc'])}. Received: {unknown}"
        )
    return tuple(name for name in POLICIES["bgc"] if name in policy)


def augment(images, probability, seed=None, policy="bgc", percentile=None):
    """Transform images, each by its own random draw; differentiable in the images.

    Args:
        images: `(batch, height, width, channels)`, about [-1, 1]; 1 or 3 channels.
        probability: of each transformation, scalar; nothing at 0, all from 1.
        seed: two integers, of which alone the draws depend.
        policy: see `check_policy`.
        percentile: in place of a seed, see `Draws`.

    Returns:
        Images of the same shape; values may leave [-1, 1].

    Raises:
        ValueError: if the shape or the policy is another, or there is not one of seed and
            percentile.
    """
    policy = check_policy(policy)
    if len(images.shape) != 4 or images.shape[-1] not in (1, 3):
        raise ValueError(
            "Expected images (batch, height, width, channels) of 1 or 3 channels. "
            f"Received: shape={tuple(images.shape)}"
        )
    if (seed is None) == (percentile is None):
        raise ValueError(
            "Expected either a seed or a percentile. "
            f"Received: seed={seed}, percentile={percentile}"
        )
    height, width, channels = images.shape[1:]
    draws = Draws(tf.shape(images)[0], probability, seed, percentile)
    if set(policy) & set(geometry.ORDER):
        images = geometry.warp(images, geometry.inverse_maps(draws, policy, height, width))
    if set(policy) & set(colour.ORDER):
        images = colour.recolour(images, colour.colour_maps(draws, policy, channels))
    return images
