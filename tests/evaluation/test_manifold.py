import subprocess
import sys
import textwrap

import numpy as np
import pytest

from replicate.evaluation.manifold import (
    ManifoldScores,
    diversity_ratio,
    manifold_scores,
    mean_pairwise_distance,
)

LINE = np.arange(12.0)[:, None]


def distances(x, y):
    return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))


def dense_scores(real, synthetic, k):
    """The papers' sums over all pairs at once."""
    real_radius = np.sort(distances(real, real), axis=1)[:, k]  # column 0 is the row itself
    synthetic_radius = np.sort(distances(synthetic, synthetic), axis=1)[:, k]
    across = distances(real, synthetic)
    in_real, in_synthetic = across <= real_radius[:, None], across <= synthetic_radius[None]
    return (
        in_real.any(axis=0).mean(),
        in_synthetic.any(axis=1).mean(),
        in_real.sum() / (k * len(synthetic)),
        (across.min(axis=1) <= real_radius).mean(),
    )


@pytest.mark.parametrize("n, m, d, k", [(300, 200, 5, 5), (40, 333, 2, 3), (150, 150, 64, 1)])
@pytest.mark.parametrize("working_memory", [0.01, 64])
def test_agrees_with_dense_sums(n, m, d, k, working_memory):
    random = np.random.default_rng(n)
    real = random.normal(size=(n, d))
    synthetic = 0.3 + 0.8 * random.normal(size=(m, d))
    result = manifold_scores(real, synthetic, k, working_memory)
    assert result == pytest.approx(dense_scores(real, synthetic, k), abs=1e-12)
    assert len(set(result)) == 4  # a swap of any two would show


def clusters(centres, n, seed):
    random = np.random.default_rng(seed)
    return np.concatenate([c + random.normal(size=(n, 3)) for c in centres])


def test_one_of_two_real_modes_costs_recall_and_not_precision():
    real, synthetic = clusters([0, 100], 400, 1), clusters([0], 400, 2)
    result = manifold_scores(real, synthetic)
    assert result.precision > 0.95
    assert 0.45 < result.recall <= 0.5 and 0.45 < result.coverage <= 0.5
    assert result.density == pytest.approx(1, abs=0.1)


def test_an_invented_mode_costs_precision_and_not_recall():
    real, synthetic = clusters([0], 400, 1), clusters([0, 100], 400, 2)
    result = manifold_scores(real, synthetic)
    assert 0.45 < result.precision <= 0.5
    assert result.recall > 0.95 and result.coverage > 0.95
    assert result.density == pytest.approx(0.5, abs=0.05)


def test_by_hand_on_a_line():
    # k = 1: real balls reach 1 (last: 4), synthetic ones 0.1 (last: 17.9)
    real, synthetic = np.array([[0.0], [1], [2], [6]]), np.array([[2.0], [2.1], [20]])
    # real 1 holds 2.0; real 2 holds 2.0 and 2.1; real 6 holds 2.0 and 2.1: five memberships
    # synthetic 20 reaches down to 2.1: real 6; synthetic 2.0 holds real 2
    expected = ManifoldScores(precision=2 / 3, recall=2 / 4, density=5 / 3, coverage=3 / 4)
    assert manifold_scores(real, synthetic, k=1) == pytest.approx(expected)


def test_a_set_against_itself_is_perfect():
    points = np.random.default_rng(0).normal(size=(50, 4))
    result = manifold_scores(points, points)
    assert (result.precision, result.recall, result.coverage) == (1, 1, 1)


@pytest.mark.parametrize("k", [0, 12])
def test_refuses_k_out_of_range(k):
    with pytest.raises(ValueError, match=f"Expected 1 <= k < .* Received: k={k}, rows 12 and 13"):
        manifold_scores(LINE, np.ones((13, 1)), k)


def test_mean_pairwise_distance_and_diversity():
    random = np.random.default_rng(1)
    real, synthetic = random.normal(size=(120, 7)), 5 + 0.25 * random.normal(size=(90, 7))
    dense = [distances(x, x).sum() / (len(x) * (len(x) - 1)) for x in (real, synthetic)]
    assert mean_pairwise_distance(real, 0.01) == pytest.approx(dense[0], rel=1e-10)
    assert diversity_ratio(real, synthetic) == pytest.approx(dense[1] / dense[0], rel=1e-10)
    # a line of 12: mean |i - j| over i != j is (12 + 1) / 3
    assert mean_pairwise_distance(LINE) == pytest.approx(13 / 3)


def test_diversity_of_a_collapsed_generator_is_zero():
    assert diversity_ratio(LINE, np.full((5, 1), 0.1)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="Expected real features that differ"):
        diversity_ratio(np.full((5, 1), 0.1), LINE)


def test_memory_is_bounded():
    # 4,000 x 4,000 distances are 122 MiB a matrix; a dense computation holds several.
    script = """
        import resource, numpy as np, sklearn.metrics
        from replicate.evaluation.manifold import diversity_ratio, manifold_scores
        random = np.random.default_rng(0)
        sets = [random.random((4000, 16), np.float32) for _ in range(2)]
        manifold_scores(sets[0][:200], sets[1][:200])
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        before = peak()
        manifold_scores(*sets, working_memory=8)
        diversity_ratio(*sets, working_memory=8)
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40
