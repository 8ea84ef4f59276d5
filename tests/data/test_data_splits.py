"""Parts of a set by index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate.data.splits import check_class_sizes, class_rows, class_sample

LABELS = np.array([1, 0, 1, 2, 0, 2, 1, 0, 2, 2])


def test_first_and_last_of_each_class_in_order():
    np.testing.assert_array_equal(class_rows(LABELS, 3, first=2), [1, 4, 0, 2, 3, 5])
    np.testing.assert_array_equal(class_rows(LABELS, 3, last=1), [7, 6, 9])


@given(st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_samples_are_balanced_without_repeats_and_nested(per_class, seed):
    rows = class_sample(LABELS, 3, per_class, np.random.default_rng(seed))
    assert len(set(rows.tolist())) == 3 * per_class
    np.testing.assert_array_equal(LABELS[rows], np.repeat([0, 1, 2], per_class))
    whole = class_sample(LABELS, 3, 3, np.random.default_rng(seed))
    np.testing.assert_array_equal(whole.reshape(3, 3)[:, :per_class], rows.reshape(3, per_class))


def test_a_sample_takes_every_image_equally_often():
    rng = np.random.default_rng(0)
    drawn = np.concatenate([class_sample(LABELS, 3, 1, rng) for _ in range(3000)])
    share = np.bincount(drawn, minlength=10) / 3000
    sizes = np.bincount(LABELS)[LABELS]
    np.testing.assert_allclose(share, 1 / sizes, atol=0.04)  # four standard deviations


def test_too_few_images_are_refused_by_name():
    with pytest.raises(ValueError, match="at least 4 images of class 0. Received: 3"):
        class_rows(LABELS, 3, first=4)
    with pytest.raises(ValueError, match="at least 1 images of class 3. Received: 0"):
        class_sample(LABELS, 4, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Expected first or last"):
        class_rows(LABELS, 3)


def test_every_class_with_too_few_images_is_named():
    labels = np.array([0, 0, 0, 1, 2, 2])
    check_class_sizes(labels, ("limes", "figs", "plums"), 1)
    with pytest.raises(ValueError, match="at least 3 .*Received: figs 1, plums 2$"):
        check_class_sizes(labels, ("limes", "figs", "plums"), 3)
    with pytest.raises(ValueError, match="Received: pears 0$"):
        check_class_sizes(labels, ("limes", "figs", "plums", "pears"), 1)
