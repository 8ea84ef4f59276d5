"""Canonical order and content hashes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replicate.data.dataset import canonical_order, canonical_split, content_hash


@st.composite
def splits(draw):
    n = draw(st.integers(1, 20))
    images = draw(hnp.arrays(np.uint8, (n, 2, 2, 1), elements=st.integers(0, 3)))  # many ties
    labels = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 2)))
    return images, labels


@given(splits(), st.randoms(use_true_random=False))
def test_canonical_split_does_not_depend_on_the_order_of_delivery(split, random):
    images, labels = split
    shuffled = list(range(len(labels)))
    random.shuffle(shuffled)
    first, second = (
        canonical_split(images, labels),
        canonical_split(images[shuffled], labels[shuffled]),
    )
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.sha256 == second.sha256


@given(splits())
def test_canonical_order_is_a_permutation_and_idempotent(split):
    images, labels = split
    order = canonical_order(images, labels)
    assert sorted(order) == list(range(len(labels)))
    again = canonical_order(images[order], labels[order])
    np.testing.assert_array_equal(images[order][again], images[order])
    np.testing.assert_array_equal(labels[order][again], labels[order])


def test_canonical_order_sorts_by_the_documented_digest():
    # SHA-256 of 00 00, 00 01, 01 00 begin 96a2, b413, 47dc (sha256sum).
    images = np.array([0, 1, 0], np.uint8).reshape(3, 1, 1, 1)
    assert canonical_order(images, np.array([0, 0, 1])).tolist() == [2, 0, 1]


def test_content_hash_sees_pixels_labels_shape_dtype_and_order():
    images, labels = np.zeros((4, 2, 3, 1), np.uint8), np.array([0, 0, 1, 1])
    changed = images.copy()
    changed[0, 0, 0, 0] = 1
    variants = [
        (images, labels),
        (changed, labels),
        (images, labels[::-1]),
        (images.reshape(4, 3, 2, 1), labels),
        (images, labels.astype(np.int32)),
        (changed[::-1], labels),
    ]
    assert len({content_hash(*variant) for variant in variants}) == len(variants)


def test_content_hash_does_not_depend_on_memory_layout_or_byte_order():
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (5, 4, 3, 2), np.uint8), np.arange(5)
    fortran = np.asfortranarray(images)
    assert content_hash(fortran, labels.astype(">i8")) == content_hash(images, labels.astype("<i8"))


def test_splits_are_read_only():
    split = canonical_split(np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1]))
    with pytest.raises(ValueError, match="read-only"):
        split.images[0] = 1


@pytest.mark.parametrize("labels", [[0], [0, 256], [0, -1]])
def test_canonical_order_refuses_labels_that_do_not_fit(labels):
    with pytest.raises(ValueError, match="Expected .* Received: "):
        canonical_order(np.zeros((2, 1, 1, 1), np.uint8), np.array(labels))
