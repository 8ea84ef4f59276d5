import numpy as np

from replicate.runs.seeds import stream, stream_seed


def draw(*arguments):
    return stream(*arguments).integers(0, 2**32, size=8)


def test_equal_arguments_give_equal_draws():
    assert np.array_equal(draw(0, "a", 1, "order", 3), draw(0, "a", 1, "order", 3))


def test_every_argument_matters():
    base = draw(0, "a", 1, "order", 3)
    others = [(1, "a", 1, "order", 3), (0, "b", 1, "order", 3), (0, "a", 2, "order", 3)]
    others += [(0, "a", 1, "init", 3), (0, "a", 1, "order", 4), (0, "a", 1, "order")]
    for other in others:
        assert not np.array_equal(base, draw(*other)), other


def test_streams_are_uncorrelated_between_replicates():
    draws = np.stack([stream(0, "a", r, "noise").standard_normal(2000) for r in range(20)])
    correlation = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_integer_seeds_fit_31_bits():
    seeds = {stream_seed(0, "a", r, "init") for r in range(50)}
    assert len(seeds) == 50
    assert all(0 <= seed < 2**31 for seed in seeds)
