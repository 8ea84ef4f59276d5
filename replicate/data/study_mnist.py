"""MNIST as the study of one GAN a class had it: 42,000 of the 70,000, stored as JPEG, 64x64 RGB.

The study took the training part of the Kaggle Digit Recognizer set as JPEG files. Which images that
part holds is not published with it, only how many of each digit; so that many are drawn here from
both splits of MNIST together. Source: the authors' code for storage, size and split; the class
counts are those commonly tabulated for the Kaggle set (inferred).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from replicate.data.dataset import Dataset, Split, canonical_order, content_hash
from replicate.data.image_files import jpeg_round_trip, resize
from replicate.runs.seeds import stream

COUNTS = (4132, 4684, 4177, 4351, 4072, 3795, 4137, 4401, 4063, 4188)
SIZE = 64
TRAIN_SHARE = 0.8


def study_mnist(
    mnist: Dataset,
    seed: int = 0,
    digit: int | None = None,
    counts: Sequence[int] = COUNTS,
    storage: str = "jpeg",
) -> Dataset:
    """Draw the study's images from MNIST, store them as JPEG, enlarge and split them.

    Each digit has a stream of its own, so that one digit alone has the same images as within the
    whole. The whole takes 516 MB (33,595 and 8,405 images) and, while it is made, 280 MB more; one
    digit a tenth of that.

    Args:
        mnist: MNIST or its stand-in, from `load("mnist")`.
        seed: seed of the draw.
        digit: 0 to 9 for the images of one digit only.
        counts: images of each digit.
        storage: as in `jpeg_round_trip`, which is applied at 28x28.

    Returns:
        A `Dataset` in canonical order: of each digit the first 80%, rounded down, as `train`, the
        rest, the study's validation part and only held-out set, as `test`. Images are uint8
        `(n, 64, 64, 3)`, the three channels equal; labels are the digits.

    Raises:
        ValueError: if a digit has too few images, or an argument is out of range.
    """
    classes = len(mnist.class_names)
    if len(counts) != classes or digit not in (None, *range(classes)):
        raise ValueError(
            f"Expected {classes} counts and a digit below {classes}. Received: counts={counts!r}, "
            f"digit={digit!r}"
        )
    pool = np.concatenate([mnist.train.labels, mnist.test.labels])
    digits = range(classes) if digit is None else [digit]
    drawn = {number: _draw(pool, number, counts[number], seed) for number in digits}
    cuts = {number: int(TRAIN_SHARE * len(rows)) for number, rows in drawn.items()}
    train = np.concatenate([rows[: cuts[number]] for number, rows in drawn.items()])
    test = np.concatenate([rows[cuts[number] :] for number, rows in drawn.items()])
    deviation = (
        f"mnist: {sum(counts):,} images drawn from the {len(pool):,} with the class counts of the "
        "Kaggle files that the study used, not those files"
    )
    return Dataset(
        "mnist",
        train=_made(mnist, train, storage),
        test=_made(mnist, test, storage),
        class_names=mnist.class_names,
        route=mnist.route,
        deviations=(*mnist.deviations, deviation),
        source=mnist.source,
    )


def _draw(pool: np.ndarray, digit: int, count: int, seed: int) -> np.ndarray:
    rows = np.flatnonzero(pool == digit)
    if not 2 <= count <= len(rows):
        raise ValueError(
            f"Expected from 2 to {len(rows)} images of class {digit}. Received: count={count}"
        )
    return stream(seed, "study_mnist", 0, "subset", digit).permutation(rows)[:count]


def _made(mnist: Dataset, rows: np.ndarray, storage: str) -> Split:
    """Images of both splits by row, stored, enlarged, in canonical order."""
    late = rows >= len(mnist.train)
    small = np.empty((len(rows), *mnist.train.images.shape[1:]), np.uint8)
    small[~late] = mnist.train.images[rows[~late]]
    small[late] = mnist.test.images[rows[late] - len(mnist.train)]
    labels = np.empty(len(rows), np.int64)
    labels[~late] = mnist.train.labels[rows[~late]]
    labels[late] = mnist.test.labels[rows[late] - len(mnist.train)]
    small = jpeg_round_trip(small, storage=storage)[..., 0]
    grey = np.empty((len(rows), SIZE, SIZE), np.uint8)
    for row, image in enumerate(small):
        grey[row] = resize(Image.fromarray(image), SIZE)
    order = canonical_order(np.broadcast_to(grey[..., None], (*grey.shape, 3)), labels)
    images = np.repeat(grey[order][..., None], 3, axis=-1)
    return Split(images, labels[order], content_hash(images, labels[order]))
