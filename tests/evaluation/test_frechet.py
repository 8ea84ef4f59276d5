import numpy as np
import pytest
import scipy.linalg

from replicate.evaluation.frechet import frechet_distance

RNG = np.random.default_rng


def features(n, d, seed, offset=0.0):
    """Correlated, skewed, with scales over two decades."""
    random = RNG(seed)
    scales = np.geomspace(0.1, 10, d)
    return offset + (random.normal(size=(n, d)) * scales) @ random.normal(size=(d, d)) / d**0.5


def textbook(a, b, root):
    """The definition, with the trace of the root of S1 S2 by `root`."""
    s1, s2 = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    shift = a.mean(0) - b.mean(0)
    return shift @ shift + np.trace(s1) + np.trace(s2) - 2 * root(s1, s2)


def root_by_scipy(s1, s2):
    return np.trace(scipy.linalg.sqrtm(s1 @ s2)).real


def root_by_symmetric_form(s1, s2):
    """Tr (S1 S2)^½ = Tr (S1^½ S2 S1^½)^½, by eigenvalues; holds for singular matrices."""
    values, vectors = np.linalg.eigh(s1)
    half = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return np.sqrt(np.linalg.eigvalsh(half @ s2 @ half).clip(0)).sum()


@pytest.mark.parametrize("d", [1, 2, 7, 32, 64])
@pytest.mark.parametrize("n, m", [(200, 200), (100, 300)])
def test_agrees_with_the_matrix_root(n, m, d):
    a, b = features(n, d, 1), features(m, d, 2, offset=0.3)
    assert frechet_distance(a, b) == pytest.approx(textbook(a, b, root_by_scipy), rel=1e-6)


@pytest.mark.parametrize("d", [8, 33, 128])
@pytest.mark.parametrize("n, m", [(2, 2), (2, 300), (9, 40), (40, 9), (300, 31), (130, 128)])
def test_agrees_with_the_symmetric_form_also_for_few_rows(n, m, d):
    a, b = features(n, d, 3), features(m, d, 4, offset=0.3)
    expected = textbook(a, b, root_by_symmetric_form)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def rows_with_spread(spread, directions, n, seed):
    """Rows with mean 0 whose covariance has exactly these eigenvectors and SDs."""
    centred = RNG(seed).normal(size=(n, len(spread)))
    centred -= centred.mean(0)
    left, _ = np.linalg.qr(centred)
    return np.sqrt(n - 1) * (left * spread) @ directions.T


@pytest.mark.parametrize("d, n, m", [(6, 50, 80), (40, 12, 30), (200, 21, 21), (512, 60, 300)])
def test_closed_form_of_covariances_with_shared_axes(d, n, m):
    axes, _ = np.linalg.qr(RNG(5).normal(size=(d, d)))
    rank_a, rank_b = min(d, n - 1), min(d, m - 1)
    sd_a, sd_b = np.zeros(d), np.zeros(d)
    sd_a[:rank_a], sd_b[-rank_b:] = RNG(6).uniform(0.1, 5, rank_a), RNG(7).uniform(1, 3, rank_b)
    shift = RNG(8).normal(size=d)
    a = rows_with_spread(sd_a[:rank_a], axes[:, :rank_a], n, 9)
    b = rows_with_spread(sd_b[-rank_b:], axes[:, -rank_b:], m, 10) + shift
    expected = (shift**2).sum() + ((sd_a - sd_b) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n, d", [(100, 10), (10, 100)])
def test_equal_sets_and_order(n, d):
    a, b = features(n, d, 1), features(n + 3, d, 2, offset=1)
    scale = a.var(axis=0).sum()
    assert 0 <= frechet_distance(a, a) <= 1e-12 * scale
    assert 0 <= frechet_distance(a, a[::-1]) <= 1e-12 * scale
    expected = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-10)
    shuffled = RNG(3).permutation(a), RNG(4).permutation(b)
    assert frechet_distance(*shuffled) == pytest.approx(expected, rel=1e-10)


def test_a_large_mean_in_float32_costs_no_precision():
    a, b = (np.rint(64 * features(60, 5, seed)) / 64 for seed in (1, 2))  # exact in float32
    expected = frechet_distance(a, b)
    far = [(x + 8192).astype(np.float32) for x in (a, b)]
    assert frechet_distance(*far) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "a, b, message",
    [
        (np.ones(5), np.ones((5, 1)), r"Expected feature sets \(n, d\). Received: shapes \(5,\)"),
        (np.ones((5, 2)), np.ones((5, 3)), r"same d >= 1. Received: shapes \(5, 2\) and \(5, 3\)"),
        (np.ones((5, 2)), np.ones((1, 2)), "Expected 2 or more rows"),
        (np.ones((5, 2)), np.array([[1, 2], [np.nan, 3]]), "Received: 1 others in the second set"),
        (np.array([[1, -np.inf], [np.nan, 3]]), np.ones((5, 2)), "2 others in the first set"),
    ],
)
def test_refuses_what_is_no_pair_of_feature_sets(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)
