import numpy as np
import pytest

from replicate.evaluation.confusion import (
    confusion_matrix,
    missed_lead,
    pair_lead,
    per_class_recall,
    predicted_share,
)

#                     predicted  cat dog ship
CONFUSION = np.array([[5, 3, 0], [2, 6, 1], [1, 0, 2]])


def test_rows_are_true_classes():
    labels, predictions = np.array([0, 0, 1, 3]), np.array([0, 1, 1, 1])
    expected = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert confusion_matrix(labels, predictions, 4).tolist() == expected


def test_recall_is_a_share_of_the_row():
    assert per_class_recall(CONFUSION) == pytest.approx([5 / 8, 6 / 9, 2 / 3])
    assert np.isnan(per_class_recall(np.diag([1, 0, 2]))).tolist() == [False, True, False]


def test_predicted_share_is_of_the_column():
    assert predicted_share(CONFUSION, [0, 2]) == pytest.approx(11 / 20)
    assert predicted_share(CONFUSION, []) == 0


def test_pair_lead_by_hand():
    # cat-dog 3 + 2, cat-ship 0 + 1, dog-ship 1 + 0
    assert pair_lead(CONFUSION, 0, 1) == pair_lead(CONFUSION, 1, 0) == pytest.approx((5 - 1) / 20)
    assert pair_lead(CONFUSION, 1, 2) == pytest.approx((1 - 5) / 20)
    assert pair_lead(CONFUSION.T, 0, 1) == pytest.approx(4 / 20)
    assert pair_lead(np.diag([4, 4, 4]), 0, 1) == 0


def test_missed_lead_by_hand():
    recalls = np.array([0.9, 0.5, 0.6, 0.8])  # of ten images each
    matrix = np.diag(10 * recalls).astype(int)
    matrix[np.arange(4), (np.arange(4) + 1) % 4] = np.round(10 * (1 - recalls))
    assert missed_lead(matrix, [1, 2]) == missed_lead(matrix, [2, 1]) == pytest.approx(0.2)
    assert missed_lead(matrix, [1, 3]) == pytest.approx(0.6 - 0.8)  # one of them is missed less
    assert missed_lead(matrix, [1]) == pytest.approx(0.1)
    weighted = matrix * np.array([[1], [7], [1], [30]])  # recalls stay
    assert missed_lead(weighted, [1, 2]) == pytest.approx(0.2)


@pytest.mark.parametrize("classes", [[], [0, 1, 2], [3], [1, 1], [-1]])
def test_missed_lead_refuses(classes):
    with pytest.raises(ValueError, match="Received: classes="):
        missed_lead(CONFUSION, classes)
    with pytest.raises(ValueError, match="all with images"):
        missed_lead(np.diag([4, 4, 0]), [0])


@pytest.mark.parametrize(
    "labels, predictions, message",
    [
        ([0, 3], [0, 1], r"Expected labels in \[0, 3\). Received: 0 to 3"),
        ([0, 1], [-1, 1], r"Expected predictions in \[0, 3\). Received: -1 to 1"),
        ([0.0, 1.0], [0, 1], "Expected labels .* of integers. Received: .*float64"),
        ([[0, 1]], [0, 1], r"Received: shape=\(1, 2\)"),
        ([0, 1], [0, 1, 2], "inconsistent numbers of samples"),
    ],
)
def test_refuses_what_are_no_classes(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(np.array(labels), np.array(predictions), 3)


@pytest.mark.parametrize("classes", [[3], [-1], [1, 1]])
def test_predicted_share_refuses(classes):
    with pytest.raises(ValueError, match="each once. Received: classes="):
        predicted_share(CONFUSION, classes)


@pytest.mark.parametrize("matrix, a, b", [(CONFUSION, 1, 1), (CONFUSION, 0, 3), (np.eye(2), 0, 1)])
def test_pair_lead_refuses(matrix, a, b):
    with pytest.raises(ValueError, match=f"Received: a={a}, b={b}"):
        pair_lead(matrix, a, b)


@pytest.mark.parametrize("matrix", [np.ones((2, 3)), np.zeros((3, 3)), np.ones(3)])
def test_refuses_what_is_no_confusion_matrix(matrix):
    for measure in (per_class_recall, lambda m: predicted_share(m, [0])):
        with pytest.raises(ValueError, match="Expected a square confusion matrix"):
            measure(matrix)
