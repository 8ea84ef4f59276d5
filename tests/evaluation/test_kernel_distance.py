import math

import numpy as np
import pytest

from replicate.evaluation.kernel_distance import kernel_distance


def double_sum(a, b):
    """Bińkowski et al. 2018, Eq. 4 and Section 3, written out."""

    def kernel(x, y):
        return (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(x):
        n = len(x)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        return sum(kernel(x[i], x[j]) for i, j in pairs) / (n * (n - 1))

    across = sum(kernel(x, y) for x in a for y in b) / (len(a) * len(b))
    return within(a) + within(b) - 2 * across


def sets(n, m, d, shift=0.5, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), shift + random.normal(size=(m, d))


@pytest.mark.parametrize("n, m, d", [(12, 12, 3), (2, 9, 1), (15, 7, 20)])
def test_one_block_is_the_double_sum(n, m, d):
    a, b = sets(n, m, d)
    result = kernel_distance(a, b, block_size=50)
    assert result.mean == pytest.approx(double_sum(a, b), rel=1e-10)
    assert result.blocks == 1 and math.isnan(result.standard_error)


def test_every_row_is_in_one_block():
    # Blocks of one repeated value: which rows meet does not matter, how many does.
    a, b = np.full((25, 2), 3.0), np.full((11, 2), 1.0)
    result = kernel_distance(a, b, block_size=5)
    expected = (9 + 1) ** 3 + (1 + 1) ** 3 - 2 * (3 + 1) ** 3
    assert result == pytest.approx((expected, 0.0, 2))


def test_blocks_are_a_seeded_choice():
    a, b = sets(60, 90, 4)
    assert kernel_distance(a, b, 10, seed=1) == kernel_distance(a, b, 10, seed=1)
    assert kernel_distance(a, b, 10, seed=1) != kernel_distance(a, b, 10, seed=2)
    assert kernel_distance(a, b, 10).blocks == 6


def test_unbiased_and_the_standard_error_is_honest():
    same = [kernel_distance(*sets(80, 120, 3, 0.0, seed), 20) for seed in range(400)]
    means = np.array([result.mean for result in same])
    assert abs(means.mean()) < 4 * means.std() / 20  # a biased one: 76 of these units
    errors = np.array([result.standard_error for result in same])
    assert np.sqrt((errors**2).mean()) == pytest.approx(means.std(), rel=0.15)


def test_grows_with_the_shift():
    near, far = (kernel_distance(*sets(200, 200, 4, shift), 50) for shift in (0.5, 1.0))
    assert 3 * near.standard_error < near.mean < far.mean / 2


def test_refuses_bad_input():
    with pytest.raises(ValueError, match="Expected block_size >= 2. Received: block_size=1"):
        kernel_distance(*sets(5, 5, 2), block_size=1)
    with pytest.raises(ValueError, match="same d"):
        kernel_distance(np.ones((5, 2)), np.ones((5, 3)))
