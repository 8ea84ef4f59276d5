"""Real and synthetic images side by side, and the training sets that are parts of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Labelled = tuple[np.ndarray, np.ndarray]  # uint8 images (n, height, width, channels), labels (n,)


class Mixture:
    """Real training images followed by synthetic ones, either class after class.

    Args:
        train: real training images and labels, class after class.
        held_out: real held-out images and labels, likewise.
        drawn: synthetic images of each class, in the order of the labels; none, or of each class at
            least as many as there are real ones.

    Attributes:
        images: uint8 `(n + m, height, width, channels)`, n real ones and m synthetic ones.
        labels: int64 `(n + m,)`.
        real: rows of the real images, `(n,)`.
        synthetic: rows of the synthetic images, `(m,)`.
        alike: rows of as many synthetic images of each class as there are real training images.
        unused: rows of as many others of each class as there are held-out real images.

    Raises:
        ValueError: if a class has fewer synthetic images than real ones.
    """

    def __init__(self, train: Labelled, held_out: Labelled, drawn: Sequence[np.ndarray] = ()):
        sizes = np.array([len(part) for part in drawn], np.int64)
        self.images = np.concatenate([train[0], *drawn])
        self.labels = np.concatenate([train[1], np.repeat(np.arange(len(drawn)), sizes)])
        self.real = np.arange(len(train[0]))
        self.synthetic = np.arange(len(train[0]), len(self.images))
        self.alike = self.unused = self.synthetic[:0]
        if len(drawn):
            first, more = (np.bincount(part[1], minlength=len(sizes)) for part in (train, held_out))
            if (first + more > sizes).any():
                raise ValueError(
                    "Expected at least as many synthetic images of each class as real ones. "
                    f"Received: {sizes.tolist()}, real {(first + more).tolist()}"
                )
            starts = len(self.real) + np.cumsum(sizes) - sizes
            self.alike = _spans(starts, first)
            self.unused = _spans(starts + first, more)

    def shuffled_labels(self, rng: np.random.Generator) -> np.ndarray:
        """Labels in which those of the synthetic images are permuted, `(n + m,)`."""
        return np.concatenate(
            [self.labels[self.real], rng.permutation(self.labels[self.synthetic])]
        )

    def source_labels(self) -> np.ndarray:
        """0 for a real, 1 for a synthetic image, `(n + m,)`."""
        return np.repeat([0, 1], [len(self.real), len(self.synthetic)])


def _spans(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Rows `start, ..., start + count - 1` of each pair, one pair after the other."""
    return np.concatenate([np.arange(a, a + n) for a, n in zip(starts, counts, strict=True)])
