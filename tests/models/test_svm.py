"""The support vector machines: kernels by hand, scales, refusals."""

import numpy as np
import pytest
from sklearn.svm import SVC

from replicate.models.svm import SVM_VARIANTS, ImageSVM

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 4, 3, 1), dtype=np.uint8)
LABELS = np.arange(40) % 4
OTHERS = RNG.integers(0, 256, (60, 4, 3, 1), dtype=np.uint8)


def kernel_by_hand(variant, a, b):
    """Kernel matrices from their formulas, `(len(a), len(b))`, on flat pixels 0..255."""
    a, b = (x.reshape(len(x), -1).astype(float) for x in (a, b))
    size = a.shape[1]
    if variant == "poly3":
        return (a @ b.T / size) ** 3
    train = IMAGES.reshape(len(IMAGES), -1) / 255
    gamma = 1 / size if variant == "rbf_auto" else 1 / (size * train.var())
    return np.exp(-gamma * ((a[:, None] / 255 - b[None] / 255) ** 2).sum(-1))


@pytest.mark.parametrize("variant", SVM_VARIANTS)
def test_kernel_is_the_formula(variant):
    oracle = SVC(C=1.0, kernel="precomputed").fit(kernel_by_hand(variant, IMAGES, IMAGES), LABELS)
    svm = ImageSVM(variant).fit(IMAGES, LABELS)
    wanted = oracle.predict(kernel_by_hand(variant, OTHERS, IMAGES))
    predicted = svm.predict(OTHERS)
    assert predicted.dtype == np.int64 and len(set(wanted)) > 1
    np.testing.assert_array_equal(predicted, wanted)
    assert svm.support_count == len(oracle.support_)
    assert svm.accuracy(OTHERS, wanted) == 1.0
    assert svm.accuracy(OTHERS[:4], np.append(wanted[:3], wanted[3] + 1)) == 0.75


def test_two_points_by_hand():
    """Black against one grey pixel of 2 with a cubic kernel: the boundary lies between.

    With K(x, y) = (x y)^3 on one pixel, points 0 (class 0) and 2 (class 1): K(2, 2) = 64, both
    multipliers are 2 / 64 = 1/32 < C, and f(x) = 1/32 (2 x)^3 - 1, zero at 4^(1/3) = 1.587.
    """
    images = np.array([0, 2], np.uint8).reshape(2, 1, 1, 1)
    svm = ImageSVM("poly3").fit(images, [0, 1])
    np.testing.assert_allclose(svm.machine.dual_coef_, [[-1 / 32, 1 / 32]], rtol=1e-3)
    points = np.array([0, 1, 2, 3], np.uint8).reshape(4, 1, 1, 1)
    values = svm.machine.decision_function(points.reshape(4, 1).astype(float))
    np.testing.assert_allclose(values, [-1, 8 / 32 - 1, 1, 216 / 32 - 1], atol=2e-3)
    assert svm.predict(points).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageSVM("linear"), "Received: variant='linear'"),
        (lambda: ImageSVM().fit(IMAGES / 255.0, LABELS), "dtype=float64"),
        (lambda: ImageSVM().fit(IMAGES[..., 0], LABELS), r"shape=\(40, 4, 3\)"),
        (lambda: ImageSVM().fit(IMAGES, LABELS[:3]), r"Expected 40 labels.*shape=\(3,\)"),
        (lambda: ImageSVM().fit(IMAGES, np.zeros(40)), r"classes=\[0.0\]"),
        (lambda: ImageSVM().predict(IMAGES), "predict before fit"),
        (lambda: ImageSVM().fit(IMAGES, LABELS).predict(OTHERS[:, :2]), r"shape=\(60, 2, 3, 1\)"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
