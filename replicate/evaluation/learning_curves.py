"""What studies read from the curves of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

TAIL = 10  # epochs


def validation_metrics(
    accuracy: Sequence[float],
    loss: Sequence[float],
    n_images: int,
    steps_per_epoch: int,
    levels: Sequence[int] = (),
) -> dict[str, float]:
    """Numbers of a validation curve: its first and last point, its end, and its best epoch.

    The best epoch is chosen by the very images that are counted; where they are all the held-out
    images there are, its numbers are selected on test, which their names say.

    Args:
        accuracy: fraction right after each epoch.
        loss: mean cross-entropy after each epoch.
        n_images: validation images; counts of right ones are for exact binomial intervals.
        steps_per_epoch: optimizer steps an epoch.
        levels: per cents of accuracy whose first epoch is wanted.

    Returns:
        Name -> number. `epochs_to_<level>` is one more than there are epochs if the level is never
        reached; `steps_to_<level>` is as many epochs' steps.

    Raises:
        ValueError: if the curves are empty or of different lengths.
    """
    accuracy, loss = np.asarray(accuracy, np.float64), np.asarray(loss, np.float64)
    if not len(accuracy) or accuracy.shape != loss.shape:
        raise ValueError(
            "Expected two curves of equal length, at least 1. "
            f"Received: {len(accuracy)} and {len(loss)} points"
        )
    best = int(accuracy.argmax())
    metrics = {
        "n_val": n_images,
        "val_accuracy_e1": accuracy[0],
        "val_accuracy_last": accuracy[-1],
        "val_accuracy_tail": accuracy[-TAIL:].mean(),
        "val_correct_last": round(accuracy[-1] * n_images),
        "val_loss_last": loss[-1],
        "best_val_accuracy_selected_on_test": accuracy[best],
        "best_val_correct_selected_on_test": round(accuracy[best] * n_images),
        "best_epoch_selected_on_test": best + 1,
        "lowest_val_loss_selected_on_test": loss.min(),
        "val_drop_selected_on_test": accuracy[best] - accuracy[-1],
    }
    for level in levels:
        reached = np.flatnonzero(accuracy >= level / 100)
        epochs = reached[0] + 1 if len(reached) else len(accuracy) + 1
        metrics |= {f"epochs_to_{level}": epochs, f"steps_to_{level}": epochs * steps_per_epoch}
    return {name: float(value) for name, value in metrics.items()}


def smoothed(values: Sequence[float], weight: float = 0.95) -> np.ndarray:
    """Exponential moving average that starts from 0, `(n,)`; `weight` is that of the past."""
    from scipy.signal import lfilter

    return lfilter([1 - weight], [1, -weight], np.asarray(values, np.float64))


def adversarial_metrics(losses: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How a GAN's losses go on and end, by every step's values.

    Args:
        losses: `d_loss`, `g_loss` and `d_accuracy` of each step, `(steps,)`.

    Returns:
        `<name>_middle_third` and `<name>_last_third`, means over a third of the steps;
        `<loss>_ema` and `<loss>_ema_peak`, last and largest value of `smoothed`.
    """
    metrics = {}
    for name in ("d_loss", "g_loss", "d_accuracy"):
        values = np.asarray(losses[name], np.float64)
        first, last = len(values) // 3, 2 * len(values) // 3
        metrics[f"{name}_middle_third"] = float(values[first : max(last, first + 1)].mean())
        metrics[f"{name}_last_third"] = float(values[last:].mean())
        if name != "d_accuracy":
            average = smoothed(values)
            metrics |= {f"{name}_ema": float(average[-1]), f"{name}_ema_peak": float(average.max())}
    return metrics
