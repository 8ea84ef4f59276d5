"""What a classifier makes of real, synthetic and merged images, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from replicate.evaluation.confusion import confusion_matrix

SETS = ("real", "synthetic", "mixed")
Probes = Mapping[tuple[str, int], np.ndarray]  # ("test/real", epoch) -> predictions `(n,)`


class Transfer:
    """Predictions of one network on the sets of each split.

    Args:
        predictions: (`"<split>/<set>"`, epoch from 1) -> classes given to each image; the sets are
            `"real"` and `"synthetic"`.
        labels: `"<split>/<set>"` -> true classes.
        num_classes: number of classes.
    """

    def __init__(self, predictions: Probes, labels: Mapping[str, np.ndarray], num_classes: int):
        self.predictions, self.labels, self.num_classes = predictions, labels, num_classes

    def confusion(self, split: str, which: str, epoch: int) -> np.ndarray:
        """Confusion matrix, rows true, on one set; `"mixed"` is both sets merged.

        Raises:
            KeyError: if the network was not tested there.
        """
        names = [f"{split}/{name}" for name in (SETS[:2] if which == "mixed" else (which,))]
        return sum(
            confusion_matrix(self.labels[n], self.predictions[n, epoch], self.num_classes)
            for n in names
        )

    def accuracy(self, split: str, which: str, epoch: int) -> float:
        """Fraction right on one set; see `confusion`."""
        matrix = self.confusion(split, which, epoch)
        return float(matrix.trace() / matrix.sum())

    def curves(self, split: str, epochs: int) -> dict[str, list[float]]:
        """Accuracy on each set of a split after each epoch, as `<split>_accuracy_<set>`."""
        return {
            f"{split}_accuracy_{which}": [
                self.accuracy(split, which, epoch) for epoch in range(1, epochs + 1)
            ]
            for which in SETS
        }
