"""What can be said of a set of synthetic images without training on it, in one call."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from replicate.evaluation.frechet import frechet_distance
from replicate.evaluation.kernel_distance import kernel_distance
from replicate.evaluation.manifold import diversity_ratios, manifold_scores
from replicate.evaluation.neighbours import copy_share, nearest_neighbours


class Comparison(NamedTuple):
    """A synthetic set against the images that its generator saw, and against held-out ones.

    Args:
        metrics: name -> number. Names with `_heldout` are of held-out real images in the synthetic
            set's place: what as many images of a perfect generator would score. A Fréchet distance
            is the larger the fewer images it is of: `frechet` is of all synthetic images and
            `frechet_heldout` of all held-out ones, `frechet_matched` and `frechet_heldout_matched`
            of equally many, and only these two compare with each other.
        nearest: int64 `(n,)`, the row of the training image next to each synthetic image.
        distances: float64 `(n,)`, how far that is.
    """

    metrics: dict[str, float]
    nearest: np.ndarray
    distances: np.ndarray


def compare_image_sets(
    train: np.ndarray, held_out: np.ndarray, synthetic: np.ndarray, seed: int = 0
) -> Comparison:
    """Compare features of synthetic, training and held-out real images of one extractor.

    The manifold scores of either kind and the two matched distances use as many images as the
    smaller of the two sets has, since they depend on the numbers of images. The first ones of a
    set count, which must therefore be in no order where one set is larger.

    Args:
        train: `(m, d)` features of the generator's training images.
        held_out: `(h, d)` features of real images that the generator never saw.
        synthetic: `(n, d)` features.
        seed: of the kernel distance's blocks.

    Returns:
        Fréchet and kernel distance, precision, recall, density, coverage, diversity and closeness
        to training images.

    Raises:
        ValueError: if a set is too small, not finite or of another dimension.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # more BLAS threads are slower wherever cores are shared
        return _compare(train, held_out, synthetic, seed)


def _compare(train, held_out, synthetic, seed):
    few = min(len(synthetic), len(held_out))
    scores = manifold_scores(train, synthetic[:few])
    ideal = manifold_scores(train, held_out[:few])
    found = nearest_neighbours(synthetic, train)
    found_held_out = nearest_neighbours(held_out, train)
    everything = np.concatenate([train, held_out])
    distance, ideal_distance = (frechet_distance(each, train) for each in (synthetic, held_out))
    diversity = diversity_ratios(train, (synthetic[: len(train)], held_out))
    metrics = {
        "frechet": distance,
        "frechet_all_real": frechet_distance(synthetic, everything),
        "frechet_heldout": ideal_distance,
        "frechet_matched": _of_few(synthetic, few, train, distance),
        "frechet_heldout_matched": _of_few(held_out, few, train, ideal_distance),
        "kid": kernel_distance(synthetic, train, seed=seed).mean,
        **scores._asdict(),
        "precision_heldout": ideal.precision,
        "recall_heldout": ideal.recall,
        "diversity_ratio": diversity[0],
        "diversity_heldout": diversity[1],
        "copy_share": copy_share(found.distances, found_held_out.distances),
        "nearest_median": float(np.median(found.distances)),
        "nearest_median_heldout": float(np.median(found_held_out.distances)),
    }
    metrics = {name: float(value) for name, value in metrics.items()}
    return Comparison(metrics, found.indices, found.distances)


def _of_few(features, few, train, distance):
    """Fréchet distance of the first few to the training images; known where these are all."""
    return distance if few == len(features) else frechet_distance(features[:few], train)
