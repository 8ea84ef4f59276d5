"""Blurred images, and the blur that leaves as much fine detail as other images have."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, optimize

from replicate.evaluation.images import high_frequency_energy

STEPS = np.arange(0, 3.01, 0.25)  # pixels


def blurred(images: np.ndarray, sigma: float) -> np.ndarray:
    """Images uint8 `(n, height, width, channels)` after a Gaussian blur of `sigma` pixels.

    What lies beyond an edge counts as its mirror image; a sigma of 0 changes nothing.
    """
    soft = ndimage.gaussian_filter(images.astype(np.float32), (0, sigma, sigma, 0))
    return np.rint(np.clip(soft, 0, 255)).astype(np.uint8)


def matching_blur(images: np.ndarray, energy: float) -> float:
    """The least blur that brings down images to a share of high frequencies.

    Strong blur ends where rounding to grey levels is all that is left of fine detail, which is why
    the least one is looked for.

    Args:
        images: uint8 `(n, height, width, channels)`.
        energy: as of `high_frequency_energy`, in (0, 1).

    Returns:
        Sigma in pixels, to a thousandth; 0 if the images have no more than that as they are, and
        that which leaves least if none up to 3 leaves so little.
    """

    def excess(sigma):
        return high_frequency_energy(blurred(images, sigma)) - energy

    left = [excess(sigma) for sigma in STEPS]
    enough = [index for index, value in enumerate(left) if value <= 0]
    if not enough:
        return float(STEPS[int(np.argmin(left))])
    first = enough[0]
    if first == 0:
        return 0.0
    return float(optimize.brentq(excess, STEPS[first - 1], STEPS[first], xtol=1e-3))
