"""Images of a generator as bytes, and sheets of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from replicate.models.stylegan2.generator import Generator

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer") + (
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
BATCH = 50


def sample(
    generator: Generator,
    labels: Sequence[int],
    seed: int = 0,
    truncation_psi: float = 1.0,
    noise_mode: str = "const",
) -> np.ndarray:
    """Draw one image a label.

    Args:
        generator: the network.
        labels: classes `(n,)`; for an unconditional network only their number counts.
        seed: seed of the latents.
        truncation_psi: as for the generator.
        noise_mode: as for the generator.

    Returns:
        uint8 images `(n, resolution, resolution, img_channels)`: 127.5 x + 128, cut to bytes, as in
        the authors' code.
    """
    labels = np.asarray(labels)
    z = np.random.default_rng(seed).standard_normal((len(labels), generator.z_dim))
    z = z.astype(np.float32)
    one_hot = np.eye(generator.c_dim, dtype=np.float32)[labels] if generator.c_dim else None
    options = {"truncation_psi": truncation_psi, "noise_mode": noise_mode}
    parts = []
    for start in range(0, len(z), BATCH):
        batch = slice(start, start + BATCH)
        c = None if one_hot is None else one_hot[batch]
        images = np.asarray(generator(z[batch], c, **options))
        parts.append(np.clip(images * 127.5 + 128, 0, 255).astype(np.uint8))
    return np.concatenate(parts)


def class_numbers(names: str | None, c_dim: int) -> list[int]:
    """Classes of a list such as "cat,dog" or "3,5"; all of them for None.

    Args:
        names: numbers, or CIFAR-10's names where there are ten classes.
        c_dim: number of classes, 0 for an unconditional network.

    Raises:
        ValueError: if a class is not known.
    """
    if names is None:
        return list(range(max(c_dim, 1)))
    known = {str(number): number for number in range(c_dim)}
    if c_dim == len(CIFAR10_CLASSES):
        known |= {name: number for number, name in enumerate(CIFAR10_CLASSES)}
    asked = [name.strip() for name in names.split(",")]
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ValueError(f"Expected classes among {sorted(known)}. Received: {unknown}")
    return [known[name] for name in asked]


def sheet(images: np.ndarray, per_class: int, columns: int = 16) -> np.ndarray:
    """Images in rows, a new row for each class; missing places are white.

    Args:
        images: uint8 `(classes * per_class, height, width, channels)`.
        per_class: images a class.
        columns: images a row, at most.

    Returns:
        uint8 `(rows * height, columns * width, channels)`.
    """
    columns = min(columns, per_class)
    _, height, width, channels = images.shape
    rows = -(-per_class // columns)
    classes = images.reshape(-1, per_class, height, width, channels)
    places = np.full((len(classes), rows * columns, height, width, channels), 255, np.uint8)
    places[:, :per_class] = classes
    grid = places.reshape(-1, columns, height, width, channels).swapaxes(1, 2)  # [RHCWc]
    return grid.reshape(-1, columns * width, channels)
