"""MNIST as one study had it, and storage as JPEG."""

import io

import numpy as np
import pytest
from PIL import Image

from replicate.data import CATALOGUE, load
from replicate.data.dataset import Dataset, Split, canonical_split, content_hash
from replicate.data.image_files import jpeg_round_trip
from replicate.data.stand_in import draw_stand_in
from replicate.data.study_mnist import COUNTS, study_mnist

FEW = (30, 31, 32, 33, 34, 35, 36, 37, 38, 39)


@pytest.fixture(scope="module")
def mnist():
    return draw_stand_in(CATALOGUE["mnist"])


@pytest.fixture(scope="module")
def small(mnist):
    return study_mnist(mnist, counts=FEW)


def as_stored(image):
    """A grey image written as JPEG, read as RGB and enlarged: what the study's loader did."""
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0]).save(buffer, "JPEG")
    rgb = Image.open(buffer).convert("RGB")
    return np.asarray(rgb.resize((64, 64), Image.Resampling.LANCZOS))


def test_counts_are_those_of_the_study():
    assert sum(COUNTS) == 42_000
    train = [count * 8 // 10 for count in COUNTS]
    assert (sum(train), 42_000 - sum(train)) == (33_595, 8_405)


def test_real_mnist_has_enough_of_each_digit_and_gives_the_split_of_the_study():
    mnist = load("mnist", routes=["package"])

    def shrunk(part):  # the draw without the pixels of 42,000 images
        images = np.zeros((len(part), 2, 2, 1), np.uint8)
        return Split(images, part.labels.copy(), "")

    labels_only = Dataset("mnist", shrunk(mnist.train), shrunk(mnist.test), mnist.class_names, "x")
    drawn = {digit: study_mnist(labels_only, digit=digit, storage="png") for digit in (0, 5)}
    for digit, dataset in drawn.items():
        assert len(dataset.train) == int(0.8 * COUNTS[digit])
        assert len(dataset.train) + len(dataset.test) == COUNTS[digit]
        assert set(dataset.train.labels) == set(dataset.test.labels) == {digit}
    pool = np.concatenate([mnist.train.labels, mnist.test.labels])
    assert (np.bincount(pool) >= COUNTS).all()


def test_images_are_stored_enlarged_and_in_canonical_order(mnist, small):
    assert np.bincount(small.train.labels).tolist() == [count * 8 // 10 for count in FEW]
    assert (np.bincount(small.train.labels) + np.bincount(small.test.labels)).tolist() == list(FEW)
    sources = {}
    for part in (mnist.train, mnist.test):
        for image, label in zip(part.images, part.labels, strict=True):
            if label == 3:
                sources[as_stored(image).tobytes()] = image
    threes = [
        image.tobytes()
        for part in (small.train, small.test)
        for image in part.images[part.labels == 3]
    ]
    assert len(set(threes)) == FEW[3] and set(threes) <= set(sources)
    origin = {sources[image].tobytes() for image in threes}
    test_images = {image.tobytes() for image in mnist.test.images}
    assert origin & test_images and origin - test_images  # drawn from both splits
    for part in (small.train, small.test):
        assert part.images.dtype == np.uint8 and part.images.shape[1:] == (64, 64, 3)
        assert part.images.flags.c_contiguous and part.labels.dtype == np.int64
        again = canonical_split(part.images[::-1], part.labels[::-1])
        np.testing.assert_array_equal(again.images, part.images)
        assert part.sha256 == again.sha256 == content_hash(part.images, part.labels)


def test_one_digit_alone_has_the_images_that_it_has_in_the_whole(mnist, small):
    one = study_mnist(mnist, digit=7, counts=FEW)
    for split in ("train", "test"):
        whole, alone = getattr(small, split), getattr(one, split)
        np.testing.assert_array_equal(alone.images, whole.images[whole.labels == 7])
        assert set(alone.labels) == {7}


def test_draw_depends_on_the_seed_alone(mnist, small):
    assert study_mnist(mnist, counts=FEW).train.sha256 == small.train.sha256
    other = study_mnist(mnist, seed=1, counts=FEW)
    assert other.train.sha256 != small.train.sha256
    assert "not those files" in small.deviations[-1] and small.route == "stand_in"


def test_png_keeps_the_pixels(mnist):
    kept = study_mnist(mnist, digit=2, counts=FEW, storage="png").test.images
    enlarged = {
        np.asarray(Image.fromarray(image[..., 0]).resize((64, 64), Image.Resampling.LANCZOS))
        .repeat(3)
        .tobytes()
        for part in (mnist.train, mnist.test)
        for image in part.images
    }
    assert {image.tobytes() for image in kept} <= enlarged


def test_too_few_images_and_wrong_arguments_are_refused(mnist):
    with pytest.raises(ValueError, match="from 2 to 250 images of class 0. Received: count=4132"):
        study_mnist(mnist)
    with pytest.raises(ValueError, match="Received: counts=.*digit=10"):
        study_mnist(mnist, digit=10, counts=FEW)
    with pytest.raises(ValueError, match="10 counts"):
        study_mnist(mnist, counts=FEW[:9])


# --- storage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_round_trip_is_what_pillow_writes_and_reads(tmp_path, channels):
    rng = np.random.default_rng(channels)
    images = rng.integers(0, 256, (3, 20, 24, channels), np.uint8)
    stored = jpeg_round_trip(images)
    assert stored.shape == images.shape and stored.dtype == np.uint8
    for image, received in zip(images, stored, strict=True):
        Image.fromarray(image.squeeze()).save(tmp_path / "image.jpg")  # Pillow's default quality
        expected = np.asarray(Image.open(tmp_path / "image.jpg")).reshape(image.shape)
        np.testing.assert_array_equal(received, expected)
    assert not np.array_equal(stored, images)
    better = np.abs(jpeg_round_trip(images, quality=95).astype(int) - images).mean()
    assert better < np.abs(stored.astype(int) - images).mean()


def test_png_storage_changes_nothing():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(jpeg_round_trip(images, storage="png"), images)


def test_what_cannot_be_stored_is_refused():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    for wrong in (images.astype(np.float32), images[0], images[..., :2]):
        with pytest.raises(ValueError, match=r"Expected uint8 images \(n, height, width, 1 or 3\)"):
            jpeg_round_trip(wrong)
    with pytest.raises(ValueError, match="Received: storage='gif'"):
        jpeg_round_trip(images, storage="gif")
    with pytest.raises(ValueError, match="quality from 1 to 95. Received: quality=0"):
        jpeg_round_trip(images, quality=0)
