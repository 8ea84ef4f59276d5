"""What is read from curves, against sums written out."""

import numpy as np
import pytest

from replicate.evaluation.learning_curves import (
    adversarial_metrics,
    smoothed,
    validation_metrics,
)

ACCURACY = [10 / 76, 47 / 76, 52 / 76, 50 / 76, 49 / 76]
LOSS = [2.0, 1.0, 1.5, 2.5, 3.0]


def test_validation_curve():
    metrics = validation_metrics(ACCURACY, LOSS, 76, 500, levels=(60, 65, 70))
    assert metrics == pytest.approx(
        {
            "n_val": 76,
            "val_accuracy_e1": 10 / 76,
            "val_accuracy_last": 49 / 76,
            "val_accuracy_tail": (10 + 47 + 52 + 50 + 49) / 76 / 5,
            "val_correct_last": 49,
            "val_loss_last": 3.0,
            "best_val_accuracy_selected_on_test": 52 / 76,
            "best_val_correct_selected_on_test": 52,
            "best_epoch_selected_on_test": 3,
            "lowest_val_loss_selected_on_test": 1.0,
            "val_drop_selected_on_test": 3 / 76,
            "epochs_to_60": 2,
            "steps_to_60": 1000,
            "epochs_to_65": 3,
            "steps_to_65": 1500,
            "epochs_to_70": 6,  # never
            "steps_to_70": 3000,
        }
    )


def test_the_end_of_a_long_curve_and_the_first_of_equal_epochs():
    metrics = validation_metrics([0.5] * 3 + [0.25] * 10, [1.0] * 13, 4, 1)
    assert metrics["val_accuracy_tail"] == 0.25
    assert metrics["best_epoch_selected_on_test"] == 1


@pytest.mark.parametrize(("accuracy", "loss"), [([], []), ([0.5], [1.0, 2.0])])
def test_curves_that_do_not_fit(accuracy, loss):
    with pytest.raises(ValueError, match="two curves of equal length"):
        validation_metrics(accuracy, loss, 10, 1)


def test_losses_of_a_gan():
    losses = {
        "d_loss": np.array([1, 2, 3, 4, 5, 6, 7], np.float32),
        "g_loss": np.array([9, 0, 0, 0, 0, 0, 0], np.float32),
        "d_accuracy": np.array([0, 0, 1, 1, 0.5, 0.5, 0.5], np.float32),
    }
    metrics = adversarial_metrics(losses)
    assert metrics["d_loss_middle_third"] == 3.5 and metrics["d_loss_last_third"] == 6
    assert metrics["d_accuracy_last_third"] == 0.5
    average, course = 0.0, []
    for value in losses["g_loss"]:
        average = 0.95 * average + 0.05 * value
        course.append(average)
    np.testing.assert_allclose(smoothed(losses["g_loss"]), course)
    assert metrics["g_loss_ema"] == pytest.approx(0.45 * 0.95**6)
    assert metrics["g_loss_ema_peak"] == pytest.approx(0.45)
    assert "d_accuracy_ema" not in metrics


def test_a_single_step():
    metrics = adversarial_metrics(dict.fromkeys(("d_loss", "g_loss", "d_accuracy"), [2.0]))
    assert metrics["g_loss_middle_third"] == metrics["g_loss_last_third"] == 2.0
