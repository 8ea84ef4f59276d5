"""Subsets and mixes by index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicate.data.mixing import mix_indices
from replicate.data.splits import random_subset

SIZES = st.integers(0, 50).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total)))


@given(SIZES, st.integers(0, 2**32 - 1))
def test_random_subset_has_no_repeats_and_is_nested(size, seed):
    total, n = size
    subset = random_subset(total, n, np.random.default_rng(seed))
    assert subset.dtype == np.int64 and subset.shape == (n,)
    assert len(set(subset.tolist())) == n and set(subset.tolist()) <= set(range(total))
    whole = random_subset(total, total, np.random.default_rng(seed))
    np.testing.assert_array_equal(whole[:n], subset)


def test_random_subset_is_uniform():
    rng = np.random.default_rng(0)
    hits = np.bincount(np.concatenate([random_subset(10, 3, rng) for _ in range(5000)]))
    # Expected 1,500 each, standard deviation about 32.
    assert np.abs(hits - 1500).max() < 160


@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
def test_mix_takes_each_part_from_its_own_set(real, synthetic, seed):
    (real_size, n_real), (synthetic_size, n_synthetic) = real, synthetic
    rng = np.random.default_rng(seed)
    mix = mix_indices(n_real, n_synthetic, real_size, synthetic_size, rng)
    assert mix.dtype == np.int64 and len(set(mix.tolist())) == n_real + n_synthetic
    assert set(mix[:n_real].tolist()) <= set(range(real_size))
    assert set(mix[n_real:].tolist()) <= set(range(real_size, real_size + synthetic_size))


def test_mixes_of_equal_generators_are_paired():
    few = mix_indices(10, 90, 100, 100, np.random.default_rng(3))
    many = mix_indices(60, 40, 100, 100, np.random.default_rng(3))
    np.testing.assert_array_equal(few[:10], many[:10])
    np.testing.assert_array_equal(few[10:50], many[60:])


def test_asking_for_more_than_there_is_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="n from 0 to n_total=3. Received: n=4"):
        random_subset(3, 4, rng)
    with pytest.raises(ValueError, match="n_real from 0 to real_size=3. Received: n_real=4"):
        mix_indices(4, 1, 3, 3, rng)
    with pytest.raises(ValueError, match="synthetic_size=3. Received: n_synthetic=-1"):
        mix_indices(1, -1, 3, 3, rng)
