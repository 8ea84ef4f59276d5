"""Simple properties of images, without a network."""

from __future__ import annotations

import numpy as np
from scipy import fft


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as uint8, rounded; images that are uint8 come back as they are.

    Raises:
        ValueError: if values are not finite or leave [0, 1] by more than 0.001, as those in
            [-1, 1] or [0, 255] do: clipped without a word, they would make other images.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    low, high = (images.min(), images.max()) if images.size else (0.0, 1.0)
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(f"Expected images in [0, 1]. Received: {images.dtype}, {low} to {high}")
    return np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)


def high_frequency_energy(images: np.ndarray, cutoff: float = 0.25) -> float:
    """Share of the spectral energy above a radial frequency: larger for sharper images.

    Args:
        images: `(n, height, width, channels)`, any scale; each image's mean is removed first.
        cutoff: radius in cycles a pixel, in (0, 0.5]; 0.25 is half the Nyquist frequency.

    Returns:
        Energy beyond the cutoff over all energy but the mean's, summed over images, in [0, 1].

    Raises:
        ValueError: if the shape or the cutoff is not as above, or all images are flat.
    """
    if images.ndim != 4 or not 0 < cutoff <= 0.5:
        raise ValueError(
            "Expected images (n, height, width, channels) and 0 < cutoff <= 0.5. "
            f"Received: shape={images.shape}, cutoff={cutoff}"
        )
    rows = np.fft.fftfreq(images.shape[1])[:, None]
    columns = np.fft.fftfreq(images.shape[2])[None, :]
    above = (np.hypot(rows, columns) > cutoff)[None, :, :, None]
    high = total = 0.0
    for start in range(0, len(images), 1000):
        part = images[start : start + 1000].astype(np.float64)
        part -= part.mean(axis=(1, 2), keepdims=True)
        energy = np.abs(np.fft.fft2(part, axes=(1, 2))) ** 2
        high += float((energy * above).sum())
        total += float(energy.sum())
    if total == 0:
        raise ValueError("Expected images that are not flat. Received: no energy but the mean's")
    return high / total


def high_frequencies(images: np.ndarray, cutoff: float = 0.25) -> np.ndarray:
    """What images hold above a radial frequency, on grey.

    What lies beyond an edge counts as its mirror image, so that opposite edges make no fine detail.

    Args:
        images: uint8 `(n, height, width, channels)`.
        cutoff: radius in cycles a pixel, >= 0; 0.25 is half the Nyquist frequency.

    Returns:
        uint8 of the same shape, rounded: 128 where there is nothing, clipped at 0 and 255.
    """
    rows, columns = (np.arange(side) / (2 * side) for side in images.shape[1:3])
    kept = (np.hypot(rows[:, None], columns) > cutoff)[None, :, :, None]
    found = np.empty_like(images)
    for start in range(0, len(images), 1000):
        part = images[start : start + 1000].astype(np.float32)
        spectrum = fft.dctn(part, axes=(1, 2), norm="ortho")
        part = fft.idctn(spectrum * kept, axes=(1, 2), norm="ortho")
        found[start : start + 1000] = np.rint(np.clip(128 + part, 0, 255))
    return found
